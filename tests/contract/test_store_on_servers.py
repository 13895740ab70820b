"""The contract of a shard's store, on real servers: what only they can do to a transaction."""

import asyncio

import attrs
import pyarrow as pa
import pytest

from billing.adapters.mysql import MysqlStore
from billing.cursor import Claim
from billing.dedupe import PartKey
from billing.limits import Limits
from billing.ports import Applied, Reaction
from billing.upsert import Dialect, existing_query, lines_query, packet
from billing.voids import Known
from tests.pipeline import DAY, LOG, SLOT, payload
from tests.stores import CLAIM, LIMITS, SHARD, applied, reaction_of, stands, with_store

TRX_SECONDS = 0.11  # servers renew their list of transactions only when nobody has asked for it for 0.1 s


async def is_idle(place):
    """Tell whether the server has no transaction open."""
    for _ in range(10):
        await asyncio.sleep(TRX_SECONDS)
        if (await place.sql("SELECT COUNT(*) FROM information_schema.innodb_trx"))[0][0] == 0:
            return True
    return False


async def wait_for_lock_wait(place):
    """Return once a transaction on the server waits for a lock."""
    waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state='LOCK WAIT'"
    for _ in range(100):
        await asyncio.sleep(TRX_SECONDS)
        if (await place.sql(waiting))[0][0]:
            return
    pytest.fail("nothing waits for a lock")


@pytest.mark.parametrize("commit", [True, False])
def test_a_second_writer_waits_for_the_first(served, pipeline, commit):
    """Two workers would both move the cursor, and a batch would be billed twice."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - a session of the product that stops between two statements
        await raw.query("BEGIN")
        await raw.query("UPDATE cursors SET next_offset=1 WHERE `partition`=0")
        applying = asyncio.create_task(store.apply(pipeline.transaction([payload()])))
        await wait_for_lock_wait(served)
        assert not applying.done()
        await raw.query("COMMIT" if commit else "ROLLBACK")
        outcome = await applying
        await holder.close()
        if commit:
            assert reaction_of(outcome) is Reaction.FENCED
        else:
            assert outcome == Applied()
        assert len((await served.rows())["records"]) == (0 if commit else 1)
        assert await is_idle(served)

    with_store(served, scenario)


def test_a_claim_waits_for_transactions_in_flight(served):
    """A worker would start from a cursor that a dying worker is about to move, and bill its last batch again."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await raw.query("BEGIN")
        await raw.query("UPDATE cursors SET next_offset=42 WHERE `partition`=0")
        claiming = asyncio.create_task(stands(store))
        await wait_for_lock_wait(served)
        await raw.query("COMMIT")
        assert (await claiming).positions == {0: 42, 3: 7}
        await holder.close()

    with_store(served, scenario)


def test_workers_that_start_together_do_not_deadlock(served):
    """A fleet that starts with a new book would be told off by its own shards, and each error is a second's wait."""

    async def scenario(store):
        other = served.store()
        for version in range(1, 40):
            standing = await asyncio.gather(
                stands(store, Claim(LOG, {0: 0, 2: 0}, version, version)),
                stands(other, Claim(LOG, {1: 0, 3: 0}, version, version)),
            )
            assert [one.positions for one in standing] == [{0: 0, 2: 0}, {1: 0, 3: 0}]
        await other.close()

    with_store(served, scenario)


def test_existing_waits_for_a_record_in_flight(served, pipeline):
    """A record that is just being committed would be looked for in vain, round after round."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await applied(store, pipeline.transaction([payload("e1")]))
        await raw.query("BEGIN")
        await raw.query("UPDATE records SET digest=77")
        looking = asyncio.create_task(store.existing([PartKey(SLOT, "acme", DAY, "e1")]))
        await wait_for_lock_wait(served)
        await raw.query("COMMIT")
        assert await looking == {PartKey(SLOT, "acme", DAY, "e1"): Known(77)}
        await holder.close()

    with_store(served, scenario)


def test_existing_does_not_wait_for_other_records(served, pipeline):
    """A look for repeats would lock the whole table as long as it is small, and meet those who write to it."""

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([payload("e1"), payload("e2")]))
        await store._connection.query("BEGIN")  # noqa: SLF001 - as above
        await store._connection.query("UPDATE records SET digest=77 WHERE event='e2'")  # noqa: SLF001 - as above
        other = served.store(limits=Limits(lock_wait_seconds=1))
        for void in (False, True):
            key = PartKey(SLOT, "acme", DAY, "e1", void)
            assert list(await other.existing([key])) == [key], void
        await other.close()

    with_store(served, scenario)


def test_a_lock_that_never_comes_is_given_up_whole(served, pipeline):
    """A lock timeout rolls back one statement only: the rest of the batch would be committed by the next BEGIN."""

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([payload("old")]))
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await raw.query("BEGIN")
        await raw.query("UPDATE balances SET events=events")
        before = await served.rows()
        refused = await store.apply(pipeline.transaction([payload("new")], start=1))
        assert reaction_of(refused) is Reaction.RETRY
        assert "at balances" in refused.detail
        await raw.query("ROLLBACK")
        await holder.close()
        await applied(store, pipeline.transaction([], 1, stop=2))
        after = await served.rows()
        assert {name: rows for name, rows in after.items() if name != "cursors"} == {
            name: rows for name, rows in before.items() if name != "cursors"
        }

    with_store(served, scenario)


def test_a_killed_connection_writes_nothing_and_the_next_call_connects_again(served, pipeline):
    """A half batch would be committed, or a worker would need a restart after every network fault."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await raw.query("BEGIN")
        await raw.query("UPDATE cursors SET map_version=map_version, applied_at_us=1 WHERE `partition`=0")
        applying = asyncio.create_task(store.apply(pipeline.transaction([payload()])))
        await wait_for_lock_wait(served)
        await served.sql(f"KILL {store._connection.thread_id()}")  # noqa: SLF001 - the session to kill
        assert reaction_of(await applying) is Reaction.RECONNECT
        await raw.query("ROLLBACK")
        await holder.close()
        assert (await served.rows())["records"] == []
        await stands(store)
        await applied(store, pipeline.transaction([payload()]))

    with_store(served, scenario)


class Wire:
    """A relay in front of a server that can swallow answers and then cut the connection."""

    def __init__(self, port):
        self._port = port
        self.deaf = False
        self._server = None
        self._tasks = set()

    async def open(self):
        """Listen on a free port and return it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def close(self):
        """Cut everything."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            up = asyncio.create_task(self._pump(reader, far_writer, answers=False))
            await self._pump(far_reader, writer, answers=True)
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
        finally:
            self._tasks.discard(task)
            writer.close()
            far_writer.close()

    async def _pump(self, source, target, *, answers):
        while data := await source.read(65536):
            if answers and self.deaf:
                return
            target.write(data)
            await target.drain()


def test_a_commit_whose_answer_is_lost_is_found_by_the_next_claim(served, pipeline):
    """The batch would be sent a second time: billed twice, or an account's worker stopped for good."""

    async def scenario(_store):
        wire = Wire(served.url.port)
        store = MysqlStore(SHARD, attrs.evolve(served.url, port=await wire.open()), LIMITS)
        await stands(store)
        wire.deaf = True
        assert reaction_of(await store.apply(pipeline.transaction([payload()]))) is Reaction.RECONNECT
        wire.deaf = False
        assert (await stands(store)).positions == {0: 1, 3: 7}
        assert len((await served.rows())["records"]) == 1
        assert reaction_of(await store.apply(pipeline.transaction([payload()]))) is Reaction.FENCED
        await store.close()
        await wire.close()

    with_store(served, scenario)


def test_a_transaction_larger_than_the_limit_is_to_be_split(served, pipeline):
    """A batch of large events would be sent for ever and refused for ever."""
    events = [payload(f"e{i}", attributes={"to": "x" * 1000}) for i in range(300)]

    async def scenario(_store):
        store = served.store(limits=Limits(batch_bytes_max=262_144))
        await stands(store)
        assert reaction_of(await store.apply(pipeline.transaction(events))) is Reaction.SPLIT
        await applied(store, pipeline.transaction(events[:150]))
        await store.close()

    with_store(served, scenario)


def test_a_server_with_a_smaller_packet_is_obeyed(served, pipeline):
    """The server would cut the connection in the middle of each packet, and the shard would never move."""
    events = [payload(f"e{i}", attributes={"to": "x" * 1000}) for i in range(1500)]

    async def scenario(_store):
        (before,) = (await served.sql("SELECT @@GLOBAL.max_allowed_packet"))[0]
        await served.sql("SET GLOBAL max_allowed_packet=1048576")
        store = served.store()
        try:
            await stands(store)
            assert reaction_of(await store.apply(pipeline.transaction(events))) is Reaction.SPLIT
            await applied(store, pipeline.transaction(events[:500]))
        finally:
            await served.sql(f"SET GLOBAL max_allowed_packet={before}")
            await store.close()

    with_store(served, scenario)


def test_a_server_that_becomes_read_only_is_left_for_its_writer(served, pipeline):
    """After a failover the old writer would be asked for ever, and the shard would stand still."""
    variable = "super_read_only" if served.kind == "mysql" else "read_only"
    user = "plain"

    async def scenario(_store):
        await served.sql(
            f"CREATE USER IF NOT EXISTS {user}@'127.0.0.1'", f"GRANT ALL ON contract.* TO {user}@'127.0.0.1'"
        )
        url = attrs.evolve(served.url, user=user, password="")
        store, late = MysqlStore(SHARD, url, LIMITS), MysqlStore(SHARD, url, LIMITS)
        await stands(store)
        await served.sql(f"SET GLOBAL {variable}=ON")
        try:
            refused = await store.apply(pipeline.transaction([payload()]))
            fresh = await late.claim(CLAIM)
        finally:
            await served.sql(f"SET GLOBAL {variable}=OFF", "SET GLOBAL read_only=OFF")
        assert reaction_of(refused) is Reaction.RESOLVE_WRITER
        assert reaction_of(fresh) is Reaction.RESOLVE_WRITER
        assert "is read-only" in fresh.detail
        assert (await served.rows())["records"] == []
        await applied(store, pipeline.transaction([payload()]))
        await store.close()
        await late.close()

    with_store(served, scenario)


def test_an_address_where_nothing_answers_is_named(served):
    """Nobody would know which of thirty databases is away."""

    async def scenario(_store):
        store = MysqlStore(SHARD, attrs.evolve(served.url, port=1), LIMITS)
        refused = await store.claim(CLAIM)
        assert reaction_of(refused) is Reaction.RECONNECT
        assert "127.0.0.1:1" in refused.detail
        await store.close()

    with_store(served, scenario)


def test_a_session_is_strict_and_read_committed_whatever_the_server_says(served, pipeline):
    """A lax server would cut amounts to what fits, with a warning that nobody reads."""

    async def scenario(_store):
        (mode,) = (await served.sql("SELECT @@GLOBAL.sql_mode"))[0]
        await served.sql("SET GLOBAL sql_mode=''", "SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        store = served.store()
        try:
            await stands(store)
            raw = store._connection  # noqa: SLF001 - the session whose settings are checked
            await raw.query("SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation','transaction_isolation')")
            assert {row[1] for row in raw._result.rows} == {"READ-COMMITTED"}  # noqa: SLF001
            wide = pipeline.transaction([payload()])
            wide = attrs.evolve(wide, records=attrs.evolve(wide.records, kept=pa.array(["x" * 5000])))
            assert reaction_of(await store.apply(wide)) is Reaction.BISECT
            assert (await served.rows())["records"] == []
        finally:
            await served.sql(f"SET GLOBAL sql_mode='{mode}'", "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await store.close()

    with_store(served, scenario)


def test_no_statement_of_a_transaction_warns(served, pipeline):
    """Each warning costs a round trip, and hides the one that matters."""
    payloads = [*(payload(f"e{i}", attributes={"country": "US", "to": "é'"}) for i in range(3)), b"bad"]

    async def scenario(store):
        await stands(store)
        planned = packet(pipeline.transaction(payloads), Dialect.of(store.server), 65_536)
        statements = planned.text.decode().split(";")
        assert len(statements) == len(planned.statements)
        raw = store._connection  # noqa: SLF001 - the session of the product
        keys, dialect = [PartKey(SLOT, "acme", DAY, "e1")], Dialect.of(store.server)
        for statement in [*statements, existing_query(keys, dialect), lines_query(keys, dialect)]:
            await raw.query(statement)
            assert raw._result.warning_count == 0, statement  # noqa: SLF001
        assert len((await served.rows())["records"]) == 3

    with_store(served, scenario)


def test_a_sum_wider_than_the_column_is_refused_whole(served, pipeline):
    """A balance would be cut to the largest number that fits, or the worker would stop at one account's riches."""
    most = "99999999999999999999999999"

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([payload("a", quantity=most)]))
        before = await served.rows()
        assert reaction_of(await store.apply(pipeline.transaction([payload("b")], start=1))) is Reaction.BISECT
        together = pipeline.transaction([payload("b", "zoe", quantity=most), payload("c", "zoe", quantity=most)], 1)
        assert reaction_of(await store.apply(together)) is Reaction.BISECT
        assert await served.rows() == before
        assert await is_idle(served)

    with_store(served, scenario)
