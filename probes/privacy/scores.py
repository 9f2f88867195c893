"""Attack scores: pure functions of a model's answers, oriented so that larger says "member".

All are in nats, in ratios of nats, or in standard deviations. They are computed from tables that were measured once;
adding an attack is adding a function here and a line in `probes.privacy.membership.attack_scores`. A text without
scored tokens has no score, which is NaN.
"""

import math
from collections.abc import Callable

import numpy as np

from probes.protocol import Array

Ragged = Array
"""One array of shape (T_i,) per text, in an object array of shape (N,)."""

_ROUNDING = 1e-9
"""What a product may exceed a whole number by and still be meant as it: 0.07 · 100 is 7.000000000000001."""


def class_loss(logits: Array, labels: Array) -> Array:
    """Minus the cross entropy of each example's own class.

    It is taken from the own logit's lead over all others together, so that it still ranks the examples of which a
    model is surer than a probability in double precision can say.

    Args:
        logits: Shape (N, C), nats up to a constant per row.
        labels: Class indices, shape (N,).

    Source: Yeom et al. (2018), https://arxiv.org/abs/1709.01604, section 3.2.
    """
    others = np.array(logits, dtype=np.float64)
    rows = np.arange(len(labels))
    own = others[rows, labels]
    others[rows, labels] = -np.inf
    return np.asarray(-np.logaddexp(0.0, np.logaddexp.reduce(others, axis=1) - own))


def mean_logprob(logprobs: Ragged) -> Array:
    """Minus the mean loss of each text: the mean log-probability of its scored tokens.

    Source: Yeom et al. (2018), https://arxiv.org/abs/1709.01604, section 3.2, with the loss of a language model.
    """
    return _each(logprobs, np.mean)


def sum_logprob(logprobs: Ragged) -> Array:
    """The log-probability of each text: the sum over its scored tokens."""
    return _each(logprobs, np.sum)


def reference(score: Array, base_score: Array) -> Array:
    """How much better the model likes each row than the untouched base does, both by minus the same loss.

    Source: Carlini et al. (2021), https://arxiv.org/abs/2012.07805, section 5.2; Mireshghallah et al. (2022),
    https://arxiv.org/abs/2203.03929, section 3.
    """
    return np.asarray(score - base_score)


def zlib_ratio(logprobs: Ragged, zlib_bytes: Array) -> Array:
    """The log-probability of each text over its length in bytes when compressed by zlib.

    Carlini et al. divide the log-perplexity by that length; the sum is the version that does not depend on how
    finely the tokenizer cuts. The length is that of the whole text, also where the model saw a part of it only.

    Source: Carlini et al. (2021), https://arxiv.org/abs/2012.07805, section 5.2.
    """
    return np.asarray(sum_logprob(logprobs) / zlib_bytes)


def smallest_share(values: Array, share: float) -> Array:
    """The ceil(share · n) smallest values, at least one of them."""
    return np.sort(values)[: max(1, math.ceil(share * len(values) - _ROUNDING))]


def min_k(logprobs: Ragged, share: float) -> Array:
    """Mean of the smallest log-probabilities of each text.

    Args:
        logprobs: One array of shape (T_i,) per text.
        share: The share of tokens that counts, in (0, 1].

    Source: Shi et al. (2024), https://arxiv.org/abs/2310.16789, equation 1.
    """
    return _each(logprobs, lambda row: smallest_share(row, share).mean())


def min_k_plus_plus(logprobs: Ragged, means: Ragged, deviations: Ragged, share: float) -> Array:
    """Mean of the smallest standardized log-probabilities of each text.

    Each token's log-probability is set against the mean and standard deviation of the log-probability under the
    predicted distribution. A token whose distribution is uniform has no deviation; it is left out, and a text without
    any other token has no score.

    Source: Zhang et al. (2025), https://arxiv.org/abs/2404.02936, equation 3.
    """
    z = np.empty(len(logprobs), dtype=object)
    for i, (logprob, mean, deviation) in enumerate(zip(logprobs, means, deviations, strict=True)):
        spread = np.asarray(deviation, dtype=np.float64)
        told = spread > 0
        z[i] = (logprob[told] - np.asarray(mean, dtype=np.float64)[told]) / spread[told]
    return min_k(z, share)


def _each(rows: Ragged, of: Callable[[Array], float]) -> Array:
    return np.array([of(row) if len(row) else math.nan for row in rows], dtype=np.float64)
