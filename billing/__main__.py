"""The command `billing`, which `python -m billing` is too."""

import gc
from typing import Final

_STARTING_OBJECTS: Final = 100_000  # made between two looks for garbage; what runs on chooses for itself


def main() -> None:
    """Run one command. What modules are made of stays: to look through it again and again is 7 % of a start."""
    gc.set_threshold(_STARTING_OBJECTS, 20, 20)
    from billing.cli import main as run  # noqa: PLC0415 - not before the line above

    run()


if __name__ == "__main__":  # a process that the server starts imports this module too
    main()
