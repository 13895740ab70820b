"""The command `billing-bench kernels`.

Owns its options and their defaults. Must not know how anything is timed.
"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import Progress

from bench.kernels import baseline, timing
from bench.kernels.report import kernels_text, ratios_text, scale_text
from bench.kernels.scale import PREFIXES_MAX, PREFIXES_MIN, RULES_MAX, RULES_MIN
from bench.kernels.stages import EVENTS
from bench.report import as_json
from bench.session import err
from bench.system import machine
from billing.errors import SettingsError
from generators.population import Model


def kernels(
    *,
    events: Annotated[int, Parameter(validator=Number(gte=1_000, lte=1_000_000))] = EVENTS,
    repeats: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 7,
    book: Path | None = None,
    rules: Annotated[int | None, Parameter(validator=Number(gte=RULES_MIN, lte=RULES_MAX))] = None,
    prefixes: Annotated[int, Parameter(validator=Number(gte=PREFIXES_MIN, lte=PREFIXES_MAX))] = 100_000,
    against: Path | None = None,
    json: Path | None = None,
) -> None:
    """Time the pure path without servers, one process on one core: nanoseconds an event by stage, and events a second.

    With --rules: what a book of so many rules costs beside one of ten. With --against: the ratio to a baseline.

    Parameters
    ----------
    events
        How many events a repeat has.
    repeats
        How often each stage runs; the best and the median are shown.
    book
        The rulebook to price by; the telecom book without it.
    rules
        Compare a book of so many rules with one of ten, for the same events.
    prefixes
        How many prefixes the deck of that book has.
    against
        What was measured before, a file of --json, maybe of another machine: the ratio of each stage's time to the one
        there is shown, both in units of what a library takes to read the same events.
    json
        A file for every figure, unrounded.
    """
    if against is not None and rules is not None:
        raise SettingsError("--against: a baseline has no books by number of rules; leave --rules")
    then = None if against is None else baseline.read(against)
    if rules is not None:
        _compare_books(events, repeats, rules, prefixes, json)
        return
    with Progress(console=err, disable=not err.is_terminal, transient=True) as progress:
        models = progress.track(list(Model), description="kernels")
        times = [timing.kernel_times(model, events, repeats, book) for model in models]
    command = f"billing-bench kernels --events {events} --repeats {repeats}" + (f" --book {book}" if book else "")
    if then is None:
        sys.stdout.write(kernels_text(times, machine(), command) + "\n")
    else:
        sys.stdout.write(ratios_text(times, baseline.ratios(times, then), machine(), then.machine) + "\n")
    if json is not None:
        json.write_bytes(as_json(baseline.KIND, command, {"machine": machine(), "times": times}))


def _compare_books(events: int, repeats: int, rules: int, prefixes: int, json: Path | None) -> None:
    with Progress(console=err, disable=not err.is_terminal, transient=True) as progress:
        models = progress.track(list(Model), description="books")
        times = [timing.scale_times(model, events, repeats, rules, prefixes) for model in models]
    command = f"billing-bench kernels --events {events} --repeats {repeats} --rules {rules} --prefixes {prefixes}"
    sys.stdout.write(scale_text(times, machine(), command) + "\n")
    if json is not None:
        json.write_bytes(as_json("books", command, {"machine": machine(), "times": times}))
