"""The DP claim of an arm: what its stated epsilon rests on, a line each, with its evidence."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from audit.planning.plan import ArmPlan
from audit.running.arms import StoredModel
from audit.running.draw_tests import Binomials, poisson_p
from probes.results import Check
from reports.record import PrivacyRecord

_ABOVE, _BELOW, _LEAST = 0.05, 0.01, 0.03
"""How far the stated PRV may lie above and below PLD, relative, and what passes in any case: its own error is 0.01."""

_IMPLAUSIBLE = 0.001
"""p-value below which draws or noise are taken not to be what is accounted: one honest run in a thousand is accused."""

_FEWEST_STEPS = 5
"""Of fewer batches the sizes tell too little: that all are as expected happens by chance."""

_EXACT = 1e-3
"""Relative error of a clipped sum that rounding explains."""


class OtherTraining(NamedTuple):
    """Another training of the same audit on the same data.

    Attributes:
        name: What it is called.
        privacy: What it keeps; None for nothing.
    """

    name: str
    privacy: PrivacyRecord | None


def claim_lines(arm: ArmPlan, model: StoredModel, others: Sequence[OtherTraining] = ()) -> list[Check]:
    """The lines of an arm that was trained with differential privacy here, or that claims it; none for others.

    Args:
        arm: The arm.
        model: What came of it.
        others: The audit's other trainings on the same data.
    """
    lines: list[Check] = []
    if arm.claims is not None:
        words = f"epsilon {arm.claims.epsilon:g} at delta {arm.claims.delta:g} is claimed, not accounted here"
        lines.append(Check(name="accounting", outcome="not checked", evidence=words))
    kept = model.record.privacy
    if arm.control is not None:
        return [_on_purpose(line) for line in lines + ([] if kept is None else [_epsilon(kept)])]
    return lines if kept is None else [*lines, *_accounted(arm, kept, model, others)]


def _accounted(
    arm: ArmPlan, kept: PrivacyRecord, model: StoredModel, others: Sequence[OtherTraining]
) -> Iterator[Check]:
    yield _epsilon(kept)
    yield _agreement(kept)
    yield _steps(kept, model)
    yield _draws(kept, model)
    yield _number(kept)
    yield _delta(kept)
    yield _unit(kept, model)
    yield _clipping(kept, model)
    yield _frozen(model)
    yield _noise(kept, model)
    yield _secrecy(kept)
    yield _trials(arm, kept)
    yield _cover(arm, kept, others)


def _on_purpose(line: Check) -> Check:
    """A line of a claim that is false by design: nobody may take it for a promise."""
    return replace(line, evidence=f"false on purpose, for this arm is a control: {line.evidence}")


def _holds(name: str, holds: bool, evidence: str) -> Check:
    return Check(name=name, outcome="pass" if holds else "fail", evidence=evidence)


def _open(name: str, reason: str) -> Check:
    return Check(name=name, outcome="not checked", evidence=reason)


def _epsilon(kept: PrivacyRecord) -> Check:
    if kept.noise_multiplier == 0:
        return Check(name="epsilon", outcome="fail", evidence="no noise was added, so no finite epsilon holds")
    if kept.epsilon is None and kept.accountants:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(kept.accountants.items()))
        words = f"too large to mean anything ({figures}): the noise multiplier is {kept.noise_multiplier:.4g}"
        return Check(name="epsilon", outcome="fail", evidence=words)
    if kept.epsilon is None:
        return Check(
            name="epsilon",
            outcome="fail",
            evidence="epsilon unknown: the accountant's state was lost in a resumed training",
        )
    return Check(
        name="epsilon",
        outcome="pass",
        evidence=f"{kept.epsilon:.4g} at delta {kept.delta:g} by PRV: noise multiplier {kept.noise_multiplier:.4g}, "
        f"sample rate {kept.sample_rate:.4g}, {kept.steps} steps",
    )


def _agreement(kept: PrivacyRecord) -> Check:
    """PRV claims, PLD checks it, and RDP, which is looser, must not lie below."""
    prv, pld, rdp = (kept.accountants.get(name) for name in ("PRV", "PLD", "RDP"))
    if prv is None or pld is None:
        return _open("accountants agree", "no accountant's figure to compare")
    above, below = max(_ABOVE * pld, _LEAST), max(_BELOW * pld, _LEAST)
    agree = -below <= prv - pld <= above and (rdp is None or rdp >= pld - below)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in sorted(kept.accountants.items()))
    return _holds("accountants agree", agree, figures)


def _steps(kept: PrivacyRecord, model: StoredModel) -> Check:
    name, training, noised = "every step accounted", model.record.training, model.notes.get("noised_steps")
    if training is None or noised is None:
        return _open(name, "the steps that were noised were not counted")
    words = f"{training.steps} steps taken, {noised} noised, {kept.steps} accounted"
    return _holds(name, training.steps == noised == kept.steps, words)


def _draws(kept: PrivacyRecord, model: StoredModel) -> Check:
    sizes = model.notes.get("batch_sizes")
    if not sizes:
        return _open("Poisson draws", "the batches drawn were not logged")
    if len(sizes) < _FEWEST_STEPS:
        return _open(
            "Poisson draws", f"{len(sizes)} steps are too few to tell independent draws from batches of one size"
        )
    stretches = [Binomials(steps, counts) for steps, counts in model.notes.get("draws") or ()]
    p = poisson_p(sizes, stretches, kept.units, kept.sample_rate)
    both = f" and how often each of the {kept.units:,} {kept.unit}s was drawn fit" if stretches else " fits"
    return _holds(
        "Poisson draws",
        p >= _IMPLAUSIBLE,
        f"mean batch {sum(sizes) / len(sizes):.1f} where {kept.sample_rate * kept.units:.1f} is expected, "
        f"over {len(sizes)} steps; the spread of their sizes{both} independent draws with p = {p:.3g}",
    )


def _number(kept: PrivacyRecord) -> Check:
    """Source: https://arxiv.org/abs/2605.15648, on rates and divisors that follow the private data's size."""
    if kept.public_n is None:
        words = (
            f"sampling rate, steps and divisor follow from the {kept.units:,} {kept.unit}s in the data, as if their "
            f"number were known; whether it may be known is not said (privacy.public_n declares one)"
        )
        return _open("N is fixed beforehand", words)
    words = f"sampling rate, steps and divisor follow from privacy.public_n, {kept.public_n:,}, and not from the data"
    return Check(name="N is fixed beforehand", outcome="pass", evidence=words)


def _delta(kept: PrivacyRecord) -> Check:
    most = max(kept.units, kept.public_n or 0)
    limit = 1 / (10 * most)
    words = f"{kept.delta:g} against 1 / (10 · {most:,} {kept.unit}s) = {limit:.3g}"
    return _holds("delta", kept.delta <= limit, words)


def _unit(kept: PrivacyRecord, model: StoredModel) -> Check:
    name, there = "privacy unit", model.notes.get("units_in_data")
    if there is not None and there != kept.units:
        words = f"the data have {there:,} {kept.unit}s, and {kept.units:,} units were drawn: some are split, or merged"
        return _holds(name, False, words)
    most = None if kept.largest_person is None else f"one person contributes up to {kept.largest_person:,} examples"
    if kept.unit == "person":
        words = f"the person: {kept.units:,} of them, each drawn and clipped as one; {most}"
        return _holds(name, True, words + _bounded(kept))
    if kept.largest_person is None:
        return _open(name, f"the {kept.unit}; no person column tells how many examples one person contributes")
    if kept.largest_person <= 1:
        return _holds(name, True, f"the {kept.unit}; no person contributes more than one example")
    return _holds(name, False, f"the {kept.unit}; {most}, whose protection is that much weaker")


def _bounded(kept: PrivacyRecord) -> str:
    """The rule by which contributions are bounded, where it had an effect."""
    limit, largest = kept.max_examples_per_unit, kept.largest_person
    if limit is None or largest is None or largest <= limit:
        return ""
    return f", of which {limit} are computed in a step, drawn anew each time"


def _clipping(kept: PrivacyRecord, model: StoredModel) -> Check:
    name, error = "every trained parameter clipped", model.notes.get("clipping_error")
    if error is None:
        return _open(name, "no clipped sum was compared with one made example by example, or all gradients were zero")
    words = (
        f"before training, the clipped sum of a few {kept.unit}s over all trained parameters differed by {error:.1g} "
        f"of its norm from one made example by example"
    )
    return _holds(name, error <= _EXACT, words)


def _frozen(model: StoredModel) -> Check:
    name, untouched = "frozen parameters untouched", model.notes.get("frozen_untouched")
    if untouched is None:
        return _open(name, "nothing was frozen")
    words = "their bytes are the same before and after training" if untouched else "some changed in training"
    return _holds(name, untouched, words)


def _noise(kept: PrivacyRecord, model: StoredModel) -> Check:
    name, seen = "noise as accounted", model.notes.get("noise")
    if seen is None:
        return _open(name, "the noise that was added was not looked at")
    words = (
        f"{seen['variates']:,} of the values added have {seen['ratio']:.4f} times the standard deviation "
        f"{kept.noise_multiplier:.4g} · {kept.max_grad_norm:g} that is accounted; p = {seen['p']:.3g}"
    )
    return _holds(name, seen["p"] >= _IMPLAUSIBLE, words)


def _secrecy(kept: PrivacyRecord) -> Check:
    words = (
        "noise and draws came from the operating system's randomness"
        if kept.secret_noise
        else "reproducible: true derives noise and draws from the seed, so whoever knows the config can subtract them; "
        "epsilon holds only against those who do not"
    )
    return _holds("noise is secret", kept.secret_noise, words)


def _trials(arm: ArmPlan, kept: PrivacyRecord) -> Check:
    name, trials = "prior trials", arm.privacy.prior_trials if arm.privacy is not None else None
    if trials is None:
        words = (
            "it is not known how many trainings on these data came before and chose this setting; each adds to "
            "epsilon (privacy.prior_trials declares them)"
        )
        return _open(name, words)
    if trials == 0:
        return _holds(name, True, "none, as declared: no training on these data chose this setting")
    words = f"{_counted(trials)} on these data came before, as declared; the stated epsilon is this training's alone"
    if kept.epsilon is None:
        return _open(name, f"{words}, and what they keep together cannot be told")
    return _holds(name, True, f"{words}; were they like it, {_composed([kept] * (trials + 1))}")


def _counted(trainings: int) -> str:
    return "one training" if trainings == 1 else f"{trainings:,} trainings"


def _cover(arm: ArmPlan, kept: PrivacyRecord, others: Sequence[OtherTraining]) -> Check:
    """What the stated epsilon speaks of, and what someone is promised who sees more than this one model."""
    private = [other for other in others if other.privacy is not None]
    known = [other.privacy for other in private if other.privacy is not None and other.privacy.unit == kept.unit]
    trials = 0 if arm.privacy is None else arm.privacy.prior_trials or 0
    words = "this one training"
    if (private or trials) and len(known) == len(private) and None not in {each.epsilon for each in (kept, *known)}:
        parts = [f"{_counted(trials)} that came before, were they like it"] if trials else []
        if private:
            parts.append(f"what else was trained privately on these data ({', '.join(o.name for o in private)})")
        words += f"; with {' and '.join(parts)}, {_composed([kept] * (trials + 1) + known)}"
    elif private:
        words += f"; nothing can be said of it together with {', '.join(other.name for other in private)}"
    standard = [other.name for other in others if other.privacy is None]
    if standard:
        words += f"; who sees {', '.join(standard)}, trained on the same data without privacy, is promised nothing"
    return _open("what epsilon covers", f"{words}; this audit's own outputs are not covered")


def _composed(trainings: Sequence[PrivacyRecord]) -> str:
    """What several trainings keep together: by PLD, or where that is too large for it, the sums.

    Source: basic composition; Dwork and Roth (2014), https://doi.org/10.1561/0400000042, theorem 3.16.
    """
    from audit.training.accounting import composed_epsilon  # brings what a run without private arms need not load

    delta = max(each.delta for each in trainings)
    epsilon = composed_epsilon([(each.noise_multiplier, each.sample_rate, each.steps) for each in trainings], delta)
    if math.isfinite(epsilon):
        return f"all {len(trainings):,} keep epsilon {epsilon:.4g} at delta {delta:g} by PLD"
    sums = sum(each.epsilon or 0.0 for each in trainings), sum(each.delta for each in trainings)
    return f"all {len(trainings):,} keep epsilon {sums[0]:.4g} at delta {sums[1]:.3g} (the sums)"
