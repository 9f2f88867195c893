"""Guessing games played out: the best of all mechanisms by linear programming, and mechanisms that are simulated."""

from itertools import combinations, product

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array
from scipy.special import expit, ndtri


def most_right_guesses(m: int, r: int, v: int, claim: list[tuple[float, float]]) -> float:
    """The largest P[at least v of r guesses are right] of any mechanism that keeps all (epsilon, delta) of a claim.

    A mechanism answers m coins with r guesses directly: any rule that reads its output can be made a part of it. For
    each pair of neighbouring coins and each (epsilon, delta) the excesses p(y | x) − e^ε p(y | x') above 0 sum to at
    most delta.
    """
    inputs = list(product((0, 1), repeat=m))
    outputs = [(who, what) for who in combinations(range(m), r) for what in product((0, 1), repeat=r)]
    place = {(x, y): i * len(outputs) + j for i, x in enumerate(inputs) for j, y in enumerate(outputs)}
    pairs = [(x, (*x[:k], 1 - x[k], *x[k + 1 :])) for x in inputs for k in range(m)]
    excess = len(place)
    entries: list[tuple[int, int, float]] = []
    limits: list[float] = []
    for epsilon, delta in claim:
        for x, neighbour in pairs:
            for y in outputs:
                row = [(place[x, y], 1.0), (place[neighbour, y], -np.exp(epsilon)), (excess, -1.0)]
                entries += [(len(limits), column, value) for column, value in row]
                limits.append(0.0)
                excess += 1
            entries += [(len(limits), excess - 1 - k, 1.0) for k in range(len(outputs))]
            limits.append(delta)
    sums = [(i, place[x, y], 1.0) for i, x in enumerate(inputs) for y in outputs]
    gain = np.zeros(excess)
    for (x, (who, what)), at in place.items():
        gain[at] = -(sum(x[k] == guess for k, guess in zip(who, what, strict=True)) >= v) / len(inputs)
    solved = linprog(
        gain,
        A_ub=_matrix(entries, (len(limits), excess)),
        b_ub=limits,
        A_eq=_matrix(sums, (len(inputs), excess)),
        b_eq=np.ones(len(inputs)),
        method="highs",
    )
    return float(-solved.fun)


def _matrix(entries, shape):
    rows, columns, values = zip(*entries, strict=True)
    return coo_array((values, (rows, columns)), shape=shape).tocsr()


def threshold_counts(shift: float, n: int = 10_000) -> list[tuple[int, int]]:
    """Right guesses and guesses of "in" at each corner of the ROC curve's concave hull, accusing nobody included.

    n canaries were left out and n planted, their scores the quantiles of normal distributions that lie `shift` apart.
    """
    left_out = ndtri((np.arange(n) + 0.5) / n)
    return hull_counts(left_out + shift, left_out)


def hull_counts(planted: np.ndarray, left_out: np.ndarray) -> list[tuple[int, int]]:
    """The same of any scores, most accused first."""
    thresholds = np.append(np.union1d(planted, left_out), np.inf)
    missed, cleared = (np.searchsorted(scores, thresholds) for scores in (planted, left_out))
    kept: list[int] = []
    for i in range(len(thresholds)):
        while len(kept) > 1 and _is_below(missed, cleared, kept[-2], kept[-1], i):
            kept.pop()
        kept.append(i)
    right, wrong = len(planted) - missed, len(left_out) - cleared
    return [(int(right[i]), int(right[i] + wrong[i])) for i in kept]


def _is_below(x, y, a, b, c) -> bool:
    return (y[b] - y[a]) * (x[c] - x[b]) <= (y[c] - y[b]) * (x[b] - x[a])


def right_of_gaussian(mu: float, m: int, r: int, audits: int, rng: np.random.Generator) -> np.ndarray:
    """Right guesses of each audit, where each canary's score is the coin behind a mu-Gaussian channel of its own."""
    coins = rng.random((audits, m)) < 0.5
    return _right(rng.normal(size=(audits, m)) + mu * coins, coins, r)


def right_of_shared_leak(mu: float, m: int, r: int, audits: int, rng: np.random.Generator) -> np.ndarray:
    """The same of a mechanism that is exactly mu-Gaussian for each canary, but draws one strength of leak for all.

    The outcome x ~ N(±mu/2, 1) says |x| first, which knows nothing of the coin, and then the coin with odds
    e^(mu |x|). Here |x| is drawn once for all canaries.
    """
    coins = rng.random((audits, m)) < 0.5
    strength = np.abs(rng.normal(mu / 2, 1, size=(audits, 1)))
    is_told = rng.random((audits, m)) < expit(mu * strength)
    return _right(np.where(coins == is_told, 1.0, -1.0) + 1e-9 * rng.random((audits, m)), coins, r)


def _right(scores, coins, r):
    order = np.argsort(scores, axis=1)
    half, m = r // 2, scores.shape[1]
    sure_out, sure_in = (np.take_along_axis(coins, order[:, s], axis=1) for s in (slice(half), slice(m - half, m)))
    return (~sure_out).sum(axis=1) + sure_in.sum(axis=1)
