"""Compiled functions: loops over bytes and integers that numpy has no operation for, translated to machine code.

Owns how they are compiled, and how columns of text get into them. They take numpy arrays and integers only, and never
fail on what the arrays contain.
Source of the rules: the numba reference manual, chapter "Supported Python features".
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
import pyarrow as pa
from numba.extending import register_jitable
from numpy.typing import NDArray

from rules.machine_code import kept

_Function = TypeVar("_Function", bound=Callable[..., object])
# Without reference counts: no compiled function makes an array, and counting takes half of the time of short calls.
# Without a form for callers in C: there are none, and it is compiled like the others.
_OPTIONS: Final[Mapping[str, Any]] = {"_nrt": False, "forceinline": True, "no_cfunc_wrapper": True}


def compiled(function: _Function) -> _Function:
    """Compile a function when it is first called, and keep the machine code on disk where there is a place for it."""
    try:
        with kept():
            made = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = numba.njit(**_OPTIONS)(function)
    return cast("_Function", made)


def step(function: _Function) -> _Function:
    """Compile a function as a part of those that call it, which are compiled: Python runs it as it stands."""
    return register_jitable(**_OPTIONS)(function)


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
