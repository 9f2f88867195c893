"""Every supported architecture, in double precision, against a loop over single examples."""

import pytest
import torch
from single_examples import (
    LANGUAGE,
    LENGTHS,
    NAMES,
    B,
    DoubleThroughout,
    alone,
    assert_exact,
    build,
    family_and_task,
    flat_sum,
    losses_of,
    make_batch,
    one_at_a_time,
)

from audit.training import grams, per_example
from audit.training.bookkeeping import Bookkeeping, check_supported
from audit.training.heads import output_head
from audit.training.spec import BitFit, Frozen, HeadOnly, LayerDecay, Lora
from audit.training.strategies import applied

torch.set_num_threads(1)  # tiny models are slower on several

LANGUAGE_MODELS = [name for name in NAMES if name.endswith(LANGUAGE)]
UNUSED = {"AlbertForMaskedLM": "predictions", "BertForMaskedLM": "cls.predictions"}
"""What holds a bias that is left over, unused and no layer's, where input and output embeddings are not tied."""


@pytest.fixture(autouse=True)
def double_throughout():
    with DoubleThroughout():
        yield


def prefer(monkeypatch, way):
    """Norms by Gram matrices, in thin bands and of ragged heads; or by the gradients of single examples."""
    cost = {"ghost norms": 1e9, "per-example gradients": 0.0}[way]
    monkeypatch.setattr(per_example, "_COST_CACHED", cost)
    monkeypatch.setattr(per_example, "_COST_LARGE", cost)
    if way == "ghost norms":
        monkeypatch.setattr(per_example, "_CACHED", 0)
        monkeypatch.setattr(grams, "_SMALLEST_BAND", 2)
        monkeypatch.setattr(grams, "_LARGEST_BAND", 3)


def untied(name):
    model = build(name, tie_word_embeddings=False)
    owner = "lm_head" if name.startswith(("Roberta", "XLMRoberta")) else UNUSED.get(name)
    if owner is not None and name.endswith("MaskedLM"):
        model.get_submodule(owner).bias.requires_grad_(False)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_norms_and_clipped_sum_are_those_of_single_examples(name, monkeypatch):
    prefer(monkeypatch, "ghost norms")
    assert_exact(build(name), name, make_batch(name))


@pytest.mark.parametrize("name", NAMES)
def test_they_are_with_padding_on_the_left_and_in_micro_batches(name, monkeypatch):
    prefer(monkeypatch, "per-example gradients")
    batch = make_batch(name, "left")
    assert_exact(build(name, "eager"), name, batch, padding="left", splits=(2, 1, 2))


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
@pytest.mark.parametrize("way", ["ghost norms", "per-example gradients"])
def test_tied_and_untied_embeddings_are_exact(name, way, monkeypatch):
    prefer(monkeypatch, way)
    tied = build(name, tie_word_embeddings=True)
    assert tied.get_output_embeddings().weight is tied.get_input_embeddings().weight
    assert_exact(tied, name, make_batch(name))
    assert untied(name).get_output_embeddings().weight is not untied(name).get_input_embeddings().weight
    assert_exact(untied(name), name, make_batch(name))


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_the_head_of_every_language_model_scores_labelled_positions_only(name):
    model, batch = build(name), make_batch(name)
    inputs = {"input_ids": batch[0], "attention_mask": batch[1]}
    if name.startswith("T5"):
        inputs["decoder_input_ids"] = batch[0]
    assert output_head(model, inputs) is model.get_output_embeddings()
    torch.testing.assert_close(
        losses_of(model, name, batch, fused=True), losses_of(model, name, batch), rtol=1e-12, atol=1e-12
    )
    assert_exact(model, name, batch, fused=False)


@pytest.mark.parametrize("name", NAMES)
def test_adapters_are_exact(name):
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    model = build(name)
    if name.startswith("T5"):  # whose tasks come with a strategy of their own
        LoraModel(model, {"default": LoraConfig(r=2, target_modules=["q", "v"])}, "default").double()
        for n, parameter in model.named_parameters():
            parameter.requires_grad_(".lora_" in n)
        adapted(model, name)
        return
    with applied(model, Lora(r=2)):
        adapted(model.double(), name)


def adapted(model, name):
    for n, parameter in model.named_parameters():
        if "lora_B" in n:  # they start at zero, which would leave lora_A without a gradient
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double()
    assert_exact(model, name, make_batch(name))


FAMILIES = {family_and_task(name)[0]: name for name in NAMES if name.endswith("SequenceClassification")}


PARTS = [
    (name, strategy)
    for family, name in FAMILIES.items()
    for strategy in (HeadOnly(), Frozen(layers=1), BitFit(), LayerDecay(factor=0.5))
    # T5's tasks come with strategies of their own; the others have no biases.
    if family != "T5" and not (strategy == BitFit() and family in ("Mistral", "Qwen3"))
]


@pytest.mark.parametrize(("name", "strategy"), PARTS, ids=str)
def test_training_a_part_is_exact(name, strategy):
    model = build(name)
    with applied(model, strategy):
        assert_exact(model, name, make_batch(name))


@pytest.mark.parametrize("name", NAMES)
def test_persons_of_several_examples_are_clipped_as_one(name, monkeypatch):
    prefer(monkeypatch, "ghost norms")
    model, batch = build(name), make_batch(name)
    _, found = one_at_a_time(model, name, batch)
    persons = [found[:3], found[3:]]
    summed = [{n: sum(each[n] for each in of) for n in of[0]} for of in persons]
    norms = torch.stack([torch.sqrt(sum(g.square().sum() for g in each.values())) for each in summed])
    limit = 0.9 * float(norms.min())
    _, ours = Bookkeeping(model, limit).accumulate(lambda: losses_of(model, name, batch, fused=True), B, [3, 2])
    torch.testing.assert_close(ours, norms, rtol=1e-8, atol=1e-12)
    expected = flat_sum(norms, summed, limit)
    scale = torch.sqrt(sum(g.square().sum() for g in expected.values()))
    for n, parameter in model.named_parameters():
        assert (parameter.summed_grad - expected[n]).norm() <= 1e-8 * expected[n].norm() + 1e-11 * scale, n


@pytest.mark.parametrize("name", NAMES)
def test_padding_contributes_nothing(name):
    model, batch = build(name), make_batch(name)
    _, together = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, batch), B)
    for row in range(len(LENGTHS)):
        one = alone(batch, row, "right")
        _, norm = Bookkeeping(model, 1.0).accumulate(lambda one=one: losses_of(model, name, one), 1)
        torch.testing.assert_close(norm[0], together[row], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_supported_models_pass_the_check(name):
    check_supported(build(name))
