"""Commands of who reads what was billed: balance, usage, transactions, explain, export, serve."""

import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from billing.adapters.reads import EVER, PageQuery, Reads, UsageQuery
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, Processes, deployment, err, out, output, print_json
from billing.config.settings import require_password
from billing.errors import SettingsError
from billing.moment import SECOND_US
from billing.reads.answers import AsOf, CreditOf, Line
from billing.reads.statement import Wanted
from billing.span import moment_of
from rules.book import Every

PORT_MAX: Final = 65_535
LIMIT_MAX: Final = 10_000
_AS_OF_MAX: Final = 8  # partitions listed for people; --json has them all
_T = TypeVar("_T")

Since = Annotated[str | None, Parameter(name="--from", help="From this day or RFC 3339 moment on.")]
Until = Annotated[str | None, Parameter(name="--to", help="Before this day or RFC 3339 moment.")]


def ask(config: Path, question: Callable[[Reads], Coroutine[Any, Any, _T]]) -> _T:
    """Put one question to the shards that the settings name."""

    async def asked() -> _T:
        async with Reads(deployment(config)) as reads:
            return await question(reads)

    return uvloop.run(asked())


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
    answer = ask(config, lambda reads: reads.balance(account))
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


def usage(
    account: str,
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    rollup: str | None = None,
    every: Literal["hour", "day", "month"] | None = None,
    by: str | None = None,
    since: Since = None,
    until: Until = None,
    fill: bool = False,
    json: bool = False,
) -> None:
    """Show an account's usage by one of the book's rollups.

    Parameters
    ----------
    account
        The account's id.
    config
        The settings file.
    rollup
        The rollup's name, as the book has it; without it, the one that fits.
    every
        The length of a bucket; without it, the rollup's, or a day.
    by
        Dimensions, with commas between; without it, the rollup's, or none.
    fill
        Show buckets without usage too.
    json
        Print one JSON document.
    """
    span = range(_seconds("--from", since, EVER.start), _seconds("--to", until, EVER.stop))
    dims = None if by is None else tuple(filter(None, by.split(",")))
    if fill and (since is None or until is None):
        raise SettingsError("--fill: needs to know where to begin and end; write --from and --to too")
    query = UsageQuery(rollup, Every(every) if every else None, dims, span, fill)
    answer = ask(config, lambda reads: reads.usage(account, query))
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
    total = answer.total
    table.add_row("total", *("" for _ in names), f"{total.events:,}", total.quantity, total.amount, style="bold")
    if answer.usage:
        out.print(table, highlight=False, markup=False)
    else:
        _say(f"{account}  no usage in {answer.rollup}")
    _say_as_of(answer.as_of)


def transactions(
    account: str,
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    since: Since = None,
    until: Until = None,
    product: str | None = None,
    rule: str | None = None,
    event: str | None = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=LIMIT_MAX))] = 100,
    cursor: str | None = None,
    json: bool = False,
) -> None:
    """Show an account's lines, newest day first.

    Parameters
    ----------
    account
        The account's id.
    config
        The settings file.
    product
        Only lines of this product.
    rule
        Only lines that this rule made.
    event
        Only lines of the event with this id.
    limit
        How many lines.
    cursor
        Where the page before ended, as it said.
    json
        Print one JSON document.
    """
    wanted = Wanted(_moment("--from", since), _moment("--to", until), product, rule, event)
    answer = ask(config, lambda reads: reads.transactions(account, PageQuery(wanted, limit, cursor)))
    if json:
        print_json(answer)
        return
    if answer.transactions:
        out.print(_lines_table(answer.transactions), highlight=False, markup=False)
    else:
        _say(f"{account}  no lines")
    if answer.next is not None:
        _say(f"more: --cursor {answer.next}")
    _say_as_of(answer.as_of)


def explain(
    account: str, event: str, config: ConfigPath = DEFAULT_CONFIG, *, origin: str | None = None, json: bool = False
) -> None:
    """Show what a recorded event charged an account, and by which rules; `rules explain` has every step for an event.

    Parameters
    ----------
    account
        The account that was charged.
    event
        The event's id.
    config
        The settings file.
    origin
        Whose event it is, where another account is charged.
    json
        Print one JSON document.
    """
    answer = ask(config, lambda reads: reads.explain(account, event, origin))
    if json:
        print_json(answer)
        return
    out.print(_lines_table([one.line for one in answer.lines]), highlight=False, markup=False)
    for one in answer.lines:
        if one.rule is None:
            _say(f"{one.line.rule}: not in the book in force; it was in version {one.line.book_version}")
            continue
        conditions = "; ".join(f"{name} is {text}" for name, text in one.rule.when.items()) or "any event"
        older = "" if one.same_book else f" (as it is now; charged by book version {one.line.book_version})"
        _say(f"{one.rule.id}: {one.rule.price} price in group {one.rule.group}, for {conditions}{older}")
    _say(f"total {answer.total}")
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
    processes: Processes = 1,
    open_to_all: Annotated[bool, Parameter(name="--open", negative="")] = False,
) -> None:
    """Serve the HTTP API until SIGTERM; callers need keys, which `billing keys create` makes.

    Parameters
    ----------
    config
        The settings file.
    host
        The address to listen at; only this machine reaches the default.
    port
        The port to listen at.
    processes
        How many processes answer, each with limits and connections of its own.
    open_to_all
        Ask nobody for a key; only for an address that no other machine reaches.
    """
    from billing.api.server import serve as serve_api  # noqa: PLC0415 - the HTTP server is only loaded when wanted
    from billing.cli.ready import make_ready  # noqa: PLC0415 - and the compiler

    settings = deployment(config).settings  # so that what is wrong with it is said here, once
    for url in {url for shard in settings.shards for url in (shard.primary, *shard.readers)}:
        require_password(url)
    api = settings.api
    scheme = "http" if api.tls is None else "https"

    def say() -> None:
        err.print(f"serving {scheme}://{host}:{port}/v1/accounts/ID/balance", highlight=False, soft_wrap=True)
        if not open_to_all and not api.keys.exists():
            err.print("nobody has a key yet; make one: billing keys create", highlight=False, soft_wrap=True)

    make_ready()
    serve_api(config, host, port, say, processes=processes, tls=api.tls, open_to_all=open_to_all)


def _lines_table(lines: Sequence[Line]) -> Table:
    table = Table("time", "event", "line", "product", "rule", box=None, header_style="bold")
    table.add_column("quantity", justify="right")
    table.add_column("amount", justify="right")
    table.add_column("currency")
    for one in lines:
        event = one.event if one.origin is None else f"{one.event} of {one.origin}"
        table.add_row(one.time, event, str(one.line), one.product, one.rule, one.quantity, one.amount, one.currency)
    return table


def _moment(option: str, text: str | None) -> int | None:
    found = None if text is None else moment_of(text)
    if text is not None and found is None:
        raise SettingsError(f"{option}: {text[:64]!a} is no time; write 2026-01-31 or 2026-01-31T12:00:00Z")
    return found


def _seconds(option: str, text: str | None, default: int) -> int:
    found = _moment(option, text)
    return default if found is None else min(max(found // SECOND_US, EVER.start), EVER.stop)


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
