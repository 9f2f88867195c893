"""Leakage by protected group: are some people remembered better than others?"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from probes.privacy import group_exposures, scores
from probes.privacy.attacks import asks, minus_loss, needed_for, scored
from probes.privacy.blind import BlindScores, Interlock
from probes.privacy.extraction import how_likely
from probes.privacy.group_exposures import GROUP, NO_FORM, RANKED, Planting
from probes.privacy.membership import are_enough, fewest_nonmembers
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
from probes.stats.group_gaps import Leaks, groups_told
from probes.stats.group_leaks import (
    auc_by_group,
    rates_by_group,
    weighted_auc_by_group,
    weighted_rates_by_group,
)
from probes.stats.groups import NOT_SCORED, UNKNOWN
from probes.stats.multiplicity import holm
from probes.stats.roc import accused_at_fpr
from probes.stats.tries import chance_within
from probes.summary import groups_series

_SCORED, _ASKED = "scored:", "asked:"
_ACCESS = "scores of the model's answers, and who belongs to which group"
_SAID = "answers of the model, the beginning of the text, and who belongs to which group"
_PLANTED = "token probabilities, the canaries, and whose text begins which"


def _spec(
    definition: str,
    label: str,
    *,
    unit: str = "rate",
    ideal: float | None = 0.0,
    gap: bool = False,
    access: str = _ACCESS,
) -> MetricSpec:
    named = f"privacy_equity:{definition}"
    return MetricSpec(ideal=ideal, unit=unit, definition=named, label=label, access=access, gap=gap)


@dataclass(frozen=True, kw_only=True)
class PrivacyEquity:
    """Are some groups of people remembered better than others?

    The audit pool's coins let half of each group's records into the twin's training. Within each group members are told
    from others by one attack that is fixed beforehand: the difference to the untouched base where that compares, else
    the loss. The threshold of the recognition rate is set on the others of all groups together, as an attacker would
    who knows of no groups; beside it stands how many of the group's own others it accuses. A language model is also
    given the first half of each record: how often does it say the second, word for word, and how often would so many
    sampled answers bring it out? Canaries that begin as a person's text have that person's group, and an exposure.

    A difference is the largest between any two groups, of the AUC, or of how much more often members than others of the
    group are recognised, said or brought out, or of how much more the planted canaries of the group are exposed than
    those left out, among canaries of one form planted as often, as forms leak differently: so a group whose texts are
    easy for any model does not look remembered. Its null is what groups of these sizes that leak alike would show.
    Between the twin of a private arm and that of a standard one, the paired difference of these says whether privacy
    narrows the gap: it does where the interval lies below zero.

    Limits: groups that are too small, and people whose group is unknown, are named and not compared. With one threshold
    for all, a group whose scores spread more is recognised more often at the same AUC. A difference between two twins
    compares two largest differences, both above zero by chance alone: it is less certain than either.
    Invented canaries belong to no group; one that begins as one group's text and ends as another's counts as unknown.
    Exposure has a ceiling: where planted canaries stand there, planting adds less in a group whose texts any model
    likes, until there are more references.
    Where the blind interlock withholds membership results, what is told of records is withheld as well; canaries' coins
    are the audit's own, and exposure is not.

    Source: Kulynych et al. (2022), https://arxiv.org/abs/1906.00389 (attacks reach groups differently); Bagdasaryan,
    Poursaeed and Shmatikov (2019), https://arxiv.org/abs/1905.12101 (so does differential privacy); Carlini et al.
    (2022), https://arxiv.org/abs/2112.03570, section III (rates at few false alarms); Carlini et al. (2019),
    https://arxiv.org/abs/1802.08232, definition 5 (exposure); Hayes et al. (2024), https://arxiv.org/abs/2410.19482
    ((n, p)-discoverable).

    Attributes:
        fpr: The share of all others whom the attacker may accuse, at which members are recognised.
        score: "loss" or "reference" (the difference to the base); where silent, the latter where the base compares.
        tries: Answers within which a record is to be seen.
        chance: The chance with which it is to be seen.
    """

    name: ClassVar[str] = "privacy_equity"
    version: ClassVar[int] = 2
    pillar: ClassVar[Pillar] = "privacy"
    roles: ClassVar[frozenset[Role]] = frozenset({"twin"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "auc_difference": _spec("largest-auc-gap", "difference in membership AUC", unit="score", gap=True),
        "recognition_difference": _spec(
            "largest-gap-of-tpr-minus-fpr", "difference in members recognised beyond false alarms", gap=True
        ),
        "verbatim_difference": _spec(
            "largest-gap-of-greedy-minus-left-out", "difference in records said word for word", gap=True, access=_SAID
        ),
        "discoverable_difference": _spec(
            "largest-gap-of-np-minus-left-out", "difference in records seen within the tries", gap=True, access=_SAID
        ),
        "exposure_difference": _spec(
            "largest-gap-of-exposure-minus-left-out",
            "difference in exposure added by planting",
            unit="bits",
            gap=True,
            access=_PLANTED,
        ),
        "auc": _spec("auc", "membership AUC in the group", unit="auc", ideal=0.5),
        "tpr_at_fpr": _spec("conservative-tpr-at-pooled-threshold", "members of the group recognised"),
        "false_alarms": _spec("fpr-at-pooled-threshold", "others of the group accused", ideal=None),
        "verbatim": _spec("greedy", "members' records said word for word", access=_SAID),
        "verbatim_left_out": _spec("greedy-left-out", "others' records said word for word", ideal=None, access=_SAID),
        "discoverable": _spec("np", "members' records seen within the tries", access=_SAID),
        "discoverable_left_out": _spec(
            "np-left-out", "others' records seen within the tries", ideal=None, access=_SAID
        ),
        "exposure": _spec(
            "mean-rank-exposure", "exposure of the group's planted canaries", unit="bits", access=_PLANTED
        ),
        "exposure_left_out": _spec(
            "mean-rank-exposure-left-out",
            "exposure of the group's canaries left out",
            unit="bits",
            ideal=None,
            access=_PLANTED,
        ),
    }

    fpr: float = 0.01
    score: Literal["loss", "reference"] | None = None
    tries: int = 1000
    chance: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.fpr < 1:
            raise ValueError(f"fpr must lie in (0, 1); got {self.fpr}")
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1; got {self.tries}")
        if not 0 < self.chance < 1:
            raise ValueError(f"chance must lie in (0, 1); got {self.chance}")

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> Mapping[str, Ask]:
        """The twin's answers on the audit pool, the base's where they compare, and a reader's who sees no model.

        And what ranks the canaries, where some that can be ranked begin as the text of a person of a known group.
        """
        if self.score == "reference" and not facts.base_is_comparable:
            raise NotApplicable("the score is the difference to the base, which does not answer with the same head")
        found = asks(facts, data, "pool", "there is no audit pool, so nobody knows members and non-members")
        if not any(GROUP + attribute in data["pool"] for attribute in facts.groups):
            raise NotApplicable("the data name no protected attribute")
        if self.score == "loss":
            found.pop("base", None)
        blind = Ask(table=BlindScores(), on=data["pool"], of="data")
        return {**found, "blind": blind, **group_exposures.asked(facts, data)}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per record of the pool and per canary that is ranked and begins as a person's text; see `part`.

        Of records: coin and score, whether it was said, and whether it is seen within the tries. Of canaries: coin,
        form, copies, and exposure. What is told of the other is NaN. And the groups, as far as each figure is compared.
        """
        records, canaries = self._of_records(tables, facts), group_exposures.ranked(tables, facts)
        rows = _parted(records, canaries)
        stratum = [f"{part}, {coin}" for part, coin in zip(rows["part"], rows["is_member"].tolist(), strict=True)]
        rows = rows.assign(stratum=stratum)
        told = [name for name in rows if name.startswith((_SCORED, _ASKED, RANKED))]
        return Rows(rows, rows.sensitivity | dict.fromkeys(told, "personal"))  # a group by another name

    def _of_records(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """The rows of the pool."""
        arm, base = tables["arm"], tables.get("base")
        score = minus_loss(arm)
        logprob, top = how_likely(arm if "is_top" in arm else None, arm.n)
        columns = {
            "item_id": arm["item_id"],
            "cluster": arm["cluster"],
            "is_member": np.asarray(arm["is_member"], dtype=bool),
            "score": score if base is None else scores.reference(score, minus_loss(base)),
            "is_said": np.where(np.isnan(top), np.nan, top >= 1),
            "is_seen": np.where(np.isnan(logprob), np.nan, chance_within(logprob, self.tries) >= self.chance),
            "blind_score": tables["blind"]["blind_score"],
        }
        columns |= {name: arm[name] for name in arm if name.removeprefix(GROUP) in facts.groups}
        rows = Rows(columns)
        told = {
            prefix + attribute: groups_told(
                rows[GROUP + attribute],
                ~np.isnan(rows[column]),
                rows["is_member"],
                rows["cluster"],
                minimum=facts.minimum_group,
            )
            for attribute in facts.groups
            if GROUP + attribute in rows
            for prefix, column in ((_SCORED, "score"), (_ASKED, "is_said"))
        }
        return rows.assign(is_withheld=np.full(rows.n, bool(Interlock.of(rows).reason)), **told)

    def statistics(self, rows: Rows, weights: Array) -> Mapping[Key, float]:
        """Each group's figures and the largest differences; nothing of records where they are withheld."""
        values: dict[Key, float] = {}
        for attribute in _attributes(rows):
            for planting in group_exposures.plantings(rows):
                found = group_exposures.weighted(rows, attribute, planting, weights)
                values |= self._with_difference(attribute, "exposure", found, planting)
            if not rows["is_withheld"].any():
                values |= self._of_pool(rows, attribute, weights)
        return values

    def _of_pool(self, rows: Rows, attribute: str, weights: Array) -> dict[Key, float]:
        """What is told of records."""
        score, is_member, group, weight = scored(rows["score"], rows["is_member"], rows[_SCORED + attribute], weights)
        aucs = weighted_auc_by_group(score, is_member, group, weight)
        values = {("auc", _part(attribute, name)): value for name, value in aucs.items()}
        if len(aucs) > 1:
            values["auc_difference", _part(attribute)] = max(aucs.values()) - min(aucs.values())
        if are_enough(float(weight[~is_member].sum()), self.fpr):
            accused = accused_at_fpr(score, is_member, weight, self.fpr)
            if accused is not None:
                rates = weighted_rates_by_group(accused, is_member, group, weight)
                values |= self._with_difference(attribute, "tpr_at_fpr", rates)
        for metric, column in _OF_HALVES.items():
            asked = scored(rows[column], rows["is_member"], rows[_ASKED + attribute], weights)
            if len(asked[0]):
                values |= self._with_difference(attribute, metric, weighted_rates_by_group(*asked))
        return values

    def _with_difference(
        self,
        attribute: str,
        metric: str,
        found: Mapping[str, tuple[float, float]],
        planting: Planting | None = None,
    ) -> dict[Key, float]:
        """By key a figure of members and of others by group, and the largest difference of what members have more.

        What is NaN is left out, so that a figure rests on those rows alone that it needs.
        """
        left_out, difference = _BESIDE[metric]
        at = {name: self._at(metric, attribute, name, planting) for name in ("", *found)}
        values = {(metric, at[name]): members for name, (members, _) in found.items()}
        values |= {(left_out, at[name]): others for name, (_, others) in found.items()}
        excess = [members - others for members, others in found.values() if not np.isnan(members - others)]
        if len(excess) > 1:
            values[difference, at[""]] = max(excess) - min(excess)
        return {key: value for key, value in values.items() if not np.isnan(value)}

    def coverage(self, rows: Rows, facts: Facts) -> Mapping[str, Coverage]:
        """Records and canaries of groups that are scored; the others are named."""
        found = {
            self._at("exposure", attribute, group, planting): covered
            for attribute in _attributes(rows)
            for planting in group_exposures.plantings(rows)
            for group, covered in group_exposures.coverage(rows, attribute, planting).items()
        }
        rows = rows.take(rows["part"] == _RECORDS)
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
            yield from self._exposures(rows, attribute, facts, rng, level, gaps)
        yield from _verdict(gaps, level)

    def _exposures(
        self, rows: Rows, attribute: str, facts: Facts, rng: np.random.Generator, level: float, gaps: list[Value]
    ) -> Iterator[Finding | Series]:
        """Exposure by group, form and copies, and a curve; or why there is none. The differences join the gaps."""
        found = {
            planting: group_exposures.leaks(rows, attribute, planting, rng, level)
            for planting in group_exposures.plantings(rows)
        }
        for planting, leaks in found.items():
            gaps.append(leaks.gap)
            yield from self._findings(attribute, "exposure", leaks, planting)
            if not leaks.members:
                yield Finding(
                    metric="exposure", slice=self._at("exposure", attribute, "", planting), estimate=leaks.gap
                )
        if any(leaks.members for leaks in found.values()):
            yield group_exposures.chart(attribute, found)
        if not found:
            why = NotMeasured(reason=group_exposures.why_none(facts))
            for metric in ("exposure_difference", "exposure"):
                yield Finding(metric=metric, slice=_part(attribute), estimate=why)

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
        if are_enough(others, self.fpr):
            yield "tpr_at_fpr", rates_by_group(accused, is_member, group, cluster, rng, level=level)
        else:
            few = NotMeasured(reason=f"{others:,} non-members; at least {fewest_nonmembers(self.fpr):,} are needed")
            yield "tpr_at_fpr", Leaks(members={}, others={}, gap=few)
        for metric, column in _OF_HALVES.items():
            asked = rows[column], rows["is_member"], rows[_ASKED + attribute], rows["cluster"]
            happened, is_member, group, cluster = scored(*asked)
            if len(happened):
                yield metric, rates_by_group(_always(happened > 0), is_member, group, cluster, rng, level=level)

    def _findings(
        self, attribute: str, metric: str, leaks: Leaks, planting: Planting | None = None
    ) -> Iterator[Finding]:
        others, difference = _BESIDE[metric]
        yield Finding(metric=difference, slice=self._at(metric, attribute, "", planting), estimate=leaks.gap)
        for name, found in ((metric, leaks.members), (others, leaks.others)):
            for group, value in found.items():
                yield Finding(metric=name, slice=self._at(metric, attribute, group, planting), estimate=value)

    def _withheld(self, attribute: str, reason: str) -> Iterator[Finding]:
        for metric in ("auc", "tpr_at_fpr", *_OF_HALVES):
            _, difference = _BESIDE[metric]
            yield Finding(metric=difference, slice=self._at(metric, attribute), estimate=NotMeasured(reason=reason))

    def _at(self, metric: str, attribute: str, group: str = "", planting: Planting | None = None) -> str:
        """The slice of a metric: rates at few false alarms say how few, exposures which canaries and how often."""
        more = f",fpr={self.fpr:g}" if metric == "tpr_at_fpr" else f",{planting.slice}" if planting else ""
        return _part(attribute, group) + more


_OF_HALVES = {"verbatim": "is_said", "discoverable": "is_seen"}
"""The figures of records' second halves, and the columns of their outcomes."""

_BESIDE = {
    "auc": ("", "auc_difference"),
    "tpr_at_fpr": ("false_alarms", "recognition_difference"),
    "verbatim": ("verbatim_left_out", "verbatim_difference"),
    "discoverable": ("discoverable_left_out", "discoverable_difference"),
    "exposure": ("exposure_left_out", "exposure_difference"),
}
"""By a figure of members: the same of others, and the difference between groups."""

_RECORDS = "records"
"""The part of the rows that is of the pool; canaries are a part for each form and number of copies, such as
"canaries:random_suffix:4"."""


def _part(attribute: str, group: str = "") -> str:
    return f"attribute={attribute}" + (f",group={group}" if group else "")


def _attributes(rows: Rows) -> list[str]:
    return [name.removeprefix(_SCORED) for name in rows if name.startswith(_SCORED)]


def _parted(records: Rows, canaries: Rows | None) -> Rows:
    """Records and canaries, one after another, with the columns of both: empty where they do not apply."""
    records = records.assign(part=[_RECORDS] * records.n)
    parts = [records]
    if canaries is not None:
        kinds = zip(canaries["form"].tolist(), canaries["repetitions"].tolist(), strict=True)
        parts.append(canaries.assign(part=[f"canaries:{form}:{copies}" for form, copies in kinds]))
    empty: dict[str, float | str] = dict.fromkeys(("score", "is_said", "is_seen", "blind_score"), np.nan)
    empty |= {"is_withheld": False, "form": NO_FORM, "repetitions": 1}
    empty |= {"exposure_bits": np.nan, "exposure_ceiling": np.nan}
    groups = dict.fromkeys(name for rows in parts for name in rows if ":" in name)
    filled = []
    for rows in parts:
        absent = {name: np.full(rows.n, value) for name, value in empty.items() if name not in rows}
        absent |= {
            name: np.full(rows.n, UNKNOWN if name.startswith(GROUP) else NOT_SCORED, dtype=object)
            for name in groups
            if name not in rows
        }
        filled.append(rows.assign(**absent))
    return Rows({name: np.concatenate([rows[name] for rows in filled]) for name in filled[0]}, filled[0].sensitivity)


def _missing(rows: Rows, attribute: str) -> dict[str, int]:
    """Rows that no group's figure speaks of, by reason."""
    away = rows[_SCORED + attribute] == NOT_SCORED
    found = group_exposures.missing(rows[GROUP + attribute], away)
    silent = int((np.isnan(rows["score"]) & ~away).sum())
    return found | ({"no token could be scored": silent} if silent else {})


def _always(happened: Array) -> Callable[[Array], Array]:
    """What happened to each row whatever the weights."""
    return lambda weights: happened


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
    shown = [("membership AUC", group, value) for group, value in leaks.members.items()]
    return groups_series(f"groups:{attribute}", shown, {"attribute": attribute, "unit": "auc"})
