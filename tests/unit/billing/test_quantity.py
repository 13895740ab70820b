"""Quantities: literal text to exact decimals, or a reason."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.quantity import parse_quantity, read_plain


def read(literal):
    """Read plain digits out of the midst of others, as a decimal, or None."""
    units, places = read_plain(np.frombuffer(b"12" + literal + b"34", dtype=np.uint8), 2, 2 + len(literal))
    return None if places < 0 else Decimal(units).scaleb(-places)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (b"0", "0"),
        (b"-0", "0"),
        (b"0.0", "0"),
        (b"0e9999", "0"),
        (b"1", "1"),
        (b'"1"', "1"),
        (b'"007"', "7"),
        (b"1.50", "1.5"),
        (b"1e3", "1000"),
        (b"1E+3", "1000"),
        (b"12.5e-1", "1.25"),
        (b"1e-12", "0.000000000001"),
        (b"1.0000000000000000000", "1"),
        (b"9223372036854775807", "9223372036854775807"),
        (b"9223372036854775808", "9223372036854775808"),
        (b"99999999999999999999999999", "99999999999999999999999999"),
        (b"99999999999999999999999998.999999999999", "99999999999999999999999998.999999999999"),
        (b'"12345678901234567890123456.123456789012"', "12345678901234567890123456.123456789012"),
        (b"9007199254740993", "9007199254740993"),
        (b"0.1", "0.1"),
        (b'"\\u0031"', "1"),
    ],
)
def test_numbers_are_exact(literal, value):
    """A float or 28 digits of precision would bill another quantity than the one sent."""
    assert parse_quantity(literal) == Decimal(value)
    assert read(literal.strip(b'"')) in {Decimal(value), None}


@pytest.mark.parametrize(
    ("literal", "reason"),
    [
        (b"-1", "is negative"),
        (b"-0.000000000001", "is negative"),
        (b"1e26", "has more than 26 integer digits"),
        (b"100000000000000000000000000", "has more than 26 integer digits"),
        (b"1e9999", "has more than 26 integer digits"),
        (b"1e-13", "has more than 12 decimal places"),
        (b"0.0000000000001", "has more than 12 decimal places"),
        (b"null", "is not a decimal number"),
        (b"true", "is not a decimal number"),
        (b"[1]", "is not a decimal number"),
        (b"{}", "is not a decimal number"),
        (b'""', "is not a decimal number"),
        (b'" 1"', "is not a decimal number"),
        (b'"1,2"', "is not a decimal number"),
        (b'"1_000"', "is not a decimal number"),
        (b'"+1"', "is not a decimal number"),
        (b'".5"', "is not a decimal number"),
        (b'"5."', "is not a decimal number"),
        (b'"NaN"', "is not a decimal number"),
        (b'"Infinity"', "is not a decimal number"),
        ('"\u0661"'.encode(), "is not a decimal number"),
        (b'"\xff"', "is not a decimal number"),
        (b'"1\xff"', "is not a decimal number"),
        (b"1" * 129, "is not a decimal number"),
    ],
)  # fmt: skip
def test_what_is_refused(literal, reason):
    """A customer would be billed for what nobody sent, or the worker stop."""
    assert parse_quantity(literal) == reason
    assert read(literal.strip(b'"')) is None


@pytest.mark.parametrize(
    ("literal", "value"),
    [(b"1", "1"), (b"007", "7"), (b"1.50", "1.50"), (b"0.000000000001", "1e-12"), (b"9" * 18, "9" * 18)],
)
def test_plain_digits_are_read_without_a_python_object(literal, value):
    """Every quantity would take the slow way."""
    assert read(literal) == Decimal(value)


@settings(deadline=None)  # the first call compiles
@given(st.text(alphabet="0123456789.-+e", max_size=24).map(str.encode))
def test_a_number_is_read_as_it_is_parsed_or_not_at_all(literal):
    """The quantity of an event would depend on which of two readers met it."""
    assert read(literal) in {parse_quantity(b'"' + literal + b'"'), None}
