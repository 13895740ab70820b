"""Bytes that nobody meant as events: each is billed or quarantined with a reason, as the oracle says.

FUZZ_EVENTS says how many; FUZZ_SEED from which seed they are made.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs
import msgspec

from billing.wire import Reason
from generators import oracle
from generators.faults import Faults
from generators.workload import Workload
from rules import books_path
from rules.load import load
from sharding.shardmap import ShardMap
from tests.pipeline import Pipeline, bill

EVENTS: Final = int(os.environ.get("FUZZ_EVENTS", "6000"))
SEED: Final = int(os.environ.get("FUZZ_SEED", "1"))
CHUNK: Final = 2_000  # billed and judged together: an account's repeats, conflicts and voids meet in it
BOOK: Final = books_path() / "telecom.yaml"
TOKENS: Final = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"-", b"1e309", b"0.1", b"1E-30", b"9" * 40,
    b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\xf0\x9f\x92\xa9", b"\xbf'", b"'", b"--",
    b"/*", b"%s", b'"id":', b'"account":', b'"time":', b'"type":"void",', b'"type":"credit",', b'"quantity":-1,',
    b'"attributes":{},', b'"specversion":"1.0",', b'"data":', b"NaN", b"Infinity", b"\xef\xbb\xbf", b" ", b"\r\n",
    b"1900-01-01", b"x" * 70,
)  # fmt: skip


def cloud(payload: bytes) -> bytes:
    """Write an event as CloudEvents do; what is no event stays as it is."""
    try:
        event = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return payload
    head = {"specversion": "1.0", "source": "fuzz", "type": "usage"} | {
        name: event.pop(name) for name in ("id", "time") if name in event
    }
    return msgspec.json.encode(head | {"data": event})


def flipped(payload: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(payload))
    return payload[:at] + bytes([payload[at] ^ 1 << dice.randrange(8)]) + payload[at + 1 :]


def without(payload: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(payload))
    return payload[:at] + payload[at + dice.randrange(1, 9) :]


def with_token(payload: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(payload))
    return payload[:at] + dice.choice(TOKENS) + payload[at + dice.choice((0, 0, 1, 4)) :]


def doubled(payload: bytes, dice: random.Random) -> bytes:
    start, stop = sorted((dice.randrange(len(payload)), dice.randrange(len(payload))))
    return payload[:stop] + payload[start:]


def short(payload: bytes, dice: random.Random) -> bytes:
    return payload[: dice.randrange(len(payload))]


def noise(_payload: bytes, dice: random.Random) -> bytes:
    return dice.randbytes(dice.randrange(64))


MUTATIONS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    flipped, without, with_token, with_token, with_token, doubled, short, noise,
)  # fmt: skip


def fuzzed(seed: int, count: int) -> Iterator[bytes]:
    """Yield sound events, plain and CloudEvents, of which most are changed once, and some often."""
    dice = random.Random(seed)
    sound = Workload(
        model="skewed", seed=seed, accounts=50, faults=Faults(duplicates=0.1, malformed=0.02), credits=0.05
    )
    for payload in sound.payloads(0, count):
        one = cloud(payload) if dice.random() < 0.3 else payload
        for _ in range(dice.choice((0, 0, 1, 1, 1, 1, 2, 5))):
            one = dice.choice(MUTATIONS)(one or b" ", dice)
        yield one


def is_text(payload: bytes) -> bool:
    """Tell whether bytes are UTF-8; of what is not, any complaint is right."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


@attrs.frozen
class Outcome:
    """What became of payloads: how many were billed, how many were repeats, and the reason of each other one."""

    billed: int
    duplicates: int
    reasons: dict[int, str]

    def counts(self) -> Counter[str]:
        """Count everything once."""
        return Counter(self.reasons.values()) + Counter(billed=self.billed, duplicates=self.duplicates)


def by_engine(pipeline: Pipeline, payloads: Sequence[bytes]) -> Outcome:
    """Bill payloads in two reads; each is billed, a repeat, or in quarantine, and nothing is anything else."""
    half = len(payloads) // 2
    tables = bill(pipeline, [payloads[:half], payloads[half:]]).tables
    (cursor,) = tables.cursors.values()
    reasons = {offset: one.reason for (_, _, offset), one in tables.quarantine.items()}
    assert set(reasons.values()) <= {*Reason}
    assert cursor.quarantined == len(reasons)
    assert cursor.accepted + cursor.duplicates + cursor.quarantined == len(payloads)
    return Outcome(cursor.accepted, cursor.duplicates, {place: str(reason) for place, reason in reasons.items()})


def by_oracle(payloads: Sequence[bytes], told: Outcome) -> Outcome:
    """Return what the oracle says; where bytes are no text, it may have found another fault first."""
    judged = oracle.run(payloads, BOOK)
    reasons = {
        place: told.reasons.get(place, reason) if not is_text(payloads[place]) else reason
        for place, reason in judged.rejects.items()
    }
    return Outcome(judged.accepted, judged.duplicates, reasons)


def test_each_event_is_billed_or_quarantined_with_a_reason(publish: Callable[[str], None]) -> None:
    """One producer's broken bytes would stop everybody's bills, vanish, or be billed as what nobody sent."""
    pipeline = Pipeline(load(BOOK), ShardMap.even(["s1"]))
    total: Counter[str] = Counter()
    for start in range(0, EVENTS, CHUNK):
        payloads = list(fuzzed(SEED + start, min(CHUNK, EVENTS - start)))
        told = by_engine(pipeline, payloads)
        assert told == by_oracle(payloads, told), f"FUZZ_SEED={SEED + start} FUZZ_EVENTS={CHUNK}"
        total += told.counts()
    assert total.total() == EVENTS
    assert total["billed"] > EVENTS // 10
    assert len(total) > 6, total
    counts = ", ".join(f"{name} {count:,}" for name, count in total.most_common())
    publish(f"fuzzed events: {EVENTS:,} from seed {SEED}: {counts}")
