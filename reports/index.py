"""Who is who in a record, and where its numbers stand."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from probes.results import ALL, Estimate, Metric, NotMeasured, Pillar, Value
from reports.record import ArmRecord, AuditRecord, Contrast, PrivacyRecord, ProbeRecord, digest
from reports.words.format import Shown, shown, significant
from reports.words.text import part_words

PILLARS: tuple[Pillar, ...] = ("bias", "privacy", "robustness", "utility")
"""The order of everything on the page."""

FIRST = (
    "minimal_pairs.stereotype_rate",
    "group_disparity.accuracy_difference",
    "group_disparity.equalized_odds_difference",
    "name_swap.excess_flip_rate",
    "membership.tpr_at_fpr",
    "membership.auc",
    "canaries.exposure",
    "canaries.epsilon_lower_bound",
    "domain_shift.worst_accuracy_drop",
    "domain_shift.expected_calibration_error",
    "language_shift.perplexity_ratio",
    "perturbation.robust_accuracy",
    "utility.macro_f1",
    "utility.accuracy",
    "language_quality.perplexity",
)
"""What is spoken of first where there is room for few numbers; all others follow in the record's order."""

DP_CLAIM = "dp_claim"
"""The "probe" of checks that are lines of a differential privacy claim."""


@dataclass(frozen=True)
class Index:
    """A record with its arms by part and its numbers by address.

    Attributes:
        record: The record.
        sha256: SHA-256 of its file, which an older version may have written without the fields of this one; "" where
            there is no file.
    """

    record: AuditRecord
    sha256: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the record's file."""
        return self.sha256 or digest(self.record)

    @cached_property
    def arms(self) -> dict[str, ArmRecord]:
        """The arms by name."""
        return {arm.name: arm for arm in self.record.arms}

    @cached_property
    def candidate(self) -> ArmRecord | None:
        """The arm to be deployed; where none is named, the first candidate."""
        if self.record.deploy is not None:
            return self.arms.get(self.record.deploy)
        return next((arm for arm in self.record.arms if arm.role == "candidate"), None)

    @cached_property
    def other(self) -> ArmRecord | None:
        """What the candidate is compared with: the private arm; where the candidate is private, one that is not.

        Where no such arm is there, the arm of the candidate's first difference (the untouched base, usually).
        """
        if self.candidate is None:
            return None
        wanted = not is_private(self.candidate)
        for arm in self.record.arms:
            if arm.role == "candidate" and arm is not self.candidate and is_private(arm) == wanted:
                return arm
        names = (c.reference for c in self.record.contrasts if c.arm == self.candidate.name)
        return next((self.arms[name] for name in names if name in self.arms), None)

    @cached_property
    def pair(self) -> tuple[ArmRecord, ...]:
        """The candidate and what it is compared with, as far as they are there."""
        return tuple(arm for arm in (self.candidate, self.other) if arm is not None)

    def twin(self, arm: ArmRecord) -> ArmRecord | None:
        """The arm's twin."""
        return next((twin for twin in self.record.arms if twin.twin_of == arm.name), None)

    def asked(self, arm: ArmRecord, probe: str) -> ArmRecord:
        """The arm that stands for this one in a probe's numbers: itself where it has some, else its twin."""
        twin = self.twin(arm)
        if twin is None or (arm.name, probe) in self._pairs:
            return arm
        return twin

    @cached_property
    def _pairs(self) -> frozenset[tuple[str, str]]:
        held = {(m.arm, m.probe) for m in self.record.metrics}
        held |= {(s.arm, s.probe) for s in self.record.series}
        return frozenset(held | {(c.arm, c.probe) for c in self.record.checks})

    @cached_property
    def metrics(self) -> dict[tuple[str, str, str], Metric]:
        """By arm, "probe.name" and slice: the number over all seeds, or the first seed's where there is none."""
        found: dict[tuple[str, str, str], Metric] = {}
        for metric in self.record.metrics:
            key = (metric.arm, address(metric), metric.slice)
            if key not in found or (metric.seed is None and found[key].seed is not None):
                found[key] = metric
        return found

    @cached_property
    def by_seed(self) -> dict[tuple[str, str, str], list[Metric]]:
        """By arm, "probe.name" and slice: the numbers of single training seeds, where there are several."""
        found: dict[tuple[str, str, str], list[Metric]] = {}
        for metric in self.record.metrics:
            if metric.seed is not None:
                found.setdefault((metric.arm, address(metric), metric.slice), []).append(metric)
        return {key: metrics for key, metrics in found.items() if len(metrics) > 1}

    @cached_property
    def by_id(self) -> dict[str, Metric]:
        """The numbers by `Metric.metric_id`."""
        return {metric.metric_id: metric for metric in self.record.metrics}

    def part(self, metric: Metric) -> str:
        """What a number speaks of besides its metric, in words: its slice, and for a bound on epsilon its delta."""
        words = [] if metric.slice == ALL else [part_words(metric.slice)]
        delta = self.delta(metric)
        return ", ".join(words if delta is None else [*words, f"at δ = {significant(delta)}"])

    def labelled(self, metric: Metric) -> str:
        """A metric's label with what it speaks of."""
        part = self.part(metric)
        return f"{metric.label} ({part})" if part else metric.label

    def delta(self, metric: Metric) -> float | None:
        """The delta that a bound on epsilon is stated at; None for other metrics, and where no series tells it."""
        return self._deltas.get((metric.arm, metric.probe)) if metric.unit == "epsilon" else None

    @cached_property
    def _deltas(self) -> dict[tuple[str, str], float]:
        found = {}
        for held in self.record.series:
            delta = held.series.notes.get("delta")
            if held.series.kind == "epsilon" and isinstance(delta, int | float):
                found[held.arm, held.probe] = float(delta)
        return found

    def metric(self, arm: ArmRecord, name: str, part: str = ALL) -> Metric | None:
        """The number of an arm, or of its twin where it is only measured there."""
        twin = self.twin(arm)
        names = (arm.name,) if twin is None else (arm.name, twin.name)
        return next((self.metrics[n, name, part] for n in names if (n, name, part) in self.metrics), None)

    def probes(self, pillar: Pillar) -> list[ProbeRecord]:
        """The probes of a chapter, in the record's order; one that only its findings name stands for itself."""
        named = [probe for probe in self.record.probes if probe.pillar == pillar]
        known = {probe.name for probe in self.record.probes}
        orphans = {m.probe: None for m in self.record.metrics if m.pillar == pillar and m.probe not in known}
        return named + [
            ProbeRecord(name=name, probe=name, pillar=pillar, question="", limits="", source="", parameters={})
            for name in orphans
        ]

    def headlines(self, pillar: Pillar, arm: ArmRecord) -> Iterator[Metric]:
        """The arm's numbers of a chapter: each metric once, in the order of `FIRST`, then their further slices."""
        seen: Counter[str] = Counter()
        turns = []
        for place, metric in enumerate(self._of(arm, pillar)):
            name = address(metric)
            rank = FIRST.index(name) if name in FIRST else len(FIRST)
            turns.append((seen[name], rank, place, metric))
            seen[name] += 1
        yield from (metric for *_, metric in sorted(turns, key=lambda turn: turn[:3]))

    def _of(self, arm: ArmRecord, pillar: Pillar) -> Iterator[Metric]:
        for metric in self.metrics.values():
            if metric.pillar == pillar and metric.arm == self.asked(arm, metric.probe).name:
                yield metric

    def contrast(self, metric: Metric, arm: ArmRecord, reference: ArmRecord) -> Contrast | None:
        """The paired difference of two arms in a metric, in whichever direction it was taken."""
        names = {self.asked(a, metric.probe).name for a in (arm, reference)}
        for contrast in self._contrasts.get((address(metric), metric.slice), ()):
            if {contrast.arm, contrast.reference} == names:
                return contrast
        return None

    @cached_property
    def _contrasts(self) -> dict[tuple[str, str], list[Contrast]]:
        found: dict[tuple[str, str], list[Contrast]] = {}
        for contrast in self.record.contrasts:
            found.setdefault((contrast.metric, contrast.slice), []).append(contrast)
        return found


def address(metric: Metric) -> str:
    """A metric without arm and slice: "probe.name"."""
    return f"{metric.probe}.{metric.name}"


def show(metric: Metric, beside: float | None = None) -> Shown:
    """A metric as it is shown."""
    return shown(metric.estimate, metric.unit, beside=beside, kind="metric", key=metric.metric_id)


def show_contrast(contrast: Contrast) -> Shown:
    """A paired difference as it is shown."""
    return shown(contrast.difference, contrast.unit, difference=True, kind="contrast", key=contrast_id(contrast))


def contrast_id(contrast: Contrast) -> str:
    """Where a difference stands: "arm - reference/probe.name[slice]"."""
    where = f"[{contrast.slice}]" if contrast.slice else ""
    return f"{contrast.arm} - {contrast.reference}/{contrast.metric}{where}"


def turned(contrast: Contrast, index: Index, subject: ArmRecord) -> Value:
    """The difference as subject minus the other arm, whichever way it was taken."""
    difference = contrast.difference
    if isinstance(difference, NotMeasured) or contrast.arm == index.asked(subject, contrast.probe).name:
        return difference
    low = None if difference.high is None else -difference.high
    high = None if difference.low is None else -difference.low
    return replace(difference, value=-difference.value, low=low, high=high)


def is_private(arm: ArmRecord) -> bool:
    """Whether the arm was trained with differential privacy, or claims to have been."""
    return arm.claims is not None or any(run.privacy is not None for run in arm.runs)


def is_made_to_leak(arm: ArmRecord | None) -> bool:
    """Whether the arm is a training that leaks on purpose: it is shown apart, and nothing rests on it."""
    return arm is not None and arm.control is not None


def privacy_of(arm: ArmRecord) -> PrivacyRecord | None:
    """What differential privacy an arm's first training run keeps."""
    return next((run.privacy for run in arm.runs if run.privacy is not None), None)


def estimated(metrics: Iterable[Metric]) -> Iterator[Metric]:
    """Those of the metrics that have a number."""
    return (metric for metric in metrics if isinstance(metric.estimate, Estimate))
