"""Exposure by protected group: canaries that begin as a person's text, set against those of the group left out.

A canary made of training texts has the group of the person whose text begins it. It is ranked as every canary is
(`probes.privacy.canaries.ranks`); within its group those that were planted are set against those that the coins left
out, so that a group whose texts any model likes does not look remembered. Canaries are compared with those of their own
form that were planted as often: forms leak differently, and groups differ in how many they have of each, as a canary
made of two persons' texts has a group only where both are of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from probes.privacy import exposures
from probes.privacy.attacks import asks, scored
from probes.privacy.canaries import asked_for_ranks, ranks, why_no_exposure
from probes.protocol import Array, Ask, Facts, Items, Rows
from probes.results import Coverage, Estimate, NotMeasured, Series, Value
from probes.stats.group_gaps import Leaks, groups_told
from probes.stats.group_means import excess, means_by_group
from probes.stats.groups import NOT_SCORED, UNKNOWN
from probes.summary import groups_series

GROUP, RANKED = "group:", "ranked:"
"""How the columns are called that hold an attribute's groups: all, and those whose exposure is compared."""

NO_FORM = ""
"""The form of rows that are no canaries."""

_CANARIES = "canaries"
_RANKING = ("references", "end_references")
_INVENTED = (
    "no canary that could be ranked begins as the text of a person whose group is known: those of kind random and "
    "secret are invented, so they belong to no group; plant some of kind new_token, random_suffix or in_distribution"
)
_NO_REFERENCE = "of the never-planted texts that these canaries are ranked among, none could be scored"


@dataclass(frozen=True, order=True)
class Planting:
    """Canaries of one form that stood in training as often, if they were planted.

    Attributes:
        form: The form, such as "random_suffix".
        copies: How often.
    """

    form: str
    copies: int

    @property
    def slice(self) -> str:
        """As it stands in a slice."""
        return f"form={self.form},repetitions={self.copies}"

    @property
    def words(self) -> str:
        """As it stands in a chart."""
        times = "1 copy" if self.copies == 1 else f"{self.copies} copies"
        return f"{self.form.replace('_', ' ')}, {times}"

    def of(self, rows: Rows) -> Array:
        """Which rows are of it, shape (N,)."""
        return np.asarray((rows["form"] == self.form) & (rows["repetitions"] == self.copies), dtype=bool)


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
    """Why there is no exposure by group where no canary that begins as a person's text is ranked among others."""
    return why_no_exposure(facts) or _INVENTED


def ranked(tables: Mapping[str, Rows], facts: Facts) -> Rows | None:
    """The canaries that are ranked and of a form that begins as people's texts; None where none were asked.

    Columns: `item_id`, `cluster`, `is_member`, `form`, `repetitions`, `exposure_bits` (NaN where not scored),
    `exposure_ceiling` (NaN where no reference was scored), and by attribute `group:…` and `ranked:…`, the latter with
    `NOT_SCORED` in place of groups that are too small among those of their form planted as often.
    """
    if _CANARIES not in tables:
        return None
    arm = tables[_CANARIES]
    bits, ceilings = ranks(arm, tables)
    among = {form for name in _RANKING if name in tables for form in tables[name]["cluster"].tolist()}
    groups = {GROUP + name: arm.get(GROUP + name, np.full(arm.n, UNKNOWN, dtype=object)) for name in facts.groups}
    columns = {
        "item_id": arm["item_id"],
        "cluster": arm["cluster"],
        "is_member": np.asarray(arm["is_member"], dtype=bool),
        "form": arm["form"],
        "repetitions": arm["repetitions"].astype(int),
        "exposure_bits": bits,
        "exposure_ceiling": ceilings,
        **groups,
    }
    of_people = np.isin(arm["form"].astype(str), list(_forms_of_people(arm, facts) & among))
    rows = Rows(columns).take(np.flatnonzero(of_people))
    told = {RANKED + name: _told(rows, GROUP + name, facts) for name in facts.groups}
    return rows.assign(**told)


def plantings(rows: Rows) -> list[Planting]:
    """Within what exposures are compared, ascending by form and copies; rows that are no canaries have none."""
    pairs = zip(rows["form"].tolist(), rows["repetitions"].tolist(), strict=True)
    return sorted(Planting(form, copies) for form, copies in set(pairs) if form != NO_FORM)


def weighted(rows: Rows, attribute: str, planting: Planting, weights: Array) -> dict[str, tuple[float, float]]:
    """By group, mean exposure of planted canaries and of those left out, of weighted rows; NaN without weight."""
    bits, is_member, group, weight = _of(rows, attribute, planting, weights)
    of_group = {name: group == name for name in sorted(set(group.tolist()) - {NOT_SCORED})}
    return {
        name: (_mean(bits, weight * (ours & is_member)), _mean(bits, weight * (ours & ~is_member)))
        for name, ours in of_group.items()
    }


def leaks(rows: Rows, attribute: str, planting: Planting, rng: np.random.Generator, level: float) -> Leaks:
    """Mean exposure by group of planted canaries and of those left out, and how far what planting adds differs."""
    if _are_unranked(rows, planting):
        return Leaks(members={}, others={}, gap=NotMeasured(reason=_NO_REFERENCE))
    ceilings = rows["exposure_ceiling"][planting.of(rows)]  # all the same: one form, one set of references
    bits, is_member, group, _ = _of(rows, attribute, planting, rows["exposure_ceiling"])
    bounds = exposures.bounds_of(ceilings)
    found = means_by_group(bits, is_member, group, rng, bounds=bounds, unit_of_n="canary", level=level)
    unseen = exposures.never_seen(ceilings[:1])

    def beside(values: Mapping[str, Value]) -> dict[str, Value]:
        return {
            name: replace(value, null=unseen) if isinstance(value, Estimate) else value
            for name, value in values.items()
        }

    return replace(found, members=beside(found.members), others=beside(found.others))


def coverage(rows: Rows, attribute: str, planting: Planting) -> dict[str, Coverage]:
    """The canaries of a planting that are compared, by group, and under "" all; there the others are named."""
    some = rows.take(planting.of(rows))
    if _are_unranked(rows, planting):
        return {"": _answered(some.n, 0, {_NO_REFERENCE: some.n})}
    group, is_silent = some[RANKED + attribute], np.isnan(some["exposure_bits"])
    away = group == NOT_SCORED
    found = {"": _answered(some.n, int((is_silent & ~away).sum()), missing(some[GROUP + attribute], away))}
    for name in sorted(set(group.tolist()) - {NOT_SCORED}):
        ours = group == name
        found[name] = _answered(int(ours.sum()), int(is_silent[ours].sum()), {})
    return found


def chart(attribute: str, by_planting: Mapping[Planting, Leaks]) -> Series:
    """What planting adds to the mean exposure by group, for each form and number of copies."""
    drawn = [
        (f"added, {planting.words}", group, excess(planted, found.others[group]))
        for planting, found in by_planting.items()
        for group, planted in found.members.items()
    ]
    notes = {"attribute": attribute, "unit": "bits", "axis": "exposure added by planting, bits"}
    return groups_series(f"exposure:{attribute}", drawn, notes)


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
    """The groups that are compared, among canaries of one form planted as often."""
    found = np.full(rows.n, NOT_SCORED, dtype=object)
    for planting in plantings(rows):
        ours = planting.of(rows)
        some = rows.take(ours)
        is_told, minimum = ~np.isnan(some["exposure_bits"]), facts.minimum_group
        found[ours] = groups_told(some[column], is_told, some["is_member"], some["cluster"], minimum=minimum)
    return found


def _are_unranked(rows: Rows, planting: Planting) -> bool:
    """Whether there is no reference to rank them among."""
    return bool(np.isnan(rows["exposure_ceiling"][planting.of(rows)]).all())


def _of(rows: Rows, attribute: str, planting: Planting, more: Array) -> tuple[Array, Array, Array, Array]:
    """Exposure, coin and group of the canaries of a planting that have an exposure, and one more column."""
    ours = planting.of(rows)
    columns = (rows["exposure_bits"], rows["is_member"], rows[RANKED + attribute], more)
    bits, is_member, group, other = scored(*(column[ours] for column in columns))
    return bits, is_member, group, other


def _mean(values: Array, weights: Array) -> float:
    total = weights.sum()
    return float(values @ weights / total) if total > 0 else np.nan


def _answered(asked: int, silent: int, why: Mapping[str, int]) -> Coverage:
    why = {**why, **({"no token could be scored": silent} if silent else {})}
    return Coverage(asked=asked, answered=asked - sum(why.values()), missing=why)
