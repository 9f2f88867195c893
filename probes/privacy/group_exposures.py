"""Exposure by protected group: canaries that begin as a person's text, set against those of the group left out.

A canary made of training texts has the group of the person whose text begins it. It is ranked as every canary is
(`probes.privacy.canaries.ranks`); within its group those that were planted are set against those that the coins left
out, so that a group whose texts any model likes does not look remembered.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from probes.privacy import exposures
from probes.privacy.attacks import asks, scored
from probes.privacy.canaries import asked_for_ranks, ranks, why_no_exposure
from probes.protocol import Array, Ask, Facts, Items, Rows
from probes.results import Coverage, Estimate, Series, Value
from probes.stats.group_leaks import Leaks, excess, groups_told, means_by_group
from probes.stats.groups import NOT_SCORED, UNKNOWN
from probes.summary import interval_columns

GROUP, RANKED = "group:", "ranked:"
"""How the columns are called that hold an attribute's groups: all, and those whose exposure is compared."""

_CANARIES = "canaries"
_INVENTED = (
    "no canary that could be ranked begins as the text of a person whose group is known: those of kind random and "
    "secret are invented, so they belong to no group; plant some of kind new_token, random_suffix or in_distribution"
)


def asked(facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
    """What the canaries probe asks to rank them, where some that can be ranked belong to a group; else nothing."""
    canaries, references = data.get(_CANARIES), data.get("canary_references")
    if canaries is None or references is None or why_no_exposure(facts, references):
        return {}
    forms = _forms_of_people(canaries, facts)
    if not set(references["cluster"].tolist()) & forms:
        return {}
    table = asks(facts, data, _CANARIES, "no canaries were planted")["arm"].table
    return {_CANARIES: Ask(table=table, on=canaries), **asked_for_ranks(facts, canaries, references, table)}


def why_none(facts: Facts) -> str:
    """Why there is no exposure by group where no canary has one."""
    return why_no_exposure(facts) or _INVENTED


def ranked(tables: Mapping[str, Rows], facts: Facts) -> Rows | None:
    """The canaries that are ranked and of a kind that begins as people's texts; None where none were asked.

    Columns: `item_id`, `cluster`, `is_member`, `repetitions`, `exposure_bits` (NaN where not scored),
    `exposure_ceiling`, and by attribute `group:…` and `ranked:…`, the latter with `NOT_SCORED` in place of groups that
    are too small among those planted as often.
    """
    if _CANARIES not in tables:
        return None
    arm = tables[_CANARIES]
    bits, ceilings = ranks(arm, tables)
    of_people = np.isin(arm["form"].astype(str), list(_forms_of_people(arm, facts))) & ~np.isnan(ceilings)
    groups = {GROUP + name: arm.get(GROUP + name, np.full(arm.n, UNKNOWN, dtype=object)) for name in facts.groups}
    columns = {
        "item_id": arm["item_id"],
        "cluster": arm["cluster"],
        "is_member": np.asarray(arm["is_member"], dtype=bool),
        "repetitions": arm["repetitions"].astype(int),
        "exposure_bits": bits,
        "exposure_ceiling": ceilings,
        **groups,
    }
    rows = Rows(columns).take(np.flatnonzero(of_people))
    told = {RANKED + name: _told(rows, GROUP + name, facts) for name in facts.groups}
    return rows.assign(**told)


def copies_of(rows: Rows) -> list[int]:
    """How often canaries that have an exposure stood in training if they were planted, ascending."""
    return sorted(set(rows["repetitions"][~np.isnan(rows["exposure_ceiling"])].tolist()))


def weighted(rows: Rows, attribute: str, copies: int, weights: Array) -> dict[str, tuple[float, float]]:
    """By group, mean exposure of planted canaries and of those left out, of weighted rows; NaN without weight."""
    bits, is_member, group, weight = _of(rows, attribute, copies, weights)
    of_group = {name: group == name for name in sorted(set(group.tolist()) - {NOT_SCORED})}
    return {
        name: (_mean(bits, weight * (ours & is_member)), _mean(bits, weight * (ours & ~is_member)))
        for name, ours in of_group.items()
    }


def leaks(rows: Rows, attribute: str, copies: int, rng: np.random.Generator, level: float) -> Leaks:
    """Mean exposure by group of planted canaries and of those left out, and how far what planting adds differs."""
    bits, is_member, group, ceilings = _of(rows, attribute, copies, rows["exposure_ceiling"])

    def mean(ours: Array, at: float) -> Value:
        value = exposures.mean_exposure(bits[ours], ceilings[ours], rng, level=at)
        return replace(value, unit_of_n="canary") if isinstance(value, Estimate) else value

    return means_by_group(mean, is_member, group, rng, level=level)


def coverage(rows: Rows, attribute: str, copies: int) -> dict[str, Coverage]:
    """The canaries with so many copies that are compared, by group, and under "" all; there the others are named."""
    some = rows.take((rows["repetitions"] == copies) & ~np.isnan(rows["exposure_ceiling"]))
    group, is_silent = some[RANKED + attribute], np.isnan(some["exposure_bits"])
    away = group == NOT_SCORED
    found = {"": _answered(some.n, int((is_silent & ~away).sum()), missing(some[GROUP + attribute], away))}
    for name in sorted(set(group.tolist()) - {NOT_SCORED}):
        ours = group == name
        found[name] = _answered(int(ours.sum()), int(is_silent[ours].sum()), {})
    return found


def chart(attribute: str, by_copies: Mapping[int, Leaks]) -> Series:
    """What planting adds to the mean exposure by group, for each number of copies."""
    drawn = [
        (f"added, {_times(copies)}", group, excess(planted, found.others[group]))
        for copies, found in by_copies.items()
        for group, planted in found.members.items()
    ]
    values = [value for *_, value in drawn]
    return Series(
        name=f"exposure:{attribute}",
        kind="groups",
        columns={
            "metric": tuple(metric for metric, *_ in drawn),
            "group": tuple(group for _, group, _ in drawn),
            **interval_columns(values),
            "n": tuple(float(value.n) if isinstance(value, Estimate) else None for value in values),
        },
        notes={"attribute": attribute, "unit": "bits", "axis": "exposure added by planting, bits"},
    )


def missing(group: Array, away: Array) -> dict[str, int]:
    """Rows whose group is not known or too small, by reason.

    Args:
        group: Names of groups, shape (N,).
        away: Which rows are not compared, shape (N,).
    """
    names, counts = np.unique(group[away].astype(str), return_counts=True)
    return {
        "group unknown" if name == UNKNOWN else f"{name}: too small a group": int(n)
        for name, n in zip(names.tolist(), counts, strict=True)
    }


def _forms_of_people(canaries: Rows, facts: Facts) -> set[str]:
    """The forms of canaries of which some have a group that is known."""
    is_known = np.zeros(canaries.n, dtype=bool)
    for name in facts.groups:
        is_known |= canaries.get(GROUP + name, UNKNOWN) != UNKNOWN
    return set(canaries["form"][is_known].tolist())


def _told(rows: Rows, column: str, facts: Facts) -> Array:
    """The groups that are compared, among canaries planted as often."""
    found = np.full(rows.n, NOT_SCORED, dtype=object)
    for copies in copies_of(rows):
        ours = rows["repetitions"] == copies
        some = rows.take(ours)
        is_told, minimum = ~np.isnan(some["exposure_bits"]), facts.minimum_group
        found[ours] = groups_told(some[column], is_told, some["is_member"], some["cluster"], minimum=minimum)
    return found


def _of(rows: Rows, attribute: str, copies: int, more: Array) -> tuple[Array, Array, Array, Array]:
    """Exposure, coin and group of the canaries with so many copies that have an exposure, and one more column."""
    ours = rows["repetitions"] == copies
    columns = (rows["exposure_bits"], rows["is_member"], rows[RANKED + attribute], more)
    bits, is_member, group, other = scored(*(column[ours] for column in columns))
    return bits, is_member, group, other


def _mean(values: Array, weights: Array) -> float:
    total = weights.sum()
    return float(values @ weights / total) if total > 0 else np.nan


def _answered(asked: int, silent: int, why: Mapping[str, int]) -> Coverage:
    why = {**why, **({"no token could be scored": silent} if silent else {})}
    return Coverage(asked=asked, answered=asked - sum(why.values()), missing=why)


def _times(copies: int) -> str:
    return "1 copy" if copies == 1 else f"{copies} copies"
