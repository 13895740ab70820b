"""Kept attributes: those that a book keeps for statements, as the JSON text that stands on an event's first line.

Owns the text. Must not know prices.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from billing.event import Events
from rules.columns import MISSING

KEPT_BYTES_MAX: Final = 4_096  # width of records.kept
_encode_lines = msgspec.json.Encoder().encode_lines


def kept_texts(events: Events, names: Sequence[str]) -> pa.StringArray:
    """Render the attributes that a book keeps as JSON text, one string an event ("" where it has none of them)."""
    columns = []
    for name in names:
        column = events.attributes[name]
        if column.values:
            texts = column.values.derived(_labelled(name))
            absent = column.codes == MISSING
            columns.append(texts.take(pa.array(column.codes, mask=absent)))
    if not columns:
        return pa.array([""] * len(events), type=pa.string())
    filled = [column.fill_null("") for column in columns]  # Arrow 26 loses a row whose values are all null
    joined = pc.binary_join_element_wise(*filled, "")
    object_texts = pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(joined, 1), "}", "")
    return pc.if_else(pc.equal(joined, ""), "", object_texts)


@lru_cache(maxsize=1_024)  # the same function each time, by which a dictionary knows what it has computed
def _labelled(name: str) -> Callable[[Sequence[str]], pa.StringArray]:
    """Return what renders values of one attribute as members of a JSON object, each with a comma in front."""
    label = "," + msgspec.json.encode(name).decode() + ":"

    def members(values: Sequence[str]) -> pa.StringArray:
        texts = _encode_lines(values).decode().split("\n")  # each line ends, so the last one is empty
        return pa.array([label + text for text in texts[:-1]], type=pa.string())

    return members


def too_long(kept: pa.StringArray) -> list[int]:
    """Return the rows whose text is wider than the column of records that keeps it."""
    return np.flatnonzero(pc.binary_length(kept).to_numpy() > KEPT_BYTES_MAX).tolist()
