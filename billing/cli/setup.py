"""What commands share: the settings of `-c`, the two consoles, and how amounts look to people."""

import getpass
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from billing.config.deployment import Deployment, load_deployment
from billing.errors import BillingError

__all__ = [
    "DEFAULT_CONFIG",
    "ConfigPath",
    "Deployment",
    "OutputError",
    "Processes",
    "command",
    "counted",
    "deployment",
    "err",
    "out",
    "output",
    "plain",
    "print_json",
    "user",
]

ConfigPath = Annotated[Path, Parameter(name=["--config", "-c"], help="The settings file.")]
Processes = Annotated[int, Parameter(validator=Number(gte=1, lte=64))]
DEFAULT_CONFIG: Final = Path("billing.toml")
_PIPE_COLUMNS: Final = 250  # a program reads whole lines: tables are not squeezed into the width of a terminal
out: Final = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
err: Final = Console(stderr=True)


class OutputError(BillingError):
    """The output file cannot be written. Reaction: stop; nothing is left under its name."""


def deployment(config: Path) -> Deployment:
    """Load settings, map and book. Raises SettingsError, ShardMapError or BookError, one line for each thing wrong."""
    return load_deployment(config, os.environ)


def user() -> str:
    """Return who runs this command, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def plain(amount: Decimal) -> str:
    """Write an amount with all its digits, without trailing zeros past cents."""
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def counted(quantity: Decimal) -> str:
    """Write a quantity without trailing zeros."""
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def command() -> str:
    """Return how this program was called, for lines that a person will copy."""
    called = Path(sys.argv[0])
    if called.name != "billing" or shutil.which("billing") is not None:
        return "billing"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())  # noqa: T201 - the command's output


@contextmanager
def output(path: Path | None) -> Iterator[BinaryIO]:
    """Open the output; a file gets its name when it is complete, and none when something fails."""
    if path is None:
        yield sys.stdout.buffer
        return
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; name a file in a folder with room") from error
    finally:
        partial.unlink(missing_ok=True)
