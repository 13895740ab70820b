"""Properties of cumulative prices: they are exact, and what a period costs does not depend on order or batches."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from generators.oracle_book import EXACT, Counters
from generators.oracle_event import Event, RejectedError
from generators.oracle_files import load as oracle_load
from generators.oracle_period import period_of
from rules.book import Book
from rules.columns import Decimals
from rules.cumulative import Used, settle
from rules.period import Per, Unit, starts
from rules.pricer import Pricer
from tests.examples import examples
from tests.rulebooks import TIME_US, Ledger, lines_of, rules_of, usage_of

DAY_US = 86_400_000_000

QUANTITIES = st.one_of(
    st.integers(0, 40),
    st.decimals(0, 40, places=2, allow_nan=False),
    st.decimals(0, 3, places=12, allow_nan=False),
    st.integers(0, 10**14),
)
BOUNDS = st.one_of(st.integers(1, 60), st.decimals(Decimal("0.01"), 60, places=2), st.integers(1, 10**15)).filter(bool)
PRICES = st.one_of(
    st.integers(-3, 9),
    st.decimals(-2, 9, places=4, allow_nan=False),
    st.decimals(0, 1, places=24, allow_nan=False),
)


def _text(number: object) -> str:
    return f'"{number:f}"' if isinstance(number, Decimal) else f'"{number}"'


@st.composite
def tiers(draw: st.DrawFn, unit: str) -> str:
    ends = sorted(draw(st.sets(BOUNDS, max_size=4)))
    parts = []
    for end in [*ends, None]:
        keys = draw(st.sampled_from([(unit,), ("flat",), (unit, "flat")]))
        parts.append([f"{key}: {_text(draw(PRICES))}" for key in keys])
        if end is not None:
            parts[-1].append(f"up_to: {_text(end)}")
    return f"[{', '.join('{' + ', '.join(part) + '}' for part in parts)}]"


PERIODS = st.sampled_from(
    [
        "month",
        "day",
        "ever",
        "{month: {anchor: 31, zone: America/New_York}}",
        "{month: {anchor: {attribute: day}}}",
        "{year: {anchor: 02-29}}",
        "{hour: {zone: Asia/Kathmandu}}",
    ]
)


@st.composite
def curves(draw: st.DrawFn) -> str:
    """Return a price that does not depend on the order of events."""
    per = draw(PERIODS)
    model = draw(st.sampled_from(["graduated", "volume", "package", "allowance", "graduated_percentage"]))
    if model == "package":
        more = draw(st.sampled_from(["", ", round: down"]))
        free, size = _text(draw(QUANTITIES)), _text(draw(BOUNDS))
        return f"{{package: {{per: {per}, price: {_text(draw(PRICES))}, size: {size}, free: {free}{more}}}}}"
    if model == "allowance":
        return f"{{allowance: {{per: {per}, free: {_text(draw(QUANTITIES))}, unit: {_text(draw(PRICES))}}}}}"
    unit = "rate" if model == "graduated_percentage" else "unit"
    return f"{{{model}: {{per: {per}, tiers: {draw(tiers(unit))}}}}}"


@st.composite
def free_percentages(draw: st.DrawFn) -> str:
    free = draw(st.sampled_from(["free_events: {n}", "free_amount: {a}", "free_events: {n}, free_amount: {a}"]))
    free = free.format(n=draw(st.integers(1, 5)), a=_text(draw(BOUNDS)))
    rate, fixed = _text(draw(PRICES)), _text(draw(PRICES))
    return f"{{percentage: {{per: {draw(PERIODS)}, rate: {rate}, fixed: {fixed}, {free}}}}}"


ROUNDINGS = st.sampled_from(["", ", round: {places: 2}", ", round: {places: 3, mode: up}", ", round: {mode: half_up}"])
CAPS = st.sampled_from(["", "", ", per_period: {maximum: 100}", ", per_period: {minimum: 3, maximum: 5}"])
BOUNDED = st.sampled_from(["", ", minimum: 1", ", maximum: 2", ", minimum: 0, maximum: 30"])
LINEAR = st.sampled_from(
    [
        'price: {per_unit: "0.37"}, minimum: 1, per_period: {per: month, maximum: 20}',
        'price: {percentage: {rate: "-0.37", fixed: "0.105"}}, per_period: {per: day, maximum: 3}, round: {places: 2}',
        "price: {flat: 3}, per_period: {per: {hour: {zone: Europe/Berlin}}, minimum: 10}",
    ]
)


def _without_endless_minimum(rule: str) -> str:
    return rule.replace("minimum: 3, ", "") if "per: ever" in rule else rule  # is refused: it would never be due


CUMULATIVE = st.builds("price: {}{}{}".format, curves(), ROUNDINGS, CAPS).map(_without_endless_minimum)
ORDERED = st.builds("price: {}{}{}{}".format, st.one_of(curves(), free_percentages()), ROUNDINGS, CAPS, BOUNDED).map(
    _without_endless_minimum
)

EVENTS = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["a", "b"]),
        "time_us": st.integers(TIME_US, TIME_US + 70 * DAY_US),
        "quantity": QUANTITIES.map(str),
        "product": st.sampled_from(["p0", "p1", "p2"]),
        "day": st.sampled_from(["1", "1", "15", "31", "0", None]),
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("book")


def _book(folder: Path, rules: Sequence[str]) -> Book:
    return rules_of(folder, *(f"when: {{product: p{i}}}, {rule}" for i, rule in enumerate(rules)))


def _engine(book: Book, batches: Sequence[Sequence[Any]]) -> tuple[list[object], Ledger]:
    """Price and settle batches; returns, for each event in turn, its rejection or its rule, quantity and amount."""
    ledger, pricer = Ledger(book), Pricer(book)
    found: list[object] = []
    for batch in batches:
        priced = pricer.price(usage_of(book, batch))
        outcome: dict[int, object] = {reject.event: reject.reason for reject in priced.rejects}
        outcome |= {line[0]: line[1:] for line in lines_of(book, ledger.charge(priced))}
        found += [outcome[row] for row in range(len(batch))]
    return found, ledger


def _oracle(folder: Path, events: Sequence[Any]) -> tuple[list[object], Counters]:
    counters = Counters(oracle_load(folder / "book.yaml"))
    found: list[object] = []
    for row in events:
        attributes = {} if row["day"] is None else {"day": row["day"]}
        event = Event("e", row["account"], row["product"], row["time_us"], Decimal(row["quantity"]), attributes)
        try:
            (line,) = counters.settle(counters.book.lines(event))
        except RejectedError as error:
            found.append(error.reason)
        else:
            found.append((line.rule, line.account, _plain(line.quantity), _plain(line.amount)))
    return found, counters


def _plain(number: Decimal) -> str:
    return f"{number.normalize(EXACT):f}" if number else "0"


def _states(counters: Counters) -> dict[object, object]:
    return {
        key: (int(EXACT.scaleb(state.quantity, 12)), state.events, int(EXACT.scaleb(state.amount, 12)))
        for key, state in counters.states.items()
    }


@examples(300)
@given(
    rules=st.lists(st.one_of(CUMULATIVE, ORDERED, LINEAR), min_size=3, max_size=3),
    events=st.lists(EVENTS, max_size=25),
    cuts=st.sets(st.integers(0, 25)),
)
def test_every_amount_is_what_the_oracle_says(
    folder: Path, rules: list[str], events: list[Any], cuts: set[int]
) -> None:
    """A charge, or what its counter remembers, would be off by one in some place, or depend on batches."""
    book = _book(folder, rules)
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    found, ledger = _engine(book, [events[a:b] for a, b in pairwise(edges)])
    expected, counters = _oracle(folder, events)
    assert found == expected
    assert {key: (int(q * 10**12), n, amount) for key, (q, n, amount) in ledger.used.items()} == _states(counters)


@examples(150)
@given(
    rules=st.lists(st.one_of(CUMULATIVE, LINEAR), min_size=3, max_size=3),
    events=st.lists(EVENTS, max_size=25),
    cuts=st.sets(st.integers(0, 25)),
    data=st.data(),
)
def test_order_and_batches_change_no_total(
    folder: Path, rules: list[str], events: list[Any], cuts: set[int], data: st.DataObject
) -> None:
    """Two workers that read the same log at different speeds would make different bills."""
    book = _book(folder, rules)
    order = data.draw(st.permutations(range(len(events))))
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    _, ledger = _engine(book, [[events[i] for i in order[a:b]] for a, b in pairwise(edges)])
    _, counters = _oracle(folder, events)
    for key, state in counters.states.items():
        tariff = counters.book.tariffs[key[1]]
        assert tariff.curve is not None
        # The total is C of all that has been used, computed at once.
        total = tariff.rounded(tariff.curve(state.quantity))
        total = total if tariff.cap is None else min(total, tariff.cap)
        start = tariff.rounded(tariff.curve(Decimal(0)))
        assert ledger.used[key][2] == int(EXACT.scaleb(EXACT.subtract(total, start), 12))


@examples(150)
@given(
    rules=st.lists(st.one_of(CUMULATIVE, ORDERED, LINEAR), min_size=3, max_size=3),
    uses=st.lists(st.tuples(st.integers(0, 3), QUANTITIES.map(lambda q: int(Decimal(q) * 10**12))), max_size=20),
    held=st.lists(st.tuples(QUANTITIES, st.integers(0, 9)), min_size=4, max_size=4),
)
def test_python_integers_settle_as_int64_does(
    folder: Path, rules: list[str], uses: list[tuple[int, int]], held: list[tuple[Any, int]]
) -> None:
    """One huge counter in a batch would change what the other accounts pay."""
    book = _book(folder, rules)
    rule = np.array([0, 1, 2, 0], dtype=np.int32)
    before = Used(
        Decimals.of_integers([int(Decimal(quantity) * 10**12) for quantity, _ in held], 12),
        np.array([events for _, events in held], dtype=np.int64),
        Decimals.of_integers([0] * 4, 12),
    )
    counter, use = np.array([c for c, _ in uses], dtype=np.int32), Decimals.of_integers([u for _, u in uses], 12)
    plain = settle(book, rule, before, counter, use)
    wide = attrs.evolve(
        before, quantity=_wide(before.quantity), amount=Decimals(before.amount.units.astype(object), 12)
    )
    other = settle(book, rule, wide, counter, _wide(use))
    assert [int(one) for one in plain.amount.units] == [int(one) for one in other.amount.units]
    for mine, theirs in ((plain.used.quantity, other.used.quantity), (plain.used.amount, other.used.amount)):
        scale = max(mine.scale, theirs.scale)
        assert mine.rescaled(scale).units.tolist() == theirs.rescaled(scale).units.tolist()
    assert plain.used.events.tolist() == other.used.events.tolist()


def _wide(column: Decimals) -> Decimals:
    return Decimals(column.units.astype(object), column.scale)


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Gaza",
]


@example(unit="day", zone="America/Havana", day=1, seconds=[1_793_592_000])  # since 2026 no clocks are put back there
@examples(300)
@given(
    unit=st.sampled_from(["hour", "day", "month", "year"]),
    zone=st.sampled_from(ZONES),
    day=st.integers(1, 31),
    seconds=st.lists(st.integers(946_684_800, 4_102_444_799), min_size=1, max_size=8),
)
def test_periods_begin_when_the_oracle_says(unit: str, zone: str, day: int, seconds: list[int]) -> None:
    """An event near a change of clocks would count in the neighbouring period."""
    per = Per(Unit(unit), zone)
    options: dict[str, object] = {"zone": zone}
    if unit == "month":
        per, options = attrs.evolve(per, day=day), {**options, "anchor": day}
    found, _ = starts(per, np.array(seconds, dtype=np.int64) * 1_000_000, None)
    of = period_of({unit: options})
    assert found.tolist() == [of(Event("e", "a", "p", second * 1_000_000, Decimal(1), {})) for second in seconds]
