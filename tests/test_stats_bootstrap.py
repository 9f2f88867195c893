import numpy as np
import pytest

from probes.protocol import Rows
from probes.results import ALL, Estimate, NotMeasured
from probes.stats.bootstrap import (
    bootstrap,
    bootstrap_replicates,
    cluster_weights,
    paired_difference,
    paired_replicates,
)
from probes.stats.replicates import Replicates, two_sided_p
from probes.stats.roc import weighted_auc

MEAN, SPREAD = ("mean", ALL), ("spread", ALL)


def rng(seed=0):
    return np.random.default_rng(seed)


def mean(rows, weights):
    """The mean of y, and that of each part."""
    parts = {ALL: np.ones(rows.n, dtype=bool)} | {str(p): rows["part"] == p for p in np.unique(rows["part"])}
    masses = {name: weights[mask].sum() for name, mask in parts.items()}
    return {
        ("mean", name): float(weights[mask] @ rows["y"][mask] / masses[name])
        for name, mask in parts.items()
        if masses[name] > 0
    }


def rows_of(y, cluster=None, part=None, **columns):
    y = np.asarray(y, dtype=float)
    cluster = np.arange(len(y)) if cluster is None else cluster
    part = np.full(len(y), "all", dtype=object) if part is None else part
    return Rows({"item_id": np.arange(len(y)), "cluster": cluster, "part": part, "y": y, **columns})


def test_clusters_are_drawn_whole():
    cluster = np.array(["b", "a", "b", "c", "a", "b"], dtype=object)

    weights = cluster_weights(cluster, None, 200, rng())

    assert weights.shape == (200, 6)
    for name in "abc":
        assert (weights[:, cluster == name] == weights[:, cluster == name][:, :1]).all()
    first_of_each = weights[:, [1, 0, 3]]
    assert (first_of_each.sum(axis=1) == 3).all()
    np.testing.assert_allclose(first_of_each.mean(axis=0), 1, atol=0.2)  # three standard errors


def test_a_figure_that_needs_several_clusters_rests_on_its_part_of_the_rows_alone():
    def gap(rows, weights):
        """By part, the mean of the rows above zero minus that of the others."""
        found = {}
        for part in np.unique(rows["part"]):
            ours, above = (rows["part"] == part) & (weights > 0), rows["y"] > 0
            if (ours & above).any() and (ours & ~above).any():
                sides = [np.average(rows["y"][ours & s], weights=weights[ours & s]) for s in (above, ~above)]
                found["gap", str(part)] = sides[0] - sides[1]
        return found

    part = np.repeat(np.array(["records", "canaries"], dtype=object), [40, 30])
    found = bootstrap(gap, rows_of(rng().normal(size=70), part=part), rng=rng(), draws=50)

    assert (found["gap", "records"].n, found["gap", "canaries"].n) == (40, 30)


def test_strata_keep_their_sizes():
    stratum = np.repeat([True, False], [30, 70])

    weights = cluster_weights(np.arange(100), stratum, 50, rng())

    assert (weights[:, stratum].sum(axis=1) == 30).all()
    assert (weights[:, ~stratum].sum(axis=1) == 70).all()


def test_a_cluster_across_strata_stays_whole():
    cluster = np.repeat(np.arange(20), 2)
    stratum = np.concatenate([np.zeros(20), np.ones(4), np.tile([0, 1], 8)])  # 10 clusters of 0, 2 of 1, 8 of both

    weights = cluster_weights(cluster, stratum, 50, rng())

    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights[:, 24:].sum(axis=1) == 16).all()


@pytest.mark.parametrize("strata", [[0, 1, 1, 1], [0, 1, 2, 3], [0, 0, 1, 2]])
def test_a_stratum_of_one_cluster_varies_with_others(strata):
    weights = cluster_weights(np.arange(4), np.array(strata), 200, rng())

    assert (weights.std(axis=0) > 0).all()
    assert (weights.sum(axis=1) == 4).all()


def test_the_interval_is_that_of_theory():
    y = rng().normal(5, 2, 1000)

    estimate = bootstrap(mean, rows_of(y), rng=rng(), draws=2000)[MEAN]

    reach = 1.96 * y.std() / 1000**0.5
    assert estimate.value == pytest.approx(y.mean())
    assert (estimate.low, estimate.high) == pytest.approx((y.mean() - reach, y.mean() + reach), abs=0.1 * reach)
    assert (estimate.n, estimate.unit_of_n, estimate.method) == (1000, "cluster", "cluster bootstrap, 2,000 draws")


def test_repeating_rows_within_their_clusters_does_not_narrow_the_interval():
    y = rng().normal(size=60)
    once = bootstrap(mean, rows_of(y), rng=rng(1))[MEAN]
    again = bootstrap(mean, rows_of(np.repeat(y, 5), np.repeat(np.arange(60), 5)), rng=rng(1))[MEAN]

    assert (again.low, again.high) == pytest.approx((once.low, once.high))
    assert again.n == once.n == 60


def test_the_order_of_rows_moves_nothing():
    order = rng(3).permutation(60)
    rows = rows_of(rng().normal(size=60), np.repeat(np.arange(20), 3))
    one, other = (bootstrap(mean, r, rng=rng(1))[MEAN] for r in (rows, rows.take(order)))

    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-12)


@pytest.mark.parametrize("clusters", [10, 25])
def test_the_interval_covers_the_truth_with_few_clusters(clusters):
    draw, covered = rng(), []
    for _ in range(150):
        y = np.repeat(draw.normal(size=clusters), 3) + draw.normal(size=3 * clusters)
        estimate = bootstrap(mean, rows_of(y, np.repeat(np.arange(clusters), 3)), rng=draw, draws=200)[MEAN]
        covered.append(estimate.low <= 0 <= estimate.high)

    assert np.mean(covered) >= 0.9  # nominal 0.95, standard error 0.018


def test_n_counts_the_clusters_that_a_slice_rests_on():
    part = np.array(["big"] * 50 + ["small"] * 12 + ["tiny"] * 4, dtype=object)
    found = bootstrap(mean, rows_of(rng().normal(size=66), part=part), rng=rng())

    assert {key[1]: e.n for key, e in found.items() if isinstance(e, Estimate)} == {ALL: 66, "big": 50, "small": 12}
    assert found["mean", "tiny"] == NotMeasured(reason="clusters that contribute: 4, where an interval needs 10")


def test_a_statistic_of_two_kinds_of_rows_rests_on_both():
    def gap_and_auc(rows, weights):
        auc = weighted_auc(rows["y"], rows["is_member"], weights)
        return mean(rows, weights) | ({} if auc is None else {("auc", ALL): auc})

    rows = rows_of(rng().normal(size=40), is_member=np.repeat([True, False], 20))

    assert bootstrap(gap_and_auc, rows, rng=rng())["auc", ALL].n == 40


def test_members_and_nonmembers_are_drawn_apart():
    def members(rows, weights):
        return {MEAN: float(weights[rows["is_member"]].sum())}

    rows = rows_of(np.zeros(50), is_member=np.repeat([True, False], [20, 30]))
    replicates = bootstrap_replicates(members, rows, rng=rng())[MEAN]

    assert replicates.is_constant


def test_a_key_that_is_undefined_too_often_is_not_measured():
    def above_all(rows, weights):
        return mean(rows, weights) | ({SPREAD: 1.0} if weights[0] > 0 else {})

    found = bootstrap(above_all, rows_of(rng().normal(size=40)), rng=rng())

    assert "resamples" in found[SPREAD].reason or "clusters that contribute" in found[SPREAD].reason
    assert isinstance(found[MEAN], Estimate)


def test_a_key_that_is_undefined_in_every_third_draw_is_not_measured():
    def luckily(rows, weights):
        return {MEAN: float(weights @ rows["y"]), SPREAD: np.nan if weights.max() == 3 else float(weights @ rows["y"])}

    found = bootstrap(luckily, rows_of(rng().normal(size=12)), rng=rng())

    assert "of 1,000 resamples" in found[SPREAD].reason


def test_a_key_that_is_undefined_on_the_rows_themselves_is_not_measured():
    def only_in_draws(rows, weights):
        return {} if (weights == 1).all() else {MEAN: 1.0}

    assert "undefined on these rows" in bootstrap(only_in_draws, rows_of(np.zeros(20)), rng=rng())[MEAN].reason


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.025 ** (1 / 20), 1.0), (0.0, 0.0, 1 - 0.025 ** (1 / 20))])
def test_a_rate_at_its_end_takes_the_binomial_bound(value, low, high):
    estimate = bootstrap(mean, rows_of(np.full(20, value)), rng=rng())[MEAN]

    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, low, high))
    assert estimate.method == "no variation among 20 clusters: exact binomial bound"


def test_no_rows_have_no_statistics():
    assert bootstrap(mean, rows_of([]), rng=rng()) == {}


def test_another_constant_is_not_measured():
    found = bootstrap(mean, rows_of(np.full(20, 0.3)), rng=rng())[MEAN]

    assert "every resample gave the same value, 0.3" in found.reason


def test_a_biased_statistic_keeps_its_value_within_its_interval():
    def largest(rows, weights):
        return {MEAN: float(rows["y"][weights > 0].max())}

    estimate = bootstrap(largest, rows_of(np.arange(30)), rng=rng())[MEAN]

    assert estimate.low < estimate.high == estimate.value == 29


def test_the_difference_of_an_arm_with_itself_is_nothing_without_a_width_of_nothing():
    rows = rows_of(rng().random(30) < 0.7)

    estimate = paired_difference(mean, rows, rows, rng=rng())[MEAN]

    assert (estimate.value, estimate.null.p) == (0.0, 1.0)
    assert estimate.high == -estimate.low == pytest.approx(1 - 0.025 ** (1 / 30))
    assert estimate.detectable is None


def test_a_paired_difference_is_sharper_than_its_parts():
    draw = rng()
    item = draw.normal(size=200)
    a, b = rows_of(item + 0.1 + draw.normal(0, 0.2, 200)), rows_of(item + draw.normal(0, 0.2, 200))

    paired = paired_difference(mean, a, b, rng=rng())[MEAN]
    alone = bootstrap(mean, a, rng=rng())[MEAN]

    assert paired.high - paired.low < (alone.high - alone.low) / 3
    assert paired.null.p < 0.01 < two_sided_p(paired_replicates(mean, a, b, rng=rng())[MEAN], 0.1)
    assert paired.detectable == pytest.approx(2.8 * 0.2 * 2**0.5 / 200**0.5, rel=0.15)


def test_a_difference_takes_the_items_that_both_arms_answered():
    y = rng().normal(size=50)
    a, b = rows_of(y), rows_of(y - 1).take(np.r_[49:9:-1])

    found = paired_replicates(mean, a, b, rng=rng())[MEAN]

    assert found.value == pytest.approx(1.0)
    assert found.n == 40


def test_a_key_of_one_arm_only_has_no_difference():
    a, b = rows_of(np.arange(20), part=np.repeat(["x", "y"], 10).astype(object)), rows_of(np.arange(20))

    assert "undefined for some" in paired_difference(mean, a, b, rng=rng())["mean", "x"].reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": np.zeros(20)}, "must be unique"),
        ({"item_id": np.arange(100, 120)}, "no item_id in common"),
        ({"cluster": np.zeros(20, dtype=int)}, "same cluster"),
    ],
)
def test_rows_that_cannot_be_matched_are_refused(change, message):
    rows = rows_of(np.arange(20))

    with pytest.raises(ValueError, match=message):
        paired_difference(mean, rows, rows.assign(**change), rng=rng())


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_a_p_value_agrees_with_the_interval_at_its_level(level):
    found = Replicates(value=0.2, draws=rng().normal(0.2, 0.1, 10_000), n=15)
    low, high = found.interval(level)

    assert found.p_above(low) == pytest.approx((1 - level) / 2, abs=2e-3)  # a few draws' worth
    assert found.p_below(high) == pytest.approx((1 - level) / 2, abs=2e-3)


def test_the_p_value_of_a_rate_that_never_failed_is_binomial():
    never = Replicates(value=0.0, draws=np.zeros(1000), n=50, bounds=(0.0, 1.0))

    assert never.p_below(0.1) == pytest.approx(0.9**50)
    assert never.p_above(0.0) == never.p_below(0.0) == 1.0
    assert Replicates(value=2.0, draws=np.full(9, 2.0), n=50).p_above(0.0) == 1.0


def test_a_strict_p_value_never_reaches_zero():
    assert 0 < Replicates(value=9.0, draws=rng().normal(9, 0.1, 1000), n=500).p_above(0.0) < 0.0012
