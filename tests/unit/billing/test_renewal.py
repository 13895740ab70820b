"""When the files of book and map are read again."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from billing.adapters import renewal
from billing.adapters.renewal import Renewal
from billing.config.deployment import Deployment, load_deployment
from billing.cursor import CursorRow
from billing.errors import SettingsError
from tests.command import write_book, write_settings


@pytest.fixture
def found(tmp_path: Path) -> Deployment:
    """Load a deployment with book 1 and map 1."""
    write_settings(tmp_path)
    write_book(tmp_path, {"sms": "1"})
    return load_deployment(tmp_path / "billing.toml", {})


def newer(found: Deployment, book: int) -> Deployment:
    return attrs.evolve(found, book=attrs.evolve(found.book, version=book))


def row(book: int, shardmap: int = 1) -> list[list[CursorRow]]:
    return [[CursorRow("log", 0, 5, shardmap, book, 1, 0, 0, 1, 1)]]


def taken(
    found: Deployment, load: Callable[[], Deployment] | None, *cursors: list[list[CursorRow]]
) -> list[Deployment]:
    """Return what was taken after looks at cursors, each after what came before is done."""
    got: list[Deployment] = []

    async def play() -> None:
        one = Renewal(found, load, got.append)
        for rows in cursors:
            one.notice(rows)
            await one.close()

    asyncio.run(play())
    return got


def test_files_are_read_again_only_for_something_newer(found: Deployment) -> None:
    """Every request would read the book, or none ever would again."""
    calls = []

    def load() -> Deployment:
        calls.append(1)
        return newer(found, 3)

    assert taken(found, load, row(1), row(0), [[]]) == []
    assert calls == []
    assert [one.book.version for one in taken(found, load, row(2), row(3), row(3))] == [3]
    assert len(calls) == 1
    assert taken(found, None, row(2)) == []


def test_a_file_that_is_wrong_or_old_changes_nothing_and_is_tried_again(
    found: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A book that is being copied would end the API, or its older copy take the place of the newer one."""
    monkeypatch.setattr(renewal, "_PAUSE_SECONDS", 0.0)
    answers = [SettingsError("half a file"), found, newer(found, 0), newer(found, 2)]

    def load() -> Deployment:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert [one.book.version for one in taken(found, load, *[row(2)] * 4)] == [2]


def test_a_newer_map_counts_too(found: Deployment) -> None:
    """Accounts that were moved would be looked for where they were."""
    moved = attrs.evolve(found, shardmap=attrs.evolve(found.shardmap, version=2))
    assert taken(found, lambda: moved, row(1, 2)) == [moved]


def test_what_is_asked_again_and_again_is_tried_once_in_a_while(found: Deployment) -> None:
    """A newer book that is not there yet would be looked for by every request."""
    calls = []

    def load() -> Deployment:
        calls.append(1)
        return found

    assert taken(found, load, row(2), row(2), row(2)) == []
    assert len(calls) == 1
