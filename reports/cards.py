"""What was found, in one sentence per pillar."""

from dataclasses import dataclass, replace

from probes.results import ALL, Estimate, Metric, Pillar
from reports.format import counted, shown
from reports.index import Index, estimated, show
from reports.marks import Mark, level_mark
from reports.record import Contrast, GateResult, Judgement
from reports.text import capitalised, part_words
from reports.wording import VERDICTS, Sentence, allowed, gate_name, observed, tally

TITLES: dict[Pillar, str] = {"bias": "Bias", "privacy": "Privacy", "robustness": "Robustness", "utility": "Utility"}


@dataclass(frozen=True, kw_only=True)
class Card:
    """One pillar on the first page.

    Attributes:
        pillar: Which.
        sentence: The finding, with its interval, what no effect would show and what the policy allows.
        mark: The same as a mark; None where there is no number.
        verdicts: Its gates: icon and words, for each verdict that occurs.
        seen: The smallest effect this audit could have seen.
        attacker: What the attacker was given.
        speaks: What the number speaks for.
    """

    pillar: Pillar
    sentence: Sentence
    mark: Mark | None
    verdicts: tuple[tuple[str, str], ...]
    seen: str = ""
    attacker: str = ""
    speaks: str = ""

    @property
    def title(self) -> str:
        """The pillar's name."""
        return TITLES[self.pillar]


def card(pillar: Pillar, index: Index, judgement: Judgement | None) -> Card:
    """The pillar's finding: that of its worst gate; without gates, its first number."""
    gates = [gate for gate in judgement.gates if gate.pillar == pillar] if judgement is not None else []
    verdicts = tuple(
        (tone, tally([gate for gate in gates if gate.verdict == verdict]))
        for verdict, (_, tone) in VERDICTS.items()
        if any(gate.verdict == verdict for gate in gates)
    )
    worst_first = sorted(gates, key=lambda gate: (list(VERDICTS).index(gate.verdict), gate.level != "block"))
    for gate in worst_first:
        if isinstance(gate.observed, Estimate):
            return _of_gate(gate, gate.observed, index, verdicts)
    if index.candidate is not None:
        for metric in estimated(index.headlines(pillar, index.candidate)):
            assert isinstance(metric.estimate, Estimate)
            return _of_metric(metric, metric.estimate, index, verdicts)
    return Card(pillar=pillar, sentence=(_nothing(pillar, index),), mark=None, verdicts=verdicts)


def _nothing(pillar: Pillar, index: Index) -> str:
    probes = {probe.name for probe in index.probes(pillar)}
    reason = next((unit.reason for unit in index.record.unmeasured if unit.probe in probes), "")
    if reason:
        return f"Nothing was measured: {reason}"
    return "Nothing was measured." if probes else "Nothing was asked."


def _of_gate(gate: GateResult, estimate: Estimate, index: Index, verdicts: tuple[tuple[str, str], ...]) -> Card:
    metric = index.by_id.get(gate.metric_id or "")
    is_difference = gate.kind != "bound"
    name = gate_name(gate, index)
    limit = allowed(gate)
    policy = (
        f"Whether it keeps to {limit} is open." if gate.verdict == "inconclusive" else f"The policy allows {limit}."
    )
    mark = level_mark(
        name,
        VERDICTS[gate.verdict][1],
        estimate,
        gate.unit,
        limit=gate.limit,
        better=gate.better,
        anchor=0.0 if is_difference or metric is None else metric.ideal,
        difference=is_difference,
    )
    return Card(
        pillar=gate.pillar,
        sentence=(f"{name}: ", observed(gate) or "", ". ", null_words(estimate, gate.unit, is_difference), policy),
        mark=mark,
        verdicts=verdicts,
        **_circumstances(estimate, gate.unit, gate.pillar, metric, index),
    )


def _of_metric(metric: Metric, estimate: Estimate, index: Index, verdicts: tuple[tuple[str, str], ...]) -> Card:
    name = capitalised(labelled(metric))
    return Card(
        pillar=metric.pillar,
        sentence=(f"{name}: ", show(metric), ". ", null_words(estimate, metric.unit, False)),
        mark=level_mark(name, "none", estimate, metric.unit, anchor=metric.ideal),
        verdicts=verdicts,
        **_circumstances(estimate, metric.unit, metric.pillar, metric, index),
    )


def labelled(metric: Metric | Contrast) -> str:
    """A metric's label with its slice."""
    return f"{metric.label} ({part_words(metric.slice)})" if metric.slice != ALL else metric.label


def null_words(estimate: Estimate, unit: str, difference: bool) -> str:
    """What no effect would show, as a sentence with a space after it; "" where that is not known."""
    if estimate.null is None:
        return ""
    null = replace(estimate, value=estimate.null.value, low=estimate.null.value, high=estimate.null.value)
    meaning = f" ({estimate.null.meaning})" if estimate.null.meaning else ""
    return f"With nothing to find it would be {shown(null, unit, difference=difference).interval}{meaning}. "


def _circumstances(
    estimate: Estimate, unit: str, pillar: Pillar, metric: Metric | None, index: Index
) -> dict[str, str]:
    units = counted(estimate.n, estimate.unit_of_n)
    given = metric.access if metric is not None and metric.access else "not stated"
    return {
        "seen": seen(estimate, unit),
        "attacker": f"{given}; {units}" if pillar == "privacy" else f"no attacker: {units}",
        "speaks": speaks_for(estimate, metric, index),
    }


def seen(estimate: Estimate, unit: str) -> str:
    """The smallest effect that the sample would have shown four times in five."""
    if estimate.detectable is None:
        return "not worked out for this measure"
    size = replace(estimate, value=estimate.detectable, low=estimate.detectable, high=estimate.detectable)
    return f"an effect of {shown(size, unit, difference=True).interval.lstrip('+')} or more"


def speaks_for(estimate: Estimate, metric: Metric | None, index: Index) -> str:
    """Which model, and which training runs, a number speaks for."""
    arm = index.arms.get(metric.arm) if metric is not None else None
    who = f"the twin of {arm.twin_of}" if arm is not None and arm.twin_of else "this model"
    if estimate.varies == "items":
        return f"{who}, one training run, on rows like these"
    return f"the recipe of {who}, over its training seeds"
