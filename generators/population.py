"""Populations: which account each event belongs to.

Owns the models of skew and the account names. Must not know products, prices or times.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from generators.errors import PopulationError

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

ACCOUNTS_MAX: Final = 10_000_000  # the cumulative table of a skewed population takes 8 bytes an account: 80 MB
EXPONENT_MAX: Final = 5.0  # beyond it practically every event falls on the first account: that is the hot-shard model
HOT_ACCOUNT: Final = 0


class Model(StrEnum):
    """How events spread over accounts."""

    UNIFORM = "uniform"
    SKEWED = "skewed"
    HOT_SHARD = "hot-shard"


def model_named(name: str) -> Model:
    """Return the model of that name.

    Raises: PopulationError when there is none.
    """
    try:
        return Model(name)
    except ValueError:
        raise PopulationError(f'model: "{name}" is not known; write one of {", ".join(Model)}') from None


@attrs.frozen
class Population:
    """The accounts of a workload.

    uniform: every event has another account (`accounts` and `exponent` do not matter); skewed: account k of `accounts`
    has a share proportional to (k + 1)**-exponent, so account 0 is the biggest; hot-shard: account 0 has every event.

    Raises: PopulationError when accounts or exponent are out of bounds.
    """

    model: Model
    accounts: int = attrs.field(default=10_000)
    exponent: float = attrs.field(default=1.1)

    @accounts.validator
    def _check_accounts(self, _: object, value: int) -> None:
        if not 1 <= value <= ACCOUNTS_MAX:
            raise PopulationError(f"accounts: {value} is out of bounds; write 1 to {ACCOUNTS_MAX}")

    @exponent.validator
    def _check_exponent(self, _: object, value: float) -> None:
        if not 0 <= value <= EXPONENT_MAX:
            raise PopulationError(f"exponent: {value} is out of bounds; write 0 to {EXPONENT_MAX}")

    def accounts_of(self, ordinals: Int64s, draws: Float64s) -> Int64s:
        """Return the account index of each event.

        ordinals: int64[n], the events' running numbers; draws: float64[n], uniform in [0, 1).
        """
        match self.model:
            case Model.UNIFORM:
                return ordinals
            case Model.HOT_SHARD:
                return np.full(len(ordinals), HOT_ACCOUNT, dtype=np.int64)
            case Model.SKEWED:
                return np.searchsorted(zipf_shares(self.accounts, self.exponent), draws, side="right").astype(np.int64)


def zipf_weights(accounts: int, exponent: float) -> Float64s:
    """Return what a Zipf-like population's shares are proportional to: float64[accounts], falling, the first is 1."""
    weights: Float64s = np.arange(1, accounts + 1, dtype=np.float64) ** -exponent
    return weights


@lru_cache(maxsize=4)  # a process generates one or two populations at a time
def zipf_shares(accounts: int, exponent: float) -> Float64s:
    """Return the cumulative shares of a Zipf-like population: float64[accounts], increasing, the last is 1."""
    shares = np.cumsum(zipf_weights(accounts, exponent))
    shares /= shares[-1]
    shares.setflags(write=False)
    return shares


def account_name(index: int) -> str:
    """Return the readable name of an account: `acct-` and at least six digits."""
    return f"acct-{index:06d}"
