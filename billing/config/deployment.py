"""The deployment: everything that the settings name, loaded and checked together.

Owns the order in which settings, map and book are read. Must not know commands or routes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from billing.config.settings import Settings, load, shard_map
from billing.errors import SettingsError
from rules.book import Book, Rule
from rules.condition import All, Condition, OneOf
from rules.load import load as load_book
from sharding.shardmap import BY_EVENT, ShardMap, Spread


@attrs.frozen
class Deployment:
    """The settings, the map over their shards and the book."""

    settings: Settings
    shardmap: ShardMap
    book: Book


def load_deployment(config: Path, environ: Mapping[str, str]) -> Deployment:
    """Load settings, map and book.

    Raises: SettingsError or BookError, one line for each thing wrong.
    """
    settings = load(config, environ)
    shardmap, book = shard_map(settings), load_book(settings.rules.book)
    scattered = next(scattered_counters(shardmap, book), None)
    if scattered is not None:
        account, rule = scattered
        raise SettingsError(
            f"{settings.sharding.map}: spreads.{account}: spreads what rule {rule.id} of book {book.name} counts "
            "together; spread the account by attributes that the rule's `when` fixes to one value, or not at all"
        )
    return Deployment(settings, shardmap, book)


def scattered_counters(shardmap: ShardMap, book: Book) -> Iterator[tuple[str, Rule]]:
    """Yield (account, rule) for each counter that the map would keep in several places, where no place has the sum."""
    for rule in book.rules:
        for account, spread in shardmap.spreads.items() if rule.per is not None else ():
            if _may_charge(rule, account) and not _keeps_together(spread, rule):
                yield account, rule


def _may_charge(rule: Rule, account: str) -> bool:
    own = rule.when.get("account")
    charges_others = rule.charge is not None or rule.charge_parent
    return charges_others or own is None or own.holds(account)


def _keeps_together(spread: Spread, rule: Rule) -> bool:
    return spread.by != BY_EVENT and all(name in rule.when and _is_one_text(rule.when[name]) for name in spread.by)


def _is_one_text(condition: Condition) -> bool:
    """Tell whether at most one text satisfies a condition, whatever else it asks."""
    if isinstance(condition, All):
        return any(map(_is_one_text, condition.conditions))
    return isinstance(condition, OneOf) and len(condition.texts) == 1
