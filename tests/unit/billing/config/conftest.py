"""What tests of settings share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, so that errors name files as short as users do."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
