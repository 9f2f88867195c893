import numpy as np
import pytest
from scipy.stats import norm

from probes.privacy import reference_scores as references
from probes.stats.roc import weighted_auc

# Four references inside and four outside of one record whose score under the target is 2.
INSIDE, OUTSIDE = [2.1, 2.5, 1.8, 2.9], [0.2, 0.9, -0.3, 0.5]
SCORES = np.array([INSIDE + OUTSIDE])
COINS = np.array([[True] * 4 + [False] * 4])


def ragged(*rows) -> np.ndarray:
    found = np.empty(len(rows), dtype=object)
    found[:] = [np.asarray(row, dtype=float) for row in rows]
    return found


def test_lira_online_is_the_log_likelihood_ratio_of_two_normals():
    found = references.lira_online(np.array([2.0]), SCORES, COINS, "own")
    slow = norm.logpdf(2, np.mean(INSIDE), np.std(INSIDE)) - norm.logpdf(2, np.mean(OUTSIDE), np.std(OUTSIDE))
    np.testing.assert_allclose(found, slow)
    assert found == pytest.approx(7.05884052)


# tensorflow/privacy, advanced_mia_test.py: minus the log-density of three records among their references inside, where
# each has its own spread and where all share one. Their fourth record has no references.
TARGET, AMONG = np.array([1.0, 0.0, 0.0]), np.array([[-1.0, 1.0], [0.0, 2.0], [0.0, 20.0]])


@pytest.mark.parametrize(
    ("variance", "expected"),
    [("own", [1.41893853, 1.41893853, 3.72152363]), ("pooled", [2.69682468, 2.69682468, 4.15270703])],
)
def test_lira_online_gives_the_published_densities(variance, expected):
    beside = TARGET[:, None] + [-1.0, 1.0]  # outside a standard normal around the score, whose density is known
    coins = np.tile([True, True, False, False], (3, 1))
    found = references.lira_online(TARGET, np.hstack([AMONG, beside]), coins, variance)
    np.testing.assert_allclose(-found - norm.logpdf(0), expected, atol=1e-8)


@pytest.mark.parametrize("variance", ["own", "pooled"])
def test_lira_online_is_zero_where_inside_and_outside_mirror_each_other(variance):
    # Likewise: both sides, references outside are those inside with the other sign, here about the score.
    mirrored = np.hstack([AMONG - TARGET[:, None], TARGET[:, None] - AMONG])
    coins = np.tile([True, True, False, False], (3, 1))
    np.testing.assert_allclose(references.lira_online(np.zeros(3), mirrored, coins, variance), 0, atol=1e-12)


def test_lira_offline_is_the_distance_in_standard_deviations_outside():
    found = references.lira_offline(np.array([2.0]), SCORES, COINS, "own")
    assert found == pytest.approx(3.82389198)
    assert norm.logsf(found) == pytest.approx(-9.63070478)


def test_lira_offline_is_one_sided():
    # Released code takes a density, by which a record far below its references would say "member" as well.
    scores = np.array([-10.0, 0.0, 10.0])
    found = references.lira_offline(scores, np.repeat(SCORES, 3, axis=0), np.repeat(COINS, 3, axis=0))
    assert (np.diff(found) > 0).all()


def test_few_references_share_one_spread():
    wide = np.array([[2.0, 4.0, 0.0, 2.0], [3.0, 3.2, 1.0, 1.2]])
    coins = np.array([[True, True, False, False]] * 2)
    found = references.lira_offline(np.array([3.0, 3.0]), wide, coins)
    spread = np.sqrt((2 * 1.0**2 + 2 * 0.1**2) / 4)
    np.testing.assert_allclose(found, [2.0 / spread, 1.9 / spread])


def test_own_spreads_and_pooled_ones_agree_where_all_records_spread_alike():
    rng = np.random.default_rng(0)
    many = rng.normal(size=(3, 1)) + np.tile(rng.normal(size=64), (3, 1))
    coins = np.tile(np.arange(64) < 32, (3, 1))
    own, pooled = (references.lira_online(many[:, 0], many, coins, variance) for variance in ("own", "pooled"))
    np.testing.assert_allclose(own, pooled)
    np.testing.assert_allclose(own, references.lira_online(many[:, 0], many, coins))


def test_references_that_all_say_the_same_still_rank():
    same = np.zeros((2, 4))
    coins = np.array([[True, True, False, False]] * 2)
    found = references.lira_offline(np.array([0.0, 1.0]), same, coins)
    assert np.isfinite(found).all()
    assert found[1] > found[0]


def test_a_record_without_the_references_it_needs_has_no_score():
    coins = np.array([[True] * 8, [False] * 8])
    both = np.repeat(SCORES, 2, axis=0)
    assert np.isnan(references.lira_online(np.array([2.0, 2.0]), both, coins)).all()
    assert np.isnan(references.lira_offline(np.array([2.0, 2.0]), both, coins)).tolist() == [True, False]


def test_the_logit_of_a_confidence_keeps_its_digits_at_both_ends():
    found = references.logit_confidence(-np.array([0.001, 0.5, 3.0]))
    np.testing.assert_allclose(found, [6.90725524, 0.43275213, -2.94893082], atol=1e-8)
    nearly = references.logit_confidence(-np.array([1e-20, 1e-18]))
    np.testing.assert_allclose(nearly, [20 * np.log(10), 18 * np.log(10)])


def test_rmia_counts_the_population_that_a_record_dominates():
    # By equations 2 and 10 of Zarifzadeh et al. (2024), a = 0.3: ratios 1.651376, 0.778210 and 0.390244 of the records,
    # 0.592593, 0.888889, 0.208333 and 1.081081 of the population.
    asked = (np.array([0.9, 0.5, 0.2]), np.array([0.3, 0.45, 0.25]))
    population = (np.array([0.4, 0.6, 0.1, 0.8]), np.array([0.5, 0.5, 0.2, 0.6]))
    assert references.rmia_offline(*asked, *population, scale=0.3).tolist() == [1, 0.5, 0.25]
    assert references.rmia_offline(*asked, *population, scale=0.3, gamma=2).tolist() == [0.5, 0.25, 0]


def test_rmia_has_no_score_without_a_reference_outside_or_without_a_population():
    one, none = np.array([0.5]), np.zeros(0)
    assert np.isnan(references.rmia_offline(one, np.array([np.nan]), one, one, scale=0.3))
    assert np.isnan(references.rmia_offline(one, one, none, none, scale=0.3))


def test_rmias_scale_is_a_share():
    with pytest.raises(ValueError, match="scale must lie in"):
        references.rmia_offline(*[np.array([0.5])] * 4, scale=1.5)


def test_info_rmia_is_the_gain_beyond_a_strangers():
    logprob, others = np.log([0.8, 0.2]), np.log([[0.1, 0.3], [0.2, 0.2]])
    ratios = references.log_ratio(logprob, others)
    np.testing.assert_allclose(ratios, np.log([0.8 / 0.2, 1.0]))
    chosen = np.array([[False, True], [False, False]])
    np.testing.assert_allclose(references.log_ratio(logprob, others, chosen), [np.log(0.8 / 0.3), np.nan])
    found = references.info_rmia(ratios, np.array([0.5, np.nan, 1.5]))
    np.testing.assert_allclose(found, ratios - 1.0)


def test_token_ratios_are_averaged_over_the_tokens_of_a_text():
    target, others = ragged([-1.0, -2.0], []), [ragged([-2.0, -2.0], []), ragged([-2.0, -4.0], [])]
    found = references.token_log_ratio(target, others, np.ones((2, 2), dtype=bool))
    second = -2 - np.log((np.exp(-2) + np.exp(-4)) / 2)
    np.testing.assert_allclose(found, [(1 + second) / 2, np.nan])
    first_alone = references.token_log_ratio(target, others, np.array([[True, False], [False, False]]))
    np.testing.assert_allclose(first_alone, [0.5, np.nan])


def aucs(leak: float, shared: float, repeats: int = 60) -> np.ndarray:
    """AUCs of LiRA online, shape (R,): a leak of so many spreads, and a shift that all records of a class share.

    Sixteen references in pairs with opposite coins, one spread for all records, as an audit has them.
    """
    rng, found = np.random.default_rng(0), []
    for _ in range(repeats):
        mean, of_class, coins = rng.normal(0, 2, 120), rng.integers(0, 2, 120), rng.random((120, 8)) < 0.5
        is_inside = np.concatenate([coins, ~coins], axis=1)  # (N, K)
        told = np.column_stack([is_inside, rng.random(120) < 0.5])
        shift = rng.normal(0, shared, (2, 17))[of_class]
        trained = mean[:, None] + shift + leak * told + rng.normal(size=told.shape)
        score = references.lira_online(trained[:, -1], trained[:, :-1], is_inside)
        found.append(weighted_auc(score, told[:, -1], np.ones(120)))
    return np.array(found)


def test_lira_online_points_at_members_where_something_leaks_and_nowhere_where_nothing_does():
    assert aucs(0.0, 0.0).mean() == pytest.approx(0.5, abs=0.02)  # 0.05 / √60 is the standard error
    assert aucs(0.0, 3.0).mean() == pytest.approx(0.5, abs=0.025)
    assert aucs(1.0, 0.0).mean() > 0.7
    assert 0.53 < aucs(1.0, 3.0).mean() < aucs(1.0, 0.0).mean()  # what trainings share is noise that references have
