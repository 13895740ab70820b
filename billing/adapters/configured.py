"""What is configured: the source and the stores that the settings name.

Owns the choice among adapters. Must not know how any of them works; who only reads does without those that write.
"""

from billing.adapters.files import FileSource
from billing.adapters.generated import GeneratedSource
from billing.adapters.kafka import KafkaSource
from billing.adapters.mysql import MysqlStore
from billing.adapters.sqlite import SqliteStore
from billing.config import settings as configured
from billing.config import source_settings
from billing.config.store_url import SqliteUrl
from billing.limits import Limits
from billing.ports import Source, Store
from generators.faults import Faults
from generators.workload import Workload


def open_source(source: source_settings.Source, *, follow: bool) -> Source:
    """Return the source that the settings name, not yet opened; follow: a file may still grow."""
    if isinstance(source, source_settings.KafkaSource):
        return KafkaSource(source.bootstrap, source.topic, source.group, source.options, source.password_file)
    if isinstance(source, source_settings.FileSource):
        return FileSource(source.path, follow=follow)
    return GeneratedSource(workload_of(source), source.events)


def workload_of(source: source_settings.GeneratorSource) -> Workload:
    """Return the workload that a generator source describes."""
    faults = Faults(
        duplicates=source.duplicates,
        late=source.late,
        out_of_order=source.out_of_order,
        malformed=source.malformed,
    )
    return Workload(model=source.model, seed=source.seed, family=source.family, faults=faults)


def open_store(shard: configured.Shard, limits: Limits) -> Store:
    """Return the writer of a shard, not yet connected."""
    if isinstance(shard.writer, SqliteUrl):
        return SqliteStore(shard.name, shard.writer.path, payload_bytes_max=limits.quarantine_payload_bytes_max)
    return MysqlStore(shard.name, shard.writer, limits)
