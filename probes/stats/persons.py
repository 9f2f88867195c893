"""Whose presence shows: one p-value per unit of the coins, over several attacks, with false discoveries controlled.

The null of a member: its coin has nothing to do with its scores, which are then as if drawn like those of the units
that were left out. The p-value is the place of a member's score among those left out; it is exact however many scores
were made one of, as long as that was done blind to the coins.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from probes.protocol import Array
from probes.stats.codes import codes
from probes.stats.multiplicity import benjamini_hochberg


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What was found of each unit, arrays of shape (U,).

    Attributes:
        score: The score of all attacks together.
        p_value: Of members, NaN for those left out.
        q_value: The least rate of false discoveries at which the unit would be found; NaN for those left out.
        is_found: Whether it is.
    """

    score: Array
    p_value: Array
    q_value: Array
    is_found: Array


def joint_score(attacks: Mapping[str, Array], unit: Array) -> tuple[Array, Array]:
    """The units, and one score of each over all of its rows and all attacks.

    By attack the mean over the unit's rows, ranked among all units, the rank turned into a normal score (van der
    Waerden's, ties at their mean rank); then the mean over the attacks. So no attack counts for more than another
    because its scores are larger. Nothing here knows of the coins.

    Args:
        attacks: Scores of rows by attack, shape (N,), NaN where a row has none; higher says "member".
        unit: The unit of each row, shape (N,).

    Returns:
        Names of units, ascending, shape (U,); scores, shape (U,), NaN where no attack has one.
    """
    from scipy.stats import rankdata  # a second of import time, which reading this module should not cost

    of = codes(unit)
    total, counted = np.zeros(len(of.values)), np.zeros(len(of.values))
    for score in attacks.values():
        told = ~np.isnan(score)
        rows = np.bincount(of.index[told], minlength=len(of.values))
        mean = np.bincount(of.index[told], score[told], len(of.values)) / np.where(rows > 0, rows, np.nan)
        known = rows > 0
        total[known] += ndtri((rankdata(mean[known]) - 0.5) / known.sum())
        counted[known] += 1
    return of.values, total / np.where(counted > 0, counted, np.nan)


def find(score: Array, is_member: Array, *, fdr: float) -> Found:
    """The members whose presence shows, with a bound on the expected share of them that is found by chance.

    A member's p-value is (1 + left out with a score at least as high) / (1 + left out). These are dependent, since all
    are set against the same units, but positively, on each of the null ones; so Benjamini and Hochberg's rule holds as
    it stands, and Benjamini and Yekutieli's stricter one is not needed. One training cannot tell a text that is
    remembered from one that scores high in any model: the bound is on the share of members found whose score is no
    higher than their coin left out would have given, over the draw of the coins.

    Args:
        score: Shape (U,); units without a score (NaN) are neither found nor compared with.
        is_member: Shape (U,), boolean.
        fdr: The expected share of false discoveries among those found, in (0, 1).

    Source: Bates, Candès, Lei, Romano and Sesia (2023), "Testing for outliers with conformal p-values", section 2
    (positive dependence); Marandon, Lei, Mary and Roquain (2024), "Adaptive novelty detection with false discovery
    rate guarantee", section 3 (scores that were made of all units alike).
    """
    told = ~np.isnan(score)
    left_out = np.sort(score[told & ~is_member])
    p_value, q_value = np.full(len(score), np.nan), np.full(len(score), np.nan)
    is_found = np.zeros(len(score), dtype=bool)
    tested = told & is_member
    above = len(left_out) - np.searchsorted(left_out, score[tested], side="left")
    p_value[tested] = (1 + above) / (1 + len(left_out))
    corrected = benjamini_hochberg(p_value[tested], alpha=fdr)
    q_value[tested], is_found[tested] = corrected.p_adjusted, corrected.significant
    return Found(score=score, p_value=p_value, q_value=q_value, is_found=is_found)
