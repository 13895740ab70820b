"""Rigs for tests of the engine."""

from collections.abc import Callable

import pytest

from tests.pipeline import Pipeline
from tests.unit.billing.engine.rig import LIMITS, Rig


@pytest.fixture
def rig(pipeline: Pipeline) -> Callable[..., Rig]:
    """Give a maker of rigs."""
    return lambda log, limits=LIMITS: Rig(pipeline, log, limits)
