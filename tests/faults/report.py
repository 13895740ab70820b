"""The report of campaigns: a line a campaign in a results file, and the table of all of them.

Owns the results file. Must not know how faults are injected.
"""

import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("results.jsonl")
TOTALS = ("events", "billed", "duplicates", "quarantined", "lost", "twice")


def write(report) -> None:
    """Add a campaign to the results file (FAULT_RESULTS names another)."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=RESULTS.parent, capture_output=True, text=True, check=False
    )
    line = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": done.stdout.strip() or "unknown",
        **as_line(report),
    }
    with Path(os.environ.get("FAULT_RESULTS") or RESULTS).open("a") as file:
        file.write(json.dumps(line) + "\n")


def as_line(report) -> dict:
    """Return a report as the values that its line in the results file has."""
    numbers = {name: getattr(report, name) for name in (*TOTALS, "faults", "refusals")}
    recoveries = {what: [round(one, 2) for one in seconds] for what, seconds in report.recoveries.items()}
    return {
        "server": report.server,
        "seed": report.plan.seed,
        "command": report.plan.command(),
        **numbers,
        "recoveries": recoveries,
    }


def table(reports: Sequence) -> str:
    """Return what some campaigns counted, in words."""
    return table_of([as_line(report) for report in reports])


def table_of(lines: Sequence[dict]) -> str:
    """Add up lines of the results file: faults by kind, what became of the events, and how long recoveries took."""
    faults, totals, recoveries = Counter(), Counter(), {}
    for line in lines:
        faults.update(line["faults"])
        totals.update({name: line[name] for name in TOTALS})
        for what, seconds in line["recoveries"].items():
            recoveries.setdefault(what, []).extend(seconds)
    servers = ", ".join(sorted({line["server"] for line in lines}))
    rows = [f"faults injected, {len(lines)} campaigns on {servers}:"]
    rows += [f"{count:10,}  {kind}" for kind, count in sorted(faults.items())]
    words = {"billed": "billed once", "duplicates": "repeats dropped", "quarantined": "in quarantine"}
    rows += [f"{totals[name]:10,}  {words.get(name, name)}" for name in TOTALS]
    for what, seconds in sorted(recoveries.items()):
        p99 = sorted(seconds)[min(len(seconds) - 1, round(0.99 * len(seconds)))]
        rows.append(f"{what}: median {statistics.median(seconds):.1f} s, p99 {p99:.1f} s, of {len(seconds)}")
    return "\n".join(rows)


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    sys.stdout.write(table_of([json.loads(text) for text in given.read_text().splitlines()]) + "\n")
