"""Single and half precision."""

import pytest
import torch
from single_examples import NAMES, B, assert_exact, build, losses_of, make_batch, one_at_a_time

from audit.training.bookkeeping import Bookkeeping, check_supported

torch.set_num_threads(1)
AUTOCAST = [name for name in NAMES if name.endswith(("SequenceClassification", "LM", "LMHeadModel"))]


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_agrees_to_four_digits(name):
    batch = tuple(column.float() if column.is_floating_point() else column for column in make_batch(name))
    assert_exact(build(name, dtype=torch.float32), name, batch, tolerance=1e-4)


@pytest.mark.parametrize("name", AUTOCAST)
def test_under_autocast_norms_agree_as_far_as_half_precision_goes(name):
    model = build(name, dtype=torch.float32)
    batch = tuple(column.float() if column.is_floating_point() else column for column in make_batch(name))

    def losses():
        with torch.autocast("cpu", torch.bfloat16):
            return losses_of(model, name, batch, fused=True)

    _, norms = Bookkeeping(model, 1.0).accumulate(losses, B)
    with torch.autocast("cpu", torch.bfloat16):
        expected, _ = one_at_a_time(model, name, batch)
    torch.testing.assert_close(norms, expected, rtol=0.03, atol=1e-3)  # bfloat16 has 8 bits


@pytest.mark.parametrize("name", AUTOCAST)
def test_under_autocast_no_clipped_gradient_is_longer_than_the_limit(name):
    model, limit = build(name, dtype=torch.float32), 0.01
    batch = tuple(column.float() if column.is_floating_point() else column for column in make_batch(name))
    with torch.autocast("cpu", torch.bfloat16):  # the whole pass, the norms too
        for row in range(B):
            one = tuple(column[row : row + 1] for column in batch)
            Bookkeeping(model, limit).accumulate(lambda one=one: losses_of(model, name, one, fused=True), 1)
            squared = sum(float(p.summed_grad.double().square().sum()) for p in model.parameters())
            assert squared**0.5 <= limit
            for parameter in model.parameters():
                parameter.summed_grad = None


def test_parameters_in_half_precision_are_not_trained_privately():
    model = build("BertForSequenceClassification", dtype=torch.bfloat16)
    with pytest.raises(
        ValueError, match=r"needs trainable parameters in single precision; got torch\.bfloat16 at bert"
    ):
        check_supported(model)
