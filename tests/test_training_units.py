"""Persons with several examples: clipped as one, drawn as one, bounded by a stated rule."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
)

from audit.training.bookkeeping import Bookkeeping
from audit.training.collate import Collator, encode_examples
from audit.training.draws import Contributions, DrawLog
from audit.training.exactness import clipping_error
from audit.training.grouping import Grouping
from audit.training.loop import _parts
from audit.training.losses import IGNORED, causal_losses, classification_losses, masked_losses
from audit.training.privacy import privatize
from audit.training.setup import standard_setup
from audit.training.spec import Examples, Lora, PrivacySpec, TrainingSpec
from audit.training.strategies import applied
from audit.training.train import train

torch.set_num_threads(1)

VOCABULARY, T, CLASSES = 29, 6, 3
PERSONS = (1, 20, 3, 1, 7, 2)
SIZES = {"vocab_size": VOCABULARY, "num_labels": CLASSES}
BERT = BertConfig(
    **SIZES, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=16,
)  # fmt: skip
DISTILBERT = DistilBertConfig(**SIZES, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=16)
GPT2 = GPT2Config(
    **SIZES, n_embd=16, n_layer=2, n_head=2, n_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=1
)
MODELS = {
    "BERT classifier": (BertForSequenceClassification, BERT),
    "BERT masked, tied": (BertForMaskedLM, BERT),
    "DistilBERT classifier": (DistilBertForSequenceClassification, DISTILBERT),
    "GPT-2, tied": (GPT2LMHeadModel, GPT2),
}


def build(name):
    kind, config = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = kind(config).double().eval()
        for parameter in model.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def make_rows(name, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, T + 1, (rows,), generator=generator)
    mask = (torch.arange(T) < lengths[:, None]).long()
    ids = torch.randint(2, 9, (rows, T), generator=generator) * mask
    labels = torch.randint(0, CLASSES, (rows,), generator=generator)
    if "classifier" not in name:
        labels = torch.where(mask.bool(), ids, IGNORED)
    return ids, mask, labels


def losses_of(model, name, ids, mask, labels):
    options = {"use_cache": False} if name.startswith("GPT") else {}
    logits = model(input_ids=ids, attention_mask=mask, **options).logits
    if "classifier" in name:
        return classification_losses(logits, labels)
    return masked_losses(logits, labels) if "masked" in name else causal_losses(logits, labels)


def one_person_at_a_time(model, name, batch, persons, limit):
    """The slow oracle: each person's gradient, the sum over their examples, by ordinary autograd; clipped, added up."""
    model = copy.deepcopy(model)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    sums, norms = {n: torch.zeros_like(p) for n, p in parameters.items()}, []
    for part in zip(*(column.split(persons) for column in batch), strict=True):
        model.zero_grad(set_to_none=True)
        for i in range(len(part[0])):
            losses_of(model, name, *(column[i : i + 1] for column in part)).sum().backward()
        gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()}
        norms.append(torch.sqrt(sum(g.square().sum() for g in gradients.values())))
        for n, gradient in gradients.items():
            sums[n] += gradient * min(1.0, limit / (float(norms[-1]) + 1e-6))
    return torch.stack(norms), sums


def assert_exact(model, name, persons=PERSONS, limit=2.0):
    batch = make_rows(name, sum(persons))
    expected_norms, expected = one_person_at_a_time(model, name, batch, persons, limit)
    books = Bookkeeping(model, limit)
    _, norms = books.accumulate(lambda: losses_of(model, name, *batch), sum(persons), persons)
    torch.testing.assert_close(norms, expected_norms, rtol=1e-8, atol=1e-12)
    for n, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.summed_grad, expected[n], rtol=1e-8, atol=1e-12, msg=n)


@pytest.mark.parametrize("name", MODELS)
def test_norms_and_clipped_sums_are_those_of_a_loop_over_persons(name):
    assert_exact(build(name), name)


@pytest.mark.parametrize("persons", [(2, 2, 2), (20,), (1, 1, 1), (1, 2)])
@pytest.mark.parametrize("name", ["BERT classifier", "GPT-2, tied"])
def test_persons_of_one_size_one_person_and_persons_of_one_example_are_exact(name, persons):
    assert_exact(build(name), name, persons)


@pytest.mark.parametrize("name", ["BERT classifier", "GPT-2, tied"])
def test_persons_are_exact_with_adapters(name):
    model = build(name)
    with applied(model, Lora(r=2)):
        for n, parameter in model.named_parameters():
            if "lora_B" in n:  # they start at zero, which would leave lora_A without a gradient
                parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double()
        for layer in model.modules():
            layer.double()
        assert_exact(model, name)


def test_single_precision_agrees_to_a_few_parts_in_a_hundred_thousand():
    name = "BERT classifier"
    model, batch = build(name), make_rows("BERT classifier", sum(PERSONS))
    expected, _ = one_person_at_a_time(model, name, batch, PERSONS, 1.0)
    model.float()
    _, norms = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, *batch), sum(PERSONS), PERSONS)
    torch.testing.assert_close(norms.double(), expected, rtol=2e-5, atol=1e-6)


def test_a_person_without_a_labelled_token_has_a_gradient_of_zero():
    name = "GPT-2, tied"
    model, (ids, mask, labels) = build(name), make_rows("GPT-2, tied", 5)
    labels[2:4] = IGNORED
    _, norms = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, ids, mask, labels), 5, (2, 2, 1))
    assert norms[1] == 0
    assert (norms[[0, 2]] > 0).all()


def test_whoever_is_left_out_changes_the_sum_by_at_most_the_clipping_norm():
    name, limit = "BERT classifier", 0.5
    model, batch = build(name), make_rows("BERT classifier", sum(PERSONS))

    def clipped(persons, rows):
        for parameter in model.parameters():
            parameter.summed_grad = None
        part = [column[rows] for column in batch]
        Bookkeeping(model, limit).accumulate(lambda: losses_of(model, name, *part), len(rows), persons)
        return torch.cat([p.summed_grad.flatten() for p in model.parameters()])

    owner = np.repeat(np.arange(len(PERSONS)), PERSONS)
    whole = clipped(PERSONS, np.arange(len(owner)))
    for left_out in range(len(PERSONS)):
        others = [size for person, size in enumerate(PERSONS) if person != left_out]
        assert torch.linalg.vector_norm(whole - clipped(others, np.flatnonzero(owner != left_out))) <= limit + 1e-9


def test_rows_that_are_units_of_their_own_are_not_grouped():
    assert Grouping.of((1, 1, 1), torch.device("cpu")) is None


def test_what_a_unit_lacks_of_the_widest_is_filled_with_zeros():
    joined = Grouping.of((2, 1), torch.device("cpu")).joined(torch.arange(1.0, 7.0).reshape(3, 2, 1))
    assert joined.squeeze(-1).tolist() == [[1, 2, 3, 4], [5, 6, 0, 0]]


# ---- which examples a unit gives -----------------------------------------------------------------------------------


def test_units_are_numbered_as_they_first_appear_and_keep_their_examples():
    given = Contributions(["b", "a", "b", "c"], 4, limit=5, seed=0)
    assert [list(given(unit, 0)) for unit in range(len(given))] == [[0, 2], [1], [3]]
    assert given.largest == 2


def test_without_units_each_example_is_one():
    given = Contributions(None, 3, limit=1, seed=0)
    assert [list(given(unit, 7)) for unit in range(3)] == [[0], [1], [2]]


def test_of_too_many_examples_as_many_as_the_limit_are_drawn_anew_in_each_step():
    given = Contributions(["a"] * 12, 12, limit=4, seed=0)
    drawn = [tuple(given(0, step)) for step in range(100)]
    assert all(len(set(examples)) == 4 for examples in drawn)
    assert len(set(drawn)) > 50
    counts = np.bincount(np.concatenate(drawn), minlength=12)
    assert counts.min() > 15  # 33 are expected of each, with a standard deviation of 4.7
    assert given(0, 3) == given(0, 3)


def test_what_a_unit_gives_does_not_depend_on_who_else_is_there():
    alone = Contributions(["a"] * 9, 9, limit=2, seed=4)
    later = Contributions(["z", "y"] + ["a"] * 9, 11, limit=2, seed=4)
    for step in range(20):
        assert [i + 2 for i in alone(0, step)] == later(2, step)


def test_draws_are_logged_as_counts_that_name_nobody():
    log = DrawLog(4)
    for units in ([0, 1], [1], [], [1, 3]):
        log.drew(units)
    (stretch,) = log.stretches
    assert (stretch.steps, stretch.counts) == (4, ((0, 1), (1, 2), (3, 1)))


def test_a_log_that_is_continued_begins_a_new_stretch():
    log, later = DrawLog(3), DrawLog(3)
    log.drew([0])
    later.restore(log.state())
    later.drew([1, 2])
    assert [(s.steps, s.counts) for s in later.stretches] == [(1, ((0, 2), (1, 1))), (1, ((0, 1), (1, 2)))]


# ---- whole trainings -----------------------------------------------------------------------------------------------

TEXTS = ["the good nice movie was great", "a terrible bad sad film was poor today", "he liked it", "she hated it so"]
OWNERS = [f"p{i % 7}" if i % 3 else f"q{i}" for i in range(40)]
MANY = Examples(texts=TEXTS * 10, labels=[1, 0, 1, 0] * 10, units=OWNERS)
SPEC = TrainingSpec(
    task="text-classification", head="classifier", max_length=16, epochs=2, batch_size=6, micro_batch_size=4,
    learning_rate=1e-2, dropout=False,
)  # fmt: skip
PRIVATE = PrivacySpec(noise_multiplier=0.5, delta=1e-3, unit="person", reproducible_seed=5)


def test_persons_of_one_example_are_trained_like_examples(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    other = copy.deepcopy(model)
    train(model, tokenizer, replace(MANY, units=None), SPEC, seed=1, privacy=PRIVATE)
    train(other, tokenizer, replace(MANY, units=[f"p{i}" for i in range(40)]), SPEC, seed=1, privacy=PRIVATE)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_the_mechanism_counts_persons(tiny_bert_classifier):
    result = train(*tiny_bert_classifier, MANY, SPEC, seed=1, privacy=PRIVATE)
    kept, persons = result.privacy, len(set(OWNERS))
    assert (kept.unit, kept.units, kept.dataset_size, kept.largest_unit) == ("person", persons, persons, 4)
    assert kept.sample_rate == 6 / persons
    assert sum(result.batch_sizes) == sum(n * u for stretch in kept.drawn for n, u in stretch.counts)
    assert result.epochs == pytest.approx(2, abs=0.8)
    assert kept.clipping_error < 1e-5


def test_a_persons_examples_stay_in_one_micro_batch(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    collate = Collator(encode_examples(tokenizer, MANY, SPEC), model, tokenizer, SPEC, 1)
    setup = privatize(standard_setup(model, collate, SPEC, 1), PRIVATE, OWNERS)
    given = [setup.contribute(unit, 0) for unit in range(len(set(OWNERS)))]
    parts = [[OWNERS[i] for unit in part for i in unit] for part in _parts(given, setup)]
    assert sorted(owner for part in parts for owner in set(part)) == sorted(set(OWNERS))
    assert sum(map(len, parts)) == len(OWNERS)
    assert max(map(len, parts)) <= 4


def test_a_large_unit_does_not_make_many_small_ones_as_large(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    collate = Collator(encode_examples(tokenizer, MANY, SPEC), model, tokenizer, SPEC, 1)
    given = [[0, 1, 2], *([i] for i in range(3, 12))]
    sizes = [[len(unit) for unit in part] for part in _parts(given, standard_setup(model, collate, SPEC, 1))]
    assert sizes == [[3], [1, 1, 1, 1], [1, 1, 1, 1], [1]]


@pytest.mark.parametrize(
    ("fixture", "spec"),
    [
        ("tiny_bert_classifier", SPEC),
        ("tiny_bert_masked", replace(SPEC, task="masked-lm", head="masked")),
        ("tiny_gpt2", replace(SPEC, task="causal-lm", head="causal")),
    ],
    ids=["classifier", "masked", "causal"],
)
def test_the_clipped_sum_of_persons_is_exact_in_a_trainings_own_losses(fixture, spec, request):
    model, tokenizer = request.getfixturevalue(fixture)
    collate = Collator(encode_examples(tokenizer, MANY, spec), model, tokenizer, spec, 1)
    setup = standard_setup(model, collate, spec, 1)
    assert clipping_error(setup, [[0, 1, 2, 3], [4], [5, 6]], "flat") < 1e-5


def test_micro_batches_change_memory_and_not_what_is_learned_of_persons(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    results = []
    for size in (1, 64):
        trained = copy.deepcopy(model).double()
        train(trained, tokenizer, MANY, replace(SPEC, micro_batch_size=size, max_steps=3), seed=1, privacy=PRIVATE)
        results.append(trained)
    for one, other in zip(*(m.parameters() for m in results), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)  # Adam divides by what may be rounding


def test_a_declared_public_size_sets_rate_and_divisor(tiny_bert_classifier):
    public = replace(PRIVATE, dataset_size=60)
    kept = train(*tiny_bert_classifier, MANY, SPEC, seed=1, privacy=public).privacy
    assert (kept.sample_rate, kept.dataset_size, kept.dataset_size_is_public) == (0.1, 60, True)
    assert kept.units == len(set(OWNERS))


def test_units_must_be_as_many_as_texts():
    with pytest.raises(ValueError, match="units must be as many as texts; got 1 and 2"):
        Examples(texts=["a", "b"], units=["p"])
