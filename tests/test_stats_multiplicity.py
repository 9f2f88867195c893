import numpy as np
import pytest

from probes.stats.multiplicity import benjamini_hochberg, holm

P = [0.01, 0.04, 0.03, 0.005]


def test_holm_by_hand():
    corrected = holm(P)

    np.testing.assert_allclose(corrected.p_adjusted, [0.03, 0.06, 0.06, 0.02])
    assert corrected.significant.tolist() == [True, False, False, True]


def test_benjamini_hochberg_by_hand():
    corrected = benjamini_hochberg(P)

    np.testing.assert_allclose(corrected.p_adjusted, [0.02, 0.04, 0.04, 0.02])
    assert corrected.significant.all()


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_none_may_be_significant(correct):
    assert not correct([0.2, 0.9, 1.0]).significant.any()


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_a_family_may_be_empty_or_of_one(correct):
    assert correct([]).significant.shape == (0,)
    assert correct([0.04]).significant.tolist() == [True]


def test_ranks_follow_the_p_values_and_not_their_places():
    shuffled = np.random.default_rng(0).permutation(20)
    p = np.linspace(0.0001, 0.2, 20)

    np.testing.assert_allclose(benjamini_hochberg(p[shuffled]).p_adjusted, benjamini_hochberg(p).p_adjusted[shuffled])


@pytest.mark.parametrize("p", [[0.5, float("nan")], [1.5], [-0.1]])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(ValueError, match="p-values must lie in"):
        holm(p)


def test_an_impossible_alpha_is_refused():
    with pytest.raises(ValueError, match="alpha must lie in"):
        holm([0.5], alpha=0)
