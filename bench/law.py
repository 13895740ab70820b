"""The scalability law: throughput of one shard by the number of writers, fitted to measurements, with error bars.

Owns the formula, the fit and what follows from its uncertainty. Must not know where measurements come from, nor what
is planned by them.
"""

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.errors import BillingError

try:
    from scipy.optimize import OptimizeWarning, curve_fit
except ModuleNotFoundError as error:
    raise SystemExit("billing-bench: scipy is missing; pip install 'billing-engine[bench]'") from error

LEVELS_MIN: Final = 3  # the law has three coefficients
SAMPLES_MIN: Final = 4  # one more than coefficients: with fewer nothing is left to tell an error from
DRAWS: Final = 2_000  # of the coefficients: the ends of a 95 % interval are then known to a few per cent of its width
INTERVAL: Final = (0.025, 0.5, 0.975)
_SEED: Final = 1  # a plan is the same each time
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

    @cached_property
    def draws(self) -> Floats:
        """Return coefficients as uncertain as the fit left them: float64[DRAWS, 3], none below 0.

        Of Student's distribution in three dimensions: a normal one, wider the fewer samples there were.
        """
        generator = np.random.default_rng(_SEED)
        error = np.sqrt(np.diag(self.covariance))
        unit = np.where(error > 0, error, 1.0)  # as correlations: the coefficients differ by orders of magnitude
        normal = generator.multivariate_normal(np.zeros(3), self.covariance / np.outer(unit, unit), DRAWS, tol=1e-6)
        wide = np.sqrt(self.freedom / generator.chisquare(self.freedom, DRAWS))[:, np.newaxis]
        drawn = np.array([self.alpha, self.beta, self.gamma]) + normal * wide * error
        return np.asarray(np.maximum(drawn, [0.0, 0.0, np.finfo(float).tiny]))

    def capacities(self) -> Floats:
        """Return what one shard carries, in events a second, by each draw of the coefficients: float64[DRAWS].

        At the best number of writers, but no more of them than were measured: the law is not trusted beyond.
        """
        alpha, beta, gamma = self.draws.T
        return np.asarray(throughput(self.writers_used, alpha, beta, gamma))

    @property
    def writers_used(self) -> float:
        """Return the number of writers that a plan counts on: the best whole one, within what was measured."""
        peak = min(self.writers_best, self.writers_max)
        return max(float(np.floor(peak)), min(float(np.ceil(peak)), self.writers_max), key=self.throughput)

    def capacity(self) -> Estimate:
        """Return what one shard carries, in events a second."""
        return interval(self.capacities(), self.throughput(self.writers_used))


def throughput(writers: float | Floats, alpha: Any, beta: Any, gamma: Any) -> Any:  # noqa: ANN401 - numbers or arrays
    """Return the law's throughput; every argument may be a number or an array."""
    return gamma * writers / (1 + alpha * (writers - 1) + beta * writers * (writers - 1))


def best_writers(alpha: float, beta: float) -> float:
    """Return where the law has its peak; infinite when writers cost one another nothing."""
    return max(1.0, float(np.sqrt(max(0.0, 1 - alpha) / beta))) if beta > 0 else float("inf")


def interval(values: Floats, mid: float) -> Estimate:
    """Return the 95 % interval of draws around a value."""
    low, _, high = np.quantile(values, INTERVAL)
    return Estimate(min(float(low), mid), mid, max(float(high), mid))


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
