"""Commands of who reads what was billed: balance, usage, export, serve."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from billing.adapters.reads import AsOf, CreditOf, Reads
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, deployment, err, out, output, print_json
from billing.errors import SettingsError

PORT_MAX: Final = 65_535
_AS_OF_MAX: Final = 8  # partitions listed for people; --json has them all


def balance(account: str, config: ConfigPath = DEFAULT_CONFIG, *, json: bool = False) -> None:
    """Show what an account was charged and credited, exactly, and what is left of its grants.

    Parameters
    ----------
    account
        The account's id.
    config
        The settings file.
    json
        Print one JSON document.
    """
    answer = uvloop.run(Reads(deployment(config)).balance(account))
    if json:
        print_json(answer)
        return
    for one in answer.balances:
        _say(f"{account}  {one.amount} {one.currency}  {one.events:,} events")
        if answer.credits:
            _say(
                f"charged {one.charged}, credited {one.credited}, of which granted {one.granted}; "
                f"drawn {one.drawn}, expired {one.expired}, remaining {one.remaining}; due {one.due}"
            )
    if answer.credits:
        out.print(_credit_table(answer.credits), highlight=False, markup=False)
    _say_as_of(answer.as_of)


def usage(account: str, config: ConfigPath = DEFAULT_CONFIG, *, rollup: str, json: bool = False) -> None:
    """Show an account's usage by one of the book's rollups.

    Parameters
    ----------
    account
        The account's id.
    config
        The settings file.
    rollup
        The rollup's name, as the book has it.
    json
        Print one JSON document.
    """
    answer = uvloop.run(Reads(deployment(config)).usage(account, rollup))
    if json:
        print_json(answer)
        return
    names = list(dict.fromkeys(name for row in answer.usage for name in row.dims))
    table = Table(answer.every, *names, box=None, header_style="bold")
    for title in ("events", "quantity", f"amount {answer.currency}"):
        table.add_column(title, justify="right")
    for row in answer.usage:
        values = (row.dims.get(name) or "" for name in names)
        table.add_row(row.bucket, *values, f"{row.events:,}", row.quantity, row.amount)
    if answer.usage:
        out.print(table, highlight=False, markup=False)
    else:
        _say(f"{account}  no usage in {rollup}")
    _say_as_of(answer.as_of)


def export(
    table: Literal["balances", "rollups", "tiers", "credits", "records"],
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    form: Annotated[Literal["csv", "parquet"], Parameter(name="--format")],
    out_file: Annotated[Path | None, Parameter(name="--out")] = None,
) -> int:
    """Write all balances, rollups, tiers (what was used), credits or records, from every shard, with exact decimals.

    Parameters
    ----------
    table
        What to export.
    config
        The settings file.
    form
        The format: decimals are text with 12 places in csv, decimal128(38, 12) in parquet.
    out_file
        The file to write, which appears once it is complete; standard output without it.
    """
    if out_file is None and form == "parquet" and sys.stdout.isatty():
        raise SettingsError("--format parquet: is binary and the output is a terminal; write --out FILE")
    from billing.adapters.export import FIELDS, Exporter  # noqa: PLC0415 - loads Arrow, which takes longer than a balance
    from billing.adapters.sinks import CsvSink, ParquetSink, ReaderGoneError  # noqa: PLC0415 - the same

    found = deployment(config)
    progress = Progress(
        SpinnerColumn(), TextColumn(table), MofNCompleteColumn(), TextColumn("rows"),
        console=err, disable=not sys.stderr.isatty() or (out_file is None and sys.stdout.isatty()), transient=True,
    )  # fmt: skip
    with progress, output(out_file) as stream:
        bar = progress.add_task(table, total=None)
        exporter = Exporter(found, table, lambda rows: progress.update(bar, advance=rows))
        try:
            uvloop.run(exporter.run((CsvSink if form == "csv" else ParquetSink)(stream, FIELDS[table])))
        except ReaderGoneError:
            return 1
    return 0


def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=1, lte=PORT_MAX))] = 8080,
) -> None:
    """Serve balances over HTTP until SIGTERM: GET /v1/accounts/ID/balance.

    Parameters
    ----------
    config
        The settings file.
    host
        The address to listen at; only this machine reaches the default.
    port
        The port to listen at.
    """
    from billing.api.server import serve as serve_api  # noqa: PLC0415 - the HTTP server is only loaded when wanted

    deployment(config)  # so that what is wrong with it is said here, once

    def say() -> None:
        err.print(f"serving http://{host}:{port}/v1/accounts/ID/balance", highlight=False, soft_wrap=True)

    serve_api(config, host, port, say)


def _credit_table(found: Sequence[CreditOf]) -> Table:
    table = Table("time", "id", "kind", "products", box=None, header_style="bold")
    for title in ("priority", "expires", "amount", "drawn", "expired", "remaining"):
        table.add_column(title, justify="right")
    for one in found:
        terms = ("", "") if one.kind == "payment" else (str(one.priority), one.expires or "never")
        products = " ".join(one.products) or "any"
        table.add_row(one.time, one.id, one.kind, products, *terms, one.amount, one.drawn, one.expired, one.remaining)
    return table


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def _say_as_of(places: Sequence[AsOf]) -> None:
    for place in places[:_AS_OF_MAX]:
        _say(
            f"as of {place.applied_at or 'the start'}: {place.log} partition {place.partition} "
            f"applied up to {place.position}"
        )
    if len(places) > _AS_OF_MAX:
        _say(f"and {len(places) - _AS_OF_MAX} partitions more; --json lists them all")
    if not places:
        _say("as of the start: no worker has written to this account's shards yet")
