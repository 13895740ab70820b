"""The command line: `billing-bench`."""

import signal

from billing.cli.commands import add, command_line
from billing.cli.commands import run as run_command

app = command_line("billing-bench", "How fast the billing engine is, on this machine.")
for _path in (
    "run:run", "reading.cli:reads", "kernels.cli:kernels", "comparison.cli:compare", "planning.cli:plan",
    "planning.cli:holdout",
):  # fmt: skip
    add(app, f"bench.{_path}")


def main() -> None:
    """Run one command of `billing-bench`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: servers and workers end with the command
    run_command(app)
