from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from ops.local.errors import LocalServerError
from ops.local.lock import folder_lock


def test_the_second_one_waits_and_says_so(tmp_path):
    """Else two installs at once would write the same files."""
    order, told = [], Event()

    def say(line: str) -> None:
        order.append(line)
        told.set()

    def second() -> None:
        with folder_lock(tmp_path, say):
            order.append("second")

    with ThreadPoolExecutor(1) as pool, folder_lock(tmp_path, order.append):
        waiting = pool.submit(second)
        assert told.wait(20)
        order.append("first")
    waiting.result(20)
    assert order == [f"waiting for another process that works in {tmp_path}", "first", "second"]


def test_a_folder_removed_while_waiting_is_locked_anew(tmp_path):
    """Else the one that waited would hold a lock on a folder that is gone, and a third one the real lock."""
    folder, told = tmp_path / "f", Event()

    def second() -> bool:
        with folder_lock(folder, lambda _: told.set()):
            return folder.is_dir()

    with ThreadPoolExecutor(1) as pool:
        with folder_lock(folder, print):
            waiting = pool.submit(second)
            assert told.wait(20)
            folder.rmdir()
        assert waiting.result(20)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    """Else a full or read-only disk would end in a traceback."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LocalServerError, match=r"file/sub: cannot be used: Not a directory; name another folder"),
        folder_lock(Path(tmp_path / "file" / "sub"), print),
    ):
        pass
