"""A quota of CPU time for one process: what it may use of the machine's cores, kept by the kernel.

Owns the control group and its files, of either version. Must not know what the process serves. Linux, as root.
Source: Linux kernel documentation, "CFS Bandwidth Control" (version 1) and "Control Group v2", `cpu.max`.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from ops.local.errors import StartError

CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 10_000  # short, so that a process that has used its part waits for milliseconds


@attrs.frozen
class Quota:
    """A control group: its name, how many cores the process in it may keep busy; groups: where the kernel has them."""

    name: str
    cores: float
    groups: Path = CONTROL_GROUPS

    def enforce(self, pid: int) -> None:
        """Make the group and put a process into it. Raises: StartError where the kernel does not let us."""
        quota = str(round(self.cores * PERIOD_US))
        if self._is_second_version:
            settings = {"cpu.max": f"{quota} {PERIOD_US}"}
        else:
            settings = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": quota}
        try:
            self._folder.mkdir(exist_ok=True)
            for file, text in {**settings, "cgroup.procs": str(pid)}.items():
                (self._folder / file).write_text(text)
        except OSError as error:
            raise StartError(
                f"{self._folder}: CPU time cannot be limited ({error.strerror}); run as root where control groups can "
                "be written, or leave the limit out"
            ) from error

    def lift(self) -> None:
        """Remove the group of a process that has ended."""
        with suppress(OSError):  # it was never made, or is not empty yet: then it limits what nobody starts again
            self._folder.rmdir()

    @property
    def _is_second_version(self) -> bool:
        return (self.groups / "cgroup.controllers").exists()

    @property
    def _folder(self) -> Path:
        return self.groups / self.name if self._is_second_version else self.groups / "cpu" / self.name
