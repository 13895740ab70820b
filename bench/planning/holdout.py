"""Hold-out: what measurements say of a configuration that is not among them, beside what it was then measured to do.

Owns the comparison. Must not know how anything is measured.
"""

from collections.abc import Sequence

import attrs
import numpy as np

from bench.planning.accounts import REPRESENTATIVE_MAX, Accounts, Floats, synthetic
from bench.planning.law import Estimate
from bench.planning.measured import MeasurementError, Run
from bench.planning.placement import even_map, place
from bench.planning.sizing import Sizing
from bench.report import aligned
from generators.population import Model, Population


@attrs.frozen
class HeldOut:
    """A configuration: the load at which its fullest shard is full, in events/s, as planned and as measured."""

    configuration: str
    planned: Estimate
    measured: float

    @property
    def off(self) -> float:
        """Return by what part of the plan the measurement differs from it; 0.1 is 10 % more."""
        return self.measured / self.planned.mid - 1


def held_out(sizing: Sizing, run: Run, name: str) -> HeldOut:
    """Compare a saturated run with the plan, both by the load at which the first of its shards has all it can carry.

    sizing: of one shard with the cores that each shard of the run had; name: of the run, in errors.
    Raises: MeasurementError for a run that does not tell what each shard carried.
    """
    run.check(name)
    if run.scenario.rate_per_second is not None or not run.points:
        raise MeasurementError(f"{name}: tells no saturated shards; run again without --rate")
    placement = place(_accounts(run), even_map(run.scenario.shards), sizing.batch)
    rates = np.array(run.shard_events_per_second)
    if np.any((placement.share > 0) & (rates <= 0)):
        raise MeasurementError(f"{name}: a shard applied nothing; measure longer")
    slow, mid, fast = (_full(each, placement.share) for each in sizing.events_per_second(placement.rows))
    return HeldOut(run.scenario.told, Estimate(slow, mid, fast), _full(rates, placement.share))


def _full(carries: Floats, share: Floats) -> float:
    """Return the load, in events/s, at which the first shard carries all it can."""
    busy = share > 0
    return float(np.min(carries[busy] / share[busy]))


def _accounts(run: Run) -> Accounts:
    if run.scenario.model is Model.UNIFORM:
        return synthetic(REPRESENTATIVE_MAX, 0.0)
    if run.scenario.model is Model.HOT_SHARD:
        return synthetic(1, 0.0)
    population = Population(Model.SKEWED)
    return synthetic(population.accounts, run.scenario.exponent or population.exponent)


def holdout_text(found: Sequence[HeldOut]) -> str:
    """Return the comparison as a table."""
    rows = [("configuration", "planned, events/s", "measured", "off")]
    rows += [
        (
            each.configuration,
            f"{each.planned.mid:,.0f} ({each.planned.low:,.0f} to {each.planned.high:,.0f})",
            f"{each.measured:,.0f}",
            f"{each.off:+.1%}",
        )
        for each in found
    ]
    return "\n".join(["the load at which the fullest shard is full, all shards saturated", *aligned(rows)])
