import numpy as np
import pytest

from probes.stats.exposure import (
    UNSEEN_BITS,
    expected_exposure,
    exposure_bits,
    exposure_ceiling,
    extrapolated_bits,
    extrapolation_limit,
)
from probes.stats.skew_normal import SkewNormal


def test_exposure_by_hand():
    bits = exposure_bits(np.array([0.0, 3.5, 20.0]), np.arange(1, 17))

    np.testing.assert_allclose(bits, [4, 2, -0.087463], atol=1e-6)


def test_ties_take_the_middle_rank():
    assert exposure_bits(np.array([5.0]), np.full(6, 5.0))[0] == pytest.approx(np.log2(6 / 4))
    assert exposure_bits(np.array([5.0]), np.array([4.0, 5.0, 6.0]))[0] == pytest.approx(np.log2(3 / 2.5))


def test_no_exposure_passes_the_ceiling():
    assert exposure_bits(np.array([-np.inf]), np.arange(100.0))[0] == exposure_ceiling(100)


def test_references_of_their_own_give_what_shared_ones_give():
    rng = np.random.default_rng(0)
    secrets, references = rng.integers(0, 9, 5).astype(float), rng.integers(0, 9, 40).astype(float)

    np.testing.assert_allclose(exposure_bits(secrets, np.tile(references, (5, 1))), exposure_bits(secrets, references))


def test_an_unseen_secret_is_expected_to_show_the_mean_over_all_ranks():
    every_rank = exposure_bits(np.arange(65) - 0.5, np.arange(64))

    assert every_rank.mean() == pytest.approx(expected_exposure(64))


@pytest.mark.parametrize(("secrets", "references"), [([1.0], []), ([np.nan], [1.0]), ([1.0], [np.nan])])
def test_what_has_no_rank_is_refused(secrets, references):
    with pytest.raises(ValueError, match=r"exposure needs|perplexities must not be NaN"):
        exposure_bits(np.array(secrets), np.array(references))


@pytest.mark.parametrize("bound", [exposure_ceiling, expected_exposure])
def test_a_bound_without_references_is_refused(bound):
    with pytest.raises(ValueError, match="at least one reference"):
        bound(0)


def test_extrapolated_exposure_is_the_share_liked_better_in_bits():
    bits = extrapolated_bits(np.array([-1.0, -3.0, -5.0]), SkewNormal(0.0, 1.0, 4.0))
    np.testing.assert_allclose(bits, [20.2215, 121.3033, 318.966], atol=6e-4)
    assert extrapolated_bits(np.array([50.0]), SkewNormal(0.0, 1.0, 4.0))[0] == 0


def test_extrapolated_exposure_agrees_with_ranks_among_many_references():
    space = SkewNormal(40.0, 3.0, 2.0)
    references = space.sample(np.random.default_rng(0), (100_000,))
    secrets = np.array([36.0, 38.0, 41.0])
    np.testing.assert_allclose(extrapolated_bits(secrets, space), exposure_bits(secrets, references), atol=0.7)
    unseen = extrapolated_bits(space.sample(np.random.default_rng(1), (20_000,)), space)
    assert unseen.mean() == pytest.approx(UNSEEN_BITS, abs=0.05)


def test_ten_bits_beyond_the_ranks_is_the_limit():
    assert extrapolation_limit(1024) == 20
