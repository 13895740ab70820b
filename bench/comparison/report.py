"""The report of a comparison: what each contender did for the same events, as text.

Owns words, units and rounding. Must not know how anything was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from bench.comparison.contenders import TOLD, Contender
from bench.report import Machine, again, aligned, machine_text, many
from generators.population import Model

_NOTHING: Final = "-"


@attrs.frozen
class Comparison:
    """What is compared: the size of the system, for how long each contender works, and the events in the log."""

    model: Model
    shards: int
    workers: int
    database: str
    seconds: int
    events: int


@attrs.frozen
class ContenderResult:
    """What a contender did.

    seconds: that it worked; transactions: of Redis: pipelines; rows: of records, rollups and balances; again: what was
    sent again after a deadlock; cores_used: by group of processes; ran_dry: the log ended before the time; differences:
    rows that are not what its events must make, 0 is right.
    """

    contender: Contender
    seconds: float
    events: int
    transactions: float
    statements: float
    rows: float
    again: int
    cores_used: Mapping[str, float]
    ran_dry: bool
    differences: int

    @property
    def events_per_second(self) -> float:
        """The throughput."""
        return self.events / self.seconds


@attrs.frozen
class ModelResult:
    """The contenders of one model, in the order of their run."""

    comparison: Comparison
    contenders: tuple[ContenderResult, ...]

    def ratio(self, one: ContenderResult, to: Contender) -> float | None:
        """Return throughput by that of another contender, None where that did not take part."""
        other = next((each for each in self.contenders if each.contender is to), None)
        return None if other is None or not other.events else one.events_per_second / other.events_per_second


@attrs.frozen
class CompareResult:
    """A comparison."""

    machine: Machine
    models: tuple[ModelResult, ...]
    command: str

    @property
    def differences(self) -> int:
        """Rows that are not what the events must make, of all contenders."""
        return sum(one.differences for model in self.models for one in model.contenders)


def compare_text(result: CompareResult) -> str:
    """Return a comparison as lines of text: a table for each model, who took part, where, and how to repeat it."""
    return "\n".join([*map(model_text, result.models), rest_text(result)])


def model_text(model: ModelResult) -> str:
    """Return one model's table."""
    what = model.comparison
    heading = (
        f"{what.model}, {many(what.shards, 'shard')}, {what.workers} processes, {what.database}, "
        f"{what.seconds} s each, the same log of {what.events:,} events"
    )
    return "\n".join([heading, *aligned(_rows(model))])


def rest_text(result: CompareResult) -> str:
    """Return what stands below the tables."""
    taking_part = dict.fromkeys(one.contender for model in result.models for one in model.contenders)
    told = [f"{contender}: {TOLD[contender]}" for contender in taking_part]
    return "\n".join([*told, machine_text(result.machine), again(result.command)])


def _rows(model: ModelResult) -> Sequence[Sequence[str]]:
    every = model.contenders
    groups = dict.fromkeys(group for one in every for group in one.cores_used)
    return [
        ("", *(str(one.contender) for one in every)),
        ("events/s", *(f"{one.events_per_second:,.0f}" for one in every)),
        ("times classic", *(_ratio(model.ratio(one, Contender.CLASSIC), 1, "") for one in every)),
        ("of the limit", *(_ratio(model.ratio(one, Contender.LIMIT), 100, " %") for one in every)),
        ("transactions/s", *(f"{one.transactions / one.seconds:,.1f}" for one in every)),
        ("statements/s", *(f"{one.statements / one.seconds:,.0f}" for one in every)),
        ("rows/s", *(f"{one.rows / one.seconds:,.0f}" for one in every)),
        ("events a transaction", *(_by(one.events, one.transactions) for one in every)),
        ("statements a transaction", *(_by(one.statements, one.transactions) for one in every)),
        ("rows an event", *(_by(one.rows, one.events) for one in every)),
        *((f"CPU, {group}, cores", *(_cores(one, group) for one in every)) for group in groups),
        (
            "events, in s",
            *(f"{one.events:,}, {one.seconds:.1f}{' (all)' if one.ran_dry else ''}" for one in every),
        ),
        ("sent again after deadlock", *(f"{one.again:,}" for one in every)),
        ("aggregates", *(f"{one.differences:,} DIFFER" if one.differences else "right" for one in every)),
    ]


def _ratio(value: float | None, times: int, unit: str) -> str:
    return _NOTHING if value is None else f"{value * times:,.1f}{unit}"


def _by(value: float, divisor: float) -> str:
    return f"{value / divisor:,.1f}" if divisor else _NOTHING


def _cores(one: ContenderResult, group: str) -> str:
    return f"{one.cores_used[group]:.2f}" if group in one.cores_used else _NOTHING
