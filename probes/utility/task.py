"""How well a classifier does its task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import ALL, MetricSpec, Null, Pillar, Role
from probes.scoring.tables import ClassLogits
from probes.stats.codes import codes
from probes.utility.decisions import decisions_of, labelled_items


@dataclass(frozen=True, kw_only=True)
class Utility:
    """How often does the model decide rightly, over all test items and class by class?

    The null of each number is what a model without skill would get: one that always names the most frequent class, and
    for the log loss and the Brier score one that always answers with the shares of the classes.

    Limits: it speaks of texts like those of the test set. Labels are taken as they are; where annotators disagree, no
    model can be right everywhere.

    Source: the usual definitions, as in scikit-learn's model evaluation guide: recall of a class, balanced accuracy as
    its mean over the classes that occur among the labels, macro-F1 as the mean over those that occur among labels or
    decisions; the Brier score as the mean squared error of the positive class, of more than two the sum over classes.
    """

    name: ClassVar[str] = "utility"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "utility"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control", "twin"})
    tasks: ClassVar[frozenset[str]] = frozenset({"text-classification"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "accuracy": MetricSpec(ideal=1.0, unit="rate", definition="utility:accuracy", label="accuracy"),
        "balanced_accuracy": MetricSpec(
            ideal=1.0, unit="rate", definition="utility:mean-recall", label="balanced accuracy"
        ),
        "macro_f1": MetricSpec(ideal=1.0, unit="rate", definition="utility:macro-f1", label="macro-averaged F1"),
        "recall": MetricSpec(ideal=1.0, unit="rate", definition="utility:recall", label="recall of the class"),
        "log_loss": MetricSpec(ideal=0.0, unit="nats", definition="utility:log-loss", label="log loss"),
        "brier_score": MetricSpec(ideal=0.0, unit="score", definition="utility:brier", label="Brier score"),
    }

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
        """The class logits of the test items."""
        return {"test": Ask(table=ClassLogits(), on=labelled_items(facts, data))}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per test item: the decision, and the names of the classes it is about."""
        rows = decisions_of(tables["test"], facts)
        names = np.array(facts.classes, dtype=object)
        return rows.assign(label_name=names[rows["label"]], decision_name=names[rows["decision"]])

    def statistics(self, rows: Rows, weights: Array) -> dict[Key, float]:
        """Accuracy, its averages over classes, and the mean loss."""
        recalls = recall_by_class(rows, weights)
        values: dict[Key, float] = {
            ("accuracy", ALL): float(np.average(rows["correct"], weights=weights)),
            ("balanced_accuracy", ALL): float(np.mean(list(recalls.values()))),
            ("macro_f1", ALL): macro_f1(rows, weights),
            ("log_loss", ALL): float(np.average(rows["loss_nats"], weights=weights)),
            ("brier_score", ALL): float(np.average(rows["squared_error"], weights=weights)),
        }
        return values | {("recall", f"class={name}"): recall for name, recall in recalls.items()}

    def proportions(self, rows: Rows) -> dict[Key, Array]:
        """Accuracy is a share of all items, recall of those of its class."""
        correct = rows["correct"].astype(np.float64)
        names = dict.fromkeys(rows["label_name"])
        recalls: dict[Key, Array] = {
            ("recall", f"class={name}"): np.where(rows["label_name"] == name, correct, np.nan) for name in names
        }
        return {("accuracy", ALL): correct, **recalls}

    def nulls(self, rows: Rows, facts: Facts, rng: np.random.Generator) -> dict[Key, Null]:
        """What a model without skill would get on these labels."""
        _, counts = np.unique(rows["label"], return_counts=True)
        shares = counts / counts.sum()
        majority, classes = float(shares.max()), len(shares)
        return {
            ("accuracy", ALL): Null(value=majority, meaning="always the most frequent class"),
            ("balanced_accuracy", ALL): Null(value=1 / classes, meaning="always the same class"),
            ("macro_f1", ALL): Null(
                value=2 * majority / (1 + majority) / classes, meaning="always the most frequent class"
            ),
            ("log_loss", ALL): Null(value=float(-(shares * np.log(shares)).sum()), meaning="the classes' shares"),
            ("brier_score", ALL): Null(value=_brier_of(shares, len(facts.classes)), meaning="the classes' shares"),
        }


def _brier_of(shares: Array, classes: int) -> float:
    """Of a model that always answers with the shares of the classes: 1 minus the sum of their squares."""
    return float(1 - (shares**2).sum()) / (2 if classes == 2 else 1)


def _by_class(names: Array, weights: Array) -> dict[str, float]:
    """Weight of each name that has any."""
    found = codes(names)
    sums = np.bincount(found.index, weights=weights)
    return {name: float(total) for name, total in zip(found.values, sums, strict=True) if total > 0}


def recall_by_class(rows: Rows, weights: Array) -> dict[str, float]:
    """Share of each class's items that are decided for it, of the classes that occur among the labels."""
    of_class = _by_class(rows["label_name"], weights)
    hits = _by_class(rows["label_name"], weights * rows["correct"])
    return {name: hits.get(name, 0.0) / total for name, total in of_class.items()}


def macro_f1(rows: Rows, weights: Array) -> float:
    """Mean F1 over the classes that occur among labels or decisions; a class never hit counts 0."""
    of_class, decided = _by_class(rows["label_name"], weights), _by_class(rows["decision_name"], weights)
    hits = _by_class(rows["label_name"], weights * rows["correct"])
    names = of_class.keys() | decided.keys()
    return float(np.mean([2 * hits.get(n, 0.0) / (of_class.get(n, 0.0) + decided.get(n, 0.0)) for n in sorted(names)]))
