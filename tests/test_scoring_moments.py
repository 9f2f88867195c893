"""Moments of the log-probability, against plain float64 arithmetic on whole rows."""

import numpy as np
import pytest
import torch

from probes.scoring.moments import head_moments, logit_moments


def in_float64(logits, tokens):
    """The definitions, on whole rows: log-probabilities (R, n), means (R,), deviations (R,)."""
    l = np.asarray(logits, dtype=np.float64)  # noqa: E741 - the symbol of the definitions
    gap = l - l.max(axis=1, keepdims=True)
    logp = gap - np.log1p(np.sort(np.exp(gap), axis=1)[:, :-1].sum(axis=1, keepdims=True))
    p = np.exp(logp)
    mean = (p * logp).sum(axis=1)
    centred = logp - mean[:, None]
    return np.take_along_axis(logp, tokens, axis=1), mean, np.sqrt((p * centred**2).sum(axis=1))


def rows_of_all_kinds():
    """Logits (R, V) over several tiles: ordinary, flat, one slightly higher, and peaked in one of the tiles."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(0, s, 3000) for s in (0.01, 1.0, 5.0)] + [np.zeros(3000)]
    for height, where in ((0.1, 1500), (20, 0), (20, 2999), (30, 0), (30, 1500), (30, 2999), (60, 2999)):
        row = rng.normal(0, 0.5, 3000) if height > 1 else np.zeros(3000)
        row[where] = height
        rows.append(row)
    return np.array(rows, dtype=np.float32)


def test_moments_of_five_rows_known_to_eight_digits():
    # Definitions of Min-K%++ (https://arxiv.org/abs/2404.02936, section 3), evaluated by hand in float64.
    logits = [[2, 1, 0, -1], [0, 0, 0, 0], [3, -1, 0.5, 0], [-2, 0, 1, 4], [1, 1.5, -0.5, 0]]
    found = logit_moments(torch.tensor(logits, dtype=torch.float64), torch.tensor([[0], [3], [1], [2], [1]]))
    logprobs = [-0.44018970, -1.38629436, -4.13992515, -3.06820192, -0.67549026]
    np.testing.assert_allclose(found.logprobs[:, 0], logprobs, atol=5e-9)
    np.testing.assert_allclose(
        found.means, [-0.94753696, -1.38629436, -0.51189597, -0.29004050, -1.13789888], atol=5e-9
    )
    np.testing.assert_allclose(found.deviations, [0.78523008, 0, 0.97572438, 0.85229799, 0.62795736], atol=5e-9)
    assert found.is_top[:, 0].tolist() == [True, True, False, False, True]
    z = (found.logprobs[:, 0] - found.means)[[0, 2, 3, 4]] / found.deviations[[0, 2, 3, 4]]
    np.testing.assert_allclose(z, [0.646113, -3.718293, -3.259613, 0.736369], atol=5e-7)


def test_rows_over_several_tiles_agree_with_plain_float64_arithmetic():
    logits = rows_of_all_kinds()
    tokens = np.stack([logits.argmax(axis=1), logits.argmin(axis=1), np.full(len(logits), 1023)], axis=1)
    found = logit_moments(torch.tensor(logits), torch.tensor(tokens))
    logprobs, means, deviations = in_float64(logits, tokens)
    np.testing.assert_allclose(found.logprobs, logprobs, rtol=1e-6, atol=1e-6)  # float32 exponentials
    np.testing.assert_allclose(found.means, means, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.deviations, deviations, rtol=1e-5, atol=1e-13)  # from 2 down to 3e-10
    assert found.is_top[:, 0].all()


def test_a_peaked_row_keeps_the_distance_between_a_token_and_the_mean():
    logits = rows_of_all_kinds()[-4:]
    top = logits.argmax(axis=1)[:, None]
    found = logit_moments(torch.tensor(logits), torch.tensor(top))
    logprobs, means, deviations = in_float64(logits, top)
    z = (found.logprobs[:, 0] - found.means) / found.deviations
    np.testing.assert_allclose(z, (logprobs[:, 0] - means) / deviations, rtol=1e-4)


def test_equal_logits_have_a_deviation_of_exactly_zero_and_are_all_top():
    found = logit_moments(torch.full((1, 2500), 3.25), torch.tensor([[0, 2499]]))
    assert found.deviations[0] == 0.0
    assert found.is_top.all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_walking_the_head_gives_the_moments_of_its_logits(kind):
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(*n, generator=generator).to(kind) for n in ((600, 16), (2100, 16), (2100,)))
    tokens = torch.randint(0, 2100, (600, 2), generator=generator)
    found = head_moments(hidden, weight, bias, tokens)
    expected = logit_moments(hidden.double() @ weight.double().T + bias.double(), tokens)
    np.testing.assert_allclose(found.logprobs, expected.logprobs, atol=2e-5)  # float32 products of sixteen terms
    np.testing.assert_allclose(found.means, expected.means, atol=2e-5)
    np.testing.assert_allclose(found.deviations, expected.deviations, rtol=2e-5)


def test_half_precision_logits_are_widened_before_anything_is_computed():
    logits = torch.tensor(rows_of_all_kinds()[-4:]).to(torch.float16)
    top = logits.argmax(dim=1, keepdim=True)
    _, _, deviations = in_float64(logits.double().numpy(), top.numpy())
    np.testing.assert_allclose(logit_moments(logits, top).deviations, deviations, rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(bad):
    logits = torch.zeros(2, 5)
    logits[1, 3] = bad
    with pytest.raises(ValueError, match="logits must be finite"):
        logit_moments(logits, torch.zeros(2, 1, dtype=torch.long))


def test_no_rows_give_empty_moments():
    found = logit_moments(torch.zeros(0, 5), torch.zeros(0, 2, dtype=torch.long))
    assert found.logprobs.shape == (0, 2)
    assert found.means.shape == (0,)
