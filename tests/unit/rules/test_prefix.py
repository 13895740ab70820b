"""The longest of many prefixes, found for whole columns and for single texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.columns import MISSING
from rules.prefix import PrefixIndex

PHONE = st.text("+0123456789", min_size=1, max_size=9)
NESTED = st.text("ab", min_size=1, max_size=5)
ODD = st.text("aé\x00\U0001f4de", min_size=1, max_size=3)
LONG = st.text("ab", min_size=1, max_size=80)  # too long for the integers


def _longest(prefixes: list[str], text: str) -> int:
    found = [row for row, prefix in enumerate(prefixes) if text.startswith(prefix)]
    return max(found, key=lambda row: len(prefixes[row]), default=MISSING)


@pytest.mark.parametrize("alphabet", [PHONE, NESTED, ODD, LONG])
@given(data=st.data())
def test_the_longest_prefix_is_found(alphabet: st.SearchStrategy[str], data: st.DataObject) -> None:
    """A call would be billed at the price of another destination."""
    prefixes = data.draw(st.lists(alphabet, unique=True, max_size=25))
    texts = data.draw(st.lists(st.one_of(alphabet, st.text(max_size=4)), max_size=10))
    texts += [*prefixes, *(prefix + "9" for prefix in prefixes), *(prefix[:-1] for prefix in prefixes), ""]
    index = PrefixIndex(prefixes)
    expected = [_longest(prefixes, text) for text in texts]
    assert index.rows(texts).tolist() == expected
    assert [index.row(text) for text in texts] == expected
    assert index.rows([]).tolist() == []


def test_a_deck_of_every_six_digits() -> None:
    """A deck of a million prefixes would be looked up wrongly where its intervals touch."""
    prefixes = [f"{number:06d}" for number in range(0, 1_000_000, 7)] + ["5", "50", "500"]
    index = PrefixIndex(prefixes)
    texts = [f"{number:06d}1" for number in range(499_990, 500_030)]
    assert index.rows(texts).tolist() == [
        number // 7 if number % 7 == 0 else MISSING if number < 500_000 else len(prefixes) - 1
        for number in range(499_990, 500_030)
    ]
