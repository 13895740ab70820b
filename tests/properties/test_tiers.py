"""What an account is charged for a period depends on what it used, not on how its events were ordered and batched."""

from decimal import Context, Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from billing.adapters.memory import MemoryShard
from billing.cursor import Claim
from billing.dedupe import part_keys
from billing.ports import Applied
from generators import oracle
from tests.examples import examples
from tests.pipeline import COUNTING, LOG, payload, pipeline_in
from tests.rulebooks import HEAD

with TemporaryDirectory() as folder:
    PIPELINE = pipeline_in(Path(folder), charges=COUNTING)

EXACT = Context(prec=80)
_quantities = st.one_of(
    st.integers(0, 30).map(str),
    st.decimals(0, 12, places=12).map(lambda number: f"{number:f}"),
    st.sampled_from(["0.000000000001", "9.999999999999", "123456789012345678", "99999999999999999999999"]),
)
_events = st.lists(
    st.tuples(
        st.sampled_from(["acme", "zoe"]),
        st.sampled_from(["sms", "call", "plain"]),
        _quantities,
        st.sampled_from(["2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"]),
        st.booleans(),
    ),
    max_size=15,
)


def _payloads(events):
    return [
        payload(str(number), account, product, quantity=quantity, time=time, attributes=_reseller(is_resold))
        for number, (account, product, quantity, time, is_resold) in enumerate(events)
    ]


def _reseller(is_resold):
    return {"reseller": "zoe"} if is_resold else {}


def _billed(payloads, rng):
    """Apply events in a random order, some of them twice, in random batches of two partitions; returns the tables."""
    shard = MemoryShard("s1")
    shard.claim(Claim(LOG, {0: 0, 1: 0}, 1, 1))
    shuffled = rng.sample([*payloads, *payloads[:3]], len(payloads) + len(payloads[:3]))
    logs = {partition: shuffled[partition::2] for partition in (0, 1)}
    at = {0: 0, 1: 0}
    while any(at[partition] < len(logs[partition]) for partition in at):
        partition = rng.choice([one for one in at if at[one] < len(logs[one])])
        start, size = at[partition], rng.choice((1, 2, 7, 30))
        batch = PIPELINE.slice(logs[partition][start : start + size], start, partition)
        outcome = shard.apply(PIPELINE.fold(batch))
        if outcome != Applied():
            existing = shard.existing(part_keys(batch))
            assert shard.apply(PIPELINE.fold(batch, existing)) == Applied()
        at[partition] = batch.spans[partition].stop
    return shard.tables


@examples(60)
@given(_events, st.integers(0, 2**32))
def test_totals_do_not_depend_on_order_and_batches(events, seed):
    """The same month would cost another amount after a restart, or with one more partition."""
    payloads = _payloads(events)
    tables = _billed(payloads, Random(seed))
    with TemporaryDirectory() as place:
        book = Path(place) / "book.yaml"
        book.write_text(HEAD + COUNTING)
        expected = oracle.run(payloads, book)
    balances = {account: amount for (_, account, _), (_, amount, _) in tables.balances.items()}
    assert balances == expected.balances
    used: dict[tuple[str, str], tuple[Decimal, int, Decimal]] = {}
    for (_, account, rule, _), (quantity, events_used, amount) in tables.tiers.items():
        old = used.get((account, rule), (Decimal(0), 0, Decimal(0)))
        used[account, rule] = EXACT.add(old[0], quantity), old[1] + events_used, EXACT.add(old[2], amount)
    counting = {rule.id for rule in PIPELINE.book.rules if rule.per is not None}
    assert used == {
        key: (total.quantity, total.lines, total.amount) for key, total in expected.rules.items() if key[1] in counting
    }
