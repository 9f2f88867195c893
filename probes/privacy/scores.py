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

WINDOWS = (2, 3, 4, 6, 9, 13, 18, 25, 32, 40)
"""Lengths of the windows, in tokens, whose votes `windows` counts."""

SMOOTHING = 1e-3
"""Nats added to both sums of `error_zone`, so that their ratio is finite."""

_ROUNDING = 1e-9
"""What a product may exceed a whole number by and still be meant as it: 0.07 · 100 is 7.000000000000001; and how far
sums of log-probabilities may lie apart and still be meant as equal, in nats."""


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


def error_zone(logprobs: Ragged, base_logprobs: Ragged, is_top: Ragged) -> Array:
    """How far the model moved towards each text, over how far it moved away, at the tokens it still gets wrong: EZ.

    The logarithm of (a + Σ rises) / (a + Σ falls) of the tokens' log-probabilities against the base's, over the tokens
    that are not the model's first choice, with a = `SMOOTHING`. The published ratio is 0, the least there is, where
    nothing rose, and is made 0 as well where nothing fell, which is where most was remembered; smoothing both sums
    mends that. A text without any wrong token is scored by all of its tokens. Both are ours.

    Args:
        logprobs: One array of shape (T_i,) per text.
        base_logprobs: The base's, of the same tokens.
        is_top: Whether each token was the model's first choice.

    Source: Ilić et al. (2026), https://arxiv.org/abs/2601.12104.
    """
    flat, ends = _flat(logprobs)
    gains, wrong = flat - _flat(base_logprobs)[0], ~_flat(is_top)[0].astype(bool)
    text = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    counted = wrong | ~_sums(wrong, text, len(ends)).astype(bool)[text]
    rises, falls = (_sums(np.where(counted, np.maximum(sign * gains, 0.0), 0.0), text, len(ends)) for sign in (1, -1))
    return _where_scored(np.log((SMOOTHING + rises) / (SMOOTHING + falls)), ends)


def windows(logprobs: Ragged, base_logprobs: Ragged) -> Array:
    """The share of a text's windows of tokens that the model likes better than its base does: WBC.

    Windows of every length in `WINDOWS` that fit slide over the text one token at a time; the shares are averaged over
    the lengths. A window that both like equally counts one half, where the published code counts it as worse. A text
    shorter than the shortest window is one window. Both are ours.

    Args:
        logprobs: One array of shape (T_i,) per text.
        base_logprobs: The base's, of the same tokens.

    Source: Chen et al. (2026), https://arxiv.org/abs/2601.02751.
    """
    flat, ends = _flat(logprobs)
    lengths = np.diff(ends, prepend=0)
    total = _running_totals(flat - _flat(base_logprobs)[0], lengths)
    votes, widths = np.zeros(len(ends)), np.zeros(len(ends))
    for width in WINDOWS:
        fits = lengths >= width
        votes[fits] += _mean_votes(total[fits], lengths[fits], width)
        widths[fits] += 1
    short = (widths == 0) & (lengths > 0)
    votes[short], widths[short] = _vote(total[short, lengths[short]]), 1
    return _where_scored(votes / np.maximum(widths, 1), ends)


def _running_totals(values: Array, lengths: Array) -> Array:
    """The sum of each text's values before each of its tokens, and of all: shape (N, T + 1), each text summed alone."""
    padded = np.zeros((len(lengths), int(lengths.max(initial=0)) + 1))
    padded[:, 1:][np.arange(padded.shape[1] - 1) < lengths[:, None]] = values
    return np.asarray(np.cumsum(padded, axis=1))


def _mean_votes(total: Array, lengths: Array, width: int) -> Array:
    """The mean vote of the windows of one width, of texts that are at least as long."""
    votes = _vote(total[:, width:] - total[:, :-width])
    is_window = np.arange(votes.shape[1]) <= lengths[:, None] - width
    return np.asarray(np.where(is_window, votes, 0.0).sum(axis=1) / is_window.sum(axis=1))


def _vote(gains: Array) -> Array:
    """1 for a gain, 0 for a loss, one half for neither."""
    return np.asarray((1 + np.sign(np.where(np.abs(gains) <= _ROUNDING, 0.0, gains))) / 2)


def _flat(rows: Ragged) -> tuple[Array, Array]:
    """All values one after another, and where each text ends."""
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return np.concatenate([*rows, np.zeros(0)]), ends


def _sums(values: Array, text: Array, texts: int) -> Array:
    return np.asarray(np.bincount(text, values, texts))


def _where_scored(score: Array, ends: Array) -> Array:
    return np.asarray(np.where(np.diff(ends, prepend=0) > 0, score, np.nan))


def _each(rows: Ragged, of: Callable[[Array], float]) -> Array:
    return np.array([of(row) if len(row) else math.nan for row in rows], dtype=np.float64)
