"""What was found, in one sentence per pillar."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from probes.results import Estimate, Metric, Pillar
from reports.index import Index, estimated, show
from reports.parts.marks import Mark, level_mark
from reports.record import GateResult, Judgement
from reports.words.format import counted, level, shown
from reports.words.text import as_sentence, capitalised
from reports.words.wording import VERDICTS, Sentence, demanded, gate_name, observed, tally

TITLES: dict[Pillar, str] = {"bias": "Bias", "privacy": "Privacy", "robustness": "Robustness", "utility": "Utility"}


_SCALES = {
    "auc": "0.5 is guessing, 1 is never wrong",
    "nats": "0.7 nats is twice as likely, 2.3 nats ten times",
    "bits": "each bit halves the guesses that a secret takes",
    "epsilon": "odds may change by a factor of up to e to the ε",
    "perplexity": "among how many words the model is as good as undecided",
}
"""How to read a number in a unit that is not everyday."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One pillar on the first page.

    Attributes:
        pillar: Which.
        sentence: The finding, with its interval, what no effect would show and what the policy demands.
        brief: The same without what no effect would show.
        mark: The same as a mark; None where there is no number.
        verdicts: Its gates: icon and words, for each verdict that occurs.
        circumstances: What must be known of the number, by name.
    """

    pillar: Pillar
    sentence: Sentence
    brief: Sentence
    mark: Mark | None
    verdicts: tuple[tuple[str, str], ...]
    circumstances: tuple[tuple[str, str], ...] = ()

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
    nothing = (_nothing(pillar, index),)
    return Card(pillar=pillar, sentence=nothing, brief=nothing, mark=None, verdicts=verdicts)


def _nothing(pillar: Pillar, index: Index) -> str:
    probes = {probe.name for probe in index.probes(pillar)}
    reason = next((unit.reason for unit in index.record.unmeasured if unit.probe in probes), "")
    if reason:
        return as_sentence(f"Nothing was measured: {reason}")
    return "Nothing was measured." if probes else "Nothing was asked."


def _of_gate(gate: GateResult, estimate: Estimate, index: Index, verdicts: tuple[tuple[str, str], ...]) -> Card:
    metric = index.by_id.get(gate.metric_id or "")
    is_difference = gate.kind != "bound"
    name, limit = gate_name(gate, index), demanded(gate)
    is_open = gate.verdict == "inconclusive"
    policy = f"Whether that keeps to the limit is open: the policy {limit}." if is_open else f"The policy {limit}."
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
    seen = observed(gate) or ""
    return Card(
        pillar=gate.pillar,
        sentence=(f"{name}: ", seen, ". ", null_words(estimate, gate.unit, is_difference, gate.pillar), policy),
        brief=(f"{name}: ", seen, f"; the policy {limit}."),
        mark=mark,
        verdicts=verdicts,
        circumstances=tuple(_circumstances(estimate, gate.unit, gate.pillar, metric, index)),
    )


def _of_metric(metric: Metric, estimate: Estimate, index: Index, verdicts: tuple[tuple[str, str], ...]) -> Card:
    name = capitalised(index.labelled(metric))
    return Card(
        pillar=metric.pillar,
        sentence=(f"{name}: ", show(metric), ". ", null_words(estimate, metric.unit, False, metric.pillar)),
        brief=(f"{name}: ", show(metric), "."),
        mark=level_mark(name, "none", estimate, metric.unit, anchor=metric.ideal),
        verdicts=verdicts,
        circumstances=tuple(_circumstances(estimate, metric.unit, metric.pillar, metric, index)),
    )


def null_words(estimate: Estimate, unit: str, difference: bool, pillar: Pillar) -> str:
    """What no effect would show, as a sentence with a space after it; "" where that is not known."""
    if estimate.null is None:
        return ""
    null = replace(estimate, value=estimate.null.value, low=estimate.null.value, high=estimate.null.value)
    meaning = f" ({estimate.null.meaning})" if estimate.null.meaning else ""
    is_skill = pillar == "utility" and not difference
    lead = "A model without skill would reach" if is_skill else "With nothing to find it would be"
    return f"{lead} {shown(null, unit, difference=difference).interval}{meaning}. "


def _circumstances(
    estimate: Estimate, unit: str, pillar: Pillar, metric: Metric | None, index: Index
) -> Iterator[tuple[str, str]]:
    recorded = metric.estimate if metric is not None else None
    corrected = isinstance(recorded, Estimate) and recorded.level < estimate.level
    yield "Interval", f"{level(estimate.level)}{', for several gates are judged at once' if corrected else ''}"
    if unit in _SCALES:
        yield "Scale", _SCALES[unit]
    yield "▴ Could have seen", seen(estimate, unit)
    if pillar == "privacy":
        yield "Attacker had", metric.access if metric is not None and metric.access else "not stated"
    yield "Rests on", counted(estimate.n, estimate.unit_of_n)
    yield "Speaks for", speaks_for(estimate, metric, index)


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
