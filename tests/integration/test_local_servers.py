"""Real servers on this machine: their lives, and the stack of them."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asyncmy.errors import MySQLError
from confluent_kafka import Consumer, Producer

from ops.local import stack
from ops.local.errors import LocalServerError, PortTakenError, StackMismatchError, StackSettingError, StartError
from ops.local.kafka import KafkaServer
from ops.local.mysql import MysqlServer
from ops.local.process import Identity, port_is_free
from tests.servers import query

KINDS = ["mariadb", "mysql"]
END_SECONDS_MAX = 20.0


def database(kind, folder, **settings):
    return MysqlServer(name=kind, folder=folder, kind=kind, buffer_pool_mib=64, redo_mib=64, **settings)


def wait_until_gone(server):
    deadline = time.monotonic() + END_SECONDS_MAX
    while server.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not server.running


@pytest.mark.parametrize("kind", KINDS)
def test_a_committed_row_survives_sigkill_on_the_same_port(kind, tmp_path):
    """Else fault tests would prove nothing: the server that comes back would not be the one that was killed."""
    server = database(kind, tmp_path / "db")
    server.start_anywhere()
    try:
        pid, port = server.pid, server.port
        asyncio.run(query(server, "CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (7)"))
        server.kill()
        assert not server.running
        with pytest.raises(MySQLError):
            asyncio.run(query(server, "SELECT 1"))
        server.restart()
        assert (server.port, asyncio.run(query(server, "SELECT a FROM t"))) == (port, ((7,),))
        assert server.pid not in {pid, None}
    finally:
        server.stop()
    assert not server.running
    assert port_is_free(server.port)


@pytest.mark.parametrize("kind", KINDS)
def test_a_paused_server_keeps_silent_and_goes_on(kind, tmp_path):
    """Else a hung shard could not be told from a dead one in tests of slow shards."""
    server = database(kind, tmp_path / "db")
    server.start_anywhere()
    try:
        server.pause()
        assert server.running
        assert not server.answers()
        with pytest.raises(StartError, match="no answer on port"):
            server.version()
        server.resume()
        assert server.answers()
        server.pause()
    finally:
        server.stop()  # also when paused
    assert not server.running


@pytest.mark.parametrize("kind", KINDS)
def test_commits_are_durable_and_limits_as_promised(kind, tmp_path):
    """Else speed would be measured, and faults survived, with settings that no bank would run."""
    server = database(kind, tmp_path / "db", options=("--innodb-lock-wait-timeout=3",))
    server.start_anywhere()
    try:
        names = "innodb_flush_log_at_trx_commit, @@log_bin, @@max_allowed_packet, @@innodb_lock_wait_timeout"
        rows = asyncio.run(query(server, f"SELECT @@{names}"))
        assert [int(str(value)) for value in rows[0]] == [1, 0, 16 * 2**20, 3]
        assert asyncio.run(query(server, "SELECT @@innodb_doublewrite"))[0][0] in {1, "ON"}
        assert asyncio.run(query(server, "SELECT VERSION()"))[0][0] == server.version()
        assert server.url() == f"mysql://root@127.0.0.1:{server.port}/billing"
    finally:
        server.stop()


def test_a_named_user_with_a_password_is_the_only_way_in(tmp_path):
    """Else the password path of the product would be tested against a server that lets anybody in."""
    server = database("mariadb", tmp_path / "db", user="billing", password="secret")
    server.start_anywhere()
    try:
        assert asyncio.run(query(server, "SELECT CURRENT_USER()")) == (("billing@127.0.0.1",),)
        for user, password in (("billing", ""), ("billing", "wrong"), ("root", "")):
            stranger = database("mariadb", tmp_path / "db", user=user, password=password, port=server.port)
            with pytest.raises(MySQLError):
                asyncio.run(query(stranger, "SELECT 1"))
    finally:
        server.stop()


def test_kafka_keeps_messages_and_identity_over_sigkill(tmp_path):
    """Else a broker restart would look like a new log, and the engine would rightly refuse to go on."""
    server = KafkaServer(name="kafka", folder=tmp_path / "kafka", heap_mib=256)
    server.start_anywhere()
    try:
        server.create_topic("events", 3)
        assert server.topics() == {"events": 3}
        with pytest.raises(LocalServerError, match="topic events cannot be created"):
            server.create_topic("events", 3)
        producer = Producer({"bootstrap.servers": server.bootstrap})
        producer.produce("events", b"x" * 10, partition=1)
        assert producer.flush(20) == 0
        before = (server.cluster_id(), server.port)
        server.kill()
        assert not server.answers()
        server.restart()
        assert (server.cluster_id(), server.port) == before
        consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["events"])
        messages = consumer.consume(1, timeout=30)
        consumer.close()
        assert [(m.partition(), m.offset(), m.value()) for m in messages] == [(1, 0, b"x" * 10)]
        server.pause()
        assert server.running
        assert not server.answers()
        server.resume()
        assert server.answers()
        server.delete_topic("events")
        assert server.topics() == {}
    finally:
        server.stop()
    assert not server.running


def test_the_new_group_protocol_works(kafka_server):
    """Else workers could not use the broker's own rebalance (KIP-848), which does not stop the world."""
    kafka_server.create_topic("new-protocol", 2)
    producer = Producer({"bootstrap.servers": kafka_server.bootstrap})
    producer.produce("new-protocol", b"1")
    assert producer.flush(20) == 0
    settings = {"group.id": "new", "group.protocol": "consumer", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": kafka_server.bootstrap, **settings})
    consumer.subscribe(["new-protocol"])
    messages = consumer.consume(1, timeout=30)
    consumer.close()
    assert [message.value() for message in messages] == [b"1"]


def test_shared_servers_are_revived_after_a_test_that_broke_them(mariadb_servers, mysql_server):
    """Else one test that kills a shard would fail all the tests after it."""
    first, second = mariadb_servers(2)
    first.kill()
    second.pause()
    assert mariadb_servers(2) == [first, second]
    assert [server.answers() for server in (first, second, mysql_server)] == [True, True, True]
    assert "MariaDB" in first.version()
    assert "MariaDB" not in mysql_server.version()


def test_servers_die_with_the_process_that_started_them(tmp_path):
    """Else a killed test run would leave servers behind, until the machine is full of them."""
    code = (
        "import sys, time; from pathlib import Path; from ops.local.mysql import MysqlServer\n"
        "MysqlServer(name='m', folder=Path(sys.argv[1]), kind='mariadb').start_anywhere()\n"
        "print('up', flush=True); time.sleep(600)"
    )
    server = database("mariadb", tmp_path / "db")
    with subprocess.Popen([sys.executable, "-c", code, str(server.folder)], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        assert server.running
        starter.send_signal(signal.SIGKILL)
    wait_until_gone(server)


def test_a_taken_port_is_told_and_another_one_is_found(tmp_path):
    """Else two runs at once would fail each other at random."""
    server = database("mariadb", tmp_path / "db")
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.port))
        other.listen()
        with pytest.raises(PortTakenError, match=f"mariadb: port {server.port} is in use by another program"):
            server.start()
        taken = server.port
        server.start_anywhere()
        try:
            assert server.port != taken
            assert server.answers()
        finally:
            server.stop()


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path):
    """Else a person would be told `timeout` and have to look for the log."""
    server = database("mariadb", tmp_path / "db", options=("--no-such-option",))
    with pytest.raises(StartError, match=r"unknown option '--no-such-option'") as caught:
        server.start()
    assert "\n" not in str(caught.value)
    assert str(server.log_path) in str(caught.value)
    assert not server.running


def test_two_first_starts_at_once_share_one_template(tmp_path):
    """Else a fresh machine that runs tests in parallel would copy a half-made data folder."""
    servers = [database("mariadb", tmp_path / f"db-{n}", cache=tmp_path / "cache") for n in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda server: server.start_anywhere(), servers))
        assert [server.answers() for server in servers] == [True, True]
    finally:
        for server in servers:
            server.stop()
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.yaml"
    path.write_text("book: test\n")
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "stack"
    yield path
    if path.exists():
        stack.down(path, purge=True)
        assert not path.exists()


def up(folder, book, **settings):
    return stack.up(folder, shards=2, partitions=3, book=book, buffer_pool_mib=64, kafka_heap_mib=256, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_goes_up_and_down_and_up_again_with_its_data(kind, folder, book):
    """Else `billing stack` would lose what was billed, leave servers running, or write a useless configuration."""
    first = up(folder, book, database=kind)
    assert first.running
    assert [server.name for server in first.servers] == ["shard-0", "shard-1", "kafka"]
    text = first.config_path.read_text()
    ports = [server.port for server in first.servers]
    assert tomllib.loads(text) == {
        "source": {"kind": "kafka", "bootstrap": f"127.0.0.1:{ports[2]}", "topic": "events", "group": "billing"},
        "rules": {"book": str(book)},
        "shards": [
            {
                "name": f"shard-{n}",
                "writer": f"mysql://root@127.0.0.1:{ports[n]}/billing",
                "readers": [f"mysql://root@127.0.0.1:{ports[n]}/billing"],
            }
            for n in range(2)
        ],
    }
    shards, kafka = stack.servers(folder)
    assert kafka.topics() == {"events": 3}
    asyncio.run(query(shards[1], "CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (7)"))
    assert stack.status(folder) == first
    assert stack.up(folder) == first

    down = stack.down(folder)
    assert [server.pid for server in down.servers] == [None, None, None]
    assert not any(Identity(server.mark()).find() for server in [*shards, kafka])
    assert stack.down(folder) == down

    second = stack.up(folder)
    assert second.running
    assert [server.port for server in second.servers] == ports
    assert second.config_path.read_text() == text
    assert asyncio.run(query(shards[1], "SELECT a FROM t")) == ((7,),)
    assert kafka.topics() == {"events": 3}


def test_up_restarts_only_what_died(folder, book):
    """Else repairing a stack after a crash would need a `down` that takes the healthy shards too."""
    first = up(folder, book)
    shards, _ = stack.servers(folder)
    shards[0].kill()
    assert [server.running for server in stack.status(folder).servers] == [False, True, True]
    second = up(folder, book)
    assert second.running
    assert [server.pid for server in second.servers][1:] == [server.pid for server in first.servers][1:]


def test_two_ups_at_once_make_one_stack(folder, book):
    """Else two terminals would start two servers on one data folder."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: up(folder, book), range(2))
    assert first == second
    assert first.running


def test_a_stack_outlives_the_command_that_started_it(folder, book):
    """Else `billing stack up` would end and take the servers with it."""
    code = (
        "import sys; from pathlib import Path; from ops.local import stack\n"
        "stack.up(Path(sys.argv[1]), shards=1, book=Path(sys.argv[2]), kafka_heap_mib=256)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(book)], check=True)
    state = stack.status(folder)
    assert state.running
    assert all(os.getsid(server.pid) == server.pid for server in state.servers)


def test_a_port_taken_while_down_moves_the_shard_and_the_configuration(folder, book):
    """Else a stack whose port somebody took overnight could never be started again."""
    first = up(folder, book)
    stack.down(folder)
    said: list[str] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.servers[0].port))
        other.listen()
        second = stack.up(folder, say=said.append)
    assert second.running
    moved = second.servers[0].port
    assert moved != first.servers[0].port
    assert tomllib.loads(second.config_path.read_text())["shards"][0]["writer"].endswith(f":{moved}/billing")
    assert any("written anew" in line for line in said)
    assert stack.status(folder) == second


def test_a_half_failed_up_leaves_nothing_behind(folder, book):
    """Else a failed start would leave shards running that no `status` shows."""
    with pytest.raises(StartError, match=r"kafka: .*heap") as caught:
        stack.up(folder, shards=2, book=book, buffer_pool_mib=64, kafka_heap_mib=1)
    assert "\n" not in str(caught.value)
    assert not folder.exists()
    shards = [MysqlServer(name="s", folder=folder / f"shard-{n}", kind="mariadb") for n in range(2)]
    assert not any(server.running for server in shards)


def test_what_is_not_a_stack_is_never_touched(folder, book):
    """Else `up` in a working folder would start in, and `--purge` remove, somebody's own files."""
    mine = folder / "kafka" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(StackSettingError, match=r"kafka: exists already and is no stack's"):
        up(folder, book)
    assert [path.name for path in folder.iterdir()] == ["kafka"]
    assert mine.read_text() == "mine"
    shutil.rmtree(folder)


def test_a_stack_of_another_shape_is_refused(folder, book):
    """Else accounts would be looked up on shards that never got them."""
    up(folder, book)
    with pytest.raises(StackMismatchError, match=r"its stack has --shards 2, not 3; leave the option out, or remove"):
        stack.up(folder, shards=3)
    with pytest.raises(StackMismatchError, match=r"--database mariadb, not mysql"):
        stack.up(folder, database="mysql")
    assert stack.status(Path(folder)).running
