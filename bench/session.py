"""The session at a terminal: servers that last as long as a command, and its progress.

A shell: starts and removes servers. Must not know what is measured on them.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
from rich.console import Console
from rich.progress import Progress

from bench.measure import Tell
from bench.scenario import Database
from billing.config.sections import Given, Section, nearest
from billing.config.settings import read_limits
from billing.errors import SettingsError
from billing.limits import Limits
from ops.local import stack
from ops.local.config import CONFIG_NAME
from ops.local.errors import StackMissingError
from ops.local.lock import folder_lock

DEFAULT_FOLDER: Final = Path(".cache/bench")
BUFFER_POOL_MIB: Final = 3072  # a shard: the rows of many minutes stay in memory, as they would on a real cluster
REDO_MIB: Final = 2048  # a shard: a page is written once for what has changed in it for a minute, not for ten seconds
err: Final = Console(stderr=True)


@contextmanager
def telling() -> Iterator[Tell]:
    """Give a function that shows progress: bars on a terminal, else a line for each thing begun."""
    with Progress(console=err, disable=not err.is_terminal, transient=True) as progress:
        bars = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
                if not err.is_terminal:
                    say(what)
            progress.update(bars[what], completed=done, total=total)

        yield tell


def use_limits(given: Mapping[str, int]) -> None:
    """Let every process that is started from now on have these limits, by the variables that override settings.

    Raises: SettingsError, which names the option.
    """
    names = [field.name for field in attrs.fields(Limits)]
    for name in given:
        if name not in names:
            raise SettingsError(f"--limits.{name}: unknown limit; {nearest(name, names)}")
    read_limits(Section("limits", "--limits", {name: Given(one, f"--limits.{name}") for name, one in given.items()}))
    os.environ.update({f"BILLING_LIMITS_{name.upper()}": str(value) for name, value in given.items()})


@contextmanager
def servers(
    folder: Path,
    shards: int,
    database: Database,
    partitions: int,
    book: Path | None = None,
    database_cores: float | None = None,
) -> Iterator[Path]:
    """Start a stack in a folder, give its settings file, and remove it with its data at the end; logs stay.

    What an earlier one left there is removed first, so a second one at the same time waits for the end of the first.
    book: None for the telecom book; database_cores: that each database may keep busy, None for all.
    Raises: LocalServerError, StackSettingError.
    """
    session = folder / "session"
    with folder_lock(session, say):
        _remove(folder)
        try:
            stack.up(
                folder,
                shards=shards,
                database=database,
                partitions=partitions,
                book=book,
                buffer_pool_mib=BUFFER_POOL_MIB,
                redo_mib=REDO_MIB,
                database_cores=database_cores,
                say=say,
            )
            yield folder / CONFIG_NAME
        finally:
            _remove(folder)
            session.rmdir()


def _remove(folder: Path) -> None:
    """Remove the stack that an earlier run left in the folder, if any."""
    try:
        stack.down(folder, purge=True)
    except StackMissingError:
        return


def say(line: str) -> None:
    """Print a line to the terminal as it is."""
    err.print(line, highlight=False, markup=False)
