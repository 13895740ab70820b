"""Implication: whether one condition holds wherever another does, as far as their structure tells.

Owns that question for pairs of conditions. A `True` is certain; `False` means no or not known.
"""

from collections.abc import Mapping
from decimal import Decimal

from rules.condition import All, Condition, Exists, Not, OneOf, OneOfNumbers, Prefix, Range

_LEAST, _MOST = Decimal("-Infinity"), Decimal("Infinity")


def all_implied(given: Mapping[str, Condition], wanted: Mapping[str, Condition]) -> bool:
    """Tell whether an event that satisfies the conditions `given` certainly satisfies those `wanted`."""
    return all(name in given and implies(given[name], condition) for name, condition in wanted.items())


def implies(given: Condition, wanted: Condition) -> bool:  # noqa: PLR0911 - one answer a kind of condition
    """Tell whether every text, and absence, that satisfies `given` certainly satisfies `wanted`."""
    if given == wanted:
        return True
    if isinstance(wanted, All):
        return all(implies(given, part) for part in wanted.conditions)
    examples = _examples(given)
    if examples is not None:
        return all(map(wanted.holds, examples))
    if isinstance(given, All):
        return any(implies(part, wanted) for part in given.conditions)
    if isinstance(wanted, Not):
        return disjoint(given, wanted.condition)
    if isinstance(wanted, Exists):
        return wanted.present and _present(given)
    if isinstance(given, Prefix) and isinstance(wanted, Prefix):
        return all(prefix.startswith(wanted.prefixes) for prefix in given.prefixes)
    if isinstance(given, OneOfNumbers) and isinstance(wanted, OneOfNumbers | Range):
        return all(wanted.holds(f"{number:f}") for number in given.numbers)
    if isinstance(given, Range) and isinstance(wanted, Range):
        (least, below), (wanted_least, wanted_below) = _bounds(given), _bounds(wanted)
        return wanted_least <= least and below <= wanted_below
    return False


def disjoint(left: Condition, right: Condition) -> bool:  # noqa: PLR0911 - one answer a kind of condition
    """Tell whether certainly no text, nor absence, satisfies both."""
    for one, other in ((left, right), (right, left)):
        examples = _examples(one)
        if examples is not None:
            return not any(map(other.holds, examples))
        if isinstance(one, All):
            return any(disjoint(part, other) for part in one.conditions)
        if isinstance(one, Not):
            # Absence satisfies most negations, so that what is asked must exclude it.
            return implies(other, one.condition)
        if isinstance(one, OneOfNumbers) and isinstance(other, OneOfNumbers | Range):
            return not any(other.holds(f"{number:f}") for number in one.numbers)
    if isinstance(left, Prefix) and isinstance(right, Prefix):
        return not any(a.startswith(b) or b.startswith(a) for a in left.prefixes for b in right.prefixes)
    if isinstance(left, Range) and isinstance(right, Range):
        (least, below), (other_least, other_below) = _bounds(left), _bounds(right)
        return below <= other_least or other_below <= least
    return False


def contradicts_itself(condition: Condition) -> bool:
    """Tell whether certainly nothing satisfies a condition."""
    parts = condition.conditions if isinstance(condition, All) else ()
    return any(disjoint(part, other) for i, part in enumerate(parts) for other in parts[:i])


def _examples(condition: Condition) -> list[str | None] | None:
    """Return everything that satisfies a condition, where that is a list."""
    if isinstance(condition, OneOf):
        return list(condition.texts)
    if isinstance(condition, Exists) and not condition.present:
        return [None]
    if isinstance(condition, Not) and condition.condition == Exists(present=True):
        return [None]
    if isinstance(condition, All):
        for part in condition.conditions:
            examples = _examples(part)
            if examples is not None:
                return [text for text in examples if condition.holds(text)]
    return None


def _present(condition: Condition) -> bool:
    return isinstance(condition, OneOfNumbers | Prefix | Range | Exists) or condition == Not(Exists(present=False))


def _bounds(condition: Range) -> tuple[Decimal, Decimal]:
    least = _LEAST if condition.least is None else condition.least
    return least, _MOST if condition.below is None else condition.below
