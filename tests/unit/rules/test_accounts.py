"""The table of accounts: who pays, in which currency, and the full text of every error in the file."""
# ruff: noqa: E501  each message is asserted as the one line that a person sees

from pathlib import Path

import attrs
import numpy as np
import pytest

from rules.columns import Coded, Dictionary
from rules.errors import BookError
from rules.lookup import Lookup
from rules.pricer import Pricer
from tests.rulebooks import book_of, price, reasons, usage_of

ACCOUNTS = "accounts: {file: accounts.csv}\n"
TWO_LISTS = (
    ACCOUNTS
    + """
charges:
- {group: usage, rules: [{id: usd, price: {per_unit: "0.10"}}, {id: never, price: {flat: 1}}]}
- {group: usage, currency: EUR, rules: [{id: eur, when: {product: sms}, price: {per_unit: "0.09"}}]}
- group: share
  rules: [{id: share, when: {r: {exists: true}}, charge: {attribute: r}, price: {percentage: {of: usage, rate: "0.5"}}}]
- group: share
  currency: EUR
  rules: [{id: teil, when: {r: {exists: true}}, charge: {attribute: r}, price: {percentage: {of: usage, rate: "0.4"}}}]
"""
)
TO_PARENT = "charges: [{group: usage, rules: [{id: u, charge: {parent: true}, price: {flat: 1}}]}]\n"


def test_an_account_is_charged_in_its_currency_by_the_prices_of_that_currency(tmp_path: Path) -> None:
    """A customer who pays in euros would be billed the dollar price, as if both were one money."""
    book = book_of(tmp_path, TWO_LISTS, accounts="account,currency\nberlin,EUR\nboston,USD\nbrest,EUR\nbari,\n")
    assert book.currencies == ("USD", "EUR")
    assert [book.rules[line].currency for line in range(len(book.rules))] == ["USD", "USD", "EUR", "USD", "EUR"]
    lines = price(book, *({"account": name, "quantity": 10} for name in ("berlin", "boston", "bari", "other")))
    assert [(rule, amount) for _, rule, _, _, amount in lines] == [
        ("eur", "0.9"), ("usd", "1"), ("usd", "1"), ("usd", "1")
    ]  # fmt: skip
    lines = price(book, {"account": "berlin", "r": "brest", "quantity": 10}, {"account": "x", "r": "y", "quantity": 10})
    assert [line[1:3] + line[4:] for line in lines] == [
        ("eur", "berlin", "0.9"), ("teil", "brest", "0.36"), ("usd", "x", "1"), ("share", "y", "0.5")
    ]  # fmt: skip


def test_nothing_is_converted(tmp_path: Path) -> None:
    """Yen would be billed as dollars, a euro share booked on a dollar account, or a wrong event billed anyhow."""
    book = book_of(tmp_path, TWO_LISTS, accounts="account,currency\nberlin,EUR\nkyoto,JPY\n")
    events = [
        {"account": "kyoto"},
        {"account": "berlin", "currency": "USD"},
        {"account": "berlin", "currency": "EUR"},
        {"account": "boston", "currency": "EUR"},
        {"account": "berlin", "r": "boston"},
        {"account": "boston", "r": "kyoto"},
        {"account": "kyoto", "currency": "EUR"},
        {"account": "berlin", "product": "fax"},
    ]
    assert reasons(book, *events) == [
        (0, "wrong_currency", 'the account is in "JPY", the book in USD, EUR'),
        (1, "wrong_currency", 'the event is in "USD", its account in "EUR"'),
        (3, "wrong_currency", 'the event is in "EUR", its account in "USD"'),
        (4, "wrong_currency", 'the account "boston" has another currency than the event\'s'),
        (5, "wrong_currency", 'the account "kyoto" has another currency than the event\'s'),
        (6, "wrong_currency", 'the account is in "JPY", the book in USD, EUR'),
        (7, "no_rule", 'no rule charges the product "fax"'),
    ]


def test_a_book_without_prices_in_its_own_currency_charges_nobody_by_default(tmp_path: Path) -> None:
    """Accounts that the table forgets would be billed in a currency that is not theirs."""
    charges = ACCOUNTS + "charges: [{group: u, currency: EUR, rules: [{id: e, price: {flat: 1}}]}]\n"
    book = book_of(tmp_path, charges, accounts="account,currency\nberlin,EUR\n")
    assert reasons(book, {"account": "berlin"}, {}) == [
        (1, "wrong_currency", 'the account is in "USD", the book in EUR')
    ]


def test_currencies_come_and_go_with_the_book_not_the_batch(tmp_path: Path) -> None:
    """An account's currency would be remembered from another dictionary's code."""
    book = book_of(tmp_path, TWO_LISTS, accounts="account,currency\nberlin,EUR\n")
    orders = [["berlin", "boston"], ["boston", "berlin"], ["x", "boston", "berlin"]]
    for names in orders:
        rules = [line[1] for line in price(book, *({"account": name} for name in names))]
        assert rules == ["eur" if name == "berlin" else "usd" for name in names]


def test_the_top_of_the_parents_pays(tmp_path: Path) -> None:
    """A department would get the bill of its company, or the company's total would miss a branch."""
    table = "account,parent\nleaf,branch\nbranch,company\ncompany,\nlonely,\n"
    book = book_of(tmp_path, ACCOUNTS + TO_PARENT, accounts=table)
    names = ["leaf", "company", "stranger", "branch", "lonely", "leaf"]
    lines = price(book, *({"account": name} for name in names))
    assert [line[2] for line in lines] == ["company", "company", "stranger", "company", "lonely", "company"]


def test_the_top_of_a_named_accounts_parents_pays(tmp_path: Path) -> None:
    """A reseller's share would be booked on the branch instead of the reseller."""
    rule = "{id: u, charge: {attribute: r, parent: true}, price: {flat: 1}}"
    charges = ACCOUNTS + f"charges: [{{group: usage, rules: [{rule}]}}]\n"
    book = book_of(tmp_path, charges, accounts="account,parent\nshop,chain\nchain,\n")
    lines = price(book, {"account": "a", "r": "shop"}, {"account": "b", "r": "c"}, {"account": "shop", "r": "d"})
    assert [line[2] for line in lines] == ["chain", "c", "d"]
    assert [found[:2] for found in reasons(book, {"r": "no account"})] == [(0, "bad_account")]


def test_a_table_without_rows_changes_nothing(tmp_path: Path) -> None:
    """A first deployment, before any account is listed, would stop."""
    book = book_of(tmp_path, ACCOUNTS + TO_PARENT, accounts="account,parent,currency\n")
    assert [line[2] for line in price(book, {"account": "a"}, {"account": "b"})] == ["a", "b"]


def test_sixteen_parents_are_allowed(tmp_path: Path) -> None:
    """A deep company could not be written down, or its bill would stop halfway up."""
    rows = "".join(f"a{i},a{i + 1}\n" for i in range(16))
    book = book_of(tmp_path, ACCOUNTS + TO_PARENT, accounts=f"account,parent\n{rows}a16,\n")
    assert [line[2] for line in price(book, {"account": "a0"}, {"account": "a15"})] == ["a16", "a16"]


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        ("name\na\n", ['1: unknown column "name"; known: account, currency, parent', '1: the column "account" is missing; add it']),
        ("account,curency\na,USD\n", ['1: unknown column "curency"; did you mean "currency"?']),
        ("account\na\nb\na\n", ['4: account: "a" is in line 2 already; keep one of them']),
        (
            "account\na b\n",
            ['2: account: "a b" is not an account; an account is 1 to 64 visible ASCII characters without quotes or backslash'],
        ),
        (
            "account,currency\na,usd\n",
            ['2: currency: "usd" is not a currency; write 3 to 12 capitals and digits, such as "USD"'],
        ),
        ("account,parent\na,b\n", ['2: parent: "b" is no account of this file; add its row, or mend the name']),
        ("account,parent\na,a\n", ['2: parent: "a" is its own parent; leave the cell empty']),
        (
            "account,parent\na,b\nd,a\nb,c\nc,a\n",
            ['2: parent: goes round in a circle: "a" -> "b" -> "c" -> "a"; empty one of these cells'],
        ),
        (
            "account,parent\nx,y\ny,x\np,q\nq,p\n",
            [
                '2: parent: goes round in a circle: "x" -> "y" -> "x"; empty one of these cells',
                '4: parent: goes round in a circle: "p" -> "q" -> "p"; empty one of these cells',
            ],
        ),
        (
            "account,parent\n" + "".join(f"a{i},a{i + 1}\n" for i in range(17)) + "a17,\n",
            ["2: parent: has more than 16 parents above it; name a nearer one"],
        ),
        (
            "account,parent,currency\na,b,EUR\nb,,\n",
            [
                '2: currency: "a" is in EUR, but "b", which pays for it, is in USD; nothing is converted, so write one currency for both'
            ],
        ),
    ],
)  # fmt: skip
def test_every_error_names_its_line(tmp_path: Path, table: str, problems: list[str]) -> None:
    """A mistake in a file of 100,000 rows would have to be searched for, or would bill the wrong company."""
    with pytest.raises(BookError) as error:
        book_of(tmp_path, ACCOUNTS + TO_PARENT, accounts=table)
    assert str(error.value).split("\n") == [f"{tmp_path}/accounts.csv:{problem}" for problem in problems]


def test_a_long_circle_is_shortened(tmp_path: Path) -> None:
    """The message would be longer than anybody reads."""
    table = "account,parent\n" + "".join(f"a{i},a{(i + 1) % 30}\n" for i in range(30))
    with pytest.raises(BookError, match=r'"a0" -> .* -> "a7" -> 22 more -> "a0"; empty one'):
        book_of(tmp_path, ACCOUNTS + TO_PARENT, accounts=table)


@pytest.mark.parametrize(
    ("charges", "problem"),
    [
        (
            TO_PARENT,
            "4: charges[0].rules[0].charge.parent: the book knows no parents; add `accounts: {file: accounts.csv}` at its top level",
        ),
        (
            ACCOUNTS + TO_PARENT.replace("true", "false"),
            "5: charges[0].rules[0].charge.parent: is what happens anyway; write true, or leave it out",
        ),
        (
            "accounts: {file: nowhere.csv}\n" + TO_PARENT,
            '4: accounts.file: "nowhere.csv" cannot be read: No such file or directory; check the path beside the book',
        ),
        ("accounts: accounts.csv\n" + TO_PARENT, "4: accounts: must be a mapping with the keys file"),
        (
            "charges:\n" + "- {group: u, currency: EUR, rules: [{id: ID, price: {flat: 1}}]}\n".replace("ID", "a")
            + "- {group: u, currency: EUR, rules: [{id: b, price: {flat: 1}}]}\n",
            '6: charges[1].group: the group "u" exists already in EUR; rename one',
        ),
        (
            "charges:\n- {group: u, currency: eur, rules: [{id: a, price: {flat: 1}}]}\n",
            '5: charges[0].currency: "eur" is not a currency; write 3 to 12 capitals and digits, such as "USD"',
        ),
    ],
)  # fmt: skip
def test_every_error_in_the_book_says_what_to_do(tmp_path: Path, charges: str, problem: str) -> None:
    """A rule would charge parents that nobody has told, or a list of prices would silently replace another."""
    with pytest.raises(BookError) as error:
        book_of(tmp_path, charges, accounts="account\na\n")
    assert str(error.value) == f"{tmp_path}/book.yaml:{problem}"


def test_too_many_lists_are_refused(tmp_path: Path) -> None:
    """A book could name more groups than an event may have lines."""
    groups = "".join(f"- {{group: g{i}, rules: [{{id: r{i}, price: {{flat: 1}}}}]}}\n" for i in range(65))
    with pytest.raises(BookError, match="charges: has 65 groups; at most 64 are allowed"):
        book_of(tmp_path, "charges:\n" + groups)
    lists = "".join(
        f"- {{group: g, currency: C{i:02}, rules: [{{id: r{i}, price: {{flat: 1}}}}]}}\n" for i in range(65)
    )
    with pytest.raises(BookError, match="charges: has prices in 65 currencies; at most 64 are allowed"):
        book_of(tmp_path, "charges:\n" + lists)


def test_a_lookup_follows_a_dictionary_that_grows() -> None:
    """A text that came later would have the row of nothing, or of another text."""
    lookup = Lookup({"a": 0, "b": 1})
    values = Dictionary(["b"])
    assert values.derived(lookup.rows).tolist() == [1]
    values.extend(["x", "a"])
    assert values.derived(lookup.rows).tolist() == [1, -1, 0]
    assert Dictionary(["a"]).derived(lookup.rows).tolist() == [0]


def test_batches_that_share_a_dictionary_are_charged_alike(tmp_path: Path) -> None:
    """A payer that another batch brought in would be charged under the name of a later account."""
    book = book_of(tmp_path, ACCOUNTS + TO_PARENT, accounts="account,parent\nleaf,company\ncompany,\n")
    pricer, shared = Pricer(book), Dictionary[str]()
    for names in (["leaf", "x"], ["y", "leaf"], ["company", "z", "leaf"], ["w", "leaf"]):
        shared.extend([name for name in names if name not in shared])
        codes = np.array([shared.index(name) for name in names], dtype=np.int32)
        usage = attrs.evolve(usage_of(book, [{} for _ in names]), account=Coded(codes, shared))
        charged = pricer.price(usage).lines.account
        assert charged.rows() == ["company" if name == "leaf" else name for name in names]
        assert len(set(charged.values)) == len(charged.values)
        assert charged.values[: len(shared)] == list(shared)
