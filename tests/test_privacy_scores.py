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


def test_min_k_plus_plus_is_not_that_of_unweighted_moments():
    # computationalprivacy/mia_llms_benchmark takes plain moments over the vocabulary (the deviation with n − 1).
    [logprobs], [means], [deviations] = logprobs_and_moments()
    ours = scores.min_k_plus_plus(*(ragged(*column[:, None]) for column in (logprobs, means, deviations)), 1.0)
    every = log_softmax(LOGITS, axis=1)
    with np.errstate(invalid="ignore"):
        plain = (logprobs - every.mean(axis=1)) / np.where(deviations > 0, every.std(axis=1, ddof=1), np.nan)
    np.testing.assert_allclose(plain, [1.161895, np.nan, -0.954919, 0.1, 1.095445], atol=1e-6)
    np.testing.assert_allclose(ours, [0.646113, np.nan, -3.718293, -3.259613, 0.736369], atol=1e-6)
    assert (np.abs(ours - plain)[[0, 2, 3, 4]] > 0.3).all()


def test_a_text_whose_every_distribution_is_uniform_has_no_min_k_plus_plus():
    assert np.isnan(scores.min_k_plus_plus(ragged([-1.4]), ragged([-1.4]), ragged([0.0]), 0.2))[0]


# Losses of eight tokens under the model and under its base, and which of them the model gets wrong.
MODEL, BASE = -np.array([1.2, 0.5, 3, 2.2, 0.1, 0.9, 4, 0.3]), -np.array([1, 0.9, 3.5, 2, 0.1, 1.4, 3.8, 0.6])
IS_TOP = np.array([0, 1, 0, 0, 1, 0, 0, 1])


def test_the_error_zone_sets_rises_against_falls_where_the_model_is_wrong():
    # By the formula of Ilić et al. (2026): rises 1.0 and falls 0.6, smoothed.
    assert scores.error_zone(ragged(MODEL), ragged(BASE), ragged(IS_TOP)) == pytest.approx(np.log(1.001 / 0.601))


def test_the_error_zone_puts_the_text_in_which_nothing_fell_above_the_one_in_which_as_much_fell():
    # The published ratio gives the first, which is remembered best, the least score that there is.
    found = scores.error_zone(
        ragged([-1.0, -1.0], [-1.0, -3.0]), ragged([-2.0, -2.0], [-2.0, -2.0]), ragged([0, 0], [0, 0])
    )
    assert found[0] > found[1] == 0


def test_a_text_without_a_wrong_token_is_scored_by_all_of_them():
    right, wrong = (
        scores.error_zone(ragged([-0.1, -0.1]), ragged([-2.0, -2.0]), ragged(is_top)) for is_top in ([1, 1], [0, 0])
    )
    assert right == wrong > 0


def votes_by_hand(model, base) -> float:
    """The windows' votes, one window at a time."""
    gains, shares = np.asarray(model) - np.asarray(base), []
    for width in [w for w in scores.WINDOWS if w <= len(gains)] or [len(gains)]:
        sums = [gains[i : i + width].sum() for i in range(len(gains) - width + 1)]
        shares.append(np.mean([0.5 if abs(s) < 1e-9 else float(s > 0) for s in sums]))
    return float(np.mean(shares))


def test_windows_count_those_that_the_model_likes_better():
    # By Chen et al. (2026): votes 6/7, 1, 1 and 1 at 2, 3, 4 and 6 tokens; longer windows do not fit.
    assert scores.windows(ragged(MODEL), ragged(BASE)) == pytest.approx((6 / 7 + 3) / 4)


@pytest.mark.parametrize(
    ("width", "strict", "ties"), [(1, 0.5, 1 / 8), (2, 6 / 7, 0), (3, 1, 0), (4, 1, 0), (6, 1, 0), (9, 1, 0)]
)
def test_windows_of_each_width_cast_the_published_votes_and_half_of_the_ties(width, strict, ties, monkeypatch):
    # Stry233/WBC counts strict votes: token by token four of eight, and a tie at the fifth that is half a vote of ours.
    monkeypatch.setattr(scores, "WINDOWS", (width,))
    assert scores.windows(ragged(MODEL), ragged(BASE)) == pytest.approx(strict + ties / 2)


def test_windows_are_those_counted_one_by_one_and_know_nothing_of_other_texts():
    rng = np.random.default_rng(0)
    lengths = [1, 2, 3, 0, 41, 64, 17]
    model, base = (ragged(*(np.round(rng.normal(size=n), 1) for n in lengths)) for _ in range(2))
    found = scores.windows(model, base)
    by_hand = [votes_by_hand(a, b) if len(a) else np.nan for a, b in zip(model, base, strict=True)]
    np.testing.assert_allclose(found, by_hand)
    for i in range(len(lengths)):
        np.testing.assert_array_equal(scores.windows(model[i : i + 1], base[i : i + 1]), found[i : i + 1])


def test_a_window_that_both_like_equally_counts_one_half():
    assert scores.windows(ragged([-1.0, -2.0, -3.0]), ragged([-1.0, -2.0, -3.0])) == 0.5
    assert scores.windows(ragged([-1.0, -2.0]), ragged([-1.1, -1.9])) == 0.5  # equal but for rounding


def test_a_text_without_scored_tokens_has_no_score():
    rows, lengths = ragged([], [-1.0]), np.array([9, 9])
    for found in (
        scores.mean_logprob(rows),
        scores.sum_logprob(rows),
        scores.zlib_ratio(rows, lengths),
        scores.min_k(rows, 0.2),
        scores.min_k_plus_plus(rows, rows, ragged([], [1.0]), 0.2),
        scores.error_zone(rows, rows, ragged([], [0])),
        scores.windows(rows, rows),
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
