import numpy as np
import pytest

from probes.stats.tradeoff import dp_sgd_curve, dp_sgd_epsilon, gdp_curve, gdp_epsilon, gdp_mu, profile_curve

MASSES = [0.0, 1e-6, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0]


@pytest.mark.parametrize(
    ("mu", "delta", "epsilon"),
    [
        # Balle and Wang (2018), https://arxiv.org/abs/1805.06530, theorem 8, solved apart; the first three are also the
        # true epsilons of zihangxiang/tight-privacy-audit-in-one-run, and the last is google-deepmind/jax_privacy's.
        (0.5, 1e-5, 1.993091),
        (1.0, 1e-5, 4.377178),
        (2.0, 1e-5, 9.997256),
        (1.0, 1e-6, 4.886554),
    ],
)
def test_the_epsilon_of_a_gaussian_mechanism_is_the_tabled_one(mu, delta, epsilon):
    assert gdp_epsilon(mu, delta) == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.parametrize(("epsilon", "mu"), [(1, 0.268051), (4, 0.924931), (8, 1.666031)])
def test_the_mu_of_an_epsilon_is_the_tabled_one(epsilon, mu):
    assert gdp_mu(epsilon, 1e-5) == pytest.approx(mu, abs=1e-6)


@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-9, 1e-15])
def test_mu_and_epsilon_are_inverse(delta):
    for epsilon in (0.01, 0.3, 2.0, 30.0, 200.0):
        assert gdp_epsilon(gdp_mu(epsilon, delta), delta) == pytest.approx(epsilon, rel=1e-6)


def test_a_mechanism_that_delta_covers_has_no_epsilon():
    assert gdp_epsilon(0.0, 1e-5) == 0.0
    assert gdp_epsilon(1e-6, 1e-5) == 0.0
    assert gdp_mu(0.0, 1e-5) == pytest.approx(2.5066e-5, rel=1e-4)  # δ = 2 Φ(μ / 2) − 1


def test_no_leak_takes_no_mass_away():
    assert gdp_curve(0.0)(np.array(MASSES)) == pytest.approx(MASSES)


def test_the_curve_of_a_pure_guarantee_has_two_lines():
    curve = profile_curve(np.array([np.log(3)]), np.array([0.0]))

    assert [curve(x) for x in (0.0, 0.3, 0.75, 0.9, 1.0)] == pytest.approx([0.0, 0.1, 0.25, 0.7, 1.0])


def test_delta_is_given_away_at_both_ends():
    curve = profile_curve(np.array([0.0]), np.array([0.1]))

    assert [curve(x) for x in (0.0, 0.05, 0.3, 1.0)] == pytest.approx([0.0, 0.0, 0.2, 0.9])


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_the_largest_of_all_its_lines(seed):
    rng = np.random.default_rng(seed)
    epsilons = np.sort(rng.uniform(0, 8, 30))
    deltas = np.sort(rng.uniform(0, 0.3, 30))[::-1] * np.exp(-epsilons)
    masses = np.concatenate([MASSES, rng.random(50), 10.0 ** -rng.uniform(0, 12, 50)])
    falling = np.exp(-epsilons)[:, None] * (masses - deltas[:, None])
    rising = 1 - deltas[:, None] - np.exp(epsilons)[:, None] * (1 - masses)
    slow = np.maximum(0.0, np.concatenate([falling, rising]).max(axis=0))
    np.testing.assert_allclose(profile_curve(epsilons, deltas)(masses), slow, atol=1e-13)


@pytest.mark.parametrize(
    ("sigma", "rate", "steps", "delta", "epsilon"),
    [(4.0, 1.0, 1, 1e-5, 0.9263), (1.0, 1.0, 1, 1e-5, 4.377178), (1.0, 0.064, 150, 1e-4, 4.5285)],
)
def test_the_accountants_epsilon_is_the_tabled_one(sigma, rate, steps, delta, epsilon):
    assert dp_sgd_epsilon(sigma, rate, steps, delta) == pytest.approx(epsilon, abs=1e-4)


def test_the_accountants_curve_of_one_gaussian_step_is_the_gaussian_one():
    accounted, exact = dp_sgd_curve(noise_multiplier=1.0, sample_rate=1.0, steps=1), gdp_curve(1.0)

    for mass in MASSES:
        assert accounted(mass) == pytest.approx(exact(mass), abs=1e-6)


def test_a_coarser_grid_claims_less():
    fine, coarse = np.linspace(0, 6, 61), np.linspace(0, 6, 4)
    deltas = np.exp(-fine)
    whole = profile_curve(fine, deltas)
    part = profile_curve(coarse, np.exp(-coarse))

    assert all(part(x) <= whole(x) + 1e-15 for x in np.linspace(0, 1, 50))


@pytest.mark.parametrize(
    "call",
    [
        lambda: gdp_epsilon(-1.0, 1e-5),
        lambda: gdp_epsilon(1.0, 0.0),
        lambda: gdp_mu(-1.0, 1e-5),
        lambda: gdp_mu(1e6, 1e-5),
        lambda: profile_curve(np.array([-1.0]), np.array([0.1])),
        lambda: profile_curve(np.array([1.0, 2.0]), np.array([0.1])),
    ],
)
def test_impossible_guarantees_are_refused(call):
    with pytest.raises(ValueError, match=r"got |epsilon"):
        call()
