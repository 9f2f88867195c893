"""What a gate speaks of: the numbers of a record that it judges, or why there are none."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from audit.settings.sections.arms import TWIN
from audit.settings.sections.policy import Gate
from probes.catalog import find
from probes.protocol import Key
from probes.results import ALL, Estimate, Metric, NotMeasured, Pillar
from reports.record import AuditRecord, Contrast
from reports.words.text import part_words

_ADDRESS = re.compile(r"^(?P<probe>[\w-]+)\.(?P<metric>[\w-]+)(?:\[(?P<slice>.*)\])?$")

EVERY = "*"
"""The slice that stands for each slice there is; the number over all rows is none of them."""


def address(metric: str) -> tuple[str, str, str]:
    """Probe, metric and slice of "probe.metric[slice]"; the slice is empty where there is none.

    Raises:
        ValueError: The text is no address.
    """
    match = _ADDRESS.match(metric)
    if match is None:
        raise ValueError(f"a metric is addressed as probe.metric or probe.metric[slice]; got {metric!r}")
    return match["probe"], match["metric"], match["slice"] or ALL


@dataclass(frozen=True, kw_only=True)
class Target:
    """One number that a gate judges; a gate with the slice "*" has one for each slice.

    Attributes:
        gate: The gate.
        name: The gate's name, with the slice where it has several.
        arm: The arm judged.
        reference: For gates against a reference, the arm it is compared with.
        probe: The probe's name in the config.
        key: Metric and slice.
        pillar: The probe's chapter.
        metric: The number in the record, None where there is none.
        contrast: For gates against a reference, the paired difference in the record.
        apart: Whether the two arms lie on different sides of the ideal; their difference is then no loss of either.
        absent: Why there is nothing to judge.
        broken: Whether that is because a unit broke.
    """

    gate: Gate
    name: str
    arm: str
    reference: str | None
    probe: str
    key: Key
    pillar: Pillar
    metric: Metric | None = None
    contrast: Contrast | None = None
    apart: bool = False
    absent: str | None = None
    broken: bool = False

    @property
    def family(self) -> str:
        """The gates it is corrected with."""
        return self.gate.family or self.pillar

    @property
    def better(self) -> Literal[-1, 1]:
        """+1 where larger values (or differences) are better."""
        if self.gate.kind == "bound":
            return -1 if self.gate.max is not None else 1
        return -1 if self.apart or (self.contrast is not None and self.contrast.better < 0) else 1

    @property
    def limit(self) -> float | None:
        """The limit on the axis of the value (bound) or of the difference; None where there is no difference."""
        if self.gate.kind == "bound":
            return self.gate.max if self.gate.max is not None else self.gate.min
        if self.contrast is None:
            return None
        return -self.better * float(self.gate.margin or 0.0)


def targets(gate: Gate, record: AuditRecord) -> list[Target]:
    """What a gate judges in a record: at least one target, which says why where there is nothing to judge.

    A probe that broke on the arm, or on the arm it is compared with, leaves nothing to judge, whatever else was found:
    numbers of the seeds that did not break speak for another recipe than the one declared.
    """
    probe, name, part = address(gate.metric)
    arm = _judged_arm(gate, record, probe)
    reference = None if gate.reference is None else _twin_or_self(record, gate.reference, arm)
    target = Target(
        gate=gate,
        name=gate.id,
        arm=arm,
        reference=reference,
        probe=probe,
        key=(name, part),
        pillar=next((p.pillar for p in record.probes if p.name == probe), _pillar(probe)),
    )
    for asked in (arm, reference):
        broken = _unmeasured(record, asked, probe, "error")
        if broken is not None:
            return [replace(target, absent=f"{probe} broke on {asked}: {broken}", broken=True)]
    found = [m for m in _speaking(record, arm) if (m.probe, m.name) == (probe, name) and _is_part(m.slice, part)]
    if not found:
        return [replace(target, absent=_why_absent(record, target))]
    return [_with_number(target, record, metric) for metric in found]


def _pillar(probe: str) -> Pillar:
    """The chapter of a probe that was not put to any arm."""
    try:
        return find(probe).pillar
    except ValueError:  # the probe of a package that is not installed any more
        return "utility"


def _is_part(part: str, wanted: str) -> bool:
    return part != ALL if wanted == EVERY else part == wanted


def _with_number(target: Target, record: AuditRecord, metric: Metric) -> Target:
    name = f"{target.name} [{metric.slice}]" if target.key[1] == EVERY else target.name
    target = replace(target, name=name, key=(metric.name, metric.slice), metric=metric)
    if isinstance(metric.estimate, NotMeasured):
        return replace(target, absent=metric.estimate.reason)
    return target if target.reference is None else _with_contrast(target, record, metric.estimate.value)


def _with_contrast(target: Target, record: AuditRecord, ours: float) -> Target:
    """The target with its paired difference, and whether the two arms lie on different sides of the ideal."""
    if target.reference == target.arm:
        return replace(target, absent=f"{target.gate.reference} is itself the arm to compare with")
    if all(arm.name != target.reference for arm in record.arms):
        return replace(target, absent=f"there is no arm {target.gate.reference} to compare with")
    wanted = (target.arm, target.reference, f"{target.probe}.{target.key[0]}", target.key[1])
    contrast = next((c for c in record.contrasts if (c.arm, c.reference, c.metric, c.slice) == wanted), None)
    if contrast is None:
        words = f"{target.arm} and {target.reference} were not compared in it"
        return replace(target, absent=words)
    if isinstance(contrast.difference, NotMeasured):
        return replace(target, absent=contrast.difference.reason)
    if contrast.ideal is None:
        words = f"{contrast.label}: no value of it is better than another, so a difference is no loss"
        return replace(target, absent=words)
    theirs = _value_of(record, str(target.reference), target)
    if theirs is None:
        return replace(target, absent=f"{target.reference} has no value that tells which difference is a loss")
    apart = (ours - contrast.ideal) * (theirs - contrast.ideal) < 0
    return replace(target, contrast=contrast, apart=apart)


def _value_of(record: AuditRecord, arm: str, target: Target) -> float | None:
    for metric in _speaking(record, arm):
        if (metric.probe, metric.name, metric.slice) == (target.probe, *target.key):
            return metric.estimate.value if isinstance(metric.estimate, Estimate) else None
    return None


def _judged_arm(gate: Gate, record: AuditRecord, probe: str) -> str:
    """The gate's arm, or the one to be deployed; what only a twin was asked is judged on the twin."""
    arm = gate.arm or record.deploy or ""
    return arm + TWIN if not _asked(record, arm, probe) and _asked(record, arm + TWIN, probe) else arm


def _asked(record: AuditRecord, arm: str, probe: str) -> bool:
    return any((m.arm, m.probe) == (arm, probe) for m in record.metrics) or any(
        (u.arm, u.probe) == (arm, probe) for u in record.unmeasured
    )


def _twin_or_self(record: AuditRecord, reference: str, judged: str) -> str:
    twin = reference + TWIN
    return twin if judged.endswith(TWIN) and any(a.name == twin for a in record.arms) else reference


def _speaking(record: AuditRecord, arm: str) -> list[Metric]:
    """The metrics that speak for an arm: over its seeds where it has several."""
    runs = next((len(a.runs) for a in record.arms if a.name == arm), 1)
    return [m for m in record.metrics if m.arm == arm and (m.seed is None) == (runs > 1)]


def _unmeasured(record: AuditRecord, arm: str | None, probe: str, outcome: str) -> str | None:
    """Why a probe has no number on an arm, where that is on file."""
    return next((u.reason for u in record.unmeasured if (u.arm, u.probe, u.outcome) == (arm, probe, outcome)), None)


def _why_absent(record: AuditRecord, target: Target) -> str:
    reason = _unmeasured(record, target.arm, target.probe, "not measured")
    if reason is not None:
        return reason
    if all(p.name != target.probe for p in record.probes):
        return f"the probe {target.probe.replace('_', ' ')} was not put to any arm"
    name, part = target.key
    known = [m.slice for m in _speaking(record, target.arm) if (m.probe, m.name) == (target.probe, name)]
    slices = ", ".join(sorted({f"[{s}]" if s else "all rows" for s in known})[:6])  # as a gate would name them
    which = "it" if part in {ALL, EVERY} else part_words(part)
    there_is = f"; there is {slices}" if slices else ""
    return f"{which} was not measured on {target.arm or 'any arm'}{there_is}"
