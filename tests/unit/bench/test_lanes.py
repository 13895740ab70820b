"""Units in files, and processes that fail to send them."""

import pytest

from bench.errors import MeasureError
from bench.lanes import Counts, Lane, UnitFile, send, units
from bench.unit import Unit
from ops.local.process import free_port

UNITS = [Unit(10, 2, 3, 4, [b"BEGIN", b"COMMIT"]), Unit(20, 1, 1, 1, [b"\x00;"], {3: 17})]


def written(path):
    file = UnitFile(path)
    file.write(UNITS)
    file.close()
    return path


def test_units_are_read_as_they_were_written(tmp_path):
    """Else contenders would send something else than what was rendered."""
    assert list(units(written(tmp_path / "units"))) == UNITS


def test_counts_add_up():
    assert sum([Counts(1, 2, 3, 4, 5), Counts(10, 20, 30, 40, 50)], Counts()) == Counts(11, 22, 33, 44, 55)


def test_a_process_that_cannot_send_ends_the_comparison_in_one_line(tmp_path):
    """Else a comparison would wait for ever, or show no throughput at all as that of a contender."""
    lane = Lane(written(tmp_path / "units"), free_port(), whole=True)
    with pytest.raises(MeasureError, match="a process that sends failed: ConnectionError"):
        send([[lane]], 5, lambda _seconds: None)
