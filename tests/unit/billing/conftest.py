"""The book that tests of the core price by."""

import pytest

from tests.pipeline import Pipeline, pipeline_in


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Give the path from payloads to transactions, for one shard."""
    return pipeline_in(tmp_path_factory.mktemp("book"))
