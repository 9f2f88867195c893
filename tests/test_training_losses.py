"""One loss per example, against a loop."""

import pytest
import torch

from audit.training.losses import IGNORED, causal_losses, classification_losses, masked_losses

LOGITS = torch.randn(3, 5, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, IGNORED, IGNORED, IGNORED], [IGNORED] * 5])


def token_loss(row, position, label):
    return -float(LOGITS[row, position].log_softmax(0)[label])


def test_a_masked_loss_is_the_mean_over_the_examples_own_tokens():
    first = sum(token_loss(0, t, t + 1) for t in range(5)) / 5
    second = (token_loss(1, 0, 6) + token_loss(1, 1, 7)) / 2
    assert masked_losses(LOGITS, LABELS).tolist() == pytest.approx([first, second, 0.0], rel=1e-12)


def test_a_causal_loss_predicts_each_token_from_the_one_before():
    first = sum(token_loss(0, t - 1, t + 1) for t in range(1, 5)) / 4
    assert causal_losses(LOGITS, LABELS).tolist() == pytest.approx([first, token_loss(1, 0, 7), 0.0], rel=1e-12)


def test_a_weight_of_ten_counts_a_token_ten_times():
    weights = torch.ones(3, 5)
    weights[0, 4] = 10
    tokens = [token_loss(0, t - 1, t + 1) for t in range(1, 5)]
    expected = (sum(tokens[:3]) + 10 * tokens[3]) / 13
    assert causal_losses(LOGITS, LABELS, weights)[0].item() == pytest.approx(expected, rel=1e-12)


def test_equal_weights_change_nothing():
    even = causal_losses(LOGITS, LABELS, torch.full((3, 5), 3.0))
    torch.testing.assert_close(even, causal_losses(LOGITS, LABELS))


def test_an_examples_loss_does_not_depend_on_its_neighbours():
    whole = masked_losses(LOGITS, LABELS)
    for i in range(3):
        torch.testing.assert_close(masked_losses(LOGITS[i : i + 1], LABELS[i : i + 1])[0], whole[i])


def test_double_precision_stays_double():
    assert causal_losses(LOGITS, LABELS).dtype == torch.float64


def test_a_classification_loss_is_minus_the_log_probability_of_the_class():
    logits = LOGITS[:, 0]
    expected = [-float(logits[i].log_softmax(0)[i]) for i in range(3)]
    assert classification_losses(logits, torch.arange(3)).tolist() == pytest.approx(expected, rel=1e-12)
