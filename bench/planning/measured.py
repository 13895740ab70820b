"""Measurements: what one shard did at several numbers of writers, by traffic model, as a file that plans are made from.

Owns the file's format, also how documents of `billing-bench run --json` are read as parts of one. Must not know how
anything was measured, nor what is planned.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, mean
from typing import Annotated, Any, Final, Literal, Self

import msgspec

from bench.figures import percentile
from bench.planning.law import Law, fit
from bench.report import Machine, RunResult, many, plain
from billing.errors import BillingError
from generators.population import Model

KIND: Final = "capacity"
GROUP: Final = "database"  # of the processes whose CPU time a run tells
WINDOWS_MIN: Final = 2  # a run shorter than two windows tells its mean only

Positive = Annotated[float, msgspec.Meta(gt=0)]


class MeasurementError(BillingError):
    """Measurements that no plan can be made from. Reaction: the command stops and says what to measure."""

    exit_code = 2


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One shard, saturated by so many writers (worker processes).

    events_per_second: one sample for each ten-second window; transactions_per_second: of the shard; database_cores: CPU
    cores that its server kept busy; bytes_per_event: growth of the database's files.
    """

    writers: Annotated[int, msgspec.Meta(ge=1)]
    events_per_second: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
    transactions_per_second: Positive
    database_cores: Positive
    bytes_per_event: Annotated[float, msgspec.Meta(ge=0)]

    @property
    def mean(self) -> float:
        """Return the mean of the samples."""
        return mean(self.events_per_second)


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Append to visible at an open-loop rate below saturation."""

    events_per_second: Positive
    p50_ms: Positive
    p99_ms: Positive


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of one traffic model; latency: None where it was not measured."""

    model: Model
    levels: Annotated[tuple[Level, ...], msgspec.Meta(min_length=1)]
    latency: Latency | None = None

    def law(self) -> Law:
        """Return the law of scalability that the levels follow.

        Raises: MeasurementError, FitError.
        """
        samples = [(level.writers, rate) for level in self.levels for rate in level.events_per_second]
        return fit([writers for writers, _ in samples], [rate for _, rate in samples])

    @property
    def best(self) -> Level:
        """Return the level with the highest throughput."""
        return max(self.levels, key=lambda level: level.mean)

    @property
    def batch(self) -> float:
        """Return events in a transaction at the best level, at least 1."""
        return max(1.0, self.best.mean / self.best.transactions_per_second)

    @property
    def bytes_per_event(self) -> float:
        """Return the largest of the levels: files grow in steps, in a short run by none, and disk must do.

        Raises: MeasurementError when no level saw files grow.
        """
        largest = max(level.bytes_per_event for level in self.levels)
        if not largest:
            raise MeasurementError(f"{self.model}: no run saw the database's files grow; measure longer")
        return largest


class Measurements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file.

    kind: "capacity"; command: that took them; instance: the size in the table of prices whose vCPUs the database had
    to itself, None for a machine that the table does not have.
    """

    kind: Literal["capacity"]
    command: str
    machine: Machine
    models: Annotated[tuple[Capacity, ...], msgspec.Meta(min_length=1)]
    instance: str | None = None


class _Throughput(msgspec.Struct):
    mean: Positive
    windows: tuple[Positive, ...] = ()


class _Scenario(msgspec.Struct):
    model: Model
    shards: int
    workers: int
    rate_per_second: float | None = None
    events_file: str | None = None
    exponent: float | None = None
    database_cores: float | None = None

    @property
    def told(self) -> str:
        """Return the configuration in words."""
        skew = "" if self.exponent is None else f" with exponent {self.exponent:g}"
        cores = "" if self.database_cores is None else f" of {self.database_cores:g} cores each"
        return f"{self.model}{skew}, {many(self.shards, 'shard')}{cores}, {many(self.workers, 'worker')}"


class _Point(msgspec.Struct):
    at_seconds: float
    shard_events_per_second: tuple[float, ...]


class Run(msgspec.Struct):
    """What of a run is needed here; the fields are those of `bench.report.RunResult`."""

    scenario: _Scenario
    machine: Machine
    throughput: _Throughput
    cores_used: dict[str, float]
    per_second: dict[str, float]
    latency_ms: tuple[float, ...]
    disk_bytes_event: float | None
    ran_dry: bool
    audit_differences: int
    points: tuple[_Point, ...] = ()

    @classmethod
    def of(cls, result: RunResult) -> Self:
        """Return what is needed of a result, as a document of it would be read."""
        return msgspec.convert(msgspec.to_builtins(result, enc_hook=plain), cls)

    @property
    def shard_events_per_second(self) -> list[float]:
        """Return what each shard applied a second, over all points."""
        begins = [0.0, *(point.at_seconds for point in self.points)]
        lasted = [point.at_seconds - begin for begin, point in zip(begins, self.points, strict=False)]
        rates = zip(*(point.shard_events_per_second for point in self.points), strict=True)
        return [fmean(shard, lasted) for shard in rates]

    def check(self, name: str) -> None:
        """Check that the run says how fast generated events are billed. Raises: MeasurementError."""
        if self.scenario.events_file is not None:
            raise MeasurementError(
                f"{name}: a run of recorded events; measure with --model, and give those events to --sample"
            )
        if self.audit_differences:
            raise MeasurementError(
                f"{name}: its audit found {self.audit_differences:,} differences; find the reason first"
            )
        if self.ran_dry:
            raise MeasurementError(f"{name}: its log ran dry; measure again with more --events")


class RunDocument(msgspec.Struct):
    """What `billing-bench run --json` writes."""

    command: str
    result: Run


def read(paths: Sequence[Path]) -> Measurements:
    """Read one file of measurements, or several documents of runs as one.

    Raises: MeasurementError, one line: file, what is wrong, what to do.
    """
    if not paths:
        raise MeasurementError("no measurements; name a file of them, or write --measure FILE to take them here")
    documents = [_document(path) for path in paths]
    kinds = {document.get("kind") for document in documents}
    if kinds == {KIND} and len(paths) == 1:
        found: Measurements = _converted(paths[0], documents[0], Measurements)
        return found
    if kinds == {"run"}:
        return gathered([str(path) for path in paths], [read_run(path) for path in paths])
    raise MeasurementError(
        f'{paths[0]}: name one file of kind "{KIND}", or several of kind "run" that billing-bench run --json wrote'
    )


def read_run(path: Path) -> RunDocument:
    """Read what a run wrote. Raises: MeasurementError, as `read`."""
    found: RunDocument = _converted(path, _document(path), RunDocument)
    return found


def _document(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise MeasurementError(f"{path}: {error.strerror}; name a file that --measure or run --json wrote") from error
    except msgspec.DecodeError as error:
        raise MeasurementError(f"{path}: is not a JSON document ({error}); name a file that --measure wrote") from error


def _converted(path: Path, document: dict[str, Any], kind: Any) -> Any:  # noqa: ANN401 - as the kind says
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise MeasurementError(f"{path}: {error}; measure again with --measure") from error


def gathered(names: Sequence[str], documents: Sequence[RunDocument]) -> Measurements:
    """Return runs as measurements. Raises: MeasurementError for a run that says nothing of one shard's capacity."""
    levels: dict[Model, list[Level]] = {}
    latencies: dict[Model, Latency] = {}
    for name, document in zip(names, documents, strict=True):
        run = document.result
        if run.scenario.rate_per_second is None:
            levels.setdefault(run.scenario.model, []).append(level(name, run))
        else:
            latencies[run.scenario.model] = latency(name, run)
    if not levels:
        raise MeasurementError("no run was saturated; leave --rate out of three or more")
    models = tuple(Capacity(model, tuple(one), latencies.get(model)) for model, one in levels.items())
    return Measurements(KIND, "; ".join(each.command for each in documents), documents[0].result.machine, models)


def level(name: str, run: Run) -> Level:
    """Return a saturated run as a level. name: of the run, in errors. Raises: MeasurementError."""
    _check(name, run)
    transactions, cores = run.per_second.get("transactions", 0.0), run.cores_used.get(GROUP, 0.0)
    if not (transactions and cores) or run.disk_bytes_event is None:
        raise MeasurementError(
            f"{name}: CPU, disk or transactions were not seen; measure on servers that the run starts"
        )
    windows = run.throughput.windows
    samples = windows if len(windows) >= WINDOWS_MIN else (run.throughput.mean,)
    return Level(run.scenario.workers, samples, transactions, cores, max(0.0, run.disk_bytes_event))


def latency(name: str, run: Run) -> Latency:
    """Return the latency of a run at an open-loop rate. Raises: MeasurementError."""
    _check(name, run)
    if not (run.scenario.rate_per_second and run.latency_ms):
        raise MeasurementError(f"{name}: no latency was measured; write --rate, and measure longer")
    p50, p99 = (percentile(run.latency_ms, share) for share in (0.5, 0.99))
    return Latency(run.scenario.rate_per_second, p50, p99)


def _check(name: str, run: Run) -> None:
    if run.scenario.shards != 1:
        raise MeasurementError(f"{name}: a run over {run.scenario.shards} shards; measure one, with --shards 1")
    if run.scenario.exponent is not None:
        raise MeasurementError(f"{name}: a run with an exponent of its own; measure without --exponent")
    run.check(name)
