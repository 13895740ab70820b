"""The text of a packet, attacked: values of any bytes, on real servers with any charset and sql_mode, stay values."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.adapters.migrate import migrate
from billing.config.store_url import MysqlUrl
from billing.credit_rows import CreditRow
from billing.cursor import Claim
from billing.dedupe import PartKey
from billing.event import Rejected
from billing.fold import CursorMove, Transaction
from billing.intern import Dictionary
from billing.rows import BalanceColumns, RecordColumns, RollupColumns
from billing.tail import Tail
from billing.texts import Texts
from billing.tiers import TierColumns, TierKeys
from billing.upsert import Dialect, claim_statements, counters_packet, existing_query, lines_query, packet
from ops.local.mysql import MysqlServer
from rules.columns import Decimals
from rules.cumulative import Used
from tests.examples import examples
from tests.servers import connect, query
from tests.stores import TODAY

DATABASE = "fuzz"
CHARSETS = ("utf8mb4", "latin1", "gbk", "sjis", "big5")
MODES = ("", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT")
WIDTHS: Final = {"id": 64, "event": 129, "currency": 12, "kept": 4096, "dims": 1024, "detail": 512}
BEGIN: Final = "'; DROP TABLE records; -- "
HOSTILE = [
    "'", '"', "\\", "\\'", "''", "\0", "\n", "\x1a", "%s", "%", "{}", "/* */", "/*!50000 x */", "--", "-- ", "#", ";",
    "`", "x'41'", "0x41", "NULL", "@g", ":a", "?", "\N{PILE OF POO}", "\N{EURO SIGN}", "\u2028", "\U0010ffff",
    BEGIN, "縗'", "\u00bf'", "¿\\", "ß\\'", "表'", "ソ\\", "許\\'", "' OR 1=1 -- ", "\\x27", "), (1", "x" * 130,
]  # fmt: skip
BYTES = [b"\xbf'", b"\xbf\\", b"\x81'", b"\xff\xfe", b"\x00'\x00", b"\xe5'", b"\x95\\'", b"\xc0\xa7"]
# What a packet may hold besides words of its own: hex, harmless quoted text and numbers.
VALUE = re.compile(rb"x'(?:[0-9a-f]{2})*'|'[ -&(-\[\]-~]*'|(?<![\w@])-?\d+(?:\.\d+)?(?!\w)")

# A column, whose values are all in one literal, or one for each of a few; where each is may be columns of numbers.
COLUMN = re.compile(rb"_binary \?|SUBSTR\(\?,(?:n\*)?\?,\?\)|RTRIM\(\?\)|ELT\(\?(?:,\?)+\)")

pieces = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8), st.text("'\"\\\0;- ", max_size=8))
texts = st.lists(pieces, min_size=1, max_size=4).map("".join)
blobs = st.lists(st.one_of(st.sampled_from(BYTES), st.binary(max_size=12)), max_size=3).map(b"".join)


def cut(text: str, width: str) -> str:
    """Cut a text to the width of its column, in bytes."""
    return text.encode(errors="replace")[: WIDTHS[width]].decode(errors="ignore")


@attrs.frozen
class Rows:
    """Hostile texts and payloads, each of which goes into every column that it fits."""

    texts: Sequence[str]
    payloads: Sequence[bytes]


repeated = st.builds(
    list.__mul__, st.lists(texts, min_size=1, max_size=12), st.sampled_from([1, 5])
)  # few, or many times
rows = st.builds(Rows, repeated, st.lists(blobs, min_size=1, max_size=4))


def transaction(given_rows: Rows, log: str) -> Transaction:
    """Put the texts where ids, attributes, names and details stand; slots count up, so that no two rows are one."""
    found = given_rows.texts
    count = len(found)
    slot, ones = np.arange(1, count + 1, dtype=np.uint16), np.arange(1, count + 1, dtype=np.int64)
    amount = Decimals(ones * 10**6 + 1, 12)

    def texts_of(width: str) -> pa.StringArray:
        return pa.array([cut(one, width) for one in found], type=pa.string())

    def column(width: str) -> Texts:
        return Texts.of(texts_of(width).dictionary_encode())

    ids = column("id")
    tails: Dictionary[Tail] = Dictionary()
    for one in found:
        tails.append(Tail(cut(one, "id"), cut(one, "id"), cut(one, "currency"), 1, ()))
    days = Texts.of(pa.array(["2026-01-15"] * count))
    records = RecordColumns(
        slot, ids, days, column("event"), np.zeros(count, dtype=np.int32), ones,
        ones.astype(np.uint64), np.arange(count, dtype=np.int32), tails, amount, amount, column("kept"),
    )  # fmt: skip
    rollups = RollupColumns(slot, ids, ids, ones, column("dims"), ones, amount, amount, ones.astype(np.uint64))
    balances = BalanceColumns(slot, ids, column("currency"), ones, amount, ones.astype(np.uint64))
    rejects = [
        Rejected(0, number, cut(one, "id"), "no_rule", one, body)  # type: ignore[arg-type]
        for number, (one, body) in enumerate(zip(found, given_rows.payloads, strict=False))
    ]
    credits_ = [
        CreditRow(
            number, cut(one, "id"), "2026-01-15", cut(one, "id"), 0, 1, 1, "grant", cut(one, "currency"), Decimal(1),
            Decimal(0), 1, None, cut(one, "kept"),
        )
        for number, one in enumerate(found, 1)
    ]  # fmt: skip
    tiers = TierColumns(TierKeys(slot, texts_of("id"), texts_of("id"), ones), Used(amount, ones, amount))
    return Transaction(
        log,
        1,
        1,
        [CursorMove(0, 0, 9, count, 0, len(rejects), 5)],
        records,
        rollups,
        balances,
        rejects,
        credits_,
        tiers,
    )


def expected(given_rows: Rows, log: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the texts as bytes, as each table must have them."""
    found = {width: [cut(one, width).encode() for one in given_rows.texts] for width in WIDTHS}
    ids = found["id"]
    refused = zip(
        ids, [one.encode(errors="replace")[:512] for one in given_rows.texts], given_rows.payloads, strict=False
    )
    return {
        "SELECT account,event,product,rule,currency,kept FROM records ORDER BY slot": list(
            zip(ids, found["event"], ids, ids, found["currency"], found["kept"], strict=True)
        ),
        "SELECT account,rollup,dims FROM rollups ORDER BY slot": list(zip(ids, ids, found["dims"], strict=True)),
        "SELECT account,currency FROM balances ORDER BY slot": list(zip(ids, found["currency"], strict=True)),
        "SELECT account,rule FROM tiers ORDER BY slot": list(zip(ids, ids, strict=True)),
        "SELECT account,event,currency,products FROM credits ORDER BY slot": list(
            zip(ids, ids, found["currency"], found["kept"], strict=True)
        ),
        "SELECT log,account,detail,payload FROM quarantine ORDER BY `offset`": [
            (log.encode(), account, detail.decode(errors="ignore").encode(), body) for account, detail, body in refused
        ],
        "SELECT log,next_offset FROM cursors": [(log.encode(), 9)],
    }


def written(given_rows: Rows, log: str, dialect: Dialect) -> Iterator[bytes]:
    """Write every kind of text that goes to a server."""
    planned = transaction(given_rows, log)
    keys = [PartKey(1, cut(one, "id"), 20_468, cut(one, "event")) for one in given_rows.texts]
    yield packet(planned, dialect, 100_000).text
    yield counters_packet(planned.tiers.keys, dialect).text
    yield existing_query(keys, dialect)
    yield lines_query(keys, dialect)
    yield ";".join(claim_statements(Claim(log, {0: 0}, 1, 1))).encode()


def words(text: bytes) -> bytes:
    """Return what is left of a text without its values."""
    left = VALUE.sub(b"?", text)
    while (shorter := COLUMN.sub(b"?", left)) != left:
        left = shorter
    return left


@examples(40)
@given(rows, texts)
def test_text_is_words_of_our_own_and_values(given_rows: Rows, log: str) -> None:
    """A value that is more than a value is a statement of whoever sends events."""
    harmless = Rows(["a"] * len(given_rows.texts), [b"a"] * len(given_rows.payloads))
    for dialect in Dialect:
        for ours, theirs in zip(written(harmless, "log", dialect), written(given_rows, log, dialect), strict=True):
            assert words(theirs) == words(ours)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> MysqlServer:
    """Give a server of each kind with empty tables."""
    mariadb = request.param == "mariadb"
    found: MysqlServer = (
        request.getfixturevalue("mariadb_servers")(1)[0] if mariadb else request.getfixturevalue("mysql_server")
    )
    url = MysqlUrl("127.0.0.1", found.port, found.user, found.password, DATABASE)

    async def prepare() -> None:
        await query(found, f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
        await migrate("s1", url, TODAY)

    asyncio.run(prepare())
    return found


TABLES = ("records", "rollups", "balances", "tiers", "credits", "quarantine", "cursors")


async def stored(connection: Any, dialect: Dialect, given_rows: Rows, log: str) -> dict[str, list[tuple[Any, ...]]]:
    """Send a packet as it is, and return what every table has then."""
    for statement in claim_statements(Claim(log, {0: 0}, 1, 1)):
        await connection.query(statement)
    await connection.query("BEGIN")
    await connection.query(packet(transaction(given_rows, log), dialect, 100_000).text)
    while connection._result.has_next:  # noqa: SLF001 - the driver shows it nowhere else
        await connection.next_result()
    found = {}
    for asked in expected(given_rows, log):
        await connection.query(asked)
        found[asked] = [tuple(row) for row in connection._result.rows]  # noqa: SLF001 - as above
    return found


@pytest.mark.parametrize("charset", CHARSETS)
def test_what_is_written_is_read_back_byte_by_byte(server: MysqlServer, charset: str) -> None:
    """An id with a quote, or half a character, would end a statement on a server whose charset is not ours."""

    async def enter() -> Any:
        connection = await connect(server)
        for statement in (f"USE {DATABASE}", f"SET NAMES {charset}", f"ALTER DATABASE CHARACTER SET {charset}"):
            await connection.query(statement)
        return connection

    with asyncio.Runner() as runner:
        connection = runner.run(enter())
        dialect = Dialect.MARIADB if server.kind == "mariadb" else Dialect.MYSQL

        @examples(25)
        @given(rows, texts.map(lambda text: cut(text, "id")), st.sampled_from(MODES))
        @example(Rows(["x" * 5_000 + "'"], [b"'" * 70_000]), "very long", "")
        def attack(given_rows: Rows, log: str, mode: str) -> None:
            async def once() -> None:
                try:
                    await connection.query(f"SET SESSION sql_mode='STRICT_ALL_TABLES,{mode}'".replace(",'", "'"))
                    assert await stored(connection, dialect, given_rows, log) == expected(given_rows, log)
                    await connection.query("SELECT value FROM control")
                    assert [tuple(row) for row in connection._result.rows] == [(b"s1",)]  # noqa: SLF001 - as above
                finally:
                    await connection.query("ROLLBACK")
                    for table in TABLES:
                        await connection.query(f"DELETE FROM {table}")

            runner.run(once())

        attack()
        connection.close()
