"""A stack in a folder: N database servers and one Kafka on loopback ports, and a billing.toml that names them.

Owns the folder: its lock, and what is made or removed in it. Must not know how the servers are configured.
The servers outlive the process that started them.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs
import msgspec

from ops.local.config import CONFIG_NAME, config_text
from ops.local.errors import StackSettingError
from ops.local.install import Kind, Say, cache_folder, database_command, java, kafka_jars, silent
from ops.local.kafka import KafkaServer
from ops.local.lock import folder_lock
from ops.local.mysql import REDO_MIB, TITLES, MysqlServer
from ops.local.server import Server
from ops.local.stackfile import STATE_NAME, StackFile

START_THREADS: Final = 4
DISK_MIB_KAFKA: Final = 512
DISK_MIB_SHARD: Final = 256  # data folder and room for the first tables; the redo log has its own
TOPIC: Final = "events"
OLD_CONFIG_NAME: Final = f"{CONFIG_NAME}.old"


@attrs.frozen
class ServerStatus:
    """One server of the stack: version is None while it does not answer, pid is None while it does not run."""

    name: str
    title: str
    version: str | None
    port: int
    pid: int | None
    log_path: Path

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self.version is not None


@attrs.frozen
class StackState:
    """The stack in a folder: its servers, Kafka last, and the configuration to use it with."""

    folder: Path
    config_path: Path
    servers: tuple[ServerStatus, ...]

    @property
    def running(self) -> bool:
        """Whether every server answers."""
        return all(server.running for server in self.servers)


def up(
    folder: Path,
    *,
    shards: int | None = None,
    database: Kind | None = None,
    partitions: int | None = None,
    book: Path | None = None,
    buffer_pool_mib: int = 256,
    redo_mib: int = REDO_MIB,
    kafka_heap_mib: int = 512,
    database_cores: float | None = None,
    cache: Path | None = None,
    say: Say = silent,
) -> StackState:
    """Bring the stack of a folder up and return it; what runs already is left alone.

    What is None is as the folder has it, in a new one: 4 shards of MariaDB, 8 partitions, the telecom book.
    buffer_pool_mib, redo_mib (of each database), kafka_heap_mib, database_cores (that each may keep busy) and cache
    count for a new stack only.
    Raises: LocalServerError; what this call started is stopped then, and a new folder is left as it was.
    """
    folder = folder.absolute()
    with folder_lock(folder, say):
        held = StackFile.read(folder)
        if held is not None:
            held.require_same(folder, shards=shards, database=database, partitions=partitions, book=book)
            return _started(folder, held, say)
        try:
            new = StackFile.new(
                shards=shards,
                database=database,
                partitions=partitions,
                book=book,
                buffer_pool_mib=buffer_pool_mib,
                redo_mib=redo_mib,
                kafka_heap_mib=kafka_heap_mib,
                database_cores=database_cores,
                cache=cache or cache_folder(),
            )
            _require_room(folder, _servers(folder, new))
        except BaseException:
            _remove_if_empty(folder)
            raise
        try:
            return _started(folder, new, say)
        except BaseException:
            _remove(folder, _servers(folder, new))
            raise


def down(folder: Path, *, purge: bool = False, say: Say = silent) -> StackState:
    """Stop every server of the folder's stack, and with `purge` remove its data and configuration.

    Raises: StackMissingError when the folder holds no stack.
    """
    folder = folder.absolute()
    StackFile.required(folder)
    with folder_lock(folder, say):
        servers = _servers(folder, StackFile.required(folder))
        running = [server for server in servers if server.running]
        _each(running, lambda server: _stop(server, say))
        stopped = _status(folder, servers)
        if purge:
            say(f"removing the data in {folder}")
            _remove(folder, servers)
        return stopped


def status(folder: Path) -> StackState:
    """Return what the folder's stack is doing now, as its servers themselves say.

    Raises: StackMissingError when the folder holds no stack.
    """
    folder = folder.absolute()
    return _status(folder, _servers(folder, StackFile.required(folder)))


def servers(folder: Path) -> tuple[list[MysqlServer], KafkaServer]:
    """Return handles on the stack's databases, in the order of shards, and on its Kafka, to kill or pause them.

    Raises: StackMissingError when the folder holds no stack.
    """
    folder = folder.absolute()
    found = _servers(folder, StackFile.required(folder))
    return _databases(found), _kafka(found)


def _started(folder: Path, state: StackFile, say: Say) -> StackState:
    """Start what does not run; when that fails, stop what was started."""
    _install(state, say)
    servers = _servers(folder, state)
    state.write(folder)  # before the first start: whatever happens, `down` finds the servers
    stopped = [server for server in servers if not server.running]
    try:
        _each(stopped, lambda server: _start(server, say))
        _require_topic(_kafka(servers), state.partitions)
    except BaseException:
        _each(stopped, lambda server: server.stop())
        raise
    moved = _moved(state, servers)
    moved.write(folder)
    _write_config(folder, moved, servers, is_stale=moved != state, say=say)
    return _status(folder, servers)


def _require_room(folder: Path, servers: Sequence[Server]) -> None:
    for path in (*(server.folder for server in servers), folder / CONFIG_NAME):
        if path.exists():
            raise StackSettingError(f"{path}: exists already and is no stack's; name another folder for the stack")
    need_mib = DISK_MIB_KAFKA + sum(DISK_MIB_SHARD + database.redo_mib for database in _databases(servers))
    free_mib = shutil.disk_usage(folder).free // 2**20
    if free_mib < need_mib:
        raise StackSettingError(f"{folder}: {free_mib} MiB free, {need_mib} needed; free some or ask for fewer shards")


def _install(state: StackFile, say: Say) -> None:
    cache = Path(state.cache)
    database_command(state.database, cache, say)
    kafka_jars(cache, say)
    java(say)


def _servers(folder: Path, state: StackFile) -> list[Server]:
    cache = Path(state.cache)
    databases = [
        MysqlServer(
            name=f"shard-{number}",
            folder=folder / f"shard-{number}",
            port=port,
            outlives_parent=True,
            cores=state.database_cores,
            kind=state.database,
            buffer_pool_mib=state.buffer_pool_mib,
            redo_mib=state.redo_mib,
            cache=cache,
        )
        for number, port in enumerate(state.shard_ports)
    ]
    kafka = KafkaServer(
        name="kafka",
        folder=folder / "kafka",
        port=state.kafka_port,
        controller_port=state.controller_port,
        outlives_parent=True,
        heap_mib=state.kafka_heap_mib,
        cache=cache,
    )
    return [*databases, kafka]


def _databases(servers: Sequence[Server]) -> list[MysqlServer]:
    return [server for server in servers if isinstance(server, MysqlServer)]


def _kafka(servers: Sequence[Server]) -> KafkaServer:
    return next(server for server in servers if isinstance(server, KafkaServer))


def _start(server: Server, say: Say) -> None:
    port = server.port
    server.start_anywhere()
    moved = "" if server.port == port else f" (port {port} is in use by another program)"
    say(f"{server.name}: started on port {server.port}{moved}")


def _stop(server: Server, say: Say) -> None:
    server.stop()
    say(f"{server.name}: stopped")


def _each(servers: Iterable[Server], action: Callable[[Server], None]) -> None:
    with ThreadPoolExecutor(START_THREADS) as pool:
        list(pool.map(action, servers))


def _require_topic(kafka: KafkaServer, partitions: int) -> None:
    if TOPIC not in kafka.topics():
        kafka.create_topic(TOPIC, partitions)


def _moved(state: StackFile, servers: Sequence[Server]) -> StackFile:
    kafka = _kafka(servers)
    ports = tuple(database.port for database in _databases(servers))
    return msgspec.structs.replace(
        state, shard_ports=ports, kafka_port=kafka.port, controller_port=kafka.controller_port
    )


def _write_config(folder: Path, state: StackFile, servers: Sequence[Server], *, is_stale: bool, say: Say) -> None:
    path = folder / CONFIG_NAME
    if path.exists() and not is_stale:
        return  # it may hold what a person added
    if path.exists():
        path.replace(folder / OLD_CONFIG_NAME)
        say(f"{path}: written anew, as ports changed; the old one is {OLD_CONFIG_NAME}")
    shards = [(database.name, database.url()) for database in _databases(servers)]
    path.write_text(config_text(bootstrap=_kafka(servers).bootstrap, topic=TOPIC, book=state.book, shards=shards))


def _remove(folder: Path, servers: Sequence[Server]) -> None:
    for server in servers:
        shutil.rmtree(server.folder, ignore_errors=True)
    for name in (STATE_NAME, CONFIG_NAME, OLD_CONFIG_NAME):
        (folder / name).unlink(missing_ok=True)
    _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _status(folder: Path, servers: Sequence[Server]) -> StackState:
    with ThreadPoolExecutor(START_THREADS) as pool:  # a paused server takes seconds not to answer
        found = tuple(pool.map(_server_status, servers))
    return StackState(folder, folder / CONFIG_NAME, found)


def _server_status(server: Server) -> ServerStatus:
    pid = server.pid
    version = server.version() if pid is not None and server.answers() else None
    title = TITLES[server.kind] if isinstance(server, MysqlServer) else "Kafka"
    return ServerStatus(server.name, title, version, server.port, pid, server.log_path)
