"""The scalability law: throughput of one shard by the number of writers, fitted to measurements, with error bars.

Owns the formula, the fit and what follows from its uncertainty. Must not know where measurements come from, nor what
is planned by them.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.errors import BillingError

try:
    from scipy.optimize import OptimizeWarning, curve_fit
    from scipy.special import stdtrit
except ModuleNotFoundError as error:
    raise SystemExit("billing-bench: scipy is missing; pip install 'billing-engine[bench]'") from error

LEVELS_MIN: Final = 3  # the law has three coefficients
SAMPLES_MIN: Final = 4  # one more than coefficients: with fewer nothing is left to tell an error from
QUANTILE: Final = 0.975  # of both ends of a 95 % interval
LEAST: Final = 0.01  # of the middle: where samples say next to nothing, a shard still carries something
_EVALUATIONS_MAX: Final = 20_000

Floats = NDArray[np.float64]


class FitError(BillingError):
    """Measurements that no law can be fitted to. Reaction: the command stops and says what to measure."""

    exit_code = 2


@attrs.frozen
class Estimate:
    """A value with its 95 % interval: low <= mid <= high."""

    low: float
    mid: float
    high: float


@attrs.frozen(eq=False)
class Law:
    """Throughput of n writers: `X(n) = gamma n / (1 + alpha (n - 1) + beta n (n - 1))`.

    alpha: the share of work that is done one at a time (contention); beta: what writers cost one another (coherency);
    gamma: events a second of one writer; covariance: float64[3, 3] of (alpha, beta, gamma); freedom: samples less
    coefficients; writers_max: of the levels measured.

    Source: Gunther, "Guerrilla Capacity Planning" (2007), chapter 4, in the form with three coefficients of
    Gunther, "A General Theory of Computational Scalability Based on Rational Functions" (arXiv:0808.1431).
    """

    alpha: float
    beta: float
    gamma: float
    covariance: Floats
    freedom: int
    writers_max: float

    def throughput(self, writers: float) -> float:
        """Return the events a second of so many writers."""
        return float(throughput(writers, self.alpha, self.beta, self.gamma))

    @property
    def writers_best(self) -> float:
        """Return the number of writers at which throughput is highest: `sqrt((1 - alpha) / beta)`, at least 1."""
        return best_writers(self.alpha, self.beta)

    @property
    def writers_used(self) -> float:
        """Return the number of writers that a plan counts on: the best whole one, within what was measured."""
        peak = min(self.writers_best, self.writers_max)
        return max(float(np.floor(peak)), min(float(np.ceil(peak)), self.writers_max), key=self.throughput)

    def capacity(self) -> Estimate:
        """Return what one shard carries, in events a second, at `writers_used`."""
        return self.interval(self.writers_used)

    def interval(self, writers: float) -> Estimate:
        """Return the throughput of so many writers with its 95 % interval, no end below a hundredth of the middle.

        `X +- t sqrt(g' C g)`, g being the gradient by the coefficients and t the quantile of Student's distribution.
        Source: the delta method, as in Bates and Watts, "Nonlinear Regression Analysis" (1988), section 2.3.
        """
        lost = 1 + self.alpha * (writers - 1) + self.beta * writers * (writers - 1)
        mid = self.throughput(writers)
        gradient = np.array([-mid * (writers - 1), -mid * writers * (writers - 1), writers]) / lost
        variance = max(0.0, float(gradient @ self.covariance @ gradient))
        error = float(stdtrit(self.freedom, QUANTILE)) * variance**0.5
        return Estimate(max(mid - error, mid * LEAST), mid, mid + error)


def throughput(writers: float | Floats, alpha: Any, beta: Any, gamma: Any) -> Any:  # noqa: ANN401 - numbers or arrays
    """Return the law's throughput; every argument may be a number or an array."""
    return gamma * writers / (1 + alpha * (writers - 1) + beta * writers * (writers - 1))


def best_writers(alpha: float, beta: float) -> float:
    """Return where the law has its peak; infinite when writers cost one another nothing."""
    return max(1.0, float(np.sqrt(max(0.0, 1 - alpha) / beta))) if beta > 0 else float("inf")


def fit(writers: Sequence[float], events_per_second: Sequence[float]) -> Law:
    """Fit the law to samples by least squares, no coefficient below 0.

    Raises: FitError when there are fewer than LEVELS_MIN levels or SAMPLES_MIN samples, or they follow no law.
    """
    levels = sorted(set(writers))
    if len(levels) < LEVELS_MIN or len(writers) < SAMPLES_MIN:
        raise FitError(
            f"{len(writers)} samples at {len(levels)} numbers of writers say too little; "
            f"measure {LEVELS_MIN} numbers or more, and {SAMPLES_MIN} samples in all"
        )
    x, y = np.asarray(writers, dtype=np.float64), np.asarray(events_per_second, dtype=np.float64)
    scale = float(y.max())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            found, covariance = curve_fit(
                throughput,
                x,
                y / scale,
                p0=(0.1, 0.01, y[x == x.min()].mean() / scale / x.min()),
                bounds=([0, 0, 0], np.inf),
                x_scale=(0.1, 0.001, 1.0),
                max_nfev=_EVALUATIONS_MAX,
                ftol=1e-12,
                xtol=1e-12,
                gtol=1e-12,
            )
    except (RuntimeError, OptimizeWarning) as error:
        raise FitError("the samples follow no law of scalability; measure again, longer, on a quiet machine") from error
    unit = np.array([1.0, 1.0, scale])
    alpha, beta, gamma = (found * unit).tolist()
    return Law(alpha, beta, gamma, covariance * np.outer(unit, unit), len(x) - len(found), levels[-1])
