"""Attack scores that set a model against reference models: pure functions of their answers, larger says "member".

A reference model is trained as the target was, on data that the attacker chose: of each record it is known which of
the references were trained on it. References of a record are "inside" where they were and "outside" where they were
not. A record without the references that a score needs has none, which is NaN.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import logsumexp

from probes.privacy.scores import Ragged
from probes.protocol import Array

FEWEST_FOR_OWN_VARIANCE = 64
"""References below which the spread of a record's scores is taken from all records together."""

_LEAST_SPREAD = 1e-9
"""Standard deviation that references which all say the same are taken to have."""

Variance = Literal["own", "pooled"]


def logit_confidence(logprob: Array) -> Array:
    """log(p / (1 − p)) of probabilities given as logarithms: scores of this form are roughly normal over trainings.

    A text's is made of its mean log-probability, so that p is the geometric mean over its tokens.

    Args:
        logprob: Nats, not above 0; exactly 0 gives infinity.

    Source: Carlini et al. (2022), https://arxiv.org/abs/2112.03570, equation 3.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(logprob - np.log(-np.expm1(logprob)))


def lira_online(score: Array, references: Array, is_inside: Array, variance: Variance | None = None) -> Array:
    """The log-likelihood ratio of each record's score between normals fitted to its references inside and outside.

    Args:
        score: The target's scores, shape (N,), best on the scale of `logit_confidence`.
        references: The references' scores of the same records, shape (N, K).
        is_inside: Which references were trained on which record, shape (N, K).
        variance: "own" for each record's own spread, "pooled" for one spread inside and one outside, of all records
            about their own means; where silent, own from `FEWEST_FOR_OWN_VARIANCE` references on.

    Source: Carlini et al. (2022), https://arxiv.org/abs/2112.03570, algorithm 1 and section VI.C.
    """
    inside, outside = (_normal(references, chosen, variance) for chosen in (is_inside, ~is_inside))
    return np.asarray(_log_density(score, *inside) - _log_density(score, *outside))


def lira_offline(score: Array, references: Array, is_inside: Array, variance: Variance | None = None) -> Array:
    """How many standard deviations each record's score lies above what references outside give it.

    The paper ranks by the probability of a lower score; its argument ranks the same and never saturates.

    Args: as `lira_online`; references inside are not looked at.

    Source: Carlini et al. (2022), https://arxiv.org/abs/2112.03570, equation 4.
    """
    mean, spread = _normal(references, ~is_inside, variance)
    return np.asarray((score - mean) / spread)


def rmia_offline(
    probability: Array, outside: Array, population: Array, population_outside: Array, *, scale: float, gamma: float = 1
) -> Array:
    """The share of a population whose likelihood ratio each record's exceeds by the factor gamma.

    A record's ratio is its probability under the target over that under references that may or may not have been
    trained on it; the latter is taken from those outside alone, ½ ((1 + a) p + 1 − a), a being `scale`.

    Args:
        probability: Under the target, shape (N,), in (0, 1); of a text the geometric mean over its tokens.
        outside: Mean probability under references outside, shape (N,).
        population: The target's probabilities of records that it was not trained on, shape (Z,).
        population_outside: Mean probability of these under references outside, shape (Z,).
        scale: a, in [0, 1]: from 0 (a reference inside gives probability 1) to 1 (it gives what those outside do).
        gamma: The factor, from 1 on.

    Source: Zarifzadeh et al. (2024), https://arxiv.org/abs/2312.03262, equations 2 and 10.
    """
    ratios = probability / _marginal(outside, scale)
    others = np.sort(population / _marginal(population_outside, scale))
    found = np.searchsorted(others, ratios / gamma, side="right") / max(1, len(others))
    return np.asarray(np.where(np.isnan(ratios) | (len(others) == 0), np.nan, found))


def log_ratio(logprob: Array, references: Array, chosen: Array | None = None) -> Array:
    """The log of each record's probability over its mean probability under references.

    Args:
        logprob: Under the target, nats, shape (N,).
        references: Under the references, nats, shape (N, K).
        chosen: Which of them count for which record, shape (N, K); all where silent. NaN where none does.
    """
    counts = np.ones(references.shape, dtype=bool) if chosen is None else chosen
    has_any = counts.any(axis=1)
    found = np.full(len(logprob), np.nan)
    total = logsumexp(references[has_any], axis=1, b=counts[has_any])
    found[has_any] = logprob[has_any] - (total - np.log(counts[has_any].sum(axis=1)))
    return found


def token_log_ratio(logprobs: Ragged, references: Sequence[Ragged], chosen: Array) -> Array:
    """The mean over each text's tokens of their `log_ratio`.

    Args:
        logprobs: Of the tokens under the target, one array of shape (T_i,) per text.
        references: The same under each of K references.
        chosen: Which of them count for which text, shape (N, K).
    """
    found = np.full(len(logprobs), np.nan)
    for i, row in enumerate(logprobs):
        ours = [reference[i] for reference, counts in zip(references, chosen[i], strict=True) if counts]
        if len(row) and ours:
            found[i] = log_ratio(row, np.stack(ours, axis=1)).mean()
    return found


def info_rmia(ratios: Array, population: Array) -> Array:
    """How much more each record gained, in nats, than a population that the target was not trained on.

    The population's mean is one number for all records: it moves no ranking, but makes 0 what a stranger gains, so
    that scores compare between targets. Unlike `rmia_offline` it is not counted in steps.

    Args:
        ratios: `log_ratio` or `token_log_ratio` of the records, shape (N,).
        population: The same of the population, shape (Z,).

    Source: Tao and Shokri (2025), https://arxiv.org/abs/2510.05582, InfoRMIA, on the level of tokens for texts.
    """
    told = population[~np.isnan(population)]
    return np.asarray(ratios - told.mean()) if len(told) else np.full(len(ratios), np.nan)


def mean_of(references: Array, chosen: Array) -> Array:
    """The mean over the chosen references of each record, shape (N,); NaN where none is chosen."""
    counts = chosen.sum(axis=1)
    total = np.where(chosen, references, 0.0).sum(axis=1)
    return np.asarray(total / np.where(counts > 0, counts, np.nan))


def _normal(references: Array, chosen: Array, variance: Variance | None) -> tuple[Array, Array]:
    """Mean and spread of the chosen references of each record, both (N,); the spread is that of the population."""
    mean = mean_of(references, chosen)
    squares = np.where(chosen, (references - np.nan_to_num(mean)[:, None]) ** 2, 0.0)
    if variance is None:
        variance = "own" if references.shape[1] >= FEWEST_FOR_OWN_VARIANCE else "pooled"
    if variance == "own":
        spread = np.sqrt(mean_of(squares, chosen))
    else:
        spread = np.full(len(mean), np.sqrt(squares.sum() / max(1, chosen.sum())))
    return mean, np.maximum(spread, _LEAST_SPREAD)


def _log_density(score: Array, mean: Array, spread: Array) -> Array:
    """Of a normal, up to a constant that all share."""
    return np.asarray(-((score - mean) ** 2) / (2 * spread**2) - np.log(spread))


def _marginal(outside: Array, scale: float) -> Array:
    if not 0 <= scale <= 1:
        raise ValueError(f"scale must lie in [0, 1]; got {scale}")
    return np.asarray(((1 + scale) * outside + 1 - scale) / 2)
