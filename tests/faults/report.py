"""The report of campaigns: a line a campaign in a results file, the table of all of them, and the README's part of it.

Owns the results file and what stands between the marks in the README. Must not know how faults are injected.
"""

import json
import os
import re
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("results.jsonl")
README = Path(__file__).parents[2] / "README.md"
MARKED = re.compile(r"(<!-- faults -->\n).*?(<!-- end of faults -->)", re.DOTALL)
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


def readme_of(lines: Sequence[dict]) -> str:
    """Return what the README says of campaigns: a table of what was asked of the product and what it has stood."""
    faults, of_server = Counter(), defaultdict(Counter)
    for line in lines:
        faults.update(line["faults"])
        of_server[line["server"].split()[0]].update(line["faults"])
    killed = ("database killed", "shard dead for seconds")
    storms = [line for line in lines if any("storm" in kind for kind in line["faults"])]
    rows = [
        ("workers killed, with partitions", 1_000, faults["worker killed"]),
        ("workers killed while they start", None, faults["worker killed before it had partitions"]),
        ("MariaDB servers killed", 300, sum(of_server["mariadb"][kind] for kind in killed)),
        ("MySQL servers killed", 300, sum(of_server["mysql"][kind] for kind in killed)),
        ("commits cut, in seven ways", 5_000, sum(n for kind, n in faults.items() if kind.startswith("commit "))),
        ("failovers that lost transactions", 100, faults["failover that lost transactions"]),
        ("brokers killed", 100, faults["broker killed"]),
        ("rebalances", 1_000, faults["rebalance"]),
        ("events under storms of repeats", 10_000_000, sum(line["events"] for line in storms)),
        ("of these, repeats and conflicts", None, sum(line["duplicates"] for line in storms)),
    ]
    total = {name: sum(line[name] for line in lines) for name in TOTALS}
    servers = " and ".join(sorted({line["server"].partition("-")[0] for line in lines}))
    text = ["", f"| Injected on {servers} | goal | so far |", "|---|---:|---:|"]
    text += [f"| {what} | {f'{goal:,}' if goal else ''} | {done:,} |" for what, goal, done in rows]
    text += [f"| **events lost, events billed twice** | 0, 0 | **{total['lost']:,}, {total['twice']:,}** |", ""]
    text += [
        f"In {len(lines)} campaigns {total['events']:,} events went through: {total['billed']:,} billed once,",
        f"{total['duplicates']:,} repeats dropped, {total['quarantined']:,} in quarantine, each as the oracle says.",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    """Print the table of a results file; with --page, write the README's part of it instead."""
    given = Path(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1] != "--page" else RESULTS
    lines = [json.loads(text) for text in given.read_text().splitlines()]
    if "--page" in sys.argv:
        README.write_text(MARKED.sub(lambda found: found[1] + readme_of(lines) + found[2], README.read_text()))
    else:
        sys.stdout.write(table_of(lines) + "\n")


if __name__ == "__main__":
    main()
