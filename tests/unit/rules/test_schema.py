"""The JSON Schemas of books and cases: editors mark what the loader refuses, as far as a schema can say it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from rules import books_path
from tests.rulebooks import HEAD
from tests.unit.rules import test_cases, test_load
from tests.unit.rules.price import test_call, test_free_percentage, test_graduated, test_package
from tests.unit.rules.test_models import PAGES, charges_of, examples

BOOK: dict[str, Any] = json.loads((books_path() / "schema.json").read_text(encoding="utf-8"))
CASES: dict[str, Any] = json.loads((books_path() / "cases.schema.json").read_text(encoding="utf-8"))

# What no schema can say, since it compares places of the document, or other files; in the loader's words.
BEYOND = re.compile(
    "exists already|is given twice|is listed twice|the anchor|the tag|the rule is never in effect"
    "|is not an earlier group|is not a dimension|cannot be read|is below the minimum|max is not in it"
    "|is not above .*(begins|in order)|overlaps the tier|leaves a gap|add an open tier|only the last tier"
    "|is not a time zone|places; round it to 4|2026-02-30"
)
# YAML has read these before a schema sees them: +1 is the number 1, 0x10 is 16; or has refused them.
READ_BY_YAML = re.compile(r'YAML reads \+1|"0x10" is not|aliases are not allowed|a key must be plain text')


def _plain(text: str) -> object:
    """Read YAML with dates left as text, as editors do."""
    loader = type("Plain", (yaml.SafeLoader,), {})
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in pairs if not tag.endswith("timestamp")]
        for first, pairs in resolvers.items()
    }
    return yaml.load(text, Loader=loader)


def _faults(schema: dict[str, Any], text: str) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(_plain(text))]


def _parameters(test: Any) -> list[tuple[Any, ...]]:
    """Return what a test is run with."""
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    values: list[tuple[Any, ...]] = mark.args[1]
    return values


def _rule(price: str) -> str:
    return f"{HEAD}charges:\n- group: usage\n  rules:\n  - {{id: r0, price: {{{price}}}}}\n"


def _bad_books() -> Iterator[tuple[str, str]]:
    """Yield the text of every bad book of the loader's tests, and the problem that it has."""
    for old, new, problem in _parameters(test_load.test_every_error_says_where_and_what_to_do):
        yield test_load.GOOD.replace("until: 2026", "until: 2027").replace(old, new, 1), problem
    for tiers, problem in _parameters(test_graduated.test_bad_tiers_are_told):
        for model in ("graduated", "volume"):
            yield _rule(f"{model}: {{per: month, tiers: {tiers}}}"), problem
    for options, problem in _parameters(test_package.test_bad_packages_are_told):
        yield _rule(f"package: {{per: month, {options}}}"), problem
    for options, problem in _parameters(test_free_percentage.test_bad_percentages_are_told):
        yield _rule(f"percentage: {{{options}}}"), problem
    for options, problems in _parameters(test_call.test_bad_calls):
        yield _rule(f"call: {{{options}}}"), problems[0]


BAD_BOOKS = list(_bad_books())
TOLD = {problem: text for text, problem in BAD_BOOKS if not BEYOND.search(problem) and not READ_BY_YAML.search(problem)}


@pytest.mark.parametrize("schema", [BOOK, CASES])
def test_a_schema_is_one(schema: dict[str, Any]) -> None:
    """Editors would ignore it without a word."""
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", sorted(books_path().glob("*.yaml")), ids=lambda path: path.name)
def test_the_package_s_files_satisfy_their_schema(path: Path) -> None:
    """The first file that a user opens would be marked as wrong, or not be checked at all."""
    text = path.read_text(encoding="utf-8")
    name = "cases.schema.json" if path.name.endswith(".cases.yaml") else "schema.json"
    assert text.startswith(f"# yaml-language-server: $schema={name}\n")
    assert _faults(json.loads((books_path() / name).read_text(encoding="utf-8")), text) == []


def test_every_example_of_the_format_satisfies_the_schema() -> None:
    """Whoever copies an example from the documentation would see it marked as wrong."""
    text = (books_path() / "FORMAT.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    books = [block for block in blocks if "\nbook:" in block]
    cases = [block for block in blocks if "\ncases:" in block]
    assert books
    assert cases
    assert [fault for block in books for fault in _faults(BOOK, block)] == []
    assert [fault for block in cases for fault in _faults(CASES, block)] == []
    inline = [
        price for price in re.findall(r"^\| \[?`(\{\w+: .*?\})`", text, flags=re.MULTILINE) if "product" not in price
    ]
    assert len(inline) >= 8
    assert [fault for price in inline for fault in _faults(BOOK, _rule(price[1:-1]))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_of_a_model_satisfies_the_schema(page: Path) -> None:
    """The model would be marked as wrong in the editor of whoever follows its page."""
    for example in examples(page):
        assert _faults(BOOK, HEAD + charges_of(example)) == []


def test_a_whole_book_satisfies_the_schema() -> None:
    """Every test below would pass, since its book is wrong anyway."""
    assert _faults(BOOK, test_load.GOOD) == []
    assert len(TOLD) > 50


@pytest.mark.parametrize("problem", TOLD)
def test_what_the_loader_refuses_is_marked(problem: str) -> None:
    """A mistake would be found when the book is loaded, although the editor could have shown it."""
    assert _faults(BOOK, TOLD[problem]) != []


@pytest.mark.parametrize(("text", "problem"), _parameters(test_cases.test_what_is_no_case_is_told))
def test_what_is_no_case_is_marked(text: str, problem: str) -> None:
    """A misspelt expectation would look right until it is run."""
    assert bool(_faults(CASES, text)) is not bool(BEYOND.search(problem))
