"""Membership of a model that was trained elsewhere, by rows that somebody says it was, and was not, trained on."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from probes.privacy.attacks import asks, attack_scores, coverage_of, needed_for, scored
from probes.privacy.blind import BlindScores, Interlock
from probes.privacy.brought import read_brought
from probes.privacy.matching import CALIPER, MatchedPairs
from probes.privacy.membership import coverage_of_blind
from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import (
    Check,
    Coverage,
    Finding,
    MetricSpec,
    NotApplicable,
    NotMeasured,
    Pillar,
    Role,
    Value,
)
from probes.stats.roc import auc

_SCORE = "score:"
_ACCESS = "scores of the model's answers"
_BLIND = "the texts alone, and no model"


@dataclass(frozen=True, kw_only=True)
class GivenMembership:
    """Do attacks tell rows that a model is said to be trained on from rows that it is said not to be?

    For models without a twin: no coin chose these rows, somebody brought them. Where a classifier that never sees the
    model tells them apart, or there are too few rows to try it, the AUC of every attack is withheld. Beside it then
    stands an estimate for a matched subset, outside gates: pairs of a member and a non-member that read equally like a
    member (one to one, nearest first, within a fifth of a standard deviation of the cross-fitted log-odds). How many
    pairs were kept and how well a new classifier still tells the matched rows apart is said with it; where it does, or
    could not be tried, the estimate is withheld as well. Put to an arm that these rows had no part in, the same attacks
    show what they find in the rows alone.

    Limits: who is a member is said and not known. Matching makes alike what a classifier of words, lengths, dates and
    format sees, and nothing else; the pairs that are kept are not all rows, and the figure speaks of them alone. A
    causal model that classifies by a word is asked about the text without its prompt.

    Source: Das, Zhang and Tramèr (2024), https://arxiv.org/abs/2406.16201 (members told apart without a model);
    Rosenbaum and Rubin (1983), theorem 1 (matching on the propensity); Austin (2011) (caliper).

    Attributes:
        file: A CSV file with the columns text and is_member, and where they apply text_pair, label and cluster.
        share: Share of the tokens that Min-K and Min-K++ look at.
    """

    name: ClassVar[str] = "given_membership"
    version: ClassVar[int] = 2
    pillar: ClassVar[Pillar] = "privacy"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control"})
    tasks: ClassVar[frozenset[str]] = frozenset()  # on where it is asked for: it needs rows that somebody brings
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "auc": MetricSpec(
            ideal=0.5, unit="auc", definition="given_membership:auc", label="membership AUC, rows as said",
            access=_ACCESS,
        ),
        "blind_auc": MetricSpec(
            ideal=0.5, unit="auc", definition="given_membership:blind-auc",
            label="members told from others without the model", access=_BLIND,
        ),
        "matched_auc": MetricSpec(
            ideal=0.5, unit="auc", definition="given_membership:matched-auc",
            label="membership AUC, estimated on a matched subset", access=_ACCESS, is_judged=False,
        ),
        "matched_blind_auc": MetricSpec(
            ideal=0.5, unit="auc", definition="given_membership:matched-blind-auc",
            label="matched members told from others without the model", access=_BLIND, is_judged=False,
        ),
    }  # fmt: skip

    file: str | None = None
    share: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1]; got {self.share}")

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> Mapping[str, Ask]:
        """The arm's answers on the rows, the base's where they compare, and two readers who see no model."""
        if self.file is None:
            raise NotApplicable("no file says which rows are members; name one as given_membership.file")
        brought = read_brought(Path(self.file), facts.classes)
        found = asks(facts, {"brought": brought}, "brought", "the file has no rows")
        return {
            **found,
            "blind": Ask(table=BlindScores(), on=brought, of="data"),
            "matched": Ask(table=MatchedPairs(), on=brought, of="data"),
        }

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per brought row: a score by each attack, `blind_score`, `pair` and `matched_blind_score`."""
        arm, matched = tables["arm"], tables["matched"]
        found = attack_scores(arm, tables.get("base"), self.share)
        return Rows(
            {
                "item_id": arm["item_id"],
                "cluster": arm["cluster"],
                "is_member": np.asarray(arm["is_member"], dtype=bool),
                "blind_score": tables["blind"]["blind_score"],
                "pair": matched["pair"],
                "matched_blind_score": matched["matched_blind_score"],
                **{_SCORE + attack: values for attack, values in found.items()},
            }
        )

    def access(self, key: Key, facts: Facts) -> str:
        """What an attacker needs for the attack of a slice."""
        metric, part = key
        return needed_for(part.removeprefix("attack="), facts) if part else self.metrics[metric].access

    def summarize(
        self, rows: Rows, facts: Facts, rng: np.random.Generator, level: float = 0.95
    ) -> Iterable[Finding | Check]:
        """The AUC of every attack; where it is withheld, the estimate for the matched subset."""
        lock = Interlock.of(rows, tossed_here=False)
        yield Finding(metric="blind_auc", estimate=lock.auc, coverage=coverage_of_blind(rows["blind_score"]))
        yield lock.check()
        for attack, column in _attacks(rows):
            value: Value = NotMeasured(reason=lock.reason)
            if not lock.reason:
                score, is_member, cluster = scored(column, rows["is_member"], rows["cluster"])
                value = auc(score, is_member, cluster=cluster, level=level)
            yield Finding(metric="auc", slice=f"attack={attack}", estimate=value, coverage=coverage_of(column))
        if lock.reason:
            yield from _matched(rows, level)


def _attacks(rows: Rows) -> Iterator[tuple[str, Array]]:
    for column in rows:
        if column.startswith(_SCORE):
            yield column.removeprefix(_SCORE), rows[column]


def _matched(rows: Rows, level: float) -> Iterator[Finding | Check]:
    """The estimate on the matched pairs, how well they are still told apart, and how many there are."""
    kept = rows.take(rows["pair"] != "")
    again = kept.assign(blind_score=kept["matched_blind_score"], cluster=kept["pair"])
    lock = Interlock.of(again, tossed_here=False)
    coverage = Coverage(asked=rows.n, answered=kept.n, missing={"no partner that reads alike": rows.n - kept.n})
    yield Finding(metric="matched_blind_auc", estimate=lock.auc, coverage=coverage)
    yield _check(rows, kept, lock)
    for attack, column in _attacks(kept):
        value: Value = NotMeasured(reason=f"{lock.reason}, also where they are matched")
        if not lock.reason:
            score, is_member, pair = scored(column, kept["is_member"], kept["pair"])
            value = _named(auc(score, is_member, cluster=pair, level=level, unit_of_n="matched pair"))
        yield Finding(metric="matched_auc", slice=f"attack={attack}", estimate=value, coverage=coverage)


def _named(value: Value) -> Value:
    """The estimate with how its rows were chosen."""
    if isinstance(value, NotMeasured):
        return value
    method = (
        f"{value.method}; pairs matched one to one on the blind classifier's cross-fitted log-odds, nearest within "
        f"{CALIPER:g} standard deviations; an estimate for these pairs, given the matching"
    )
    return replace(value, method=method)


def _check(rows: Rows, kept: Rows, lock: Interlock) -> Check:
    check = lock.check()
    members = int(rows["is_member"].sum())
    return Check(
        name="matched members and non-members read alike",
        outcome=check.outcome,
        evidence=f"{kept.n // 2:,} pairs of {members:,} members and {rows.n - members:,} others; {check.evidence}",
    )
