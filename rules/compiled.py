"""Compiled functions: loops over bytes and integers that numpy has no operation for, translated to machine code.

Owns how they are compiled, and how columns of text get into them. They take numpy arrays and integers only, and never
fail on what the arrays contain.
Source of the rules: the numba reference manual, chapter "Supported Python features".
"""

import threading
from collections.abc import Callable, Mapping
from functools import cache, update_wrapper
from typing import Any, Final, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., object])
# Without reference counts: no compiled function makes an array, and counting takes half of the time of short calls.
# Without a form for callers in C: there are none, and it is compiled like the others.
_OPTIONS: Final[Mapping[str, Any]] = {"_nrt": False, "forceinline": True, "no_cfunc_wrapper": True}
_making: Final = threading.RLock()  # threads of the API may be the first to call a loop; a loop makes those it calls
_steps: Final[list[Callable[..., object]]] = []  # that numba has not been told of


class Loop:
    """A compiled function that is made when it is first called, by Python or by another: numba takes long to import."""

    def __init__(self, function: Callable[..., object]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._made: Any = None

    def __call__(self, *given: object) -> object:
        """Call what was made of the function."""
        return (self._made or self.made())(*given)

    def made(self) -> Any:  # noqa: ANN401 - numba's
        """Return what numba makes of the function; its code is kept on disk where there is a place for it."""
        with _making:
            if self._made is None:
                self._made = _make(self._function)
            return self._made


def compiled(function: _Function) -> _Function:
    """Compile a function when it is first called, by position, and keep the machine code where there is a place."""
    return cast("_Function", Loop(function))


def step(function: _Function) -> _Function:
    """Compile a function as a part of those that call it, which are compiled: Python runs it as it stands."""
    _steps.append(function)
    return function


def _make(function: Callable[..., object]) -> object:
    from numba import njit  # noqa: PLC0415 - half a second, without which a command does that calls no loop
    from numba.extending import register_jitable  # noqa: PLC0415

    from rules.machine_code import kept  # noqa: PLC0415

    _introduce_loops()
    while _steps:
        register_jitable(**_OPTIONS)(_steps.pop())
    try:
        with kept():
            return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(**_OPTIONS)(function)


@cache
def _introduce_loops() -> None:
    """Let a loop call another one: to numba it is what is made of it."""
    from numba.extending import typeof_impl  # noqa: PLC0415

    typeof_impl.register(Loop)(lambda loop, context: typeof_impl(loop.made(), context))


@step
def item(array: NDArray[Any], at: int) -> Any:  # noqa: ANN401 - an element of the array
    """Return `array[at]`, at >= 0, without asking for the sign of `at`, which may cost more than a byte does."""
    return array[np.uint64(at)]


@step
def put(array: NDArray[Any], at: int, value: Any) -> None:  # noqa: ANN401
    """Set `array[at]`, at >= 0, as `item` reads it."""
    array[np.uint64(at)] = value


def text_buffers(texts: pa.StringArray) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the bytes of a column of n texts, and n + 1 bounds of theirs in them, without a copy."""
    _, bounds, data = texts.buffers()
    letters = np.frombuffer(b"" if data is None else data, dtype=np.uint8)
    return letters, np.frombuffer(bounds, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
