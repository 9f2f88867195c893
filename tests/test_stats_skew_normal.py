import numpy as np
import pytest
from scipy.special import log_ndtr
from scipy.stats import norm, skewnorm

from probes.stats.skew_normal import SkewNormal, fitted, misfit, refits


def test_the_far_tail_is_the_tabled_one():
    logs = SkewNormal(0.0, 1.0, 4.0).log_cdf(np.array([-1.0, -3.0, -5.0]))
    assert np.exp(logs[0]) == pytest.approx(8.17969e-7, rel=1e-6)
    np.testing.assert_allclose(-logs / np.log(2), [20.2215, 121.3033, 318.966], atol=6e-4)


@pytest.mark.parametrize("shape", [-30.0, -4.0, -0.5, 0.0, 0.5, 4.0, 30.0])
def test_the_distribution_function_is_the_integral_of_its_density(shape):
    distribution = SkewNormal(2.0, 3.0, shape)
    for x in (-9.0, -3.0, 1.0, 2.0, 3.0, 6.0):
        # Of the density over the largest on the grid, so that far tails stay within double precision.
        z = (x - 2) / 3 - np.linspace(0, 12, 240_001)
        logs = np.log(2) + norm.logpdf(z) + log_ndtr(shape * z)
        slow = np.log(np.trapezoid(np.exp(logs - logs.max()), dx=5e-5)) + logs.max()
        assert distribution.log_cdf(np.array([x]))[0] == pytest.approx(slow, rel=1e-6, abs=1e-7)


def test_mirrored_values_have_the_mirrored_distribution():
    x = np.linspace(-4, 4, 9)
    there, back = SkewNormal(0.0, 1.0, 2.0), SkewNormal(0.0, 1.0, -2.0)
    np.testing.assert_allclose(there.log_sf(x), back.log_cdf(-x))
    np.testing.assert_allclose(np.exp(there.log_cdf(x)) + np.exp(there.log_sf(x)), 1.0)


@pytest.mark.parametrize("shape", [0.0, 0.7, 3.0, -8.0])
def test_the_fit_is_the_most_likely_one(shape):
    x = skewnorm.rvs(shape, 5, 2, size=500, random_state=np.random.default_rng(0))
    ours, theirs = fitted(x), skewnorm.fit(x)
    ours_likelihood = skewnorm.logpdf(x, ours.shape, ours.location, ours.scale).sum()
    assert ours_likelihood >= skewnorm.logpdf(x, *theirs).sum() - 1e-6


def test_a_shifted_and_stretched_sample_has_the_shifted_and_stretched_fit():
    x = SkewNormal(0.0, 1.0, 2.0).sample(np.random.default_rng(0), (300,))
    one, other = fitted(x), fitted(100 + 7 * x)
    assert other.location == pytest.approx(100 + 7 * one.location, rel=1e-6)
    assert other.scale == pytest.approx(7 * one.scale, rel=1e-5)
    assert other.shape == pytest.approx(one.shape, rel=1e-4)


def test_samples_have_the_distribution_they_are_drawn_from():
    distribution = SkewNormal(1.0, 2.0, -3.0)
    x = distribution.sample(np.random.default_rng(0), (2000,))
    assert misfit(x, distribution) < 2.5  # exceeded once in twenty times
    assert misfit(x, SkewNormal(1.0, 2.0, 3.0)) > 100


def test_the_misfit_by_hand():
    # n = 1 at the median: −1 − (log ½ + log ½)
    assert misfit(np.array([0.0]), SkewNormal(0.0, 1.0, 0.0)) == pytest.approx(2 * np.log(2) - 1)


def test_true_fits_are_called_implausible_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    p = []
    for seed in range(100):
        x = SkewNormal(0.0, 1.0, 2.0).sample(rng, (150,))
        fit = fitted(x)
        p.append(refits(fit, 150, draws=60, seed=seed).p_value(misfit(x, fit)))
    assert sum(one <= 0.05 for one in p) <= 11  # more than 11 of 100 would happen once in 200 times
    assert 0.4 < np.mean(p) < 0.6


@pytest.mark.parametrize("draw", [lambda rng: rng.exponential(size=500), lambda rng: rng.standard_t(3, size=500)])
def test_what_is_no_skew_normal_is_called_implausible(draw):
    x = draw(np.random.default_rng(0))
    fit = fitted(x)
    assert refits(fit, 500, draws=99, seed=0).p_value(misfit(x, fit)) == pytest.approx(0.01)


def test_refits_scatter_about_the_fit():
    fit = SkewNormal(0.0, 1.0, 2.0)
    locations = np.array([one.location for one in refits(fit, 400, draws=50, seed=0).fits])
    assert np.mean(locations) == pytest.approx(0.0, abs=0.05)
    assert 0 < np.std(locations) < 0.2


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [1.0, 2.0]])
def test_values_without_spread_are_refused(values):
    with pytest.raises(ValueError, match="at least three values that are not all equal"):
        fitted(np.array(values))
