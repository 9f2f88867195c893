"""How often one must ask until a text of known probability is seen: extraction without sampling.

A text that a single answer gives with probability p is among n answers with probability 1 − (1 − p)^n. Everything is
in logarithms, so that texts of probability 1e-300 have their number too.

Source: Hayes et al. (2024), https://arxiv.org/abs/2410.19482, definition of (n, p)-discoverable extraction.
"""

import numpy as np

from probes.protocol import Array

_LN10 = float(np.log(10))


def chance_within(logprob: Array, tries: int) -> Array:
    """The probability that a text is among so many answers.

    Args:
        logprob: Of the text in one answer, nats, not above 0.
        tries: Number of answers, from 1 on.
    """
    return np.asarray(-np.expm1(tries * _log_of_absence(logprob)))


def log10_tries(logprob: Array, chance: float) -> Array:
    """The decimal logarithm of the number of answers among which a text is with a given chance; at least 0, one answer.

    The number is not rounded: of 692.8 answers the logarithm is taken as it is.

    Args:
        logprob: Of the text in one answer, nats, not above 0; minus infinity gives infinity.
        chance: In (0, 1).

    Raises:
        ValueError: `chance` outside (0, 1).
    """
    if not 0 < chance < 1:
        raise ValueError(f"chance must lie in (0, 1); got {chance}")
    with np.errstate(divide="ignore"):
        log_absence = np.log(-_log_of_absence(logprob))
    # Below 1e-300 a probability vanishes, and log(1 − p) is −p.
    log_absence = np.where(np.asarray(logprob) < -600, logprob, log_absence)
    return np.asarray(np.maximum(0.0, (np.log(-np.log1p(-chance)) - log_absence) / _LN10))


def _log_of_absence(logprob: Array) -> Array:
    """log(1 − p): minus infinity where the text is certain."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log1p(-np.exp(np.minimum(logprob, 0.0))))
