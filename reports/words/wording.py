"""What the first screen says: sentences from templates chosen by verdict, never by hand.

A sentence is a tuple of parts, so that one wording serves the page, the Markdown summary and JUnit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from probes.results import Check, Estimate
from reports.index import Index, privacy_of
from reports.record import ArmRecord, GateResult, Judgement
from reports.words.format import Shown, count, counted, exact, short, shown, significant, upper
from reports.words.text import as_sentence, capitalised, listed, minute, visible


@dataclass(frozen=True)
class Strong:
    """Words that stand out."""

    text: str

    def __str__(self) -> str:
        return self.text


Part = str | Shown | Strong
Sentence = tuple[Part, ...]

HEADLINES = {"blocked": "BLOCKED", "passed": "PASSED", "no decision": "NO DECISION", "not judged": "NOT JUDGED"}
"""The verdicts on a record in words; the last where there is none."""

VERDICTS = {
    "fail": ("Fail", "fail"),
    "error": ("Error", "fail"),
    "inconclusive": ("Inconclusive", "open"),
    "not measured": ("Not measured", "none"),
    "pass": ("Pass", "pass"),
}
"""The verdicts on a gate, in the order of the page: the word, and the icon and colour."""

OUTCOMES = {
    "fail": ("Fail", "fail"),
    "refuted": ("Refuted", "fail"),
    "could not have been refuted": ("Could not have been refuted", "none"),
    "not checked": ("Not checked", "none"),
    "not refuted": ("Not refuted", "pass"),
    "pass": ("Pass", "pass"),
}
"""The outcomes of a check, likewise."""

_COUNTED = {
    "pass": "passed",
    "fail": "failed",
    "error": "could not be judged for an error",
    "inconclusive": "inconclusive",
    "not measured": "not measured",
}
_NAMED = 2
"""Gates that an answer names before it says how many more there are."""


ATTEMPTS = ("refuted", "not refuted", "could not have been refuted")
"""The outcomes of attempts to refute a claim, those that a reader must know first."""

_REFUTERS = {
    "claimed epsilon": "the bound for any mechanism (SNJ)",
    "claimed mechanism": "the curve of the claimed mechanism (MMC)",
    "claimed epsilon, all nights together": "the evidence of all nights together",
}
"""What can refute a claim, by the name of the check that tells of it."""


def refuter(check: Check) -> str:
    """The test that a verdict on a claim is by, in words."""
    return _REFUTERS.get(check.name, f"the check ‘{visible(check.name)}’")


def plain(sentence: Sentence) -> str:
    """A sentence without its marks."""
    return "".join(str(part) for part in sentence)


def tally(gates: Sequence[GateResult]) -> str:
    """How the gates came out: "1 failed, 2 passed"."""
    counts = {verdict: sum(gate.verdict == verdict for gate in gates) for verdict in VERDICTS}
    return ", ".join(f"{count(n)} {_COUNTED[verdict]}" for verdict, n in counts.items() if n)


def score(gates: Sequence[GateResult]) -> Sentence:
    """The headline's second line: how many of the gates passed, what became of the rest, what would decide it."""
    passed = sum(gate.verdict == "pass" for gate in gates)
    parts: list[Part] = [Strong(f"{count(passed)} of {counted(len(gates), 'gate')} passed")]
    for verdict in ("fail", "error", "inconclusive", "not measured"):
        found = [gate for gate in gates if gate.verdict == verdict]
        if found:
            only = " (warning only)" if all(gate.level == "warn" for gate in found) else ""
            parts.append(Strong(f", {count(len(found))} {_COUNTED[verdict]}{only}"))
            parts += _needs(found)
    return (*parts, ".")


def _needs(gates: Sequence[GateResult]) -> list[Part]:
    needing = [gate for gate in gates if gate.rows_needed is not None]
    if not needing:
        return []
    most = max(needing, key=lambda gate: gate.rows_needed or 0)
    return [f" (needs about {more_units(most)})"]


def more_units(gate: GateResult) -> str:
    """How many more units would decide a gate: "1,400 more pairs"."""
    unit = gate.observed.unit_of_n if isinstance(gate.observed, Estimate) else "row"
    number, noun = counted(gate.rows_needed or 0, unit).split(" ", 1)
    return f"{number} more {noun}"


def allowed(gate: GateResult) -> str:
    """What the policy allows: "at most 3 %", "a loss of at most 5 points"; "" where the gate has no limit."""
    if gate.limit is None:
        return ""
    if gate.kind == "bound":
        return f"at {'least' if gate.better > 0 else 'most'} {exact(gate.limit, gate.unit)}"
    return f"a loss of at most {exact(abs(gate.limit), gate.unit, difference=True)}"


def demanded(gate: GateResult) -> str:
    """The same with its verb, after "the policy": "allows at most 3 %", "asks for at least 70 %"."""
    limit = allowed(gate)
    return f"{'asks for' if gate.kind == 'bound' and gate.better > 0 else 'allows'} {limit}" if limit else ""


UNNAMED = "owner not named"
"""What stands where nobody answers for a limit."""


def observed(gate: GateResult) -> Shown | None:
    """What a gate judged, with as many digits as tell it from the limit."""
    if gate.observed is None:
        return None
    is_difference = gate.kind != "bound"
    return shown(gate.observed, gate.unit, difference=is_difference, beside=gate.limit, kind="gate", key=gate.id)


def gate_name(gate: GateResult, index: Index) -> str:
    """What a gate speaks of: the metric, its slice, and for a difference the arm it is taken against."""
    metric = index.by_id.get(gate.metric_id or "")
    part = "" if metric is None else index.part(metric)
    against = f", against {gate.reference or 'its reference'}" if gate.kind != "bound" else ""
    return f"{capitalised(gate.label)}{f' ({part})' if part else ''}{against}"


def _named(gate: GateResult, index: Index) -> Sentence:
    value, limit = observed(gate), demanded(gate)
    seen: Sentence = (" ", value) if value is not None else (" ", gate.reason)
    return (Strong(f"{gate_name(gate, index)}:"), *seen, f"; the policy {limit}. " if limit else ". ")


def _several(gates: Sequence[GateResult], index: Index) -> Sentence:
    parts = [part for gate in gates[:_NAMED] for part in _named(gate, index)]
    more = len(gates) - _NAMED
    return (*parts, f"And {counted(more, 'more gate')}." if more > 0 else "")


def what_failed(judgement: Judgement, index: Index) -> Sentence:
    """The gates that failed or broke, the first of them with interval and limit."""
    gates = [gate for gate in judgement.gates if gate.verdict in {"fail", "error"}]
    return _several(gates, index) if gates else ("No gate failed.",)


def undecided(judgement: Judgement, index: Index) -> Sentence:
    """The gates that are inconclusive, the first of them with interval and limit."""
    gates = [gate for gate in judgement.gates if gate.verdict == "inconclusive"]
    if not gates:
        return ("No gate is inconclusive.",)
    needing = [gate for gate in gates[:_NAMED] if gate.rows_needed is not None]
    if not needing:
        return _several(gates, index)
    which = "it" if len(gates) == 1 else "the first"
    return (*_several(gates, index), f"About {more_units(needing[0])} would decide {which}, if the value stays.")


def how_sure(judgement: Judgement, index: Index) -> Sentence:
    """What the first failed gate's evidence is worth; where none failed, what passing means."""
    failed = [gate for gate in judgement.gates if gate.verdict == "fail"]
    if not failed:
        passed = any(gate.verdict == "pass" for gate in judgement.gates)
        return (
            ("Of a gate that passed, the whole interval lies on the allowed side.",) if passed else ("Nothing passed.",)
        )
    gate = failed[0]
    parts = [as_sentence(gate.reason)]
    if isinstance(gate.observed, Estimate):
        parts.append(speaks(gate.observed))
    metric = index.by_id.get(gate.metric_id or "")
    if metric is not None and metric.role == "twin":
        parts.append(measured_on_twin(index))
    return (" ".join(parts),)


def speaks(estimate: Estimate) -> str:
    """What an interval speaks for, as a sentence."""
    if estimate.varies == "items":
        return "It speaks for this training run, not for every run of the recipe."
    return "It speaks for the recipe: training seeds vary in it as well."


def measured_on_twin(index: Index) -> str:
    """What a twin is."""
    data = index.record.data
    left_out = data.pool - data.pool_members
    return (
        f"It was measured on a twin, never deployed: the same recipe, with {count(left_out)} of the "
        f"{counted(data.pool, 'row')} of an audit pool left out by fair coins."
    )


def whose_limit(judgement: Judgement, index: Index) -> Sentence:
    """Who set the limits that matter, and whether they stood before anything was measured."""
    gates = [gate for gate in judgement.gates if gate.verdict in {"fail", "inconclusive", "error"}] or judgement.gates
    owners = list(dict.fromkeys(filter(None, (gate.owner for gate in gates)))) or list(filter(None, [judgement.owner]))
    whose = f"Set by {listed(owners)}" if owners else "Nobody is named who answers for the limits"
    source = gates[0].source if gates else None
    why = f" Why, of the first: {as_sentence(source)}" if source else ""
    return (f"{whose}.{why} {sealing(judgement, index)}",)


def judged_weights(judgement: Judgement, index: Index) -> str:
    """Which weights the gates judged, by arm, as a sentence; "" where none of them has a number."""
    known = (index.by_id.get(gate.metric_id or "") for gate in judgement.gates)
    named = dict.fromkeys(metric.arm for metric in known if metric is not None)
    arms = [index.arms[name] for name in named if name in index.arms]
    held = [f"{arm.name} {listed([short(run.identity.weights, 16) for run in arm.runs])}" for arm in arms if arm.runs]
    return f"Weights judged, sha256: {'; '.join(held)}." if held else ""


def sealing(judgement: Judgement, index: Index) -> str:
    """When the policy was sealed, and whether the record knows of it."""
    gates = "The gate was" if len(judgement.gates) == 1 else f"The {count(len(judgement.gates))} gates were"
    if judgement.deviations:
        return " ".join(as_sentence(deviation) for deviation in judgement.deviations)
    known = index.record.provenance.gates
    if known is None:
        return f"{gates} written without a seal: the record names no policy that stood before it was measured."
    if known != judgement.sealed:
        return f"{gates} not those sealed before measuring: the record names policy {short(known)}."
    late = index.record.provenance.measured_before
    seal = f"{gates} sealed on {minute(judgement.sealed_at)}"
    if late:
        return f"{seal}, after {counted(late, 'part')} of the plan had been measured by an earlier run."
    return f"{seal}, before anything was measured."


def epsilon_words(arm: ArmRecord) -> str:
    """The arm's differential privacy in brackets, a space before them; "" where it has none."""
    privacy = privacy_of(arm)
    if privacy is not None and privacy.epsilon is not None:
        return f" (ε at most {upper(privacy.epsilon)} at δ = {significant(privacy.delta)})"
    if privacy is not None:
        return " (ε unknown)"
    if arm.claims:
        return f" (ε = {significant(arm.claims.get('epsilon', 0.0))} claimed, not accounted here)"
    return ""
