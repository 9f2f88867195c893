"""Would this battery have found a leak: what it found in trainings that were made to leak.

A control is found by one rule that is fixed beforehand, so that nothing is picked: the training that learnt its data by
heart where the interval of its canary AUC (without canaries, of the loss attack's membership AUC) lies above guessing,
the one that claims an epsilon without noise where its claim is refuted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from probes.results import Estimate, Metric
from reports.index import Index, address, is_made_to_leak, show
from reports.record import ArmRecord
from reports.words.format import Shown, significant
from reports.words.text import as_sentence, capitalised, listed
from reports.words.wording import Sentence

_FOUND = {"found": ("Found", "pass"), "missed": ("Missed", "fail"), "blind": ("Could not be found", "none")}
"""What became of a control: the word, and the icon and colour."""

_BY_HEART = (("canaries.auc", ""), ("membership.auc", "attack=loss"))
"""The numbers that tell whether data were learnt by heart, the first of them that is there, with their slice."""

_SHOWN = (
    "canaries.auc",
    "canaries.exposure",
    "canaries.exposure_gain",
    "membership.auc",
    "canaries.epsilon_lower_bound",
    "canaries.epsilon_if_gaussian",
)


@dataclass(frozen=True, kw_only=True)
class Control:
    """One training that was made to leak.

    Attributes:
        name: Its name.
        word: Whether it was found.
        tone: The same as an icon.
        what: What it did.
        numbers: What was measured on it, by name.
        said: What came of the attempt to refute what it claims, in sentences.
    """

    name: str
    word: str
    tone: str
    what: str
    numbers: tuple[tuple[str, Shown], ...]
    said: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Battery:
    """Whether the privacy probes would have found a leak on these data.

    Attributes:
        answer: In a sentence.
        controls: The trainings that were made to leak.
    """

    answer: Sentence
    controls: tuple[Control, ...]


def battery(index: Index) -> Battery | None:
    """What was found in the trainings that were made to leak; None where there is none."""
    arms = [arm for arm in index.record.arms if is_made_to_leak(arm)]
    if not arms:
        return None
    outcomes = {arm.name: _outcome(index, arm) for arm in arms}
    return Battery(
        answer=(_answer(outcomes),), controls=tuple(_control(index, arm, outcomes[arm.name]) for arm in arms)
    )


def _answer(outcomes: dict[str, str]) -> str:
    named = {word: [name for name, outcome in outcomes.items() if outcome == word] for word in _FOUND}
    if named["found"] == list(outcomes):
        trainings = "The training" if len(outcomes) == 1 else "Both trainings"
        was = "was" if len(outcomes) == 1 else "were"
        made = f"made to leak on purpose ({listed(list(outcomes))})"
        return f"{trainings} {made} {was} found by the same probes on the same data; a weaker leak may still be missed."
    verbs = {"missed": ("was missed", "were missed"), "found": ("was found", "were found")}
    could_not = "could not have been found on these data"
    fates = [
        f"{listed(named[word])} {verbs.get(word, (could_not, could_not))[len(named[word]) > 1]}"
        for word in ("missed", "blind", "found")
        if named[word]
    ]
    return (
        f"Not every leak would have been found here: of the trainings made to leak on purpose, {listed(fates)}; a low "
        f"figure for leakage says the less for it."
    )


def _outcome(index: Index, arm: ArmRecord) -> str:
    if arm.control == "no_noise":
        verdicts = {found.check.outcome for found in index.record.checks if found.arm == arm.name}
        if "refuted" in verdicts:
            return "found"
        return "missed" if "not refuted" in verdicts else "blind"
    for name, part in _BY_HEART:
        for metric in _measured(index, arm, name):
            estimate = metric.estimate
            if isinstance(estimate, Estimate) and (part in ("", metric.slice)):
                return "found" if estimate.low is not None and estimate.low > (metric.ideal or 0.0) else "missed"
    return "blind"


def _measured(index: Index, arm: ArmRecord, name: str) -> Iterator[Metric]:
    yield from (m for m in index.metrics.values() if m.arm == arm.name and address(m) == name)


def _control(index: Index, arm: ArmRecord, outcome: str) -> Control:
    word, tone = _FOUND[outcome]
    numbers = [metric for name in _SHOWN for metric in _measured(index, arm, name)]
    told = [metric for metric in numbers if isinstance(metric.estimate, Estimate)]
    return Control(
        name=arm.name,
        word=word,
        tone=tone,
        what=_what(arm),
        numbers=tuple((capitalised(index.labelled(metric)), show(metric)) for metric in told),
        said=tuple(_said(index, arm)),
    )


def _what(arm: ArmRecord) -> str:
    training = arm.recipe.get("training", {})
    strategy = training.get("strategy")
    part = "the head alone" if strategy == "head" else "all of it" if strategy == "full" else "a part of it"
    recipe = f"{part}, {significant(float(training.get('epochs', 0)))} epochs at most" if training else "trained here"
    if arm.control == "leaky":
        return f"Learns its data by heart: {recipe}, the planted canaries repeated."
    claims = arm.claims or {}
    at = f"ε = {significant(claims.get('epsilon', 0.0))} at δ = {significant(claims.get('delta', 0.0))}"
    return f"Clips and adds no noise ({recipe}); that it keeps {at} is claimed falsely and on purpose."


def _said(index: Index, arm: ArmRecord) -> Iterator[str]:
    """The attempts to refute its claim; how many canaries it would have taken stands in their evidence."""
    for found in index.record.checks:
        if found.arm == arm.name and "refuted" in found.check.outcome:
            yield as_sentence(f"{capitalised(found.check.name)}: {found.check.outcome}: {found.check.evidence}")


def plain_answer(found: Battery | None) -> Sequence[str]:
    """The answer for the first screen; nothing where nothing was made to leak."""
    return () if found is None else tuple(f" {part}" for part in found.answer)
