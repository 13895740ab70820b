"""Row texts: columns as SQL text, and back."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.literal import literal
from billing.rowtext import decimals, integers, literals, verbatim, written
from billing.texts import Pool, Texts
from rules.columns import Decimals

int64s = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)  # the first call compiles
@given(st.lists(int64s, min_size=1), st.integers(0, 18))
def test_decimals_are_exact(units, scale):
    """An amount would be written as another one."""
    text = bytes(written(decimals(Decimals(np.array(units, dtype=np.int64), scale)))).decode()
    assert [Decimal(one) for one in text[1:-1].split("),(")] == [Decimal(unit).scaleb(-scale) for unit in units]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_unsigned_integers_keep_all_their_bits(values):
    """Digests would differ from those of the worker, and repeats be taken for conflicts."""
    text = bytes(written(integers(np.array(values, dtype=np.uint64)))).decode()
    assert [int(one) for one in text[1:-1].split("),(")] == values


@pytest.mark.parametrize(
    ("units", "scale", "text"),
    [(0, 0, b"(0)"), (0, 12, b"(0.000000000000)"), (-5, 1, b"(-0.5)"), (-(2**63), 0, b"(-9223372036854775808)")],
)
def test_zeros_and_signs_stand_where_sql_wants_them(units, scale, text):
    """A server would read another number, or refuse the packet."""
    assert written(decimals(Decimals(np.array([units], dtype=np.int64), scale))) == text


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(), min_size=1, max_size=5))
def test_texts_never_leave_their_quotes(texts):
    """An attribute could end the statement and begin one of its own."""
    rows = bytes(written(literals(pa.array(texts, type=pa.string())))).decode()[1:-1].split("),(")
    if any(row.startswith("x'") for row in rows):
        assert [bytes.fromhex(row[2:-1]).decode() if row.startswith("x'") else row[1:-1] for row in rows] == texts
    else:
        assert ",".join(rows).isprintable()
        assert not {"'", "\\"} & set("".join(texts))


def test_columns_stand_side_by_side():
    """Values of one row would be written into another."""
    fields = (
        integers(np.array([1, -20], dtype=np.int32)),
        literals(pa.array(["a", "b"]).slice(0)),
        verbatim(Texts(Pool.of_list(["x,y", "z"]), np.array([1, 0]))),
        decimals(Decimals(np.array([10**30, 1], dtype=object), 2)),
    )
    assert written(*fields, before="ROW") == b"ROW(1,'a',z,10000000000000000000000000000.00),ROW(-20,'b',x,y,0.01)"


def test_a_slice_of_a_column_is_what_is_written():
    """Rows of another shard would be sent."""
    assert written(literals(pa.array(["a", "bb", "ccc", "d"]).slice(1, 2))) == b"('bb'),('ccc')"


def test_numbers_of_every_length():
    """A digit would be lost where digits are written eight at once."""
    values = [number for digits in range(20) for number in (10**digits - 1, 10**digits)]
    assert bytes(written(integers(np.array(values, dtype=np.uint64)))).decode() == _rows(map(str, values))
    for scale in range(1, 19):
        texts = [f"{value // 10**scale}.{value % 10**scale:0{scale}d}" for value in values[:-3]]
        column = Decimals(np.array(values[:-3], dtype=np.int64), scale)
        assert bytes(written(decimals(column))).decode() == _rows(texts)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 17])
def test_a_harmful_byte_is_seen_wherever_it_stands(length):
    """A quote in one place of eight would end the literal."""
    texts = ["a" * at + chr(byte) + "z" * (length - at - 1) for byte in range(256) for at in range(length)]
    found = bytes(written(literals(pa.array(texts, type=pa.string())))).decode()
    assert found == _rows(map(literal, texts))


def _rows(values):
    return ",".join(f"({value})" for value in values)
