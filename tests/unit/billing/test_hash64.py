"""XXH64 in compiled loops, checked against the reference implementation."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from billing.hash64 import hash64


@settings(deadline=None)  # the first call compiles
@given(st.binary(max_size=200), st.binary(max_size=9))
@example(bytes(31), b"")
@example(bytes(32), b"")
@example(b"\xff" * 64, b"")
def test_it_is_xxh64(data, before):
    """A worker of another make would take repeats for conflicts, or the other way round."""
    column = np.frombuffer(before + data + b"after", dtype=np.uint8)
    assert int(hash64(column, len(before), len(before) + len(data))) == xxh64_intdigest(data)
