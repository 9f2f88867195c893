"""Exposure: how many bits of searching a model saves whoever looks for a secret it was trained on.

A secret ranks among references of the same format that were drawn from the space of secrets and never trained on.
"""

import numpy as np

from probes.protocol import Array
from probes.stats.skew_normal import SkewNormal

BEYOND_RANKS = 10.0
"""Bits beyond the largest rank exposure up to which a fitted distribution is read: it was not fitted to such tails."""

UNSEEN_BITS = float(1 / np.log(2))
"""Mean extrapolated exposure of a secret the model has never seen: −log2 of a uniform variable."""


def exposure_bits(log_perplexities: Array, references: Array) -> Array:
    """Rank exposure of each secret, in bits: log2 |R| − log2 rank, rank 1 for the secret the model likes best.

    The rank is 1 + the number of references with a lower perplexity + one half for each that ties, so that a model
    that likes all alike ranks the secret in the middle. With |R| references exposure lies between
    −log2((|R| + 1) / |R|) and log2 |R|, so that the largest says no more than "at least".

    Args:
        log_perplexities: Of the secrets, shape (K,), any base; lower is better liked.
        references: Of the references, shape (R,) for all secrets, or (K, R) for each its own.

    Returns:
        Shape (K,).

    Raises:
        ValueError: No reference, or a value that is NaN.

    Source: Carlini et al. (2019), https://arxiv.org/abs/1802.08232; the rule for ties is ours.
    """
    secrets, references = np.asarray(log_perplexities, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if references.shape[-1] == 0:
        raise ValueError("exposure needs at least one reference")
    if np.isnan(secrets).any() or np.isnan(references).any():
        raise ValueError("perplexities must not be NaN; leave out the secrets that have none and count them")
    if references.ndim == 1:
        ordered = np.sort(references)
        lower, up_to = (np.searchsorted(ordered, secrets, side=side) for side in ("left", "right"))
    else:
        lower, up_to = (references < secrets[:, None]).sum(axis=1), (references <= secrets[:, None]).sum(axis=1)
    return np.asarray(np.log2(references.shape[-1]) - np.log2(1 + (lower + up_to) / 2))


def exposure_ceiling(references: int) -> float:
    """The largest exposure that this many references can show, in bits.

    Raises:
        ValueError: No reference.
    """
    if references < 1:
        raise ValueError(f"exposure needs at least one reference; got {references}")
    return float(np.log2(references))


def expected_exposure(references: int) -> float:
    """The mean exposure of a secret the model has never seen, in bits: every rank is equally likely.

    Raises:
        ValueError: No reference.
    """
    return exposure_ceiling(references) - float(np.log2(np.arange(1, references + 2)).mean())


def extrapolated_bits(log_perplexities: Array, references: SkewNormal) -> Array:
    """Exposure of each secret as −log2 of the share of the space of secrets that the model likes better.

    The share is read from a distribution fitted to the references' log-perplexities, so that it can be smaller than one
    reference in all. Beyond `extrapolation_limit` it must not be believed.

    Args:
        log_perplexities: Of the secrets, shape (K,), in the unit of the references.
        references: The fitted distribution.

    Returns:
        Shape (K,), not negative.

    Source: Carlini et al. (2019), https://arxiv.org/abs/1802.08232, section 4.3.
    """
    return np.asarray(-references.log_cdf(log_perplexities) / np.log(2))


def extrapolation_limit(references: int) -> float:
    """The largest exposure that a distribution fitted to so many references is read at, in bits: ten beyond the ranks.

    Raises:
        ValueError: No reference.
    """
    return exposure_ceiling(references) + BEYOND_RANKS
