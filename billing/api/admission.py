"""Admission: how many requests are answered at once, and how many a second for one caller.

Owns the counts. What exceeds them is refused at once, so that what was let in stays quick. Must not know HTTP.
"""

from math import ceil
from typing import Final

from billing.config.api_settings import ApiLimits

_CALLERS_MAX: Final = 10_000  # remembered; idle ones are forgotten first


class TooManyError(Exception):
    """More than is allowed. Reaction: come back after so many seconds."""

    def __init__(self, sentence: str, retry_seconds: int) -> None:
        super().__init__(sentence)
        self.retry_seconds = retry_seconds


class Running:
    """Requests under way: who counted one leaves it, or uses this as a context that does."""

    def __init__(self) -> None:
        self.running = 0

    def leave(self) -> None:
        """Count one less."""
        self.running -= 1

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.leave()


class _Share(Running):
    """One caller's: requests under way, and how many more may come now."""

    def __init__(self, allowance: float, at_seconds: float) -> None:
        super().__init__()
        self.allowance = allowance
        self.at_seconds = at_seconds


class Admission:
    """The counts of one process; used from one event loop."""

    def __init__(self, limits: ApiLimits) -> None:
        self._limits = limits
        self._all = Running()
        self._shares: dict[str, _Share] = {}

    @property
    def callers(self) -> int:
        """Return how many callers are remembered."""
        return len(self._shares)

    def request(self) -> Running:
        """Count a request of anybody, until it is left. Raises: TooManyError."""
        running = self._all.running
        if running >= self._limits.requests_max:
            raise TooManyError(f"{running} requests are being answered; come back in a moment", 1)
        self._all.running += 1
        return self._all

    def of_caller(self, caller: str, now_seconds: float) -> Running:
        """Count a request of a caller, until it is left; now_seconds: of a clock that never goes back.

        Raises: TooManyError.
        """
        rate = self._limits.key_requests_per_second
        share = self._share(caller, now_seconds)
        share.allowance = min(rate, share.allowance + (now_seconds - share.at_seconds) * rate)
        share.at_seconds = now_seconds
        if share.running >= self._limits.key_requests_max:
            raise TooManyError(f"{share.running} requests of this key are being answered; come back in a moment", 1)
        if share.allowance < 1:
            raise TooManyError(
                f"more than {rate:,} requests a second with this key", ceil((1 - share.allowance) / rate)
            )
        share.allowance -= 1
        share.running += 1
        return share

    def _share(self, caller: str, now_seconds: float) -> _Share:
        if caller not in self._shares:
            if len(self._shares) >= _CALLERS_MAX:
                idle = [name for name, share in self._shares.items() if not share.running]
                for name in idle[: _CALLERS_MAX // 2]:
                    del self._shares[name]
            self._shares[caller] = _Share(self._limits.key_requests_per_second, now_seconds)
        return self._shares[caller]
