"""Rigs for tests of the engine."""

from collections.abc import Callable

import pytest

from tests.pipeline import Pipeline
from tests.unit.billing.engine.rig import LIMITS, Rig


@pytest.fixture(params=[False, True], ids=["folds when it sends", "folds ahead"])
def rig(request: pytest.FixtureRequest, pipeline: Pipeline) -> Callable[..., Rig]:
    """Give a maker of rigs; what happens must not depend on when transactions are folded."""
    return lambda log, limits=LIMITS: Rig(pipeline, log, limits, folds_ahead=request.param)
