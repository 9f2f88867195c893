"""Which parameters a strategy trains, and what is left of it afterwards."""

import pytest
import torch

from audit.training.spec import Frozen, Full, HeadOnly, Lora
from audit.training.strategies import applied


@pytest.fixture
def tiny_distilbert_classifier(tiny_bert_classifier):
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    _, tokenizer = tiny_bert_classifier
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    return DistilBertForSequenceClassification(config).eval(), tokenizer


def trained(model, strategy):
    with applied(model, strategy):
        return {name for name, p in model.named_parameters() if p.requires_grad}


def test_full_trains_everything(tiny_bert_masked):
    model, _ = tiny_bert_masked
    assert trained(model, Full()) == {name for name, _ in model.named_parameters()}


def test_the_head_of_a_bert_is_its_pooler_and_classifier(tiny_bert_classifier):
    names = {f"{part}.{kind}" for part in ("bert.pooler.dense", "classifier") for kind in ("weight", "bias")}
    assert trained(tiny_bert_classifier[0], HeadOnly()) == names


def test_the_head_of_a_distilbert_is_both_its_upper_layers(tiny_distilbert_classifier):
    names = {f"{part}.{kind}" for part in ("pre_classifier", "classifier") for kind in ("weight", "bias")}
    assert trained(tiny_distilbert_classifier[0], HeadOnly()) == names


def test_the_head_of_a_gpt2_classifier_is_its_score(tiny_gpt2_classifier):
    assert trained(tiny_gpt2_classifier[0], HeadOnly()) == {"score.weight"}


def test_a_masked_head_leaves_the_tied_embeddings_alone(tiny_bert_masked):
    names = trained(tiny_bert_masked[0], HeadOnly())
    assert names
    assert all(name.startswith("cls.predictions.") for name in names)
    assert "bert.embeddings.word_embeddings.weight" not in names


def test_a_head_that_is_the_embeddings_cannot_be_trained_alone(tiny_gpt2):
    with pytest.raises(ValueError, match="HeadOnly leaves nothing to train in GPT2LMHeadModel"):
        trained(tiny_gpt2[0], HeadOnly())


@pytest.mark.parametrize("fixture", ["tiny_bert_classifier", "tiny_gpt2_classifier", "tiny_distilbert_classifier"])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_frozen_leaves_embeddings_and_the_lowest_layers(fixture, layers, request):
    model, _ = request.getfixturevalue(fixture)
    names = trained(model, Frozen(layers=layers))
    for name, _ in model.named_parameters():
        is_embedding = any(part in name for part in ("embeddings", "wte", "wpe"))
        is_frozen_layer = any(f"{stack}.{i}." in name for stack in ("layer", ".h") for i in range(layers))
        assert (name not in names) == (is_embedding or is_frozen_layer), name


def test_more_layers_than_there_are_cannot_be_frozen(tiny_gpt2):
    with pytest.raises(ValueError, match="cannot freeze 3 layers; the model has 2"):
        trained(tiny_gpt2[0], Frozen(layers=3))


@pytest.mark.parametrize(
    ("fixture", "where", "head"),
    [
        ("tiny_bert_classifier", ("query", "value"), 4),
        ("tiny_distilbert_classifier", ("q_lin", "v_lin"), 4),
        ("tiny_gpt2_classifier", ("c_attn",), 1),
        ("tiny_gpt2", ("c_attn",), 0),
        ("tiny_bert_masked", ("query", "value"), 0),
    ],
)
def test_adapters_are_put_on_attention_and_new_heads_are_trained(fixture, where, head, request):
    model, _ = request.getfixturevalue(fixture)
    names = trained(model, Lora(r=2))
    adapters = {name for name in names if ".lora_" in name}
    assert len(adapters) == 2 * 2 * len(where)  # two layers, A and B
    assert all(any(f".{layer}.lora_" in name for layer in where) for name in adapters)
    assert len(names - adapters) == head


def test_adapters_go_where_they_are_told(tiny_gpt2):
    names = trained(tiny_gpt2[0], Lora(r=2, target_modules=("c_fc",)))
    assert all("mlp.c_fc.lora_" in name for name in names)
    assert len(names) == 4


@pytest.mark.parametrize("fixture", ["tiny_bert_classifier", "tiny_gpt2"])
def test_adapters_end_up_in_the_weights_of_the_same_architecture(fixture, request):
    model, tokenizer = request.getfixturevalue(fixture)
    names = {name: p.requires_grad for name, p in model.named_parameters()}
    layers = {name: type(layer) for name, layer in model.named_modules()}
    inputs = tokenizer(["the good movie"], return_tensors="pt")
    with applied(model, Lora(r=2)):
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.data.fill_(0.1)
        adapted = model(**inputs).logits.detach()
    torch.testing.assert_close(model(**inputs).logits, adapted, atol=1e-5, rtol=1e-5)
    assert names == {name: p.requires_grad for name, p in model.named_parameters()}
    assert layers == {name: type(layer) for name, layer in model.named_modules()}
    assert not hasattr(model, "peft_config")


@pytest.mark.parametrize("strategy", [Full(), HeadOnly(), Frozen(layers=1), Lora()], ids=lambda s: type(s).__name__)
def test_flags_are_as_before_afterwards_and_after_a_failure(tiny_bert_classifier, strategy):
    model, _ = tiny_bert_classifier
    model.bert.pooler.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    with pytest.raises(KeyboardInterrupt), applied(model, strategy):
        raise KeyboardInterrupt
    assert before == {name: p.requires_grad for name, p in model.named_parameters()}


def test_an_unknown_architecture_can_be_trained_in_full_only(tiny_llama):
    model, _ = tiny_llama
    assert trained(model, Full())
    for strategy in (HeadOnly(), Frozen(layers=1), Lora()):
        with pytest.raises(ValueError, match="know bert, distilbert, gpt2; got llama; use strategy full"):
            trained(model, strategy)
