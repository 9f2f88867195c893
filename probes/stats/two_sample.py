"""Epsilon from an attack's two error rates: for canaries of many runs, which are independent of each other.

A fixed rule accuses TP of the canaries that were planted and FP of those that were left out. Whatever is
(epsilon, delta)-private keeps the true rates (FNR, FPR) within

    FPR ≥ max(0, 1 − δ − e^ε FNR, e^−ε (1 − δ − FNR))   and the same with 1 − FNR and 1 − FPR in their places.

The canaries of one training share its model, so their rates vary more together than these intervals know.

Sources: Kairouz, Oh and Viswanath (2015), https://arxiv.org/abs/1311.0776, theorem 2.1 (the region); Jagielski, Ullman
and Oprea (2020), https://arxiv.org/abs/2006.07709, and Nasr et al. (2021), https://arxiv.org/abs/2101.04535 (limits of
the two rates); Zanella-Béguelin et al. (2023), https://arxiv.org/abs/2206.05199, section 4 (their joint posterior).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import betainc, betaincinv, betaln

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Value
from probes.stats.intervals import lower_limit, upper_limit

_UNIT = "canary"
_NONE = NotMeasured(reason="there are no canaries that were planted, or none that were left out, to compare")

_PANELS, _NODES = 48, 24
"""Panels of the quadrature over one rate's posterior, and Gauss–Legendre nodes in each."""

_TAIL = 1e-14
"""Posterior mass that is left out at either end."""

_LARGEST = 60.0
"""An epsilon beyond which nothing is told apart."""


@dataclass(frozen=True, kw_only=True)
class Accusations:
    """Whom a rule that was fixed beforehand accuses.

    Attributes:
        true_positives: Accused canaries that were planted.
        planted: All that were planted.
        false_positives: Accused canaries that were left out.
        left_out: All that were left out.

    Raises:
        ValueError: More are accused than there are, or a number is negative.
    """

    true_positives: int
    planted: int
    false_positives: int
    left_out: int

    def __post_init__(self) -> None:
        if not (0 <= self.true_positives <= self.planted and 0 <= self.false_positives <= self.left_out):
            raise ValueError(f"no more can be accused than there are, and no fewer than none; got {self}")

    def __add__(self, other: "Accusations") -> "Accusations":
        """Those of two runs together."""
        return Accusations(
            true_positives=self.true_positives + other.true_positives,
            planted=self.planted + other.planted,
            false_positives=self.false_positives + other.false_positives,
            left_out=self.left_out + other.left_out,
        )


def clopper_pearson_epsilon(accusations: Accusations, *, delta: float, level: float = 0.95) -> Value:
    """Lower bound on epsilon from one-sided limits of the two rates, at half of the error each.

    ε ≥ log((TPR − δ) / FPR) and log((TNR − δ) / FNR), for an attack whose direction was chosen too: both ratios use
    the same two limits, so neither costs anything more.

    Returns:
        The bound as value and lower end, 0 where the rates refute nothing; NotMeasured without planted canaries or
        without any that were left out.
    """
    if not accusations.planted or not accusations.left_out:
        return _NONE
    one_sided = (1 + level) / 2
    tpr = lower_limit(accusations.true_positives, accusations.planted, level=one_sided)
    fpr = upper_limit(accusations.false_positives, accusations.left_out, level=one_sided)
    epsilon = max(0.0, *(_log_ratio(hits - delta, misses) for hits, misses in ((tpr, fpr), (1 - fpr, 1 - tpr))))
    return Estimate(
        value=epsilon,
        low=epsilon,
        high=None,
        level=level,
        n=accusations.planted + accusations.left_out,
        unit_of_n=_UNIT,
        method="Clopper–Pearson limits of both rates, canaries taken for independent",
    )


def joint_beta_epsilon(accusations: Accusations, *, delta: float, level: float = 0.95) -> Value:
    """The smallest epsilon whose region holds the true rates, with its credible interval.

    Each rate has Jeffreys' posterior, FNR ~ Beta(½ + FN, ½ + TP) and FPR ~ Beta(½ + FP, ½ + TN). The ends are the
    epsilons whose regions have a probability of (1 − level) / 2 and (1 + level) / 2, the value that of one half. The
    probability is one integral over FNR = sin² θ, in which every such posterior is smooth: exact to many digits in a
    fraction of a second.

    Returns:
        The median with the interval, which is Bayesian: it holds on average over the prior. It is no test: rates are
        never exactly equal, so it lies above 0 even where nothing leaks. NotMeasured as above.
    """
    if not accusations.planted or not accusations.left_out:
        return _NONE
    low, value, high = (_quantile(accusations, delta, share) for share in ((1 - level) / 2, 0.5, (1 + level) / 2))
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        n=accusations.planted + accusations.left_out,
        unit_of_n=_UNIT,
        method="joint posterior of both rates (Beta), canaries taken for independent",
    )


def probability_private(accusations: Accusations, epsilon: float, delta: float) -> float:
    """Posterior probability that the true rates are such as (epsilon, delta)-privacy allows."""
    a, b = 0.5 + accusations.planted - accusations.true_positives, 0.5 + accusations.true_positives
    c, d = 0.5 + accusations.false_positives, 0.5 + accusations.left_out - accusations.false_positives
    theta, weights = _nodes(a, b, c, d, epsilon, delta)
    fnr = np.sin(theta) ** 2
    least = np.clip(_least(fnr, epsilon, delta), 0.0, 1.0)
    most = np.clip(1 - _least(1 - fnr, epsilon, delta), 0.0, 1.0)
    density = 2 * np.exp((2 * a - 1) * np.log(np.sin(theta)) + (2 * b - 1) * np.log(np.cos(theta)) - betaln(a, b))
    return float(weights @ (density * (betainc(c, d, most) - betainc(c, d, least))))


def _least(fnr: Array, epsilon: float, delta: float) -> Array:
    """The least FPR that goes with an FNR; below 0 where any does."""
    return np.maximum(1 - delta - math.exp(epsilon) * fnr, math.exp(-epsilon) * (1 - delta - fnr))


def _nodes(a: float, b: float, c: float, d: float, epsilon: float, delta: float) -> tuple[Array, Array]:
    """Angles and weights; panels end where the region has corners and where the other rate's posterior is met.

    At a large epsilon the region's steep sides cross the whole posterior of the other rate within a tiny part of this
    one's, so panels are made of the other's quantiles too.
    """
    lowest, highest = float(betaincinv(a, b, _TAIL)), float(betaincinv(a, b, 1 - _TAIL))
    other = betaincinv(c, d, np.concatenate([[_TAIL], np.linspace(0, 1, 9)[1:-1], [1 - _TAIL]]))
    growth, corner = math.exp(epsilon), (1 - delta) / (1 + math.exp(epsilon))

    def met(rates: Array) -> Array:
        """The FNRs whose least FPR is one of these rates."""
        return np.concatenate([(1 - delta - rates) / growth, 1 - delta - growth * rates])

    corners = [corner, 1 - corner, 1 - delta, delta]
    at = np.concatenate([np.linspace(lowest, highest, _PANELS + 1), corners, met(other), 1 - met(1 - other)])
    edges = np.unique(np.arcsin(np.sqrt(np.clip(at, lowest, highest))))
    nodes, weights = leggauss(_NODES)
    half = np.diff(edges)[:, None] / 2  # (panels, 1)
    theta = edges[:-1, None] + half * (nodes + 1)
    return theta.ravel(), (half * weights).ravel()


def _quantile(accusations: Accusations, delta: float, share: float) -> float:
    """The epsilon whose region has a posterior probability of `share`; 0 where that of 0 has more."""
    from scipy.optimize import brentq

    def excess(epsilon: float) -> float:
        return probability_private(accusations, epsilon, delta) - share

    if excess(0.0) >= 0:
        return 0.0
    above = 1.0
    while excess(above) < 0:
        above *= 2
        if above > _LARGEST:
            return _LARGEST
    return float(brentq(excess, 0.0, above, xtol=1e-9))


def _log_ratio(hits: float, misses: float) -> float:
    return math.log(hits / misses) if hits > 0 and misses > 0 else -math.inf
