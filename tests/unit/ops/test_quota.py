"""Quotas of CPU time."""

import subprocess
import sys

import pytest

from ops.local.errors import StartError
from ops.local.quota import Quota


def test_a_process_gets_no_more_than_its_quota():
    """Else a plan would be checked on databases that have more than the instances it plans with."""
    quota = Quota("billing-test-quota", 0.2)
    busy = "import os, time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(sum(os.times()[:2]))"
    waiting = "import sys; sys.stdin.readline()\n" + busy
    with subprocess.Popen(
        [sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            quota.enforce(process.pid)
            said, _ = process.communicate("go\n", timeout=60)
        finally:
            process.kill()
            process.wait()
            quota.lift()
    assert float(said) < 0.5


def test_what_the_kernel_refuses_is_one_line(tmp_path):
    """Else somebody without the right would read a traceback."""
    with pytest.raises(StartError, match=r"CPU time cannot be limited.*run as root"):
        Quota("none", 0.5, tmp_path / "missing").enforce(1)


@pytest.mark.parametrize(
    ("second", "folder", "limits"),
    [
        (True, "limited", {"cpu.max": "3000 10000"}),
        (False, "cpu/limited", {"cpu.cfs_period_us": "10000", "cpu.cfs_quota_us": "3000"}),
    ],
)
def test_both_versions_of_control_groups_are_written(tmp_path, second, folder, limits):
    """Else the limit would hold on some machines only, and nobody would see that it does not."""
    (tmp_path / "cpu").mkdir()
    if second:
        (tmp_path / "cgroup.controllers").touch()
    Quota("limited", 0.3, tmp_path).enforce(17)
    written = {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}
    assert written == {**limits, "cgroup.procs": "17"}
