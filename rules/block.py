"""Blocks: rules of one group that are evaluated together, because they look at the same few things.

Owns the cut. Evaluated all together, ten thousand rules of which some look at accounts and others at countries would
see every account in every country as a case of its own; apart, each looks at its own things, and the first one wins.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from math import prod
from typing import Final

from rules.book import Rule
from rules.condition import Condition, OneOf, OneOfNumbers, Prefix, Range, atoms
from rules.price.call import Call
from rules.price.constant import ConstantPrice
from rules.price.cumulative import CumulativePrice
from rules.price.percentage import Percentage
from rules.price.table import KeyedPrice, tables_of

MERGED_MAX: Final = 1 << 16  # cases of a block of several kinds of rules: more would all have to be evaluated once
BLOCKS_MAX: Final = 8  # of a group: each costs a pass over the events

Sight = tuple[Hashable, Hashable]  # what is looked at, and one value that is told apart there


def groups_read(rule: Rule) -> Iterable[int]:
    """Return the earlier groups whose lines decide whether a rule has a price."""
    price = rule.price
    if isinstance(price, ConstantPrice | KeyedPrice | Call):
        return ()
    if isinstance(price, Percentage | CumulativePrice):
        return () if price.of is None else (price.of,)
    return range(rule.group_index)  # a model that does not say


def blocks_of(rules: Sequence[tuple[int, Rule]]) -> list[list[tuple[int, Rule]]]:
    """Cut a group into blocks, each in the order of the book."""
    kinds: dict[frozenset[Hashable], tuple[set[Sight], list[tuple[int, Rule]]]] = {}
    for i, rule in rules:
        sights = set(_sights(rule))
        seen, members = kinds.setdefault(frozenset(thing for thing, _ in sights), (set(), []))
        seen |= sights
        members.append((i, rule))
    blocks: list[tuple[set[Sight], list[tuple[int, Rule]]]] = []
    for seen, members in sorted(kinds.values(), key=lambda kind: -_cases(kind[0])):
        near = min(blocks, key=lambda block: _cases(seen | block[0]), default=None)
        if near and (len(blocks) == BLOCKS_MAX or _cases(seen | near[0]) <= max(MERGED_MAX, _cases(near[0]))):
            near[0].update(seen)
            near[1].extend(members)
        else:
            blocks.append((seen, members))
    return [sorted(members, key=lambda pair: pair[0]) for _, members in blocks]


def _cases(sights: set[Sight]) -> int:
    """Return how many combinations there are at most of what is told apart, and of anything else."""
    return prod(count + 1 for count in Counter(thing for thing, _ in sights).values())


def _sights(rule: Rule) -> Iterable[Sight]:
    for name, condition in rule.when.items():
        yield name, None
        yield from ((name, value) for value in _values(condition))
    yield from ((table, None) for table in tables_of([rule.price]))
    yield from (((), end) for end in (rule.from_us, rule.until_us) if end is not None)
    yield from ((group, None) for group in groups_read(rule))


def _values(condition: Condition) -> Iterable[Hashable]:
    for test in atoms(condition):
        if isinstance(test, OneOf):
            yield from test.texts
        elif isinstance(test, Prefix):
            yield from test.prefixes
        elif isinstance(test, OneOfNumbers):
            yield from test.numbers
        elif isinstance(test, Range):
            yield from ((test, end) for end in (test.least, test.below))
