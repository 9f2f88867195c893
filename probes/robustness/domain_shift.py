"""How much worse does a classifier decide on texts from elsewhere, and does it know?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import ALL, Coverage, MetricSpec, Null, Pillar, Role, Series, Value
from probes.robustness.domains import by_domain, domains_of, other_domains, trained_on
from probes.scoring.tables import ClassLogits
from probes.stats.calibration import expected_calibration_error, perfectly_calibrated, reliability
from probes.summary import interval_columns
from probes.utility.decisions import decisions_of, labelled_items


@dataclass(frozen=True, kw_only=True)
class DomainShift:
    """How much accuracy is lost on texts of another domain, and is the model less sure of itself there?

    The drop is the accuracy in the training domain minus that in the other; positive is worse. The calibration error
    compares confidence with accuracy in 15 bins of equal width; its null is what a perfectly calibrated model would
    show on as many rows. The Brier score beside it needs no bins, and holds both how sure and how right a model is.

    Limits: a drop flatters weak models, which have less to lose: compare arms by their accuracy in the other domain as
    well. The domains are those of the data and stand for no others. The worst of several drops is too large on average,
    since it is picked, and so are calibration errors of few rows.

    Source: Taori et al. (2020), https://arxiv.org/abs/2007.00644, section 2, on why a drop alone misleads; Guo et al.
    (2017), https://arxiv.org/abs/1706.04599, equation 5, for the calibration error.
    """

    name: ClassVar[str] = "domain_shift"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "robustness"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control"})
    tasks: ClassVar[frozenset[str]] = frozenset({"text-classification"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "accuracy": MetricSpec(ideal=1.0, unit="rate", definition="domain_shift:accuracy", label="accuracy"),
        "accuracy_drop": MetricSpec(
            ideal=0.0,
            unit="rate",
            definition="domain_shift:in-minus-out",
            label="accuracy lost in the other domain",
            signed=True,
        ),
        "worst_accuracy_drop": MetricSpec(
            ideal=0.0,
            unit="rate",
            definition="domain_shift:largest-drop",
            label="accuracy lost in the worst domain",
            signed=True,
        ),
        "expected_calibration_error": MetricSpec(
            ideal=0.0, unit="rate", definition="domain_shift:ece-15-equal-width", label="calibration error"
        ),
        "brier_score": MetricSpec(ideal=0.0, unit="score", definition="domain_shift:brier", label="Brier score"),
    }

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
        """The class logits of the test items and of each other domain."""
        asked = {"test": labelled_items(facts, data)}
        asked |= {name: labelled_items(facts, data, f"domain:{name}") for name in other_domains(data)}
        return {name: Ask(table=ClassLogits(), on=items) for name, items in asked.items()}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per item: its domain, whether the decision is right, and how sure the model was."""
        wanted = ("item_id", "cluster", "label", "decision", "correct", "confidence", "squared_error")
        decided = {name: decisions_of(table, facts) for name, table in tables.items()}
        return by_domain({n: Rows({c: rows[c] for c in wanted}) for n, rows in decided.items()}, tables["test"])

    def statistics(self, rows: Rows, weights: Array) -> dict[Key, float]:
        """Accuracy and calibration error by domain, and the drops."""
        accuracy: dict[str, float] = {}
        values: dict[Key, float] = {}
        for domain, inside in domains_of(rows).items():
            weight = weights * inside
            if weight.any():
                accuracy[domain] = float(np.average(rows["correct"], weights=weight))
                values["accuracy", f"domain={domain}"] = accuracy[domain]
                error = expected_calibration_error(rows["confidence"], rows["correct"], weight)
                values["brier_score", f"domain={domain}"] = float(np.average(rows["squared_error"], weights=weight))
                values |= {} if error is None else {("expected_calibration_error", f"domain={domain}"): error}
        before = accuracy.get(trained_on(rows))
        drops = {} if before is None else {d: before - after for d, after in accuracy.items() if d != trained_on(rows)}
        values |= {("accuracy_drop", f"domain={domain}"): drop for domain, drop in drops.items()}
        return values | ({("worst_accuracy_drop", ALL): max(drops.values())} if drops else {})

    def proportions(self, rows: Rows) -> dict[Key, Array]:
        """Accuracy is a share of the domain's items."""
        correct = rows["correct"].astype(np.float64)
        return {
            ("accuracy", f"domain={d}"): np.where(inside, correct, np.nan) for d, inside in domains_of(rows).items()
        }

    def nulls(self, rows: Rows, facts: Facts, rng: np.random.Generator) -> dict[Key, Null]:
        """No accuracy lost, and what perfect calibration would show."""
        none = Null(value=0.0, meaning="no accuracy lost")
        nulls: dict[Key, Null] = {("worst_accuracy_drop", ALL): none}
        for domain, inside in domains_of(rows).items():
            some = rows.take(inside)
            observed = expected_calibration_error(some["confidence"], some["correct"]) or 0.0
            null = perfectly_calibrated(some["confidence"], observed, rng=rng)
            nulls["expected_calibration_error", f"domain={domain}"] = null
            nulls["accuracy_drop", f"domain={domain}"] = none
        return nulls

    def coverage(self, rows: Rows, facts: Facts) -> dict[str, Coverage]:
        """Every item of each domain is answered."""
        return {f"domain={d}": _all(int(inside.sum())) for d, inside in domains_of(rows).items()} | {ALL: _all(rows.n)}

    def series(self, values: Mapping[Key, Value], rows: Rows, facts: Facts) -> Iterator[Series]:
        """Accuracy by domain, and each domain's reliability diagram."""
        domains = domains_of(rows)
        accuracy = interval_columns(values.get(("accuracy", f"domain={domain}")) for domain in domains)
        yield Series(
            name="domains",
            kind="domains",
            columns={
                "domain": tuple(domains),
                "accuracy": accuracy.pop("value"),
                **accuracy,
                "n": tuple(float(inside.sum()) for inside in domains.values()),
            },
            notes={"in_domain": trained_on(rows)},
        )
        for domain, inside in domains.items():
            yield _reliability(domain, rows.take(inside))


def _all(n: int) -> Coverage:
    return Coverage(asked=n, answered=n)


def _reliability(domain: str, rows: Rows) -> Series:
    bins = reliability(rows["confidence"], rows["correct"])
    columns = {"confidence": bins.confidence, "accuracy": bins.accuracy, "low": bins.low, "high": bins.high}
    return Series(
        name=f"reliability:{domain}",
        kind="reliability",
        columns={name: tuple(map(float, column)) for name, column in {**columns, "n": bins.count}.items()},
        notes={"domain": domain},
    )
