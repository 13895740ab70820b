"""Words for prices: what each model multiplies and adds up for one event, step by step.

Owns a sentence for each model; a model that it does not know is told as the product that it is. Must not decide
amounts: what is told here is checked against what the models compute.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import ceil, floor

import attrs

from rules.describe import Step, decimal_words, fraction_text
from rules.price.call import Call, CallTable
from rules.price.cumulative import CumulativePrice
from rules.price.flat import Flat
from rules.price.free_percentage import FreePercentage
from rules.price.graduated import Graduated
from rules.price.model import Price, Work
from rules.price.package import Begun, Package
from rules.price.per_unit import PerUnit
from rules.price.percentage import Percentage
from rules.price.steps import Plans
from rules.price.table import KeyedPrice, TablePrice
from rules.price.tiers import Tier, TieredPrice
from rules.price.volume import Volume
from rules.quote import quoted
from rules.table import TableIndex, key_of

Ask = Callable[[str], str | None]


@attrs.frozen(eq=False)
class Event:
    """What a price sees of one event: its work of one row, the texts, and the names of the book's groups."""

    work: Work
    ask: Ask
    groups: Sequence[str]

    @property
    def billed(self) -> Fraction:
        """The billed quantity."""
        return int(self.work.billed.units[0]) * self.work.billed.ratio


def linear_steps(price: Price, event: Event, times: Fraction, each: Fraction) -> Iterator[Step]:
    """Yield the steps to the exact amount; times, each: the factors that the model gives for it."""
    exact = times * each
    if isinstance(price, Call | CallTable):
        yield from _call(price, event, exact)
    elif isinstance(price, Percentage) and price.fixed:
        base, rate, fixed = _base(price, event), Fraction(price.rate), Fraction(price.fixed)
        assert base * rate + fixed == exact, "a percentage is a share and a fee"
        yield Step("price", _name(price, event), fraction_text(rate))
        yield Step("fee", "for each event", fraction_text(fixed))
        product = f"{fraction_text(base)} x {fraction_text(rate)} + {fraction_text(fixed)}"
        yield Step("exact", product, fraction_text(exact))
    else:
        yield Step("price", _name(price, event), fraction_text(each))
        yield Step("exact", f"{fraction_text(times)} x {fraction_text(each)}", fraction_text(exact))


def cumulative_steps(price: CumulativePrice, before: Fraction, after: Fraction) -> Iterator[Step]:
    """Yield what of a price a use falls into, that brings its counter from `before` to `after`."""
    if isinstance(price, Graduated):
        yield from _graduated(price, before, after)
    elif isinstance(price, Volume):
        for name, quantity in (("before", before), ("after", after)):
            if quantity > 0:
                tier = _tier_of(price, quantity)
                once = f" + {decimal_words(tier.flat)} once" if tier.flat else ""
                cost = quantity * Fraction(tier.unit) + Fraction(tier.flat)
                product = f"{fraction_text(quantity)} x {decimal_words(tier.unit)}{once}"
                yield Step(f"tier {name}", f"{_range(tier)}: {product}", fraction_text(cost))
    elif isinstance(price, Package):
        whole = ceil if price.begun is Begun.UP else floor
        free = f" after {decimal_words(price.free)} free" if price.free else ""
        paid = [max(Fraction(0), one - Fraction(price.free)) for one in (before, after)]
        counts = [whole(one / Fraction(price.size)) for one in paid]
        kind = "begun" if price.begun is Begun.UP else "full"
        how = f"of {decimal_words(price.size)}{free}, {kind}, at {decimal_words(price.price)}: {counts[0]} before"
        yield Step("packages", how, str(counts[1]))
    elif isinstance(price, FreePercentage):
        parts = [f"{price.events} events"] if price.events is not None else []
        parts += [decimal_words(price.amount)] if price.amount is not None else []
        yield Step("free", "what ends first" if len(parts) > 1 else "in a period", " or ".join(parts))
        fee = f" + {decimal_words(price.fixed)}" if price.fixed else ""
        yield Step("price", "of what is not free", f"{decimal_words(price.rate)}{fee}")


def row_text(index: TableIndex, ask: Ask) -> str:
    """Name the row of a table that an event finds: its key, or the prefix that is the longest."""
    key = key_of(index.names, ask)
    row = index.find(key)
    if isinstance(key, str):
        # Of an exact key only the whole is found; of a prefix, the shortest beginning that finds the row is its text.
        beginnings = (key[:length] for length in range(1, len(key) + 1))
        return quoted(next((head for head in beginnings if index.find(head) == row), key))
    return ", ".join(map(quoted, key or ()))


def _name(price: Price, event: Event) -> str:
    if isinstance(price, Flat):
        return "flat, whatever the quantity"
    if isinstance(price, PerUnit):
        return "for each unit"
    if isinstance(price, Percentage):
        return "share of the quantity" if price.of is None else f"share of group {quoted(event.groups[price.of])}"
    if isinstance(price, TablePrice):
        return _cell(price, event)
    return "of its model"


def _cell(price: KeyedPrice, event: Event) -> str:
    table = price.table
    return f"{table.index.file}, column {table.column}, row {row_text(table.index, event.ask)}"


def _base(price: Percentage, event: Event) -> Fraction:
    if price.of is None:
        return event.billed
    return Fraction(int(event.work.charged(price.of)[0]), 10**12)


def _call(price: Call | CallTable, event: Event, exact: Fraction) -> Iterator[Step]:
    """Tell the fee and the increments of each part of a call that the quantity reaches."""
    if isinstance(price, Call):
        plans, plan = Plans.of([price.steps]), 0
    else:
        index = price.table.index
        plans, plan = price.deck.plans, int(event.work.cells(index)[0])
        rate = Fraction(int(price.table.prices.units[plan]), 10**price.table.prices.scale)
        yield Step("rate", _cell(price, event), fraction_text(rate))
    length, money = 10**plans.scale, plans.denominator
    parts = [
        tuple(Fraction(int(units[plan]), one) for units, one in zip(part, (length, length, money, money), strict=True))
        for part in zip(plans.starts, plans.increments, plans.bases, plans.costs, strict=True)
    ]
    total = Fraction(0)
    quantity = event.billed
    for i, (start, increment, base, cost) in enumerate(parts):
        if quantity <= start:
            break
        if i == 0 and base:
            total = base
            yield Step("connect", "once", fraction_text(base))
        end = min(quantity, parts[i + 1][0]) if i + 1 < len(parts) else quantity
        count = ceil((end - start) / increment)
        total += count * cost
        how = f"above {fraction_text(start)}: {count} of {fraction_text(increment)} at {fraction_text(cost)}"
        yield Step("increments", how, fraction_text(count * cost))
    assert total == exact, "the parts of a call make its amount"
    yield Step("exact", "the sum", fraction_text(exact))


def _graduated(price: Graduated, before: Fraction, after: Fraction) -> Iterator[Step]:
    for tier in price.tiers:
        low, high = Fraction(tier.above), after if tier.up_to is None else min(after, Fraction(tier.up_to))
        units = high - max(low, before)
        if units > 0:
            flat = Fraction(tier.flat) if before <= low < after else Fraction(0)
            once = f" + {fraction_text(flat)} once" if flat else ""
            product = f"{fraction_text(units)} x {decimal_words(tier.unit)}{once}"
            yield Step("tier", f"{_range(tier)}: {product}", fraction_text(units * Fraction(tier.unit) + flat))


def _tier_of(price: TieredPrice, quantity: Fraction) -> Tier:
    return next(tier for tier in price.tiers if tier.up_to is None or quantity <= tier.up_to)


def _range(tier: Tier) -> str:
    upper = "" if tier.up_to is None else f" up to {decimal_words(tier.up_to)}"
    return f"above {decimal_words(tier.above)}{upper}"
