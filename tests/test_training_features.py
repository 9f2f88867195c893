"""Heads trained on what the frozen body makes of each text, against heads trained on the texts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from single_examples import build

from audit.training import train as training
from audit.training.features import Features, Memory, remembering
from audit.training.spec import Examples, Full, HeadOnly, PrivacySpec, TrainingSpec
from audit.training.train import body_features, train

WORDS = [
    "the",
    "man",
    "went",
    "home",
    ".",
    "a",
    "good",
    "book",
    "she",
    "never",
    "read",
    "money",
    "city",
    "two",
    "three",
]
TEXTS = [" ".join(np.random.default_rng(i).choice(WORDS, 2 + i % 5)) for i in range(24)]
LABELS = [i % 3 for i in range(24)]
EXAMPLES = Examples(texts=TEXTS, labels=LABELS)
SPEC = TrainingSpec(
    task="text-classification", head="classifier", max_length=16, strategy=HeadOnly(), epochs=3, batch_size=8,
    learning_rate=1e-2,
)  # fmt: skip
FAMILIES = ("Albert", "Bert", "DistilBert", "GPT2", "Llama", "Mistral", "Qwen2", "Qwen3", "Roberta", "XLMRoberta")
PRIVATE = PrivacySpec(noise_multiplier=0.5, delta=1e-3, reproducible_seed=1)


@pytest.fixture
def tokenizer(tiny_bert_classifier):
    return tiny_bert_classifier[1]


def model(family, tokenizer, **more):
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    return build(f"{family}ForSequenceClassification", dtype=torch.float32, **sizes, **more)


def trained(some, tokenizer, spec=SPEC, **more):
    result = train(some, tokenizer, EXAMPLES, spec, seed=3, **more)
    return {name: p.detach().clone() for name, p in some.named_parameters()}, result


def one_by_one(monkeypatch, *args, **more):
    with monkeypatch.context() as patched:
        patched.setattr(training, "have_features", lambda *_: False)
        return trained(*args, **more)


def passes(some):
    """How many examples the model's body has looked at, counted from now on."""
    seen = []
    body = some.get_submodule(some.base_model_prefix)
    layer = next(m for m in body.modules() if isinstance(m, torch.nn.Embedding))
    layer.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    return seen


@pytest.mark.parametrize(("family", "private"), [*((f, None) for f in FAMILIES), ("Bert", PRIVATE), ("GPT2", PRIVATE)])
def test_a_head_trained_on_features_is_the_one_trained_on_the_texts(family, private, tokenizer, monkeypatch):
    ours, _ = trained(model(family, tokenizer), tokenizer, privacy=private)
    theirs, result = one_by_one(monkeypatch, model(family, tokenizer), tokenizer, privacy=private)
    before = dict(model(family, tokenizer).named_parameters())
    moved = [name for name in ours if not torch.equal(ours[name], before[name])]
    assert moved
    assert result.frozen_untouched
    # Adam divides by a gradient's own size, so that rounding in the seventh digit can show in the fourth.
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=2e-4, rtol=2e-3)


def test_dropout_is_off_below_a_head_that_is_trained_alone_and_on_in_the_head(tokenizer, monkeypatch):
    noisy = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}

    def one(above, **more):
        return one_by_one(monkeypatch, model("Bert", tokenizer, classifier_dropout=above, **more), tokenizer)[0]

    without, below, above = one(0.0, hidden_dropout_prob=0.0), one(0.0, **noisy), one(0.5, **noisy)
    on_features, _ = trained(model("Bert", tokenizer, classifier_dropout=0.5, **noisy), tokenizer)
    head = "classifier.weight"
    torch.testing.assert_close(below[head], without[head], atol=2e-4, rtol=2e-3)
    assert not torch.allclose(above[head], without[head], atol=1e-2)
    torch.testing.assert_close(on_features[head], above[head], atol=2e-4, rtol=2e-3)


def test_the_body_looks_at_each_text_once_however_many_the_epochs(tokenizer):
    some = model("Bert", tokenizer)
    seen = passes(some)
    trained(some, tokenizer, replace(SPEC, epochs=20))
    assert sum(seen) == len(set(TEXTS))


def test_features_that_are_given_save_every_pass_and_change_nothing(tokenizer, tmp_path):
    found = body_features(model("GPT2", tokenizer), tokenizer, EXAMPLES, SPEC)
    found.save(tmp_path)
    some = model("GPT2", tokenizer)
    seen = passes(some)
    ours, _ = trained(some, tokenizer, features=Features.load(tmp_path))
    theirs, _ = trained(model("GPT2", tokenizer), tokenizer)
    assert not seen
    for name in ours:
        assert torch.equal(ours[name], theirs[name])


@pytest.mark.parametrize("of", ["another body", "other texts"])
def test_features_of_another_body_or_of_other_texts_are_not_used(of, tokenizer):
    right = body_features(model("Bert", tokenizer), tokenizer, EXAMPLES, SPEC)
    wrong = replace(right, hidden=right.hidden + 1, body="another")
    if of == "other texts":
        wrong = replace(right, hidden=right.hidden + 1, rows=dict(list(right.rows.items())[1:]))
    ours, _ = trained(model("Bert", tokenizer), tokenizer, features=wrong)
    theirs, _ = trained(model("Bert", tokenizer), tokenizer)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_training_of_few_steps_makes_no_pass_over_all_texts(tokenizer):
    some = model("Bert", tokenizer)
    seen = passes(some)
    trained(some, tokenizer, replace(SPEC, max_steps=1))
    assert sum(seen) == 8


def test_a_training_of_more_than_the_head_reads_texts(tokenizer):
    some = model("Bert", tokenizer)
    seen = passes(some)
    trained(some, tokenizer, replace(SPEC, strategy=Full()))
    assert sum(seen) == 3 * len(TEXTS)


def test_the_model_answers_texts_as_ever_once_its_head_is_trained(tokenizer):
    some = model("Roberta", tokenizer)
    trained(some, tokenizer)
    ids = torch.tensor([[2, 7, 9, 3]])
    assert "forward" not in vars(some.roberta)
    assert some(input_ids=ids).logits.shape == (1, 3)


@pytest.mark.parametrize("family", ["Albert", "Bert", "DistilBert", "GPT2", "Qwen2", "Roberta"])
def test_models_that_share_a_body_answer_the_same_whether_it_computes_or_remembers(family, tokenizer):
    from probes.scoring.classifier import ClassifierScorer

    first, second = model(family, tokenizer).eval(), model(family, tokenizer).eval()
    head = list(second.parameters())[-1]
    head.data += torch.randn_like(head)
    plain = [ClassifierScorer(some, tokenizer, max_length=16, batch_tokens=64) for some in (first, second)]
    expected = [np.concatenate(list(scorer.logits(TEXTS))) for scorer in plain]
    memory = Memory()
    for some in (first, second):
        remembering(some, memory, "the same")
    seen = passes(second)
    found = [np.concatenate(list(scorer.logits(TEXTS))) for scorer in plain]
    assert not seen
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize(("room", "names", "computed"), [(2**20, "aa", 1), (2**20, "ab", 2), (0, "aa", 2)])
def test_what_another_body_made_or_what_there_was_no_room_for_is_computed(room, names, computed, tokenizer):
    memory, seen = Memory(most_bytes=room), []
    ids = torch.tensor([[2, 7, 9, 3]])
    for name in names:
        some = model("Bert", tokenizer).eval()
        remembering(some, memory, name)
        seen.append(passes(some))
        some(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert sum(map(len, seen)) == computed
