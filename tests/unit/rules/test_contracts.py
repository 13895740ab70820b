"""Contracts: what they make of prices, since when, for whom, and the full text of every error in their file."""
# ruff: noqa: E501  each message is asserted as the one line that a person sees

from pathlib import Path

import pytest

import rules.contract
import rules.variants
from rules.errors import BookError
from rules.pricer import Pricer
from tests.rulebooks import TIME_US, Ledger, amounts, book_of, lines_of, price, reasons, usage_of

DAY_US = 86_400_000_000
CONTRACTS = "contracts: {file: contracts.csv}\n"
CHARGES = (
    CONTRACTS
    + """
charges:
- group: usage
  rules:
  - {id: sms, when: {product: sms}, price: {per_unit: "0.01"}}
  - {id: call, when: {product: call}, price: {flat: "0.5"}, minimum: "0.2"}
  - {id: data, when: {product: data}, price: {table: {file: data.csv, key: [zone], column: price}}}
- group: share
  rules:
  - {id: share, when: {r: {exists: true}}, charge: {attribute: r}, price: {percentage: {of: usage, rate: "0.1"}}}
"""
)
DATA = "zone,price\neu,0.2\nus,0.30\nnone,\n"


def _amounts(folder: Path, contracts: str, *events: dict[str, object]) -> list[str]:
    return amounts(book_of(folder, CHARGES, contracts=contracts, data=DATA), *events)


def test_an_own_price_replaces_the_one_number_of_a_price(tmp_path: Path) -> None:
    """A customer would be billed the list price that the contract replaced, or another customer the contract's."""
    found = _amounts(
        tmp_path,
        "account,rule,price\na,sms,0.004\na,call,0.25\na,data,0.125\nb,sms,0\nb,share,0.5\n",
        {"account": "a", "quantity": 10},
        {"account": "a", "product": "call", "quantity": 10},
        {"account": "a", "product": "data", "zone": "us", "quantity": 10},
        {"account": "b", "quantity": 10},
        {"account": "c", "quantity": 10},
        {"account": "c", "product": "data", "zone": "us", "quantity": 10},
        {"account": "c", "quantity": 10, "r": "b"},
    )
    assert found == ["0.04", "0.25", "1.25", "0", "0.1", "3", "0.1", "0.05"]


def test_a_discount_is_a_part_of_the_amount_before_rounding_and_bounds(tmp_path: Path) -> None:
    """Ten percent off would come off the bound too, or be rounded twice."""
    found = _amounts(
        tmp_path,
        "account,rule,price,discount\na,sms,,12.5\na,call,,90\nb,sms,0.03,50\nc,data,,100\n",
        {"account": "a", "quantity": "0.00000000001"},
        {"account": "a", "quantity": 3},
        {"account": "a", "product": "call"},
        {"account": "b", "quantity": 10},
        {"account": "c", "product": "data", "zone": "eu"},
    )
    assert found == ["0", "0.02625", "0.2", "0.15", "0"]


def test_a_groups_discount_holds_where_its_rules_have_no_row(tmp_path: Path) -> None:
    """A discount on everything would not reach some rule, or be taken twice where a rule has its own."""
    found = _amounts(
        tmp_path,
        "account,rule,group,discount\na,,usage,10\na,call,,20\nr,,share,50\n",
        {"account": "a", "quantity": 100},
        {"account": "a", "product": "call"},
        {"account": "a", "quantity": 100, "r": "r"},
    )
    assert found == ["0.9", "0.4", "0.9", "0.045"]


def test_the_charged_accounts_contract_counts(tmp_path: Path) -> None:
    """A reseller's share would follow the contract of its customer, or a branch pay other prices than its company agreed."""
    charges = (
        "accounts: {file: accounts.csv}\n"
        + CONTRACTS
        + """
charges:
- {group: usage, rules: [{id: sms, charge: {parent: true}, price: {per_unit: 1}}]}
- {group: own, rules: [{id: fee, price: {per_unit: 2}}]}
"""
    )
    book = book_of(
        tmp_path,
        charges,
        accounts="account,parent\nbranch,company\ncompany,\n",
        contracts="account,rule,group,discount\ncompany,sms,,50\nbranch,,own,25\n",
    )
    assert [line[2:3] + line[4:] for line in price(book, {"account": "branch"}, {"account": "company"})] == [
        ("company", "0.5"), ("branch", "1.5"), ("company", "0.5"), ("company", "2")
    ]  # fmt: skip


def test_a_row_is_in_effect_from_its_first_to_before_its_last_instant(tmp_path: Path) -> None:
    """An event at midnight would have the old price and the new one, or neither."""
    rows = [
        "a,sms,,2026-01-02,0.1",
        "a,sms,2026-01-02,2026-01-03T00:00:00+01:00,0.2",
        "a,sms,2026-01-04T00:00:00.000001Z,,0.3",
        "b,sms,2026-01-02,,0.9",
    ]
    times = [
        -1,
        0,
        DAY_US - 1,
        DAY_US,
        2 * DAY_US - 3_600_000_001,
        2 * DAY_US - 3_600_000_000,
        3 * DAY_US,
        3 * DAY_US + 1,
    ]
    for order in (rows, rows[::-1]):
        contracts = "\n".join(["account,rule,from,until,price", *order, ""])
        found = _amounts(tmp_path, contracts, *({"account": "a", "time_us": TIME_US + time} for time in times))
        assert found == ["0.1", "0.1", "0.1", "0.2", "0.2", "0.01", "0.01", "0.3"]


def test_a_rule_row_out_of_effect_leaves_the_groups(tmp_path: Path) -> None:
    """A contract that has ended would still hide the discount of the group."""
    found = _amounts(
        tmp_path,
        "account,rule,group,until,discount\na,sms,,2026-01-02,50\na,,usage,,10\n",
        {"account": "a"},
        {"account": "a", "time_us": TIME_US + DAY_US},
    )
    assert found == ["0.005", "0.009"]


def test_contracts_change_what_wins_costs_not_what_wins(tmp_path: Path) -> None:
    """An event would be billed by a rule that has no price for it."""
    book = book_of(tmp_path, CHARGES, contracts="account,rule,price\na,data,5\n", data=DATA)
    found = reasons(book, {"account": "a", "product": "data", "zone": "none"})
    assert [reason for _, reason, _ in found] == ["no_rule"]


def test_numbers_beyond_int64_are_exact(tmp_path: Path) -> None:
    """A large customer's bill would wrap around."""
    found = _amounts(
        tmp_path,
        "account,rule,price,discount\na,sms,0.000000000000000000000001,\nb,sms,99999999999999999999999999,99.999999999999\n",
        {"account": "a", "quantity": "123456789012345678901234"},
        {"account": "b", "quantity": "0.000001"},
        {"account": "c", "quantity": 7},
    )
    assert found == ["0.123456789012", "1000000", "0.07"]


def test_a_file_without_rows_changes_nothing(tmp_path: Path) -> None:
    """The first customer could not be billed before the first contract is signed."""
    assert _amounts(tmp_path, "account,rule,price\n", {"account": "a"}) == ["0.01"]


def test_rows_know_their_line(tmp_path: Path) -> None:
    """Nobody could say which contract made a charge."""
    contracts = "account,rule,from,until,price\nb,sms,,,1\na,sms,2026-02-01,,1\na,sms,2026-01-01,2026-02-01,2\n"
    book = book_of(tmp_path, CHARGES, contracts=contracts, data=DATA)
    assert book.contracts is not None
    assert (book.contracts.file, book.contracts.lines.tolist()) == (f"{tmp_path}/contracts.csv", [2, 4, 3])


@pytest.mark.parametrize(
    ("contracts", "problems"),
    [
        ("account,rule,discont\na,sms,1\n", ['1: unknown column "discont"; did you mean "discount"?']),
        ("account,rule,price\na b,sms,1\na b,sms,1\n", ['2: account: "a b" is not an account; an account is 1 to 64 visible ASCII characters without quotes or backslash']),
        ("account,rule,price\na,smss,1\n", ['2: rule: "smss" is no rule of the book; did you mean "sms"?']),
        ("account,group,discount\na,use,1\n", ['2: group: "use" is no group of the book; did you mean "usage"?']),
        ("account,rule,group,discount\na,sms,usage,1\n", ["2: rule: must name either a rule or a group; fill one of the two cells"]),
        ("account,discount\na,1\n", ["2: rule: must name either a rule or a group; fill one of the two cells"]),
        ("account,rule,price\na,sms,\n", ["2: discount: the row changes nothing; write a price, a discount, tiers or a minimum"]),
        ('account,rule,price\na,sms,"0,5"\n', ['2: price: "0,5" is not a decimal; write "0.5"']),
        ("account,rule,discount\na,sms,0\n", ['2: discount: "0" is not above 0; write a number above 0']),
        ("account,rule,discount\na,sms,100.5\n", ["2: discount: is more than 100 percent; write a part of the price"]),
        ("account,rule,discount\na,sms,10%\n", ['2: discount: "10%" is not a decimal; write "0.0079"']),
        ("account,group,price\na,usage,1\n", ["2: price: a group's rules count different things; write a row for each rule, or a discount"]),
        ("account,rule,from,price\na,sms,01.02.2026,1\n", ['2: from: "01.02.2026" is not a date; write 2026-01-01 or 2026-01-01T00:00:00Z']),
        ("account,rule,minimum\na,sms,1\n", ['2: minimum: "sms" has no periods; add `per_period: {per: month, minimum: 0}` to it']),
        ("account,group,minimum\na,usage,1\n", ["2: minimum: a group's rules are added up one by one; write a row for each rule"]),
        ("account,rule,minimum\na,sms,-1\n", ['2: minimum: "-1" is below 0; write 0 or more']),
        ("account,rule,from,until,price\na,sms,2026-01-01,2026-01-01,1\n", ["2: until: the row is never in effect; write a time after `from`"]),
        (
            "account,rule,from,until,price\na,sms,2026-01-01,2026-02-01,1\nb,sms,,,1\na,sms,2026-01-31,,1\n",
            ["4: from: overlaps line 2; end one row where the other begins"],
        ),
        ("account,rule,price\na,sms,1\na,sms,2\n", ["3: from: overlaps line 2; end one row where the other begins"]),
        ("account,rule,from,price\na,sms,2026-01-01,1\na,sms,,2\n", ["3: from: overlaps line 2; end one row where the other begins"]),
    ],
)  # fmt: skip
def test_every_error_names_its_line(tmp_path: Path, contracts: str, problems: list[str]) -> None:
    """A slip in one of 100,000 contracts would have to be searched for, or would be billed."""
    with pytest.raises(BookError) as error:
        book_of(tmp_path, CHARGES, contracts=contracts, data=DATA)
    assert str(error.value).split("\n") == [f"{tmp_path}/contracts.csv:{problem}" for problem in problems]


def test_a_minimum_that_a_period_cannot_have_is_told(tmp_path: Path) -> None:
    """A commitment would be above what may be charged at all, or never be due."""
    long = "x" * 57
    charges = CONTRACTS + (
        "charges:\n- group: usage\n  rules:\n"
        "  - {id: cap, price: {flat: 1}, round: {places: 2}, per_period: {per: month, maximum: 5}}\n"
        f"  - {{id: {long}, price: {{flat: 1}}, per_period: {{per: month, maximum: 5}}}}\n"
        "  - {id: ever, price: {volume: {per: ever, tiers: [{unit: 1}]}}}\n"
    )
    contracts = f"account,rule,minimum\na,cap,5.01\nb,cap,1.001\nc,{long},1\nd,ever,1\ne,cap,0\n"
    with pytest.raises(BookError) as error:
        book_of(tmp_path, charges, contracts=contracts)
    assert [str(problem).partition(": minimum: ")[2] for problem in error.value.problems] == [
        'is above the maximum of "cap", 5; write a smaller one',
        '"cap" is rounded to 2 places; write no more',
        f'the id of a rule with a minimum has at most 56 characters; shorten "{long}"',
        '"ever" counts for ever, so that no period ends in which a minimum is due; name a period',
    ]


def test_a_contract_that_could_never_hold_is_refused(tmp_path: Path) -> None:
    """A customer's agreed price would never be billed, and nobody would be told."""
    charges = (
        "accounts: {file: accounts.csv}\n"
        + CONTRACTS
        + """
charges:
- {group: usage, rules: [{id: usd, charge: {parent: true}, price: {per_unit: 1}}]}
- {group: usage, currency: EUR, rules: [{id: eur, price: {per_unit: 1}}]}
"""
    )
    accounts = "account,parent,currency\nbranch,company,\ncompany,,\nberlin,,EUR\n"
    contracts = "account,rule,price\nbranch,usd,1\nberlin,usd,2\nberlin,eur,2\nother,eur,3\n"
    with pytest.raises(BookError) as error:
        book_of(tmp_path, charges, accounts=accounts, contracts=contracts)
    assert str(error.value).split("\n") == [
        f'{tmp_path}/contracts.csv:2: account: "usd" charges "company" for "branch"; write the contract of who pays',
        f'{tmp_path}/contracts.csv:3: rule: "usd" is in USD, but "berlin" in EUR; name a rule in that currency',
        f'{tmp_path}/contracts.csv:5: rule: "eur" is in EUR, but "other" in USD; name a rule in that currency',
    ]


def test_contracts_wait_for_the_rules_they_name(tmp_path: Path) -> None:
    """One slip in a rule would be told a hundred thousand times, once for each contract about it."""
    with pytest.raises(BookError) as error:
        book_of(tmp_path, CHARGES.replace('"0.01"', '"x"'), contracts="account,rule,price\na,sms,1\n", data=DATA)
    assert [problem.key_path for problem in error.value.problems] == ["charges[0].rules[0].price.per_unit"]


COUNTED = (
    "contracts: {file: contracts.csv}\n"
    """
tiers:
  gold: [{up_to: 10, unit: 0}, {unit: "0.5", flat: 1}]
charges:
- group: usage
  rules:
  - {id: api, when: {product: api}, price: {graduated: {per: month, tiers: [{up_to: 100, unit: 2}, {unit: 1}]}}}
  - {id: box, when: {product: box}, price: {package: {per: month, price: 8, size: 10}}}
  - {id: all, when: {product: all}, price: {volume: {per: ever, tiers: [{up_to: 10, unit: 3}, {unit: 2}]}}}
  - {id: pay, when: {product: pay}, price: {percentage: {rate: "0.1", fixed: "0.2", free_events: 1, per: month}}}
  - {id: fee, when: {product: fee}, price: {per_unit: 5}, per_period: {per: month, maximum: 20}}
  - {id: cut, when: {product: cut}, price: {percentage: {rate: "0.1", fixed: 1}}}
"""
)


def _settled(folder: Path, contracts: str, *events: dict[str, object]) -> list[str]:
    """Return the amounts of events that follow one another, settled in two batches."""
    book = book_of(folder, COUNTED, contracts=contracts)
    ledger = Ledger(book)
    half = len(events) // 2
    return [amount for part in (events[:half], events[half:]) for amount in _counted(ledger, *part)]


def _counted(ledger: Ledger, *events: dict[str, object]) -> list[str]:
    priced = Pricer(ledger.book).price(usage_of(ledger.book, events))
    return [line[4] for line in lines_of(ledger.book, ledger.charge(priced))]


def test_own_tiers_take_the_place_of_a_rules(tmp_path: Path) -> None:
    """A customer would be billed by tiers that its contract replaced, or all customers by those of one."""
    found = _settled(
        tmp_path,
        "account,rule,tiers,discount\na,api,gold,\nb,all,gold,50\n",
        {"account": "a", "product": "api", "quantity": 8},
        {"account": "c", "product": "api", "quantity": 99},
        {"account": "b", "product": "all", "quantity": 10},
        {"account": "a", "product": "api", "quantity": 4},
        {"account": "c", "product": "api", "quantity": 2},
        {"account": "b", "product": "all", "quantity": 2},
    )
    # a: 2 units above 10 and the flat amount; b: 12 * 0.5 + 1 by volume, of which half is left.
    assert found == ["0", "198", "0", "2", "3", "3.5"]


def test_a_discount_reduces_every_kind_of_price_with_a_counter(tmp_path: Path) -> None:
    """A discount on a group would not reach its packages or fees, or would come off what is free."""
    found = _settled(
        tmp_path,
        "account,group,discount\na,usage,25\n",
        {"account": "a", "product": "api", "quantity": 101},
        {"account": "a", "product": "box", "quantity": 1},
        {"account": "a", "product": "pay", "quantity": 10},
        {"account": "a", "product": "fee", "quantity": 5},
        {"account": "a", "product": "cut", "quantity": 10},
        {"account": "b", "product": "cut", "quantity": 10},
        {"account": "a", "product": "cut", "quantity": 20},
        {"account": "a", "product": "pay", "quantity": 10},
        {"account": "a", "product": "box", "quantity": 10},
        {"account": "a", "product": "fee", "quantity": 1},
        {"account": "b", "product": "box", "quantity": 10},
    )
    assert found == ["150.75", "6", "0", "18.75", "1.5", "2", "2.25", "0.9", "6", "1.25", "8"]


def test_a_period_has_the_contract_of_its_start(tmp_path: Path) -> None:
    """What a month costs would depend on the order in which its events arrive."""
    contracts = "account,rule,from,until,discount\na,api,2026-01-15,2026-02-15,50\n"
    moments = [20, 40, 50, 70]  # days after the new year: January, then February twice, then March
    events = [{"account": "a", "product": "api", "time_us": TIME_US + day * DAY_US, "quantity": 60} for day in moments]
    assert _settled(tmp_path, contracts, *events) == ["120", "60", "50", "120"]
    assert sorted(_settled(tmp_path, contracts, *events[::-1])) == sorted(["120", "60", "50", "120"])


def test_branches_share_their_payers_tiers(tmp_path: Path) -> None:
    """Each branch of a company would begin at the first, dearest tier again."""
    book = book_of(
        tmp_path,
        """accounts: {file: accounts.csv}
charges:
- group: usage
  rules:
  - {id: api, charge: {parent: true}, price: {graduated: {per: month, tiers: [{up_to: 10, unit: 3}, {unit: 1}]}}}
""",
        accounts="account,parent\neast,company\nwest,company\ncompany,\n",
    )
    ledger = Ledger(book)
    assert _counted(ledger, {"account": "east", "quantity": 9}, {"account": "west", "quantity": 3}) == ["27", "5"]
    assert _counted(ledger, {"account": "company"}, {"account": "other"}) == ["1", "3"]


@pytest.mark.parametrize(
    ("contracts", "problem"),
    [
        ("account,rule,tiers\na,api,glod\n", '2: tiers: "glod" are no tiers of the book; did you mean "gold"?'),
        ("account,rule,tiers\na,box,gold\n", '2: tiers: "box" has no tiers of unit prices; write a price or a discount'),
        ("account,group,tiers\na,usage,gold\n", "2: tiers: a group's rules count different things; write a row for each rule"),
        ("account,rule,price\na,api,1\n", '2: price: the price of "api" is not one number that another could replace; write a discount'),
        ("account,rule,price\na,cut,1\n", '2: price: the price of "cut" is not one number that another could replace; write a discount'),
        (
            "account,rule,from,tiers\na,all,2026-01-01,gold\n",
            '2: from: "all" counts for ever, so that no period could start then; leave from and until empty',
        ),
    ],
)  # fmt: skip
def test_terms_that_a_rule_cannot_have_are_refused(tmp_path: Path, contracts: str, problem: str) -> None:
    """An agreed price would silently not be billed."""
    with pytest.raises(BookError) as error:
        book_of(tmp_path, COUNTED, contracts=contracts)
    assert str(error.value) == f"{tmp_path}/contracts.csv:{problem}"


def test_a_discount_that_no_price_can_keep_is_refused(tmp_path: Path) -> None:
    """A price would be rounded before anything is bought, and the sum of a month would be off."""
    fine = COUNTED.replace("unit: 2}", 'unit: "0.0000000000000000000001"}')
    with pytest.raises(BookError) as error:
        book_of(tmp_path, fine, contracts="account,rule,discount\na,api,0.5\nb,api,1\n")
    assert str(error.value) == (
        f'{tmp_path}/contracts.csv:2: discount: makes a price of "api" that cannot be kept: 0.0000000000000000000000995 '
        "has more than 24 decimal places; round the discount"
    )


def test_too_many_prices_with_counters_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of contracts could fill the memory of every worker with prices."""
    monkeypatch.setattr(rules.variants, "VARIANTS_MAX", 2)
    contracts = "account,rule,discount\na,api,1\nb,api,1\nc,api,2\nd,sms,3\ne,api,3\n".replace("sms", "cut")
    with pytest.raises(BookError) as error:
        book_of(tmp_path, COUNTED, contracts=contracts)
    assert str(error.value) == (
        f"{tmp_path}/contracts.csv:6: discount: is one of more than 2 different prices with counters; agree on fewer "
        "discounts and tiers"
    )


@pytest.mark.parametrize(
    ("tiers", "problem"),
    [
        ("{a b: [{unit: 1}]}", 'tiers.a b: "a b" is not a name; write a letter or digit, then up to 63 of letters, digits and ._-'),
        ("[]", 'tiers: must be a mapping of names to tiers, such as {gold: [{unit: "0.01"}]}'),
        ("{a: [{up_to: 1, unit: 1}]}", "tiers.a[0]: ends at 1, so that more has no price; add an open tier without up_to after it"),
    ],
)  # fmt: skip
def test_lists_of_tiers_are_checked(tmp_path: Path, tiers: str, problem: str) -> None:
    """A list that leaves a gap would be found when the first customer falls into it."""
    with pytest.raises(BookError) as error:
        book_of(tmp_path, f"tiers: {tiers}\ncharges: [{{group: g, rules: [{{id: r, price: {{flat: 1}}}}]}}]\n")
    assert str(error.value) == f"{tmp_path}/book.yaml:4: {problem}"


def test_many_keys_are_searched_as_few_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with many dates would bill other contracts than a small one."""
    rows = ["a,sms,,2026-01-02,0.1", "a,sms,2026-01-02,2026-01-03,0.2", "b,sms,2026-01-02,,0.9", "b,call,,,0.3"]
    contracts = "\n".join(["account,rule,from,until,price", *rows, ""])
    events = [
        {"account": account, "product": product, "time_us": TIME_US + day * DAY_US}
        for account in "abc"
        for product in ("sms", "call")
        for day in range(4)
    ]
    few = _amounts(tmp_path, contracts, *events)
    monkeypatch.setattr(rules.contract, "DENSE_MAX", 0)
    assert _amounts(tmp_path, contracts, *events) == few
    assert few[:4] == ["0.1", "0.2", "0.01", "0.01"]
