import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score
from statsmodels.stats.proportion import confint_proportions_2indep

from probes.results import Estimate, NotMeasured
from probes.stats.groups import (
    GAPS,
    NOT_SCORED,
    RATES,
    disparities,
    scored_groups,
    weighted_gaps,
    weighted_rates,
)
from probes.stats.intervals import wilson

FAIRLEARN = dict(zip(RATES, (selection_rate, true_positive_rate, false_positive_rate, accuracy_score), strict=True))


def rng(seed=0):
    return np.random.default_rng(seed)


def population(seed=0, n=600, groups="abc"):
    draw = rng(seed)
    labels, decisions = draw.integers(0, 2, n), draw.integers(0, 2, n)
    return decisions, labels, draw.choice(np.array(list(groups), dtype=object), n)


def alike(groups, size, rate=0.5, seed=0):
    """Groups of positives that are selected at one rate."""
    draw = rng(seed)
    group = np.repeat(np.array([f"g{i}" for i in range(groups)], dtype=object), size)
    return (draw.random(len(group)) < rate).astype(int), np.ones(len(group), dtype=int), group


def test_weighted_rates_are_those_of_the_metric_frame():
    decisions, labels, group = population()
    frame = MetricFrame(metrics=FAIRLEARN, y_true=labels, y_pred=decisions, sensitive_features=group)

    for (rate, name), value in weighted_rates(decisions, labels, group, np.ones(600)).items():
        assert value == pytest.approx(frame.by_group.loc[name, rate])


def test_weighted_gaps_are_fairlearns():
    decisions, labels, group = population()
    gaps = weighted_gaps(decisions, labels, group, np.ones(600))
    frame = MetricFrame(metrics=FAIRLEARN, y_true=labels, y_pred=decisions, sensitive_features=group)

    assert {rate: gaps[rate] for rate in RATES} == pytest.approx(dict(frame.difference()))
    assert gaps["selection_rate"] == pytest.approx(
        demographic_parity_difference(labels, decisions, sensitive_features=group)
    )
    assert gaps["equalized_odds"] == pytest.approx(
        equalized_odds_difference(labels, decisions, sensitive_features=group)
    )


def test_weights_are_repetitions():
    decisions, labels, group = population()
    weights = rng(1).integers(0, 4, 600)
    again = [np.repeat(column, weights) for column in (decisions, labels, group)]

    assert weighted_rates(decisions, labels, group, weights * 1.0) == pytest.approx(
        weighted_rates(*again, np.ones(weights.sum()))
    )


def test_more_than_two_classes_are_cut_at_the_positive_one_but_accuracy_is_of_all():
    decisions, labels = np.array([2, 0, 1, 2, 0]), np.array([2, 1, 1, 0, 2])
    rates = weighted_rates(decisions, labels, np.full(5, "a", dtype=object), np.ones(5), positive=2)

    assert rates == pytest.approx(
        {
            ("selection_rate", "a"): 2 / 5,
            ("true_positive_rate", "a"): 1 / 2,
            ("false_positive_rate", "a"): 1 / 3,
            ("accuracy", "a"): 2 / 5,
        }
    )


def test_a_group_without_positives_has_no_true_positive_rate():
    group = np.repeat(np.array(["a", "b"], dtype=object), 40)
    labels = np.concatenate([np.tile([0, 1], 20), np.zeros(40, dtype=int)])
    found = disparities(labels, labels, group, rng=rng())
    rates = weighted_rates(labels, labels, group, np.ones(80))

    assert ("true_positive_rate", "b") not in rates
    assert isinstance(found.rates["true_positive_rate", "b"], NotMeasured)
    assert isinstance(found.gaps["true_positive_rate"], NotMeasured)
    assert isinstance(found.gaps["equalized_odds"], NotMeasured)
    assert "equalized_odds" not in weighted_gaps(labels, labels, group, np.ones(80))
    assert found.gaps["accuracy"].value == 0.0


def test_small_groups_are_named_and_not_scored():
    decisions, labels, group = population()
    group[:5] = "tiny"
    found = disparities(decisions, labels, group, rng=rng())

    assert found.too_small == {"tiny": 5}
    assert {name for _, name in found.rates} == {"a", "b", "c"}


def test_scored_groups_leave_out_the_small_and_the_unknown():
    group = np.array(["a"] * 30 + ["b"] * 29 + ["unknown"] * 50, dtype=object)
    scored = scored_groups(group)
    decisions = np.arange(109) % 2

    assert set(scored) == {"a", NOT_SCORED}
    assert (scored[:30] == "a").all()
    assert {name for _, name in weighted_rates(decisions, decisions, scored, np.ones(109))} == {"a"}
    assert weighted_gaps(decisions, decisions, scored, np.ones(109)) == {}
    assert disparities(decisions, decisions, scored, rng=rng()).too_small == {}


def test_the_unknown_are_shown_and_not_compared():
    decisions, labels, group = population()
    worst = np.where(group == "c", "unknown", group).astype(object)
    decisions = np.where(worst == "unknown", 1 - labels, decisions)
    found = disparities(decisions, labels, worst, rng=rng())

    assert found.rates["accuracy", "unknown"].value == 0.0
    assert found.gaps["accuracy"].value < 0.2


def test_rates_have_the_wilson_interval_of_their_rows():
    decisions, labels, group = population()
    estimate = disparities(decisions, labels, group, rng=rng()).rates["true_positive_rate", "a"]
    positives = (group == "a") & (labels == 1)

    expected = wilson(int(decisions[positives].sum()), int(positives.sum()), unit_of_n="row")
    assert (estimate.low, estimate.high, estimate.n) == pytest.approx((expected.low, expected.high, expected.n))


def test_the_gap_of_two_groups_has_newcombes_interval():
    decisions, labels, group = population(groups="ab")
    decisions = np.where(group == "a", labels, decisions)
    gap = disparities(decisions, labels, group, rng=rng()).gaps["accuracy"]
    right = decisions == labels
    counts = [(right[group == g].sum(), (group == g).sum()) for g in "ab"]

    low, high = confint_proportions_2indep(*counts[0], *counts[1], method="newcomb", compare="diff")
    assert (gap.low, gap.high) == pytest.approx((low, high))
    assert gap.method == "Newcombe"


@pytest.mark.parametrize("names", [("a", "b"), ("z", "y")])
def test_the_names_and_the_order_of_groups_move_nothing(names):
    decisions, labels, group = population(groups="ab")
    renamed = np.where(group == "a", *names).astype(object)
    one, other = (disparities(decisions, labels, g, rng=rng()).gaps["equalized_odds"] for g in (group, renamed))

    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


@pytest.mark.parametrize(("groups", "mean", "floor"), [(2, 0.107, 0.267), (4, 0.190, 0.333), (8, 0.261, 0.400)])
def test_equal_groups_of_thirty_differ_as_much_as_tabled(groups, mean, floor):
    draws = [weighted_gaps(*alike(groups, 30, seed=s), np.ones(30 * groups))["accuracy"] for s in range(1500)]

    assert np.mean(draws) == pytest.approx(mean, abs=0.01)
    assert np.quantile(draws, 0.95) == pytest.approx(floor, abs=0.034)  # one person in thirty
    null = disparities(*alike(groups, 30), rng=rng()).gaps["accuracy"].null
    assert null.value == pytest.approx(floor, abs=0.034)


def test_the_null_is_that_of_shuffled_groups():
    decisions, labels, group = population(n=90, groups="ab")
    draw, shuffled = rng(1), []
    for _ in range(2000):
        order = np.arange(90)
        for label in (0, 1):
            order[labels == label] = draw.permutation(order[labels == label])
        shuffled.append(weighted_gaps(decisions, labels, group[order], np.ones(90)))
    gaps = disparities(decisions, labels, group, rng=rng(), draws=5000).gaps

    for name in GAPS:
        of_name = np.array([s[name] for s in shuffled])
        floor = gaps[name].null.value  # gaps lie on a lattice, so the quantile is compared by what lies beyond it
        assert np.mean(of_name > floor + 1e-9) <= 0.065
        assert np.mean(of_name >= floor - 1e-9) >= 0.035
        assert gaps[name].null.p == pytest.approx(np.mean(of_name >= gaps[name].value - 1e-12), abs=0.04)


def test_unequal_base_rates_are_in_the_null_of_the_selection_gap():
    group = np.repeat(np.array(["a", "b"], dtype=object), 200)
    labels = np.concatenate([np.arange(200) % 2, np.arange(200) % 10 == 0]).astype(int)
    gap = disparities(labels, labels, group, rng=rng()).gaps["selection_rate"]

    assert gap.value == pytest.approx(0.4)
    assert gap.null.value == pytest.approx(0.4)
    assert gap.null.p == 1.0


def test_equal_groups_raise_few_alarms_and_their_gap_may_be_zero():
    found = [disparities(*alike(3, 60, seed=s), rng=rng(s), draws=200).gaps["accuracy"] for s in range(60)]

    assert sum(gap.null.p <= 0.05 for gap in found) <= 8  # more one time in two hundred
    assert sum(gap.low == 0.0 for gap in found) >= 52


def test_the_interval_of_a_gap_covers_it():
    covered = []
    for seed in range(60):
        draw = rng(seed)
        group = np.repeat(np.array(list("abc"), dtype=object), 150)
        decisions = (draw.random(450) < np.repeat([0.5, 0.6, 0.7], 150)).astype(int)
        gap = disparities(decisions, np.ones(450, dtype=int), group, rng=draw, draws=20).gaps["accuracy"]
        covered.append(gap.low <= 0.2 <= gap.high)

    assert np.mean(covered) >= 0.9  # nominal 0.95, standard error 0.028


def clustered(seed, groups=3, clusters=30, size=8):
    draw = rng(seed)
    rates = np.repeat(draw.beta(1, 1, groups * clusters), size)
    group = np.repeat(np.array([f"g{i}" for i in range(groups)], dtype=object), clusters * size)
    decisions = (draw.random(len(group)) < rates).astype(int)
    return (decisions, np.ones(len(group), dtype=int), group), np.repeat(np.arange(groups * clusters), size)


def test_clusters_widen_intervals_and_the_null():
    columns, cluster = clustered(0)
    with_clusters = disparities(*columns, rng=rng(), cluster=cluster)
    without = disparities(*columns, rng=rng())

    one, other = (d.rates["accuracy", "g0"] for d in (with_clusters, without))
    assert (one.n, one.unit_of_n, other.n, other.unit_of_n) == (30, "cluster", 240, "row")
    assert one.high - one.low > 1.3 * (other.high - other.low)
    assert with_clusters.gaps["accuracy"].null.value > 1.3 * without.gaps["accuracy"].null.value


def test_clustered_equal_groups_raise_few_alarms():
    alarms = [
        disparities(*columns, rng=rng(s), cluster=cluster, draws=200).gaps["accuracy"].null.p <= 0.05
        for s, (columns, cluster) in ((s, clustered(s)) for s in range(60))
    ]

    assert sum(alarms) <= 8


def test_clusters_that_are_all_right_are_worth_one_row_each():
    labels = np.arange(80) % 2
    group = np.repeat(np.array(["a", "b"], dtype=object), 40)
    found = disparities(labels, labels, group, rng=rng(), cluster=np.arange(80) // 4)
    estimate = found.rates["accuracy", "a"]

    assert (estimate.low, estimate.high) == pytest.approx((wilson(10, 10, unit_of_n="cluster").low, 1.0))
    assert found.gaps["accuracy"].low == 0.0 < found.gaps["accuracy"].high


def test_a_gap_at_its_detectable_size_rises_above_the_floor_four_times_in_five():
    gap = disparities(*alike(2, 200), rng=rng()).gaps["accuracy"]
    draw, seen = rng(1), []
    for _ in range(1000):
        a, b = draw.binomial(200, 0.5 + np.array([0.5, -0.5]) * gap.detectable) / 200
        seen.append(abs(a - b) >= gap.null.value)

    assert np.mean(seen) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("names", [[], ["a"]])
def test_fewer_than_two_groups_have_no_gap(names):
    group = np.repeat(np.array(names, dtype=object), 40)
    labels = np.arange(len(group)) % 2
    found = disparities(labels, labels, group, rng=rng())

    assert all(isinstance(gap, NotMeasured) for gap in found.gaps.values())
    assert all(isinstance(rate, Estimate) for rate in found.rates.values())
