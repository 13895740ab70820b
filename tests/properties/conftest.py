"""Fixtures that properties share."""

from pathlib import Path

import pytest

from tests.pipeline import Pipeline, pipeline_in


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Path]:
    """Give the path by a book whose prices count nothing, and the book's file."""
    folder = tmp_path_factory.mktemp("linear")
    return pipeline_in(folder), folder / "book.yaml"
