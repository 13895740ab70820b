"""Variants: rules with counters as contracts change them, with other tiers or less a discount.

Owns which there are. The lines of a variant are those of the rule that it stands for; only what its counter costs is
another.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import attrs
import numpy as np

from rules.book import Rule
from rules.columns import MISSING, Int32s, Int64s
from rules.number import TooFineError
from rules.price.cumulative import CumulativePrice
from rules.price.graduated_percentage import GraduatedPercentage
from rules.price.tiers import Tier, TieredPrice
from rules.quote import quoted
from rules.read_list import List

VARIANTS_MAX: Final = 10_000  # different prices with counters; preparing them takes a second

TierLists = Mapping[str, tuple[Tier, ...]]


@attrs.frozen(eq=False)
class Variants:
    """What contracts make of rules with counters.

    terms: int32[k], by row of the file, a number for each different pair of tiers and discount, MISSING for neither;
    rules: the variants; numbers: (terms, index of a rule) -> index of the rule or variant after it, as if `rules` stood
    behind the rules of the book.
    """

    terms: Int32s
    rules: tuple[Rule, ...]
    numbers: Mapping[tuple[int, int], int]


def takes_tiers(rule: Rule) -> bool:
    """Tell whether a rule has tiers of unit prices, which others can take the place of."""
    return isinstance(rule.price, TieredPrice) and not isinstance(rule.price, GraduatedPercentage)


def variants_of(
    read: List, rules: Sequence[Rule], tier_lists: TierLists, of_target: Sequence[Sequence[int]], target: Int64s
) -> Variants:
    """Return the variants that a file makes; of_target: the rules of each target; target: int64[k], by row."""
    texts = [*zip(read.column("tiers"), read.column("discount"), strict=True)]
    known = {pair: number for number, pair in enumerate(dict.fromkeys(texts)) if any(pair)}
    terms = np.array([known.get(pair, MISSING) for pair in texts], dtype=np.int32)
    made: list[Rule] = []
    numbers: dict[tuple[int, int], int] = {}
    for row in _first_rows(terms, target):
        tiers, discount = texts[row]
        for number in of_target[target[row]]:
            key = int(terms[row]), number
            if key in numbers or not isinstance(rules[number].price, CumulativePrice):
                continue
            if len(made) == VARIANTS_MAX:
                read.wrong(
                    row,
                    "discount",
                    f"is one of more than {VARIANTS_MAX} different prices with counters; agree on fewer discounts and "
                    "tiers",
                )
                return Variants(terms, (), {})
            try:
                made.append(_variant(rules[number], tier_lists.get(tiers), discount))
            except TooFineError as error:
                name = quoted(rules[number].id)
                read.wrong(row, "discount", f"makes a price of {name} that cannot be kept: {error}; round the discount")
            else:
                numbers[key] = len(rules) + len(made) - 1
    return Variants(terms, tuple(made), numbers)


def _first_rows(terms: Int32s, target: Int64s) -> Iterator[int]:
    """Yield one row of each pair of terms and target, in order."""
    size = int(target.max()) + 1 if len(target) else 1
    _, first = np.unique(terms.astype(np.int64) * size + target, return_index=True)
    return (row for row in sorted(first.tolist()) if terms[row] != MISSING)


def _variant(rule: Rule, tiers: tuple[Tier, ...] | None, discount: str) -> Rule:
    price = rule.price
    assert isinstance(price, CumulativePrice), "others have no counter"
    if tiers is not None and isinstance(price, TieredPrice):
        price = attrs.evolve(price, tiers=tiers)
    if discount:
        price = price.discounted((100 - Decimal(discount)).scaleb(-2))
    return attrs.evolve(rule, price=price)
