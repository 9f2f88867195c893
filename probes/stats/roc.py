"""How well scores tell members from non-members: AUC, true positive rates at low false positive rates, the curve.

Higher scores say "member"; a threshold accuses every score at or above it. Equal scores are accused together, so ties
are never broken. Swapping members and non-members gives 1 − AUC.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Null, Value
from probes.stats.codes import Codes, codes
from probes.stats.intervals import clopper_pearson
from probes.stats.power import detectable_from_standard_error

FEWEST_PER_CLASS = 10


@dataclass(frozen=True, eq=False)
class Curve:
    """Operating points of an attack, from accusing nobody to accusing everybody.

    Attributes:
        false_positive_rate: Shape (K,), ascending.
        true_positive_rate: Shape (K,), ascending.
    """

    false_positive_rate: Array
    true_positive_rate: Array


def auc(
    scores: Array,
    is_member: Array,
    *,
    cluster: Array | None = None,
    level: float = 0.95,
    unit_of_n: str = "record",
) -> Value:
    """Probability that a member scores higher than a non-member, a tie counting one half (Mann–Whitney).

    The interval is DeLong's on the logit scale, which keeps it within (0, 1) and mirrors it when the classes are
    swapped. It needs no draws and its coverage is that of the stratified bootstrap or better; clusters enter through
    Obuchowski's sums. Perfect separation has no variance to estimate: there m disjoint member–non-member pairs, all
    of them right, give the exact binomial bound.

    Args:
        scores: Attack scores, shape (N,), any unit; higher says "member".
        is_member: Shape (N,), boolean.
        cluster: Shape (N,), what is independent of each other; None where every row is.
        level: Confidence level.
        unit_of_n: What one row, or one cluster, is.

    Returns:
        The AUC, with the two-sided p-value of 0.5 in `null`; NotMeasured below 10 members or non-members (clusters).

    Raises:
        ValueError: Arrays of different length, or a score that is NaN.

    Source: DeLong, DeLong and Clarke-Pearson (1988); Obuchowski (1997), "Nonparametric analysis of
    clustered ROC curve data"; Pepe (2003), "The statistical evaluation of medical tests", chapter 5 (logit scale).
    """
    is_member = np.asarray(is_member, dtype=bool)
    ranks = _ranks(scores, is_member)
    units = np.arange(len(is_member)) if cluster is None else codes(cluster).index
    of_class = [len(np.unique(units[c])) for c in (is_member, ~is_member)]
    if min(of_class) < FEWEST_PER_CLASS:
        reason = f"members and non-members: {of_class} {unit_of_n}s, where an AUC needs {FEWEST_PER_CLASS} of each"
        return NotMeasured(reason=reason)
    placements = _placements(ranks, is_member)
    value = float(placements[is_member].mean())
    error = _standard_error(placements, is_member, units)
    constant = error < 1e-12
    low, high = _constant_interval(value, min(of_class), level) if constant else _logit_interval(value, error, level)
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        n=int(units.max()) + 1,
        unit_of_n=unit_of_n,
        method="exact binomial bound, no pair differs" if constant else "DeLong, logit scale",
        null=Null(value=0.5, p=_p_of_chance(value, error, min(of_class)), meaning="scores that say nothing"),
        detectable=detectable_from_standard_error(_null_error(*of_class), level=level),
    )


def weighted_auc(scores: Array, is_member: Array, weights: Array) -> float | None:
    """The AUC of weighted rows; None where members or non-members have no weight.

    Read-only scores are sorted once only, so a bootstrap costs O(N) a draw.

    Args:
        scores: Shape (N,); higher says "member".
        is_member: Shape (N,), boolean.
        weights: Shape (N,), not negative.

    Raises:
        ValueError: Arrays of different length, or a score that is NaN.
    """
    members, nonmembers = _mass(_ranks(scores, is_member), is_member, weights)
    pairs = members.sum() * nonmembers.sum()
    if pairs <= 0:
        return None
    below = np.cumsum(nonmembers) - nonmembers
    return float((members * (below + nonmembers / 2)).sum() / pairs)


def tpr_at_fpr(scores: Array, is_member: Array, fpr: float, *, level: float = 0.95, unit_of_n: str = "member") -> Value:
    """The largest true positive rate of the attack whose realised false positive rate is at most `fpr`.

    Args:
        scores: Attack scores, shape (N,), any unit; higher says "member".
        is_member: Shape (N,), boolean.
        fpr: Share of non-members the attacker may accuse, in (0, 1).
        level: Confidence level.
        unit_of_n: What a member is.

    Returns:
        The rate with its Clopper–Pearson interval given the threshold, which is chosen on the same non-members: the
        interval leaves out what another sample of them would choose (`weighted_tpr_at_fpr` in a bootstrap has it in).
        `null` is the realised false positive rate, which an attack without knowledge would equal. NotMeasured where
        there are fewer than 1 / fpr non-members, since no threshold then has that rate.

    Raises:
        ValueError: `fpr` outside (0, 1), arrays of different length, or a score that is NaN.

    Source: Carlini et al. (2022), https://arxiv.org/abs/2112.03570, section III.
    """
    chosen = _at_fpr(scores, is_member, fpr)
    if isinstance(chosen, NotMeasured):
        return chosen
    true_positives, members, false_positives, nonmembers = chosen
    null = Null(value=false_positives / nonmembers, meaning="the share of non-members accused")
    result = clopper_pearson(true_positives, members, unit_of_n=unit_of_n, level=level, null=null)
    return _given_the_threshold(result)


def realised_fpr(
    scores: Array, is_member: Array, fpr: float, *, level: float = 0.95, unit_of_n: str = "non-member"
) -> Value:
    """The share of non-members that the threshold of `tpr_at_fpr` accuses, with its Clopper–Pearson interval.

    Raises:
        ValueError: As `tpr_at_fpr`.
    """
    chosen = _at_fpr(scores, is_member, fpr)
    if isinstance(chosen, NotMeasured):
        return chosen
    *_, false_positives, nonmembers = chosen
    return _given_the_threshold(clopper_pearson(false_positives, nonmembers, unit_of_n=unit_of_n, level=level))


def weighted_tpr_at_fpr(scores: Array, is_member: Array, weights: Array, fpr: float) -> float | None:
    """`tpr_at_fpr` of weighted rows; None where non-members weigh less than 1 / fpr, or members nothing.

    Raises:
        ValueError: As `tpr_at_fpr`.
    """
    _check_rate(fpr)
    members, nonmembers = _mass(_ranks(scores, is_member), is_member, weights)
    if members.sum() <= 0 or nonmembers.sum() * fpr < 1 - 1e-9:
        return None
    true_positives, false_positives = _accused(members), _accused(nonmembers)
    return float(true_positives[_last_allowed(false_positives, fpr)] / true_positives[-1])


def accused_at_fpr(scores: Array, is_member: Array, weights: Array, fpr: float) -> Array | None:
    """Which rows the threshold of `weighted_tpr_at_fpr` accuses, shape (N,); None where there is no such threshold.

    Raises:
        ValueError: As `tpr_at_fpr`.
    """
    _check_rate(fpr)
    ranks = _ranks(scores, is_member)
    members, nonmembers = _mass(ranks, is_member, weights)
    if members.sum() <= 0 or nonmembers.sum() * fpr < 1 - 1e-9:
        return None
    return np.asarray(ranks.index >= len(ranks.values) - _last_allowed(_accused(nonmembers), fpr))


def roc_curve(scores: Array, is_member: Array, *, points: int = 200) -> Curve:
    """The operating points of an attack, thinned for a chart with either linear or logarithmic axes.

    Args:
        scores: Shape (N,); higher says "member".
        is_member: Shape (N,), boolean, with at least one of each.
        points: About how many points to keep; every one kept is an operating point of the whole curve.

    Raises:
        ValueError: No member or no non-member, arrays of different length, or a score that is NaN.
    """
    members, nonmembers = _mass(_ranks(scores, is_member), is_member, np.ones(len(is_member)))
    true_positives, false_positives = _accused(members), _accused(nonmembers)
    if not true_positives[-1] or not false_positives[-1]:
        raise ValueError("a curve needs at least one member and one non-member")
    tpr, fpr = true_positives / true_positives[-1], false_positives / false_positives[-1]
    return Curve(*(axis[_thinned(fpr, tpr, points)] for axis in (fpr, tpr)))


def _ranks(scores: Array, is_member: Array) -> Codes:
    if len(scores) != len(is_member):
        raise ValueError(f"scores and is_member must have equal lengths; got {len(scores)} and {len(is_member)}")
    ranks = codes(scores)
    if len(ranks.values) and np.isnan(ranks.values[-1]):
        raise ValueError("scores must not be NaN; leave out the rows that have none and count them")
    return ranks


def _mass(ranks: Codes, is_member: Array, weights: Array) -> tuple[Array, Array]:
    """Weight of members and of non-members at each distinct score, ascending."""
    member = np.asarray(is_member, dtype=bool)
    members, nonmembers = (np.bincount(ranks.index, weights * c, len(ranks.values)) for c in (member, ~member))
    return members, nonmembers


def _accused(mass: Array) -> Array:
    """Weight at or above each threshold, from accusing nobody to accusing everybody."""
    return np.concatenate([[0.0], np.cumsum(mass[::-1])])


def _last_allowed(false_positives: Array, fpr: float) -> int:
    # Dividing the counts compares correctly rounded numbers: 29 of 100 is not above 0.29.
    return int(np.searchsorted(false_positives / false_positives[-1], fpr, side="right")) - 1


def _at_fpr(scores: Array, is_member: Array, fpr: float) -> tuple[int, int, int, int] | NotMeasured:
    """True positives, members, false positives, non-members at the most permissive threshold allowed."""
    _check_rate(fpr)
    members, nonmembers = _mass(_ranks(scores, is_member), is_member, np.ones(len(is_member)))
    if not members.sum():
        return NotMeasured(reason="there are no members")
    if nonmembers.sum() * fpr < 1 - 1e-9:
        return NotMeasured(
            reason=f"a false positive rate of {fpr:g} is not measurable with {int(nonmembers.sum())} non-members"
        )
    true_positives, false_positives = _accused(members), _accused(nonmembers)
    at = _last_allowed(false_positives, fpr)
    return int(true_positives[at]), int(true_positives[-1]), int(false_positives[at]), int(false_positives[-1])


def _check_rate(fpr: float) -> None:
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must lie in (0, 1); got {fpr}")


def _given_the_threshold(value: Value) -> Value:
    return value if isinstance(value, NotMeasured) else replace(value, method=f"{value.method}, given the threshold")


def _placements(ranks: Codes, is_member: Array) -> Array:
    """For each row the share of the other class that it is ordered rightly against, ties one half."""
    members, nonmembers = _mass(ranks, is_member, np.ones(len(is_member)))
    below = (np.cumsum(nonmembers) - nonmembers / 2) / nonmembers.sum()
    above = 1 - (np.cumsum(members) - members / 2) / members.sum()
    return np.asarray(np.where(is_member, below[ranks.index], above[ranks.index]))


def _standard_error(placements: Array, is_member: Array, units: Array) -> float:
    """Root of the DeLong variance, summed over clusters; a cluster may hold members and non-members."""
    count = int(units.max()) + 1
    centred = placements - placements[is_member].mean()
    variance, sums = 0.0, []
    for of_class in (is_member, ~is_member):
        clusters = len(np.unique(units[of_class]))
        total = np.bincount(units[of_class], centred[of_class], count) * np.sqrt(clusters / (clusters - 1))
        sums.append(total / of_class.sum())
        variance += float((sums[-1] ** 2).sum())
    return float(np.sqrt(max(0.0, variance + 2 * float((sums[0] * sums[1]).sum()))))


def _logit_interval(value: float, error: float, level: float) -> tuple[float, float]:
    centre = logit(value)
    reach = ndtri((1 + level) / 2) * error / (value * (1 - value))
    return float(expit(centre - reach)), float(expit(centre + reach))


def _constant_interval(value: float, pairs: int, level: float) -> tuple[float, float]:
    """What the truth may be where every member–non-member pair of `pairs` disjoint ones says the same."""
    reach = max(value, 1 - value) * float(1 - ((1 - level) / 2) ** (1 / pairs))
    return max(0.0, value - reach), min(1.0, value + reach)


def _p_of_chance(value: float, error: float, pairs: int) -> float:
    """Two-sided p-value of an AUC of one half, on the scale of the interval."""
    if value == 0.5:
        return 1.0
    if error < 1e-12:
        return min(1.0, 2 * 0.5**pairs)  # sign test: all disjoint pairs agree
    return 2 * float(ndtr(-abs(logit(value)) * value * (1 - value) / error))


def _null_error(members: int, nonmembers: int) -> float:
    """Standard error of the AUC of scores that say nothing: the variance of the Mann–Whitney statistic."""
    return float(np.sqrt((members + nonmembers + 1) / (12 * members * nonmembers)))


def _thinned(fpr: Array, tpr: Array, points: int) -> Array:
    """Indices of about `points` points spread evenly over the linear and the logarithmic axes, both ends included."""
    grids = [np.linspace(0, 1, points // 4)]
    lowest = min(axis[axis > 0][0] for axis in (fpr, tpr))
    grids.append(np.geomspace(lowest, 1, points // 4))
    at = [np.searchsorted(axis, grid, side="right") - 1 for axis in (fpr, tpr) for grid in grids]
    return np.unique(np.concatenate([*at, [0, len(fpr) - 1]]))
