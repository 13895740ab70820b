"""Commands: what they import, and what lists of them say."""

import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cyclopts import App

import bench.cli
import billing.cli
from rules import books_path


def commands(app: App) -> Iterator[App]:
    """Give the commands that do something, also those of groups."""
    for name in app:
        if not name.startswith("-"):
            yield from [app[name]] if app[name].default_command else commands(app[name])


@pytest.mark.parametrize("app", [billing.cli.app, bench.cli.app], ids=["billing", "billing-bench"])
def test_a_list_of_commands_says_of_each_what_its_help_does(app: App) -> None:
    """Lists are made from sources that nobody has imported."""
    every = list(commands(app))
    assert every
    for command in every:
        assert inspect.cleandoc(command.help) == inspect.getdoc(command.default_command)


def test_who_calls_no_loop_does_not_wait_for_the_compiler() -> None:
    """It takes half a second to load, and 60 MiB."""
    modules = ", ".join(f"billing.cli.{name}" for name in ("books", "closing", "keys", "look", "quarantine", "shards"))
    book = f"from rules.load import load; load({str(books_path() / 'telecom.yaml')!r})"
    code = f"import sys, {modules}; {book}; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
