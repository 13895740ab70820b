"""Commands of who takes care of events that could not be billed: list, show, retry."""

from collections import Counter
from functools import partial
from typing import Annotated, Final

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from billing.adapters.oplog import OperatorLog
from billing.adapters.republish import Publish, publisher
from billing.adapters.sql import run
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, Deployment, deployment, out, print_json, user
from billing.config.settings import Shard
from billing.errors import BillingError, SettingsError
from billing.quarantine import (
    Entry,
    ReasonCount,
    count_reasons,
    mark_retried,
    read_entries,
    read_entry,
    read_waiting,
)
from billing.wire import Reason

LIST_MAX: Final = 10_000  # of a shard: what a person pages through; an analysis reads the table
CHUNK_EVENTS: Final = 500  # published and marked together: what a crash between the two publishes twice
_DETAIL_MAX: Final = 80

ReasonName = Annotated[str | None, Parameter(name="--reason", help="Only events with this reason, such as no_rule.")]


class NotInQuarantineError(BillingError):
    """No shard has an event in quarantine at that place."""


def list_entries(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    reason: ReasonName = None,
    limit: Annotated[int, Parameter(validator=Number(gte=0, lte=LIST_MAX))] = 20,
    accounts: bool = False,
    json: bool = False,
) -> None:
    """Count quarantined events by reason, then list the first of each shard.

    Parameters
    ----------
    config
        The settings file.
    limit
        How many events of each shard to list.
    accounts
        Show whose they are, where that can be read, and values of attributes in what is wrong with them.
    json
        Print one JSON document.
    """
    _check_reason(reason)
    found = deployment(config)
    counts, entries = uvloop.run(_read(found, reason, limit))
    if json:
        listed = [
            {"shard": name, **_fields(one, accounts=accounts)} for name, of_shard in entries.items() for one in of_shard
        ]
        print_json({"reasons": [_count_fields(one) for one in counts], "events": listed})
        return
    if not counts:
        out.print("quarantine is empty")
        return
    summary = Table("reason", box=None, header_style="bold")
    for title in ("events", "published again"):
        summary.add_column(title, justify="right")
    for one in counts:
        summary.add_row(one.reason, f"{one.events:,}", f"{one.retried:,}")
    out.print(summary)
    if any(entries.values()):
        out.print()
        out.print(_listing(entries, accounts=accounts))


def show(
    partition: int,
    offset: int,
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    log: str | None = None,
) -> None:
    """Show one event: why it is in quarantine, and its payload.

    Parameters
    ----------
    partition
        The log's partition.
    offset
        The event's offset in it.
    config
        The settings file.
    log
        The log, where the shards have applied several.
    """
    found = deployment(config)
    places = uvloop.run(_at(found, log, partition, offset))
    if not places:
        raise NotInQuarantineError(
            f"partition {partition} offset {offset}: no shard has it in quarantine; "
            "billing quarantine list shows what there is"
        )
    for shard, entry in places:
        for name, value in _fields(entry, accounts=True).items():
            out.print(f"{name:<14} {value}", highlight=False, markup=False, soft_wrap=True)
        out.print(f"{'shard':<14} {shard}", highlight=False)
        out.print(f"{'payload':<14} {_printable(entry.payload)}", highlight=False, markup=False, soft_wrap=True)
        if entry.cut:
            out.print(f"the first {len(entry.payload):,} of {entry.payload_bytes:,} bytes", highlight=False)


def retry(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    reason: ReasonName = None,
    every: Annotated[bool, Parameter(name="--all", negative="")] = False,
) -> None:
    """Publish quarantined events to the source again, after the book or their maker was corrected.

    An event that was billed in the meantime is recognised and not billed again. One that still cannot be billed comes
    back to quarantine at its new place.

    Parameters
    ----------
    config
        The settings file.
    every
        Events with any reason.
    """
    if (reason is not None) == every:
        raise SettingsError("--reason and --all: exactly one says which events; write --reason no_rule, or --all")
    _check_reason(reason)
    found = deployment(config)
    publish = publisher(found.settings.source)
    OperatorLog(found.settings.api.operators_log).record(user(), f"quarantine retry {reason or '--all'}")
    published, cut = uvloop.run(_retry(found, reason, publish))
    out.print(f"published {published:,} events again; billing run bills them", highlight=False, soft_wrap=True)
    if cut:
        out.print(
            f"skipped {cut:,} events of which only the beginning was kept "
            f"(limits.quarantine_payload_bytes_max = {found.settings.limits.quarantine_payload_bytes_max})",
            highlight=False,
            soft_wrap=True,
        )


def _check_reason(reason: str | None) -> None:
    if reason is not None and reason not in {*Reason}:
        raise SettingsError(f"--reason {reason!a}: is not a reason; write one of {', '.join(Reason)}")


async def _read(found: Deployment, reason: str | None, limit: int) -> tuple[list[ReasonCount], dict[str, list[Entry]]]:
    events: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    entries = {}
    for shard in found.settings.shards:
        for one in await run(shard.primary, count_reasons):
            if reason is None or one.reason == reason:
                events[one.reason] += one.events
                retried[one.reason] += one.retried
        asking = partial(read_entries, reason=reason, limit=limit)
        entries[shard.name] = await run(shard.primary, asking)
    return [ReasonCount(name, count, retried[name]) for name, count in events.most_common()], entries


async def _at(found: Deployment, log: str | None, partition: int, offset: int) -> list[tuple[str, Entry]]:
    places = []
    for shard in found.settings.shards:
        asking = partial(read_entry, log=log, partition=partition, offset=offset)
        places += [(shard.name, entry) for entry in await run(shard.primary, asking)]
    return places


async def _retry(found: Deployment, reason: str | None, publish: Publish) -> tuple[int, int]:
    published = cut = 0
    for shard in found.settings.shards:
        counts = await _retry_shard(shard, reason, publish)
        published, cut = published + counts[0], cut + counts[1]
    return published, cut


async def _retry_shard(shard: Shard, reason: str | None, publish: Publish) -> tuple[int, int]:
    """Publish, then mark: after a crash between the two, events are published twice and billed once."""
    published = cut = 0
    last: Entry | None = None
    while True:
        waiting = partial(read_waiting, reason=reason, after=last, limit=CHUNK_EVENTS)
        entries = await run(shard.writer, waiting)
        if not entries:
            return published, cut
        last = entries[-1]
        whole = [entry for entry in entries if not entry.cut]
        cut += len(entries) - len(whole)
        if whole:
            publish([entry.payload for entry in whole])
            await run(shard.writer, partial(mark_retried, entries=whole))
            published += len(whole)


def _listing(entries: dict[str, list[Entry]], *, accounts: bool) -> Table:
    titles = ["shard", "reason", "log", "partition", "offset", *(["account"] if accounts else []), "again", "detail"]
    table = Table(*titles, box=None, header_style="bold")
    for shard, of_shard in entries.items():
        for one in of_shard:
            whose = [one.account] if accounts else []
            place = (one.log, str(one.partition), str(one.offset))
            again = "yes" if one.retried else ""
            detail = one.detail if accounts else one.plain_detail
            table.add_row(shard, one.reason, *place, *whose, again, _printable(detail.encode())[:_DETAIL_MAX])
    return table


def _fields(entry: Entry, *, accounts: bool) -> dict[str, str | int]:
    whose = {"account": entry.account} if accounts else {}
    return {
        "log": entry.log,
        "partition": entry.partition,
        "offset": entry.offset,
        **whose,
        "reason": entry.reason,
        "detail": _printable((entry.detail if accounts else entry.plain_detail).encode()),
        "payload_bytes": entry.payload_bytes,
        "retried": entry.retried,
    }


def _count_fields(count: ReasonCount) -> dict[str, str | int]:
    return {"reason": count.reason, "events": count.events, "retried": count.retried}


def _printable(payload: bytes) -> str:
    """Write bytes so that no terminal obeys them: what is not printable text is escaped."""
    text = payload.decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
