import zlib

import numpy as np
import pytest
from scipy.special import log_softmax

from probes.privacy import scores

# Five tokens of one text: logits of a vocabulary of four, and the token that came. The second distribution is uniform.
LOGITS = np.array([[2, 1, 0, -1], [0, 0, 0, 0], [3, -1, 0.5, 0], [-2, 0, 1, 4], [1, 1.5, -0.5, 0]], dtype=float)
TOKENS = np.array([0, 3, 1, 2, 1])


def ragged(*rows) -> np.ndarray:
    found = np.empty(len(rows), dtype=object)
    found[:] = [np.asarray(row, dtype=float) for row in rows]
    return found


def logprobs_and_moments() -> tuple[np.ndarray, ...]:
    every = log_softmax(LOGITS, axis=1)
    means = (np.exp(every) * every).sum(axis=1)
    deviations = np.sqrt((np.exp(every) * (every - means[:, None]) ** 2).sum(axis=1))
    deviations[1] = 0.0  # exactly, as `probes.scoring.moments` gives it
    return tuple(ragged(column) for column in (every[np.arange(5), TOKENS], means, deviations))


def test_loss_is_the_mean_over_scored_tokens():
    logprobs, *_ = logprobs_and_moments()
    assert scores.mean_logprob(logprobs) == pytest.approx(-1.94202028)
    assert scores.sum_logprob(logprobs) == pytest.approx(-1.94202028 * 5)


def test_min_k_is_the_mean_of_the_unlikeliest_tokens():
    # By equation 1 of Shi et al. (2024): of five tokens, 40 % are two and 60 % are three.
    logprobs, *_ = logprobs_and_moments()
    assert scores.min_k(logprobs, 0.4) == pytest.approx(-3.60406354)
    assert scores.min_k(logprobs, 0.6) == pytest.approx(-2.86480715)


def test_min_k_plus_plus_weighs_the_moments_by_probability_and_leaves_the_uniform_token_out():
    # z of the others is 0.646113, -3.718293, -3.259613 and 0.736369; with plain moments over the vocabulary it would
    # be 1.161895, -0.954919, 0.1 and 1.095445.
    found = scores.min_k_plus_plus(*logprobs_and_moments(), 0.5)
    assert found == pytest.approx((-3.718293 - 3.259613) / 2, abs=1e-6)
    everything = scores.min_k_plus_plus(*logprobs_and_moments(), 1.0)
    assert everything == pytest.approx((0.646113 - 3.718293 - 3.259613 + 0.736369) / 4, abs=1e-6)


def test_a_text_whose_every_distribution_is_uniform_has_no_min_k_plus_plus():
    assert np.isnan(scores.min_k_plus_plus(ragged([-1.4]), ragged([-1.4]), ragged([0.0]), 0.2))[0]


def test_a_text_without_scored_tokens_has_no_score():
    rows, lengths = ragged([], [-1.0]), np.array([9, 9])
    for found in (
        scores.mean_logprob(rows),
        scores.sum_logprob(rows),
        scores.zlib_ratio(rows, lengths),
        scores.min_k(rows, 0.2),
        scores.min_k_plus_plus(rows, rows, ragged([], [1.0]), 0.2),
    ):
        assert np.isnan(found).tolist() == [True, False]


@pytest.mark.parametrize(
    ("share", "n", "kept"), [(0.2, 1, 1), (0.2, 5, 1), (0.2, 6, 2), (0.07, 100, 7), (0.6, 5, 3), (1.0, 4, 4)]
)
def test_the_smallest_share_is_rounded_up_and_never_empty(share, n, kept):
    assert scores.smallest_share(np.arange(n)[::-1], share).tolist() == list(range(kept))


def test_class_loss_is_the_log_probability_of_the_own_class():
    found = scores.class_loss(LOGITS, TOKENS)
    np.testing.assert_allclose(found, [-0.44018970, -1.38629436, -4.13992515, -3.06820192, -0.67549026], atol=1e-8)


def test_class_loss_ranks_examples_of_which_the_model_is_surer_than_a_probability_can_say():
    logits = np.array([[0.0, 40.0], [0.0, 60.0], [0.0, 900.0], [0.0, -900.0]])
    found = scores.class_loss(logits, np.ones(4, dtype=int))
    assert found[0] < found[1] < found[2] <= 0
    assert found[3] == -900


def test_a_constant_added_to_a_rows_logits_moves_no_class_loss():
    np.testing.assert_allclose(
        scores.class_loss(LOGITS + 100, TOKENS), scores.class_loss(LOGITS, TOKENS), rtol=0, atol=1e-12
    )


def test_zlib_prefers_what_is_likelier_than_it_is_simple():
    simple, complex_ = (len(zlib.compress(text.encode())) for text in ("a " * 40, "Qx7 vbk, 93-tz; wOp!ru jm 5 lhe"))
    alike = scores.zlib_ratio(ragged([-20.0, -20.0], [-20.0, -20.0]), np.array([simple, complex_]))
    assert alike[1] > alike[0]
    likelier = scores.zlib_ratio(ragged([-20.0], [-10.0]), np.array([simple, simple]))
    assert likelier[1] > likelier[0]


def test_zlib_does_not_depend_on_how_finely_the_tokenizer_cuts():
    found = scores.zlib_ratio(ragged([-6.0], [-1.0, -2.0, -3.0]), np.array([12, 12]))
    assert found.tolist() == [-0.5, -0.5]


def test_the_reference_score_says_member_where_the_model_gained_on_its_base():
    found = scores.reference(np.array([-1.0, -2.0, np.nan]), np.array([-1.5, -1.5, -1.0]))
    np.testing.assert_array_equal(found, [0.5, -0.5, np.nan])
