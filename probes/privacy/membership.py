"""Membership inference: can an attacker tell which records the model was trained on?"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from probes.privacy.attacks import (
    asks,
    attack_scores,
    coverage_of,
    needed_for,
    of_references,
    own_pass_scores,
    own_passes,
    reference_attack_scores,
    scored,
    usual_rmia_scale,
    why_no_pass,
)
from probes.privacy.blind import BlindScores, Interlock
from probes.privacy.choosing import CHOSEN, Choice, check, coverage_of_choice
from probes.privacy.variants import PASSES
from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import (
    Check,
    Coverage,
    Estimate,
    Finding,
    MetricSpec,
    NotMeasured,
    Null,
    Pillar,
    Role,
    Series,
    Value,
)
from probes.stats.roc import auc, realised_fpr, roc_curve, tpr_at_fpr, weighted_auc, weighted_tpr_at_fpr

FEWEST_FALSE_ALARMS = 3
"""Non-members that a false positive rate must accuse for its true positive rate to have an interval.

From three on a bootstrap can follow how the threshold varies with the non-members: its 95 % intervals cover 92 to 97 %
of the time in simulations, but down to 75 % for one. Given the threshold, Clopper–Pearson's cover 46 to 91 %.
"""

_SCORE = "score:"


@dataclass(frozen=True, kw_only=True)
class Membership:
    """How well do simple attacks tell training records from records that fair coins left out?

    Each record of the audit pool was let into the twin's training by a coin of its own (one for all near-duplicates, or
    all records of a person), so members and non-members differ in nothing else. That is put to the test: where a
    classifier that never sees the model tells them apart, all results are withheld. Attacks: the loss; where the
    untouched base answers with the same head, the difference to it; for causal models also zlib, Min-K and Min-K++,
    and with the base the error zone and votes of windows. Attacks with passes of their own are made where `passes`
    names them, RMIA, InfoRMIA and LiRA where `references` asks for reference models. Every attack is reported;
    "chosen" is the one that was strongest on one half of the coins, reported on the other half. The true positive rate
    is conservative: the largest whose realised false positive rate does not exceed the one asked. Its interval knows
    that other non-members would have set another threshold. Records without a scored token are left out and counted.

    Limits: a stronger attacker may find more than these attacks, so a low figure bounds nothing. A text of few tokens
    tells Min-K, the error zone and windows little. The twin is the same recipe on slightly fewer data. Averages hide
    the few records that are remembered best; the rate at few false alarms shows more of them. What a claimed epsilon
    allows is drawn for records with a coin of their own; near-duplicates that share one are protected by a multiple of
    it.

    Source: Yeom et al. (2018), https://arxiv.org/abs/1709.01604; Carlini et al. (2022), https://arxiv.org/abs/2112.03570,
    section III; the scores' own sources stand with them in `probes.privacy.scores`, `reference_scores` and `variants`.

    Attributes:
        fprs: False positive rates at which the true positive rate is taken.
        share: Share of the tokens that Min-K and Min-K++ look at.
        passes: Attacks with passes of their own: "lowercase" (one pass more), "neighbours" and "label_only" (`copies`
            passes more, each).
        copies: Copies of each record that the latter two ask about.
        references: Reference models that are trained for RMIA and InfoRMIA, and from 16 on for LiRA as well: each costs
            a training of the twin's recipe. An even number: of each record half are trained on it.
        rmia_scale: a of RMIA's offline form; where silent 0.3, its authors' for classifiers, and 1 for language models,
            beside whose probabilities the rest of that form would drown what references say. Never tuned on the model
            that is attacked.
    """

    name: ClassVar[str] = "membership"
    version: ClassVar[int] = 2
    pillar: ClassVar[Pillar] = "privacy"
    roles: ClassVar[frozenset[Role]] = frozenset({"twin"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "auc": MetricSpec(
            ideal=0.5,
            unit="auc",
            definition="membership:auc",
            label="membership AUC",
            access="scores of the model's answers",
        ),
        "tpr_at_fpr": MetricSpec(
            ideal=0.0,
            unit="rate",
            definition="membership:conservative-tpr",
            label="members recognised at few false alarms",
            access="scores of the model's answers",
        ),
        "blind_auc": MetricSpec(
            ideal=0.5,
            unit="auc",
            definition="membership:blind-auc",
            label="members told from others without the model",
            access="the texts alone, and no model",
        ),
    }

    fprs: tuple[float, ...] = (0.01, 0.001)
    share: float = 0.2
    passes: tuple[str, ...] = ()
    copies: int = 10
    references: int = 0
    rmia_scale: float | None = None

    def __post_init__(self) -> None:
        if not self.fprs or not all(0 < fpr < 1 for fpr in self.fprs):
            raise ValueError(f"fprs must be rates in (0, 1); got {self.fprs}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1]; got {self.share}")
        unknown = sorted(set(self.passes) - set(PASSES))
        if unknown:
            raise ValueError(f"passes must be among {', '.join(PASSES)}; got {', '.join(unknown)}")
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1; got {self.copies}")
        if self.references < 0 or self.references % 2:
            raise ValueError(f"references must be an even number; got {self.references}")
        if self.rmia_scale is not None and not 0 <= self.rmia_scale <= 1:
            raise ValueError(f"rmia_scale must lie in [0, 1]; got {self.rmia_scale}")

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> Mapping[str, Ask]:
        """The twin's answers on the audit pool, the base's where they compare, and a reader's who sees no model."""
        found = asks(facts, data, "pool", "there is no audit pool, so nobody knows members and non-members")
        pool = data["pool"]
        blind = Ask(table=BlindScores(), on=pool, of="data")
        passes = own_passes(facts, pool, self.passes, self.copies)
        return {**found, "blind": blind, **passes, **of_references(facts, data, self.references)}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per record of the pool: its coin, and a score by each attack, NaN where it has none.

        Where there are several attacks, `score:chosen` has those of the one that `attack` names, in the half that did
        not choose it. `is_withheld` says of all rows alike whether the blind interlock holds the results back.
        """
        arm = tables["arm"]
        found = attack_scores(arm, tables.get("base"), self.share) | own_pass_scores(arm, tables, facts)
        scale = usual_rmia_scale(facts) if self.rmia_scale is None else self.rmia_scale
        found |= reference_attack_scores(arm, tables, scale)
        rows = Rows(
            {
                "item_id": arm["item_id"],
                "cluster": arm["cluster"],
                "is_member": np.asarray(arm["is_member"], dtype=bool),
                **{_SCORE + attack: values for attack, values in found.items()},
            }
        )
        if "blind" in tables:
            rows = rows.assign(blind_score=tables["blind"]["blind_score"])
            rows = rows.assign(is_withheld=np.full(rows.n, bool(Interlock.of(rows).reason)))
        if len(found) > 1:
            choice = Choice.of(found, rows["is_member"], rows["cluster"])
            named = {"attack": [choice.attack] * rows.n, "chooses": choice.chooses}
            rows = rows.assign(**{_SCORE + CHOSEN: choice.score}, **named)
        return rows

    def statistics(self, rows: Rows, weights: Array) -> Mapping[Key, float]:
        """AUC and conservative true positive rate of each attack, of the records that have its score."""
        values: dict[Key, float | None] = {}
        if _is_withheld(rows):
            return {}
        for attack, column in _attacks(rows):
            score, is_member, weight = scored(column, rows["is_member"], weights)
            values["auc", f"attack={attack}"] = weighted_auc(score, is_member, weight)
            for fpr in self.fprs:
                if are_enough(float(weight[~is_member].sum()), fpr):
                    values["tpr_at_fpr", _part(attack, fpr)] = weighted_tpr_at_fpr(score, is_member, weight, fpr)
        return {key: value for key, value in values.items() if value is not None}

    def nulls(self, rows: Rows, facts: Facts, rng: np.random.Generator) -> Mapping[Key, Null]:
        """What an attack that knows nothing would reach at few false alarms."""
        found: dict[Key, Null] = {}
        if _is_withheld(rows):
            return found
        has_own_coin = len(set(rows["cluster"].tolist())) == rows.n
        for attack, column in _attacks(rows):
            score, is_member = scored(column, rows["is_member"])
            for fpr in self.fprs:
                null = null_of_tpr(score, is_member, fpr, is_independent=has_own_coin)
                found |= {("tpr_at_fpr", _part(attack, fpr)): null} if null is not None else {}
        return found

    def coverage(self, rows: Rows, facts: Facts) -> Mapping[str, Coverage]:
        """Records with and without a score, by attack."""
        found: dict[str, Coverage] = {}
        for attack, column in _attacks(rows):
            parts = [f"attack={attack}", *(_part(attack, fpr) for fpr in self.fprs)]
            chosen = attack == CHOSEN
            found |= dict.fromkeys(
                parts, coverage_of_choice(column, rows["chooses"]) if chosen else coverage_of(column)
            )
        return found

    def access(self, key: Key, facts: Facts) -> str:
        """What an attacker needs for the attack of a slice."""
        metric, part = key
        if not part.startswith("attack="):
            return self.metrics[metric].access
        return needed_for(part.removeprefix("attack=").partition(",")[0], facts)

    def summarize(
        self, rows: Rows, facts: Facts, rng: np.random.Generator, level: float = 0.95
    ) -> Iterable[Finding | Check | Series]:
        """AUC and ROC curve by attack; and why a true positive rate is not measured, where it is not."""
        lock = Interlock.of(rows)
        if "blind_score" in rows:
            yield Finding(metric="blind_auc", estimate=lock.auc, coverage=coverage_of_blind(rows["blind_score"]))
            yield lock.check()
        for attack in self.passes:
            if why_no_pass(attack, facts):
                yield from self._absent(attack, why_no_pass(attack, facts))
        values: dict[str, Value] = {}
        for attack, column in _attacks(rows):
            if _is_withheld(rows):
                yield from self._absent(attack, lock.reason)
                continue
            score, is_member, cluster = scored(column, rows["is_member"], rows["cluster"])
            unit = "record" if len(set(cluster.tolist())) == len(cluster) else "cluster"
            values[attack] = auc(score, is_member, cluster=cluster, level=level, unit_of_n=unit)
            yield Finding(metric="auc", slice=f"attack={attack}", estimate=values[attack])
            for fpr in self.fprs:
                reason = _why_not(is_member, fpr)
                if reason:
                    yield Finding(metric="tpr_at_fpr", slice=_part(attack, fpr), estimate=NotMeasured(reason=reason))
            yield from self._curve(attack, score, is_member, facts, level)
        if values.pop(CHOSEN, None) is not None:
            yield check(rows["attack"][0], rows["chooses"], values, level)

    def _absent(self, attack: str, reason: str) -> Iterator[Finding]:
        for metric, part in [("auc", f"attack={attack}"), *(("tpr_at_fpr", _part(attack, fpr)) for fpr in self.fprs)]:
            yield Finding(metric=metric, slice=part, estimate=NotMeasured(reason=reason))

    def _curve(self, attack: str, score: Array, is_member: Array, facts: Facts, level: float) -> Iterator[Series]:
        members, nonmembers = int(is_member.sum()), int((~is_member).sum())
        if not members or not nonmembers:
            return
        curve = roc_curve(score, is_member)
        realised = {
            f"others accused where {100 * fpr:g} % may be": _realised(score, is_member, fpr, level) for fpr in self.fprs
        }
        yield Series(
            name=f"roc:{attack}",
            kind="roc",
            columns={
                "fpr": tuple(map(float, curve.false_positive_rate)),
                "tpr": tuple(map(float, curve.true_positive_rate)),
            },
            notes={
                "attack": attack,
                "needs": needed_for(attack, facts),
                "n_members": members,
                "n_nonmembers": nonmembers,
                "epsilon": facts.claim.epsilon if facts.claim else None,
                "delta": facts.claim.delta if facts.claim else None,
                **realised,
            },
        )


def null_of_tpr(score: Array, is_member: Array, fpr: float, *, is_independent: bool) -> Null | None:
    """What an attack that knows nothing would reach; None where that rate cannot be measured at all.

    The threshold stands at the non-members' own scores, so that with f of N accused an attack that knows nothing
    recognises (f + 1) / (N + 1) of the members. Among independent rows the number recognised is that of the members
    before the (k + 1)-th non-member in a random order, k being the most that may be accused: a negative hypergeometric
    variable, which ties can only lessen.

    Args:
        score: Shape (N,), without NaN.
        is_member: Shape (N,).
        fpr: The rate asked.
        is_independent: Whether every row had a coin of its own; without it there is no p-value.
    """
    recognised, accused = tpr_at_fpr(score, is_member, fpr), realised_fpr(score, is_member, fpr)
    if isinstance(recognised, NotMeasured) or isinstance(accused, NotMeasured):
        return None
    false_positives = round(accused.value * accused.n)
    p = _p_of_no_knowledge(round(recognised.value * recognised.n), recognised.n, accused.n, fpr)
    return Null(
        value=(false_positives + 1) / (accused.n + 1),
        p=p if is_independent else None,
        meaning=f"an attack that knows nothing; this one accused {false_positives} of {accused.n} non-members",
    )


def _p_of_no_knowledge(true_positives: int, members: int, nonmembers: int, fpr: float) -> float:
    from scipy.stats import hypergeom  # a second of import time, which reading this module should not cost

    allowed = max(k for k in (int(fpr * nonmembers), int(fpr * nonmembers) + 1) if k / nonmembers <= fpr)
    return float(hypergeom.cdf(allowed, members + nonmembers, nonmembers, true_positives + allowed))


def _attacks(rows: Rows) -> Iterator[tuple[str, Array]]:
    for column in rows:
        if column.startswith(_SCORE):
            yield column.removeprefix(_SCORE), rows[column]


def _is_withheld(rows: Rows) -> bool:
    return "is_withheld" in rows and bool(rows["is_withheld"].any())


def coverage_of_blind(score: Array) -> Coverage:
    """How many records the blind classifier was tried on."""
    silent = int(np.isnan(score).sum())
    missing = {"the first classifier was fitted to them": silent} if silent else {}
    return Coverage(asked=len(score), answered=len(score) - silent, missing=missing)


def _part(attack: str, fpr: float) -> str:
    return f"attack={attack},fpr={fpr:g}"


def are_enough(nonmembers: float, fpr: float) -> bool:
    """Whether a true positive rate at this false positive rate has an interval."""
    return nonmembers * fpr >= FEWEST_FALSE_ALARMS - 1e-9


def fewest_nonmembers(fpr: float) -> int:
    """Non-members from which a true positive rate at this false positive rate has an interval."""
    return ceil(FEWEST_FALSE_ALARMS / fpr - 1e-9)


def _why_not(is_member: Array, fpr: float) -> str:
    """Why the true positive rate has no interval; "" where it has."""
    nonmembers = int((~is_member).sum())
    if not is_member.any():
        return "there are no members"
    if are_enough(nonmembers, fpr):
        return ""
    return f"{nonmembers:,} non-members; at least {fewest_nonmembers(fpr):,} are needed"


def _realised(score: Array, is_member: Array, fpr: float, level: float) -> str | None:
    """The share of non-members that the threshold accuses, in words: of that threshold, which was chosen on them."""
    rate = realised_fpr(score, is_member, fpr, level=level)
    if not isinstance(rate, Estimate):
        return None
    low, high = (f"{100 * end:.2f}" for end in (rate.low or 0.0, 1.0 if rate.high is None else rate.high))
    return f"{100 * rate.value:.2f} %, which is a true rate of {low} to {high} %"
