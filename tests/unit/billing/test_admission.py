"""How much is let in at once."""

import pytest

from billing.api.admission import Admission, TooManyError
from billing.config.api_settings import ApiLimits


def test_requests_under_way_are_bounded_and_leave_again():
    """The process would take in more than it can answer, and answer nobody in time."""
    admission = Admission(ApiLimits(requests_max=2))
    with admission.request():
        with admission.request(), pytest.raises(TooManyError), admission.request():
            pass
        with admission.request():
            pass
    with pytest.raises(ValueError, match="fails"), admission.request():
        raise ValueError("fails")
    with admission.request(), admission.request():
        pass


def test_one_caller_leaves_room_for_others():
    """A single key's flood would use up what all share."""
    admission = Admission(ApiLimits(key_requests_max=1))
    with admission.of_caller("a", 0):
        with pytest.raises(TooManyError), admission.of_caller("a", 0):
            pass
        with admission.of_caller("b", 0):
            pass
    with admission.of_caller("a", 0):
        pass


def test_a_rate_is_kept_and_regained():
    """A loop without a pause would be answered for ever, or a caller who paused would stay locked out."""
    admission = Admission(ApiLimits(key_requests_per_second=2))

    def let_in(now):
        try:
            with admission.of_caller("a", now):
                return None
        except TooManyError as error:
            return error.retry_seconds

    assert [let_in(0), let_in(0), let_in(0), let_in(0.4), let_in(0.5), let_in(0.6)] == [None, None, 1, 1, None, 1]
    assert [let_in(100), let_in(100), let_in(100)] == [None, None, 1], "an idle hour saves up no more than a second"


def test_callers_that_come_once_do_not_fill_the_memory():
    """A stream of short-lived tokens would make the process grow without end."""
    admission = Admission(ApiLimits())
    for number in range(25_000):
        with admission.of_caller(str(number), number):
            pass
    assert admission.callers <= 10_000
