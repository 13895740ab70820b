"""Quotes: how a text of unknown length appears in a message.

Owns only that.
"""

from typing import Final

_SHOWN_MAX: Final = 60  # characters that a message repeats; the rest says nothing new


def quoted(text: str) -> str:
    """Return a text in quotes on one line, shortened if it is long."""
    shown = text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
    return f'"{shown}"' if shown.isprintable() else f'"{shown.encode("unicode_escape").decode("ascii")}"'
