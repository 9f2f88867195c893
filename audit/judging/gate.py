"""Judge a record by gates that were declared before: on the interval, never on the point.

A bound or a noninferiority gate passes where the whole interval lies on the good side of its limit, fails where the
whole interval lies beyond it, and is inconclusive in between. Failures within a family are corrected by Holm's
step-down rule, carried out on intervals: with k gates left, those fail whose interval at level 1 - alpha / k lies
beyond the limit; then the rest are looked at with the k that is left, until none fails. Intervals at a higher level
contain those at a lower one, so this rejects what Holm's ordered p-values reject, and the chance of any false failure
in a family is at most alpha. (An interval is two-sided and only one of its ends can fail a gate, so it is about half of
that. Intervals from 1,000 resamples resolve it for families of up to 50 gates.) Passing needs no correction, since all
gates of a policy must pass: an intersection-union test.

Source: Holm (1979), https://www.jstor.org/stable/4615733; Berger (1982), https://doi.org/10.1080/00401706.1982.10487790.
"""

import math
from collections.abc import Sequence
from typing import Literal

from scipy.special import ndtri

from audit.exits import BLOCKED, INCOMPLETE, INCONCLUSIVE, OK
from audit.judging.evidence import Evidence
from audit.judging.targets import Target, address, targets
from audit.settings.sections.policy import Gate, Policy
from audit.store import digest
from probes.catalog import find
from probes.results import Estimate, MetricSpec, NotMeasured, Value
from probes.stats.power import rows_needed
from reports.record import AuditRecord, GateResult, Judgement

Verdict = Literal["pass", "fail", "inconclusive", "not measured", "error"]

_ORDER = {"fail": 0, "error": 1, "inconclusive": 2, "not measured": 3, "pass": 4}


def judge(
    record: AuditRecord,
    policy: Policy,
    evidence: Evidence,
    *,
    record_digest: str,
    sealed_at: str,
) -> Judgement:
    """The verdicts of a policy on a record.

    Args:
        record: What was measured.
        policy: The gates.
        evidence: Recomputes intervals at the levels that the correction demands.
        record_digest: SHA-256 of `record.json`.
        sealed_at: When the gates were sealed.
    """
    judged = [target for gate in policy.gates for target in targets(gate, record)]
    tested = {name: level for family in _families(judged) for name, level in _tested(family, policy, evidence).items()}
    results = [
        _judge(target, policy, evidence, *tested.get(target.name, (1 - policy.alpha, False))) for target in judged
    ]
    results.sort(key=lambda r: _ORDER[r.verdict])
    sealed = digest(policy.model_dump(mode="json"))
    return Judgement(
        verdict=_overall(results),
        policy=policy.name,
        version=str(policy.version),
        owner=policy.owner or "",
        sealed=record.provenance.gates or sealed,
        sealed_at=sealed_at,
        deviations=_deviations(record, sealed),
        on_inconclusive=policy.on_inconclusive,
        gates=tuple(results),
        record=record_digest,
    )


def _deviations(record: AuditRecord, sealed: str) -> tuple[str, ...]:
    held, found = record.provenance, []
    if held.measured_before:
        found.append("the run was sealed after some of its answers were already measured (by an earlier run)")
    if held.gates is None:
        found.append("the gates were not sealed before measuring: they were added afterwards")
    elif held.gates != sealed:
        found.append("the gates are not those that were sealed before measuring: they were changed afterwards")
    return tuple(found)


def _overall(results: Sequence[GateResult]) -> Literal["blocked", "passed", "no decision"]:
    """A policy without a blocking gate decides nothing."""
    blocking = [r.verdict for r in results if r.level == "block"]
    if "fail" in blocking:
        return "blocked"
    return "passed" if blocking and all(v == "pass" for v in blocking) else "no decision"


def _families(judged: Sequence[Target]) -> list[list[Target]]:
    families: dict[str, list[Target]] = {}
    for target in judged:
        if target.absent is None:
            families.setdefault(target.family, []).append(target)
    return list(families.values())


def _tested(family: Sequence[Target], policy: Policy, evidence: Evidence) -> dict[str, tuple[float, bool]]:
    """By target: the level at which it was tested last, and whether it failed there."""
    tested: dict[str, tuple[float, bool]] = {}
    left, is_stepping = list(family), True
    while left and is_stepping:
        level = 1 - policy.alpha / (len(left) if policy.correction == "holm" else 1)
        outcome = {t.name: (level, _is_beyond(t, _value(t, evidence, level))) for t in left}
        tested |= outcome
        remaining = [t for t in left if not outcome[t.name][1]]
        is_stepping = policy.correction == "holm" and len(remaining) < len(left)
        left = remaining
    return tested


# ---- the number that is judged ------------------------------------------------------------------------------------


def _value(target: Target, evidence: Evidence, level: float) -> Value:
    """The number at a level: as it stands in the record where that is the level, recomputed from the rows elsewhere."""
    if target.apart:
        return _lost_distance(target, evidence, level)
    contrast, metric = target.contrast, target.metric
    recorded = contrast.difference if contrast is not None else metric.estimate if metric is not None else None
    if isinstance(recorded, Estimate) and abs(recorded.level - level) < 1e-9:
        return recorded
    if contrast is not None:
        return evidence.difference(contrast.arm, contrast.reference, target.probe, target.key, level)
    return evidence.value(target.arm, target.probe, target.key, level)


def _lost_distance(target: Target, evidence: Evidence, level: float) -> Value:
    """How much further from the ideal than its reference an arm lies that is on the other side of it.

    The paired difference adds the two distances where they should be subtracted, so each arm's own interval is taken,
    both together at the level (Bonferroni).
    """
    assert target.contrast is not None
    assert target.contrast.ideal is not None
    each, ideal = (1 + level) / 2, target.contrast.ideal
    both = [
        evidence.value(arm, target.probe, target.key, each) for arm in (target.contrast.arm, target.contrast.reference)
    ]
    distances = []
    for value in both:
        if isinstance(value, NotMeasured):
            return value
        if value.low is None or value.high is None:
            return NotMeasured(reason="it is bounded on one side only, so its distance from the ideal is not known")
        nearest = max(0.0, value.low - ideal, ideal - value.high)
        distances.append((nearest, abs(value.value - ideal), max(value.high - ideal, ideal - value.low)))
    ours, theirs = distances
    return Estimate(
        value=ours[1] - theirs[1],
        low=ours[0] - theirs[2],
        high=ours[2] - theirs[0],
        level=level,
        n=min(v.n for v in both if isinstance(v, Estimate)),
        unit_of_n=next(v.unit_of_n for v in both if isinstance(v, Estimate)),
        method=f"difference of the distances from {ideal:g}, on different sides of it: each by its own interval at "
        f"{_percent(each)}",
    )


def _is_beyond(target: Target, value: Value) -> bool:
    """Whether the whole interval lies on the bad side of the limit."""
    if isinstance(value, NotMeasured) or target.limit is None:
        return False
    end = value.low if target.better < 0 else value.high
    return end is not None and (end - target.limit) * target.better < 0


def _is_within(target: Target, value: Estimate) -> bool:
    """Whether the whole interval lies on the good side of the limit, the limit included."""
    end = value.high if target.better < 0 else value.low
    return end is not None and target.limit is not None and (end - target.limit) * target.better >= 0


# ---- the verdict --------------------------------------------------------------------------------------------------


def _judge(target: Target, policy: Policy, evidence: Evidence, tested_at: float, failed: bool) -> GateResult:
    if target.absent is not None:
        return _result(target, policy, "error" if target.broken else "not measured", None, target.absent)
    tested = _value(target, evidence, tested_at)
    if failed:
        return _result(
            target, policy, "fail", tested, f"the whole {_percent(tested_at)} interval lies beyond the limit"
        )
    value = _value(target, evidence, 1 - policy.alpha)
    if isinstance(value, NotMeasured) or isinstance(tested, NotMeasured):
        absent = value if isinstance(value, NotMeasured) else tested
        return _result(target, policy, "not measured", absent, _reason(absent))
    if _is_within(target, value):
        return _result(
            target, policy, "pass", value, f"the whole {_percent(value.level)} interval lies within the limit"
        )
    if target.gate.kind == "no_regression":
        return _result(target, policy, "pass", tested, _no_evidence(tested))
    if target.better < 0 and value.high is None:
        return _bounded_below(target, policy, tested)
    return _undecided(target, policy, value, tested)


def _reason(absent: Value) -> str:
    assert isinstance(absent, NotMeasured)
    return absent.reason


def _no_evidence(value: Estimate) -> str:
    seen = f"; a difference of {value.detectable:.3g} would have been seen 4 times in 5" if value.detectable else ""
    return f"at {_percent(value.level)} there is no evidence of a loss beyond the margin{seen}"


def _undecided(target: Target, policy: Policy, value: Estimate, tested: Estimate) -> GateResult:
    """Neither passed at 1 - alpha nor failed at the corrected level; what is missing depends on the value's side."""
    assert target.limit is not None
    is_good = (value.value - target.limit) * target.better >= 0
    judged = value if is_good else tested
    reason = f"the {_percent(judged.level)} interval lies on both sides of the limit"
    return _result(target, policy, "inconclusive", judged, reason, _more_rows(judged, target.limit))


def _more_rows(value: Estimate, limit: float) -> int | None:
    """About how many more units would decide it, if the value stayed where it is and the interval shrank.

    From the half-width h towards the limit and the distance d to it: n (h / d)² units in all.
    """
    distance = abs(value.value - limit)
    end = value.high if limit > value.value else value.low
    if end is None or distance == 0 or value.n == 0:
        return None
    deviation = abs(end - value.value) * math.sqrt(value.n) / float(ndtri((1 + value.level) / 2))
    return max(rows_needed(distance, deviation, level=value.level, power=0.5, two_sided=True) - value.n, 1)


def _bounded_below(target: Target, policy: Policy, value: Estimate) -> GateResult:
    """A quantity that is only bounded from below passes where a value beyond the limit could have been shown."""
    assert target.limit is not None
    if value.detectable is not None and value.detectable > target.limit:
        reason = f"not shown to exceed the limit, though up to {value.detectable:.3g} could have been shown"
        return _result(target, policy, "pass", value, reason)
    return _result(target, policy, "inconclusive", value, "this audit could not have shown a value beyond the limit")


def _result(
    target: Target, policy: Policy, verdict: Verdict, value: Value | None, reason: str, needed: int | None = None
) -> GateResult:
    gate, spec = target.gate, target.metric or _spec(target)
    unit = spec.told_in if isinstance(spec, MetricSpec) else spec.unit if spec else ""
    return GateResult(
        id=target.name,
        kind=gate.kind,
        pillar=target.pillar,
        family=target.family,
        level=gate.level,
        criterion=criterion(gate, target.key[1]),
        label=spec.label if spec else target.key[0].replace("_", " "),
        unit=unit,
        verdict=verdict,
        observed=value,
        metric_id=target.metric.metric_id if target.metric else None,
        limit=target.limit,
        better=target.better,
        reason=reason,
        rows_needed=needed,
        owner=gate.owner or policy.owner or "",
        source=gate.source,
        reference=target.reference,
    )


def _spec(target: Target) -> MetricSpec | None:
    """What the probe declares of a metric that was not measured; None for a probe that is not known here."""
    try:
        return find(target.probe).metrics.get(target.key[0])
    except ValueError:
        return None


def _percent(level: float) -> str:
    return f"{100 * level:.4g}%"


def criterion(gate: Gate, part: str) -> str:
    """The condition in words, as it was sealed; of a slice where it stands for several."""
    probe, metric, _ = address(gate.metric)
    what = f"{probe}.{metric}" + (f" [{part}]" if part else "")
    if gate.kind == "bound":
        return f"{what} at most {gate.max:g}" if gate.max is not None else f"{what} at least {gate.min:g}"
    if gate.kind == "noninferior":
        return f"{what} shown to be at most {gate.margin:g} worse than {gate.reference}"
    return f"{what} not shown to be more than {gate.margin:g} worse than {gate.reference}"


def exit_code(judgement: Judgement, *, incomplete: bool) -> int:
    """10 where a blocking gate failed, 3 where a unit broke or no gate had a number, 11 where what is undecided fails.

    Where several hold, the first of these; 0 where none does.
    """
    verdicts = {g.verdict for g in judgement.gates}
    if judgement.verdict == "blocked":
        return BLOCKED
    if incomplete or "error" in verdicts or verdicts == {"not measured"}:
        return INCOMPLETE
    undecided = {g.verdict for g in judgement.gates if g.level == "block"} & {"inconclusive", "not measured"}
    return INCONCLUSIVE if undecided and judgement.on_inconclusive == "fail" else OK
