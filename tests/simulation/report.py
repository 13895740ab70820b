"""The report: what simulations did, added up over runs, in a file that grows and a page that is made from it.

Owns `results.jsonl` (a line a campaign), `mutants.json` (the last table), the page `ops/simulation.md` and the
sentence of the README that says the same in short. Must not know how a world works.
"""

import json
import re
import subprocess
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from tests.simulation.faults import Fault
from tests.simulation.shares import AFRESH
from tests.simulation.world import GRACE_MS, Result

RESULTS: Final = Path(__file__).with_name("results.jsonl")
MUTANTS: Final = Path(__file__).with_name("mutants.json")
PAGE: Final = Path(__file__).parents[2] / "ops" / "simulation.md"
README: Final = Path(__file__).parents[2] / "README.md"
_COUNTS: Final = ("seeds", "events", "transactions", "simulated_seconds", "failed")


@attrs.define
class Tally:
    """Runs that went well, and what they did; failed: how many others there were.

    caught_up_ms_max: the longest that any of them took after its faults until all was applied.
    """

    seeds: int = 0
    events: int = 0
    transactions: int = 0
    simulated_ms: int = 0
    caught_up_ms_max: int = 0
    failed: int = 0
    failed_seeds: list[int] = attrs.Factory(list)
    faults: Counter[Fault] = attrs.Factory(Counter)

    def add(self, result: Result) -> None:
        """Count one more run."""
        self.seeds += 1
        self.events += result.events
        self.transactions += result.transactions
        self.simulated_ms += result.simulated_ms
        self.caught_up_ms_max = max(self.caught_up_ms_max, result.caught_up_ms)
        self.faults.update(result.faults)

    def merge(self, other: "Tally") -> None:
        """Count what another tally has counted."""
        for name in ("seeds", "events", "transactions", "simulated_ms", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.caught_up_ms_max = max(self.caught_up_ms_max, other.caught_up_ms_max)
        self.failed_seeds += other.failed_seeds
        self.faults.update(other.faults)

    @property
    def missing(self) -> list[str]:
        """Return the faults that were never injected."""
        return [fault.words for fault in Fault if not self.faults[fault]]

    def __str__(self) -> str:
        """Write it for a person: a line, and how often each fault was injected."""
        words = f"{self.seeds:,} seeds, {self.events:,} records, {self.transactions:,} transactions, "
        faults = ", ".join(f"{fault.words} {self.faults[fault]:,}" for fault in Fault)
        return f"simulation: {words}{self.simulated_ms // 1000:,} simulated seconds\nfaults injected: {faults}"


def keep_campaign(tally: Tally, first: int, stop: int, seconds: float, begun: Mapping[str, str]) -> None:
    """Keep what a campaign over the seeds [first, stop) has counted so far, and write the page anew; begun: see `now`.

    It may be called again when the campaign has come further: its line is replaced.
    """
    line = {
        **begun,
        "command": f"python -m tests.simulation --campaign {stop - first} --first {first}",
        "first_seed": first,
        "stop_seed": stop,
        "seeds": tally.seeds,
        "events": tally.events,
        "transactions": tally.transactions,
        "simulated_seconds": tally.simulated_ms // 1000,
        "caught_up_ms_max": tally.caught_up_ms_max,
        "seconds": round(seconds),
        "failed": tally.failed,
        "failed_seeds": tally.failed_seeds,
        "faults": {fault.words: tally.faults[fault] for fault in Fault},
    }
    same = {**begun, "first_seed": first}
    others = [one for one in campaigns() if any(one.get(name) != value for name, value in same.items())]
    beside = RESULTS.with_suffix(".new")
    beside.write_text("".join(json.dumps(one) + "\n" for one in (*others, line)))
    beside.replace(RESULTS)  # at once: who interrupts a campaign finds all that was counted
    write_page()


def write_mutants(tried: Sequence[tuple[str, ...]], every: Sequence[tuple[str, str]]) -> None:
    """Keep what mutants have shown, beside what was known of those that were not tried, and write the page anew.

    A row: the defect, what it changes, what noticed it (or NOTHING), after how much. every: the first two of all rows.
    """
    commit, table = now()["commit"], mutants()
    rows = {(row[0], row[1]): row for row in (table["rows"] if table is not None else ())}
    rows |= {(row[0], row[1]): [*row, commit] for row in tried}
    MUTANTS.write_text(json.dumps({"rows": [rows[one] for one in every if one in rows]}, indent=1) + "\n")
    write_page()


def next_seed() -> int:
    """Return the first seed that no campaign has run."""
    return max((line["stop_seed"] for line in campaigns()), default=0)


def write_page() -> None:
    """Write the page from what campaigns and mutants have left, and the sentence of the README."""
    PAGE.write_text(page_of(campaigns(), mutants()))
    README.write_text(_SENTENCE.sub(lambda _: sentence_of(campaigns(), mutants()), README.read_text(), count=1))


_SENTENCE: Final = re.compile(r"Simulation of the engine \(.*?\(ops/simulation\.md\)\)\.", re.DOTALL)


def sentence_of(campaigns: Sequence[Mapping[str, Any]], mutants: Mapping[str, Any] | None) -> str:
    """Return what has been counted in a sentence or two, in lines as the README has them."""
    total = _total(campaigns)
    kinds = sum(any(line["faults"].get(fault.words) for line in campaigns) for fault in Fault)
    text = (
        f"Simulation of the engine (`make simulate`), so far: {total['seeds']:,} seeds, {total['events']:,} events in "
        f"{total['transactions']:,} transactions under {kinds} kinds of faults; {total['failed']:,} seeds failed"
    )
    if total["failed"]:
        text += " and showed what is among the [defects](ops/defects.md)"
    if mutants is not None:
        noticed = sum(row[2] != NOTHING for row in mutants["rows"])
        text += f". Of {len(mutants['rows'])} deliberate defects (`make mutants`) {noticed} were noticed"
    return textwrap.fill(f"{text} ([counts and tables](ops/simulation.md)).", _README_WIDTH, break_on_hyphens=False)


_README_WIDTH: Final = 150
NOTHING: Final = "nothing"


def _total(campaigns: Sequence[Mapping[str, Any]]) -> Counter[str]:
    total = Counter[str]()
    for line in campaigns:
        total.update({name: line[name] for name in _COUNTS})
    return total


def page_of(campaigns: Sequence[Mapping[str, Any]], mutants: Mapping[str, Any] | None) -> str:
    """Return the page as text."""
    total, faults = _total(campaigns), Counter[str]()
    for line in campaigns:
        faults.update(line["faults"])
    text = [
        "# Simulation",
        "",
        "What the simulation of the engine has counted, and which deliberate defects it notices. Written by",
        "`make simulate` and `make mutants` from `results.jsonl` and `mutants.json` in `tests/simulation`.",
        "What it has found in our own code: [defects](defects.md). What a record comes to is the same whoever reads",
        f"it, and is worked out once a run; on each {AFRESH}th read the engine does it itself, and must find the same.",
        "",
        "| First seed | Stop | Commit | Date | Events | Transactions | Simulated s | Failed |",
        "|---:|---:|---|---|---:|---:|---:|---:|",
    ]
    for line in campaigns:
        cells = (line["first_seed"], line["stop_seed"], line["commit"], line["date"])
        counts = (f"{line[name]:,}" for name in _COUNTS[1:])
        text.append(f"| {' | '.join(map(str, (*cells, *counts)))} |")
    counts = ", ".join(f"{total[name]:,} {name.replace('_', ' ')}" for name in _COUNTS)
    slowest_ms = max((line.get("caught_up_ms_max", 0) for line in campaigns), default=0)
    text += ["", f"In all: {counts}."]
    failed = [seed for line in campaigns for seed in line.get("failed_seeds", ())]
    if failed:
        text += [f"Seeds {', '.join(map(str, failed))} failed; what they showed is among the [defects](defects.md)."]
    if slowest_ms:
        text += [
            f"Every shard had applied the whole log within {slowest_ms:,} simulated milliseconds of the last fault;"
        ]
        text += [f"more than {GRACE_MS:,} would have been a failure."]
    text += ["", "| Fault | Injected | What it is |", "|---|---:|---|"]
    text += [f"| {fault.words} | {faults[fault.words]:,} | {fault.odds.words} |" for fault in Fault]
    if mutants is not None:
        rows = mutants["rows"]
        noticed = sum(row[2] != NOTHING for row in rows)
        text += [
            "",
            "## Mutants",
            "",
            f"{len(rows)} deliberate defects, one at a time: {noticed} noticed. Those of the",
        ]
        text += ["engine meet the seeds from 0 on, those of statements the tests of the contract that concern them."]
        text += ["", "| Defect | What is changed | Noticed by | After | Commit |", "|---|---|---|---|---|"]
        text += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(text) + "\n"


def campaigns() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def mutants() -> dict[str, Any] | None:
    return json.loads(MUTANTS.read_text()) if MUTANTS.exists() else None


def now() -> dict[str, str]:
    """Return the date and the commit of what runs now."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return {"date": datetime.now(UTC).date().isoformat(), "commit": done.stdout.strip() or "unknown"}
