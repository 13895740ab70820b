"""The comparison: every contender works through the same log, on the same servers, and is checked.

A shell: owns the order of things, and the files of what will be sent. Must not know statements or words.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench import measure, topic
from bench.comparison.contenders import Classic, Contender, Counters, Packets, Renderer, as_counters
from bench.comparison.lanes import Lane, Sent, UnitFile, send
from bench.comparison.report import Comparison, ContenderResult
from bench.comparison.tables import counted, dialect_of, empty, held, stops_of
from bench.comparison.work import Aggregates, Pricing, of_stream, unlike
from bench.errors import MeasureError
from bench.figures import TAKEN_BY_HOST, WHOLE_MACHINE
from bench.measure import Tell
from bench.report import RunResult
from bench.scenario import Scenario
from bench.system import cpu_seconds, pids_of, servers_of
from billing.adapters.sql import run as run_sql
from billing.batch import Slice
from billing.config.deployment import Deployment
from billing.config.source_settings import KafkaSource
from billing.config.store_url import MysqlUrl
from billing.limits import Limits
from billing.ports import Records
from billing.upsert import Dialect
from ops.local.redis import RedisServer

# How much of the log is rendered for contenders whose units are long: the classic pattern does less a second where its
# commits are durable, and Redis about as much with one thread; who has done all of it sooner is measured until then.
RENDERED_PER_SECOND: Final = {Contender.CLASSIC: 6_000, Contender.ONE_PACKET: 6_000, Contender.REDIS: 60_000}
_POLL_EVENTS: Final = Limits().poll_events_max
_TABLES: Final = ("records", "rollups", "balances", "tiers")  # whose rows a worker counts


def compare(scenario: Scenario, config: Path, contenders: Sequence[Contender], tell: Tell) -> list[ContenderResult]:
    """Let contenders work in turn on an initialised deployment, whose tables are emptied before each.

    Raises: MeasureError when something does not start, or ends early; DeliveryError.
    """
    found, source = measure.on_servers(config)
    try:
        pricing = Pricing(found.book, found.shardmap)
    except ValueError as error:
        raise MeasureError(str(error)) from error
    empty(found, pricing, ())
    prefill = measure.fill(scenario, config, tell)
    field = _Field(scenario, config, found, source, pricing, topic.ends(source), tell)
    results = []
    for contender in contenders:
        if contender is Contender.BILLING:
            results.append(field.billing(prefill))
        elif contender is Contender.REDIS:
            results.append(field.redis())
        else:
            results.append(field.statements(contender))
    return results


def comparison_of(scenario: Scenario, events: int) -> Comparison:
    """Return what is compared, as the report tells it."""
    return Comparison(scenario.model, scenario.shards, scenario.workers, scenario.database, scenario.seconds, events)


def servers_told(config: Path, contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Return kind and version of each server that takes part."""
    databases, broker = servers_of(config.parent)
    known = measure.versions(measure.on_servers(config)[0], databases, broker)
    if Contender.REDIS in contenders:
        known.append(("Redis", _redis_in(config).version()))
    return tuple(f"{kind} {version}" for kind, version in known)


def _redis_in(config: Path) -> RedisServer:
    return RedisServer(name="redis", folder=config.with_name("redis").absolute())


class _Field:
    """What all contenders share."""

    def __init__(
        self,
        scenario: Scenario,
        config: Path,
        found: Deployment,
        source: KafkaSource,
        pricing: Pricing,
        ends: Mapping[int, int],
        tell: Tell,
    ) -> None:
        self._scenario = scenario
        self._config = config
        self._found = found
        self._source = source
        self._pricing = pricing
        self._ends = ends
        self._tell = tell
        self._databases, self._broker = servers_of(config.parent)

    def billing(self, prefill: tuple[int, float]) -> ContenderResult:
        """Let the product work."""
        empty(self._found, self._pricing, ())
        result = measure.run_filled(self._scenario, self._config, prefill, self._named(Contender.BILLING))
        return _of_run(result, self._wrong_rows(Contender.BILLING))

    def statements(self, contender: Contender) -> ContenderResult:
        """Let one work that sends SQL."""
        dialect = asyncio.run(dialect_of(self._writers[0]))
        empty(self._found, self._pricing, list(self._ends))
        single = contender is not Contender.LIMIT
        render: Callable[[Pricing, Dialect], Renderer] = Classic if single else Packets
        # A connection for each partition is as many as can keep the order of an account's events.
        streams = len(self._ends) if single else self._scenario.workers
        with self._files([[render(self._pricing, dialect) for _ in self._writers] for _ in range(streams)]) as files:
            self._prepare(contender, files, self._pricing.slices)
            whole = contender is not Contender.CLASSIC
            lanes = [[Lane(file.path, url, whole) for file, url in zip(of, self._writers, strict=True)] for of in files]
            sent, cores = self._sent(contender, lanes, {"database": lambda: pids_of(self._databases)})
        return _of_sent(contender, sent, cores, self._wrong_rows(contender))

    def redis(self) -> ContenderResult:
        """Let Redis work, on a server of its own."""
        server = _redis_in(self._config)
        try:
            server.start_anywhere()
            with self._files([[Counters(self._pricing)] for _ in range(self._scenario.workers)]) as files:
                self._prepare(Contender.REDIS, files, self._pricing.whole)
                lanes = [[Lane(file.path, server.port, whole=True) for file in of] for of in files]
                sent, cores = self._sent(Contender.REDIS, lanes, {"database": lambda: pids_of([server])})
            wrong = self._wrong_counters(server.port, sent.stops)
        finally:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)
        return _of_sent(Contender.REDIS, sent, cores, wrong)

    @property
    def _writers(self) -> list[MysqlUrl]:
        return [shard.writer for shard in self._found.settings.shards if isinstance(shard.writer, MysqlUrl)]

    def _named(self, contender: Contender) -> Tell:
        return lambda what, done, total: self._tell(f"{self._scenario.model}, {contender}, {what}", done, total)

    @contextmanager
    def _files(self, renderers: Sequence[Sequence[Renderer]]) -> Iterator[list[dict[UnitFile, Renderer]]]:
        """Give each stream (some of the partitions) a file for each renderer, and remove them at the end."""
        folder = self._config.with_name("units")
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            files = [
                {UnitFile(folder / f"{stream}-{lane}"): renderer for lane, renderer in enumerate(of)}
                for stream, of in enumerate(renderers)
            ]
            for file in (file for of in files for file in of):
                stack.callback(file.close)
            yield files

    def _prepare(
        self,
        contender: Contender,
        files: Sequence[Mapping[UnitFile, Renderer]],
        shares: Callable[[Records], list[Slice]],
    ) -> None:
        """Render what will be sent, into files, before any clock starts."""
        each = RENDERED_PER_SECOND.get(contender)
        stops = self._ends if each is None else topic.prefix(self._ends, each * self._scenario.seconds)
        at = [0 for _ in files]
        done, total = 0, _all(stops)
        for records in topic.read(self._source, stops, _POLL_EVENTS):
            for stream, of in enumerate(files):
                mine = of_stream(records, stream, len(files))
                at[stream] += len(mine.payload)
                for (file, renderer), piece in zip(of.items(), shares(mine) if mine.spans else (), strict=False):
                    file.write(renderer.add(piece, at[stream]))
            done += len(records.payload)
            self._named(contender)("rendering", done, total)
        for of in files:
            for file, renderer in of.items():
                file.write(renderer.rest())
                file.close()

    def _sent(
        self, contender: Contender, lanes: Sequence[Sequence[Lane]], groups: Mapping[str, Callable[[], list[int]]]
    ) -> tuple[Sent, dict[str, float]]:
        """Send what was rendered, from as many processes as workers; returns what was done, and the cores kept busy."""
        workers = self._scenario.workers
        each = [[lane for of in lanes[worker::workers] for lane in of] for worker in range(workers)]
        before = {name: cpu_seconds(pids()) for name, pids in groups.items()}
        seconds = self._scenario.seconds
        sent = send(each, seconds, lambda passed: self._named(contender)("working", round(passed * 10), seconds * 10))
        used = {name: cpu_seconds(pids()) - before[name] for name, pids in groups.items() if pids()}
        return sent, {"workers": sent.cpu_seconds / sent.seconds} | {
            name: cpu / sent.seconds for name, cpu in used.items()
        }

    def _wrong_rows(self, contender: Contender) -> int:
        """Return how many rows are not what the events below the cursors must make."""
        stops = [asyncio.run(run_sql(url, stops_of)) for url in self._writers]
        expected = self._expected(contender, stops)
        return sum(one.differences(asyncio.run(held(url))) for one, url in zip(expected, self._writers, strict=True))

    def _wrong_counters(self, port: int, stops: Mapping[int, int]) -> int:
        expected = as_counters(self._expected(Contender.REDIS, [stops for _ in self._writers]))
        return unlike(expected, counted(port))

    def _expected(self, contender: Contender, stops: Sequence[Mapping[int, int]]) -> list[Aggregates]:
        last = {partition: max(each.get(partition, 0) for each in stops) for partition in self._ends}

        def told() -> Iterator[Records]:
            done, total = 0, _all(last)
            for records in topic.read(self._source, last, _POLL_EVENTS):
                yield records
                done += len(records.payload)
                self._named(contender)("checking", done, total)

        return self._pricing.expected(told(), [{**dict.fromkeys(self._ends, 0), **each} for each in stops])


def _all(stops: Mapping[int, int]) -> int:
    return sum(stops.values())


def _of_sent(contender: Contender, sent: Sent, cores: Mapping[str, float], differences: int) -> ContenderResult:
    done = sent.counts
    return ContenderResult(
        contender,
        sent.seconds,
        done.events,
        done.transactions,
        done.statements,
        done.rows,
        done.again,
        dict(cores),
        sent.dry,
        differences,
    )


def _of_run(result: RunResult, differences: int) -> ContenderResult:
    done = {name: each * result.seconds for name, each in result.per_second.items()}
    return ContenderResult(
        Contender.BILLING,
        result.seconds,
        result.events,
        done.get("transactions", 0.0),
        done.get("statements", 0.0),
        sum(done.get(table, 0.0) for table in _TABLES),
        result.deadlocks,
        {group: cores for group, cores in result.cores_used.items() if group not in (WHOLE_MACHINE, TAKEN_BY_HOST)},
        result.ran_dry,
        differences + result.audit_differences,
    )
