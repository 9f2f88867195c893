"""The candidate against the private arm: paired differences, in a fixed order, in words and as marks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from probes.results import ALL, Estimate, Metric, NotMeasured, Pillar
from reports.index import PILLARS, Index, address, contrast_id, is_private, show, turned
from reports.parts.costs import cost
from reports.parts.marks import Mark, difference_mark
from reports.record import ArmRecord, Contrast, GateResult, Judgement, RunInfo
from reports.words.format import Shown, exact, level, shown
from reports.words.text import capitalised, listed, part_words
from reports.words.wording import Sentence, epsilon_words

QUOTAS: dict[Pillar, int] = {"bias": 2, "privacy": 3, "robustness": 2, "utility": 1}
"""Rows of the comparison by pillar; what one leaves, the others take."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One row of the comparison of two arms.

    Attributes:
        pillar: Its chapter.
        label: The measure.
        part: The slice, in words.
        ideal: What would be ideal.
        reference: What the one arm has.
        subject: What the other has.
        difference: Subject minus reference.
        mark: The difference, turned so that right is better for the subject.
        words: The same in words.
        verdict: "better", "worse", "unclear" or "different".
    """

    pillar: Pillar
    label: str
    part: str
    ideal: str
    reference: Shown | None
    subject: Shown | None
    difference: Shown
    mark: Mark | None
    words: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two arms side by side.

    Attributes:
        title: The question.
        lead: The answer.
        cost: What the subject costs in accuracy and in time.
        subject: The arm for which right is better: the private one, if one is.
        reference: The other.
        subject_look: "private", "standard" or "control".
        reference_look: Likewise.
        rows: At most eight differences.
        level: The intervals' level.
        on_twins: Whether privacy was measured on the arms' twins.
    """

    title: str
    lead: str
    cost: Sentence
    subject: ArmRecord
    reference: ArmRecord
    rows: tuple[Difference, ...]
    level: str
    on_twins: bool


def comparison(index: Index, judgement: Judgement | None, run: RunInfo | None) -> Comparison | None:
    """The candidate against the private arm; None where there is no second arm or no difference was taken."""
    if index.candidate is None or index.other is None:
        return None
    candidate, other = index.candidate, index.other
    subject, reference = (other, candidate) if is_private(other) and not is_private(candidate) else (candidate, other)
    gates = judgement.gates if judgement is not None else ()
    rows = tuple(_difference(c, subject, reference, gates, index) for c in _chosen(index, subject, reference, gates))
    if not rows:
        return None
    if is_private(subject) == is_private(reference):
        title = f"What sets {subject.name} apart from {reference.name}?"
    elif subject is candidate:
        title = "What did private training change?"
    else:
        title = "Would private training have been better?"
    levels = {c.difference.level for c in index.record.contrasts if isinstance(c.difference, Estimate)}
    return Comparison(
        title=title,
        lead=_lead(subject, rows),
        cost=cost(index, subject, reference, run),
        subject=subject,
        reference=reference,
        rows=rows,
        level=" and ".join(level(value) for value in sorted(levels)),
        on_twins=index.twin(subject) is not None,
    )


def _chosen(index: Index, subject: ArmRecord, reference: ArmRecord, gates: Sequence[GateResult]) -> Iterator[Contrast]:
    """At most eight differences: by pillar, those that a gate speaks of, then in the order of `Index.headlines`."""
    known = (index.by_id.get(gate.metric_id or "") for gate in gates)
    judged = {(address(metric), metric.slice) for metric in known if metric is not None}
    found: dict[Pillar, list[Contrast]] = {}
    for pillar in PILLARS:
        metrics = sorted(index.headlines(pillar, subject), key=lambda m: (address(m), m.slice) not in judged)
        differences = (index.contrast(metric, subject, reference) for metric in metrics)
        found[pillar] = [c for c in differences if c is not None and isinstance(c.difference, Estimate)]
    spare = sum(QUOTAS.values()) - sum(min(QUOTAS[p], len(found[p])) for p in PILLARS)
    for pillar in PILLARS:
        extra = min(spare, max(0, len(found[pillar]) - QUOTAS[pillar]))
        spare -= extra
        yield from found[pillar][: QUOTAS[pillar] + extra]


def _difference(
    contrast: Contrast, subject: ArmRecord, reference: ArmRecord, gates: Sequence[GateResult], index: Index
) -> Difference:
    estimate = turned(contrast, index, subject)
    assert isinstance(estimate, Estimate)
    ours, theirs = (index.metric(arm, contrast.metric, contrast.slice) for arm in (subject, reference))
    sign = contrast.better or _sign(contrast, ours, theirs)
    margin = _margin(contrast, gates)
    verdict = _verdict(estimate, sign)
    part = part_words(contrast.slice) if contrast.slice != ALL else ""
    return Difference(
        pillar=contrast.pillar,
        label=contrast.label,
        part=part,
        ideal=ideal_words(contrast.ideal, contrast.unit),
        reference=None if theirs is None else show(theirs),
        subject=None if ours is None else show(ours),
        difference=shown(estimate, contrast.unit, difference=True, kind="contrast", key=contrast_id(contrast)),
        mark=difference_mark(
            capitalised(f"{contrast.label} ({part})" if part else contrast.label),
            "unclear" if verdict == "unclear" else "clear",
            estimate,
            contrast.unit,
            sign=sign or 1,
            limit=margin,
        ),
        words=_words(estimate, sign, verdict, margin, contrast),
        verdict=verdict,
    )


def _sign(contrast: Contrast, ours: Metric | None, theirs: Metric | None) -> int:
    """Which way is better where that depends on the side of the ideal: 0 where the arms lie on different sides."""
    sides = set()
    for metric in (ours, theirs):
        if metric is None or isinstance(metric.estimate, NotMeasured) or contrast.ideal is None:
            return 0
        sides.add(-1 if metric.estimate.value >= contrast.ideal else 1)
    return sides.pop() if len(sides) == 1 else 0


def _margin(contrast: Contrast, gates: Sequence[GateResult]) -> float | None:
    wanted = contrast.metric + (f"[{contrast.slice}]" if contrast.slice else "")
    arms = {contrast.arm, contrast.reference}
    for gate in gates:
        arm, _, name = (gate.metric_id or "").partition("/")
        matches = name == wanted and {arm.split("@")[0], gate.reference} == arms
        if matches and gate.kind != "bound" and gate.limit is not None:
            return abs(gate.limit)
    return None


def _verdict(estimate: Estimate, sign: int) -> str:
    above = estimate.low is not None and estimate.low > 0
    below = estimate.high is not None and estimate.high < 0
    if not (above or below):
        return "unclear"
    if sign == 0:
        return "different"
    return "better" if above == (sign > 0) else "worse"


def _words(estimate: Estimate, sign: int, verdict: str, margin: float | None, contrast: Contrast) -> str:
    if verdict == "different":
        return "Different" + ("" if contrast.ideal is None else ", on the other side of the ideal")
    worst = estimate.low if sign > 0 else None if estimate.high is None else -estimate.high
    best = estimate.high if sign > 0 else None if estimate.low is None else -estimate.low
    limit = "" if margin is None else exact(margin, contrast.unit, difference=True)
    if verdict == "better":
        return "Better"
    if margin is None or sign == 0:
        return "Worse" if verdict == "worse" else "No clear difference"
    within = worst is not None and worst >= -margin
    if verdict == "unclear":
        return f"No clear difference{'' if within else f'; more than {limit} worse cannot be excluded'}"
    if within:
        return f"Worse, within the margin of {limit}"
    beyond = best is not None and best < -margin
    return f"Worse, {'beyond' if beyond else 'and perhaps beyond'} the margin of {limit}"


def ideal_words(ideal: float | None, unit: str) -> str:
    """What would be ideal."""
    if ideal is None:
        return "neither more nor less is better"
    if unit == "perplexity":
        return "lower is better"
    if ideal == 1:
        return "higher is better"
    return f"{exact(ideal, unit)} is {'guessing' if unit == 'auc' else 'ideal'}"


def _lead(subject: ArmRecord, rows: Sequence[Difference]) -> str:
    """Where the subject is clearly better, where clearly worse, where neither."""
    groups: dict[str, list[str]] = {"better": [], "worse": [], "different": [], "unclear": []}
    for row in rows:
        alike = sum(other.label == row.label for other in rows) > 1
        groups[row.verdict].append(f"{row.label} ({row.part})" if alike and row.part else row.label)
    unclear = groups.pop("unclear")
    clear = [f"clearly {verdict} on {listed(names)}" for verdict, names in groups.items() if names]
    name = f"Arm {subject.name}{epsilon_words(subject)}"
    if not clear:
        return f"{name} is clearly better or worse on none of these."
    return f"{name} is {'; '.join(clear)}." + (f" No clear difference: {listed(unclear)}." if unclear else "")
