"""Commands that make traffic: generate, replay."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import Progress

from billing.cli.setup import err, out
from billing.config import settings as configured
from billing.config import source_settings
from billing.errors import SettingsError
from generators import llm_trace
from generators.faults import Faults
from generators.producer import key_of, no_key, produce, write_file
from generators.workload import Workload

EVENTS_MAX: Final = 10**12


def generate(
    *,
    model: Literal["uniform", "skewed", "hot-shard"] = "skewed",
    family: Literal["telecom", "llm"] = "telecom",
    events: Annotated[int, Parameter(validator=Number(gte=1, lte=EVENTS_MAX))] = 100_000,
    seed: int = 1,
    accounts: int = 10_000,
    exponent: float = 1.1,
    arrivals: Literal["steady", "diurnal", "burst"] = "steady",
    duplicates: float = 0.0,
    malformed: float = 0.0,
    late: float = 0.0,
    out_of_order: float = 0.0,
    credits: float = 0.0,  # noqa: A002 - the noun
    rate: float | None = None,
    keys: Literal["account", "none"] = "account",
    out_file: Annotated[Path | None, Parameter(name="--out")] = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
) -> None:
    """Make traffic: to a file (--out, plain or .gz or .zst) or to the Kafka topic of a settings file (-c).

    Parameters
    ----------
    model
        How events spread over accounts.
    family
        What the events are of.
    events
        How many log positions, faulty ones included.
    seed
        The same seed gives the same bytes.
    accounts
        Accounts of the skewed model.
    exponent
        Skew of the skewed model: 0 is even, 1 is Zipf's.
    arrivals
        How events spread over time.
    duplicates, malformed, late, out_of_order
        Shares of events with that fault, 0 to 1.
    credits
        Share of payments and grants among the events, 0 to 1.
    rate
        Events a second to send (Kafka only); as fast as possible without it.
    keys
        What names the partition of an event (Kafka only): its account, or nothing, so that a hot account is in all of
        them.
    out_file
        A file to write.
    config
        A settings file whose Kafka topic to fill.
    """
    faults = Faults(duplicates=duplicates, late=late, out_of_order=out_of_order, malformed=malformed)
    workload = Workload(
        model=model,
        seed=seed,
        family=family,
        accounts=accounts,
        exponent=exponent,
        arrivals=arrivals,
        faults=faults,
        credits=credits,
    )
    deliver(workload.blocks(events), events, out_file, config, rate, key_of if keys == "account" else no_key)


def replay(
    *,
    out_file: Annotated[Path | None, Parameter(name="--out")] = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
) -> None:
    """Make events of the recorded LLM inference trace: to a file (--out) or to the Kafka topic of a settings file (-c).

    Parameters
    ----------
    out_file
        A file to write, plain or .gz or .zst.
    config
        A settings file whose Kafka topic to fill.
    """
    payloads = list(llm_trace.events())
    deliver([payloads], len(payloads), out_file, config, None, key_of)


def deliver(
    blocks: Iterable[Sequence[bytes]],
    events: int,
    out_file: Path | None,
    config: Path | None,
    rate: float | None,
    key: Callable[[bytes], bytes | None],
) -> None:
    """Write payloads to where the user said. Raises SettingsError when that is nowhere, or two places."""
    if (out_file is None) == (config is None):
        raise SettingsError("--out and -c: exactly one says where the events go; write --out FILE or -c billing.toml")
    with Progress(*Progress.get_default_columns(), console=err, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("events", total=events)

        def advance(count: int) -> None:
            progress.update(bar, advance=count)

        if out_file is not None:
            written, where = write_file(blocks, out_file, advance), str(out_file)
        else:
            assert config is not None, "checked above"
            source = configured.load(config, os.environ).source
            if not isinstance(source, source_settings.KafkaSource):
                raise SettingsError(f"{config}: source.kind: is not kafka; write --out FILE to make a file")
            written = produce(
                blocks,
                source.bootstrap,
                source.topic,
                rate_per_second=rate,
                settings=source.options,
                key=key,
                progress=advance,
            )
            where = f"topic {source.topic} at {source.bootstrap}"
    out.print(f"{written:,} events to {where}", highlight=False)
