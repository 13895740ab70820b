"""Scanning: where texts end, whatever they are made of."""

import numpy as np
import pytest

from billing.scan import _IDENTIFIER, _TEXT, PADDING, _text_end, outside_of
from billing.wire import IDENTIFIER

FILL = b"abcdefghijklmnopqrst"


def read(text: bytes) -> np.ndarray:
    """Return a text as the scanner has it: behind a quote, before what makes eight bytes readable everywhere."""
    return np.frombuffer(b'"' + text + PADDING, dtype=np.uint8)


def text_end(text: bytes) -> int:
    """Return where a text ends that a quote begins, by the scanner."""
    return int(_text_end(read(text), outside_of(read(text)), 0, 1 + len(text), _TEXT))


def identifier_end(text: bytes) -> int:
    """Return where an identifier ends that a quote begins, by the scanner."""
    return int(_text_end(read(text), outside_of(read(text)), 0, 1 + len(text), _IDENTIFIER))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 15, 16, 20])
@pytest.mark.parametrize("byte", range(0x80))
def test_each_byte_ends_a_text_or_is_part_of_it(length: int, byte: int) -> None:
    """An event would be read with half of its account, or with a byte in it that an account may not have."""
    for place in range(length):
        text = FILL[:place] + bytes([byte]) + FILL[place + 1 : length] + b'"'
        is_text = byte >= 0x20 and byte not in b'"\\'
        is_identifier = IDENTIFIER.fullmatch(chr(byte)) is not None
        end = 1 + (place if byte == ord('"') else length)
        assert text_end(text) == (end if is_text or byte == ord('"') else -1)
        assert identifier_end(text) == (end if is_identifier or byte == ord('"') else -1)


@pytest.mark.parametrize("place", range(9))
def test_text_outside_ascii(place: int) -> None:
    """Names of people and places would be refused, or bytes accepted that are no text."""
    text = FILL[:place] + "é€😀".encode() + FILL + b'"'
    assert text_end(text) == len(text)
    assert identifier_end(text) == -1
    assert text_end(FILL[:place] + b"\xff" + FILL + b'"') == -1


@pytest.mark.parametrize("length", range(18))
def test_a_text_without_an_end(length: int) -> None:
    """The scanner would read on into the next event."""
    assert text_end(FILL[:length]) == -1
