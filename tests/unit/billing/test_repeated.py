"""Fields that an event names twice: neither value can be billed, since nobody knows which one was meant."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.repeated import may_repeat, repeated_name
from billing.wire import InvalidEventError, Reason, read_event

TIME = '"time":"2026-01-01T00:00:00Z"'
ACCOUNT = '"account":"a"'
PLAIN = f'"id":"e",{ACCOUNT},"product":"sms",{TIME}'
CLOUD = f'"specversion":"1.0","id":"e","source":"s","type":"t",{TIME}'
CREDIT = '"credit":{"kind":"payment","amount":"10","currency":"USD"}'
TWICE = [
    (f'{{{PLAIN},"id":"e"}}', "id"),
    (f'{{{PLAIN},"i\\u0064":"e"}}', "id"),
    (f'{{"quantity" \n:"bad",{PLAIN},"quantity":1}}', "quantity"),
    (f'{{{PLAIN},"attributes":{{"to":"1","to":"2"}}}}', "to"),
    (f'{{{PLAIN},"attributes":{{"x y":"1","x y":"1"}}}}', "a field"),
    (f'{{{PLAIN},"attributes":{{}},"attributes":{{"to":"2"}}}}', "attributes"),
    (f'{{"id":"e","type":"credit",{ACCOUNT},{TIME},{CREDIT},{CREDIT}}}', "credit"),
    (f'{{"id":"e","type":"credit",{ACCOUNT},{TIME},{CREDIT[:-1]},"amount":"11"}}}}', "amount"),
    (f'{{{CLOUD},"data":{{{ACCOUNT},{ACCOUNT},"product":"sms"}}}}', "account"),
    (f'{{{CLOUD},"data":{{{ACCOUNT},"product":"sms"}},"trace":1,"trace":2}}', "trace"),
    (f'{{{CLOUD},"data":{{{ACCOUNT},"product":"sms"}},"trace":{{"a":1,"a":2}}}}', "a"),
]
ONCE = [
    f"{{{PLAIN}}}",
    f'{{{PLAIN},"attributes":{{"to":"\\": \\":","a":"{{\\"a\\":1,\\"a\\":2}}"}}}}',  # quotes and colons inside a text
    f'{{"id":"e","type":"credit",{ACCOUNT},{TIME},{CREDIT}}}',
    f'{{{CLOUD},"data":{{{ACCOUNT},"product":"sms","attributes":{{"id":"2","account":"b"}}}},"trace":{{"id":1}}}}',
]


@pytest.mark.parametrize(("text", "name"), TWICE)
def test_an_event_that_names_a_field_twice_goes_to_quarantine(text, name):
    """A gateway that checks the first value would let a second one through that bills somebody else."""
    with pytest.raises(InvalidEventError, match=f"^{name} is named twice$") as caught:
        read_event(text.encode())
    assert caught.value.reason is Reason.BAD_FIELD
    assert caught.value.account == "a"


@pytest.mark.parametrize("text", ONCE)
def test_names_of_different_objects_and_texts_are_no_repeats(text):
    """Sound events would not be billed."""
    assert read_event(text.encode()).id == "e"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a":"b"', "Expecting"), (rb'{"a":"\ud800"}', "surrogates"), (b'{"a":"\xff"}', "codec"),
        (b"[" * 65_000, "too deep"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_no_json(text, words):
    """Bytes that nobody can read would end the worker, or count as if they said something."""
    with pytest.raises(ValueError, match=words):
        repeated_name(text)


names = st.text(max_size=4)
trees = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def written(tree, *, twice=False):
    """Write JSON; the first object with a name has that name twice, where that is wanted. Returns text and names."""
    if isinstance(tree, dict):
        pairs = []
        count = len(tree)
        for name, value in tree.items():
            text, inner = written(value)
            pairs.append(f"{json.dumps(name)} : {text}")
            count += inner
        return "{" + ",".join([*pairs, *(pairs[:1] if twice else [])]) + "}", count
    if isinstance(tree, list):
        texts = [written(value) for value in tree]
        return "[" + ",".join(text for text, _ in texts) + "]", sum(count for _, count in texts)
    return json.dumps(tree), 0


@given(st.dictionaries(names, trees, min_size=1, max_size=3))
def test_no_repeat_is_missed(tree):
    """An event with two accounts would be billed to one of them."""
    text, count = written(tree, twice=True)
    assert may_repeat(text.encode(), count)
    assert repeated_name(text.encode()) == next(iter(tree))
    text, count = written(tree)
    assert repeated_name(text.encode()) is None
    if text.count(":") == count:  # else a text has one, and the text is read once more
        assert not may_repeat(text.encode(), count)
