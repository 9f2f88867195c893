"""Whether confidence can be believed: expected calibration error, Brier score, reliability.

Confidence is the probability of the decided (top) label. Bins are of equal width and closed above: a confidence on an
edge belongs to the bin below, 0 to the first and 1 to the last.
"""

from dataclasses import dataclass

import numpy as np

from probes.protocol import Array
from probes.results import Null
from probes.stats.intervals import wilson_limits

BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """What a reliability diagram shows: one entry per bin that holds a row.

    Attributes:
        lower: Lower edge, shape (K,).
        upper: Upper edge, shape (K,).
        count: Rows in the bin.
        confidence: Mean confidence.
        accuracy: Share that is right.
        low: Lower end of the accuracy's Wilson interval.
        high: Upper end.
    """

    lower: Array
    upper: Array
    count: Array
    confidence: Array
    accuracy: Array
    low: Array
    high: Array


def expected_calibration_error(
    confidence: Array, is_right: Array, weights: Array | None = None, *, bins: int = BINS
) -> float | None:
    """Mean over rows of |accuracy − mean confidence| of the row's bin; None where nothing has weight.

    It is positive even for a perfectly calibrated model: see `perfectly_calibrated` for what to expect. It is never
    below |accuracy − mean confidence| of all rows.

    Args:
        confidence: Probability of the decided label, shape (N,), in [0, 1].
        is_right: Whether the decision is right, shape (N,).
        weights: Shape (N,), not negative; ones where None.
        bins: Number of bins of equal width.

    Raises:
        ValueError: A confidence outside [0, 1].

    Source: Guo et al. (2017), https://arxiv.org/abs/1706.04599, section 2.
    """
    weights = np.ones(len(confidence)) if weights is None else weights
    total = weights.sum()
    if total <= 0:
        return None
    gap = np.bincount(_bin(confidence, bins), weights * (is_right - confidence), bins)
    return float(np.abs(gap).sum() / total)


def perfectly_calibrated(
    confidence: Array, observed: float, *, rng: np.random.Generator, bins: int = BINS, draws: int = 1000
) -> Null:
    """The calibration error these confidences would show if each came true as often as it says.

    Args:
        confidence: Probability of the decided label, shape (N,), in [0, 1].
        observed: The calibration error found, to be compared.
        rng: The randomness of the simulated outcomes.
        bins: Number of bins of equal width.
        draws: Number of simulated outcomes.

    Returns:
        The mean error over the draws, and the share of draws with an error as large as the one observed.
    """
    of_bin = _bin(confidence, bins)
    errors = np.empty(draws)
    for draw in range(draws):
        is_right = rng.random(len(confidence)) < confidence
        errors[draw] = np.abs(np.bincount(of_bin, is_right - confidence, bins)).sum() / len(confidence)
    p = (1 + np.count_nonzero(errors >= observed - 1e-12)) / (1 + draws)
    return Null(value=float(errors.mean()), p=p, meaning=f"perfect calibration of {len(confidence):,} rows, on average")


def squared_errors(probabilities: Array, labels: Array) -> Array:
    """Squared error of each row's probabilities, shape (N,): its mean is the Brier score.

    For two classes that of the positive class, in [0, 1]; for more the sum over classes, in [0, 2]. The mean is
    `sklearn.metrics.brier_score_loss` with its defaults.

    Args:
        probabilities: Shape (N, C).
        labels: True classes, shape (N,).

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability", equation 2.
    """
    of_row = (probabilities**2).sum(axis=1) + 1 - 2 * probabilities[np.arange(len(labels)), labels]
    return np.asarray(of_row / (2 if probabilities.shape[1] == 2 else 1))


def reliability(confidence: Array, is_right: Array, *, bins: int = BINS, level: float = 0.95) -> Reliability:
    """The bins of a reliability diagram; empty ones are left out.

    Arguments as for `expected_calibration_error`.
    """
    of_bin = _bin(confidence, bins)
    count = np.bincount(of_bin, minlength=bins)
    right = np.bincount(of_bin, is_right, bins)
    held = np.flatnonzero(count)
    edges = np.linspace(0, 1, bins + 1)
    accuracy = right[held] / count[held]
    low, high = wilson_limits(accuracy, count[held], level=level)
    return Reliability(
        lower=edges[held],
        upper=edges[held + 1],
        count=count[held],
        confidence=np.bincount(of_bin, confidence, bins)[held] / count[held],
        accuracy=accuracy,
        low=low,
        high=high,
    )


def _bin(confidence: Array, bins: int) -> Array:
    if len(confidence) and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise ValueError(f"confidence must lie in [0, 1]; got {confidence.min()} to {confidence.max()}")
    return np.maximum(np.searchsorted(np.linspace(0, 1, bins + 1), confidence, side="left") - 1, 0)
