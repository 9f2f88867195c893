"""Canaries: does the model remember what was planted, and can the claimed epsilon be true?"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from probes.privacy import claimed, exposures, extrapolated, ladder, scores
from probes.privacy.attacks import asks, coverage_of, minus_loss, scored
from probes.privacy.continuation import Continuation, has_own_end
from probes.privacy.guessing import Game, play
from probes.protocol import Array, Ask, Facts, Items, Key, PrivacyClaim, Rows, Table
from probes.results import (
    Check,
    Coverage,
    Finding,
    MetricSpec,
    NotApplicable,
    NotMeasured,
    Pillar,
    Role,
    Series,
    Value,
)
from probes.stats.roc import FEWEST_PER_CLASS, auc, weighted_auc

UNCLAIMED_DELTA = 1e-5
"""The delta at which the bound is stated where nothing is claimed."""

_ACCESS = "scores of the model's answers, and the canaries"


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """What does the model remember of texts planted on purpose, and what epsilon does that take at least?

    Each canary was put into the twin's training by a fair coin of its own. Exposure is the rank of a planted secret
    among secrets of the same form that were never planted, in bits; extrapolated, it is read from a distribution
    fitted to them. Texts made of pieces of training texts are ranked likewise: those that end in random words,
    or in one token that is new to the data, by the probability of that end after what stands before it, where the model
    is causal, else whole.

    The bound on epsilon comes from one training run: the canaries planted once are sorted by a score that is fixed
    beforehand (the difference to the base where that compares, else the loss; relative to the mean of their form), the
    highest are guessed "in", as many of the lowest "out", the middle is left out, and the number of right guesses is
    set against what any mechanism with that epsilon allows. Two more numbers assume more: that the mechanism is
    Gaussian, or that canaries leak independently of each other, which in one training they do not.

    Limits: a lower bound says "at least": a claim that is not refuted is not thereby true. Epsilon is promised for one
    copy. Canaries with k copies are protected by up to k times epsilon, so only those planted once enter the bound.
    By rank, exposure cannot exceed the logarithm of the number of references; a fit is read 10 bits further at most.

    Source: Carlini et al. (2019), https://arxiv.org/abs/1802.08232, definition 5 and section 4.3; Steinke, Nasr and
    Jagielski (2023), https://arxiv.org/abs/2305.08846, algorithm 1 and theorem 5.2; Mahloujifar, Melis and Chaudhuri
    (2025), https://arxiv.org/abs/2410.22235; Xiang et al. (2025), https://arxiv.org/abs/2509.08704.
    """

    name: ClassVar[str] = "canaries"
    version: ClassVar[int] = 3
    pillar: ClassVar[Pillar] = "privacy"
    roles: ClassVar[frozenset[Role]] = frozenset({"twin"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "epsilon_lower_bound": MetricSpec(
            ideal=0.0,
            unit="epsilon",
            definition="canaries:steinke-nasr-jagielski-2023",
            label="lower bound on epsilon",
            access=_ACCESS,
        ),
        "epsilon_if_gaussian": MetricSpec(
            ideal=0.0,
            unit="epsilon",
            definition="canaries:mahloujifar-melis-chaudhuri-2025",
            label="lower bound on epsilon, if the noise is Gaussian",
            access=_ACCESS,
        ),
        "epsilon_if_independent": MetricSpec(
            ideal=0.0,
            unit="epsilon",
            definition="canaries:xiang-2025-order-statistics",
            label="estimate of epsilon, if canaries leak independently",
            access=_ACCESS,
        ),
        "log_e_value": MetricSpec(
            ideal=0.0,
            unit="nats",
            definition="canaries:log-e-value",
            label="evidence against the claim",
            access=_ACCESS,
            signed=True,
        ),
        "auc": MetricSpec(ideal=0.5, unit="auc", definition="canaries:auc", label="canary AUC", access=_ACCESS),
        "exposure": MetricSpec(
            ideal=0.0,
            unit="bits",
            definition="canaries:mean-rank-exposure",
            label="exposure of planted canaries",
            access="token probabilities",
        ),
        "exposure_gain": MetricSpec(
            ideal=0.0,
            unit="bits",
            definition="canaries:exposure-planted-minus-unplanted",
            label="exposure, planted minus unplanted",
            access="token probabilities",
            signed=True,
        ),
        "exposure_extrapolated": MetricSpec(
            ideal=0.0,
            unit="bits",
            definition="canaries:mean-skew-normal-exposure",
            label="exposure of planted canaries, extrapolated",
            access="token probabilities",
        ),
    }

    guess_share: float = 0.25
    score: Literal["loss", "reference"] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.guess_share <= 1:
            raise ValueError(f"guess_share must lie in (0, 1]; got {self.guess_share}")

    def guesses(self, canaries: int) -> int:
        """How many of some canaries planted at most once are guessed: an even number, half "in" and half "out"."""
        return min(2 * round(self.guess_share * canaries / 2), canaries - canaries % 2)

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> Mapping[str, Ask]:
        """The answers of the twin on the canaries and on never-planted ones, and the base's where they compare.

        Of canaries with an end of their own, after beginnings of their own, a causal model also tells the probability
        of the end alone.
        """
        if self.score == "reference" and not facts.base_is_comparable:
            raise NotApplicable("the score is the difference to the base, which does not answer with the same head")
        found = asks(facts, data, "canaries", "no canaries were planted")
        if self.score == "loss":
            found.pop("base", None)
        references = data.get("canary_references")
        if references is None or not references.n or why_no_exposure(facts, references):
            return found
        return found | asked_for_ranks(facts, data["canaries"], references, found["arm"].table)

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per canary: its coin, copies and score; of secrets also exposure and its ceiling, in bits."""
        arm, base = tables["arm"], tables.get("base")
        score = minus_loss(arm)
        if base is not None:
            score = scores.reference(score, minus_loss(base))
        bits, ceilings = ranks(arm, tables)
        return Rows(
            {
                "item_id": arm["item_id"],
                "cluster": arm["cluster"],
                "is_member": np.asarray(arm["is_member"], dtype=bool),
                "repetitions": arm["repetitions"].astype(int),
                "score": _relative(score, arm),
                "exposure_bits": bits,
                "exposure_ceiling": ceilings,
                **_fits(arm, tables),
            }
        )

    def statistics(self, rows: Rows, weights: Array) -> Mapping[Key, float]:
        """AUC and mean exposures by number of copies, of the canaries that have them."""
        values: dict[Key, float | None] = {}
        for copies in _copies(rows):
            part, ours = _part(copies), np.where(rows["repetitions"] == copies, weights, 0.0)
            values["auc", part] = weighted_auc(*scored(rows["score"], rows["is_member"], ours))
            bits, is_planted, weight = scored(rows["exposure_bits"], rows["is_member"], ours)
            planted, left_out = _mean(bits, weight * is_planted), _mean(bits, weight * ~is_planted)
            values["exposure", part] = planted
            values["exposure_gain", part] = None if planted is None or left_out is None else planted - left_out
        return {key: value for key, value in values.items() if value is not None}

    def summarize(
        self, rows: Rows, facts: Facts, rng: np.random.Generator, level: float = 0.95
    ) -> Iterable[Finding | Check | Series]:
        """The bounds on epsilon and what they say of the claim, AUCs, exposures, and the charts."""
        yield from self._bounds(rows, facts, level)
        yield from _aucs(rows, level)
        yield from _exposures(rows, facts, rng, level)
        yield from _extrapolated(rows, rng.spawn(1)[0], level)
        yield from _repeated(rows)

    def canaries_sufficing(
        self, claim: PrivacyClaim, *, right: float = claimed.REALISTIC, level: float = 0.95
    ) -> Mapping[str, claimed.Sufficing]:
        """With how many canaries this probe refutes a claim, by the name of the verdict.

        Args:
            claim: The claim.
            right: Probability that a guess is right in a leak that is not perfect.
            level: Confidence level of the refutation.
        """

        def guesses(share: float) -> claimed.Guesses:
            return replace(self, guess_share=share).guesses

        return claimed.sufficing(claim, share=self.guess_share, guesses=guesses, right=right, level=level)

    def rule(self, facts: Facts, canaries: int) -> str:
        """What is fixed before any coin is looked at, in words: score, sign, and number of guesses.

        Args:
            facts: What is known of the arm.
            canaries: How many are planted at most once.
        """
        compares = facts.base_is_comparable if self.score is None else self.score == "reference"
        what = "the loss of the untouched base minus that of the model" if compares else "minus the model's loss"
        half = self.guesses(canaries) // 2
        return (
            f"the score is {what}, relative to the mean of the form; of {canaries} canaries the {half} with the "
            f"highest are guessed in, the {half} with the lowest out"
        )

    def _bounds(self, rows: Rows, facts: Facts, level: float) -> Iterator[Finding | Check | Series]:
        claim = facts.claim
        score, is_member = scored(*(rows[c][rows["repetitions"] == 1] for c in ("score", "is_member")))
        delta = claim.delta if claim else UNCLAIMED_DELTA
        game = play(score, is_member, self.guesses(len(score)), delta=delta, level=level)
        coverage = coverage_of(rows["score"][rows["repetitions"] == 1])
        for metric, value in game.by_assumption():
            yield Finding(metric=metric, estimate=value, coverage=coverage)
        evidence = None
        if claim is not None:
            yield from self._verdicts(game, claim)
            evidence = claimed.evidence(game, claim) if game.guesses else None
        if evidence is not None:
            yield Finding(metric="log_e_value", estimate=claimed.evidence_value(game, evidence), coverage=coverage)
        yield from ladder.chart(game, claim, evidence, self.rule(facts, len(score)))

    def _verdicts(self, game: Game, claim: PrivacyClaim) -> Iterator[Check]:
        """What the guesses say of the claim; where they could not have refuted it, how many canaries could."""
        for check in claimed.verdicts(game, claim):
            if check.outcome != "could not have been refuted":
                yield check
                continue
            yield claimed.with_needed(check, self.canaries_sufficing(claim, level=game.level)[check.name])


def _relative(score: Array, canaries: Rows) -> Array:
    """Scores relative to the mean of the canaries of the same form and number of copies.

    A model learns a form from the canaries that were planted and likes all of that form better, so scores of different
    forms do not compare. The means know nothing of the coins.
    """
    found = score.copy()
    kinds = list(zip(canaries["form"].tolist(), canaries["repetitions"].tolist(), strict=True))
    for kind in set(kinds):
        ours = np.array([other == kind for other in kinds]) & ~np.isnan(score)
        found[ours] -= score[ours].mean() if ours.any() else 0.0
    return found


def why_no_exposure(facts: Facts, references: Items | None = None) -> str:
    """Why secrets cannot be ranked; "" where they can."""
    if facts.head == "classifier":
        return "a classification head gives no probability to a secret"
    if facts.task == "text-classification" and references is not None and "label" not in references:
        return "secrets are planted with a class, and what they are ranked among has none"
    return ""


def asked_for_ranks(facts: Facts, canaries: Items, references: Items, table: Table) -> dict[str, Ask]:
    """What is asked of the references: as of the canaries, or, of ends that can be asked for, of the ends."""
    has_end = has_own_end(references["cluster"]) & (facts.head == "causal")
    found = {}
    if not has_end.all():
        found["references"] = Ask(table=table, on=references.take(np.flatnonzero(~has_end)))
    if has_end.any():
        ends = canaries.take(np.flatnonzero(has_own_end(canaries["form"])))
        found["ends"] = Ask(table=Continuation(), on=ends)
        found["end_references"] = Ask(table=Continuation(), on=references.take(np.flatnonzero(has_end)))
    return found


def ranks(arm: Rows, tables: Mapping[str, Rows]) -> tuple[Array, Array]:
    """Exposures and their ceilings of canaries, from the answers to `asked_for_ranks`; see `exposures.exposures`.

    Args:
        arm: The arm's answers on all canaries.
        tables: Its other answers, by name.
    """
    bits, ceilings = exposures.exposures(arm, tables.get("references"))
    if "ends" in tables:
        ours = has_own_end(arm["form"])
        bits[ours], ceilings[ours] = exposures.exposures(tables["ends"], tables["end_references"])
    return bits, ceilings


def _fits(arm: Rows, tables: Mapping[str, Rows]) -> dict[str, Array]:
    """What exposures are extrapolated from; see `extrapolated.fits`."""
    fits = extrapolated.fits(arm, tables.get("references"))
    if "ends" in tables:
        ours = has_own_end(arm["form"])
        for column, values in extrapolated.fits(tables["ends"], tables["end_references"]).items():
            fits[column][ours] = values
    return fits


def _copies(rows: Rows) -> list[int]:
    return sorted(set(rows["repetitions"].tolist()))


def _part(copies: int) -> str:
    return f"repetitions={copies}"


def _mean(values: Array, weights: Array) -> float | None:
    total = weights.sum()
    return float(values @ weights / total) if total > 0 else None


def _aucs(rows: Rows, level: float) -> Iterator[Finding]:
    for copies in _copies(rows):
        ours = rows.take(rows["repetitions"] == copies)
        score, is_member = scored(ours["score"], ours["is_member"])
        planted, left_out = int(is_member.sum()), int((~is_member).sum())
        if min(planted, left_out) < FEWEST_PER_CLASS:
            few = f"canaries planted and left out: {planted} and {left_out}"
            value: Value = NotMeasured(reason=f"{few}, where an AUC needs {FEWEST_PER_CLASS} of each")
        else:
            value = auc(score, is_member, level=level, unit_of_n="canary")
        yield Finding(metric="auc", slice=_part(copies), estimate=value, coverage=coverage_of(ours["score"]))


def _exposures(rows: Rows, facts: Facts, rng: np.random.Generator, level: float) -> Iterator[Finding | Series]:
    """Exposure and its gain by number of copies, and their chart; or why there are none."""
    secrets = rows.take(~np.isnan(rows["exposure_ceiling"]))
    if not secrets.n:
        reason = why_no_exposure(facts) or "no canary is a secret that could be ranked among others"
        missing = Coverage(asked=rows.n, answered=0, missing={reason: rows.n})
        for metric in ("exposure", "exposure_gain"):
            yield Finding(metric=metric, estimate=NotMeasured(reason=reason), coverage=missing)
        return
    told = secrets.take(~np.isnan(secrets["exposure_bits"]))
    means = []
    for copies in _copies(secrets):
        coverage = coverage_of(secrets["exposure_bits"][secrets["repetitions"] == copies])
        ours = told.take(told["repetitions"] == copies)
        bits, ceilings, is_planted = ours["exposure_bits"], ours["exposure_ceiling"], ours["is_member"]
        means.append(exposures.mean_exposure(bits[is_planted], ceilings[is_planted], rng, level=level))
        gain = exposures.gain(bits, ceilings, is_planted, rng, level=level)
        yield Finding(metric="exposure", slice=_part(copies), estimate=means[-1], coverage=coverage)
        yield Finding(metric="exposure_gain", slice=_part(copies), estimate=gain, coverage=coverage)
    if told.n:
        yield exposures.chart(_copies(secrets), told, means, level)


def _extrapolated(rows: Rows, rng: np.random.Generator, level: float) -> Iterator[Finding]:
    """Extrapolated exposure by number of copies; nothing where there is no secret to rank."""
    secrets = rows.take(~np.isnan(rows["exposure_ceiling"]))
    for copies in _copies(secrets):
        ours = secrets.take(secrets["repetitions"] == copies)
        value, coverage = extrapolated.mean_extrapolated(ours, rng, level=level)
        yield Finding(metric="exposure_extrapolated", slice=_part(copies), estimate=value, coverage=coverage)


def _repeated(rows: Rows) -> Iterator[Check]:
    """What the promise for one example says of canaries with several copies."""
    several = [copies for copies in _copies(rows) if copies > 1]
    if several:
        said = "; ".join(
            f"{copies} copies: protected by at most {copies} × epsilon in pure-DP terms" for copies in several
        )
        yield Check(
            name="repeated canaries",
            outcome="not checked",
            evidence=f"{said}; not part of the bound, which is for one copy",
        )
