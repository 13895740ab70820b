"""Calls: connect fees, increments and intervals, worked by hand and against the oracle."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from rules.errors import BookError
from tests.rulebooks import amounts, price, reasons, rules_of

MINUTE = 'connect: "0.4", rate: "0.2", unit: 60'


def _amounts(folder: Path, call: str, quantities: Sequence[object], **tables: str) -> list[str]:
    book = rules_of(folder, f"price: {{call: {{{call}}}}}", **tables)
    return amounts(book, *({"quantity": quantity, "to": "+441"} for quantity in quantities))


@pytest.mark.parametrize(
    ("call", "cases"),
    [
        # Whole minutes.
        ('rate: "0.06", unit: 60, increments: 60/60', {0: "0", 1: "0.06", 60: "0.06", 61: "0.12", 120: "0.12"}),
        ('rate: "0.06", unit: 60, increments: 60', {0: "0", 1: "0.06", 60: "0.06", 61: "0.12"}),
        # A minute at least, then seconds.
        ('rate: "0.06", unit: 60, increments: 60/1', {1: "0.06", 59: "0.06", 61: "0.061", 119: "0.119"}),
        # Half a minute, then started six seconds.
        ('rate: "0.06", unit: 60, increments: 30/6', {1: "0.03", 30: "0.03", 31: "0.036", 36: "0.036", 37: "0.042"}),
        # Seconds unless it says otherwise; parts of one count as one.
        ('rate: "0.06", unit: 60', {1: "0.001", "1.5": "0.002", "59.000001": "0.06"}),
        ('rate: "0.5"', {3: "1.5"}),
        ('rate: 6, increments: "0.5/0.1"', {"0.01": "3", "0.5": "3", "0.51": "3.6", "0.6": "3.6"}),
        # A first increment shorter than the next.
        ('rate: "0.06", unit: 60, increments: 6/60', {6: "0.006", 7: "0.066", 66: "0.066", 67: "0.126"}),
        # The fee is charged once, and only if there was a call.
        (f"{MINUTE}, increments: 60", {0: "0", "0.000000000001": "0.6", 60: "0.6", 61: "0.8"}),
        ('connect: "-0.1", rate: "0.01"', {5: "-0.05", 10: "0"}),
        # Half the rate, by the second, after a minute.
        (
            f'{MINUTE}, increments: 60, then: [{{after: 60, rate: "0.12", increments: 1}}]',
            {1: "0.6", 60: "0.6", 61: "0.602", 120: "0.72", 3600: "7.68"},
        ),
        # Unit and increment stay what they are unless an interval changes them.
        (
            'rate: "0.6", unit: 60, increments: 60/30, then: [{after: 120, rate: "0.3"}, {after: 180, rate: 1, unit: 1}]',  # noqa: E501
            {60: "0.6", 61: "0.9", 120: "1.2", 121: "1.35", 150: "1.35", 151: "1.5", 181: "31.5", 211: "61.5"},
        ),
        # The increment that an interval begins in is charged in full at its own rate: 50 is in the second half minute.
        (
            'rate: "0.6", unit: 60, increments: 30, then: [{after: 50, rate: "0.06", increments: 10}]',
            {30: "0.3", 31: "0.6", 55: "0.6", 60: "0.6", 61: "0.61", 71: "0.62"},
        ),
        # It may hide a whole interval,
        (
            'rate: "0.6", unit: 60, increments: 60, then: [{after: 20, rate: 9}, {after: 40, rate: "0.06", increments: 1}]',  # noqa: E501
            {1: "0.6", 60: "0.6", 61: "0.601"},
        ),
        (
            'rate: "0.6", unit: 60, increments: 60, then: [{after: 20, rate: 9, increments: 1}, {after: 40, rate: "0.06"}]',  # noqa: E501
            {1: "0.6", 60: "0.6", 61: "0.601"},
        ),
        # also one that is hidden before its own first increment has ended;
        (
            'rate: "0.6", unit: 60, increments: 6, then: [{after: 1, rate: 9, increments: 6/1}, {after: 2, rate: "0.06"}]',  # noqa: E501
            {1: "0.06", 6: "0.06", 7: "0.061", 8: "0.062"},
        ),
        # and a first increment may hide the next ones.
        (
            'rate: "0.6", unit: 60, increments: 60/6, then: [{after: 20, rate: "0.06", increments: 30/1}]',
            {1: "0.6", 60: "0.6", 61: "0.601", 90: "0.63"},
        ),
        ('rate: "0.6", unit: 60, increments: 60, then: [{after: 20, rate: "0.06", increments: 90/1}]', {61: "0.69"}),
        # No increment, unit or amount has to be a round number.
        ("rate: 1, unit: 7, increments: 2", {1: "0.285714285714", 7: "1.142857142857"}),
    ],
)  # fmt: skip
def test_amounts(tmp_path: Path, call: str, cases: dict[object, str]) -> None:
    """A call would be billed a second, a minute or a fee too much or too little."""
    assert dict(zip(cases, _amounts(tmp_path, call, [*cases]), strict=True)) == cases
    # One at a time: columns of another scale and width.
    assert {quantity: _amounts(tmp_path, call, [quantity])[0] for quantity in cases} == cases


def test_what_the_line_shows_is_the_calls_own_length(tmp_path: Path) -> None:
    """A statement would show another length than the caller's telephone did."""
    book = rules_of(
        tmp_path,
        'when: {product: ms}, quantity: {of: ms, per: 1000}, price: {call: {rate: "0.06", unit: 60, increments: 60/1}}',
        "quantity: {minimum: 30}, price: {call: {rate: 1, increments: 6}}, round: {places: 0, mode: up}, maximum: 40",
    )
    events = [
        {"product": "ms", "ms": "60001"},
        {"quantity": 7},
        {"quantity": "37.5"},
        {"quantity": 99},
        {"quantity": 0},
    ]
    assert [line[1:2] + line[3:] for line in price(book, *events)] == [
        ("r0", "60.001", "0.061"),
        ("r1", "30", "30"),
        ("r1", "37.5", "40"),
        ("r1", "99", "40"),
        ("r1", "30", "30"),
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("half_even", ["0.02", "0.04", "0.02"]),
        ("half_up", ["0.03", "0.04", "0.02"]),
        ("up", ["0.03", "0.04", "0.03"]),
        ("down", ["0.02", "0.03", "0.02"]),
    ],
)
def test_the_whole_amount_is_rounded_once(tmp_path: Path, mode: str, expected: list[str]) -> None:
    """A fraction of a cent would be gained or lost in every increment of a call."""
    call = 'call: {connect: "0.02", rate: "0.05", unit: 60}'
    book = rules_of(tmp_path, f"price: {{{call}}}, round: {{places: 2, mode: {mode}}}")
    # 0.025; 0.035 and a little; 0.0208333...
    assert amounts(book, {"quantity": 6}, {"quantity": 19}, {"quantity": 1}) == expected


DECK = """prefix,destination,per_minute,fee,seconds,first,next
+44,"United Kingdom, fixed",0.0150,,,60,
+441,Bristol,0.0300,0.05,60,30,6
+4477,Mobile,0.5,"",1,,1
+449,Premium,,9,,,
+1,America,0.006,-0.001,3600,,60
"""
COLUMNS = "file: deck.csv, longest_prefix: to, rate: per_minute"


def test_a_row_has_the_terms_and_the_call_those_that_it_lacks(tmp_path: Path) -> None:
    """A rate card's increments, fees or units would be those of another destination."""
    book = rules_of(
        tmp_path,
        f"price: {{call: {{table: {{{COLUMNS}, connect: fee, unit: seconds, first: first, next: next}}, unit: 60,"
        f' connect: "0.01", increments: 6/3}}}}',
        'price: {flat: "7"}',
        deck=DECK,
    )
    cases = [
        ("+442", 1, "0.025"), ("+442", 61, "0.02575"), ("+442", 64, "0.0265"), ("+442", 0, "0"),
        ("+4411", 1, "0.065"), ("+4411", 31, "0.068"), ("+4411", "36.1", "0.071"),
        ("+44771", 1, "3.01"), ("+44771", "6.5", "3.51"),
        ("+4491", 60, "7"), ("+33", 60, "7"),
        ("+1", 6, "-0.00099"), ("+1", 7, "-0.00089"),
    ]  # fmt: skip
    events = [{"to": to, "quantity": quantity} for to, quantity, _ in cases]
    assert amounts(book, *events) == [amount for _, _, amount in cases]
    assert [amounts(book, event)[0] for event in events] == [amount for _, _, amount in cases]
    assert reasons(book, {"to": "+1", "quantity": "1e26"})[0][1] == "bad_quantity"


def test_a_deck_of_rates_alone_is_priced_by_the_calls_own_terms(tmp_path: Path) -> None:
    """A plain rate card could not be sold by the started minute."""
    call = f'table: {{{COLUMNS}}}, connect: "0.1", unit: 60, increments: 60'
    assert _amounts(tmp_path, call, [1, 61], deck=DECK) == ["0.13", "0.16"]
    # Keyed by equal texts as well.
    keyed = "table: {file: deck.csv, key: [to], rate: rate}"
    assert _amounts(tmp_path, keyed, [2], deck="to,rate\n+441,0.25\n") == ["0.5"]


def test_numbers_beyond_int64_are_exact(tmp_path: Path) -> None:
    """A long call at a tiny price would wrap around, or spoil the others of its batch."""
    call = (
        'connect: "0.000000000000000000000001", rate: "0.333333333333333333333333", unit: "0.7", increments: "0.000001"'
    )
    quantities = [1, "12345678901234567890.123456789012", 2]
    expected = ["0.47619047619", "5878894714873603757.201640311581", "0.952380952381"]
    assert _amounts(tmp_path, call, quantities) == expected
    deck = "to,rate,unit\n+441,0.333333333333333333333333,0.7\n+2,12345678901234567890,9\n"
    keyed = 'table: {file: deck.csv, key: [to], rate: rate, unit: unit}, increments: "0.000001"'
    assert _amounts(tmp_path, keyed, quantities, deck=deck) == expected


@pytest.mark.parametrize(
    ("call", "problems"),
    [
        ("unit: 60", ["price.call: must have either rate or table; keep one of them"]),
        (f"rate: 1, table: {{{COLUMNS}}}", ["price.call: must have either rate or table; keep one of them"]),
        ("rate: 0.01", ['price.call.rate: 0.01 is a float to YAML and may lose digits; write "0.01"']),
        ("rate: 1, unit: 0", ["price.call.unit: 0 is not above 0; write a number above 0"]),
        ("rate: 1, increment: 6", ['price.call.increment: unknown key "increment"; did you mean "increments"?']),
        (
            "rate: 1, increments: 60/0",
            ['price.call.increments: "60/0" is no increment; write the first and the next above 0, such as 60/1'],
        ),
        (
            "rate: 1, increments: 60/1/1",
            ['price.call.increments: "60/1/1" is no increment; write the first and the next above 0, such as 60/1'],
        ),
        (
            "rate: 1, then: [{after: 60, rate: 1}, {after: 60, rate: 2}, {rate: 3}]",
            [
                "price.call.then[1].after: 60 is not above 60; write the intervals in order",
                'price.call.then[2]: the key "after" is missing; add it',
            ],
        ),
        ("rate: 1, then: [{after: 0, rate: 1}]", [
            "price.call.then[0].after: 0 is not above 0; write a number above 0"]),
        (
            f"table: {{{COLUMNS}}}, then: [{{after: 60, rate: 1}}]",
            ["price.call.then: does not go with a table, which has no rates for it; remove it"],
        ),
        ("table: {file: deck.csv, rate: per_minute}", [
            "price.call.table: must have either key or longest_prefix; keep one of them"]),
    ],
)  # fmt: skip
def test_bad_calls(tmp_path: Path, call: str, problems: list[str]) -> None:
    """A misprint would be billed."""
    with pytest.raises(BookError) as told:
        _amounts(tmp_path, call, [1], deck=DECK)
    place = f"{tmp_path}/book.yaml:7: charges[0].rules[0]."
    assert [str(problem) for problem in told.value.problems] == [place + problem for problem in problems]


def test_bad_decks(tmp_path: Path) -> None:
    """A rate card's misprint would be billed, or be looked for in the wrong line."""
    table = "table: {file: deck.csv, key: [to], rate: rate, first: first, unit: unit}"
    with pytest.raises(BookError) as told:
        _amounts(tmp_path, table, [1], deck="to,rate,first\n+1,1,0\n+2,,60\n+3,2,-1\n")
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in told.value.problems] == [
        'deck.csv:1: there is no column "unit"; the header has to, rate, first',
        'deck.csv:2: first: "0" is not above 0; write a number above 0',
        'deck.csv:4: first: "-1" is not above 0; write a number above 0',
    ]
    units = "".join(f"+{number},1,60,{2**number + 1}\n" for number in range(40))
    with pytest.raises(BookError) as told:
        _amounts(tmp_path, table, [1], deck=f"to,rate,first,unit\n{units}")
    assert str(told.value).endswith(
        'table.file: the units in "deck.csv" have no common multiple up to 10^12; write units such as 60'
    )
