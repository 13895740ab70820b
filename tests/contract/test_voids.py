"""The contract of a shard's store for voids: what was recorded is taken back as it was recorded, once."""

import json
from decimal import Decimal
from itertools import pairwise

import attrs
import pytest

from billing.cursor import Claim
from billing.dedupe import PartKey, part_keys
from billing.event import Reason
from billing.ports import Applied, Reaction, Refused
from billing.voids import VOIDED_RULE, Known, KnownLine
from rules.load import load
from sharding.key import slot_of
from tests.pipeline import CHARGES, COUNTING, DAY, HOUR, LOG, Pipeline, payload, pipeline_in
from tests.stores import with_store

SLOT, ZOE = (int(slot) for slot in slot_of(["acme", "zoe"]))
RESOLD = {"attributes": {"reseller": "zoe"}}


@pytest.fixture(scope="session")
def linear(tmp_path_factory):
    """Give the path from payloads to transactions by a book whose prices are linear."""
    return pipeline_in(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="session")
def counting(tmp_path_factory):
    """Give the path from payloads to transactions by a book whose prices count."""
    return pipeline_in(tmp_path_factory.mktemp("book"), charges=COUNTING)


def dearer(pipeline, folder, before, after):
    """Return the path by a later version of the book, in which something reads otherwise."""
    charges = (CHARGES if "unit" in {rule.id for rule in pipeline.book.rules} else COUNTING).replace(before, after)
    (folder / "book.yaml").write_text(f"book: test\nversion: 2\ncurrency: USD\n{charges}", encoding="utf-8")
    return Pipeline(attrs.evolve(load(folder / "book.yaml"), version=1), pipeline.shardmap)


def void(id="a", account="acme", product="sms", **fields):  # noqa: A002
    """Write the void of an event."""
    return payload(id, account, product, **fields, type="void")


async def claimed(store):
    """Make the cursors."""
    await store.claim(Claim(LOG, {0: 0, 3: 0}, 1, 1))


async def bill(store, pipeline, payloads, start=0):
    """Send payloads as the engine does: after a look, if there are voids or something exists already."""
    batch = pipeline.slice(payloads, start)
    found = await store.existing(part_keys(batch)) if batch.charges.void.any() else {}
    outcome = await store.apply(pipeline.fold(batch, found))
    if isinstance(outcome, Refused):
        assert outcome.reaction is Reaction.DUPLICATES, outcome
        outcome = await store.apply(pipeline.fold(batch, await store.existing(part_keys(batch))))
    assert outcome == Applied()
    return outcome.written


def amounts(rows):
    """Return quantity and amount of each record, by account, event and line."""
    return {(row[1], row[3], row[4]): row[6:8] for row in rows["records"]}


def sums(rows):
    """Return events and amount of each balance and of each rollup without dimensions, by account."""
    balances = {row[1]: row[3:5] for row in rows["balances"]}
    rollups = {row[1]: (row[5], row[7]) for row in rows["rollups"] if row[2] == "monthly"}
    assert balances == rollups
    return balances


def test_a_void_takes_back_what_was_charged_whatever_the_book_says_now(place, linear, tmp_path):
    """A refund would be computed from today's prices, and the difference stay with the customer or with us."""
    now = dearer(linear, tmp_path, "{per_unit: 1}", "{per_unit: 7}")

    async def scenario(store):
        await claimed(store)
        await bill(store, linear, [payload("a", quantity=10, **RESOLD), payload("b", quantity=2)])
        await bill(store, now, [void("a", quantity=10, **RESOLD)], start=2)
        rows = await place.rows()
        assert amounts(rows) == {
            ("acme", "a", 0): (Decimal(10), Decimal(10)), ("acme", "a", -1): (Decimal(-10), Decimal(-10)),
            ("acme", "b", 0): (Decimal(2), Decimal(2)),
            ("zoe", "acme a", 0): (Decimal(10), Decimal(1)), ("zoe", "acme a", -1): (Decimal(-10), Decimal(-1)),
        }  # fmt: skip
        assert sums(rows) == {"acme": (1, Decimal(2)), "zoe": (0, Decimal(0))}
        assert rows["cursors"][0] == (LOG, 0, 3, 1, 1, 3, 0, 0)

    with_store(place, scenario)


def test_a_void_whose_event_no_rule_prices_any_more_takes_it_back(place, linear, tmp_path):
    """The end of a product would make its charges final, right or wrong."""
    now = dearer(linear, tmp_path, "{product: sms}", "{product: mms}")

    async def scenario(store):
        await claimed(store)
        await bill(store, linear, [payload("a", quantity=10)])
        await bill(store, now, [void("a", quantity=10)], start=1)
        assert sums(await place.rows()) == {"acme": (0, Decimal(0))}

    with_store(place, scenario)


@pytest.mark.parametrize("together", [False, True])
def test_a_second_void_is_dropped(place, linear, together):
    """A producer that sends its voids twice would give the money back twice."""
    voids = [void("a", quantity=3), void("a", quantity=3)]

    async def scenario(store):
        await claimed(store)
        await bill(store, linear, [payload("a", quantity=3), payload("b")])
        if together:
            await bill(store, linear, voids, start=2)
        else:
            await bill(store, linear, voids[:1], start=2)
            await bill(store, linear, voids[1:], start=3)
        rows = await place.rows()
        assert sums(rows) == {"acme": (1, Decimal(1))}
        assert rows["cursors"][0] == (LOG, 0, 4, 1, 1, 3, 1, 0)

    with_store(place, scenario)


@pytest.mark.parametrize("together", [False, True])
def test_an_event_that_comes_after_its_void_is_never_charged(place, linear, together):
    """Whether a customer pays would depend on which of two partitions is read faster."""
    first, late = void("a", quantity=3, **RESOLD), payload("a", quantity=3, **RESOLD)

    async def scenario(store):
        await claimed(store)
        if together:
            await bill(store, linear, [first, late, late, first, payload("b")])
        else:
            await bill(store, linear, [first])
            await bill(store, linear, [late, late, payload("b")], start=1)
            await bill(store, linear, [first], start=4)
        rows = await place.rows()
        zero = Decimal(0), Decimal(0)
        assert amounts(rows) == {
            ("acme", "a", 0): zero,
            ("acme", "b", 0): (Decimal(1), Decimal(1)),
            ("zoe", "acme a", 0): zero,
        }
        assert sums(rows) == {"acme": (1, Decimal(1)), "zoe": (0, Decimal(0))}
        assert rows["cursors"][0] == (LOG, 0, 5, 1, 1, 2, 3, 0)

    with_store(place, scenario)


def test_a_void_that_did_not_see_its_event_collides_with_it(place, linear):
    """A void and its event, written at the same time by two workers, would both stand: charged and not voided."""
    batch = linear.slice([void("a")], 0, 3)

    async def scenario(store):
        await claimed(store)
        blind = linear.fold(batch, await store.existing(part_keys(batch)))
        await bill(store, linear, [payload("a")])
        before = await place.rows()
        refused = await store.apply(blind)
        assert isinstance(refused, Refused)
        assert refused.reaction is Reaction.DUPLICATES
        assert await place.rows() == before
        assert await store.apply(linear.fold(batch, await store.existing(part_keys(batch)))) == Applied()
        assert sums(await place.rows()) == {"acme": (0, Decimal(0))}

    with_store(place, scenario)


def test_a_void_of_another_body_is_a_conflict(place, linear):
    """A mistyped void would take back a charge that nobody meant, or disappear without a word."""

    async def scenario(store):
        await claimed(store)
        await bill(store, linear, [payload("a", quantity=3), payload("b")])
        await bill(store, linear, [void("a", quantity=4), void("b"), void("b", quantity=2)], start=2)
        await bill(store, linear, [void("c"), payload("c", quantity=2)], start=5)
        rows = await place.rows()
        assert sums(rows) == {"acme": (1, Decimal(3))}
        assert [row[2:] for row in rows["quarantine"]] == [
            (2, "acme", Reason.CONFLICT), (4, "acme", Reason.CONFLICT), (6, "acme", Reason.CONFLICT),
        ]  # fmt: skip

    with_store(place, scenario)


def test_existing_tells_the_lines_of_what_a_void_concerns(place, linear):
    """A void would not know what to take back."""
    keys = [PartKey(SLOT, "acme", DAY, name, void=True) for name in ("a", "b", "none")]
    plain = PartKey(ZOE, "zoe", DAY, "acme a")

    async def scenario(store):
        await claimed(store)
        await bill(store, linear, [payload("a", quantity="1.5", **RESOLD), payload("b")])
        await bill(store, linear, [void("b"), void("c")], start=2)
        found = await store.existing([*keys, plain, PartKey(SLOT, "acme", DAY, "c", void=True)])
        digests = {row[3]: row[5] for row in (await place.rows())["records"]}
        line = KnownLine("sms", "unit", "USD", 1, 1_500_000_000_000, 1_500_000_000_000)
        one = attrs.evolve(line, quantity_pico=10**12, amount_pico=10**12)
        mark = attrs.evolve(line, rule=VOIDED_RULE, quantity_pico=0, amount_pico=0)
        assert found == {
            keys[0]: Known(digests["a"], (line,)),
            keys[1]: Known(digests["b"], (one,), voided=True),
            plain: Known(digests["acme a"]),
            PartKey(SLOT, "acme", DAY, "c"): Known(digests["c"], (mark,), voided=True),
        }

    with_store(place, scenario)


# --- counters ---


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (3,), (1, 2, 3)])
def test_a_void_gives_its_use_back_in_its_turn(place, counting, cuts):
    """A voided call would go on using up its customer's tiers, or batches decide what others cost."""
    payloads = [payload("a", quantity=8), payload("b", quantity=4), void("a", quantity=8), payload("c", quantity=8)]
    edges = [0, *cuts, len(payloads)]

    async def scenario(store):
        await claimed(store)
        for start, stop in pairwise(edges):
            await bill(store, counting, payloads[start:stop], start)
        rows = await place.rows()
        assert {key[1:]: value[1] for key, value in amounts(rows).items()} == {
            ("a", 0): Decimal(8), ("a", 1): Decimal("0.01"), ("a", -1): Decimal(-8), ("a", -2): Decimal("-0.01"),
            ("b", 0): Decimal(6), ("b", 1): Decimal("0.01"),  # 2 * 1 + 3 + 2 * 0.5
            ("c", 0): Decimal(10), ("c", 1): Decimal("0.01"),  # from 4 to 12: 6 * 1 + 3 + 2 * 0.5
        }  # fmt: skip
        assert rows["tiers"] == [(SLOT, "acme", "graduated", HOUR, Decimal(12), 2, Decimal(16))]
        assert sums(rows) == {"acme": (2, Decimal("16.02"))}

    with_store(place, scenario)


def test_a_void_that_comes_first_leaves_counters_alone(place, counting):
    """A message that was never sent would use up a tier."""

    async def scenario(store):
        await claimed(store)
        await bill(store, counting, [void("a", quantity=8), payload("a", quantity=8), payload("b", quantity=1)])
        rows = await place.rows()
        assert rows["tiers"] == [(SLOT, "acme", "graduated", HOUR, Decimal(1), 1, Decimal(1))]

    with_store(place, scenario)


def test_the_share_of_a_reseller_is_given_back_with_its_use(place, counting):
    """The reseller would stay in a tier for messages that were voided."""

    async def scenario(store):
        await claimed(store)
        await bill(store, counting, [payload("a", quantity=3, **RESOLD)])
        await bill(store, counting, [void("a", quantity=3, **RESOLD)], start=1)
        rows = await place.rows()
        assert [row[1:3] + row[4:] for row in rows["tiers"]] == sorted(
            [("acme", "graduated", Decimal(0), 0, Decimal(0)), ("zoe", "share", Decimal(0), 0, Decimal(0))],
            key=lambda row: next(one[0] for one in rows["tiers"] if one[1] == row[0]),
        )
        assert sums(rows) == {"acme": (0, Decimal(0)), "zoe": (0, Decimal(0))}

    with_store(place, scenario)


def test_a_void_that_cannot_give_back_is_kept_in_quarantine(place, counting, tmp_path):
    """A counter would stay too high for ever, or the records differ from it without anybody being told."""
    now = dearer(
        counting, tmp_path, "when: {product: sms}\n    price: {graduated", "when: {product: mms}\n    price: {graduated"
    )

    async def scenario(store):
        await claimed(store)
        await bill(store, counting, [payload("a", quantity=3)])
        written = await bill(store, now, [void("a", quantity=3)], start=1)
        assert (await place.rows())["cursors"][0] == (LOG, 0, 2, 1, 1, 1, 0, 1)
        rows = await place.rows()
        assert [row[2:] for row in rows["quarantine"]] == [(1, "acme", Reason.UNCOUNTED)]
        assert written.quarantine[0].detail == (
            "the event was counted by rule graduated, which does not price it any more; correct the book"
        )
        assert rows["tiers"] == [(SLOT, "acme", "graduated", HOUR, Decimal(3), 1, Decimal(3))]
        assert sums(rows) == {"acme": (1, Decimal("3.01"))}
        assert json.loads(written.quarantine[0].payload)["type"] == "void"
        await bill(store, counting, [void("a", quantity=3)], start=2)
        assert sums(await place.rows()) == {"acme": (0, Decimal(0))}

    with_store(place, scenario)


def test_of_a_void_that_one_account_cannot_give_back_nobody_gets_back(place, counting, tmp_path):
    """An event would be voided for its account and charged to its reseller, and count twice in the cursor."""
    share = "  - id: share\n"
    other = "  - {id: other, when: {reseller: {exists: true}}, charge: {attribute: reseller}, price: {per_unit: 1}}\n"
    now = dearer(counting, tmp_path, share, other + share)

    async def scenario(store):
        await claimed(store)
        await bill(store, counting, [payload("a", quantity=3, **RESOLD)])
        before = await place.rows()
        written = await bill(store, now, [void("a", quantity=3, **RESOLD)], start=1)
        rows = await place.rows()
        assert "rule share," in written.quarantine[0].detail
        assert rows["cursors"][0] == (LOG, 0, 2, 1, 1, 1, 0, 1)
        assert [rows[name] for name in ("records", "balances", "tiers")] == [
            before[name] for name in ("records", "balances", "tiers")
        ]

    with_store(place, scenario)
