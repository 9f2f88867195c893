"""Per-example clipping with one backward pass: what it promises, and what it refuses."""

import gc
import weakref

import pytest
import torch
from single_examples import (
    CONFIGS,
    NAMES,
    B,
    assert_exact,
    build,
    losses_of,
    make_batch,
)
from torch import nn
from transformers import BertConfig, BertForMultipleChoice, GPTNeoXConfig, GPTNeoXForCausalLM

from audit.training import bookkeeping
from audit.training.bookkeeping import SUPPORTED, Bookkeeping, check_supported
from audit.training.bookkeeping_layers import Book
from audit.training.losses import IGNORED

torch.set_num_threads(1)  # tiny models are slower on several


def test_layers_that_share_their_weights_are_one_gradient():
    model = build("BertForSequenceClassification")
    model.bert.encoder.layer[1] = model.bert.encoder.layer[0]
    assert_exact(model, "BertForSequenceClassification", make_batch("BertForSequenceClassification"))


def test_feed_forward_in_chunks_is_one_gradient():
    model = build("BertForSequenceClassification", chunk_size_feed_forward=1)
    assert_exact(model, "BertForSequenceClassification", make_batch("BertForSequenceClassification"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_micro_batch_is_held_once_it_is_added(name, monkeypatch):
    kept = []

    def kept_weakly(*arguments, **named):
        book = Book(*arguments, **named)
        kept.append(weakref.ref(book))
        return book

    monkeypatch.setattr(bookkeeping, "Book", kept_weakly)
    model, batch = build(name), make_batch(name)
    books = Bookkeeping(model, 1.0)
    for _ in range(2):
        books.accumulate(lambda: losses_of(model, name, batch), B)
    gc.collect()
    assert [book() for book in kept] == [None, None]


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize(
    "name",
    ["BertForTokenClassification", "DistilBertForMaskedLM", "GPT2LMHeadModel", "LlamaForCausalLM", "T5EncoderModel"],
)
def test_gradient_checkpointing_is_exact(name, reentrant):
    rates = "embd_pdrop attn_pdrop resid_pdrop dropout_rate dropout attention_dropout hidden_dropout_prob"
    no_dropout = dict.fromkeys((*rates.split(), "attention_probs_dropout_prob"), 0.0)
    model = build(name, dtype=torch.float32, **no_dropout)
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    batch = tuple(column.float() if column.is_floating_point() else column for column in make_batch(name))
    assert_exact(model.train(), name, batch, tolerance=1e-4)


def test_dropout_masks_of_the_forward_pass_are_those_of_the_backward_pass():
    name = "BertForSequenceClassification"
    model, batch = build(name, attention_probs_dropout_prob=0.0).train(), make_batch(name)
    torch.manual_seed(0)
    Bookkeeping(model, 1e9).accumulate(lambda: losses_of(model, name, batch), B)
    kept = {n: p.summed_grad for n, p in model.named_parameters()}
    torch.manual_seed(0)
    losses_of(model, name, batch).sum().backward()
    for n, parameter in model.named_parameters():
        torch.testing.assert_close(kept[n], parameter.grad, rtol=1e-8, atol=1e-12)


def test_an_empty_batch_runs_nothing_and_sums_to_zero():
    model = build("BertForSequenceClassification")
    losses, norms = Bookkeeping(model, 1.0).accumulate(lambda: pytest.fail("the model was run"), 0)
    assert losses.shape == norms.shape == (0,)
    assert all(not p.summed_grad.any() for p in model.parameters())


def test_an_example_without_a_labelled_token_has_a_gradient_of_zero():
    name = "GPT2LMHeadModel"
    model, batch = build(name), make_batch(name)
    losses, norms = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, batch), B)
    assert losses[3] == norms[3] == 0
    assert (norms[[0, 1, 2, 4]] > 0).all()


def test_a_batch_without_any_labelled_token_sums_to_zero():
    name = "GPT2LMHeadModel"
    model, (ids, mask, labels, factors) = build(name), make_batch(name)
    batch = (ids, mask, torch.full_like(labels, IGNORED), factors)
    for fused in (True, False):
        Bookkeeping(model, 1.0).accumulate(lambda fused=fused: losses_of(model, name, batch, fused), B)
        assert all(not p.summed_grad.any() for p in model.parameters())


def test_no_clipped_gradient_is_longer_than_the_limit():
    name, limit = "GPT2LMHeadModel", 0.01
    model, batch = build(name, dtype=torch.float32), make_batch(name)
    for i in range(B):
        one = tuple(column[i : i + 1] for column in batch)
        Bookkeeping(model, limit).accumulate(lambda one=one: losses_of(model, name, one), 1)
        squared = sum(float(p.summed_grad.double().square().sum()) for p in model.parameters())
        assert squared**0.5 <= limit
        for parameter in model.parameters():
            parameter.summed_grad = None


@pytest.mark.parametrize("name", ["BertForMaskedLM", "T5ForConditionalGeneration"])
def test_the_model_is_as_it_was_outside_the_pass(name):
    model, batch = build(name), make_batch(name)
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    before = losses_of(model, name, batch).detach()
    Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, batch, fused=True), B)
    assert flags == {n: p.requires_grad for n, p in model.named_parameters()}
    assert not any({"forward", "compute_bias"} & set(vars(layer)) for layer in model.modules())
    assert torch.equal(before, losses_of(model, name, batch).detach())


def test_a_forward_that_another_tool_has_set_is_put_back():
    name = "GPT2LMHeadModel"
    model, batch = build(name), make_batch(name)
    wrapped = model.lm_head.forward = lambda x: nn.functional.linear(x, model.lm_head.weight)
    Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, batch, fused=True), B)
    assert model.lm_head.forward is wrapped


def test_the_model_is_as_it_was_after_a_failure():
    model = build("BertForMaskedLM")
    with pytest.raises(ZeroDivisionError):
        Bookkeeping(model, 1.0).accumulate(lambda: 1 / 0, B)
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_autograd_computes_no_weight_gradient_of_its_own():
    name = "BertForSequenceClassification"
    model, batch = build(name), make_batch(name)
    losses, _ = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, batch), B)
    assert losses.shape == (B,)
    assert all(p.grad is None for p in model.parameters())


def test_every_supported_family_has_a_tiny_model():
    assert set(CONFIGS) == set(SUPPORTED)
    assert len(NAMES) == 44


def test_another_architecture_is_refused_by_name():
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    with pytest.raises(ValueError, match=r"private training supports Albert, Bert, .*; got GPTNeoXForCausalLM"):
        check_supported(GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=9, **sizes)))
    with pytest.raises(ValueError, match="got BertForMultipleChoice"):
        check_supported(BertForMultipleChoice(BertConfig(vocab_size=9, **sizes)))


def test_another_trainable_layer_is_refused_by_name():
    model = build("BertForSequenceClassification")
    model.extra = nn.Conv2d(1, 1, 1)
    with pytest.raises(ValueError, match=r"no rule for layer Conv2d; got its trainable parameter extra\.weight"):
        check_supported(model)
    model.extra.requires_grad_(False)
    check_supported(model)


def test_a_parameter_outside_any_layer_is_refused_by_name():
    model = build("BertForMaskedLM", tie_word_embeddings=False)
    with pytest.raises(ValueError, match=r"BertLMPredictionHead; got its trainable parameter cls\.predictions\.bias"):
        check_supported(model)


def test_an_option_that_mixes_examples_is_refused_by_name():
    model = build("BertForSequenceClassification")
    model.bert.embeddings.word_embeddings.scale_grad_by_freq = True
    with pytest.raises(ValueError, match=r"Embedding with scale_grad_by_freq; got it at bert\.embeddings\.word_embedd"):
        check_supported(model)


def test_a_model_with_nothing_to_train_is_refused():
    model = build("BertForSequenceClassification").requires_grad_(False)
    with pytest.raises(ValueError, match="needs a trainable parameter"):
        Bookkeeping(model, 1.0)


def test_a_clipping_norm_of_zero_is_refused():
    with pytest.raises(ValueError, match="max_grad_norm must be positive; got 0"):
        Bookkeeping(build("BertForSequenceClassification"), 0)


def test_a_use_outside_the_known_layers_is_not_overlooked():
    name = "BertForSequenceClassification"
    model, batch = build(name), make_batch(name)

    def losses():
        return losses_of(model, name, batch) + model.classifier.weight.sum()

    with pytest.raises(RuntimeError, match="not per example"):
        Bookkeeping(model, 1.0).accumulate(losses, B)


def test_a_layer_that_sees_other_rows_than_examples_is_not_overlooked():
    model = build("BertForSequenceClassification").requires_grad_(False)
    model.classifier.requires_grad_(True)
    with pytest.raises(RuntimeError, match="a layer saw 10 rows for 5 examples"):
        Bookkeeping(model, 1.0).accumulate(lambda: model.classifier(torch.ones(10, 16).double()).view(5, -1).sum(1), 5)


def test_a_mean_over_the_batch_is_refused():
    name = "BertForSequenceClassification"
    model, batch = build(name), make_batch(name)
    with pytest.raises(RuntimeError, match=r"one loss per example, shape \(5,\)"):
        Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, batch).mean(), B)


def test_a_gradient_that_is_not_finite_stops_the_training():
    name = "BertForSequenceClassification"
    model, batch = build(name), make_batch(name)
    model.classifier.weight.data[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="not finite"):
        Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, batch), B)
