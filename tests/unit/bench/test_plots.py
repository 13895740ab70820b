"""Pictures of results: they show what the documents say."""

import json

import attrs
import numpy as np
import pytest
from PIL import Image

from bench import plots
from bench.figures import TAKEN_BY_HOST, Point
from bench.report import as_json
from tests.unit.bench.comparison.test_report import RESULT as COMPARED
from tests.unit.bench.test_report import RESULT as RUN

POINTS = tuple(
    Point(float(second), 1_000_000 * second, 900.0 + second, (600.0, 300.0 + second), {TAKEN_BY_HOST: second / 10})
    for second in range(1, 6)
)
RESULT = attrs.evolve(RUN, points=POINTS, latency_ms=tuple(float(ms) for ms in range(1, 101)))
DOCUMENT = json.loads(as_json("run", "", RESULT))["result"]


def series(figure):
    (line, *_) = figure.axes[0].lines
    return line.get_xydata().tolist()


def test_curves_are_the_points_of_the_document():
    """Else a picture could look flat while the figures beside it fall."""
    points = DOCUMENT["points"]
    assert series(plots.throughput_figure(RESULT)) == [[one["at_seconds"], one["events_per_second"]] for one in points]
    (taken,) = plots.throughput_figure(RESULT).axes[1].collections
    heights = {height for _, height in taken.get_paths()[0].vertices}
    assert heights == {0.0, *(one["cores_used"]["taken by the host"] for one in points)}
    assert series(plots.growth_figure(RESULT)) == [[one["events"] / 1e6, one["events_per_second"]] for one in points]
    (mesh,) = plots.heat_figure(RESULT).axes[0].collections
    assert np.asarray(mesh.get_array()).T.tolist() == [one["shard_events_per_second"] for one in points]


def test_latencies_are_those_of_the_document_and_its_percentiles():
    """Else the promised p99 would be another one in the picture."""
    found = dict(map(tuple, series(plots.latency_figure(RESULT))))
    assert found[0.5] == pytest.approx(50)
    assert found[0.99] == pytest.approx(99)
    assert found[1.0] == max(DOCUMENT["latency_ms"])


def test_every_picture_is_a_file(tmp_path):
    """Else a person would open an empty folder."""
    drawn = plots.draw_run(RESULT, tmp_path / "new")
    assert {path.name for path in drawn} == {"throughput.png", "heat.png", "growth.png", "latency.png"}
    drawn += [plots.draw_comparison(COMPARED, tmp_path)]
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.size == (1080, 600)
    assert len(plots.draw_run(attrs.evolve(RESULT, latency_ms=()), tmp_path)) == 3


def test_bars_are_as_high_as_the_throughput():
    """Else the product could be drawn as faster than the limit."""
    figure = plots.comparison_figure(COMPARED)
    document = json.loads(as_json("compare", "", COMPARED))["result"]["models"][0]["contenders"]
    assert [bar.get_height() for bar in figure.axes[0].patches] == [one["events"] / one["seconds"] for one in document]
