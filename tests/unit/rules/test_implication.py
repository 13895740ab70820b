"""Implication of conditions: what is claimed is true of every text, and the plain cases are seen."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.condition import All, Condition, Exists, Not, OneOf, OneOfNumbers, Prefix, Range
from rules.implication import all_implied, contradicts_itself, disjoint, implies

# Every text of up to three of these characters, and absence: enough to tell all conditions below apart.
MARKS = ("0", "1", "2", "a")
TEXTS: list[str | None] = [None, "", *MARKS, *(x + y for x in MARKS for y in MARKS)]
TEXTS += [x + y + z for x in MARKS for y in MARKS for z in MARKS]

_texts = st.sampled_from([text for text in TEXTS if text and len(text) < 3])
_numbers = st.sampled_from([Decimal(n) for n in (0, 1, 2, 5, 11, 12, 20, 121)])


def _range(bounds: tuple[Decimal, Decimal]) -> Range:
    return Range(min(bounds), None if bounds[0] == bounds[1] else max(bounds))


_atoms = st.one_of(
    st.frozensets(_texts, min_size=1, max_size=3).map(OneOf),
    st.lists(_texts, min_size=1, max_size=2).map(tuple).map(Prefix),
    st.frozensets(_numbers, min_size=1, max_size=2).map(OneOfNumbers),
    st.tuples(_numbers, _numbers).map(_range),
    st.booleans().map(Exists),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    _atoms,
    lambda inner: st.one_of(inner.map(Not), st.lists(inner, min_size=2, max_size=3).map(tuple).map(All)),
    max_leaves=4,
)


@given(CONDITIONS, CONDITIONS)
def test_what_is_claimed_is_true(left: Condition, right: Condition) -> None:
    """A rule that does win would be called unreachable, and somebody would remove it."""
    if implies(left, right):
        assert [text for text in TEXTS if left.holds(text) and not right.holds(text)] == []
    if disjoint(left, right):
        assert [text for text in TEXTS if left.holds(text) and right.holds(text)] == []
    if contradicts_itself(left):
        assert [text for text in TEXTS if left.holds(text)] == []


US, PREFIX = OneOf(frozenset({"US"})), Prefix(("+1",))
YES, NO = Exists(present=True), Exists(present=False)


@pytest.mark.parametrize(
    ("given_one", "wanted"),
    [
        (US, OneOf(frozenset({"US", "PR"}))),
        (US, Prefix(("U",))),
        (US, Not(OneOf(frozenset({"PR"})))),
        (US, YES),
        (Prefix(("+12", "+13")), PREFIX),
        (Prefix(("+4",)), Not(PREFIX)),
        (PREFIX, YES),
        (NO, Not(US)),
        (Not(YES), Not(PREFIX)),
        (Not(NO), YES),
        (Not(PREFIX), Not(Prefix(("+12",)))),
        (Range(Decimal(2), Decimal(3)), Range(Decimal(1), None)),
        (Range(Decimal(2), Decimal(3)), Not(Range(Decimal(3), Decimal(4)))),
        (OneOfNumbers(frozenset({Decimal("1.5")})), Range(None, Decimal(2))),
        (All((PREFIX, Not(Prefix(("+1900",))))), PREFIX),
        (PREFIX, All((PREFIX, YES))),
        (All((OneOf(frozenset({"+1", "+2"})), PREFIX)), OneOf(frozenset({"+1"}))),
    ],
)
def test_the_plain_cases_are_seen(given_one: Condition, wanted: Condition) -> None:
    """A rule that never wins would not be found."""
    assert implies(given_one, wanted)


@pytest.mark.parametrize(
    "condition",
    [
        All((PREFIX, Prefix(("+2",)))),
        All((US, Not(US))),
        All((PREFIX, Not(Prefix(("+",))))),
        All((Range(Decimal(1), Decimal(2)), Range(Decimal(2), Decimal(3)))),
        All((NO, PREFIX)),
    ],
)
def test_contradictions_are_seen(condition: Condition) -> None:
    """A rule that nothing satisfies would not be found."""
    assert contradicts_itself(condition)


def test_conditions_of_events_imply_name_by_name() -> None:
    """A rule without a condition on an attribute would count as one that has it."""
    assert all_implied({"country": US, "to": PREFIX}, {"to": YES})
    assert all_implied({"country": US}, {})
    assert not all_implied({"country": US}, {"to": NO})
    assert not all_implied({}, {"to": NO})
