"""Which threads go before others: that it is refused where it cannot be had, and ends with what it was for."""

import os

import pytest

from bench.errors import MeasureError
from bench.reading.realtime import check_realtime, realtime_here


def test_a_server_that_does_not_tell_threads_is_refused_before_it_is_started() -> None:
    """A run would take its minutes, and then not have measured what was asked."""
    with pytest.raises(MeasureError) as error:
        check_realtime("mysql")
    assert str(error.value) == ("--realtime: only MariaDB tells which thread serves a connection; leave --database out")


def test_without_the_right_to_it_a_run_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would meet a traceback, or figures of another run than asked for."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(MeasureError) as error:
        check_realtime("mariadb")
    assert str(error.value) == "--realtime: takes the right to (CAP_SYS_NICE); run it as root"


def test_the_thread_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a session measures next would be measured with the machine's help."""
    said = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda _, policy, param: said.append((policy, param.sched_priority)))
    with pytest.raises(ValueError, match="of the load"), realtime_here():
        raise ValueError("of the load")
    assert said == [(os.SCHED_RR, 10), (os.SCHED_OTHER, 0)]
