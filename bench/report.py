"""Reports: figures as text for people and as JSON for machines, always with the machine beside them.

Owns words, units and rounding. Must not know how figures come about.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from bench.figures import Point, Throughput, percentile
from bench.scenario import Scenario

MIB: Final = 2**20


@attrs.frozen
class Machine:
    """Where figures were taken; servers: name and version of each kind."""

    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    servers: tuple[str, ...] = ()


@attrs.frozen
class RunResult:
    """What a run measured.

    seconds: that work was going on for; prefill: (events, seconds) put into the log ahead, None for open loop;
    cores_used: by group; per_second: growth of counters by name; latency_ms: of every probe,
    append to visible; disk_bytes_event: database files, their growth by event; ran_dry: the log ended before the time;
    audit_differences: 0 is a clean audit; points: what went on second by second; unread: how many of these moments lack
    the workers' counters.
    """

    scenario: Scenario
    machine: Machine
    seconds: float
    events: int
    prefill: tuple[int, float] | None
    throughput: Throughput
    cores_used: Mapping[str, float]
    worker_rss_bytes_max: int
    per_second: Mapping[str, float]
    deadlocks: int
    lock_waits: int
    latency_ms: tuple[float, ...]
    disk_bytes_event: float | None
    ran_dry: bool
    audit_differences: int
    points: tuple[Point, ...] = ()
    unread: int = 0


def run_text(result: RunResult) -> str:
    """Return a run as lines of text."""
    scenario, speed = result.scenario, result.throughput
    told = f"{speed.window_seconds:.0f}"
    load = "saturated" if scenario.rate_per_second is None else f"{scenario.rate_per_second:,.0f} events/s offered"
    rows = [
        ("events", f"{result.events:,} in {result.seconds:.1f} s"),
        (
            "events/s",
            f"{speed.mean:,.0f} ({told}-second windows: {speed.window_min:,.0f} to {speed.window_max:,.0f})",
        ),
        ("transactions/s", f"{result.per_second.get('transactions', 0):,.1f}"),
        ("statements/s", f"{result.per_second.get('statements', 0):,.1f}"),
        *(
            (f"{table} rows/s", f"{result.per_second.get(table, 0):,.0f}")
            for table in ("records", "tiers", "rollups", "balances")
            if table != "tiers" or result.per_second.get(table)
        ),
        *(
            (f"CPU, {group}", f"{used:.2f} of {result.machine.cores} cores ({used / result.machine.cores:.0%})")
            for group, used in result.cores_used.items()
        ),
        ("worker memory, largest", f"{result.worker_rss_bytes_max / MIB:,.0f} MiB"),
    ]
    if result.disk_bytes_event is not None:
        rows.append(("database files, bytes/event", f"{result.disk_bytes_event:,.0f}"))
    rows.append(("deadlocks, lock waits", f"{result.deadlocks:,}, {result.lock_waits:,}"))
    if result.latency_ms:
        p50, p99 = (percentile(result.latency_ms, share) for share in (0.5, 0.99))
        words = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(result.latency_ms):.1f} ms"
        rows.append(("append to visible", f"{words} ({len(result.latency_ms):,} probes)"))
    rows.append(("audit", "clean" if not result.audit_differences else f"{result.audit_differences:,} DIFFERENCES"))
    heading = f"{scenario.traffic}, {many(scenario.shards, 'shard')}, {many(scenario.workers, 'worker')}, {load}"
    notes = (
        [f"the log held {result.prefill[0]:,} events ahead, sent in {result.prefill[1]:.0f} s"]
        if result.prefill
        else []
    )
    if result.ran_dry:
        notes.append("THE LOG RAN DRY: figures are of the time until then; send more ahead with --events")
    return "\n".join([heading, *aligned(rows), *notes, machine_text(result.machine), again(scenario.command())])


def versus_text(first: RunResult, second: RunResult) -> str:
    """Return two runs of the same events, by one book and by another, and what an event of the second costs in time."""
    ratio = first.throughput.mean / second.throughput.mean
    one, other = (result.scenario.book or "the telecom book" for result in (first, second))
    verdict = f"an event by {other} takes {ratio:.2f} of the time that it takes by {one}"
    return "\n".join([run_text(first), "", run_text(second), "", verdict])


def machine_text(machine: Machine) -> str:
    """Return the machine in one line."""
    words = f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib / 1024:.1f} GiB, Linux {machine.kernel}"
    return ", ".join([f"machine: {words}, Python {machine.python}", *machine.servers])


def as_json(kind: str, command: str, value: object) -> bytes:
    """Return a document for machines: what it is, how to make it again, and every figure unrounded."""
    document: dict[str, Any] = {"kind": kind, "command": command, "result": value}
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=plain), indent=2) + b"\n"


def plain(value: Any) -> str:  # noqa: ANN401 - whatever msgspec does not know
    """Return the text of a path, for documents."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")


def again(command: str) -> str:
    """Return the line that tells how figures are made again."""
    return f"again: {command}"


def many(count: int, thing: str) -> str:
    """Return how many there are of a thing, in words: 1 shard, 2 shards."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
