"""A vocabulary's head with its cross entropy, against logits and autograd."""

import copy

import pytest
import torch
import torch.nn.functional as F
from single_examples import build
from torch import nn

from audit.training import heads
from audit.training.heads import head_losses, inputs_of_head, output_head
from audit.training.losses import IGNORED, causal_losses, masked_losses

WORDS, WIDTH = 13, 6


def head_of(bias=True, dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(WIDTH, WORDS, bias=bias).to(dtype)


def some(n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(n, WIDTH, generator=generator, dtype=dtype)
    return hidden.requires_grad_(), torch.randint(0, WORDS, (n,), generator=generator)


def gradients(losses, upstream, hidden, head):
    found = torch.autograd.grad((losses * upstream).sum(), [hidden, *head.parameters()], allow_unused=True)
    return [g for g in found if g is not None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [2, 5, 256])
def test_losses_and_gradients_are_those_of_logits(chunk, bias, monkeypatch):
    monkeypatch.setattr(heads, "_CHUNK", chunk)
    head, (hidden, labels) = head_of(bias), some(7)
    upstream = torch.linspace(-2, 3, 7, dtype=torch.float64)  # any number for each position, not only 1
    ours = head_losses(hidden, head, labels, [3, 4])
    plain = F.cross_entropy(head(hidden), labels, reduction="none")
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        gradients(ours, upstream, hidden, head), gradients(plain, upstream, hidden, head), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_frozen_head_hands_the_gradient_on_and_has_none_of_its_own(monkeypatch):
    monkeypatch.setattr(heads, "_CHUNK", 3)
    head, (hidden, labels) = head_of().requires_grad_(False), some(7)
    upstream = torch.linspace(-2, 3, 7, dtype=torch.float64)
    plain = F.cross_entropy(head(hidden), labels, reduction="none")
    (expected,) = torch.autograd.grad((plain * upstream).sum(), hidden)
    (found,) = torch.autograd.grad((head_losses(hidden, head, labels, [7]) * upstream).sum(), hidden)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert head.weight.grad is None


def test_a_head_on_frozen_layers_is_trained():
    head, (hidden, labels) = head_of(), some(7)
    head_losses(hidden.detach(), head, labels, [7]).sum().backward()
    expected = torch.autograd.grad(F.cross_entropy(head(hidden), labels, reduction="sum"), head.weight)[0]
    torch.testing.assert_close(head.weight.grad, expected, rtol=1e-12, atol=1e-12)


def test_a_sure_and_wrong_score_has_a_finite_loss():
    head, (hidden, labels) = head_of(dtype=torch.float32), some(1, torch.float32)
    head.bias.data[:] = 0
    head.bias.data[(labels[0] + 1) % WORDS] = 500.0
    assert 490 < head_losses(hidden, head, labels, [1]).item() < 510


def test_no_labelled_position_has_no_loss_and_a_gradient_of_zero():
    head, (hidden, labels) = head_of(), some(0)
    losses = head_losses(hidden, head, labels, [0, 0])
    losses.sum().backward()
    assert losses.shape == (0,)
    assert not head.weight.grad.any()


def test_under_autocast_products_have_half_precision_and_losses_single():
    head, (hidden, labels) = head_of(dtype=torch.float32), some(7, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        losses = head_losses(hidden, head, labels, [7])
        plain = F.cross_entropy(head(hidden), labels, reduction="none")
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, plain, rtol=1e-6, atol=1e-6)
    for one, other in zip(gradients(losses, 1.0, hidden, head), gradients(plain, 1.0, hidden, head), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=0.03, atol=0.03)


def test_an_examples_own_mean_is_the_same_by_logits_and_by_the_head():
    head, generator = head_of(), torch.Generator().manual_seed(2)
    hidden = torch.randn(3, 5, WIDTH, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[1, 2, 3, 4, 5], [6, 7, IGNORED, IGNORED, IGNORED], [IGNORED] * 5])
    weights = torch.rand(3, 5, generator=generator, dtype=torch.float64) + 0.1
    for ask in (masked_losses, causal_losses):
        by_logits = ask(head(hidden), labels, weights)
        torch.testing.assert_close(ask(hidden, labels, weights, head), by_logits, rtol=1e-12, atol=1e-12)
        assert by_logits[2] == 0


IDS = {"input_ids": torch.tensor([[1, 2, 3]])}


def test_the_input_of_the_head_is_what_it_scores():
    model = build("GPT2LMHeadModel")
    head = output_head(model, IDS)
    torch.testing.assert_close(head(inputs_of_head(model, head, IDS)), model(**IDS).logits)


def test_a_model_that_changes_its_scores_has_no_such_head():
    model = build("GPT2LMHeadModel")
    plain = copy.deepcopy(model)
    model.forward = lambda **inputs: type(out := plain(**inputs))(logits=out.logits / 2)
    model.lm_head = plain.lm_head
    assert output_head(plain, IDS) is plain.lm_head
    assert output_head(model, IDS) is None


def test_a_model_without_a_vocabulary_or_with_an_adapter_on_it_has_no_such_head():
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    assert output_head(build("BertForSequenceClassification"), IDS) is None
    model = build("LlamaForCausalLM")
    LoraModel(model, {"default": LoraConfig(r=2, target_modules=["lm_head"])}, "default")
    assert output_head(model, IDS) is None


def test_looking_for_the_head_leaves_the_model_as_it_was():
    model = build("GPT2LMHeadModel").train()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    output_head(model, IDS)
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert "forward" not in vars(model.lm_head)
