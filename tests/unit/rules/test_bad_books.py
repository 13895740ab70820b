"""Bad books: everything that is wrong with one is told at once, each in one line with its place, and none is loaded."""
# ruff: noqa: E501  each message is asserted as the one line that a person sees

import tracemalloc
from pathlib import Path

import pytest

from rules.errors import BookError
from rules.load import check, load

BOOK = """book: bad
version: 1
currency: USD
dimensions: [country]
charges:
- group: usage
  rules:
{rules}
- group: fee
  rules: [{{id: back, price: {{percentage: {{of: usage, rate: "0.1"}}}}}}]
rollups:
- {{name: daily, every: day, by: [product, contry]}}
"""
RATES = "zone,price\neu,1\nus,2\neu,3\n"
TIERED = "price: {{{}: {{per: month, tiers: [{{up_to: 5, unit: 1}}, {{above: {}, unit: 2}}]}}}}"
BAD = {
    "a float with lost digits": (
        "price: {per_unit: 0.12345678901234567890}",
        'price.per_unit: 0.12345678901234567890 is a float to YAML and may lose digits; write "0.12345678901234567890"',
    ),
    "tiers that overlap": (
        TIERED.format("graduated", 4),
        "price.graduated.tiers[1].above: overlaps the tier before it, which ends at 5; write 5, or leave `above` out",
    ),
    "tiers that leave a gap": (
        TIERED.format("volume", 6),
        (
            "price.volume.tiers[1].above: leaves a gap after the tier before it, which ends at 5; "
            "write 5, or leave `above` out"
        ),
    ),
    "a percentage of a later group": (
        'price: {percentage: {of: fee, rate: "0.1"}}',
        'price.percentage.of: "fee" is not an earlier group; earlier groups: none, this is the first',
    ),
    "a cycle: fee is a part of usage, and usage of itself": (
        'price: {graduated_percentage: {of: usage, per: day, tiers: [{rate: "0.1"}]}}',
        'price.graduated_percentage.of: "usage" is not an earlier group; earlier groups: none, this is the first',
    ),
    "a range of dates that is empty": (
        "from: 2026-02-01, until: 2026-02-01, price: {flat: 1}",
        "until: the rule is never in effect; write a time after `from`",
    ),
    "a price model that does not exist": (
        "price: {per_units: 1}",
        'price.per_units: unknown key "per_units"; did you mean "per_unit"?',
    ),
    "an attribute that no event can have": (
        f"when: {{product: a}}, quantity: {{of: {'x' * 65}}}, price: {{per_unit: 1}}",
        f'quantity.of: "{"x" * 60}..." is not an attribute name; write 1 to 64 bytes',
    ),
    "a minimum that is never due": (
        "price: {flat: 1}, per_period: {per: ever, minimum: 1}",
        'per_period: "r8" counts for ever, so that no period ends in which a minimum is due; name a period',
    ),
    "an anchor of YAML": (
        "when: {product: &p g}, price: {flat: 1}",
        "when.product: the anchor &p is not allowed; repeat the value where it is needed",
    ),
    "an alias of YAML": (
        "when: {product: *p}, price: {flat: 1}",
        "when.product: aliases are not allowed; repeat the value",
    ),
}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def _book(folder: Path) -> Path:
    lines = [f"  - {{id: r{i}, {rule}}}" for i, (rule, _) in enumerate(BAD.values())]
    lines.append(f"  - {{id: r{len(BAD)}, price: {{table: {{file: rates.csv, key: [zone], column: price}}}}}}")
    (folder / "rates.csv").write_text(RATES)
    (folder / "book.yaml").write_text(BOOK.format(rules="\n".join(lines)))
    return folder / "book.yaml"


def test_all_that_is_wrong_is_told_at_once_and_refused_at_start(tmp_path: Path) -> None:
    """A price list with fifteen mistakes would take fifteen attempts, or bill with the one that nobody was told of."""
    path = _book(tmp_path)
    wanted = [f"{path}:{8 + i}: charges[0].rules[{i}].{words}" for i, (_, words) in enumerate(BAD.values())]
    wanted += [
        f'{path}:{10 + len(BAD)}: charges[1].rules[0].price.percentage.of: "usage" has prices that depend on a period, so that its amounts are not known yet; name a group without them, or repeat the percentage as prices of its own',
        (
            f'{path}:{12 + len(BAD)}: rollups[0].by: "contry" is not a dimension; '
            "add it to dimensions, or use one of product, country"
        ),
        f'{tmp_path}/rates.csv:4: zone: "eu" is in line 2 already; keep one of them',
    ]
    assert [str(problem) for problem in check(path)] == wanted
    with pytest.raises(BookError) as refused:
        load(path)
    assert str(refused.value).splitlines() == wanted


def test_a_bomb_of_aliases_is_refused_where_it_begins(tmp_path: Path) -> None:
    """A file of 500 bytes would take all memory of whoever checks it."""
    path = tmp_path / "bomb.yaml"
    path.write_text(BOMB)
    problems = [str(problem) for problem in check(path)]
    assert problems
    assert any(f"{path}:1: " in one and "the anchor &a is not allowed" in one for one in problems)


def test_a_book_of_100_megabytes_is_not_read(tmp_path: Path) -> None:
    """A table that was pasted into the book would stop a worker for minutes, or take its memory."""
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    problems = [str(problem) for problem in check(path)]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert problems == [f"{path}: is larger than 16 MiB; move prices into CSV tables"]
    assert peak_bytes < 50_000_000
