"""What all comparisons of groups share: which groups are compared, and the largest difference between two of them.

A largest difference is biased upwards, so each comes with what groups that leak alike would show, with the p-value of
that, and with limits made of simultaneous pairwise intervals, which can include 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from probes.protocol import Array
from probes.results import NotMeasured, Null, Value
from probes.stats.groups import NOT_SCORED, null_of, scored_groups
from probes.stats.power import POWER
from probes.stats.roc import FEWEST_PER_CLASS

SHUFFLES = 4999
"""Draws of what groups that leak alike would show."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """A figure by group.

    Attributes:
        members: By group, the figure of its members, with simultaneous intervals.
        others: By group, the same of its others, where the figure is a rate or a mean.
        gap: The largest difference between two groups.
    """

    members: Mapping[str, Value]
    others: Mapping[str, Value]
    gap: Value


def groups_told(group: Array, is_told: Array, is_member: Array, cluster: Array, *, minimum: int) -> Array:
    """The groups that are large enough, and have members and others of enough clusters about which something is told.

    Args:
        group: Names of groups, shape (N,).
        is_told: Whether there is a figure of the row, shape (N,).
        is_member: Shape (N,), boolean.
        cluster: What is independent of each other, shape (N,).
        minimum: Groups of fewer rows, told or not, are not scored.

    Returns:
        The names, shape (N,), `NOT_SCORED` in place of the others and of "unknown".
    """
    found = scored_groups(group, minimum=minimum)
    for name in names_of(found):
        ours = (found == name) & is_told
        if min(len(set(cluster[ours & side].tolist())) for side in sides_of(is_member)) < FEWEST_PER_CLASS:
            found[found == name] = NOT_SCORED
    return found


def names_of(group: Array) -> list[str]:
    """The groups that are scored, sorted."""
    return sorted(set(group.tolist()) - {NOT_SCORED})


def sides_of(is_member: Array) -> tuple[Array, Array]:
    """Which rows are members', and which are others'."""
    return is_member, ~is_member


def joined(values: Array, low: Array, high: Array, signs: Array) -> tuple[float, float, float]:
    """A signed sum with the limits that those of its parts imply."""
    value = float((signs * values).sum())
    below, above = (values - low) ** 2, (high - values) ** 2
    down, up = np.where(signs > 0, below, above).sum(), np.where(signs > 0, above, below).sum()
    return value, value - float(np.sqrt(down)), value + float(np.sqrt(up))


def extremes(pairs: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """The largest difference either way, with the limits that simultaneous pairwise ones imply for it."""
    value = max(abs(value) for value, _, _ in pairs)
    low = max(0.0, *(max(low, -high) for _, low, high in pairs))
    high = max(max(high, -low) for _, low, high in pairs)
    return value, min(low, value), max(high, value)


def detectable_gap(noise: Array, errors: Array) -> float | None:
    """The true gap of the two least certain groups that would rise above the floor 4 times in 5."""
    reach = float(ndtri(POWER) * np.sqrt((np.sort(errors)[-2:] ** 2).sum()))
    return float(np.quantile(noise, 0.95)) + reach if reach > 0 else None


def null_of_gap(noise: Array, value: float, groups: int) -> Null:
    """What groups that leak alike would show."""
    return null_of(noise, value, f"{groups} groups of these sizes that leak alike")


def told_together(value: Value, level: float, at: float, names: Sequence[str]) -> Value:
    """An interval at a stricter level, told as one of all groups' together."""
    if isinstance(value, NotMeasured):
        return value
    return replace(value, level=level, method=f"{value.method}, at {at:.2%} for each of {len(names)} groups")


def method_of_gap(what: str, pairs: int, pairwise: float) -> str:
    """How a gap was found, in words."""
    return f"differences of {what}" if pairs == 1 else f"largest of {pairs} differences of {what}, at {pairwise:.2%}"
