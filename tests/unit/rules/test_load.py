"""Loading a book: what it becomes, and the full text of every error."""
# ruff: noqa: E501  each message is asserted as the one line that a person sees

from decimal import Decimal
from pathlib import Path

import pytest

import rules.document
import rules.load
import rules.read_table
from rules.book import Every, Rollup
from rules.condition import All, Exists, Not, OneOf, OneOfNumbers, Prefix, Range
from rules.errors import BookError
from rules.load import OPTIONAL, check, load
from rules.price import MODELS
from rules.price.per_unit import PerUnit
from rules.price.percentage import Percentage
from rules.price.quantity import QuantitySpec
from rules.price.rounding import Mode, Rounding

GOOD = """\
book: acme
version: 12
currency: USD
dimensions: [country, direction]
keep: [to]
charges:
  - group: usage
    rules:
      - id: sms
        when:
          product: sms
          country: [US, PR]
          to: {prefix: "+1", not: {prefix: ["+1900"]}}
          size: {min: 1, max: "2.5"}
          quantity: 3
          vip: {exists: false}
        from: 2026-01-01
        until: 2026-01-01T00:00:00.5+01:00
        quantity: {of: segments, round_up_to: 60, per: "0.5", minimum: 1}
        price: {per_unit: "0.0079"}
        round: {places: 4, mode: up}
        minimum: "0.01"
        maximum: 5
  - group: share
    rules:
      - {id: share, charge: {attribute: reseller}, price: {percentage: {of: usage, rate: "-0.1"}}}
rollups:
  - {name: hourly, every: hour, by: [product, country]}
  - {name: monthly, every: month}
"""


def _book(folder: Path, text: str | bytes) -> Path:
    path = folder / "acme.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _found(folder: Path, text: str | bytes) -> list[str]:
    """Return the problems of a book as a person sees them, with the folder left out."""
    return [str(problem).replace(f"{folder}/", "") for problem in check(_book(folder, text))]


def test_a_whole_book(tmp_path: Path) -> None:
    """A rule would mean something else than what is written."""
    path = _book(tmp_path, GOOD.replace("until: 2026-01-01T00", "until: 2027-01-01T00"))
    assert check(path) == []
    book = load(path)
    assert (book.name, book.version, book.currency) == ("acme", 12, "USD")
    assert (book.dimensions, book.keep, book.groups) == (("country", "direction"), ("to",), ("usage", "share"))
    assert book.rollups == (
        Rollup("hourly", Every.HOUR, ("product", "country")),
        Rollup("monthly", Every.MONTH, ()),
    )
    assert book.attributes == {"country", "direction", "to", "size", "vip", "segments", "reseller", "currency"}
    sms, share = book.rules
    assert sms.when == {
        "product": OneOf(frozenset({"sms"})),
        "country": OneOf(frozenset({"US", "PR"})),
        "to": All((Prefix(("+1",)), Not(Prefix(("+1900",))))),
        "size": Range(Decimal(1), Decimal("2.5")),
        "quantity": OneOfNumbers(frozenset({Decimal(3)})),
        "vip": Exists(present=False),
    }
    assert (sms.from_us, sms.until_us) == (1_767_225_600_000_000, 1_798_758_000_500_000)
    assert sms.quantity == QuantitySpec("segments", Decimal(60), Decimal("0.5"), Decimal(1))
    assert (sms.price, sms.rounding) == (PerUnit(Decimal("0.0079")), Rounding(4, Mode.UP))
    assert (sms.minimum_pico, sms.maximum_pico, sms.charge) == (10**10, 5 * 10**12, None)
    assert (share.price, share.charge, share.group_index) == (Percentage(0, Decimal("-0.1")), "reseller", 1)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '"0.0079"',
            '"0,0079"',
            'acme.yaml:20: charges[0].rules[0].price.per_unit: "0,0079" is not a decimal; write "0.0079"',
        ),
        (
            '"0.0079"',
            "0.0079",
            ("acme.yaml:20: charges[0].rules[0].price.per_unit: 0.0079 is a float to YAML and may lose digits; "
            'write "0.0079"'),
        ),
        (
            '"0.0079"',
            ".nan",
            'acme.yaml:20: charges[0].rules[0].price.per_unit: ".nan" is not a decimal; write "0.0079"',
        ),
        (
            '"0.0079"',
            '"NaN"',
            'acme.yaml:20: charges[0].rules[0].price.per_unit: "NaN" is not a decimal; write "0.0079"',
        ),
        (
            '"0.0079"',
            "0x10",
            'acme.yaml:20: charges[0].rules[0].price.per_unit: "0x10" is not a decimal; write "0.0079"',
        ),
        (
            '"0.0079"',
            '"0.0000000000000000000000001"',
            ('acme.yaml:20: charges[0].rules[0].price.per_unit: "0.0000000000000000000000001" has more than 24 decimal '
            "places; round it to 24"),
        ),
        (
            '"0.0079"',
            '"100000000000000000000000000"',
            ('acme.yaml:20: charges[0].rules[0].price.per_unit: "100000000000000000000000000" has more than 26 digits '
            "before the point; write a smaller number"),
        ),
        (
            "{per_unit:",
            "{per_units:",
            'acme.yaml:20: charges[0].rules[0].price.per_units: unknown key "per_units"; did you mean "per_unit"?',
        ),
        (
            "{per_unit:",
            "{flat: 1, per_unit:",
            f"acme.yaml:20: charges[0].rules[0].price: must have exactly one of {', '.join(MODELS)}",
        ),
        (
            "        price: {per_unit",
            "        prize: {per_unit",
            'acme.yaml:9: charges[0].rules[0]: the key "price" is missing; add it',
        ),
        (
            "currency: USD",
            "currency: usd",
            'acme.yaml:3: currency: "usd" is not a currency; write 3 to 12 capitals and digits, such as "USD"',
        ),
        ("version: 12", "version: 0", "acme.yaml:2: version: must be an integer from 1 to 2147483647"),
        ("version: 12", 'version: "12"', "acme.yaml:2: version: must be an integer from 1 to 2147483647"),
        (
            "book: acme",
            "book: a b",
            'acme.yaml:1: book: "a b" is not a name; write a letter or digit, then up to 63 of letters, digits and ._-',
        ),
        (
            "[US, PR]",
            "[US, NO]",
            'acme.yaml:12: charges[0].rules[0].when.country[1]: YAML reads NO as true or false; write "NO"',
        ),
        (
            "[US, PR]",
            "[]",
            ("acme.yaml:12: charges[0].rules[0].when.country: lists no value, so that it never holds; "
            "write at least one"),
        ),
        (
            "[US, PR]",
            "{prefixes: a}",
            'acme.yaml:12: charges[0].rules[0].when.country.prefixes: unknown key "prefixes"; did you mean "prefix"?',
        ),
        (
            "[US, PR]",
            "{}",
            "acme.yaml:12: charges[0].rules[0].when.country: is empty; write one of prefix, min, max, exists, not",
        ),
        (
            '"+1", not',
            "+1, not",
            ("acme.yaml:13: charges[0].rules[0].when.to.prefix: YAML reads +1 as a number in another base or notation; "
            'write "+1"'),
        ),
        (
            '["+1900"]',
            '[""]',
            ("acme.yaml:13: charges[0].rules[0].when.to.not.prefix: an empty prefix begins every text; "
            "write {exists: true}, or a prefix"),
        ),
        (
            'max: "2.5"',
            "max: 1",
            ("acme.yaml:14: charges[0].rules[0].when.size.max: the range is empty, since max is not in it; "
            "write a max above min"),
        ),
        (
            "quantity: 3",
            "quantity: {exists: true}",
            'acme.yaml:15: charges[0].rules[0].when.quantity.exists: unknown key "exists"; known: min, max, not',
        ),
        (
            "{exists: false}",
            '{exists: "false"}',
            "acme.yaml:16: charges[0].rules[0].when.vip.exists: must be true or false",
        ),
        (
            "from: 2026-01-01",
            "from: 2026-02-30",
            ('acme.yaml:17: charges[0].rules[0].from: "2026-02-30" is not a date; write 2026-01-01 or '
            "2026-01-01T00:00:00Z"),
        ),
        (
            "from: 2026-01-01",
            "from: 2026-01-01T00:00:00",
            ('acme.yaml:17: charges[0].rules[0].from: "2026-01-01T00:00:00" is not a date; write 2026-01-01 or '
            "2026-01-01T00:00:00Z"),
        ),
        (
            "until: 2027",
            "until: 2025",
            "acme.yaml:18: charges[0].rules[0].until: the rule is never in effect; write a time after `from`",
        ),
        (
            "per: ",
            "pre: ",
            'acme.yaml:19: charges[0].rules[0].quantity.pre: unknown key "pre"; did you mean "per"?',
        ),
        (
            "round_up_to: 60",
            "round_up_to: 0",
            ("acme.yaml:19: charges[0].rules[0].quantity.round_up_to: is 0, which nothing can be divided by; "
            "write a number above 0"),
        ),
        (
            "round_up_to: 60",
            "round_up_to: -1",
            'acme.yaml:19: charges[0].rules[0].quantity.round_up_to: "-1" is too small; write 0 or more',
        ),
        (
            'per: "0.5"',
            'per: "0.0000000000001"',
            ('acme.yaml:19: charges[0].rules[0].quantity.per: "0.0000000000001" has more than 12 decimal places; '
            "round it to 12"),
        ),
        (
            "of: segments",
            "of: quantity",
            'acme.yaml:19: charges[0].rules[0].quantity.of: "quantity" is a field of every event; name an attribute',
        ),
        (
            "places: 4",
            "places: 13",
            "acme.yaml:21: charges[0].rules[0].round.places: must be an integer from 0 to 12",
        ),
        (
            "mode: up",
            "mode: half_odd",
            'acme.yaml:21: charges[0].rules[0].round.mode: unknown word "half_odd"; did you mean "half_up"?',
        ),
        (
            'minimum: "0.01"',
            'minimum: "0.00001"',
            'acme.yaml:22: charges[0].rules[0].minimum: "0.00001" has more than 4 decimal places; round it to 4',
        ),
        (
            "maximum: 5",
            "maximum: 0",
            "acme.yaml:23: charges[0].rules[0].maximum: is below the minimum; write a larger one",
        ),
        (
            "id: share",
            "id: sms",
            'acme.yaml:26: charges[1].rules[0]: the rule "sms" exists already; rename one',
        ),
        (
            "of: usage",
            "of: usages",
            ('acme.yaml:26: charges[1].rules[0].price.percentage.of: "usages" is not an earlier group; '
            "earlier groups: usage"),
        ),
        (
            "of: usage",
            "of: share",
            ('acme.yaml:26: charges[1].rules[0].price.percentage.of: "share" is not an earlier group; '
            "earlier groups: usage"),
        ),
        (
            "group: share",
            "group: usage",
            'acme.yaml:24: charges[1].group: the group "usage" exists already; rename one',
        ),
        (
            "attribute: reseller",
            "attribute: account",
            'acme.yaml:26: charges[1].rules[0].charge.attribute: "account" is a field of every event; name an attribute',
        ),
        (
            "[product, country]",
            "[product, county]",
            ('acme.yaml:28: rollups[0].by: "county" is not a dimension; add it to dimensions, or use one of product, '
            "country, direction"),
        ),
        (
            "name: monthly",
            "name: hourly",
            'acme.yaml:29: rollups[1].name: the rollup "hourly" exists already; rename one',
        ),
        (
            "every: month",
            "every: week",
            'acme.yaml:29: rollups[1].every: unknown word "week"; known: hour, day, month',
        ),
        (
            "[country, direction]",
            "[country, country]",
            'acme.yaml:4: dimensions[1]: "country" is listed twice; remove one',
        ),
        ("keep: [to]", "keep: to", "acme.yaml:5: keep: must be a list"),
        (
            "keep: [to]",
            "keep: [to]\nkeep: [x]",
            "acme.yaml:6: keep: the key is given twice; line 5 has it already",
        ),
        (
            "keep: [to]",
            "keep: [&a to]",
            "acme.yaml:5: keep[0]: the anchor &a is not allowed; repeat the value where it is needed",
        ),
        ("keep: [to]", "keep: [!!str to]", "acme.yaml:5: keep[0]: the tag tag:yaml.org,2002:str is not allowed; remove it"),
        ("keep: [to]", "keep: *a", "acme.yaml:5: keep: aliases are not allowed; repeat the value"),
        ("keep: [to]", "keep: {to: 1}", "acme.yaml:5: keep: must be a list"),
        ("keep: [to]", "? [a]\n: b", "acme.yaml:5: a key must be plain text"),
    ],
)  # fmt: skip
def test_every_error_says_where_and_what_to_do(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """Whoever writes a price list would not find what is wrong with it, or it would be billed as it is."""
    good = GOOD.replace("until: 2026", "until: 2027")
    assert old in good
    found = _found(tmp_path, good.replace(old, new, 1))
    assert problem in found
    # A missing price also leaves an unknown key; everything else is one mistake and one line.
    assert len(found) == (2 if "prize" in new else 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "acme.yaml: is empty; begin with `book: NAME`"),
        ("book: a\n---\nbook: b\n", "acme.yaml:2: holds a second document; keep one book a file"),
        (
            "book: [a\nversion: 1\n",
            "acme.yaml:2: is not YAML: while parsing a flow sequence did not find expected ',' or ']'; mend the syntax",
        ),
        ("book: \x00\n", "acme.yaml: is not YAML: it holds a character that YAML does not allow; remove it"),
        (b"book: a\nkeep: [\xff]\n", "acme.yaml:2: is not UTF-8; save it as UTF-8"),
        (
            "[]",
            f"acme.yaml:1: must be a mapping with the keys book, version, currency, charges, {', '.join(OPTIONAL)}",
        ),
        ("a: " + "[" * 100_000, "acme.yaml:1: is nested deeper than 32 levels; a book needs nine"),
        ("book: b\nversion: 1\ncurrency: USD\ncharges: []\n", "acme.yaml:4: charges: has no group; add one"),
        (
            "book: b\nversion: 1\ncurrency: USD\ncharges: [{group: a, rules: []}]\n",
            "acme.yaml:4: charges[0].rules: has no rule; add one",
        ),
    ],
)
def test_what_is_no_book(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """A broken or hostile file would end in a traceback, or never end."""
    assert _found(tmp_path, text) == [problem]


def test_a_missing_file(tmp_path: Path) -> None:
    """A wrong path would end in a traceback."""
    problems = [str(problem) for problem in check(tmp_path / "none.yaml")]
    assert problems == [f"{tmp_path}/none.yaml: cannot be read: No such file or directory; check the path"]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """A price list with ten mistakes would take ten attempts."""
    text = (
        GOOD.replace("until: 2026", "until: 2027")
        .replace("USD", "usd")
        .replace('"0.0079"', "x")
        .replace("month}", "m}")
    )
    path = _book(tmp_path, text)
    with pytest.raises(BookError) as caught:
        load(path)
    assert [problem.line for problem in caught.value.problems] == [3, 20, 29]
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        'acme.yaml:3: currency: "usd" is not a currency; write 3 to 12 capitals and digits, such as "USD"',
        'acme.yaml:20: charges[0].rules[0].price.per_unit: "x" is not a decimal; write "0.0079"',
        'acme.yaml:29: rollups[1].every: unknown word "m"; known: hour, day, month',
    ]


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book without bounds would take a worker's memory."""
    monkeypatch.setattr(rules.load, "RULES_MAX", 1)
    monkeypatch.setattr(rules.load, "ROLLUPS_MAX", 1)
    good = GOOD.replace("until: 2026", "until: 2027")
    assert _found(tmp_path, good) == [
        "acme.yaml:25: charges[1].rules: the book has more than 1 rules; move prices into a table",
        "acme.yaml:27: rollups: has 2 items; at most 1 are allowed",
    ]
    monkeypatch.setattr(rules.document, "BYTES_MAX", 100)
    assert _found(tmp_path, good) == ["acme.yaml: is larger than 0 MiB; move prices into CSV tables"]


TABLE = """\
book: acme
version: 1
currency: USD
charges:
  - group: usage
    rules:
      - {id: a, price: {table: {file: t.csv, key: [model], column: input}}}
      - {id: b, price: {table: {file: t.csv, longest_prefix: to, column: output}}}
"""


@pytest.mark.parametrize(
    ("old", "new", "table", "problems"),
    [
        (
            "", "", None,
            [
                ('acme.yaml:7: charges[0].rules[0].price.table.file: "t.csv" cannot be read: '
                "No such file or directory; check the path beside the book"),
            ],
        ),
        (
            "", "", b"model,input\nnova,1\n",
            [
                't.csv:1: there is no column "prefix"; the header has model, input',
                't.csv:1: there is no column "output"; the header has model, input',
            ],
        ),
        ("", "", b"model,model\n", ["t.csv:1: the header must name every column once; write it as the first line"]),
        ("", "", b"", ["t.csv:1: the header must name every column once; write it as the first line"]),
        (
            "", "", b"model,prefix,input,output\nnova,+1,1,1\nnova,+2,2,2\npalmyra,+2,3,3\n",
            [
                't.csv:3: model: "nova" is in line 2 already; keep one of them',
                't.csv:4: prefix: "+2" is in line 3 already; keep one of them',
            ],
        ),
        (
            "", "", b'model,prefix,input,output\nnova,+1,"0,1",1\n"two\nlines",+2,1,1e5\nc,+3,0.0000000000000000000000001,\n',
            [
                't.csv:2: input: "0,1" is not a decimal; write "0.1"',
                't.csv:3: output: "1e5" is not a decimal; write "0.0079"',
                't.csv:5: input: "0.0000000000000000000000001" has more than 24 decimal places; round it to 24',
            ],
        ),
        (
            "", "", b"model,prefix,input,output\nnova,,1,1\n",
            ["t.csv:2: prefix: is empty; write a prefix, and price the rest by a later rule"],
        ),
        (
            "", "", b"model,prefix,input,output\nnova,+1,1\n",
            ["t.csv:2: has 3 cells but the header has 4; write one cell a column"],
        ),
        (
            "", "", b'model,prefix,input,output\n"a"b,+1,1,1\n',
            ["""t.csv:2: is not CSV: ',' expected after '"'; mend the quotes"""],
        ),
        (
            "", "", b"model,prefix,input,output\n\xff,+1,1,1\n",
            ['acme.yaml:7: charges[0].rules[0].price.table.file: "t.csv" is not UTF-8; save it as UTF-8'],
        ),
        (
            "key: [model], ", "", b"model,prefix,input,output\n",
            ["acme.yaml:7: charges[0].rules[0].price.table: must have either key or longest_prefix; keep one of them"],
        ),
        (
            "key: [model]", "key: []", b"model,prefix,input,output\n",
            ["acme.yaml:7: charges[0].rules[0].price.table.key: names no attribute; write at least one"],
        ),
        (
            "key: [model]", "key: [quantity]", b"model,prefix,input,output\n",
            ['acme.yaml:7: charges[0].rules[0].price.table.key[0]: "quantity" is a field of every event; name an attribute'],
        ),
    ],
)  # fmt: skip
def test_errors_of_tables(tmp_path: Path, old: str, new: str, table: bytes | None, problems: list[str]) -> None:
    """A rate card with a mistake in line 4,711 would be billed, or searched through by hand."""
    if table is not None:
        (tmp_path / "t.csv").write_bytes(table)
    assert _found(tmp_path, TABLE.replace(old, new, 1)) == problems


def test_the_rows_of_all_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate card of a billion rows would take a worker's memory."""
    monkeypatch.setattr(rules.read_table, "ROWS_MAX", 1)
    (tmp_path / "t.csv").write_bytes(b"model,prefix,input,output\nnova,+1,1,1\nb,+2,1,1\n")
    assert _found(tmp_path, TABLE) == ["t.csv:3: the tables of a book have at most 1 rows; drop what is not sold"]
    monkeypatch.setattr(rules.read_table, "BYTES_MAX", 1)
    assert _found(tmp_path, TABLE) == [
        'acme.yaml:7: charges[0].rules[0].price.table.file: "t.csv" is larger than 0 MiB; split it by product',
    ]


def test_a_table_without_rows_prices_nothing(tmp_path: Path) -> None:
    """An empty rate card would be a crash instead of a price list that sells nothing yet."""
    (tmp_path / "t.csv").write_text("\ufeffmodel,prefix,input,output\n", encoding="utf-8")
    assert [rule.price.found(lambda _: "nova", []) for rule in load(_book(tmp_path, TABLE)).rules] == [False, False]
