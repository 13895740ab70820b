"""A campaign: rounds of faults on real servers under load, and what is true of every shard afterwards.

Owns the order of a round, and the judgement: audit clean, every account's total as the oracle says, nothing lost,
nothing billed twice, quarantine exact. A seed draws everything but the timing of real machines.
"""

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from generators import oracle
from ops.local.install import Kind
from ops.local.kafka import KafkaServer
from ops.local.mysql import MysqlServer
from tests.faults.kinds import DISK_FULL, KINDS
from tests.faults.proxy import proxies_before
from tests.faults.scene import STEADY, Scene
from tests.faults.schedule import Fault, Round, schedule
from tests.faults.traffic import Traffic, read_topic
from tests.fleet import fleet_of, make_site

BOOK = Path(__file__).with_name("book.yaml")
PARTITIONS = 8
# Short waits make many tries, and give a frozen server up while it is frozen.
LIMITS = {
    "apply_timeout_ms": 4_000,
    "lock_wait_seconds": 1,
    "connect_timeout_ms": 2_000,
    "retry_backoff_max_ms": 1_000,
}
GROUP_OPTIONS = {"session.timeout.ms": 6_000}  # the least that a broker allows
REST_EVENTS = 200_000  # sent at once when faults are over: applied well within anybody's patience
VOLUME_BYTES = 400 << 20  # of data folder and redo log at the start
VOLUME_BYTES_AN_EVENT = 1_000


@attrs.frozen
class Plan:
    """What a campaign is: `seed` draws its rounds, `faults` in all, at most `at_once` at a time, over `events` or more.

    rate_max: events/s, while faults happen. batch: most events of a transaction; small ones make many transactions.
    storm: events of the stretch that a storm repeats a part of.
    """

    database: Kind
    seed: int
    faults: int
    events: int
    at_once: int = 3
    rate_max: int = 2_000
    shards: int = 2
    workers: int = 2
    workers_max: int = 8
    batch: int = 200
    storm: int = 1_000
    kinds: tuple[str, ...] = tuple(KINDS)

    def limits(self) -> dict[str, int]:
        """Return what workers are set to."""
        sizes = {"batch_events_max": self.batch, "poll_events_max": self.batch * 5 // 2}
        return {**LIMITS, **sizes, "buffer_events_max": self.batch * 5}

    def command(self) -> str:
        """Return the line that runs this campaign again."""
        said = {**attrs.asdict(self), "kinds": "" if self.kinds == tuple(KINDS) else ",".join(self.kinds)}
        return " ".join(["make campaign", *(f"FAULT_{name.upper()}={value}" for name, value in said.items() if value)])


@attrs.frozen
class Report:
    """What a campaign found; lost and twice: events, by account, that are missing or too many."""

    plan: Plan
    server: str
    events: int
    billed: int
    duplicates: int
    quarantined: int
    lost: int
    twice: int
    faults: dict[str, int]
    refusals: dict[str, int]
    recoveries: dict[str, list[float]]


def run(plan: Plan, folder: Path, kafka: KafkaServer, say: Callable[[str], None] = lambda _: None) -> Report:
    """Run a campaign on servers of its own; fails, with its command line and trace, unless all is as it must be."""
    with ExitStack() as stack:
        small = stack.enter_context(small_volume(folder / "small", VOLUME_BYTES + VOLUME_BYTES_AN_EVENT * plan.events))
        servers = [stack.enter_context(_server(plan, folder, number, small)) for number in range(plan.shards)]
        proxies = stack.enter_context(proxies_before(server.port for server in servers))
        doors = [proxy.port for proxy in proxies]
        site = make_site(
            folder,
            kafka,
            servers,
            BOOK,
            partitions=PARTITIONS,
            options=GROUP_OPTIONS,
            limits=plan.limits(),
            doors=doors,
        )
        names = [f"{STEADY}-{number}" for number in range(plan.workers)]
        fleet = stack.enter_context(fleet_of(site, *names))
        traffic = Traffic(site, plan.seed, PARTITIONS, plan.storm)
        scene = Scene(site, fleet, proxies, traffic, folder, workers_max=plan.workers_max)
        scene.small = plan.shards - 1 if small else None
        try:
            _rounds(plan, scene, say)
            for name, code in fleet.stop().items():
                assert code == 0, f"{name} ended with {code}: {fleet.workers[name].log_path.read_text()}"
            return _judge(plan, scene)
        except BaseException as error:
            kept = "\n".join(scene.trace)
            error.add_note(f"again: {plan.command()}\n{kept}\nfiles: {folder}")
            raise


def _rounds(plan: Plan, scene: Scene, say: Callable[[str], None]) -> None:
    kinds = [kind for kind in plan.kinds if kind != DISK_FULL or scene.small is not None]
    rounds = schedule(plan.seed, kinds, plan.faults, plan.at_once, plan.rate_max)
    done = 0
    for number, one in enumerate(rounds):
        scene.note(f"round {number}: {one.rate:.0f} events/s, {', '.join(fault.kind for fault in one.faults)}")
        _round(scene, one)
        done += len(one.faults)
        say(f"{done} of {plan.faults} faults, {scene.traffic.sent:,} events")
    while (rest := plan.events - scene.traffic.position) > 0:
        scene.traffic.send(scene.traffic.next(min(rest, REST_EVENTS)))
        _settle(scene)


def _round(scene: Scene, one: Round) -> None:
    """Let the faults of a round happen under load, then wait until all is well."""
    scene.alone = len(one.faults) == 1
    over = threading.Event()
    with ThreadPoolExecutor(len(one.faults) + 1) as pool:
        flow = pool.submit(scene.traffic.flow, one.rate, over.is_set)
        injections = [pool.submit(_inject, scene, fault, over) for fault in one.faults]
        try:
            for injection in injections:
                injection.result()
        finally:
            over.set()
        flow.result()
    _settle(scene)


def _inject(scene: Scene, fault: Fault, over: threading.Event) -> None:
    if not over.wait(fault.at_seconds):
        KINDS[fault.kind](scene, random.Random(fault.seed))


def _settle(scene: Scene) -> None:
    """Wait until every shard has applied everything, and check that the cursors have counted every event once."""
    scene.traffic.flush()
    scene.site.wait_until_applied(scene.fleet)
    rows = [row for of_shard in scene.site.cursors().values() for row in of_shard]
    counted = sum(row.accepted + row.duplicates + row.quarantined for row in rows)
    assert counted == scene.traffic.sent, f"{scene.traffic.sent:,} events sent, {counted:,} counted by cursors"
    scene.traffic.settled = scene.traffic.position
    scene.note(f"settled: {counted:,} events")


def _judge(plan: Plan, scene: Scene) -> Report:
    """Compare what the shards hold with what the topic holds, priced by the oracle."""
    site, fleet = scene.site, scene.fleet
    audit = site.audit()
    log = read_topic(site)
    expected = oracle.run(log, BOOK)
    balances = site.balances()
    differences = {
        account: (balances[account].events if account in balances else 0) - total.events
        for account, total in expected.accounts.items()
    }
    assert balances.keys() == expected.accounts.keys()
    faults = Counter(scene.counts)
    for proxy in scene.proxies:
        faults.update({cut.value: count for cut, count in proxy.done.items()})
    refusals = Counter[str]()
    for worker in fleet.history:
        refusals.update(line["reaction"] for line in worker.said("shard refused"))
    report = Report(
        plan=plan,
        server=f"{scene.servers[0].kind} {scene.servers[0].version()}",
        events=expected.events,
        billed=sum(shard["events"] for shard in audit),
        duplicates=sum(shard["duplicates"] for shard in audit),
        quarantined=sum(site.quarantined().values()),
        lost=-sum(min(0, difference) for difference in differences.values()),
        twice=sum(max(0, difference) for difference in differences.values()),
        faults=dict(sorted(faults.items())),
        refusals=dict(sorted(refusals.items())),
        recoveries=dict(scene.recoveries),
    )
    assert expected.events == scene.traffic.sent
    wrong = {account: difference for account, difference in differences.items() if difference}
    assert (report.lost, report.twice) == (0, 0), f"events too many, by account: {wrong}"
    assert report.billed == expected.accepted
    assert report.duplicates == expected.duplicates
    assert sum(shard["lines"] for shard in audit) == expected.lines
    assert site.quarantined() == expected.quarantined
    assert {account: balance.amount for account, balance in balances.items()} == expected.balances
    return report


@contextmanager
def _server(plan: Plan, folder: Path, number: int, small: Path | None) -> Iterator[MysqlServer]:
    """Start a server of the campaign's own, the last one on the small volume: what it suffers is nobody else's."""
    home = small if small is not None and number == plan.shards - 1 else folder
    server = MysqlServer(
        name=f"{plan.database}-{number}",
        folder=home / f"server-{number}",
        kind=plan.database,
        buffer_pool_mib=64,
        redo_mib=32,
    )
    server.start_anywhere()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def small_volume(folder: Path, size_bytes: int) -> Iterator[Path | None]:
    """Mount a small volume; None where nobody may."""
    folder.mkdir()
    options = ["-o", f"size={size_bytes}", "tmpfs", str(folder)]
    done = subprocess.run(["mount", "-t", "tmpfs", *options], capture_output=True, check=False)
    try:
        yield folder if done.returncode == 0 else None
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
