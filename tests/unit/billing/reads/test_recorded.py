"""What has become of an event, told from its lines."""

import pytest

from billing.reads.recorded import EventLine, State, state_of


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([], State.ABSENT),
        ([(0, "sms"), (1, "fee")], State.CHARGED),
        ([(-1, "sms"), (0, "sms")], State.VOIDED),
        ([(0, "!")], State.VOIDED_FIRST),
    ],
)
def test_lines_tell_what_has_become_of_an_event(lines: list[tuple[int, str]], state: State) -> None:
    """Support would tell a customer that a charge stands which was taken back."""
    recorded = [EventLine("acme", "e1", line, rule, 1, "1", "1", "USD") for line, rule in lines]
    assert state_of(recorded) is state
