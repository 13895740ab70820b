"""Commands that write: bad input, repeated and interrupted runs, quarantine and its way back, on SQLite shards."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.command import (
    audited,
    billing,
    deployment,
    environment,
    event,
    finish,
    reasons,
    served,
    start,
    stop,
    until,
    write_book,
    write_settings,
)

PRICE = Decimal("0.0079")
SOUND = 40
COMPILE_SECONDS = 300

HOSTILE: list[tuple[str, dict[str, object] | bytes]] = [
    ("undecodable", b"\x9f\x00\xff\xfegarbage"),
    ("undecodable", json.dumps(event(1))[:40].encode()),
    ("undecodable", b""),
    ("undecodable", b"[" * 10_000),
    ("undecodable", json.dumps(event(2)).replace('"quantity": 1', '"quantity": NaN').encode()),
    ("too_large", event(3, attributes={"note": "x" * 10_000_000})),
    ("bad_field", event(4, id="nul\0")),
    ("bad_field", event(5, id="quote'; DROP TABLE records; --")),
    ("bad_field", event(6, account='"')),
    ("bad_field", event(7, id="\N{MONEY BAG}")),
    ("bad_field", event(8, quantity=-1)),
    ("bad_field", event(9, quantity="NaN")),
    ("bad_field", event(10, quantity=True)),
    ("bad_field", event(11, time="yesterday")),
    ("bad_field", event(12, quantitiy=2)),
    ("bad_field", event(13, attributes={"nested": {"a": 1}})),
    ("time_out_of_range", event(14, time="1900-01-01T00:00:00Z")),
    ("time_out_of_range", event(15, time="2200-01-01T00:00:00Z")),
    ("unknown_type", event(16, type="refund")),
    ("wrong_currency", event(17, attributes={"currency": "EUR"})),
    ("no_rule", event(18, product="telegram")),
    ("conflict", event(100, quantity=2)),
]


def test_bad_events_are_quarantined_and_the_rest_is_billed(tmp_path: Path) -> None:
    """Otherwise one broken producer stops everybody's bills, or its events vanish without a trace."""
    sound = [event(100 + number) for number in range(SOUND)]
    lines: list[dict[str, object] | bytes] = [sound[0]]
    for number, (_, bad) in enumerate(HOSTILE):
        lines += [bad, sound[1 + number]]
    lines += sound[1 + len(HOSTILE) :]
    deployment(tmp_path, lines)
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    expected: dict[str, int] = {}
    for reason, _ in HOSTILE:
        expected[reason] = expected.get(reason, 0) + 1
    assert reasons(tmp_path) == expected
    assert audited(tmp_path) == {
        "events": SOUND, "duplicates": 0, "quarantined": len(HOSTILE), "amount": PRICE * SOUND,
    }  # fmt: skip
    shown = billing("quarantine", "list", "--limit", "99", folder=tmp_path)
    assert "account-" not in shown.out
    assert all(one.isprintable() for one in shown.out.replace("\n", ""))
    listed = billing("quarantine", "list", "--json", "--accounts", "--reason", "no_rule", folder=tmp_path).json
    (entry,) = listed["events"]
    assert entry["account"] == "account-8"
    one = billing("quarantine", "show", str(entry["partition"]), str(entry["offset"]), folder=tmp_path).out
    assert '"product": "telegram"' in one


def test_running_twice_bills_once(tmp_path: Path) -> None:
    """Otherwise a restart charges customers again."""
    deployment(tmp_path, list(map(event, range(SOUND))))
    for _ in range(2):
        assert billing("run", "--until-end", folder=tmp_path).code == 0
        assert audited(tmp_path) == {"events": SOUND, "duplicates": 0, "quarantined": 0, "amount": PRICE * SOUND}


def test_who_begins_compiles_once_before_it(tmp_path: Path) -> None:
    """Otherwise it is deaf for half a minute later, and keeps a compiler's memory for good."""
    deployment(tmp_path, list(map(event, range(SOUND))))
    kept = tmp_path / "machine-code"
    for compiles in (True, False):
        run = finish(start("run", "--until-end", folder=tmp_path, NUMBA_CACHE_DIR=str(kept)), COMPILE_SECONDS)
        said = [json.loads(line)["event"] for line in run.err.splitlines()]
        assert run.code == 0, run
        assert said == ["compiling"] * compiles + ["partitions assigned", "stopped"]
    loops = sorted(path.name for path in kept.rglob("*.nbc"))
    assert loops
    assert finish(start("compile", folder=tmp_path, NUMBA_CACHE_DIR=str(kept))).code == 0
    with served(tmp_path, "--open", NUMBA_CACHE_DIR=str(kept)) as address:
        asked = httpx.post(f"{address}/v1/accounts/account-0/explain", json=event(SOUND))
        assert asked.status_code == 200, asked.text
    assert sorted(path.name for path in kept.rglob("*.nbc")) == loops
    assert audited(tmp_path) == {"events": SOUND, "duplicates": 0, "quarantined": 0, "amount": PRICE * SOUND}


@pytest.mark.parametrize("command", ["run", "serve"])
def test_who_compiles_can_be_stopped(tmp_path: Path, command: str) -> None:
    """Otherwise who takes it back waits for half a minute, or leaves a compiler behind."""
    deployment(tmp_path, [event(0)])
    process = start(command, folder=tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "machine-code"))
    until(process, said=["compiling"])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (compiler := children.read_text().split()):
        time.sleep(0.01)
    assert stop(process).code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(compiler[0]), 0)


def test_a_run_takes_back_what_an_earlier_run_billed(tmp_path: Path) -> None:
    """Otherwise a refund depends on what a worker still remembers, or on the price of the day."""
    deployment(tmp_path, list(map(event, range(SOUND))))
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    write_book(tmp_path, {"sms": "0.5"}, version=2)
    late = event(SOUND, type="void"), event(SOUND)
    path = tmp_path / "events.jsonl"
    with path.open("ab") as stream:
        for one in (event(3, type="void"), event(5, type="void"), event(3, type="void"), *late):
            stream.write(json.dumps(one).encode() + b"\n")
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    assert audited(tmp_path) == {
        "events": SOUND + 3, "duplicates": 2, "quarantined": 0, "amount": PRICE * (SOUND - 2),
    }  # fmt: skip


def test_a_file_may_grow_even_within_its_last_line_end(tmp_path: Path) -> None:
    """Otherwise the second import of a file that grew bills nothing, bills twice, or quarantines an empty line."""
    deployment(tmp_path, [event(0)])
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    path.write_bytes(path.read_bytes() + b"\n" + json.dumps(event(1)).encode() + b"\n")
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    assert audited(tmp_path) == {"events": 2, "duplicates": 0, "quarantined": 0, "amount": PRICE * 2}


def test_retry_bills_exactly_once_after_the_book_was_corrected(tmp_path: Path) -> None:
    """Otherwise events that came before their price are lost, or charged as often as somebody retries."""
    new = [event(200 + number, product="mms") for number in range(3)]
    deployment(tmp_path, [event(0), *new, b"garbage"])
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    assert reasons(tmp_path) == {"no_rule": 3, "undecodable": 1}
    write_book(tmp_path, {"sms": "0.0079", "mms": "0.02"}, version=2)
    retried = billing("quarantine", "retry", "--reason", "no_rule", folder=tmp_path)
    assert (retried.code, retried.out) == (0, "published 3 events again; billing run bills them\n")
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    expected = {"events": 4, "duplicates": 0, "quarantined": 4, "amount": PRICE + 3 * Decimal("0.02")}
    assert audited(tmp_path) == expected
    again = billing("quarantine", "retry", "--reason", "no_rule", folder=tmp_path)
    assert again.out == "published 0 events again; billing run bills them\n"
    with path.open("ab") as stream:  # what a crash between publishing and marking comes to
        stream.write(json.dumps(new[0]).encode() + b"\n")
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    assert audited(tmp_path) == {**expected, "duplicates": 1}


def test_retry_skips_what_was_cut_and_refuses_what_cannot_grow(tmp_path: Path) -> None:
    """Otherwise half an event is published as if it were whole, or a compressed file is destroyed."""
    deployment(tmp_path, [event(1, attributes={"note": "x" * 80_000}), b"short"])
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    retried = billing("quarantine", "retry", "--all", folder=tmp_path)
    assert retried.out.splitlines() == [
        "published 1 events again; billing run bills them",
        "skipped 1 events of which only the beginning was kept (limits.quarantine_payload_bytes_max = 65536)",
    ]
    for source, sentence in (
        ('kind = "file"\npath = "events.jsonl.gz"', "events.jsonl.gz is compressed and cannot be added to"),
        ('kind = "generator"\nmodel = "skewed"\nevents = 5', "source.kind: generated traffic cannot be added to"),
    ):
        settings = (tmp_path / "billing.toml").read_text()
        (tmp_path / "other.toml").write_text(settings.replace('kind = "file"\npath = "events.jsonl"', source))
        refused = billing("quarantine", "retry", "--all", "-c", "other.toml", folder=tmp_path)
        assert refused.code == 2
        assert sentence in refused.one_error()


def test_two_workers_at_once_bill_once(tmp_path: Path) -> None:
    """Otherwise a deployment that overlaps with the one before charges everything twice."""
    events = 6_000
    deployment(tmp_path, list(map(event, range(events))), more="[limits]\nbatch_events_max = 50")
    workers = [start("run", "--until-end", folder=tmp_path) for _ in range(2)]
    assert [finish(worker).code for worker in workers] == [0, 0]
    assert audited(tmp_path) == {"events": events, "duplicates": 0, "quarantined": 0, "amount": PRICE * events}


def test_a_killed_worker_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Otherwise a crash loses events or charges them twice."""
    events = 6_000
    deployment(tmp_path, list(map(event, range(events))), more="[limits]\nbatch_events_max = 20")
    for _ in range(3):
        worker = start("run", "--until-end", folder=tmp_path)
        until(worker, said=["partitions assigned"])
        time.sleep(0.1)
        worker.kill()
        finish(worker)
        audited(tmp_path)
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    assert audited(tmp_path) == {"events": events, "duplicates": 0, "quarantined": 0, "amount": PRICE * events}


def test_a_full_disk_pauses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Otherwise a full disk corrupts a shard, or the worker must be restarted by hand at night."""
    events = 4_000
    deployment(
        tmp_path, list(map(event, range(events))), more="[limits]\nbatch_events_max = 200\nretry_backoff_max_ms = 100"
    )
    fits = 100 * 1024  # of the write-ahead log, which the first batches fill
    worker = subprocess.Popen(
        [sys.executable, "-m", "billing", "run"], cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_limit_files(fits),  # noqa: PLW1509 - no thread runs yet
    )  # fmt: skip
    try:
        until(worker, said=["shard refused", "shard-"])
        before = audited(tmp_path)
        assert before["events"] < events
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(worker, said=["shard recovered"])
        while audited(tmp_path)["events"] < events:
            assert worker.poll() is None
            time.sleep(0.2)
    finally:
        done = stop(worker)
    assert done.code == 0
    assert audited(tmp_path) == {"events": events, "duplicates": 0, "quarantined": 0, "amount": PRICE * events}


def _limit_files(size: int) -> Callable[[], None]:
    """Return what makes every write past `size` fail in a new process, as on a full disk (Python ignores SIGXFSZ)."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('kind = "file"', 'kind = "carrier pigeon"'), 'billing.toml:2: source.kind: "carrier pigeon" is not known;'),
        (('kind = "file"', "kind = 7"), "billing.toml:2: source.kind: 7 is not"),
        (("path =", "paht ="), "billing.toml:3: source.paht: unknown key; did you mean path?"),
        (("[rules]", "[ruls]"), "billing.toml:4: ruls: unknown key; did you mean rules?"),
        (("book.yaml", "missing.yaml"), "missing.yaml"),
        (('name = "shard-1"', 'name = "shard-0"'), '"shard-0" is another shard\'s name too'),
        (("sqlite:///shard-1.db", "postgres://x"), "shards[1].writer: is not the URL of a store; write mysql://"),
        (("[rules]", "[limits]\nbatch_events_max = 0\n[rules]"), "limits.batch_events_max"),
        (("[rules]", "[limits]\nbatch_events_max = 50000\nbuffer_events_max = 20000\n[rules]"), "write at least 50000"),
        (("[rules]", "rules"), "billing.toml:4: column"),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    """Otherwise whoever deploys must guess which line of which file is wrong."""
    write_settings(tmp_path)
    write_book(tmp_path, {"sms": "1"})
    path = tmp_path / "billing.toml"
    path.write_text(path.read_text().replace(*change))
    done = billing("run", folder=tmp_path)
    assert sentence in done.one_error()
    assert done.code == 2


def test_a_wrong_book_is_told_with_its_place(tmp_path: Path) -> None:
    """Otherwise a misspelt price is found by a customer."""
    write_settings(tmp_path)
    write_book(tmp_path, {"sms": "free"})
    done = billing("run", folder=tmp_path)
    assert done.code == 2
    assert 'book.yaml:9: charges[0].rules[0].price.per_unit: "free" is not a decimal' in done.one_error()


def test_a_missing_file_of_events_is_told(tmp_path: Path) -> None:
    """Otherwise a mistyped path looks like an empty file."""
    deployment(tmp_path, [])
    (tmp_path / "events.jsonl").unlink()
    done = billing("run", "--until-end", folder=tmp_path)
    assert "events.jsonl: No such file or directory; write the path of a JSON Lines file" in done.one_error()
    assert done.code == 1


def test_a_shard_that_does_not_answer_is_told_with_its_address(tmp_path: Path) -> None:
    """Otherwise nobody knows which of thirty databases to look at."""
    deployment(tmp_path, [event(0)])
    path = tmp_path / "billing.toml"
    path.write_text(path.read_text().replace("sqlite:///shard-1.db", "mysql://root@127.0.0.1:9/shard"))
    for command in ("init", "audit"):
        done = billing(command, folder=tmp_path)
        assert done.code == 1
        assert done.one_error().startswith("mysql://root@127.0.0.1:9/shard: 2003 Can't connect")
    worker = start("run", folder=tmp_path)
    line = until(worker, said=["shard refused", "127.0.0.1:9"])
    assert json.loads(line)["shard"] == "shard-1"
    assert stop(worker).code == 0


def test_a_broker_that_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    """Otherwise a worker that starts before its broker must be started again by hand, or cannot be stopped."""
    write_settings(tmp_path)
    write_book(tmp_path, {"sms": "1"})
    path = tmp_path / "billing.toml"
    kafka = 'kind = "kafka"\nbootstrap = "127.0.0.1:9"\ntopic = "events"\ngroup = "billing"'
    path.write_text(path.read_text().replace('kind = "file"\npath = "events.jsonl"', kafka))
    assert billing("init", folder=tmp_path).code == 0
    worker = start("run", folder=tmp_path)
    for _ in range(2):
        until(worker, said=["source unreachable", "no Kafka broker answers at 127.0.0.1:9", "retry_in_ms"])
    done = stop(worker)
    assert done.code == 0
    assert "Traceback" not in done.err
    sent = billing("generate", "--events", "5", "-c", "billing.toml", folder=tmp_path)
    assert sent.code == 1
    assert sent.one_error().startswith("127.0.0.1:9: no broker answered")


def test_the_demo_ends_with_a_clean_audit(tmp_path: Path) -> None:
    """Otherwise the first thing that a newcomer sees is wrong."""
    done = billing("demo", "--events", "2000", "--shards", "2", "--dir", "demo", folder=tmp_path)
    assert done.code == 0, done
    assert "audit clean" in done.out
    assert "equal to an independent decimal oracle to the last place" in done.out
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    refused = billing("demo", "--dir", "mine", folder=tmp_path)
    assert (refused.code, refused.one_error()) == (
        2,
        "--dir: mine holds something that is not a demo; write another folder",
    )
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"
