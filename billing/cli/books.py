"""Commands of who writes prices: check a book, test it by its golden cases; others have modules of their own."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from billing.cli.setup import out
from rules.cases import failures
from rules.lint import warnings
from rules.load import examine, load
from rules.read_cases import beside, is_cases, read_cases


def check(*books: Annotated[Path, Parameter(required=True)], strict: bool = False) -> int:
    """Check rulebooks and their tables: every problem with its file, line and key. Exit code 1 if there is any.

    A book without problems may still have warnings: rules that never win, gaps between dates, dimensions that nothing
    uses or that have too many values, table rows that no rule can use.

    Parameters
    ----------
    books
        The books' files.
    strict
        Exit with 1 for warnings too.
    """
    problems = remarks = 0
    for path in books:
        examined = examine(path)
        for problem in examined.problems:
            _say(str(problem))
        problems += len(examined.problems)
        if examined.problems or examined.book is None or examined.root is None:
            continue
        book, currencies = examined.book, ", ".join(examined.book.currencies)
        odd = warnings(book, examined.root, path)
        for warning in odd:
            _say(str(warning))
        remarks += len(odd)
        _say(
            f"{path}: book {book.name} version {book.version} in {currencies}: {len(book.rules)} rules in "
            f"{len(book.groups)} groups, {len(book.rollups)} rollups; no problem"
            + (f", {len(odd)} warning{'s' if len(odd) > 1 else ''}" if odd else "")
        )
    return 1 if problems or (strict and remarks) else 0


def test(*books: Annotated[Path, Parameter(required=True)]) -> int:
    """Price the golden cases that are kept beside rulebooks and compare. Exit code 1 if any charge differs.

    Parameters
    ----------
    books
        The books' files, whose cases are in NAME.cases.yaml beside NAME.yaml; or files of cases.
    """
    wrong = 0
    for path in books:
        cases = read_cases(path if is_cases(path) else beside(path))
        differences = list(failures(load(cases.book), cases))
        for difference in differences:
            _say(str(difference))
        events = sum(len(case.events) for case in cases.cases)
        outcome = f"{len(differences)} differences" if differences else "every charge as expected"
        _say(f"{cases.path}: {len(cases.cases)} cases, {events} events: {outcome}")
        wrong += len(differences)
    return 1 if wrong else 0


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
