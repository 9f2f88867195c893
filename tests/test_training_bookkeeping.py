"""Per-example clipping with one backward pass, against a loop over single examples in float64."""

import copy

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from audit.training import per_example
from audit.training.bookkeeping import SUPPORTED, Bookkeeping, check_supported
from audit.training.losses import IGNORED, causal_losses, classification_losses, masked_losses
from audit.training.spec import Frozen, HeadOnly, Lora
from audit.training.strategies import applied

torch.set_num_threads(1)  # tiny models are slower on several

VOCABULARY, B, T, CLASSES = 29, 5, 7, 3
BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "num_labels": CLASSES,
}
DISTILBERT = {
    "vocab_size": VOCABULARY,
    "dim": 16,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 24,
    "max_position_embeddings": 16,
    "num_labels": CLASSES,
}
GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 16,
    "num_labels": CLASSES,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
MODELS = {
    "BertForMaskedLM": (BertForMaskedLM, BertConfig, BERT),
    "BertForSequenceClassification": (BertForSequenceClassification, BertConfig, BERT),
    "DistilBertForMaskedLM": (DistilBertForMaskedLM, DistilBertConfig, DISTILBERT),
    "DistilBertForSequenceClassification": (DistilBertForSequenceClassification, DistilBertConfig, DISTILBERT),
    "GPT2ForSequenceClassification": (GPT2ForSequenceClassification, GPT2Config, GPT2),
    "GPT2LMHeadModel": (GPT2LMHeadModel, GPT2Config, GPT2),
}


def build(name, attention="sdpa", **more):
    kind, config, values = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = kind(config(**{**values, **more}, attn_implementation=attention)).double().eval()
        for parameter in model.parameters():  # biases and normalization away from 0 and 1, and every gradient visible
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def make_batch(name, padding="right", seed=0):
    """Ids with repeated tokens, mask and labels; lengths differ, and one language-model example has no label."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [7, 4, 6, 2, 5]
    ids = torch.zeros(B, T, dtype=torch.long)
    mask = torch.zeros(B, T, dtype=torch.long)
    for row, length in enumerate(lengths):
        place = slice(0, length) if padding == "right" else slice(T - length, T)
        ids[row, place] = torch.randint(2, 9, (length,), generator=generator)  # few words, so that many repeat
        mask[row, place] = 1
    if name.endswith("SequenceClassification"):
        labels = torch.randint(0, CLASSES, (B,), generator=generator)
    else:
        labels = torch.where(mask.bool(), ids, IGNORED)
        if "Masked" in name:
            labels = torch.where(torch.rand(B, T, generator=generator) < 0.5, labels, IGNORED)
        labels[3] = IGNORED
    return ids, mask, labels


def losses_of(model, name, ids, mask, labels):
    options = {"use_cache": False} if name.startswith("GPT2") else {}
    logits = model(input_ids=ids, attention_mask=mask, **options).logits
    if name.endswith("SequenceClassification"):
        return classification_losses(logits, labels)
    return masked_losses(logits, labels) if "Masked" in name else causal_losses(logits, labels)


def one_at_a_time(model, name, batch, max_grad_norm):
    """The slow oracle: each example's gradient by ordinary autograd, clipped, and added up."""
    model = copy.deepcopy(model)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    sums = {n: torch.zeros_like(p) for n, p in parameters.items()}
    norms = []
    for i in range(len(batch[0])):
        model.zero_grad(set_to_none=True)
        losses_of(model, name, *(column[i : i + 1] for column in batch)).sum().backward()
        gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()}
        norm = torch.sqrt(sum(g.square().sum() for g in gradients.values()))
        norms.append(norm)
        for n, gradient in gradients.items():
            sums[n] += gradient * min(1.0, max_grad_norm / (float(norm) + 1e-6))
    return torch.stack(norms), sums


def assert_exact(model, name, batch, max_grad_norm=0.7, splits=(B,)):
    expected_norms, expected = one_at_a_time(model, name, batch, max_grad_norm)
    books = Bookkeeping(model, max_grad_norm)
    norms = [
        books.accumulate(lambda part=part: losses_of(model, name, *part), len(part[0]))[1]
        for part in zip(*(column.split(splits) for column in batch), strict=True)
    ]
    torch.testing.assert_close(torch.cat(norms), expected_norms, rtol=1e-8, atol=1e-12)
    for n, parameter in model.named_parameters():
        if parameter.requires_grad:
            # The absolute tolerance is for sums that are zero in exact arithmetic, such as that of a key's bias.
            torch.testing.assert_close(parameter.summed_grad, expected[n], rtol=1e-8, atol=1e-12, msg=n)
        assert parameter.grad is None


def prefer(monkeypatch, way):
    cost = {"ghost norms": 1e9, "per-example gradients": 0.0}[way]
    monkeypatch.setattr(per_example, "_COST_CACHED", cost)
    monkeypatch.setattr(per_example, "_COST_LARGE", cost)


@pytest.mark.parametrize("way", ["ghost norms", "per-example gradients"])
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_norms_and_clipped_sums_are_those_of_single_examples(name, attention, padding, way, monkeypatch):
    prefer(monkeypatch, way)
    assert_exact(build(name, attention), name, make_batch(name, padding))


@pytest.mark.parametrize("name", MODELS)
def test_untied_embeddings_are_exact_too(name):
    model = build(name, tie_word_embeddings=False)
    if name == "BertForMaskedLM":  # left over by untying: it is no layer's, and unused
        model.cls.predictions.bias.requires_grad_(False)
    assert_exact(model, name, make_batch(name))


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "GPT2LMHeadModel"])
def test_micro_batches_add_up_to_the_whole_batch(name):
    assert_exact(build(name), name, make_batch(name), splits=(2, 1, 2))


PARTS = [
    (name, strategy)
    for name in MODELS
    for strategy in (Lora(r=2), HeadOnly(), Frozen(layers=1))
    if (name, strategy) != ("GPT2LMHeadModel", HeadOnly())  # its head is its embeddings
]


@pytest.mark.parametrize(("name", "strategy"), PARTS, ids=lambda value: str(value))
def test_training_a_part_is_exact(name, strategy):
    model = build(name)
    with applied(model, strategy):
        for n, parameter in model.named_parameters():
            if "lora_B" in n:  # they start at zero, which would leave lora_A without a gradient
                parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double()
        for layer in model.modules():  # adapters are made in single precision
            layer.double()
        assert_exact(model, name, make_batch(name))


def test_layers_that_share_their_weights_are_one_gradient():
    model = build("BertForSequenceClassification")
    model.bert.encoder.layer[1] = model.bert.encoder.layer[0]
    assert_exact(model, "BertForSequenceClassification", make_batch("BertForSequenceClassification"))


def test_feed_forward_in_chunks_is_one_gradient():
    model = build("BertForSequenceClassification", chunk_size_feed_forward=1)
    assert_exact(model, "BertForSequenceClassification", make_batch("BertForSequenceClassification"))


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_is_exact(reentrant):
    name = "GPT2LMHeadModel"
    model = build(name, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    assert_exact(model.train(), name, make_batch(name))


def test_dropout_masks_of_the_forward_pass_are_those_of_the_backward_pass():
    name = "BertForSequenceClassification"
    model, batch = build(name, attention_probs_dropout_prob=0.0).train(), make_batch(name)
    torch.manual_seed(0)
    Bookkeeping(model, 1e9).accumulate(lambda: losses_of(model, name, *batch), B)
    kept = {n: p.summed_grad for n, p in model.named_parameters()}
    torch.manual_seed(0)
    losses_of(model, name, *batch).sum().backward()
    for n, parameter in model.named_parameters():
        torch.testing.assert_close(kept[n], parameter.grad, rtol=1e-8, atol=1e-12)


def test_single_precision_agrees_to_a_few_parts_in_a_million():
    name = "GPT2LMHeadModel"
    model, batch = build(name), make_batch(name)
    expected, _ = one_at_a_time(model, name, batch, 1.0)
    _, norms = Bookkeeping(model.float(), 1.0).accumulate(lambda: losses_of(model, name, *batch), B)
    torch.testing.assert_close(norms.double(), expected, rtol=2e-6, atol=1e-6)


def test_an_empty_batch_runs_nothing_and_sums_to_zero():
    model = build("BertForSequenceClassification")
    losses, norms = Bookkeeping(model, 1.0).accumulate(lambda: pytest.fail("the model was run"), 0)
    assert losses.shape == norms.shape == (0,)
    assert all(not p.summed_grad.any() for p in model.parameters())


def test_an_example_without_a_labelled_token_has_a_gradient_of_zero():
    name = "GPT2LMHeadModel"
    model, batch = build(name), make_batch(name)
    losses, norms = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, *batch), B)
    assert losses[3] == norms[3] == 0
    assert (norms[[0, 1, 2, 4]] > 0).all()


def test_a_batch_without_any_labelled_token_sums_to_zero():
    name = "GPT2LMHeadModel"
    model, (ids, mask, labels) = build(name), make_batch(name)
    batch = (ids, mask, torch.full_like(labels, IGNORED))
    Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, *batch), B)
    assert all(not p.summed_grad.any() for p in model.parameters())


def test_no_clipped_gradient_is_longer_than_the_limit():
    name, limit = "GPT2LMHeadModel", 0.01
    model, batch = build(name).float(), make_batch(name)
    for i in range(B):
        one = [column[i : i + 1] for column in batch]
        Bookkeeping(model, limit).accumulate(lambda one=one: losses_of(model, name, *one), 1)
        squared = sum(float(p.summed_grad.double().square().sum()) for p in model.parameters())
        assert squared**0.5 <= limit
        for parameter in model.parameters():
            parameter.summed_grad = None


def test_the_model_is_as_it_was_outside_the_pass():
    name = "BertForMaskedLM"
    model, batch = build(name), make_batch(name)
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    before = losses_of(model, name, *batch).detach()
    Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, *batch), B)
    assert flags == {n: p.requires_grad for n, p in model.named_parameters()}
    assert not any("forward" in vars(layer) for layer in model.modules())
    assert torch.equal(before, losses_of(model, name, *batch).detach())


def test_the_model_is_as_it_was_after_a_failure():
    model = build("BertForMaskedLM")
    with pytest.raises(ZeroDivisionError):
        Bookkeeping(model, 1.0).accumulate(lambda: 1 / 0, B)
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_autograd_computes_no_weight_gradient_of_its_own():
    name = "BertForSequenceClassification"
    model, batch = build(name), make_batch(name)
    losses, _ = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, *batch), B)
    assert losses.shape == (B,)
    assert all(p.grad is None for p in model.parameters())


def test_every_supported_architecture_is_tested_here():
    assert set(MODELS) == set(SUPPORTED)


@pytest.mark.parametrize("name", MODELS)
def test_supported_models_pass_the_check(name):
    check_supported(build(name))


def test_another_architecture_is_refused_by_name():
    config = LlamaConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    with pytest.raises(ValueError, match=r"private training supports BertForMaskedLM, .*; got LlamaForCausalLM"):
        check_supported(LlamaForCausalLM(config))
    with pytest.raises(ValueError, match="got BertForTokenClassification"):
        check_supported(BertForTokenClassification(BertConfig(**BERT)))


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
        return losses_of(model, name, *batch) + model.classifier.weight.sum()

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
        Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, *batch).mean(), B)


def test_a_gradient_that_is_not_finite_stops_the_training():
    name = "BertForSequenceClassification"
    model, batch = build(name), make_batch(name)
    model.classifier.weight.data[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="not finite"):
        Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, *batch), B)
