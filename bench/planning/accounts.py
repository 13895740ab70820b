"""Accounts: how the events of a load divide over accounts, as shares, with the slots that the real hash gives them.

Owns the distributions that a plan can be made for, and how many rows a batch of them makes. Must not know shards.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.errors import BillingError
from generators.population import ACCOUNTS_MAX, EXPONENT_MAX, Model, Population, account_name, zipf_weights
from sharding.key import Slots, slot_of

Floats = NDArray[np.float64]

REPRESENTATIVE_MAX: Final = 1_000_000  # accounts: a plan for them takes seconds, and more change no share that matters


class DistributionError(BillingError):
    """A distribution that no load can have. Reaction: the command stops and says what to write."""

    exit_code = 2


@attrs.frozen(eq=False)
class Accounts:
    """Accounts by falling share of the events.

    names: k of them; shares: float64[k], they add up to 1; slots: uint16[k], of the real slot function; told: the
    distribution in words.
    """

    names: Sequence[str]
    shares: Floats
    slots: Slots
    told: str


def _accounts(names: Sequence[str], shares: Floats, told: str) -> Accounts:
    order = np.argsort(-shares, kind="stable")
    named = [names[index] for index in order.tolist()]
    return Accounts(named, shares[order] / shares.sum(), slot_of(named), told)


def synthetic(accounts: int, exponent: float, hot_share: float | None = None) -> Accounts:
    """Return accounts whose k-th share falls as `k ** -exponent` (0: uniform), named as generated ones.

    hot_share: of the first account; the others divide the rest as before. None: as the exponent says.
    Raises: DistributionError when a value is out of bounds.
    """
    if not 1 <= accounts <= REPRESENTATIVE_MAX:
        raise DistributionError(f"--accounts {accounts} is out of bounds; write 1 to {REPRESENTATIVE_MAX}")
    if not 0 <= exponent <= EXPONENT_MAX:
        raise DistributionError(f"--exponent {exponent:g} is out of bounds; write 0 to {EXPONENT_MAX:g}")
    if hot_share is not None and not 0 < hot_share <= 1:
        raise DistributionError(f"--hot-share {hot_share:g} is not a share; write more than 0, at most 1")
    shares = zipf_weights(accounts, exponent)
    shares /= shares.sum()
    told = f"{accounts:,} accounts, " + (f"Zipf exponent {exponent:g}" if exponent else "uniform")
    if hot_share is not None:
        rest = shares[1:].sum()
        shares = np.concatenate([[hot_share], shares[1:] * ((1 - hot_share) / rest if rest else 0.0)])
        told += f", the first with {hot_share:.0%} of the events"
    return _accounts([account_name(index) for index in range(accounts)], shares, told)


def learned(events: Mapping[str, int]) -> Accounts:
    """Return accounts with the shares that a sample shows. events: by account.

    Raises: DistributionError when the sample is empty or has too many accounts.
    """
    total = sum(events.values())
    if not total:
        raise DistributionError("the sample has no event that can be read; name a file of events, one JSON text a line")
    if len(events) > ACCOUNTS_MAX:
        raise DistributionError(f"the sample has {len(events):,} accounts; cut it to {ACCOUNTS_MAX:,}")
    counts = np.fromiter(events.values(), dtype=np.float64, count=len(events))
    return _accounts([*events], counts, f"{len(events):,} accounts learned from {total:,} events")


def rows_per_event(shares: Floats, batch: float) -> float:
    """Return how many accounts a batch touches, for each of its events: 1 when all differ, 1/batch for one account.

    shares: float64[k], they add up to 1; batch: events in it. The expected number of different values in draws with
    replacement: `sum(1 - (1 - p) ** batch)`.
    """
    return float(touched(shares, batch).sum() / batch)


def touched(shares: Floats, batch: float | Floats) -> Floats:
    """Return the probability that a batch has an event of each account; shares and batch may have one value each."""
    with np.errstate(divide="ignore"):  # an account with every event: log(0), and the answer is 1
        return np.asarray(-np.expm1(batch * np.log1p(-np.minimum(shares, 1.0))))


def rows_of_model(model: Model, batch: float) -> float:
    """Return `rows_per_event` of the traffic that `billing-bench run` makes."""
    if model is Model.UNIFORM:
        return 1.0
    if model is Model.HOT_SHARD:
        return 1 / batch
    population = Population(model)
    weights = zipf_weights(population.accounts, population.exponent)
    return rows_per_event(weights / weights.sum(), batch)
