"""`billing rules explain`: why one event is charged what it is."""

import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import attrs
import msgspec
import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.padding import Padding
from rich.table import Column, Table

from billing.adapters.sql import run
from billing.cli.setup import Deployment, counted, deployment, out, print_json
from billing.errors import BillingError, SettingsError
from billing.reads.explained import Explained, Row, Rows, UndecodableError, explained
from billing.reads.recorded import EventLine, read_event, state_of
from billing.wire import EVENT_BYTES_MAX
from rules.columns import PICO_PLACES
from rules.explain import ExplainedGroup, Tried, UnknownRuleError
from rules.fields import decimal_fault
from rules.load import load
from rules.number import book_decimal, units_of
from rules.running import Held

_TRIED_MAX: Final = 12  # losing rules that a person reads; --json has all


class EventError(BillingError):
    """The event cannot be explained, since it is none. Reaction: tell why; its quarantine would say the same."""


def explain(
    event: str,
    *,
    book: Annotated[Path | None, Parameter(name=["--book", "-b"])] = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    rule: str | None = None,
    used: str = "0",
    used_events: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    json: bool = False,
) -> int:
    """Tell why an event is charged what it is: rules tried and why they lost, the arithmetic, the rows written.

    A void is explained as its event, followed by what takes it back. Exit code 1 for an event that is refused.

    Parameters
    ----------
    event
        The event: its JSON text, a file that holds it, or - for standard input.
    book
        The book's file; that of the settings if these are given instead.
    config
        A settings file: its shards say what they have recorded of the event.
    rule
        The only rule to ask, also one that stands behind the winner.
    used
        The quantity that cumulative prices have counted before, in the event's period.
    used_events
        In how many events.
    json
        Print one JSON document.
    """
    before = Held(_pico(used), used_events)
    found = None if config is None else deployment(config)
    if book is None and found is None:
        raise SettingsError(
            "--book and --config: one of them says by which book; write -b book.yaml or -c billing.toml"
        )
    try:
        told = explained(_payload(event), found.book if book is None and found else load(book or Path()), before, rule)
    except UndecodableError as error:
        raise EventError(str(error)) from error
    except UnknownRuleError as error:
        raise SettingsError(f"--rule: {error}") from error
    recorded = None if found is None else uvloop.run(_recorded(found, told))
    if json:
        more = {} if recorded is None else {"recorded": {"state": state_of(recorded).name.lower(), "lines": recorded}}
        print_json(msgspec.to_builtins(told) | more if more else told)
    else:
        _show(told)
        if recorded is not None:
            _show_recorded(recorded)
    return 1 if told.refused else 0


async def _recorded(found: Deployment, told: Explained) -> list[EventLine]:
    """Ask the shards for the lines of the event, on its account and on all that it charges."""
    charged = [(str(row["account"]), str(row["event"])) for row in told.rows.records]
    lines = []
    for account, key in dict.fromkeys([(told.account, told.event), *charged]):
        slots: dict[int, list[int]] = {}
        for slot, shard in found.shardmap.shards_of(account):
            slots.setdefault(shard, []).append(slot)
        for shard, of_shard in slots.items():
            name = found.shardmap.shards[shard]
            primary = next(one.primary for one in found.settings.shards if one.name == name)
            asking = partial(read_event, slots=of_shard, account=account, day=told.day, key=key)
            lines += await run(primary, asking)
    return lines


def _show_recorded(lines: list[EventLine]) -> None:
    _say(f"\nrecorded: {state_of(lines)}")
    rows = (attrs.asdict(line) for line in lines)
    if lines:
        _show_rows(tuple(row | {name: counted(Decimal(row[name])) for name in ("quantity", "amount")} for row in rows))


def _payload(event: str) -> bytes:
    if event == "-":
        return sys.stdin.buffer.read(EVENT_BYTES_MAX + 1)
    if event.lstrip().startswith("{"):
        return event.encode()
    try:
        with Path(event).open("rb") as file:
            return file.read(EVENT_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(
            f"{event}: cannot be read ({error.strerror}); write JSON text, a file that holds it, or -"
        ) from error


def _pico(text: str) -> int:
    number = book_decimal(text)
    fault = decimal_fault(text, PICO_PLACES)
    if number is None or fault or number < 0:
        raise SettingsError(f"--used {text}: is not a quantity; write a decimal of 0 or more, such as 1000.5")
    return units_of(number, PICO_PLACES)


def _show(told: Explained) -> None:
    what = "event" if told.taken_back is None else "void of event"
    _say(
        f"{what} {told.event} of account {told.account}, by book {told.book} version {told.version} in {told.currency}"
    )
    for group in told.groups:
        _show_group(group, told.currency)
    if told.refused:
        _say(f"\nrefused: {told.refused}: {told.detail}")
        return
    _show_tables(told.rows)
    if told.taken_back is not None:
        _say("\nvoid: takes back what the event was charged, as it was recorded; after the rows above it writes")
        _show_tables(told.taken_back)


def _show_tables(tables: Rows) -> None:
    for title, rows in (
        ("records", tables.records),
        ("rollups, added to", tables.rollups),
        ("balances, added to", tables.balances),
        ("tiers, as they then stand", tables.tiers),
        ("credits", tables.credits),
    ):
        if rows:
            _say(f"\n{title}")
            _show_rows(rows)


def _show_group(group: ExplainedGroup, currency: str) -> None:
    _say(f"\ngroup {group.group}")
    lost = [one for one in group.tried if not one.applies]
    for one in lost[:_TRIED_MAX]:
        _say(f"  - {one.rule}: {_reasons(one)}")
    if len(lost) > _TRIED_MAX:
        _say(f"  - and {len(lost) - _TRIED_MAX:,} rules more; --json has all, --rule ID asks for one")
    for one in group.tried:
        if one.applies and one.rule != group.winner:
            _say(f"  ~ {one.rule}: applies, but {group.winner} stands before it")
    if group.winner is None:
        _say("  no rule wins")
    elif any(one.rule == group.winner for one in group.tried):
        behind = f"; {group.not_tried} behind it are not asked" if group.not_tried else ""
        _say(f"  + {group.winner}: wins{behind}")
    line = group.line
    if line is None:
        return
    table = Table("step", "how", Column("result", justify="right"), box=None, show_header=False, pad_edge=False)
    for step in line.steps:
        table.add_row(step.step, step.how, step.result)
    out.print(Padding(table, (0, 0, 0, 4), expand=False), highlight=False, markup=False)
    _say(f"    account {line.account} is charged {line.amount} {currency} for {line.quantity}, by {line.rule}")


def _reasons(one: Tried) -> str:
    return "; ".join(one.reasons)


def _show_rows(rows: tuple[Row, ...]) -> None:
    table = Table(*rows[0], box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*map(str, row.values()))
    out.print(Padding(table, (0, 0, 0, 2), expand=False), highlight=False, markup=False)


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
