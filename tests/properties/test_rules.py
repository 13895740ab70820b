"""Properties of pricing: the same event and book give the same lines, whatever surrounds them, and they are exact."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.book import Book
from rules.columns import Usage
from rules.price.rounding import Mode, Rounding, rounded_product
from rules.pricer import Pricer
from tests.examples import examples
from tests.rulebooks import TIME_US, Line, book_of, lines_of, usage_of

CHARGES = """
charges:
- group: usage
  rules:
  - {id: dated, when: {to: {prefix: ["+1", "+44"]}}, from: 2026-01-02, price: {per_unit: "0.0079"}}
  - id: voice
    when: {product: voice}
    quantity: {round_up_to: 60, per: 60, minimum: 1}
    price: {table: {file: rates.csv, longest_prefix: to, column: price}}
  - id: model
    when: {n: {min: 1, max: 100}}
    quantity: {of: n, per: 7}
    price: {table: {file: models.csv, key: [model, product], column: price}}
    round: {places: 6, mode: half_up}
  - {id: tiny, when: {product: [sms, voice], quantity: {max: 5}}, price: {per_unit: "0.000000000000000000000123"}}
  - {id: bounded, when: {product: sms}, price: {per_unit: "0.333333333333333333"}, minimum: "0.5", maximum: 1000000}
  - {id: absent, when: {to: {exists: false}, model: {not: nova}}, price: {per_unit: "123456789.123"}}
- group: share
  rules:
  - id: share
    when: {reseller: {exists: true}}
    charge: {attribute: reseller}
    price: {percentage: {of: usage, rate: "-0.0725"}}
"""
TABLES = {
    "rates": "prefix,price\n+1,0.014\n+12,0.02\n+449,\n+4,0.1\n",
    "models": "model,product,price\nnova,sms,0.0000006\nnova,voice,\npalmyra,sms,0.00125\n",
}

NUMBERS = st.one_of(
    st.integers(0, 200).map(str),
    st.decimals(0, 10, places=12, allow_nan=False).map(str),
    st.integers(0, 10**26).map(str),
)
EVENTS = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["a", "b", "c"]),
        "product": st.sampled_from(["sms", "voice", "fax"]),
        "time_us": st.integers(TIME_US - 1, TIME_US + 2 * 86_400_000_000),
        "quantity": st.one_of(NUMBERS, st.just("-1")),
        "to": st.sampled_from([None, "+1", "+12", "+125", "+447", "+4490", "+49", ""]),
        "n": st.one_of(st.none(), NUMBERS, st.sampled_from(["", "x", "1e1", "0.5"])),
        "model": st.sampled_from([None, "nova", "palmyra"]),
        "reseller": st.sampled_from([None, None, "a", "r", "no account"]),
        "currency": st.sampled_from([None, None, None, "USD", "EUR"]),
    }
)

Outcome = tuple[list[Line], list[tuple[int, str, str]]]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Return a book with every model and condition."""
    return book_of(tmp_path_factory.mktemp("book"), CHARGES, **TABLES)


@pytest.fixture(scope="module")
def pricer(book: Book) -> Pricer:
    """Return a pricer that has seen every example before."""
    return Pricer(book)


def _outcome(pricer: Pricer, usage: Usage) -> Outcome:
    priced = pricer.price(usage)
    rejects = [(reject.event, reject.reason, reject.detail) for reject in priced.rejects]
    return lines_of(pricer.book, priced), rejects


def _each(pricer: Pricer, batches: Sequence[Sequence[Any]]) -> list[object]:
    """Price batches and return, for each event in turn, its lines and its reject without their row."""
    found: list[object] = []
    for batch in batches:
        lines, rejects = _outcome(pricer, usage_of(pricer.book, batch))
        found += [
            ([line[1:] for line in lines if line[0] == row], [reject[1:] for reject in rejects if reject[0] == row])
            for row in range(len(batch))
        ]
    return found


@examples(150)
@given(events=st.lists(EVENTS, max_size=12), cuts=st.sets(st.integers(0, 12)), data=st.data())
def test_batches_do_not_matter(pricer: Pricer, events: list[Any], cuts: set[int], data: st.DataObject) -> None:
    """Replaying the log in other batches, or in another order, would give other balances."""
    whole = _each(pricer, [events])
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    assert _each(pricer, [events[a:b] for a, b in pairwise(edges)]) == whole
    order = data.draw(st.permutations(range(len(events))))
    assert _each(pricer, [[events[i] for i in order]]) == [whole[i] for i in order]
    # Each event alone, evaluated without any memo, finds the same.
    assert [_each(Pricer(pricer.book), [[event]])[0] for event in events] == whole


@examples(100)
@given(events=st.lists(EVENTS, min_size=1, max_size=12))
def test_every_event_has_lines_or_one_reject(pricer: Pricer, events: list[Any]) -> None:
    """An event would be billed and quarantined, or neither."""
    for lines, rejects in _each(pricer, [events]):  # type: ignore[misc]
        assert (len(lines) > 0) != (len(rejects) > 0)
        assert len(rejects) <= 1


@examples(150)
@given(events=st.lists(EVENTS, max_size=12))
def test_python_integers_give_what_int64_gives(pricer: Pricer, events: list[Any]) -> None:
    """A batch with one huge number would be charged by another arithmetic."""
    usage = usage_of(pricer.book, events)
    wide = attrs.evolve(usage, quantity=attrs.evolve(usage.quantity, units=usage.quantity.units.astype(object)))
    assert _outcome(pricer, wide) == _outcome(pricer, usage)
    if usage.quantity.scale < 24:
        finer = attrs.evolve(usage, quantity=usage.quantity.rescaled(24))
        assert _outcome(pricer, finer) == _outcome(pricer, usage)


@examples(100)
@given(
    left=st.lists(st.one_of(st.integers(-50, 50), st.integers(-(2**63), 2**63 - 1)), max_size=6),
    right=st.one_of(st.integers(-50, 50), st.integers(-(10**40), 10**40)),
    ratio=st.fractions(min_value=Fraction(1, 10**40), max_value=10**6),
    places=st.integers(0, 12),
    mode=st.sampled_from([*Mode]),
)
def test_rounding_is_what_decimal_says(left: list[int], right: int, ratio: Fraction, places: int, mode: Mode) -> None:
    """An amount would be off by one in its last place, or wrap around."""
    words = {"half_even": "ROUND_HALF_EVEN", "half_up": "ROUND_HALF_UP", "up": "ROUND_UP", "down": "ROUND_DOWN"}
    found = rounded_product(np.array(left, dtype=np.int64), np.array([right]), ratio, Rounding(places, mode))
    for i, amount in zip(left, found.tolist(), strict=True):
        exact = i * right * ratio * 10**places
        # Half a step on either side of an integer decides; a remainder elsewhere is shortened to a quarter.
        floor, rest = exact.numerator // exact.denominator, exact % 1
        digit = next(d for d, bound in ((0, Fraction(0)), (Decimal("0.25"), Fraction(1, 2)), (1, 1)) if rest <= bound)
        digit = Decimal("0.5") if rest == Fraction(1, 2) else Decimal("0.75") if digit == 1 else Decimal(digit)
        with localcontext() as context:
            context.prec = 200
            rounded = (Decimal(floor) + digit).to_integral_value(words[mode])
        assert amount == int(rounded) * 10 ** (12 - places)


@examples(100)
@given(quantity=st.decimals(0, 10**13, places=12, allow_nan=False), price=st.decimals(-1000, 1000, places=24))
def test_a_unit_price_is_what_decimal_says(tmp_path_factory: Any, quantity: Decimal, price: Decimal) -> None:
    """The simplest bill would differ from a calculator's."""
    folder: Path = tmp_path_factory.getbasetemp()
    charges = f'charges: [{{group: usage, rules: [{{id: r, price: {{per_unit: "{price:f}"}}}}]}}]\n'
    book = book_of(folder, charges)
    lines = Pricer(book).price(usage_of(book, [{"quantity": f"{quantity:f}"}])).lines
    with localcontext() as context:
        context.prec = 200
        exact = (quantity * price).quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
        assert int(exact.scaleb(12)) == int(lines.amount.units[0])
