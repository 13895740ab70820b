"""The report of a load of reads: values, words and rounding.

Must not know how figures come about.
"""

from collections.abc import Mapping

import attrs

from bench.figures import percentile
from bench.report import Machine, again, aligned, machine_text, many
from bench.scenario import Database, limits_options


@attrs.frozen
class ReadsScenario:
    """One run: rates are a second, by kind of request; ingest_per_second: events sent beside, 0 for none.

    events: billed before; records: further lines, put into the tables at once, of one account on each shard; limits:
    as those of `Scenario`; realtime: what answers reads goes before everything else on a CPU.
    """

    shards: int
    workers: int
    database: Database
    seconds: int
    events: int
    records: int
    ingest_per_second: float
    rates: Mapping[str, float]
    seed: int = 1
    limits: Mapping[str, int] = attrs.field(factory=dict)
    realtime: bool = False

    def command(self) -> str:
        """Return the command that runs this again."""
        rates = " ".join(f"--{kind} {rate:g}" for kind, rate in self.rates.items())
        return (
            f"billing-bench reads --shards {self.shards} --workers {self.workers} --database {self.database} "
            f"--seconds {self.seconds} --events {self.events} --records {self.records} "
            f"--ingest {self.ingest_per_second:g} {rates} --seed {self.seed}{limits_options(self.limits)}"
            f"{' --realtime' * self.realtime}"
        )


@attrs.frozen
class KindResult:
    """What a kind of request took, in milliseconds from when each was due; errors: by status or kind of failure.

    late_ms_max: how late the load itself was at most, which is in the latencies too.
    """

    kind: str
    rate_per_second: float
    latency_ms: tuple[float, ...]
    errors: Mapping[str, int]
    late_ms_max: float


@attrs.frozen
class ReadsResult:
    """What a run measured; ingest_*: events settled a second, without and with the reads, None where none were sent.

    records: lines in the tables when it began.
    """

    scenario: ReadsScenario
    machine: Machine
    records: int
    ingest_alone: float | None
    ingest_beside: float | None
    kinds: tuple[KindResult, ...]


def reads_text(result: ReadsResult) -> str:
    """Return a run as lines of text."""
    rows: list[tuple[str, ...]] = [
        ("", "offered/s", "answered", "p50 ms", "p99 ms", "max ms", "errors", "load late ms")
    ]
    for one in result.kinds:
        times = [f"{percentile(one.latency_ms, share):.2f}" if one.latency_ms else "-" for share in (0.5, 0.99, 1.0)]
        errors = ", ".join(f"{name}: {count:,}" for name, count in sorted(one.errors.items())) or "none"
        answered = f"{len(one.latency_ms):,}"
        rows.append((one.kind, f"{one.rate_per_second:g}", answered, *times, errors, f"{one.late_ms_max:.1f}"))
    scenario = result.scenario
    heading = (
        f"reads, open loop, {scenario.seconds} s, {many(scenario.shards, 'shard')}, {result.records:,} lines recorded"
        f"{', in real time' * scenario.realtime}"
    )
    lines = [heading, *aligned(rows)]
    if result.ingest_alone is not None and result.ingest_beside is not None:
        change = result.ingest_beside / result.ingest_alone - 1 if result.ingest_alone else 0.0
        lines.append(
            f"ingest: {result.ingest_alone:,.0f} events/s alone, {result.ingest_beside:,.0f} beside the reads "
            f"({change:+.1%}), of {scenario.ingest_per_second:,.0f} sent"
        )
    return "\n".join([*lines, machine_text(result.machine), again(scenario.command())])
