"""Literals: single values as SQL text; columns of them are written by `billing.rowtext` and `billing.columntext`.

Text is quoted when harmless and a hex literal otherwise, whatever is in it. Must not know tables or dialects.
"""

from typing import Final

# Printable ASCII that means nothing inside single quotes, under every sql_mode.
HARMLESS: Final = bytes(set(range(0x20, 0x7F)) - set(b"'\\"))


def literal(text: str) -> str:
    """Encode one text."""
    data = text.encode()
    return hexadecimal(data) if data.translate(None, HARMLESS) else f"'{text}'"


def hexadecimal(data: bytes) -> str:
    """Encode bytes."""
    return f"x'{data.hex()}'"
