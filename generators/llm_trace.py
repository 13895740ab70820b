"""The recorded trace: real calls of a large language model, as events.

Owns the reading of generators/data and the choice of an account and a model for each call. Must not know prices.
"""

import csv
import gzip
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from generators import tokens
from generators.population import Model, Population

CALLS: Final = 19_366
TRACE_FILE: Final = "data/azure_llm_inference_trace_2023_conv.csv.gz"
_POPULATION: Final = Population(Model.SKEWED, accounts=200, exponent=1.1)
_CALLS_AT_ONCE: Final = 4_096
_HASH_BITS: Final = 64
_FLOAT_BITS: Final = 53


def events() -> Iterator[bytes]:
    """Yield the calls of the trace as JSON events, in the order of the trace, always the same.

    The id is the call's row number, from 1. The trace names neither customers nor models, so each call's account (of
    200, skewed), model and cached part of the prompt are drawn by a hash of its row number. `input_tokens` and
    `cached_input_tokens` add up to the trace's ContextTokens; `output_tokens` are its GeneratedTokens. Times keep all
    seven digits of the trace's text.
    """
    with (
        files("generators").joinpath(TRACE_FILE).open("rb") as file,
        gzip.open(file, "rt", encoding="ascii", newline="") as lines,
    ):
        rows = list(csv.reader(lines))[1:]
    for first in range(0, len(rows), _CALLS_AT_ONCE):
        moments, prompts, outputs = zip(*rows[first : first + _CALLS_AT_ONCE], strict=True)
        numbers = range(first + 1, first + 1 + len(moments))
        yield from tokens.render_calls(
            [f"azure-conv-{number:05d}" for number in numbers],
            _POPULATION.accounts_of(np.array(numbers, dtype=np.int64), _draws("account", numbers)),
            [f"{moment.replace(' ', 'T')}Z" for moment in moments],
            models=tokens.choose_models(_draws("model", numbers)),
            prompt_tokens=np.array(prompts, dtype=np.int64),
            output_tokens=np.array(outputs, dtype=np.int64),
            cached_eighths=(_draws("cached", numbers) * tokens.CACHE_EIGHTHS).astype(np.int64),
        )


def _draws(purpose: str, numbers: range) -> NDArray[np.float64]:
    """Return one draw in [0, 1) for each row number, independent of other purposes and the same on every machine."""
    hashes = (
        xxhash.xxh3_64_intdigest(f"{purpose}/{number}".encode()) >> (_HASH_BITS - _FLOAT_BITS) for number in numbers
    )
    return np.fromiter(hashes, dtype=np.float64, count=len(numbers)) / 2.0**_FLOAT_BITS
