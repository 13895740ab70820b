"""Machine code on disk: where that of compiled loops is kept, and until when; who compiles says so.

A loop's code has in it what it calls and every constant that it names, wherever they stand, so that it is of all those
sources; numba would look at the loop's own file only, and go on with what an upgrade has replaced elsewhere.
Source: the numba manual, chapter "Notes on Caching", section "Caching Limitations"; `NUMBA_CACHE_LOCATOR_CLASSES`.
"""

import hashlib
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import numba
from numba.core import caching, event

from rules.compiled import Loop

_config: Any = numba.config
_log = logging.getLogger(__name__)
_PACKAGES: Final = frozenset({"billing", "rules", "sharding"})  # whose modules loops are made of
_IMPORT: Final = re.compile(r"^(?:from|import) ([\w.]+)(?: import (?:\(([^)]*)\)|([\w, ]+)))?", re.MULTILINE)


class _OfAllSources:
    """What a kept loop was made of: its module, and those of the product that it imports, or that these import."""

    def __init__(self, py_func: Callable[..., object], py_file: str) -> None:
        super().__init__(py_func, py_file)  # type: ignore[call-arg]  # of the locator that comes next
        self._module = py_func.__module__

    def get_source_stamp(self) -> bytes:
        """Return what changes with any of them."""
        return source_stamp(self._module)


class Chosen(_OfAllSources, caching.UserProvidedCacheLocator):
    """The folder that NUMBA_CACHE_DIR names."""


class BesideSource(_OfAllSources, caching.InTreeCacheLocator):
    """The package's own folder, where it can be written to."""


class OfUser(_OfAllSources, caching.UserWideCacheLocator):
    """The user's cache, where that can be."""


@contextmanager
def kept() -> Iterator[None]:
    """Keep the code of what is decorated meanwhile.

    Raises: RuntimeError, by numba, where none of the places can be written to.
    """
    before = _config.CACHE_LOCATOR_CLASSES
    _config.CACHE_LOCATOR_CLASSES = ",".join(f"{__name__}.{one.__name__}" for one in (Chosen, BesideSource, OfUser))
    try:
        yield
    finally:
        _config.CACHE_LOCATOR_CLASSES = before


def source_stamp(module: str) -> bytes:
    """Return a digest of the sources of a module that is being imported, or has been; see `_OfAllSources`."""
    packages = _PACKAGES | {module.partition(".")[0]}
    found, waiting = dict[str, bytes](), [module]
    while waiting:
        name = waiting.pop()
        if name not in found and name in sys.modules and name.partition(".")[0] in packages:
            found[name], imported = _read(str(sys.modules[name].__file__))
            waiting += imported
    return hashlib.sha256(b"".join([found[name] for name in sorted(found)])).digest()


def is_kept(function: Callable[..., object]) -> bool:
    """Tell whether a compiled function's code has a place on disk."""
    return cast("Loop", function).made().stats.cache_path is not None


def is_ready(work: Callable[[], object]) -> bool:
    """Do some work; return False, with the work given up, as soon as it needs a loop whose code is not there."""
    _compiling.is_asked = True
    try:
        work()
    except _NotThereError:
        return False
    finally:
        _compiling.is_asked = False
    return True


class _NotThereError(Exception):
    """A loop would have to be compiled."""


class _Compiling(event.Listener):
    """Hears that a loop is to be compiled, and says so once, or stops it where that is asked for."""

    is_asked = is_told = False

    def on_start(self, event: Any) -> None:  # noqa: ANN401, ARG002 - numba's
        """Hear of it."""
        if self.is_asked:
            raise _NotThereError
        if not self.is_told:
            self.is_told = True
            why = "once for each version and processor, half a minute for all; NUMBA_CACHE_DIR names where it is kept"
            _log.info("compiling", {"why": why})

    def on_end(self, event: Any) -> None:  # noqa: ANN401 - numba's
        """Have nothing to do."""


_compiling: Final = _Compiling()
event.register("numba:compile", _compiling)  # type: ignore[no-untyped-call]  # numba has no types


@cache
def _read(source: str) -> tuple[bytes, list[str]]:
    """Return a digest of a source, and what it imports: modules, and names in them, which may be modules too."""
    data = Path(source).read_bytes()
    imported = []
    for module, lines, names in _IMPORT.findall(data.decode()):
        imported += [module, *(f"{module}.{name.split()[0]}" for name in (lines or names).split(",") if name.strip())]
    return hashlib.sha256(data).digest(), imported
