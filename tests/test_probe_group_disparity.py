from dataclasses import replace

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from probes.bias.group_disparity import GroupDisparity
from probes.protocol import Decision, Facts, Items, Rows
from probes.results import Estimate, Finding, NotApplicable, NotMeasured, Series
from probes.summary import findings

FACTS = Facts(
    arm="a",
    role="candidate",
    seed=0,
    head="classifier",
    task="text-classification",
    classes=("no", "yes"),
    groups=("region",),
    minimum_group=2,
)
PROBE = GroupDisparity()
REGION = "attribute=region"


def rows(labels, decisions, groups, facts: Facts = FACTS) -> Rows:
    ids = [f"i{i:04d}" for i in range(len(labels))]
    logits = [np.eye(len(facts.classes))[decision] for decision in decisions]
    columns = {"item_id": ids, "cluster": ids, "label": labels, "logits": logits}
    return PROBE.answers({"test": Rows({**columns, "group:region": np.array(groups, dtype=object)})}, facts)


def values(some: Rows) -> dict:
    return PROBE.statistics(some, np.ones(some.n))


def estimates(some: Rows, facts: Facts = FACTS) -> dict:
    given = findings(PROBE, some, facts, np.random.default_rng(0), draws=50)
    return {(one.metric, one.slice): one for one in given if isinstance(one, Finding)}


def drawn(n: int, seed: int = 0, groups=("north", "south")) -> Rows:
    rng = np.random.default_rng(seed)
    return rows(rng.integers(0, 2, n), rng.integers(0, 2, n), rng.choice(groups, n).astype(object))


def test_five_rows_by_hand():
    found = values(rows([1, 1, 0, 1, 0], [1, 0, 0, 1, 1], ["north", "north", "north", "south", "south"]))
    assert found["selection_rate", f"{REGION},group=north"] == pytest.approx(1 / 3)
    assert found["selection_rate", f"{REGION},group=south"] == 1
    assert found["demographic_parity_difference", REGION] == pytest.approx(2 / 3)
    # True positives 1/2 and 1/1, false positives 0/1 and 1/1: the larger difference is that of the false positives.
    assert found["equalized_odds_difference", REGION] == 1
    assert found["accuracy_difference", REGION] == pytest.approx(2 / 3 - 1 / 2)
    assert found["worst_group_accuracy", REGION] == 0.5


def test_every_column_that_tells_a_group_is_personal():
    sensitivity = drawn(20).sensitivity
    assert {name for name, kind in sensitivity.items() if kind == "personal"} == {"group:region", "scored:region"}


def test_differences_are_fairlearns():
    some = drawn(90, groups=("east", "north", "south"))
    sides = {"y_true": some["label"], "y_pred": some["decision"], "sensitive_features": some["group:region"]}
    found = values(some)
    assert found["demographic_parity_difference", REGION] == pytest.approx(demographic_parity_difference(**sides))
    assert found["equalized_odds_difference", REGION] == pytest.approx(equalized_odds_difference(**sides))


def test_exchanging_the_groups_changes_no_difference():
    some = drawn(80)
    other = np.where(some["group:region"] == "north", "south", "north").astype(object)
    exchanged = some.assign(**{"group:region": other, "scored:region": other})
    for metric in ("demographic_parity_difference", "equalized_odds_difference", "worst_group_accuracy"):
        assert values(some)[metric, REGION] == pytest.approx(values(exchanged)[metric, REGION])


def test_equal_groups_are_within_what_equal_groups_show():
    found = estimates(drawn(200))["demographic_parity_difference", REGION].estimate
    assert found.low == 0
    assert found.null.p > 0.05
    assert found.value < found.null.value


def test_a_planted_difference_is_beyond_it():
    labels = np.tile([0, 1], 100)
    groups = np.repeat(["north", "south"], 100)
    decisions = np.where(groups == "south", 0, labels)
    found = estimates(rows(labels, decisions, groups))["demographic_parity_difference", REGION].estimate
    assert found.value == 0.5
    assert found.low > found.null.value
    assert found.null.p < 0.01


def test_a_small_group_is_named_and_not_scored():
    facts = replace(FACTS, minimum_group=5)
    groups = ["north"] * 20 + ["south"] * 20 + ["west"] * 3 + ["unknown"] * 6
    some = rows([0, 1] * 24 + [1], [1, 0] * 24 + [1], groups, facts)
    found = estimates(some, facts)
    coverage = found["demographic_parity_difference", REGION].coverage
    assert dict(coverage.missing) == {"west: too small a group": 3, "group unknown": 6}
    assert coverage.answered == 40
    assert not any("west" in part for _, part in found)


def test_a_group_without_positives_has_no_true_positive_rate_rather_than_zero():
    some = rows([1, 0] * 10 + [0] * 20, [1, 0] * 10 + [0] * 20, ["north"] * 20 + ["south"] * 20)
    found = estimates(some)
    assert isinstance(found["true_positive_rate", f"{REGION},group=south"].estimate, NotMeasured)
    assert ("true_positive_rate", f"{REGION},group=south") not in values(some)


def test_one_group_alone_is_not_measured():
    found = estimates(rows([0, 1] * 10, [0, 1] * 10, ["north"] * 20))
    for metric in ("demographic_parity_difference", "accuracy_difference", "worst_group_accuracy"):
        assert isinstance(found[metric, REGION].estimate, NotMeasured)


def test_the_thresholds_class_is_the_one_that_counts_as_selected():
    facts = replace(FACTS, decision=Decision(positive=0, threshold=0.5))
    found = values(rows([0, 1], [0, 1], ["north", "north"], facts))
    assert found["selection_rate", f"{REGION},group=north"] == 0.5
    first = values(rows([0, 0, 1], [0, 0, 1], ["north"] * 3, facts))
    assert first["selection_rate", f"{REGION},group=north"] == pytest.approx(2 / 3)


def test_of_more_than_two_classes_the_largest_difference_is_taken():
    facts = replace(FACTS, classes=("a", "b", "c"))
    some = rows([0, 1, 2, 2] * 5, [0, 1, 2, 2] * 2 + [0, 1, 2, 2] * 3, ["north", "south", "north", "south"] * 5, facts)
    selected = {g: some["decision"][some["group:region"] == g] for g in ("north", "south")}
    gaps = [abs(np.mean(selected["north"] == c) - np.mean(selected["south"] == c)) for c in range(3)]
    found = estimates(some, facts)
    assert values(some)["demographic_parity_difference", REGION] == pytest.approx(max(gaps))
    gap = found["demographic_parity_difference", REGION].estimate
    assert isinstance(gap, Estimate)
    assert gap.value == pytest.approx(max(gaps))
    assert gap.level == pytest.approx(0.95)
    assert isinstance(found["equalized_odds_difference", REGION].estimate, NotMeasured)
    assert not any(metric == "selection_rate" for metric, _ in found)


def test_the_worst_groups_interval_is_no_narrower_than_its_own():
    some = drawn(120, groups=("east", "north", "south"))
    found = estimates(some)
    worst = found["worst_group_accuracy", REGION].estimate
    group = min(("east", "north", "south"), key=lambda g: found["accuracy", f"{REGION},group={g}"].estimate.value)
    own = found["accuracy", f"{REGION},group={group}"].estimate
    assert worst.value == own.value
    assert worst.low <= own.low
    assert worst.high >= own.value


def test_the_chart_names_the_groups_that_were_not_scored():
    facts = replace(FACTS, minimum_group=5)
    some = rows([0, 1] * 21 + [1], [1, 0] * 21 + [1], ["north"] * 20 + ["south"] * 20 + ["west"] * 3, facts)
    (series,) = (s for s in findings(PROBE, some, facts, np.random.default_rng(0)) if isinstance(s, Series))
    at = series.columns["group"].index("west")
    assert series.columns["value"][at] is None
    assert series.columns["n"][at] == 3


def test_data_without_a_protected_attribute_cannot_be_asked():
    items = Items({"item_id": ["a"], "cluster": ["a"], "text": ["b"], "label": [0]})
    with pytest.raises(NotApplicable, match="no protected attribute"):
        PROBE.needs(FACTS, {"test": items})
