"""Leakage by protected group: are some people remembered better than others?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Literal

import numpy as np

from probes.privacy import scores
from probes.privacy.attacks import asks, minus_loss, needed_for, scored
from probes.privacy.blind import BlindScores, Interlock
from probes.privacy.extraction import FEWEST_TOKENS
from probes.privacy.membership import FEWEST_FALSE_ALARMS
from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import (
    Check,
    Coverage,
    Estimate,
    Finding,
    MetricSpec,
    NotApplicable,
    NotMeasured,
    Pillar,
    Role,
    Series,
    Value,
)
from probes.stats.codes import read_only
from probes.stats.group_leaks import (
    Leaks,
    auc_by_group,
    rates_by_group,
    weighted_auc_by_group,
    weighted_rates_by_group,
)
from probes.stats.groups import NOT_SCORED, UNKNOWN, scored_groups
from probes.stats.multiplicity import holm
from probes.stats.roc import FEWEST_PER_CLASS, accused_at_fpr
from probes.summary import interval_columns

_GROUP, _SCORED, _ASKED = "group:", "scored:", "asked:"
_NO_CANARIES = "canaries are invented: no person stands behind them, so they belong to no group"
_ACCESS = "scores of the model's answers, and who belongs to which group"
_SAID = "answers of the model, the beginning of the text, and who belongs to which group"


def _spec(
    definition: str, label: str, *, unit: str = "rate", ideal: float | None = 0.0, gap: bool = False, said: bool = False
) -> MetricSpec:
    return MetricSpec(
        ideal=ideal,
        unit=unit,
        definition=f"privacy_equity:{definition}",
        label=label,
        access=_SAID if said else _ACCESS,
        gap=gap,
    )


@dataclass(frozen=True, kw_only=True)
class PrivacyEquity:
    """Are some groups of people remembered better than others?

    The audit pool's coins let half of each group's records into the twin's training. Within each group members are told
    from others by one attack that is fixed beforehand: the difference to the untouched base where that compares, else
    the loss. The threshold of the recognition rate is set on the others of all groups together, as an attacker would
    who knows of no groups; beside it stands how many of the group's own others it accuses. A language model is also
    given the first half of each record: how often does it say the second, word for word? A difference is the largest
    between any two groups, of the AUC, or of how much more often members than others of the group are recognised or
    said: so a group whose texts are easy for any model does not look remembered. Its null is what groups of these sizes
    that leak alike would show. Between the twin of a private arm and that of a standard one, the paired difference of
    these says whether privacy narrows the gap: it does where the interval lies below zero.

    Limits: groups that are too small, and people whose group is unknown, are named and not compared. With one threshold
    for all, a group whose scores spread more is recognised more often at the same AUC. A difference between two twins
    compares two largest differences, both above zero by chance alone: it is less certain than either.
    Canaries are invented and belong to no group, so exposure has none. Where the blind interlock withholds membership
    results, these are withheld as well.

    Source: Kulynych et al. (2022), https://arxiv.org/abs/1906.00389 (attacks reach groups differently); Bagdasaryan,
    Poursaeed and Shmatikov (2019), https://arxiv.org/abs/1905.12101 (so does differential privacy); Carlini et al.
    (2022), https://arxiv.org/abs/2112.03570, section III (rates at few false alarms).

    Attributes:
        fpr: The share of all others whom the attacker may accuse, at which members are recognised.
        score: "loss" or "reference" (the difference to the base); where silent, the latter where the base compares.
    """

    name: ClassVar[str] = "privacy_equity"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "privacy"
    roles: ClassVar[frozenset[Role]] = frozenset({"twin"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "auc_difference": _spec("largest-auc-gap", "difference in membership AUC", unit="score", gap=True),
        "recognition_difference": _spec(
            "largest-gap-of-tpr-minus-fpr", "difference in members recognised beyond false alarms", gap=True
        ),
        "verbatim_difference": _spec(
            "largest-gap-of-greedy-minus-left-out", "difference in records said word for word", gap=True, said=True
        ),
        "exposure": _spec("exposure", "exposure of planted canaries in the group", unit="bits"),
        "auc": _spec("auc", "membership AUC in the group", unit="auc", ideal=0.5),
        "tpr_at_fpr": _spec("conservative-tpr-at-pooled-threshold", "members of the group recognised"),
        "false_alarms": _spec("fpr-at-pooled-threshold", "others of the group accused", ideal=None),
        "verbatim": _spec("greedy", "members' records said word for word", said=True),
        "verbatim_left_out": _spec("greedy-left-out", "others' records said word for word", ideal=None, said=True),
    }

    fpr: float = 0.01
    score: Literal["loss", "reference"] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fpr < 1:
            raise ValueError(f"fpr must lie in (0, 1); got {self.fpr}")

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> Mapping[str, Ask]:
        """The twin's answers on the audit pool, the base's where they compare, and a reader's who sees no model."""
        if self.score == "reference" and not facts.base_is_comparable:
            raise NotApplicable("the score is the difference to the base, which does not answer with the same head")
        found = asks(facts, data, "pool", "there is no audit pool, so nobody knows members and non-members")
        if not any(_GROUP + attribute in data["pool"] for attribute in facts.groups):
            raise NotApplicable("the data name no protected attribute")
        if self.score == "loss":
            found.pop("base", None)
        return {**found, "blind": Ask(table=BlindScores(), on=data["pool"], of="data")}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per record of the pool: its coin and score, whether it was said, and its groups as far as scored."""
        arm, base = tables["arm"], tables.get("base")
        score = minus_loss(arm)
        columns = {
            "item_id": arm["item_id"],
            "cluster": arm["cluster"],
            "is_member": np.asarray(arm["is_member"], dtype=bool),
            "score": score if base is None else scores.reference(score, minus_loss(base)),
            "is_said": _said_word_for_word(arm),
            "blind_score": tables["blind"]["blind_score"],
        }
        columns |= {name: arm[name] for name in arm if name.removeprefix(_GROUP) in facts.groups}
        rows = Rows(columns)
        told = {
            prefix + attribute: _told(rows, attribute, column, facts.minimum_group)
            for attribute in facts.groups
            if _GROUP + attribute in rows
            for prefix, column in ((_SCORED, "score"), (_ASKED, "is_said"))
        }
        rows = rows.assign(is_withheld=np.full(rows.n, bool(Interlock.of(rows).reason)), **told)
        return Rows(rows, rows.sensitivity | dict.fromkeys(told, "personal"))  # a group by another name

    def statistics(self, rows: Rows, weights: Array) -> Mapping[Key, float]:
        """Each group's figures and the largest differences; nothing where they are withheld."""
        values: dict[Key, float] = {}
        if rows["is_withheld"].any():
            return values
        for attribute in _attributes(rows):
            score, is_member, group, weight = scored(
                rows["score"], rows["is_member"], rows[_SCORED + attribute], weights
            )
            aucs = weighted_auc_by_group(score, is_member, group, weight)
            values |= {("auc", _part(attribute, name)): value for name, value in aucs.items()}
            if len(aucs) > 1:
                values["auc_difference", _part(attribute)] = max(aucs.values()) - min(aucs.values())
            if _are_enough(float(weight[~is_member].sum()), self.fpr):
                accused = accused_at_fpr(score, is_member, weight, self.fpr)
                values |= self._rates(attribute, "tpr_at_fpr", accused, is_member, group, weight)
            is_said, is_member, group, weight = scored(
                rows["is_said"], rows["is_member"], rows[_ASKED + attribute], weights
            )
            values |= self._rates(attribute, "verbatim", is_said, is_member, group, weight)
        return values

    def _rates(
        self, attribute: str, metric: str, happened: Array | None, is_member: Array, group: Array, weights: Array
    ) -> dict[Key, float]:
        if happened is None or not len(happened):
            return {}
        others, difference = _BESIDE[metric]
        rates = weighted_rates_by_group(happened, is_member, group, weights)
        at = {name: self._at(metric, attribute, name) for name in ("", *rates)}
        values = {(metric, at[name]): members for name, (members, _) in rates.items()}
        values |= {(others, at[name]): left_out for name, (_, left_out) in rates.items()}
        if len(rates) > 1:
            excess = [members - left_out for members, left_out in rates.values()]
            values[difference, at[""]] = max(excess) - min(excess)
        return values

    def coverage(self, rows: Rows, facts: Facts) -> Mapping[str, Coverage]:
        """Records of groups that are scored; the others are named."""
        found: dict[str, Coverage] = {}
        for attribute in _attributes(rows):
            group = rows[_SCORED + attribute]
            missing = _missing(rows, attribute)
            everyone = Coverage(asked=rows.n, answered=rows.n - sum(missing.values()), missing=missing)
            for metric in ("auc", "tpr_at_fpr"):
                found[self._at(metric, attribute)] = everyone
                for name in sorted(set(group.tolist()) - {NOT_SCORED}):
                    ours = group == name
                    silent = int(np.isnan(rows["score"][ours]).sum())
                    why = {"no token could be scored": silent} if silent else {}
                    asked = int(ours.sum())
                    found[self._at(metric, attribute, name)] = Coverage(
                        asked=asked, answered=asked - silent, missing=why
                    )
        return found

    def access(self, key: Key, facts: Facts) -> str:
        """What an attacker needs for a figure."""
        if key[0] not in {"auc", "auc_difference", "tpr_at_fpr", "false_alarms", "recognition_difference"}:
            return self.metrics[key[0]].access
        compares = facts.base_is_comparable if self.score is None else self.score == "reference"
        return needed_for("reference" if compares else "loss", facts)

    def summarize(
        self, rows: Rows, facts: Facts, rng: np.random.Generator, level: float = 0.95
    ) -> Iterator[Finding | Check | Series]:
        """The figures with simultaneous intervals, whether any difference is more than chance, and a curve."""
        gaps: list[Value] = []
        reason = Interlock.of(rows).reason
        for attribute in _attributes(rows):
            if reason:
                yield from self._withheld(attribute, reason)
                continue
            for metric, leaks in self._leaks(rows, attribute, rng, level):
                gaps.append(leaks.gap)
                yield from self._findings(attribute, metric, leaks)
                if metric == "auc" and leaks.members:
                    yield _series(attribute, leaks)
        for attribute in _attributes(rows):
            yield Finding(metric="exposure", slice=_part(attribute), estimate=NotMeasured(reason=_NO_CANARIES))
        yield from _verdict(gaps, level)

    def _leaks(self, rows: Rows, attribute: str, rng: np.random.Generator, level: float) -> Iterator[tuple[str, Leaks]]:
        """By metric what is found of an attribute's groups."""
        group = rows[_SCORED + attribute]
        three = scored(rows["score"], rows["is_member"], group, rows["cluster"])
        score, is_member, group, cluster = three
        yield "auc", auc_by_group(score, is_member, group, cluster, rng, level=level)
        held = read_only(score)  # its order is computed once for all resamples

        def accused(weights: Array) -> Array | None:
            return accused_at_fpr(held, is_member, weights, self.fpr)

        others = int((~is_member).sum())
        if _are_enough(others, self.fpr):
            yield "tpr_at_fpr", rates_by_group(accused, is_member, group, cluster, rng, level=level)
        else:
            needed = ceil(FEWEST_FALSE_ALARMS / self.fpr - 1e-9)
            few = NotMeasured(reason=f"{others:,} non-members; at least {needed:,} are needed")
            yield "tpr_at_fpr", Leaks(members={}, others={}, gap=few)
        said, is_member, group, cluster = scored(
            rows["is_said"], rows["is_member"], rows[_ASKED + attribute], rows["cluster"]
        )
        if len(said):
            yield "verbatim", rates_by_group(lambda weights: said > 0, is_member, group, cluster, rng, level=level)

    def _findings(self, attribute: str, metric: str, leaks: Leaks) -> Iterator[Finding]:
        others, difference = _BESIDE[metric]
        yield Finding(metric=difference, slice=self._at(metric, attribute), estimate=leaks.gap)
        for name, found in ((metric, leaks.members), (others, leaks.others)):
            for group, value in found.items():
                yield Finding(metric=name, slice=self._at(metric, attribute, group), estimate=value)

    def _withheld(self, attribute: str, reason: str) -> Iterator[Finding]:
        for metric, (_, difference) in _BESIDE.items():
            yield Finding(metric=difference, slice=self._at(metric, attribute), estimate=NotMeasured(reason=reason))

    def _at(self, metric: str, attribute: str, group: str = "") -> str:
        """The slice of a metric: rates at few false alarms say how few."""
        return _part(attribute, group) + (f",fpr={self.fpr:g}" if metric == "tpr_at_fpr" else "")


_BESIDE = {
    "auc": ("", "auc_difference"),
    "tpr_at_fpr": ("false_alarms", "recognition_difference"),
    "verbatim": ("verbatim_left_out", "verbatim_difference"),
}
"""By a figure of members: the same of others, and the difference between groups."""


def _part(attribute: str, group: str = "") -> str:
    return f"attribute={attribute}" + (f",group={group}" if group else "")


def _attributes(rows: Rows) -> list[str]:
    return [name.removeprefix(_SCORED) for name in rows if name.startswith(_SCORED)]


def _are_enough(others: float, fpr: float) -> bool:
    return others * fpr >= FEWEST_FALSE_ALARMS - 1e-9


def _told(rows: Rows, attribute: str, column: str, minimum: int) -> Array:
    """The groups that are large enough in rows, and have members and others of enough clusters told in a column."""
    group = scored_groups(rows[_GROUP + attribute], minimum=minimum)
    told = ~np.isnan(rows[column])
    for name in set(group.tolist()) - {NOT_SCORED}:
        ours = (group == name) & told
        clusters = [len(set(rows["cluster"][ours & side].tolist())) for side in (rows["is_member"], ~rows["is_member"])]
        if min(clusters) < FEWEST_PER_CLASS:
            group[group == name] = NOT_SCORED
    return group


def _missing(rows: Rows, attribute: str) -> dict[str, int]:
    """Rows that no group's figure speaks of, by reason."""
    away = rows[_SCORED + attribute] == NOT_SCORED
    names, counts = np.unique(rows[_GROUP + attribute][away].astype(str), return_counts=True)
    found = {
        "group unknown" if name == UNKNOWN else f"{name}: too small a group": int(n)
        for name, n in zip(names.tolist(), counts, strict=True)
    }
    silent = int((np.isnan(rows["score"]) & ~away).sum())
    return found | ({"no token could be scored": silent} if silent else {})


def _said_word_for_word(table: Rows) -> Array:
    """Whether greedy decoding says the second half of each record, given the first; NaN where that was not asked."""
    found = np.full(table.n, np.nan)
    for i, top in enumerate(table.get("is_top", ())):
        half = len(top) // 2
        if len(top) - half >= FEWEST_TOKENS:
            found[i] = float(np.asarray(top)[half:].all())
    return found


def _verdict(gaps: list[Value], level: float) -> Iterator[Check]:
    """Whether any difference is more than groups that leak alike would show."""
    nulls = [gap.null for gap in gaps if isinstance(gap, Estimate)]
    ps = [null.p for null in nulls if null is not None and null.p is not None]
    name = "groups are remembered alike"
    if not ps:
        if gaps:
            yield Check(name=name, outcome="not checked", evidence="no two groups could be compared")
        return
    corrected = holm(ps, alpha=1 - level)
    clear = int(corrected.significant.sum())
    least = float(corrected.p_adjusted.min())
    evidence = (
        f"{clear} of {len(ps)} differences are larger than groups that leak alike would show, at "
        f"{100 * (1 - level):.3g} % over all of them (Holm); least p {least:.2g}"
    )
    yield Check(name=name, outcome="fail" if clear else "pass", evidence=evidence)


def _series(attribute: str, leaks: Leaks) -> Series:
    """The groups' AUCs."""
    values = list(leaks.members.values())
    return Series(
        name=f"groups:{attribute}",
        kind="groups",
        columns={
            "metric": ("membership AUC",) * len(values),
            "group": tuple(leaks.members),
            **interval_columns(values),
            "n": tuple(float(value.n) if isinstance(value, Estimate) else None for value in values),
        },
        notes={"attribute": attribute, "unit": "auc"},
    )
