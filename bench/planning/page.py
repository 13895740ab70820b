"""The page: a plan as one HTML file that needs nothing else, for people who decide.

Owns layout and pictures. Must not know how a plan is found, nor its words (`bench.planning.report`).
"""

from collections.abc import Callable
from html import escape
from io import StringIO
from math import isfinite
from pathlib import Path
from string import Template
from typing import Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.planning.law import throughput
from bench.planning.report import (
    LISTED_MAX,
    PlanResult,
    advice_lines,
    count,
    due,
    exception_text,
    facts,
    load_text,
    measured_lines,
    money,
    notes,
    option_cells,
)
from bench.planning.target import MONTHS
from bench.report import machine_text

_TEMPLATE: Final = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
_BARS_MAX: Final = 100  # shards in a picture; the rest is as cool as the last of them
_YEARS_SHOWN: Final = 3.0


def page(result: PlanResult) -> str:
    """Return a plan as HTML: inline SVG, no script, nothing to be fetched."""
    first = result.chosen[0]
    return _TEMPLATE.substitute(
        title=f"{first.shards.mid:,} clusters of {escape(first.instance)}",
        summary=escape(
            f"{first.shards.mid:,} clusters ({count(first.shards)}) of {first.instance} carry "
            f"{load_text(result.targets[0])}. Every shard carries {first.headroom:g} times its part of the peak. "
            f"That costs {money(result, first.cost.total)} a month. "
            f"The next doubling is due {due(first, result.today)}."
        ),
        chosen=_table(
            ["", *(f"headroom {each.headroom:g}x" for each in result.chosen)],
            [
                [row[0][0], *(value for _, value in row)]
                for row in zip(*(facts(result, each) for each in result.chosen), strict=True)
            ],
        ),
        options=_table(
            ["instance", "shards", "storage", "pins or spreads", "busiest shard", "a month"],
            [[*option_cells(result, each)] for each in result.options],
        ),
        accounts=escape(result.accounts),
        advice="".join(f"<p>{escape(line.strip())}</p>" for line in advice_lines(result) if not line.startswith("  ")),
        exceptions=_items([exception_text(each) for each in result.exceptions[:LISTED_MAX]]),
        measured=_items(measured_lines(result)),
        notes=_items(notes(result)),
        prices=escape(result.prices),
        machine=escape(machine_text(result.machine)),
        command=escape(result.command),
        law=_picture("writers of one shard", "events a second", lambda axes: _law(axes, result)),
        heat=_picture("shards, hottest first", "per cent of all events", lambda axes: _heat(axes, result)),
        growth=_picture("months from now", "events a second at the peak", lambda axes: _growth(axes, result)),
        costs=_picture("a month, thousands", "", lambda axes: _costs(axes, result)),
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _items(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _picture(x: str, y: str, draw: Callable[[Axes], None]) -> str:
    """Return a picture as SVG, the same for the same plan."""
    with rc_context({"svg.hashsalt": x, "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(5.2, 3.0), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        text = StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]


def _law(axes: Axes, result: PlanResult) -> None:
    for number, curve in enumerate(result.curves):
        colour = f"C{number}"
        levels = curve.measured.levels
        writers = np.linspace(1, max(level.writers for level in levels), 100)
        axes.plot(
            writers, throughput(writers, curve.alpha, curve.beta, curve.gamma), colour, label=curve.measured.model
        )
        for level in levels:
            axes.plot([level.writers] * len(level.events_per_second), level.events_per_second, f"{colour}.", alpha=0.6)
        low, high = curve.capacity.low, curve.capacity.high
        axes.errorbar(
            curve.writers,
            curve.capacity.mid,
            [[curve.capacity.mid - low], [high - curve.capacity.mid]],
            color=colour,
            capsize=4,
        )
    axes.set_ylim(bottom=0)


def _heat(axes: Axes, result: PlanResult) -> None:
    if result.effect is None:
        axes.text(0.5, 0.5, "no account needs to be pinned or spread", ha="center", transform=axes.transAxes)
        return
    for name, shares, width in (("before", result.effect.before, 0.9), ("after", result.effect.after, 0.5)):
        shown = shares[:_BARS_MAX]
        axes.bar(range(1, len(shown) + 1), [share * 100 for share in shown], width=width, label=name)
    axes.axhline(100 / len(result.effect.after), color="black", linewidth=0.7, linestyle=":")


def _growth(axes: Axes, result: PlanResult) -> None:
    target, option = result.targets[0], result.chosen[0]
    ends = [each for each in (option.doubling_months.high, target.months) if isfinite(each)]
    months = np.linspace(0, max([*ends, 1.0]) * 1.2 if target.growth > 0 else _YEARS_SHOWN * MONTHS, 100)
    axes.plot(months, target.peak_per_second * (1 + target.growth) ** (months / MONTHS), "C0", label="peak")
    if isfinite(option.doubling_months.mid):
        limit = target.peak_per_second * (1 + target.growth) ** (option.doubling_months.mid / MONTHS)
        axes.axhline(limit, color="C3", label=f"carried with headroom {option.headroom:g}x")
        axes.axvspan(option.doubling_months.low, option.doubling_months.high, color="C3", alpha=0.15)
    axes.set_ylim(bottom=0)


def _costs(axes: Axes, result: PlanResult) -> None:
    rows = result.options[::-1]
    names = [f"{each.shards.mid} x {each.instance}{' *' if each.advised else ''}" for each in rows]
    left = np.zeros(len(rows))
    for part in ("instances", "storage", "io"):
        cost = np.array([getattr(each.cost, part) for each in rows]) / 1000
        axes.barh(names, cost, left=left, label={"io": "I/O"}.get(part, part))
        left += cost
