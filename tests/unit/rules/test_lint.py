"""Warnings about books that can be used: each odd thing is told at its line, and nothing else is."""
# ruff: noqa: E501  each message is asserted as the one line that a person sees

from pathlib import Path

import pytest

import rules.lint
from rules import books_path
from rules.lint import warnings
from rules.load import examine

HEAD = "book: shop\nversion: 1\ncurrency: USD\n"


def _warnings(folder: Path, text: str, **tables: str) -> list[str]:
    for name, content in tables.items():
        (folder / f"{name}.csv").write_text(content)
    path = folder / "shop.yaml"
    path.write_text(HEAD + text)
    examined = examine(path)
    assert examined.problems == []
    assert examined.book is not None
    assert examined.root is not None
    return [str(one).replace(f"{folder}/", "") for one in warnings(examined.book, examined.root, path)]


def _of_rules(folder: Path, *rules: str, **tables: str) -> list[str]:
    """Lint a book of one group; the first rule stands in line 7."""
    items = "".join(f"  - {{{rule}}}\n" for rule in rules)
    return _warnings(folder, f"charges:\n- group: usage\n  rules:\n{items}", **tables)


def _never(line: int, rule: int, by: str) -> str:
    return f"shop.yaml:{line}: warning: charges[0].rules[{rule}]: never wins: {by} before it win{'' if ' and ' in by else 's'} in every case; move or remove it"


FLAT = "price: {flat: 1}"
BY_COUNTRY = "price: {table: {file: t.csv, key: [country], column: price}}"
TABLE = "country,price,other\nUS,1,\nDE,2,3\n"


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        # The same, a narrower one, and one of other texts.
        ([f"id: a, when: {{x: 1}}, {FLAT}", f"id: b, when: {{x: 1}}, {FLAT}"], [_never(8, 1, '"a" (line 7)')]),
        ([f"id: a, when: {{x: [1, 2]}}, {FLAT}", f"id: b, when: {{x: 1, y: 2}}, {FLAT}"], [_never(8, 1, '"a" (line 7)')]),
        ([f"id: a, when: {{x: 1}}, {FLAT}", f"id: b, when: {{x: [1, 2]}}, {FLAT}"], []),
        ([f"id: a, when: {{x: 1, y: 2}}, {FLAT}", f"id: b, when: {{x: 1}}, {FLAT}"], []),
        # One without conditions takes everything.
        ([f"id: a, {FLAT}", f"id: b, when: {{x: 1}}, {FLAT}"], [_never(8, 1, '"a" (line 7)')]),
        ([f"id: b, when: {{x: 1}}, {FLAT}", f"id: a, {FLAT}"], []),
        ([f'id: a, when: {{x: {{prefix: "+1"}}}}, {FLAT}', f'id: b, when: {{x: {{prefix: "+12"}}, p: q}}, {FLAT}'], [_never(8, 1, '"a" (line 7)')]),
        ([f'id: a, when: {{p: q, x: {{prefix: "+1"}}}}, {FLAT}', f'id: c, when: {{p: q, x: "+2"}}, {FLAT}', f'id: b, when: {{x: "+12", p: q}}, {FLAT}'], [_never(9, 2, '"a" (line 7)')]),
        # Dates: one that ends earlier leaves something, two that touch leave nothing.
        ([f"id: a, until: 2026-02-01, {FLAT}", f"id: b, {FLAT}"], []),
        ([f"id: a, until: 2026-02-01, {FLAT}", f"id: b, until: 2026-01-01, {FLAT}"], [_never(8, 1, '"a" (line 7)')]),
        ([f"id: a, until: 2026-02-01, {FLAT}", f"id: b, from: 2026-02-01, {FLAT}", f"id: c, {FLAT}"], [_never(9, 2, '"a" (line 7) and "b" (line 8)')]),
        # A price that may be missing lets later rules win; the same table does not.
        ([f"id: a, {BY_COUNTRY}", f"id: b, {FLAT}"], []),
        ([f"id: a, {BY_COUNTRY}", f"id: b, when: {{x: 1}}, {BY_COUNTRY}"], [_never(8, 1, '"a" (line 7)')]),
        ([f"id: a, {BY_COUNTRY}", f"id: b, {BY_COUNTRY.replace('price}', 'other}')}"], []),
        # What nothing satisfies.
        ([f'id: a, when: {{x: {{prefix: "+1", not: {{prefix: "+"}}}}}}, {FLAT}', f"id: b, {FLAT}"],
         ["shop.yaml:7: warning: charges[0].rules[0].when.x: nothing satisfies all of this at once, so that the rule never wins; mend the condition"]),
    ],
)  # fmt: skip
def test_rules_that_never_win(tmp_path: Path, rules: list[str], found: list[str]) -> None:
    """A price that somebody wrote would never be charged, or a price that is charged would be called dead."""
    assert _of_rules(tmp_path, *rules, t=TABLE) == found


def test_rules_of_other_groups_do_not_count(tmp_path: Path) -> None:
    """A second charge for the same event would be called dead."""
    charges = "charges:\n" + "".join(f"- {{group: {g}, rules: [{{id: {g}, price: {{flat: 1}}}}]}}\n" for g in "ab")
    assert _warnings(tmp_path, charges) == []


def test_gaps_between_dates(tmp_path: Path) -> None:
    """Events of a forgotten month would be quarantined, which is found when they arrive."""
    january = f"id: a, when: {{x: 1}}, until: 2026-02-01, {FLAT}"
    march = f"id: b, when: {{x: 1}}, from: 2026-03-01T00:00:00.5Z, {FLAT}"
    gap = 'shop.yaml:8: warning: charges[0].rules[1].from: no rule takes such events from 2026-02-01, where "a" ends, until 2026-03-01T00:00:00.500000Z; let the dates touch'
    assert _of_rules(tmp_path, january, march) == [gap]
    assert _of_rules(tmp_path, january, march, f"id: c, when: {{x: 2}}, {FLAT}") == [gap]
    assert _of_rules(tmp_path, january, march, f"id: c, {FLAT}") == []
    assert _of_rules(tmp_path, january, march.replace("03-01T00:00:00.5Z", "02-01")) == []
    assert _of_rules(tmp_path, january, march.replace("x: 1", "x: 2")) == []


def test_dimensions_that_are_idle_or_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rollups would have a row for every phone number, or every transaction would carry a value that nothing reads."""
    monkeypatch.setattr(rules.lint, "DIMENSION_VALUES_MAX", 1)
    book = (
        "dimensions: [carrier, country, to, tokens, direction]\n"
        "charges:\n- group: usage\n  rules:\n"
        "  - {id: a, when: {direction: out}, price: {table: {file: v.csv, longest_prefix: to, column: price}}}\n"
        f"  - {{id: b, quantity: {{of: tokens}}, {BY_COUNTRY}}}\n"
        "rollups: [{name: daily, every: day, by: [product, country]}]\n"
    )
    assert _warnings(tmp_path, book, t=TABLE, v="prefix,price\n+1,2\n") == [
        'shop.yaml:4: warning: dimensions: no rollup and no rule uses "carrier"; remove it, or add it to a rollup\'s `by`',
        'shop.yaml:4: warning: dimensions: "country" has too many values for a dimension: "t.csv" has 2 of them; list it under keep instead',
        'shop.yaml:4: warning: dimensions: "to" has too many values for a dimension: the rule "a" looks its beginning up in a table; list it under keep instead',
        'shop.yaml:4: warning: dimensions: "tokens" has too many values for a dimension: the rule "b" counts it; list it under keep instead',
    ]


def test_table_rows_that_no_rule_uses(tmp_path: Path) -> None:
    """A price in a table would look as if it were charged."""
    only_us = f"id: a, when: {{country: [US, PR]}}, {BY_COUNTRY}"
    idle = 'shop.yaml:7: warning: charges[0].rules[0].price.table.file: 1 of 2 rows of "t.csv" are used by no rule, such as "DE"; remove them, or widen `when`'
    assert _of_rules(tmp_path, only_us, t=TABLE) == [idle]
    assert _of_rules(tmp_path, only_us, f"id: b, when: {{country: DE}}, {BY_COUNTRY}", t=TABLE) == []
    assert _of_rules(tmp_path, only_us, f"id: b, when: {{x: 1}}, {BY_COUNTRY}", t=TABLE) == []
    pair = "price: {table: {file: t.csv, key: [product, country], column: price}}"
    two = "product,country,price\nsms,US,1\nmms,US,1\nsms,DE,1\n"
    assert _of_rules(tmp_path, f"id: a, when: {{product: sms}}, {pair}", t=two) == [
        'shop.yaml:7: warning: charges[0].rules[0].price.table.file: 1 of 3 rows of "t.csv" are used by no rule, such as "mms, US"; remove them, or widen `when`'
    ]


@pytest.mark.parametrize("name", ["telecom", "llm-tokens"])
def test_the_books_that_come_with_the_package_have_none(name: str) -> None:
    """The first thing that a user checks would be remarked upon."""
    path = books_path() / f"{name}.yaml"
    examined = examine(path)
    assert examined.book is not None
    assert examined.root is not None
    assert warnings(examined.book, examined.root, path) == []


def test_lists_of_different_currencies_do_not_hide_each_other(tmp_path: Path) -> None:
    """Every price in a second currency would be called useless, or a warning point at another rule's line."""
    text = """charges:
- group: usage
  rules: [{id: a, price: {flat: 1}}]
- {group: fee, rules: [{id: b, price: {flat: 1}}]}
- group: usage
  currency: EUR
  rules:
  - {id: c, price: {flat: 1}}
  - {id: d, price: {flat: 2}}
"""
    (found,) = _warnings(tmp_path, text)
    line = (tmp_path / "shop.yaml").read_text().splitlines().index("  - {id: d, price: {flat: 2}}") + 1
    assert found.startswith(
        f'shop.yaml:{line}: warning: charges[2].rules[1]: never wins: "c" (line {line - 1}) before it'
    )
