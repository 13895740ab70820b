"""Commands of who wants real servers on this machine: up, down, status."""

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from rich.table import Table

from billing.cli.setup import err, out
from ops.local import stack

Folder = Annotated[Path, Parameter(name="--dir", help="The folder of the stack: its data, logs and billing.toml.")]
DEFAULT_FOLDER: Final = Path(".stack")


def up(
    folder: Folder = DEFAULT_FOLDER,
    *,
    shards: int | None = None,
    database: Literal["mariadb", "mysql"] | None = None,
    partitions: int | None = None,
    book: Path | None = None,
) -> int:
    """Start a database server for each shard and one Kafka, on free ports; install what is missing. Safe to repeat.

    Parameters
    ----------
    shards
        How many database servers; 4 in a new stack.
    database
        Which server; mariadb in a new stack.
    partitions
        Partitions of the topic; 8 in a new stack.
    book
        The rulebook that its billing.toml names; the telecom book in a new stack.
    """
    state = stack.up(folder, shards=shards, database=database, partitions=partitions, book=book, say=_progress)
    out.print(_servers(state))
    config = _near(state.config_path)
    out.print("\n[bold]next[/]")
    for line, why in (
        (f"billing init -c {config}", "create the tables"),
        (f"billing generate --events 100000 -c {config}", "fill the topic"),
        (f"billing run --until-end -c {config}", "bill it"),
        (f"billing audit -c {config}", "check every sum"),
        (f"billing stack down --dir {_near(state.folder)}", "stop the servers; --purge removes their data too"),
    ):
        out.print(f"  {line}  [dim]# {why}[/]", highlight=False, soft_wrap=True)
    return 0 if state.running else 1


def down(folder: Folder = DEFAULT_FOLDER, *, purge: bool = False) -> None:
    """Stop the stack's servers.

    Parameters
    ----------
    purge
        Remove their data and the configuration too.
    """
    stack.down(folder, purge=purge, say=_progress)
    out.print(f"{folder}: stopped and removed" if purge else f"{folder}: stopped; its data is kept", highlight=False)


def status(folder: Folder = DEFAULT_FOLDER) -> int:
    """Show what runs; exit code 1 when a server of the stack does not answer."""
    state = stack.status(folder)
    out.print(_servers(state))
    out.print(f"configuration: {_near(state.config_path)}", highlight=False, soft_wrap=True)
    return 0 if state.running else 1


def _servers(state: stack.StackState) -> Table:
    table = Table("name", "server", "port", "process", "state", "log", box=None, header_style="bold")
    for one in state.servers:
        says = "running" if one.running else "does not answer" if one.pid else "stopped"
        title = f"{one.title} {one.version}" if one.version else one.title
        table.add_row(one.name, title, str(one.port), str(one.pid or ""), says, str(_near(one.log_path)))
    return table


def _progress(line: str) -> None:
    err.print(line, highlight=False, markup=False, soft_wrap=True)


def _near(path: Path) -> Path:
    """Write a path as short as it can be from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
