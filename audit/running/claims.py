"""The DP claim of an arm: what its stated epsilon rests on, a line each, with its evidence."""

from collections.abc import Iterator, Sequence

from scipy.special import gammainc, gammaincc

from audit.planning.plan import ArmPlan
from audit.running.arms import StoredModel
from probes.results import Check, Outcome
from reports.record import PrivacyRecord

_AGREE = 0.05
"""Relative difference up to which PRV and PLD agree: PRV's own error bound is 0.01 in epsilon."""

_IMPLAUSIBLE = 0.001
"""p-value below which batch sizes are taken not to be independent draws: one honest run in a thousand is accused."""

_FEWEST_STEPS = 5
"""Of fewer batches the sizes tell too little: that all are as expected happens by chance."""


def claim_lines(arm: ArmPlan, model: StoredModel) -> list[Check]:
    """The lines of an arm that was trained with differential privacy here, or that claims it; none for others."""
    lines: list[Check] = []
    if arm.claims is not None:
        words = f"epsilon {arm.claims.epsilon:g} at delta {arm.claims.delta:g} is claimed, not accounted here"
        lines.append(Check(name="accounting", outcome="not checked", evidence=words))
    kept = model.record.privacy
    return lines if kept is None else [*lines, *_accounted(kept, model)]


def _accounted(kept: PrivacyRecord, model: StoredModel) -> Iterator[Check]:
    yield _epsilon(kept)
    yield _agreement(kept)
    yield _draws(kept, model)
    yield _delta(kept)
    yield _unit(kept)
    yield Check(
        name="every trained parameter clipped",
        outcome="pass",
        evidence="every trained parameter belongs to a layer whose per-example gradient is computed exactly; "
        "training refuses to start otherwise",
    )
    yield _frozen(model)
    yield _secrecy(kept)
    yield Check(
        name="prior trials",
        outcome="not checked",
        evidence="it is not known how many trainings on these data came before and chose this setting; "
        "each adds to epsilon",
    )
    yield Check(
        name="what epsilon covers",
        outcome="not checked",
        evidence="one training of this arm; neither its twin, nor other arms and seeds on the same data, nor this "
        "audit's outputs are covered by it",
    )


def _epsilon(kept: PrivacyRecord) -> Check:
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
    prv, pld = kept.accountants.get("PRV"), kept.accountants.get("PLD")
    if prv is None or pld is None:
        return Check(name="accountants agree", outcome="not checked", evidence="no accountant's figure to compare")
    agree = abs(prv - pld) <= max(_AGREE * pld, 0.03)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in sorted(kept.accountants.items()))
    return Check(name="accountants agree", outcome="pass" if agree else "fail", evidence=figures)


def _draws(kept: PrivacyRecord, model: StoredModel) -> Check:
    sizes = model.notes.get("batch_sizes")
    if not sizes:
        return Check(name="Poisson draws", outcome="not checked", evidence="the batches drawn were not logged")
    if len(sizes) < _FEWEST_STEPS:
        words = f"{len(sizes)} steps are too few to tell independent draws from batches of one size"
        return Check(name="Poisson draws", outcome="not checked", evidence=words)
    p = dispersion_p(sizes, kept.units, kept.sample_rate)
    return Check(
        name="Poisson draws",
        outcome="pass" if p >= _IMPLAUSIBLE else "fail",
        evidence=f"mean batch {sum(sizes) / len(sizes):.1f} where {kept.sample_rate * kept.units:.1f} is expected, "
        f"over {len(sizes)} steps; the spread of their sizes fits independent draws with p = {p:.3g}",
    )


def dispersion_p(sizes: Sequence[int], units: int, sample_rate: float) -> float:
    """Two-sided p-value of batch sizes under independent draws: how far they spread about the expected size.

    Shuffled batches, all of one size, have none of the spread that independent draws have.

    Args:
        sizes: Batch sizes, one a step, at least 5 (of fewer the whole numbers are too coarse for the approximation).
        units: Number of units that each step draws from.
        sample_rate: Probability of each draw, in (0, 1].

    Source: Fisher's index of dispersion with known mean and variance. The sum of squared standardized deviations of T
    binomial sizes has mean T and variance T (2 + (1 - 6 q (1 - q)) / (n q (1 - q))); it is taken for the multiple of a
    chi-squared variable that has both.
    """
    mean, variance = units * sample_rate, units * sample_rate * (1 - sample_rate)
    if variance == 0:
        return 1.0 if all(size == units for size in sizes) else 0.0
    statistic = sum((size - mean) ** 2 for size in sizes) / variance
    scale = 1 + (1 - 6 * sample_rate * (1 - sample_rate)) / (2 * variance)
    freedom, half = len(sizes) / scale, statistic / scale / 2
    # The tails of chi-squared; `scipy.stats`, which names them so, costs a second that a finished run need not pay.
    return float(min(1.0, 2 * min(gammainc(freedom / 2, half), gammaincc(freedom / 2, half))))


def _delta(kept: PrivacyRecord) -> Check:
    limit = 1 / (10 * kept.units)
    return Check(
        name="delta",
        outcome="pass" if kept.delta <= limit else "fail",
        evidence=f"{kept.delta:g} against 1 / (10 · {kept.units}) = {limit:.3g}",
    )


def _unit(kept: PrivacyRecord) -> Check:
    if kept.largest_person is None:
        return Check(name="privacy unit", outcome="pass", evidence=f"the {kept.unit}; no person column stands")
    outcome: Outcome = "pass" if kept.largest_person <= 1 or kept.unit == "person" else "fail"
    return Check(
        name="privacy unit",
        outcome=outcome,
        evidence=f"the {kept.unit}; one person contributes up to {kept.largest_person} examples, "
        f"whose protection is that much weaker",
    )


def _frozen(model: StoredModel) -> Check:
    untouched = model.notes.get("frozen_untouched")
    if untouched is None:
        return Check(name="frozen parameters untouched", outcome="not checked", evidence="nothing was frozen")
    return Check(
        name="frozen parameters untouched",
        outcome="pass" if untouched else "fail",
        evidence="their bytes are the same before and after training" if untouched else "some changed in training",
    )


def _secrecy(kept: PrivacyRecord) -> Check:
    if kept.secret_noise:
        return Check(
            name="noise is secret",
            outcome="pass",
            evidence="noise and draws came from the operating system's randomness",
        )
    return Check(
        name="noise is secret",
        outcome="fail",
        evidence="reproducible: true derives noise and draws from the seed, so whoever knows the config can subtract "
        "them; epsilon holds only against those who do not",
    )
