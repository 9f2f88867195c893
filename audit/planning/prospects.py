"""Which gates can pass at all on this much data, whatever the models turn out to be."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from audit.data.splits import Splits
from audit.judging.gate import criterion
from audit.judging.targets import address
from audit.planning.expectations import asks_of
from audit.planning.plan import ArmPlan
from audit.running.arms import StoredModel
from audit.running.order import Order
from audit.settings.sections.arms import TWIN
from audit.settings.sections.policy import Gate, Policy
from probes.privacy.canaries import UNCLAIMED_DELTA, Canaries
from probes.privacy.membership import fewest_nonmembers
from probes.protocol import Array, Ask, Facts, Items, Probe
from probes.results import NotApplicable
from probes.stats.epsilon import largest_refutable
from probes.stats.groups import UNKNOWN
from probes.stats.intervals import upper_limit
from probes.stats.power import rows_needed
from reports.words.format import counted

_DISCORDANT = 0.1
"""Share of paired items on which two arms are taken to differ when nothing changed: for the forecast alone."""


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """Whether a gate can pass on this much data.

    Attributes:
        gate: Its name.
        criterion: Its condition in words.
        units: Independent units it will rest on; of a slice, at most these.
        can_pass: True where it can, False where it cannot whatever comes out, None where that is open.
        words: Why.
    """

    gate: str
    criterion: str
    units: int
    can_pass: bool | None
    words: str


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A gate, the probe it judges, and what that will be asked.

    Attributes:
        gate: The gate.
        metric: The metric's name.
        part: Its slice.
        probe: The probe.
        facts: What the probe will know.
        asks: What it will ask.
        seeds: Training seeds of the arm.
        pass_level: Level of the interval that must lie within the limit.
        fail_level: Level of the interval that must lie beyond it, after correction.
    """

    gate: Gate
    metric: str
    part: str
    probe: Probe
    facts: Facts
    asks: Mapping[str, Ask]
    seeds: int
    pass_level: float
    fail_level: float

    @property
    def units(self) -> int:
        """Independent units of the largest question; of a slice that the items tell, those that lie in it."""
        return max(_clusters(ask.on.take(_in_slice(ask.on, self.part))) for ask in self.asks.values())


def prospects(order: Order, splits: Splits, models: Mapping[tuple[str, int], StoredModel]) -> Iterator[Prospect]:
    """The prospect of each gate of the config's policy."""
    policy = order.config.gates
    if isinstance(policy, Policy):
        for gate in policy.gates:
            yield _prospect(order, splits, models, gate, policy)


def _prospect(
    order: Order, splits: Splits, models: Mapping[tuple[str, int], StoredModel], gate: Gate, policy: Policy
) -> Prospect:
    name, metric, part = address(gate.metric)
    judged = gate.arm or order.config.deploy or ""
    arm = next((a for a in order.plan.arms if a.name in (judged, judged + TWIN) and name in a.probes), None)
    if arm is None:
        unasked = (each.reason for each in order.plan.unasked if (each.arm, each.probe) == (judged, name))
        return _hopeless(gate, next(unasked, f"{name} is not put to {judged or 'any arm'}"))
    try:
        facts, asks = asks_of(order, splits, arm, arm.seeds[0], name, models)
        if gate.reference is not None:
            asks_of(order, splits, _reference(order, gate.reference, arm, name), 0, name, models)
    except NotApplicable as reason:
        return _hopeless(gate, str(reason))
    nowhere = _missing_from(splits, part)
    if nowhere:
        return _hopeless(gate, nowhere)
    case = _Case(
        gate=gate,
        metric=metric,
        part=part,
        probe=arm.probes[name],
        facts=facts,
        asks=asks,
        seeds=len(arm.seeds),
        pass_level=1 - policy.alpha,
        fail_level=1 - policy.alpha / _family_size(order, gate, policy),
    )
    can_pass, words = _outlook(case)
    return Prospect(gate=gate.id, criterion=criterion(gate, part), units=case.units, can_pass=can_pass, words=words)


def _hopeless(gate: Gate, words: str) -> Prospect:
    part = address(gate.metric)[2]
    return Prospect(gate=gate.id, criterion=criterion(gate, part), units=0, can_pass=False, words=words)


def _settings_in(part: str) -> Mapping[str, str]:
    """The settings that a slice names; none where it is all rows or every slice there is."""
    return dict(pair.split("=", 1) for pair in part.split(",") if "=" in pair)


def _missing_from(splits: Splits, part: str) -> str | None:
    """Why a slice cannot come about: it names a domain, an attribute or a class that the data lack."""
    known = {"domain": sorted(splits.domains), "attribute": splits.groups, "class": splits.classes}
    for setting, value in _settings_in(part).items():
        if setting in known and value not in known[setting]:
            return f"there is no {setting} {value!r}; there are: {', '.join(known[setting]) or 'none'}"
    return None


def _in_slice(items: Items, part: str) -> Array:
    """Which items lie in a slice, as far as their own columns tell."""
    settings = _settings_in(part)
    columns = {"domain": "domain", "class": "label", "group": f"group:{settings.get('attribute')}"}
    inside = np.ones(items.n, dtype=bool)
    for setting, column in columns.items():
        if setting in settings and column in items:
            inside &= items[column].astype(str) == settings[setting]
    return inside


def _clusters(items: Items) -> int:
    return len(np.unique(items["cluster"].astype(str)))


def _reference(order: Order, named: str, arm: ArmPlan, probe: str) -> ArmPlan:
    """The arm that the judged one is compared with: a twin with a twin.

    Raises:
        NotApplicable: The two are not compared in this probe.
    """
    if all(known.name != named for known in order.plan.arms):
        raise NotApplicable(f"there is no arm {named} to compare with")
    if named == arm.name.removesuffix(TWIN):
        raise NotApplicable(f"{named} is itself the arm to compare with")
    wanted = [named + TWIN, named] if arm.role == "twin" else [named]
    for name in wanted:
        if (arm.name, name) in order.plan.contrasts and probe in order.plan.arm(name).probes:
            return order.plan.arm(name)
    raise NotApplicable(f"{probe} is not put to {named} in the way it is put to {arm.name}")


def _family_size(order: Order, gate: Gate, policy: Policy) -> int:
    """Gates that are corrected together; one with a slice "*" counts once, since its slices are not known yet."""
    families = [g.family or order.plan.probes[address(g.metric)[0]].pillar for g in policy.gates if _is_on(order, g)]
    mine = gate.family or order.plan.probes[address(gate.metric)[0]].pillar
    return families.count(mine) if policy.correction == "holm" else 1


def _is_on(order: Order, gate: Gate) -> bool:
    return address(gate.metric)[0] in order.plan.probes


def _units(n: int) -> str:
    """Units counted in words."""
    return counted(n, "unit")


def _outlook(case: _Case) -> tuple[bool | None, str]:
    if case.gate.kind == "noninferior":
        return _of_noninferiority(case)
    if case.gate.kind == "no_regression":
        return True, f"{_units(case.units)}; passes unless a loss is shown"
    if case.probe.name == "canaries" and case.metric == "epsilon_lower_bound" and case.gate.max is not None:
        return _of_epsilon(case, case.gate.max)
    spec = case.probe.metrics[case.metric]
    if "fpr=" in case.part and case.gate.max is not None:
        return _of_rate_at_fpr(case, case.gate.max, float(case.part.rpartition("fpr=")[2]))
    if spec.unit == "auc" and case.gate.max is not None:
        return _of_auc(case, case.gate.max)
    if spec.unit == "rate":
        return _of_rate(case)
    return True, f"{_units(case.units)}"


def _of_noninferiority(case: _Case) -> tuple[bool | None, str]:
    margin, n = float(case.gate.margin or 0.0), case.units
    if margin == 0:
        return None, f"{_units(n)}; with a margin of 0 it passes only where the arm is shown to be no worse at all"
    if case.probe.metrics[case.metric].unit != "rate":
        return None, f"{_units(n)}; what they decide depends on how far the arms differ from item to item"
    needed = rows_needed(margin, _DISCORDANT**0.5, level=case.pass_level, two_sided=True)
    words = f"{_units(n)}; about {needed:,} decide 9 times in 10 if nothing changed and one answer in ten differs"
    return (True if n >= needed else None), words


def _of_epsilon(case: _Case, limit: float) -> tuple[bool, str]:
    canaries = case.asks["arm"].on
    m = int((canaries["repetitions"].astype(int) == 1).sum())
    guesses = case.probe.guesses(m) if isinstance(case.probe, Canaries) else 0
    delta = case.facts.claim.delta if case.facts.claim is not None else UNCLAIMED_DELTA
    ceiling = largest_refutable(m, guesses, delta=delta, level=case.fail_level) if guesses >= 2 else 0.0
    return ceiling > limit, f"{m} canaries planted at most once, {guesses} guesses: could show up to {ceiling:.3g}"


def _of_rate_at_fpr(case: _Case, limit: float, fpr: float) -> tuple[bool, str]:
    members, nonmembers = _coins(case)
    needed = fewest_nonmembers(fpr)
    if nonmembers < needed:
        return False, f"{nonmembers} non-members, where a false positive rate of {fpr:g} needs {needed:,}"
    best = _nearest_end(members, case.pass_level) if members else 1.0
    words = f"{members} members and {nonmembers} non-members; at best the interval would end at {best:.3g}"
    return best <= limit, words


def _of_auc(case: _Case, limit: float) -> tuple[bool | None, str]:
    """Where nothing leaks the interval ends about z standard errors of the rank statistic above one half."""
    members, nonmembers = _coins(case)
    if not members or not nonmembers:
        return False, f"{members} members and {nonmembers} non-members: both are needed"
    deviation = math.sqrt((members + nonmembers + 1) / (12 * members * nonmembers))
    end = 0.5 + float(ndtri((1 + case.pass_level) / 2)) * deviation
    words = f"{members} members and {nonmembers} non-members; where nothing leaks the interval ends near {end:.3g}"
    return (True if end <= limit else None), words


def _coins(case: _Case) -> tuple[int, int]:
    is_member = case.asks["arm"].on["is_member"].astype(bool)
    return int(is_member.sum()), int((~is_member).sum())


def _of_rate(case: _Case) -> tuple[bool | None, str]:
    """The interval of a share of n units ends nearest to 0 or 1 where it is that of 0 of n or n of n.

    A mean over several seeds can end nearer, so it is left open.
    """
    n = case.units
    if case.probe.metrics[case.metric].signed and case.gate.max is not None:
        return True, f"{_units(n)}"
    if _is_disparity(case.metric):
        return _of_disparity(case)
    reach = _nearest_end(n, case.pass_level)
    best = reach if case.gate.max is not None else 1 - reach
    fits = best <= case.gate.max if case.gate.max is not None else best >= float(case.gate.min or 0.0)
    upto = "at most " if case.part else ""
    unfit = False if case.seeds == 1 else None
    return True if fits else unfit, f"{upto}{_units(n)}; at best the interval would end at {best:.3g}"


def _nearest_end(n: int, level: float) -> float:
    """The upper end at 0 of n: Clopper and Pearson's or Wilson's, whichever is nearer."""
    z = float(ndtri((1 + level) / 2))
    return min(upper_limit(0, n, level=(1 + level) / 2), z * z / (n + z * z))


def _is_disparity(metric: str) -> bool:
    """Whether a rate is a difference between groups: its interval can be no narrower than the smallest group's."""
    return metric.endswith("_difference")


def _of_disparity(case: _Case) -> tuple[bool | None, str]:
    sizes = _group_sizes(case)
    if len(sizes) < 2 or case.gate.max is None:
        return None, f"{_units(case.units)}; what they decide depends on the sizes of the groups"
    smallest = min(sizes, key=lambda group: sizes[group])
    best = _nearest_end(sizes[smallest], case.pass_level)
    words = (
        f"the smallest group is {smallest} with {_units(sizes[smallest])}; at best the interval would end at {best:.3g}"
    )
    return (None if best <= case.gate.max else False), words


def _group_sizes(case: _Case) -> dict[str, int]:
    """Units of each group of the attribute that the slice names; of those that are compared alone."""
    column = f"group:{_settings_in(case.part).get('attribute')}"
    items = next((ask.on for ask in case.asks.values() if column in ask.on), None)
    if items is None:
        return {}
    of_group = items[column].astype(str)
    sizes = {group: _clusters(items.take(of_group == group)) for group in np.unique(of_group)}
    return {group: n for group, n in sizes.items() if n >= case.facts.minimum_group and group != UNKNOWN}
