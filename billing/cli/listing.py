"""Commands that are imported when they are called, and listed with what their docstrings say."""

import re
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path

from cyclopts import App


def add(commands: App, path: str, name: str | None = None) -> None:
    """Add the command `module:function`, whose name is the function's unless there is another."""
    commands.command(path, name=name, help=_docstring(path))


def _docstring(path: str) -> str:
    """Read a function's docstring from the source of its module, which is not imported."""
    module, _, function = path.partition(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None, "a module of the product is a file"
    source = Path(spec.origin).read_text(encoding="utf-8")
    found = re.search(rf'^def {function}\(.*?^    """(.*?)"""', source, re.MULTILINE | re.DOTALL)
    assert found is not None, "a command says what it does"
    return cleandoc(found[1])
