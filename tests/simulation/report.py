"""The report: what simulations did, added up over runs, in a file that grows and a page that is made from it.

Owns `results.jsonl` (a line a campaign), `mutants.json` (the last table) and the page `ops/simulation.md`, which has
what people write in `findings.md` too. Must not know how a world works.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from tests.simulation.faults import Fault
from tests.simulation.world import Result

RESULTS: Final = Path(__file__).with_name("results.jsonl")
MUTANTS: Final = Path(__file__).with_name("mutants.json")
FINDINGS: Final = Path(__file__).with_name("findings.md")
PAGE: Final = Path(__file__).parents[2] / "ops" / "simulation.md"
_COUNTS: Final = ("seeds", "events", "transactions", "simulated_seconds", "failed")


@attrs.define
class Tally:
    """Runs that went well, and what they did; failed: how many others there were."""

    seeds: int = 0
    events: int = 0
    transactions: int = 0
    simulated_ms: int = 0
    failed: int = 0
    faults: Counter[Fault] = attrs.Factory(Counter)

    def add(self, result: Result) -> None:
        """Count one more run."""
        self.seeds += 1
        self.events += result.events
        self.transactions += result.transactions
        self.simulated_ms += result.simulated_ms
        self.faults.update(result.faults)

    def merge(self, other: "Tally") -> None:
        """Count what another tally has counted."""
        for name in ("seeds", "events", "transactions", "simulated_ms", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
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


def write_campaign(tally: Tally, first: int, stop: int, begun: Mapping[str, str]) -> None:
    """Add a campaign over the seeds [first, stop) to the results, and write the page anew; begun: see `now`."""
    line = {
        **begun,
        "command": f"python -m tests.simulation --campaign {stop - first} --first {first}",
        "first_seed": first,
        "stop_seed": stop,
        "seeds": tally.seeds,
        "events": tally.events,
        "transactions": tally.transactions,
        "simulated_seconds": tally.simulated_ms // 1000,
        "failed": tally.failed,
        "faults": {fault.words: tally.faults[fault] for fault in Fault},
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")
    write_page()


def write_mutants(rows: Sequence[tuple[str, str, str]]) -> None:
    """Keep the table of mutants: what was broken, what noticed it, and after how much; and write the page anew."""
    MUTANTS.write_text(json.dumps({**now(), "rows": rows}, indent=1) + "\n")
    write_page()


def next_seed() -> int:
    """Return the first seed that no campaign has run."""
    return max((line["stop_seed"] for line in _campaigns()), default=0)


def write_page() -> None:
    """Write the page from what campaigns and mutants have left."""
    mutants = json.loads(MUTANTS.read_text()) if MUTANTS.exists() else None
    PAGE.write_text(page_of(_campaigns(), mutants, FINDINGS.read_text()))


def page_of(campaigns: Sequence[Mapping[str, Any]], mutants: Mapping[str, Any] | None, findings: str) -> str:
    """Return the page as text; findings: a section that people write."""
    total, faults = Counter[str](), Counter[str]()
    for line in campaigns:
        total.update({name: line[name] for name in _COUNTS})
        faults.update(line["faults"])
    text = [
        "# Simulation",
        "",
        "What the simulation of the engine has counted. Written by `make simulate` and `make mutants` from",
        "`results.jsonl`, `mutants.json` and `findings.md` in `tests/simulation`; do not edit it.",
        "",
        "| First seed | Stop | Commit | Date | Events | Transactions | Simulated s | Failed |",
        "|---:|---:|---|---|---:|---:|---:|---:|",
    ]
    for line in campaigns:
        cells = (line["first_seed"], line["stop_seed"], line["commit"], line["date"])
        counts = (f"{line[name]:,}" for name in _COUNTS[1:])
        text.append(f"| {' | '.join(map(str, (*cells, *counts)))} |")
    counts = ", ".join(f"{total[name]:,} {name.replace('_', ' ')}" for name in _COUNTS)
    text += ["", f"In all: {counts}.", "", "| Fault | Injected | What it is |", "|---|---:|---|"]
    text += [f"| {fault.words} | {faults[fault.words]:,} | {fault.odds.words} |" for fault in Fault]
    text += ["", findings.rstrip()]
    if mutants is not None:
        rows = mutants["rows"]
        text += ["", "## Mutants", ""]
        text += [f"{len(rows)} deliberate defects, one at a time, at commit {mutants['commit']} on {mutants['date']}."]
        text += ["", "| Defect | Noticed by | After |", "|---|---|---|"]
        text += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(text) + "\n"


def _campaigns() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def now() -> dict[str, str]:
    """Return the date and the commit of what runs now."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return {"date": datetime.now(UTC).date().isoformat(), "commit": done.stdout.strip() or "unknown"}
