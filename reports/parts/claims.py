"""A differential privacy claim in words: what is promised to whom, by which figures, and which of its points hold."""

from collections.abc import Iterator
from dataclasses import dataclass

from probes.results import Check
from reports.index import DP_CLAIM, Index, is_made_to_leak, is_private, privacy_of
from reports.record import ArmCheck, ArmRecord, PrivacyRecord
from reports.words.format import count, counted, exact, significant, upper
from reports.words.text import capitalised, listed
from reports.words.wording import ATTEMPTS, OUTCOMES

UNIT_WORDS = {
    "example": "one training example",
    "person": "one person, with all their examples",
    "cluster": "one cluster of near-duplicates",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One point of a claim, or one check.

    Attributes:
        outcome: In words.
        tone: The outcome's icon and colour.
        name: What must hold.
        evidence: What speaks for the outcome.
        arm: The arm it was found on.
    """

    outcome: str
    tone: str
    name: str
    evidence: str
    arm: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The claim of one arm.

    Attributes:
        arm: The arm.
        promise: What is claimed.
        summary: How many of its points hold.
        warnings: What the claim does not say of itself.
        figures: What it was worked out from, by name.
        lines: Its points: those that fail first.
        is_false: Whether it is false on purpose, to see whether it would be refuted.
    """

    arm: str
    promise: str
    summary: str
    warnings: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    is_false: bool = False


def claims(index: Index) -> tuple[Claim, ...]:
    """The claims of the record's arms, of the two that are compared first; a twin shares its arm's."""
    pair = [arm for arm in index.pair if is_private(arm)]
    others = [arm for arm in index.record.arms if is_private(arm) and arm.twin_of is None and arm not in pair]
    others.sort(key=is_made_to_leak)
    return tuple(_claim(index, arm) for arm in (*pair, *others))


def _claim(index: Index, arm: ArmRecord) -> Claim:
    privacy = None if is_made_to_leak(arm) else privacy_of(arm)
    lines = [*_checked(index, arm), *([] if privacy is None else _noise(index, arm))]
    order = list(OUTCOMES)
    return Claim(
        arm=arm.name,
        promise=_promise(arm, privacy),
        summary=_summary(lines),
        warnings=tuple(_warnings(index, arm, privacy)),
        figures=() if privacy is None else tuple(_figures(privacy)),
        lines=tuple(sorted(lines, key=lambda line: order.index(line.outcome.lower()))),
        is_false=is_made_to_leak(arm),
    )


def line_of(check: Check, arm: str) -> Line:
    """A check as a line."""
    word, tone = OUTCOMES[check.outcome]
    evidence = capitalised(check.evidence.rstrip("."))
    return Line(
        outcome=word, tone=tone, name=capitalised(check.name), evidence=f"{evidence}." if evidence else "", arm=arm
    )


def is_of_a_claim(found: ArmCheck) -> bool:
    """Whether a check speaks of a differential privacy claim: a line of it, or an attempt to refute it."""
    return found.probe == DP_CLAIM or found.check.outcome in ATTEMPTS


def _checked(index: Index, arm: ArmRecord) -> Iterator[Line]:
    """The record's checks of a claim, and of it alone, on the arm and its twin; one line where they say the same."""
    twin = index.twin(arm)
    names = [arm.name] + ([twin.name] if twin is not None else [])
    seen: set[tuple[str, str]] = set()
    for name in names:
        for found in index.record.checks:
            said = (found.check.name, found.check.outcome)
            if found.arm == name and is_of_a_claim(found) and said not in seen:
                seen.add(said)
                yield line_of(found.check, found.arm)


def _noise(index: Index, arm: ArmRecord) -> Iterator[Line]:
    """Whether the noise is secret, where no check of the record says so already."""
    privacy = privacy_of(arm)
    told = any("noise" in line.name.casefold() and "secret" in line.name.casefold() for line in _checked(index, arm))
    if privacy is None or told:
        return
    if privacy.secret_noise and not index.record.provenance.reproducible:
        check = Check(name="noise is secret", outcome="pass", evidence="drawn from the operating system, not stored")
    else:
        evidence = "derived from the seed to be reproducible: whoever knows the seed can take it off again"
        check = Check(name="noise is secret", outcome="fail", evidence=evidence)
    yield line_of(check, arm.name)


def _promise(arm: ArmRecord, privacy: PrivacyRecord | None) -> str:
    if privacy is None:
        claimed = arm.claims or {}
        epsilon, delta = claimed.get("epsilon"), claimed.get("delta")
        at = f"ε = {'?' if epsilon is None else significant(epsilon)}"
        at += "" if delta is None else f" at δ = {significant(delta)}"
        if is_made_to_leak(arm):
            return f"Deliberately false: {at} is claimed, and no noise was added. It promises nothing to anybody."
        return f"Claimed, not accounted here: {at}."
    if privacy.epsilon is None:
        return "ε is unknown: the accountant's state was lost, and without it nothing is promised."
    at = f"ε ≤ {upper(privacy.epsilon)} at δ = {significant(privacy.delta)}"
    return f"{at} for {UNIT_WORDS[privacy.unit]}, added or removed."


def _summary(lines: list[Line]) -> str:
    holds = sum(line.tone == "pass" for line in lines)
    fails = sum(line.tone == "fail" for line in lines)
    open_ = len(lines) - holds - fails
    parts = [f"{counted(holds, 'point')} {'holds' if holds == 1 else 'hold'}"]
    parts += [f"{fails} {'does' if fails == 1 else 'do'} not"] if fails else []
    parts += [f"{open_} {'was' if open_ == 1 else 'were'} not or could not be checked"] if open_ else []
    return f"{listed(parts)}."


def _warnings(index: Index, arm: ArmRecord, privacy: PrivacyRecord | None) -> Iterator[str]:
    """What an ε does not say of itself: persons with several examples, repeated secrets, several runs."""
    largest = privacy.largest_person if privacy is not None else None
    if privacy is not None and privacy.unit == "example" and largest is not None and largest > 1:
        most = counted(largest, "example")
        times = f"{count(largest)} times as large, and δ more than that"
        yield f"One person has up to {most}: for a person ε is up to {times} (group privacy)."
    times = " or ".join(count(n) for n in repetitions(index))
    if times and (privacy is None or privacy.unit == "example"):
        yield (
            f"ε is promised per example. For a secret that stands {times} times in the data, as some canaries do, ε is "
            f"{times} times as large, and δ more than that (group privacy)."
        )
    runs = 0 if is_made_to_leak(arm) else sum(run.privacy is not None for run in arm.runs)
    if runs > 1:
        yield f"{count(runs)} training runs each spend this budget: who sees all of them holds the sum."


def repetitions(index: Index) -> list[int]:
    """How often repeated canaries stood in the twins' training data: the numbers above one."""
    found = set()
    for held in index.record.series:
        if held.series.kind == "exposure" and not is_made_to_leak(index.arms.get(held.arm)):
            copies = held.series.columns.get("repetitions", ())
            found |= {int(n) for n in copies if isinstance(n, int | float) and n > 1}
    return sorted(found)


def _figures(privacy: PrivacyRecord) -> Iterator[tuple[str, str]]:
    for accountant, epsilon in privacy.accountants.items():
        yield f"ε by {accountant}", upper(epsilon)
    yield "δ", significant(privacy.delta)
    yield "Privacy unit", f"{privacy.unit}; {count(privacy.units)} in the training data"
    if privacy.public_n is not None:
        yield "Declared number of units", f"{count(privacy.public_n)}; sampling rate and divisor follow from it"
    if privacy.max_examples_per_unit is not None:
        yield "Examples of a unit in a step", f"{count(privacy.max_examples_per_unit)} at most"
    yield "Noise multiplier σ", exact(privacy.noise_multiplier, "")
    yield "Clipping norm", exact(privacy.max_grad_norm, "")
    yield "Sampling", f"Poisson, rate {significant(privacy.sample_rate, 4)}, {counted(privacy.steps, 'step')}"
    drawn = privacy.realised_mean_batch
    mean = "" if drawn is None else f", mean of those drawn {drawn:,.1f}"
    yield "Batch size", f"{count(privacy.expected_batch_size)} expected{mean}"
    if privacy.largest_person is not None:
        yield "Largest person", counted(privacy.largest_person, "example")
