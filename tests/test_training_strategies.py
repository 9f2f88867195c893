"""Which parameters a strategy trains, and what is left of it afterwards."""

import pytest
import torch
from single_examples import NAMES, build, family_and_task

from audit.training.setup import make_optimizer
from audit.training.spec import BitFit, Frozen, Full, HeadOnly, LayerDecay, Lora, TrainingSpec
from audit.training.strategies import ANATOMIES, applied, rates


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


EVERY = [Full(), HeadOnly(), Frozen(layers=1), Lora(), LayerDecay(factor=0.5), BitFit()]


@pytest.mark.parametrize("strategy", EVERY, ids=lambda s: type(s).__name__)
def test_flags_are_as_before_afterwards_and_after_a_failure(tiny_bert_classifier, strategy):
    model, _ = tiny_bert_classifier
    model.bert.pooler.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    with pytest.raises(KeyboardInterrupt), applied(model, strategy):
        raise KeyboardInterrupt
    assert before == {name: p.requires_grad for name, p in model.named_parameters()}


def test_an_unknown_architecture_can_be_trained_in_full_only(tiny_llama):
    model, _ = tiny_llama
    model.config.model_type = "unheard-of"
    assert trained(model, Full())
    for strategy in (HeadOnly(), Frozen(layers=1), Lora(), BitFit(), LayerDecay(factor=0.5)):
        with pytest.raises(ValueError, match=r"know albert, bert, .*; got unheard-of; use strategy full"):
            trained(model, strategy)


KNOWN = [name for name in NAMES if family_and_task(name)[0] != "T5"]


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_architecture_has_a_head_layers_and_adapters(name):
    model = build(name)
    language = name.endswith(("LM", "LMHeadModel"))
    if not language:
        head = trained(model, HeadOnly())
        assert head
        assert len(head) <= 4
    upper = trained(model, Frozen(layers=len(model.base_model.get_submodule(layers_of(model)))))
    assert not upper & {n for n, _ in model.named_parameters() if "embed" in n or "wte" in n}
    adapters = {n for n in trained(model, Lora(r=2)) if ".lora_" in n}
    assert len(adapters) == (4 if name.startswith(("Albert", "GPT2")) else 8)  # one shared layer; one projection


def layers_of(model):
    return ANATOMIES[model.config.model_type].layers


def test_bitfit_trains_the_biases_and_a_new_head(tiny_bert_classifier, tiny_gpt2):
    names = trained(tiny_bert_classifier[0], BitFit())
    weights = {name for name in names if not name.endswith("bias")}
    assert weights == {"bert.pooler.dense.weight", "classifier.weight"}
    assert {n for n, _ in tiny_bert_classifier[0].named_parameters() if n.endswith("bias")} < names
    assert all(name.endswith("bias") for name in trained(tiny_gpt2[0], BitFit()))


def test_bitfit_needs_biases(tiny_llama):
    with pytest.raises(
        ValueError, match="BitFit trains biases, and LlamaForCausalLM has none; choose another strategy"
    ):
        trained(tiny_llama[0], BitFit())


def test_layer_decay_trains_everything_the_lower_the_slower(tiny_bert_classifier):
    model, _ = tiny_bert_classifier
    assert trained(model, LayerDecay(factor=0.5)) == trained(model, Full())
    found = rates(model, LayerDecay(factor=0.5))
    by_name = {name: found[id(p)] for name, p in model.named_parameters()}
    for name, rate in by_name.items():
        if "embeddings" in name:
            assert rate == 0.125, name
        elif ".layer.0." in name:
            assert rate == 0.25, name
        elif ".layer.1." in name:
            assert rate == 0.5, name
        else:
            assert rate == 1.0, name


def test_a_tied_head_is_as_slow_as_the_embeddings_and_a_last_normalization_is_not(tiny_gpt2):
    model, _ = tiny_gpt2
    found = rates(model, LayerDecay(factor=0.5))
    assert found[id(model.lm_head.weight)] == found[id(model.transformer.wpe.weight)] == 0.125
    assert found[id(model.transformer.ln_f.weight)] == 1.0


def test_layers_that_share_their_weights_are_one_layer():
    model = build("AlbertForSequenceClassification")
    assert set(rates(model, LayerDecay(factor=0.5)).values()) == {1.0, 0.5, 0.25}


def test_the_other_strategies_have_one_rate(tiny_bert_classifier):
    for strategy in (Full(), HeadOnly(), Frozen(layers=1), Lora(), BitFit()):
        assert rates(tiny_bert_classifier[0], strategy) == {}


def test_a_new_head_learns_at_a_rate_of_its_own(tiny_bert_classifier):
    model, _ = tiny_bert_classifier
    spec = TrainingSpec(
        task="text-classification", head="classifier", max_length=8, learning_rate=1e-3, head_learning_rate=1e-2
    )
    names = {id(p): name for name, p in model.named_parameters()}
    shares = {names[id(p)]: g["rate"] for g in make_optimizer(model, spec).param_groups for p in g["params"]}
    assert set(shares) == set(names.values())
    for name, share in shares.items():
        assert share == pytest.approx(10.0 if name.startswith(("classifier", "bert.pooler")) else 1.0), name


def test_a_language_models_head_is_old_and_has_no_rate_of_its_own():
    with pytest.raises(ValueError, match=r"head_learning_rate is for a classification head; got 0\.01"):
        TrainingSpec(task="causal-lm", head="causal", max_length=8, head_learning_rate=1e-2)


@pytest.mark.parametrize("factor", [0.0, 1.1, -1.0])
def test_a_decay_that_is_none_is_refused(factor):
    with pytest.raises(ValueError, match=r"factor must lie in \(0, 1\]; got"):
        LayerDecay(factor=factor)
