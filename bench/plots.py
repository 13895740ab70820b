"""Plots: pictures of what a run or a comparison measured, drawn from their results alone.

Owns axes, units and file names. Must not know how figures come about.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.comparison.report import CompareResult
from bench.figures import TAKEN_BY_HOST
from bench.report import RunResult, machine_text

_SIZE_INCHES: Final = (9.0, 5.0)
_DPI: Final = 120
_QUANTILES: Final = np.append(np.linspace(0.0, 0.98, 99), [0.99, 0.995, 0.999, 1.0])
_MILLION: Final = 1e6


def draw_run(result: RunResult, folder: Path) -> list[Path]:
    """Draw a run's pictures into a folder and return their paths; that of latencies needs an open-loop run.

    Raises: OSError when the folder cannot be written.
    """
    pictures: dict[str, Callable[[RunResult], Figure]] = {
        "throughput": throughput_figure,
        "heat": heat_figure,
        "growth": growth_figure,
    }
    if result.latency_ms:
        pictures["latency"] = latency_figure
    folder.mkdir(parents=True, exist_ok=True)
    return [_saved(figure(result), folder / f"{name}.png") for name, figure in pictures.items()]


def draw_comparison(result: CompareResult, folder: Path) -> Path:
    """Draw a comparison's picture into a folder and return its path. Raises: OSError."""
    return _saved(comparison_figure(result), folder / "compare.png")


def throughput_figure(result: RunResult) -> Figure:
    """Return events a second over time: flat, if the system can go on like this and its host lets it."""
    figure, axes = _blank(result, "throughput over time", "seconds", "events/s")
    seconds = [one.at_seconds for one in result.points]
    axes.plot(seconds, [one.events_per_second for one in result.points], linewidth=0.8)
    axes.axhline(result.throughput.mean, linestyle="--", color="grey")
    axes.set_ylim(bottom=0)
    others = axes.twinx()
    taken = [one.cores_used.get(TAKEN_BY_HOST, 0.0) for one in result.points]
    others.fill_between(seconds, taken, step="pre", color="tab:red", alpha=0.3)
    others.set_ylim(0, result.machine.cores)
    others.set_ylabel(f"cores {TAKEN_BY_HOST}", color="tab:red")
    return figure


def latency_figure(result: RunResult) -> Figure:
    """Return latency, append to visible, by the share of probes that waited no longer."""
    figure, axes = _blank(result, "append to visible", "share of probes", "ms")
    axes.plot(_QUANTILES, np.quantile(result.latency_ms, _QUANTILES, method="inverted_cdf"))
    axes.set_yscale("log")
    return figure


def heat_figure(result: RunResult) -> Figure:
    """Return events a second by shard over time, the hotter the brighter."""
    figure, axes = _blank(result, "events/s by shard", "seconds", "shard")
    rates = np.array([one.shard_events_per_second for one in result.points]).T
    seconds = [0.0, *(one.at_seconds for one in result.points)]
    mesh = axes.pcolormesh(seconds, np.arange(len(rates) + 1) - 0.5, rates, vmin=0)
    axes.set_yticks(range(len(rates)))
    figure.colorbar(mesh, label="events/s")
    return figure


def growth_figure(result: RunResult) -> Figure:
    """Return events a second by how many events the tables hold already."""
    figure, axes = _blank(result, "throughput as tables grow", "events in the tables, millions", "events/s")
    sizes = [one.events / _MILLION for one in result.points]
    axes.plot(sizes, [one.events_per_second for one in result.points], linestyle="", marker=".")
    axes.set_ylim(bottom=0)
    return figure


def comparison_figure(result: CompareResult) -> Figure:
    """Return a bar for each contender and model: events a second, on a scale of powers of ten."""
    figure = Figure(_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(one.contender for model in result.models for one in model.contenders))
    width = 0.8 / max(len(names), 1)
    for place, name in enumerate(names):
        found = [
            (at, one) for at, model in enumerate(result.models) for one in model.contenders if one.contender is name
        ]
        at = [model + (place - (len(names) - 1) / 2) * width for model, _ in found]
        bars = axes.bar(at, [one.events_per_second for _, one in found], width, label=str(name))
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=7)
    axes.set_xticks(range(len(result.models)), [str(model.comparison.model) for model in result.models])
    axes.set_yscale("log")
    axes.set_ylabel("events/s")
    axes.legend(ncols=len(names), loc="upper center", fontsize=8)
    axes.margins(y=0.25)
    axes.set_title(f"the same events, the same sums\n{machine_text(result.machine)}", fontsize=8)
    return figure


def _blank(result: RunResult, what: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{what}: {result.scenario.command()}\n{machine_text(result.machine)}", fontsize=8)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=_DPI)
    return path
