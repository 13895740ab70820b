"""Reports of plans: everything that a reader needs as one value, and as text for a terminal.

Owns words, units and rounding of plans. Must not know how a plan is found, nor pictures (`bench.planning.page`).
"""

from collections.abc import Mapping
from datetime import date
from math import isfinite
from typing import Final

import attrs
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from bench.planning.law import Estimate, Law
from bench.planning.measured import Capacity
from bench.planning.plan import SHARDS_MAX, Count, Option
from bench.planning.target import MONTHS, SECONDS_PER_DAY, Target
from bench.report import Machine, machine_text, many

TIB: Final = 2**40
GIB: Final = 2**30
LISTED_MAX: Final = 15  # accounts named in a report; the JSON has them all


@attrs.frozen
class Curve:
    """One traffic model as it was measured: its levels, the law that they follow, and what one shard carries."""

    measured: Capacity
    alpha: float
    beta: float
    gamma: float
    writers: float
    capacity: Estimate

    @classmethod
    def of(cls, measured: Capacity, law: Law) -> "Curve":
        """Return the model with its law."""
        return cls(measured, law.alpha, law.beta, law.gamma, law.writers_used, law.capacity())


@attrs.frozen
class OwnPlace:
    """An account that should have a place of its own: pinned to a shard, or spread over ways slots by event."""

    account: str
    share: float
    pin: int | None = None
    ways: int | None = None


def exceptions_of(
    shares: Mapping[str, float], pins: Mapping[str, int], spreads: Mapping[str, int]
) -> tuple[OwnPlace, ...]:
    """Return exceptions by falling share."""
    found = [OwnPlace(name, shares[name], ways=ways) for name, ways in spreads.items()]
    found += [OwnPlace(name, shares[name], pin=shard) for name, shard in pins.items()]
    return tuple(sorted(found, key=lambda each: (-each.share, each.account)))


@attrs.frozen
class Effect:
    """What exceptions in the map change, with the same number of shards: shares of all events by shard, falling.

    utilisation: of the busiest shard at the peak of now; shards: needed without and with.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]
    utilisation_before: Estimate
    utilisation_after: Estimate
    shards_before: Count | None
    shards_after: Count | None


@attrs.frozen
class Present:
    """The map that is in force, on the recommended instance: its shards, the hottest one, and its utilisation."""

    shards: int
    hottest: str
    hottest_share: float
    utilisation: Estimate


@attrs.frozen
class PlanResult:
    """A plan with everything it was made from. chosen: the recommendation for each headroom, the first is the plan."""

    targets: tuple[Target, ...]
    accounts: str
    machine: Machine
    measured_on: str | None
    batch_events: float
    curves: tuple[Curve, ...]
    prices: str
    currency: str
    chosen: tuple[Option, ...]
    options: tuple[Option, ...]
    exceptions: tuple[OwnPlace, ...]
    effect: Effect | None
    present: Present | None
    today: date
    command: str


def plan_text(result: PlanResult, width: int = 120) -> str:
    """Return a plan as text."""
    console = Console(width=width, highlight=False, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(_parts(result))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _parts(result: PlanResult) -> Group:
    chosen = Table("", *(f"headroom {each.headroom:g}x" for each in result.chosen), box=None, header_style="")
    for row in zip(*(facts(result, each) for each in result.chosen), strict=True):
        chosen.add_row(row[0][0], *(value for _, value in row))
    options = Table("instance", "shards", "storage", "pins/spreads", "busiest", "a month", box=None, header_style="")
    for each in result.options:
        options.add_row(*option_cells(result, each))
    lines: list[Text | Table] = [
        Text(f"the load: {load_text(result.targets[0])}; {result.accounts}"),
        *(Text(line) for line in measured_lines(result)),
        Text("recommended"),
        chosen,
        Text(f"every instance, headroom {result.chosen[0].headroom:g}x ({result.prices})"),
        options,
        *(Text(line) for line in advice_lines(result)),
        *(Text(f"note: {line}") for line in notes(result)),
        Text(machine_text(result.machine)),
        Text(f"again: {result.command}"),
    ]
    return Group(*lines)


def load_text(target: Target) -> str:
    """Return what the plan must withstand, in one line."""
    words = [
        f"{target.average_per_second:,.0f} events/s on average",
        f"{target.average_per_second * SECONDS_PER_DAY / 1e6:,.1f} million a day",
        f"{target.peak_per_second:,.0f} at the peak",
        f"growth {target.growth:+.0%} a year, for {target.months:g} months",
        f"records kept {target.retention_days:g} days",
    ]
    return ", ".join(words)


def measured_lines(result: PlanResult) -> list[str]:
    """Return what was measured of one shard, a line for each model."""
    return [
        f"measured, {each.measured.model}: one shard carries {estimate(each.capacity)} events/s "
        f"with {many(round(each.writers), 'writer')} "
        f"(contention {each.alpha:.3f}, coherency {each.beta:.4f}; {len(each.measured.levels)} levels)"
        for each in result.curves
    ]


def facts(result: PlanResult, option: Option) -> list[tuple[str, str]]:
    """Return an option as titles and values."""
    target = next(each for each in result.targets if each.headroom == option.headroom)
    latency = option.latency_ms
    return [
        ("shards (clusters)", f"{option.shards.mid:,} ({count(option.shards)})"),
        ("instance", f"{option.instance}, {1 + target.readers} in each cluster, storage {option.storage}"),
        ("accounts pinned or spread", "yes" if option.advised else "none needed"),
        (
            "busiest shard at the peak",
            f"{option.hottest_events_per_second:,.0f} events/s, {option.hottest_share:.2%} of all",
        ),
        ("it carries, events/s", estimate(option.capacity_events_per_second)),
        ("its utilisation", percents(option.utilisation)),
        (
            "append to visible there",
            f"p50 {latency[0]:,.0f} ms, p99 {latency[1]:,.0f} ms" if latency else "grows without end",
        ),
        ("after 10 minutes without writer", f"caught up in {option.catch_up_minutes:,.1f} minutes"),
        ("disk, all clusters", f"{option.stored_bytes / TIB:,.1f} TiB"),
        ("disk, fullest cluster", f"{option.stored_bytes_hottest / GIB:,.0f} GiB"),
        ("cost a month", money(result, option.cost.total)),
        (
            "  instances, storage, I/O",
            ", ".join(money(result, part) for part in (option.cost.instances, option.cost.storage, option.cost.io)),
        ),
        ("next doubling due", due(option, result.today)),
    ]


def option_cells(result: PlanResult, option: Option) -> tuple[str, ...]:
    """Return an option as a row of the table of instances."""
    return (
        option.instance,
        f"{option.shards.mid:,} ({count(option.shards)})",
        option.storage,
        "yes" if option.advised else "no",
        f"{option.utilisation.mid:.0%}",
        money(result, option.cost.total),
    )


def advice_lines(result: PlanResult) -> list[str]:
    """Return which accounts to pin or spread, and what that changes."""
    if result.present is not None:
        now = result.present
        present = [
            (
                f"the map in force: {now.shards} shards, the hottest is {now.hottest} with {now.hottest_share:.2%} "
                f"of all events, utilisation {percents(now.utilisation)}"
            )
        ]
    else:
        present = []
    if result.effect is None:
        return [*present, "no account needs to be pinned or spread"]
    effect = result.effect
    verb = "must" if effect.shards_before is None else "should" if result.chosen[0].advised else "could"
    lines = [
        (
            f"with {len(effect.after)} shards, {len(result.exceptions)} accounts {verb} be pinned or spread: "
            f"the hottest has {effect.before[0]:.2%} of all events before, {effect.after[0]:.2%} after; "
            f"utilisation {effect.utilisation_before.mid:.0%} before, {effect.utilisation_after.mid:.0%} after"
        ),
        (
            f"shards needed on {result.chosen[0].instance}: {_needed(effect.shards_before)} without, "
            f"{_needed(effect.shards_after)} with"
        ),
    ]
    lines += [f"  {exception_text(each)}" for each in result.exceptions[:LISTED_MAX]]
    if len(result.exceptions) > LISTED_MAX:
        lines.append(f"  and {len(result.exceptions) - LISTED_MAX} more, in --json")
    return [*present, *lines]


def exception_text(each: OwnPlace) -> str:
    """Return one exception in words."""
    what = f"spread over {each.ways} slots, by event" if each.ways else f"pin to shard-{each.pin:04d}"
    return f"{each.account} ({each.share:.2%} of all events): {what}"


def notes(result: PlanResult) -> list[str]:
    """Return what a reader must know to trust the figures."""
    lines = [
        "ranges are 95 % intervals of the fitted law; errors of the load, of prices and of vCPU scaling come on top"
    ]
    if all(each.measured.latency is None for each in result.curves):
        lines.append("no latency was measured: it is that of full batches, an upper bound; measure with --latency")
    if result.measured_on is None:
        lines.append(
            "measured on a machine that is not in the table of prices: sizes are scaled by the table's vCPU law"
        )
    if any(each.ways for each in result.exceptions):
        lines.append("an account with cumulative prices must stay in one place: leave it out, or plan with --no-spread")
    return lines


def count(shards: Count) -> str:
    """Return a range of shards."""
    low, high = (f"{each:,}" if each else f"more than {SHARDS_MAX:,}" for each in (shards.low, shards.high))
    return low if low == high else f"{low} to {high}"


def _needed(shards: Count | None) -> str:
    return f"more than {SHARDS_MAX:,}" if shards is None else f"{shards.mid:,}"


def estimate(value: Estimate) -> str:
    """Return a rate with its interval."""
    return f"{value.mid:,.0f} ({value.low:,.0f} to {value.high:,.0f})"


def percents(value: Estimate) -> str:
    """Return a share with its interval."""
    return f"{value.mid:.0%} ({value.low:.0%} to {value.high:.0%})"


def money(result: PlanResult, amount: float) -> str:
    """Return an amount in the table's currency, rounded to whole units."""
    return f"{amount:,.0f} {result.currency}"


def due(option: Option, today: date) -> str:
    """Return when the shards must be doubled next."""
    months = option.doubling_months
    if not isfinite(months.mid):
        return "never at this load"
    what = "" if option.doubling_by == "load" else f", for its {option.doubling_by}"
    return (
        f"in {months.mid:.0f} months, {_month(today, months.mid)} ({months.low:.0f} to {months.high:.0f} months){what}"
    )


def _month(today: date, months: float) -> str:
    total = today.year * MONTHS + today.month - 1 + int(min(months, 12_000))
    return f"{total // MONTHS}-{total % MONTHS + 1:02d}" if total // MONTHS <= date.max.year else "in another age"
