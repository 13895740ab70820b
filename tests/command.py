"""The real command as a process, and small deployments for it: SQLite shards and a file of events."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import attrs
import httpx

from billing.__main__ import main

ROOT = Path(__file__).parents[1]
WAIT_SECONDS = 60  # a command that takes longer hangs
COMMANDS = [f"billing.cli.{path.stem}" for path in (ROOT / "billing" / "cli").glob("[a-z]*.py")]

BOOK = """
book: test
version: {version}
currency: USD
dimensions: [country]
charges:
  - group: usage
    rules:
{rules}
rollups:
  - {{name: hourly, every: hour, by: [product]}}
  - {{name: daily-country, every: day, by: [product, country]}}
"""


@attrs.frozen
class Done:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Read the output as JSON."""
        return json.loads(self.out)

    def one_error(self) -> str:
        """Return the only line of the error output, which is never a traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("billing: ")]
        assert len(lines) == 1, self
        assert "Traceback" not in self.err, self.err
        return lines[0].removeprefix("billing: ")


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_")}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **more}


def start(*arguments: str, folder: Path, **more: str) -> subprocess.Popen[str]:
    """Start `billing ...` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "billing", *arguments],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = WAIT_SECONDS) -> Done:
    """Wait for a command's end, which must come in so many seconds."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {seconds} s: {out}{err}") from None
    return Done(process.returncode, out, err)


def billing(*arguments: str, folder: Path, seconds: float = WAIT_SECONDS) -> Done:
    """Run `billing ...` in a folder to its end, which must come in so many seconds.

    Its process is forked from one that has imported the commands; to import them takes longer than most commands do.
    """
    with tempfile.TemporaryDirectory() as told:
        process = _with_commands().Process(target=_become, args=(arguments, folder, told))
        process.start()
        process.join(seconds)
        ended = process.exitcode is not None
        process.kill()
        process.join()
        out, err = (Path(told, name).read_text() for name in ("out", "err"))
    assert ended, f"still running after {seconds} s: {out}{err}"
    assert process.exitcode is not None
    return Done(process.exitcode, out, err)


@cache
def _with_commands() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *COMMANDS])
    return context


def _become(arguments: Sequence[str], folder: Path, told: str) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(told, name), os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    kept = environment()
    os.environ.clear()
    os.environ.update(kept)
    sys.argv = ["billing", *arguments]
    main()


def stop(process: subprocess.Popen[str]) -> Done:
    """End a command as an orchestrator does."""
    process.send_signal(signal.SIGTERM)
    return finish(process)


def until(process: subprocess.Popen[str], *, said: Sequence[str]) -> str:
    """Read a command's error output until a line with all these words."""
    assert process.stderr is not None
    lines = []
    watchdog = threading.Timer(WAIT_SECONDS, process.kill)
    watchdog.start()
    try:
        for line in process.stderr:
            lines.append(line)
            if all(word in line for word in said):
                return line
    finally:
        watchdog.cancel()
    finish(process)
    raise AssertionError(f"ended without saying {said}: {lines}")


@contextmanager
def served(folder: Path, *options: str, **more: str) -> Iterator[str]:
    """Serve the API of a folder's settings, and give its address; it must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start("serve", "--port", str(port), *options, folder=folder, **more)
    try:
        until(server, said=["serving http", str(port)])
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            assert client.get(f"{address}/healthz").status_code == 200
        yield address
    finally:
        done = stop(server)
    assert done.code == 0, done
    assert "Traceback" not in done.err, done.err


def write_book(folder: Path, prices: dict[str, str], version: int = 1) -> None:
    """Write a rulebook with one rule and one price for each product."""
    rules = "\n".join(
        f'      - {{id: rule-{product}, when: {{product: {product}}}, price: {{per_unit: "{price}"}}}}'
        for product, price in prices.items()
    )
    (folder / "book.yaml").write_text(BOOK.format(version=version, rules=rules))


def write_settings(folder: Path, shards: int = 2, more: str = "") -> None:
    """Write settings: the file events.jsonl, book.yaml and SQLite shards."""
    lines = ["[source]", 'kind = "file"', 'path = "events.jsonl"', "[rules]", 'book = "book.yaml"', more]
    for number in range(shards):
        lines += ["[[shards]]", f'name = "shard-{number}"', f'writer = "sqlite:///shard-{number}.db"']
    (folder / "billing.toml").write_text("\n".join(lines))


def event(number: int, **changed: object) -> dict[str, object]:
    """Return event `number` of ten accounts: one sms."""
    plain = {
        "id": f"event-{number}",
        "account": f"account-{number % 10}",
        "product": "sms",
        "time": f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "quantity": 1,
        "attributes": {"country": "US"},
    }
    return {**plain, **changed}


def write_events(folder: Path, events: Sequence[dict[str, object] | bytes]) -> None:
    """Write events.jsonl: objects as JSON, bytes as they are."""
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
    (folder / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def deployment(folder: Path, events: Sequence[dict[str, object] | bytes], more: str = "") -> Path:
    """Write settings, book and events, and create the shards; returns the folder."""
    write_settings(folder, more=more)
    write_book(folder, {"sms": "0.0079"})
    write_events(folder, events)
    assert billing("init", folder=folder).code == 0
    return folder


def audited(folder: Path) -> dict[str, Any]:
    """Audit, assert that nothing differs, and add up what the shards have."""
    done = billing("audit", "--json", folder=folder)
    assert done.code == 0, done
    shards = done.json
    assert [one["wrong"] for one in shards] == [0] * len(shards)
    total = {name: sum(one[name] for one in shards) for name in ("events", "duplicates", "quarantined")}
    return {**total, "amount": sum((Decimal(one["amounts"].get("USD", "0")) for one in shards), Decimal(0))}


def reasons(folder: Path) -> dict[str, int]:
    """Count quarantined events by reason."""
    found = billing("quarantine", "list", "--json", folder=folder)
    assert found.code == 0, found
    return {one["reason"]: one["events"] for one in found.json["reasons"]}
