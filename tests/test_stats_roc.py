import numpy as np
import pytest
from games import hull_counts
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from probes.results import NotMeasured
from probes.stats.roc import (
    auc,
    realised_fpr,
    roc_curve,
    tpr_at_fpr,
    weighted_auc,
    weighted_tpr_at_fpr,
)

IN = [0.95, 0.9, 0.8, 0.7, 0.6, 0.55, 0.4, 0.3]
OUT = [0.92, 0.65, 0.5, 0.45, 0.35, 0.25, 0.2, 0.1]


def pooled(members, nonmembers):
    scores = np.concatenate([members, nonmembers]).astype(float)
    return scores, np.arange(len(scores)) < len(members)


def ones(scores):
    return np.ones(len(scores))


def random_scores(seed, n=60, ties=True):
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 9, n).astype(float) if ties else draw.normal(size=n)
    return scores, draw.random(n) < 0.4, draw.integers(0, 4, n).astype(float)


@pytest.mark.parametrize(
    ("members", "nonmembers", "expected"),
    [
        (IN, OUT, 0.75),
        ([0, 4, 6, 7], [1, 2, 3, 5], 11 / 16),
        (np.arange(100) + 9.5, np.arange(100), 0.5905),
        ([1, 1], [1, 1], 0.5),
        ([2, 1], [1, 0], 3.5 / 4),  # an exact tie counts one half
    ],
)
def test_the_auc_is_the_tabled_one(members, nonmembers, expected):
    scores, is_member = pooled(members, nonmembers)

    assert weighted_auc(scores, is_member, ones(scores)) == pytest.approx(expected)


def hull(members, nonmembers):
    """False and true positive rates at the corners of the concave hull, from nobody accused to everybody."""
    counts = hull_counts(np.asarray(members, dtype=float), np.asarray(nonmembers, dtype=float))
    corners = np.array([(guesses - right, right) for right, guesses in reversed(counts)])
    return corners[:, 0] / len(nonmembers), corners[:, 1] / len(members)


def test_the_hull_that_the_audits_are_tested_at_is_the_published_one():
    # google-deepmind/jax_privacy, tests/auditing_test.py
    fpr, tpr = hull([0, 4, 6, 7], [1, 2, 3, 5])
    assert np.trapezoid(tpr, fpr) == 13 / 16
    fpr, tpr = hull([1, 3], [0, 2])
    assert np.interp([0, 0.25, 0.5, 0.75, 1], fpr, tpr).tolist() == [0.5, 0.75, 1, 1, 1]


def test_rates_that_can_be_had_lie_on_the_hull_or_below_it():
    # By the same, on the quantiles of normals a distance of 1 apart: AUC 0.760343, rates 0.01900 and 0.09271. It draws
    # between two thresholds, which no rule that accuses by score alone does.
    left_out = norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    fpr, tpr = hull(left_out + 1, left_out)
    assert np.trapezoid(tpr, fpr) == pytest.approx(0.760343, abs=1e-6)
    assert np.interp([0.001, 0.01], fpr, tpr) == pytest.approx([0.01900, 0.09271], abs=5e-6)
    scores, is_member = pooled(left_out + 1, left_out)
    rates = [weighted_tpr_at_fpr(scores, is_member, ones(scores), share) for share in (0.001, 0.01)]
    assert rates == pytest.approx([0.0190, 0.0927], abs=1e-9)
    assert weighted_auc(scores, is_member, ones(scores)) == pytest.approx(0.760250, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_weighted_auc_is_that_of_the_repeated_rows(seed):
    scores, is_member, weights = random_scores(seed)
    repeated = np.repeat(np.arange(len(scores)), weights.astype(int))

    found = weighted_auc(scores, is_member, weights)

    assert found == pytest.approx(weighted_auc(scores[repeated], is_member[repeated], np.ones(len(repeated))))
    assert found == pytest.approx(roc_auc_score(is_member, scores, sample_weight=weights))


def test_swapping_members_and_nonmembers_mirrors_the_auc_and_its_interval():
    scores, is_member, _ = random_scores(0)
    one, other = auc(scores, is_member), auc(scores, ~is_member)

    assert (other.value, other.low, other.high) == pytest.approx((1 - one.value, 1 - one.high, 1 - one.low))


def test_the_auc_depends_on_order_alone():
    scores, is_member, _ = random_scores(1)

    assert auc(scores, is_member) == auc(np.exp(scores), is_member)


def test_the_standard_error_is_delongs():
    scores, is_member, _ = random_scores(2)
    x, y = scores[is_member], scores[~is_member]
    wins = (x[:, None] > y) + (x[:, None] == y) / 2
    variance = wins.mean(axis=1).var(ddof=1) / len(x) + wins.mean(axis=0).var(ddof=1) / len(y)
    estimate = auc(scores, is_member)
    a = estimate.value
    reach = 1.959964 * variance**0.5 / (a * (1 - a))

    ends = 1 / (1 + np.exp(-np.log(a / (1 - a)) + np.array([reach, -reach])))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(ends), abs=1e-6)


@pytest.mark.parametrize(("true_auc", "n"), [(0.5, 20), (0.7, 20), (0.9, 50)])
def test_the_interval_of_the_auc_covers_the_truth(true_auc, n):
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(600, 2 * n))
    is_member = np.arange(2 * n) < n
    scores[:, is_member] += 2**0.5 * norm.ppf(true_auc)
    estimates = [auc(row, is_member) for row in scores]

    assert np.mean([e.low <= true_auc <= e.high for e in estimates]) >= 0.93  # standard error 0.009
    if true_auc == 0.5:
        assert np.mean([e.null.p < 0.05 for e in estimates]) <= 0.065


def test_clusters_widen_the_interval_as_far_as_they_must():
    draw, is_member = np.random.default_rng(0), np.repeat(np.arange(40) % 2 == 0, 5)
    cluster = np.repeat(np.arange(40), 5)
    truth, covered = norm.cdf(0.4), []
    for _ in range(300):
        scores = np.repeat(draw.normal(size=40), 5) + draw.normal(size=200) + 0.8 * is_member
        covered.append(
            [e.low <= truth <= e.high for e in (auc(scores, is_member, cluster=cluster), auc(scores, is_member))]
        )

    with_clusters, without = np.mean(covered, axis=0)
    assert with_clusters >= 0.92  # standard error 0.013
    assert without < 0.85
    assert auc(scores, is_member, cluster=cluster, unit_of_n="person").n == 40


def test_singleton_clusters_change_nothing():
    scores, is_member, _ = random_scores(3)
    one, other = auc(scores, is_member), auc(scores, is_member, cluster=np.arange(len(scores)))

    assert (one.low, one.high, one.n) == pytest.approx((other.low, other.high, other.n))


def test_a_cluster_of_members_and_nonmembers_counts_their_covariance():
    draw, covered = np.random.default_rng(0), []
    is_member = np.tile([True, False], 40)
    for _ in range(300):
        scores = np.repeat(draw.normal(size=40), 2) + draw.normal(0, 0.5, 80)
        covered.append([e.low <= 0.5 <= e.high for e in (auc(scores, is_member, cluster=np.repeat(np.arange(40), 2)),)])

    assert 0.91 <= np.mean(covered) <= 0.985


def test_perfect_separation_is_bounded_by_the_pairs_that_could_have_failed():
    scores, is_member = pooled(np.arange(50) + 100, np.arange(20))
    estimate = auc(scores, is_member)

    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(0.025 ** (1 / 20))
    assert estimate.null.p == pytest.approx(2 * 0.5**20)
    assert auc(scores, ~is_member).high == pytest.approx(1 - estimate.low)


def test_scores_that_are_all_equal_say_nothing():
    scores, is_member = pooled(np.ones(30), np.ones(30))
    estimate = auc(scores, is_member)

    assert estimate.low < estimate.value == 0.5 < estimate.high
    assert estimate.null.p == 1.0


def test_the_detectable_auc_is_found_four_times_in_five():
    draw, is_member = np.random.default_rng(0), np.arange(120) < 60
    detectable = auc(draw.normal(size=120), is_member).detectable
    scores = draw.normal(size=(2000, 120)) + is_member * 2**0.5 * norm.ppf(0.5 + detectable)
    p = mannwhitneyu(scores[:, :60], scores[:, 60:], axis=1).pvalue

    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("members", [0, 9])
def test_few_members_have_no_auc(members):
    scores, is_member = pooled(np.ones(members), np.arange(50))

    assert isinstance(auc(scores, is_member), NotMeasured)


def test_an_auc_without_weight_on_a_class_is_none():
    scores, is_member = pooled([1, 2], [0, 1])

    assert weighted_auc(scores, is_member, is_member * 1.0) is None
    assert weighted_tpr_at_fpr(scores, is_member, is_member * 1.0, 0.5) is None
    assert weighted_tpr_at_fpr(scores, is_member, ~is_member * 1.0, 0.5) is None


@pytest.mark.parametrize(("fpr", "expected"), [(0.125, 0.5), (0.25, 0.75), (0.3, 0.75), (0.5, 0.875)])
def test_the_rate_is_the_largest_whose_false_positives_are_allowed(fpr, expected):
    scores, is_member = pooled(IN, OUT)

    assert tpr_at_fpr(scores, is_member, fpr).value == expected
    assert weighted_tpr_at_fpr(scores, is_member, ones(scores), fpr) == expected
    assert realised_fpr(scores, is_member, fpr).value <= fpr


def test_no_false_positive_leaves_the_members_above_all_nonmembers():
    scores, is_member = pooled(IN, OUT)

    assert weighted_tpr_at_fpr(scores, is_member, 100 * ones(scores), 0.01) == 0.125


def test_one_false_positive_in_a_hundred():
    scores, is_member = pooled(np.arange(100) + 9.5, np.arange(100))
    rate, realised = tpr_at_fpr(scores, is_member, 0.01), realised_fpr(scores, is_member, 0.01)

    assert (rate.value, rate.n, rate.null.value) == (0.11, 100, 0.01)
    assert (realised.value, realised.n) == (0.01, 100)
    assert rate.method == "Clopper–Pearson, given the threshold"


@pytest.mark.parametrize("fpr", [0.07, 0.29, 0.57])  # each times 100 is no whole number in floating point
def test_a_rate_that_is_allowed_exactly_is_used(fpr):
    scores, is_member = pooled(np.arange(100), np.arange(100))

    assert realised_fpr(scores, is_member, fpr).value == fpr


def test_tied_scores_are_accused_together_or_not_at_all():
    scores, is_member = pooled([5, 5, 5, 1], [5, 5, 0, 0])

    assert tpr_at_fpr(scores, is_member, 0.25).value == 0.0
    assert tpr_at_fpr(scores, is_member, 0.5).value == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_the_rate_is_that_of_every_threshold_tried(seed):
    scores, is_member, weights = random_scores(seed)
    for fpr in (0.1, 0.25, 0.6):
        tried = [
            (weights[is_member & (scores >= t)].sum() / weights[is_member].sum())
            for t in [*scores, np.inf]
            if weights[~is_member & (scores >= t)].sum() / weights[~is_member].sum() <= fpr
        ]
        assert weighted_tpr_at_fpr(scores, is_member, weights, fpr) == pytest.approx(max(tried))


def test_a_rate_below_one_nonmember_is_not_measurable():
    scores, is_member = pooled(IN, np.arange(999))

    assert "not measurable with 999 non-members" in tpr_at_fpr(scores, is_member, 0.001).reason
    assert isinstance(realised_fpr(scores, is_member, 0.001), NotMeasured)
    assert weighted_tpr_at_fpr(scores, is_member, ones(scores), 0.001) is None


def test_a_rate_of_no_members_is_not_measured():
    scores, is_member = pooled([], OUT)

    assert tpr_at_fpr(scores, is_member, 0.25) == NotMeasured(reason="there are no members")


def test_an_attack_that_knows_nothing_accuses_members_as_often_as_others():
    draw, members = np.random.default_rng(0), 30
    found = [tpr_at_fpr(draw.normal(size=230), np.arange(230) < members, 0.05).value for _ in range(400)]

    # Down to the eleventh of 200 non-members, whose expected rank is 11 / 201; standard error 0.002.
    assert np.mean(found) == pytest.approx(11 / 201, abs=0.007)


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_rate_is_refused(fpr):
    with pytest.raises(ValueError, match="fpr must lie in"):
        tpr_at_fpr(*pooled(IN, OUT), fpr)


def test_scores_must_be_numbers_for_every_row():
    scores, is_member = pooled(IN, OUT)

    with pytest.raises(ValueError, match="equal lengths"):
        auc(scores[1:], is_member)
    with pytest.raises(ValueError, match="NaN"):
        weighted_auc(np.where(scores > 0.9, np.nan, scores), is_member, ones(scores))


def test_the_curve_is_scikit_learns():
    scores, is_member, _ = random_scores(4)
    curve = roc_curve(scores, is_member, points=1000)
    fpr, tpr, _ = sklearn_roc_curve(is_member, scores, drop_intermediate=False)

    np.testing.assert_allclose(curve.false_positive_rate, fpr)
    np.testing.assert_allclose(curve.true_positive_rate, tpr)


def test_a_thinned_curve_keeps_its_ends_and_only_real_points():
    draw = np.random.default_rng(0)
    scores, is_member = draw.normal(size=5000), draw.random(5000) < 0.5
    whole = roc_curve(scores, is_member, points=100_000)
    thin = roc_curve(scores, is_member, points=200)
    points = set(zip(whole.false_positive_rate, whole.true_positive_rate, strict=True))

    assert len(thin.false_positive_rate) <= 202
    assert set(zip(thin.false_positive_rate, thin.true_positive_rate, strict=True)) <= points
    assert (thin.false_positive_rate[0], thin.true_positive_rate[0]) == (0, 0)
    assert (thin.false_positive_rate[-1], thin.true_positive_rate[-1]) == (1, 1)
    assert np.interp(0.3, thin.false_positive_rate, thin.true_positive_rate) == pytest.approx(0.3, abs=0.05)


def test_a_curve_needs_both_classes():
    with pytest.raises(ValueError, match="at least one member and one non-member"):
        roc_curve(*pooled(IN, []))
