"""`billing close`: minimums of a period that has ended are charged, once, however often it is said."""

import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final

import attrs
import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from billing.adapters.close import pages_of, settle
from billing.adapters.configured import open_store
from billing.adapters.oplog import OperatorLog
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, Deployment, deployment, out, plain, print_json, user
from billing.closing import Posting
from billing.due import Plan, plan_of
from billing.exact import EXACT, of_pico
from rules.describe import time_text
from rules.period import SECOND_US

LIST_MAX: Final = 100_000


def close(
    period: str,
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    rule: Annotated[list[str] | None, Parameter(negative="")] = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    limit: Annotated[int, Parameter(validator=Number(gte=0, lte=LIST_MAX))] = 20,
    json: bool = False,
) -> None:
    """Charge what accounts owe for a period at least and were not charged by its events.

    Posts differences, so that it is safe to repeat, to stop, and to run while workers do. Run it again when events have
    come late, or were voided: it charges or gives back what that changes.

    Parameters
    ----------
    period
        What has ended: a year 2026, month 2026-01, day 2026-01-31 or hour 2026-01-31T23, in the zone of each rule. A
        month or year with an anchor is named by the one in which it starts.
    config
        The settings file; its book says who owes what.
    rule
        The id of a rule to close, again for each; without it all rules that count by such periods.
    dry_run
        Only tell what would be posted.
    limit
        How many postings to list.
    json
        Print one JSON document.
    """
    found = deployment(config)
    plan = plan_of(found.book, found.shardmap, period, int(time.time()), rule or ())
    if not dry_run:
        OperatorLog(found.settings.api.operators_log).record(user(), f"close {period}")
    told = uvloop.run(_close(found, plan, limit, dry_run=dry_run))
    if json:
        print_json(_document(told, plan, dry_run=dry_run))
        return
    if told.listed:
        out.print(_listing(told.listed))
        out.print()
    for (name, currency), (postings, amount) in sorted(told.sums.items()):
        verb = "to post" if dry_run else "posted"
        out.print(f"rule {name}: {verb} {plain(amount)} {currency} in {postings:,} lines", highlight=False)
    if not told.sums:
        out.print(f"{period}: nothing to settle, every minimum is charged", highlight=False)
    if told.open:
        out.print(f"{told.open:,} accounts' periods have not ended; close {period} again later", highlight=False)


@attrs.define
class _Told:
    """What was posted: postings and amount by rule and currency, the first of them in full, counters left open."""

    limit: int
    sums: dict[tuple[str, str], tuple[int, Decimal]] = attrs.Factory(dict)
    listed: list[tuple[str, Posting]] = attrs.Factory(list)
    shards: Counter[str] = attrs.Factory(Counter)
    open: int = 0

    def add(self, shard: str, postings: Sequence[Posting]) -> None:
        for one in postings:
            key = one.due.rule, one.due.currency
            count, amount = self.sums.get(key, (0, Decimal(0)))
            self.sums[key] = count + 1, EXACT.add(amount, of_pico(one.amount_pico))
        self.shards[shard] += len(postings)
        self.listed += [(shard, one) for one in postings[: max(self.limit - len(self.listed), 0)]]


async def _close(found: Deployment, plan: Plan, limit: int, *, dry_run: bool) -> _Told:
    told, limits = _Told(limit), found.settings.limits
    promises = plan.promises(found.shardmap)
    for index, name in enumerate(found.shardmap.shards):
        shard = next(one for one in found.settings.shards if one.name == name)
        store = None if dry_run else open_store(shard, limits)
        try:
            async for step in settle(plan, promises.get(index, {}), pages_of(shard.writer, plan), store, limits):
                told.add(name, step.postings)
                told.open += step.open
        finally:
            if store is not None:
                await store.close()
    return told


def _listing(listed: Sequence[tuple[str, Posting]]) -> Table:
    table = Table("shard", "account", "rule", "period from", "currency", box=None, header_style="bold")
    for title in ("minimum", "charged", "settled before", "posted"):
        table.add_column(title, justify="right")
    for shard, one in listed:
        due = one.due
        minimum = "none" if due.minimum is None else plain(of_pico(due.minimum.pico))
        amounts = (plain(of_pico(pico)) for pico in (one.charged_pico, one.before_pico, one.amount_pico))
        table.add_row(shard, due.account, due.rule, time_text(due.period * SECOND_US), due.currency, minimum, *amounts)
    return table


def _document(told: _Told, plan: Plan, *, dry_run: bool) -> dict[str, object]:
    return {
        "period": plan.name,
        "book": plan.book.name,
        "book_version": plan.book.version,
        "dry_run": dry_run,
        "sums": [
            {"rule": rule, "currency": currency, "lines": lines, "amount": f"{amount:f}"}
            for (rule, currency), (lines, amount) in sorted(told.sums.items())
        ],
        "shards": dict(told.shards),
        "open": told.open,
        "postings": [_fields(shard, one) for shard, one in told.listed],
    }


def _fields(shard: str, posting: Posting) -> dict[str, object]:
    due = posting.due
    return {
        "shard": shard,
        "account": due.account,
        "rule": due.rule,
        "period": time_text(due.period * SECOND_US),
        "currency": due.currency,
        "minimum": None if due.minimum is None else f"{of_pico(due.minimum.pico):f}",
        "charged": f"{of_pico(posting.charged_pico):f}",
        "settled_before": f"{of_pico(posting.before_pico):f}",
        "posted": f"{of_pico(posting.amount_pico):f}",
        "event": posting.key,
        "line": posting.number,
    }
