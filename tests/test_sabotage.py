"""Defects that published private trainings had, planted one at a time: each is caught by a line of the DP claim, by the
check of the clipped sum that comes before every private training, or by the self-check's canaries."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit import selfcheck
from audit.planning.plan import ArmPlan
from audit.running import recipes
from audit.running.accounts import notes_of, privacy_record
from audit.running.arms import StoredModel
from audit.running.claims import claim_lines
from audit.running.recipes import as_examples
from audit.settings.sections.models import Model
from audit.settings.sections.training import Privacy
from audit.training import bookkeeping, per_example, privacy
from audit.training import selfcheck as attack
from audit.training.draws import PoissonDraws
from audit.training.exactness import InexactClipping
from audit.training.privacy import DPGuarantee, privatize
from audit.training.private_optimizer import BookkeepingOptimizer
from audit.training.setup import ShuffledDraws
from audit.training.spec import PrivacySpec, TrainingSpec
from audit.training.train import train
from audit.training.witness import WitnessedOptimizer
from probes.protocol import Items
from reports.record import Identity, SeedRecord, TrainingRecord

torch.set_num_threads(1)

PERSONS, OWN = 60, 2
WORDS = ("good", "bad", "movie", "story", "doctor", "he", "she", "liked", "hated", "very", "the", "a")
ITEMS = Items(
    {
        "item_id": [f"i{i}" for i in range(PERSONS * OWN)],
        "cluster": [f"c{i}" for i in range(PERSONS * OWN)],
        "text": [" ".join(np.random.default_rng(i).choice(WORDS, size=3 + i % 5)) for i in range(PERSONS * OWN)],
        "label": np.arange(PERSONS * OWN) % 2,
        "person": [f"p{i // OWN}" for i in range(PERSONS * OWN)],
    }
)
ASKED = Privacy(noise_multiplier=1.5, max_grad_norm=4.0, unit="person", public_n=PERSONS, prior_trials=0)
SPEC = TrainingSpec(
    task="text-classification", head="classifier", max_length=12, epochs=40, max_steps=40, batch_size=20,
    micro_batch_size=64, learning_rate=1e-3,
)  # fmt: skip
PRIVATE = PrivacySpec(
    noise_multiplier=1.5, max_grad_norm=4.0, delta=1e-4, unit="person", dataset_size=PERSONS, reproducible_seed=3
)


def claim(model, tokenizer, units=None):
    """The lines of the DP claim of a training, by name, with their outcomes."""
    examples = as_examples(ITEMS, ASKED)
    if units is not None:
        examples = replace(examples, units=units)
    result = train(model, tokenizer, examples, SPEC, seed=1, privacy=PRIVATE)
    record = SeedRecord(
        seed=0,
        identity=Identity(weights="w", tokenizer="t", parameters=1),
        training=TrainingRecord(examples=result.examples, steps=result.steps, final_loss=None, truncated=0),
        privacy=privacy_record(result, ITEMS),
    )
    notes = notes_of(result, ASKED, ITEMS)
    arm = ArmPlan(
        name="dp", role="candidate", source="trained", twin_of=None, training=None, privacy=ASKED, claims=None,
        given=None, seeds=(0,), probes={},
    )  # fmt: skip
    lines = claim_lines(arm, StoredModel(source=Model(name="m"), head="classifier", record=record, notes=notes))
    return {line.name: line.outcome for line in lines}


def failing(found):
    return {name for name, outcome in found.items() if outcome == "fail"} - {"noise is secret"}  # the seed is known


def broken(monkeypatch, name, value):
    monkeypatch.setattr(privacy, name, value)


def test_without_a_defect_no_line_fails(tiny_bert_classifier):
    found = claim(*tiny_bert_classifier)
    assert failing(found) == set()
    assert {found[name] for name in selfcheck._LINES} == {"pass"}


# ---- caught by a line of the claim ---------------------------------------------------------------------------------


def test_noise_that_is_not_scaled_by_clipping_is_caught(tiny_bert_classifier, monkeypatch):
    class Unscaled(WitnessedOptimizer):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            self.max_grad_norm = 1.0

    broken(monkeypatch, "WitnessedOptimizer", Unscaled)
    assert failing(claim(*tiny_bert_classifier)) == {"noise as accounted"}


@pytest.mark.parametrize("share", [0.0, 0.9, 1.1])
def test_a_little_less_or_more_noise_than_accounted_is_caught(tiny_bert_classifier, monkeypatch, share):
    class Weak(WitnessedOptimizer):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            self.noise_multiplier *= share

    broken(monkeypatch, "WitnessedOptimizer", Weak)
    assert failing(claim(*tiny_bert_classifier)) == {"noise as accounted"}


def test_noise_that_leaves_out_one_parameter_is_caught(tiny_bert_classifier, monkeypatch):
    add_noise = BookkeepingOptimizer.add_noise

    def forgetful(self):
        bias = self.params[-1]  # the classifier's: 2 of some 20,000 values
        kept = bias.summed_grad.clone()
        add_noise(self)
        bias.grad.copy_(kept)

    monkeypatch.setattr(BookkeepingOptimizer, "add_noise", forgetful)
    assert failing(claim(*tiny_bert_classifier)) == {"noise as accounted"}


@pytest.mark.parametrize(("first", "last"), [(0.0, 0.05), (0.0, 0.7), (0.3, 1.0)])
def test_noise_that_leaves_out_a_part_of_a_parameter_is_caught(tiny_bert_classifier, monkeypatch, first, last):
    add_noise = BookkeepingOptimizer.add_noise

    def forgetful(self):
        words = self.params[0]
        kept = words.summed_grad.flatten().clone()
        add_noise(self)
        noised = slice(round(first * len(kept)), round(last * len(kept)))
        kept[noised] = words.grad.flatten()[noised]
        words.grad.copy_(kept.view_as(words))

    monkeypatch.setattr(BookkeepingOptimizer, "add_noise", forgetful)
    assert failing(claim(*tiny_bert_classifier)) == {"noise as accounted"}


def test_shuffled_batches_are_caught(tiny_bert_classifier, monkeypatch):
    shuffled = ShuffledDraws(PERSONS, 20, seed=0)
    monkeypatch.setattr(PoissonDraws, "__call__", lambda self, step: shuffled(step))
    assert failing(claim(*tiny_bert_classifier)) == {"Poisson draws"}


def test_shuffled_batches_of_random_sizes_are_caught(tiny_bert_classifier, monkeypatch):
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(PERSONS) for _ in range(20)])
    sizes = rng.binomial(PERSONS, 20 / PERSONS, size=40)
    ends = sizes.cumsum()
    monkeypatch.setattr(
        PoissonDraws, "__call__", lambda self, step: order[ends[step] - sizes[step] : ends[step]].tolist()
    )
    assert failing(claim(*tiny_bert_classifier)) == {"Poisson draws"}


def test_an_accountant_that_is_stepped_too_rarely_is_caught(tiny_bert_classifier, monkeypatch):
    count, calls = DPGuarantee.count, []

    def every_other(self):
        calls.append(1)
        if len(calls) % 2:
            count(self)

    monkeypatch.setattr(DPGuarantee, "count", every_other)
    assert failing(claim(*tiny_bert_classifier)) == {"every step accounted"}


def test_a_person_split_over_two_units_is_caught(tiny_bert_classifier):
    halves = [f"{person}/{i % OWN}" if person == "p7" else person for i, person in enumerate(ITEMS["person"])]
    assert failing(claim(*tiny_bert_classifier, units=halves)) == {"privacy unit"}


def test_names_that_split_a_person_are_caught(tiny_bert_classifier, monkeypatch):
    monkeypatch.setattr(
        recipes, "unit_names", lambda privacy, items: [f"{p}/{i % OWN}" for i, p in enumerate(ITEMS["person"])]
    )
    assert "privacy unit" in failing(claim(*tiny_bert_classifier))


def test_two_persons_merged_into_one_unit_are_caught(tiny_bert_classifier):
    merged = ["p7" if person == "p8" else person for person in ITEMS["person"]]
    assert failing(claim(*tiny_bert_classifier, units=merged)) == {"privacy unit"}


# ---- caught before training ----------------------------------------------------------------------------------------


def test_clipping_per_batch_instead_of_per_example_is_caught(tiny_bert_classifier, monkeypatch):
    def whole_batch(squared, max_grad_norm, clipping):
        return (max_grad_norm / squared.sum().sqrt()).clamp(max=1.0).expand_as(squared)

    monkeypatch.setattr(bookkeeping, "clipping_factors", whole_batch)
    with pytest.raises(InexactClipping, match="gradients of BertForSequenceClassification are not clipped exactly"):
        claim(*tiny_bert_classifier)


def test_clipping_per_example_where_persons_are_promised_is_caught(tiny_bert_classifier, monkeypatch):
    accumulate = bookkeeping.Bookkeeping.accumulate
    monkeypatch.setattr(
        bookkeeping.Bookkeeping, "accumulate", lambda self, losses, size, counts=None: accumulate(self, losses, size)
    )
    with pytest.raises(InexactClipping):
        claim(*tiny_bert_classifier)


def test_parameters_left_out_of_the_norm_are_caught(tiny_bert_classifier, monkeypatch):
    squared_norms = per_example.VectorLedger.squared_norms
    monkeypatch.setattr(per_example.VectorLedger, "squared_norms", lambda self: 0 * squared_norms(self))
    with pytest.raises(InexactClipping):
        claim(*tiny_bert_classifier)


def test_parameters_that_are_added_up_unclipped_are_caught(tiny_bert_classifier, monkeypatch):
    add_clipped = per_example.VectorLedger.add_clipped
    monkeypatch.setattr(
        per_example.VectorLedger, "add_clipped", lambda self, f, into: add_clipped(self, torch.ones_like(f), into)
    )
    with pytest.raises(InexactClipping):
        claim(*tiny_bert_classifier)


SMALL = ("classifier.bias", "bert.embeddings.LayerNorm.weight", "bert.encoder.layer.0.attention.self.value.bias")


def with_one_ledger(monkeypatch, parameter, change):
    """Plant a defect in what the book-keeping makes of a single parameter."""
    clip = bookkeeping.Bookkeeping._clip

    def broken_clip(self, book):
        if id(parameter) in book.ledgers:
            change(book.ledgers[id(parameter)])
        return clip(self, book)

    monkeypatch.setattr(bookkeeping.Bookkeeping, "_clip", broken_clip)


@pytest.mark.parametrize("name", SMALL)
def test_one_small_parameter_left_out_of_the_norm_is_caught(tiny_bert_classifier, monkeypatch, name):
    def left_out(ledger):
        squared_norms = ledger.squared_norms
        ledger.squared_norms = lambda: 0 * squared_norms()

    with_one_ledger(monkeypatch, tiny_bert_classifier[0].get_parameter(name), left_out)
    with pytest.raises(InexactClipping, match=f"the part of {name} is off by"):
        claim(*tiny_bert_classifier)


@pytest.mark.parametrize("name", SMALL)
def test_one_small_parameter_that_is_added_up_unclipped_is_caught(tiny_bert_classifier, monkeypatch, name):
    def unclipped(ledger):
        add_clipped = ledger.add_clipped
        ledger.add_clipped = lambda factors, into: add_clipped(torch.ones_like(factors), into)

    with_one_ledger(monkeypatch, tiny_bert_classifier[0].get_parameter(name), unclipped)
    with pytest.raises(InexactClipping, match=f"the part of {name} is off by"):
        claim(*tiny_bert_classifier)


def test_a_parameter_whose_gradient_is_not_per_example_is_caught(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    forward = model.forward

    def with_penalty(*args, **named):
        found = forward(*args, **named)
        found.logits = found.logits + model.classifier.bias.square().sum()
        return found

    model.forward = with_penalty
    with pytest.raises(RuntimeError, match="not per example"):
        claim(model, tokenizer)


# ---- caught by the canaries ----------------------------------------------------------------------------------------

CLAIM = PrivacySpec(epsilon=1.0, delta=1e-5, unit="person", max_grad_norm=attack.MAX_GRAD_NORM)


def right_guesses(monkeypatch, change):
    monkeypatch.setattr(attack, "privatize", lambda *args: change(privatize(*args)))
    return selfcheck.game_of(attack.attacked(CLAIM, 5)).right


def test_canaries_see_noise_that_is_not_scaled_by_clipping(monkeypatch):
    def unscaled(setup):
        setup.optimizer.max_grad_norm = 1.0
        return setup

    assert right_guesses(monkeypatch, unscaled) >= 43


def test_canaries_see_gradients_that_are_not_clipped(monkeypatch):
    def unclipped(setup):
        setup.gradients._books.max_grad_norm = 1e9
        return setup

    assert right_guesses(monkeypatch, unclipped) >= 43
