"""What is refused before anything is measured."""

import pytest

from bench.gauge import Gauge
from bench.measured import MeasurementError
from generators.population import Model


def test_too_few_numbers_of_writers_are_refused_before_servers_start():
    """Else a person would wait half an hour to be told that no law can be fitted."""
    with pytest.raises(MeasurementError, match="a law needs 3 numbers; write 1 2 4"):
        Gauge([Model.SKEWED], [1, 2, 2], 60, "mariadb", with_latency=False)
