"""Does a classifier treat groups of people differently?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import (
    Coverage,
    Estimate,
    Finding,
    MetricSpec,
    NotApplicable,
    NotMeasured,
    Null,
    Pillar,
    Role,
    Series,
    Value,
)
from probes.scoring.tables import ClassLogits
from probes.stats.groups import (
    NOT_SCORED,
    RATES,
    UNKNOWN,
    Disparities,
    disparities,
    scored_groups,
    weighted_gaps,
    weighted_rates,
)
from probes.summary import interval_columns
from probes.utility.decisions import decisions_of, labelled_items

GAPS = {
    "demographic_parity_difference": "selection_rate",
    "equalized_odds_difference": "equalized_odds",
    "accuracy_difference": "accuracy",
}
"""Our metrics by the names that `probes.stats.groups` has for them."""

_EVERY_CLASS = -1
_GROUP, _SCORED = "group:", "scored:"


def _difference(definition: str, label: str) -> MetricSpec:
    return MetricSpec(ideal=0.0, unit="rate", definition=f"group_disparity:{definition}", label=label, gap=True)


def _rate(definition: str, label: str, ideal: float | None) -> MetricSpec:
    return MetricSpec(ideal=ideal, unit="rate", definition=f"group_disparity:{definition}", label=label)


@dataclass(frozen=True, kw_only=True)
class GroupDisparity:
    """How far apart do groups lie in what is decided for them, and in how often that is right?

    Selection is the decision for one class: the one that the task's threshold is about, else the second of two classes.
    Demographic parity compares how often groups are selected; equalized odds, how often their positives and negatives
    are, the larger of the two differences. Of more than two classes the largest demographic parity difference is taken,
    and equalized odds is not. Each is the largest difference between any two groups; its null is what groups of these
    sizes would show if they were treated alike given the label.

    Limits: the labels are taken as right; where they are unfair, equal error rates hide it. Groups smaller than the
    task's minimum and people whose group is unknown are named and not compared. A difference in selection alone may
    come from a difference in the labels: its null allows for that, its value does not.

    Source: Hardt, Price and Srebro (2016), https://arxiv.org/abs/1610.02413, section 2; the rates are fairlearn's
    `MetricFrame`, the differences its `demographic_parity_difference` and `equalized_odds_difference`.
    """

    name: ClassVar[str] = "group_disparity"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "bias"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control"})
    tasks: ClassVar[frozenset[str]] = frozenset({"text-classification"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "demographic_parity_difference": _difference("largest-selection-gap", "difference in selection rates"),
        "equalized_odds_difference": _difference("larger-of-tpr-and-fpr-gap", "difference in error rates"),
        "accuracy_difference": _difference("largest-accuracy-gap", "difference in accuracy"),
        "worst_group_accuracy": _rate("least-accuracy", "accuracy in the worst group", 1.0),
        "accuracy": _rate("accuracy", "accuracy in the group", 1.0),
        "selection_rate": _rate("selection-rate", "selected in the group", None),
        "true_positive_rate": _rate("tpr", "positives selected in the group", 1.0),
        "false_positive_rate": _rate("fpr", "negatives selected in the group", 0.0),
    }

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
        """The class logits of the test items."""
        items = labelled_items(facts, data)
        if not any(_GROUP + attribute in items for attribute in facts.groups):
            raise NotApplicable("the data name no protected attribute")
        return {"test": Ask(table=ClassLogits(), on=items)}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per test item: the decision, and by attribute the group as far as it is scored."""
        table = tables["test"]
        rows = decisions_of(table, facts).assign(**{name: table[name] for name in table if name.startswith(_GROUP)})
        scored = {
            _SCORED + attribute: scored_groups(rows[_GROUP + attribute], minimum=facts.minimum_group)
            for attribute in facts.groups
            if _GROUP + attribute in rows
        }
        answered = rows.assign(**scored, positive=np.full(rows.n, _positive(facts)))
        return Rows(answered, answered.sensitivity | dict.fromkeys(scored, "personal"))  # a group by another name

    def statistics(self, rows: Rows, weights: Array) -> dict[Key, float]:
        """The differences, the worst group's accuracy, and each group's rates."""
        values: dict[Key, float] = {}
        for attribute in _attributes(rows):
            part = f"attribute={attribute}"
            gaps = [
                weighted_gaps(rows["decision"], rows["label"], rows[_SCORED + attribute], weights, positive=positive)
                for positive in _positives(rows)
            ]
            for metric, gap in _metrics(rows).items():
                found = [one[gap] for one in gaps if gap in one]
                values |= {(metric, part): max(found)} if found else {}
            rates = self._rates(rows, attribute, weights)
            accuracies = [rate for (name, _), rate in rates.items() if name == "accuracy"]
            values |= {("worst_group_accuracy", part): min(accuracies)} if len(accuracies) > 1 else {}
            values |= {(name, f"{part},group={group}"): rate for (name, group), rate in rates.items()}
        return values

    def _rates(self, rows: Rows, attribute: str, weights: Array) -> dict[tuple[str, str], float]:
        rates = weighted_rates(
            rows["decision"], rows["label"], rows[_SCORED + attribute], weights, positive=_positives(rows)[0]
        )
        return {key: rate for key, rate in rates.items() if key[0] in _rates_shown(rows)}

    def summarize(
        self, rows: Rows, facts: Facts, rng: np.random.Generator, level: float = 0.95
    ) -> Iterator[Finding | Series]:
        """The same numbers with intervals that may include no difference, and a curve of the groups' rates."""
        for attribute in _attributes(rows):
            positives = _positives(rows)
            # Of several classes the largest difference is taken, so each of them is held to a stricter level.
            strict = 1 - (1 - level) / len(positives)
            found = [_disparities(rows, attribute, facts, rng, strict, positive) for positive in positives]
            plain = _disparities(rows, attribute, facts, rng, level, positives[0]) if len(positives) > 1 else found[0]
            coverage = _coverage(rows, attribute, plain)
            part = f"attribute={attribute}"
            for metric, gap in GAPS.items():
                estimate = _gap(metric, gap, found, plain, rows)
                yield Finding(metric=metric, slice=part, estimate=estimate, coverage=coverage)
            worst = _worst(rows, attribute, facts, rng, level)
            yield Finding(metric="worst_group_accuracy", slice=part, estimate=worst, coverage=coverage)
            shown = {key: rate for key, rate in plain.rates.items() if key[0] in _rates_shown(rows)}
            for (name, group), rate in shown.items():
                size = int(np.count_nonzero(rows[_GROUP + attribute] == group))
                whole = Coverage(asked=size, answered=size)
                yield Finding(metric=name, slice=f"{part},group={group}", estimate=rate, coverage=whole)
            yield _series(attribute, shown, plain.too_small)


def _positive(facts: Facts) -> int:
    if facts.decision.positive is not None:
        return facts.decision.positive
    return 1 if len(facts.classes) == 2 else _EVERY_CLASS


def _positives(rows: Rows) -> list[int]:
    """The class that counts as selected; every class, where none does."""
    positive = int(rows["positive"][0])
    if positive != _EVERY_CLASS:
        return [positive]
    return sorted({*rows["label"].tolist(), *rows["decision"].tolist()})


def _metrics(rows: Rows) -> dict[str, str]:
    several = int(rows["positive"][0]) == _EVERY_CLASS
    return {metric: gap for metric, gap in GAPS.items() if not (several and gap == "equalized_odds")}


def _rates_shown(rows: Rows) -> tuple[str, ...]:
    return ("accuracy",) if int(rows["positive"][0]) == _EVERY_CLASS else RATES


def _attributes(rows: Rows) -> list[str]:
    return [name.removeprefix(_SCORED) for name in rows if name.startswith(_SCORED)]


def _disparities(
    rows: Rows, attribute: str, facts: Facts, rng: np.random.Generator, level: float, positive: int, draws: int = 1000
) -> Disparities:
    return disparities(
        rows["decision"],
        rows["label"],
        rows[_GROUP + attribute],
        rng=rng,
        positive=positive,
        minimum=facts.minimum_group,
        cluster=rows["cluster"],
        draws=draws,
        level=level,
    )


def _gap(metric: str, gap: str, found: Sequence[Disparities], plain: Disparities, rows: Rows) -> Value:
    """The difference by one class, or the largest over the classes."""
    if metric not in _metrics(rows):
        return NotMeasured(reason="there are more than two classes and none of them is the one to be selected")
    if gap == "accuracy" or len(found) == 1:
        return plain.gaps[gap]
    gaps = [one.gaps[gap] for one in found]
    estimates = [one for one in gaps if isinstance(one, Estimate)]
    return _largest(estimates) if estimates else gaps[0]


def _largest(gaps: Sequence[Estimate]) -> Estimate:
    """The largest of several differences, whose intervals and p-values bear with their number (Bonferroni)."""
    largest = max(gaps, key=lambda one: one.value)
    nulls = [one.null for one in gaps if one.null is not None]
    return replace(
        largest,
        low=max(one.low or 0.0 for one in gaps),
        high=max(1.0 if one.high is None else one.high for one in gaps),
        level=1 - (1 - largest.level) * len(gaps),
        method=f"{largest.method}; largest over {len(gaps)} classes",
        null=Null(
            value=max(null.value for null in nulls),
            p=min(1.0, len(gaps) * min(1.0 if null.p is None else null.p for null in nulls)),
            meaning=f"{nulls[0].meaning}, of the class where it is highest",
        ),
    )


def _worst(rows: Rows, attribute: str, facts: Facts, rng: np.random.Generator, level: float) -> Value:
    """The least accuracy of a group, with simultaneous limits: picking the worst must not make it look worse."""
    groups = sorted(set(rows[_SCORED + attribute].tolist()) - {NOT_SCORED})
    if len(groups) < 2:
        return NotMeasured(reason=f"groups that can be compared: {len(groups)}, where a worst one needs 2")
    strict = 1 - (1 - level) / len(groups)
    # Only the rates are wanted here, and those draw nothing.
    rates = _disparities(rows, attribute, facts, rng, strict, _positives(rows)[0], draws=1).rates
    found = [one for one in (rates["accuracy", group] for group in groups) if isinstance(one, Estimate)]
    worst = min(found, key=lambda one: one.value)
    known = rows[_SCORED + attribute] != NOT_SCORED
    return replace(
        worst,
        low=min(one.low or 0.0 for one in found),
        high=min(1.0 if one.high is None else one.high for one in found),
        level=level,
        n=sum(one.n for one in found),
        method=f"least of {len(groups)} {worst.method} intervals at {strict:.2%}",
        null=Null(value=float(rows["correct"][known].mean()), meaning="accuracy of all groups together"),
    )


def _coverage(rows: Rows, attribute: str, found: Disparities) -> Coverage:
    group = rows[_GROUP + attribute]
    unknown = int(np.count_nonzero(group == UNKNOWN))
    missing = {f"{name}: too small a group": n for name, n in found.too_small.items() if name != UNKNOWN}
    if unknown:
        missing["group unknown"] = unknown
    return Coverage(asked=rows.n, answered=rows.n - sum(missing.values()), missing=missing)


def _series(attribute: str, rates: Mapping[tuple[str, str], Value], too_small: Mapping[str, int]) -> Series:
    """The groups' rates, those not scored with their number only."""
    names = list(dict.fromkeys(name for name, _ in rates)) or ["accuracy"]
    shown = [
        (name, group) for name in names for group in (*dict.fromkeys(g for n, g in rates if n == name), *too_small)
    ]
    values = [rates.get(key) for key in shown]
    sizes = [
        v.n if isinstance(v, Estimate) else too_small.get(group) for v, (_, group) in zip(values, shown, strict=True)
    ]
    return Series(
        name=f"groups:{attribute}",
        kind="groups",
        columns={
            "metric": tuple(name.replace("_", " ") for name, _ in shown),
            "group": tuple(group for _, group in shown),
            **interval_columns(values),
            "n": tuple(None if size is None else float(size) for size in sizes),
        },
        notes={"attribute": attribute, "unit": "rate"},
    )
