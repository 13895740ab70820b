"""Scanning: where texts end, whatever they are made of."""

import numpy as np
import pytest

from billing.scan import _IDENTIFIER, _TEXT, _text_end, kinds_of
from billing.wire import IDENTIFIER

FILL = b"abcdefghijklmnopqrst"


def ends(text: bytes, kind: int) -> int:
    """Return where a text ends that a quote begins, by the scanner."""
    data = b'"' + text
    return int(_text_end(np.frombuffer(data, dtype=np.uint8), kinds_of(data), 0, len(data), kind))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 15, 16, 20])
@pytest.mark.parametrize("byte", range(0x80))
def test_each_byte_ends_a_text_or_is_part_of_it(length: int, byte: int) -> None:
    """An event would be read with half of its account, or with a byte in it that an account may not have."""
    for place in range(length):
        text = FILL[:place] + bytes([byte]) + FILL[place + 1 : length] + b'"'
        is_text = byte >= 0x20 and byte not in b'"\\'
        is_identifier = IDENTIFIER.fullmatch(chr(byte)) is not None
        end = 1 + (place if byte == ord('"') else length)
        assert ends(text, _TEXT) == (end if is_text or byte == ord('"') else -1)
        assert ends(text, _IDENTIFIER) == (end if is_identifier or byte == ord('"') else -1)


@pytest.mark.parametrize("place", range(9))
def test_text_outside_ascii(place: int) -> None:
    """Names of people and places would be refused, or bytes accepted that are no text."""
    text = FILL[:place] + "é€😀".encode() + FILL + b'"'
    assert ends(text, _TEXT) == len(text)
    assert ends(text, _IDENTIFIER) == -1
    assert ends(FILL[:place] + b"\xff" + FILL + b'"', _TEXT) == -1


@pytest.mark.parametrize("length", range(18))
def test_a_text_without_an_end(length: int) -> None:
    """The scanner would read on into the next event."""
    assert ends(FILL[:length], _TEXT) == -1
