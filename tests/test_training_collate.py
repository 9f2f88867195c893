"""Texts to batches: padding, labels, masking, prompts."""

import numpy as np
import pytest
import torch

from audit.training.collate import Collator, encode_examples
from audit.training.losses import IGNORED, causal_losses
from audit.training.prompts import prompted
from audit.training.spec import Examples, TrainingSpec
from probes.scoring.causal import CausalScorer
from probes.scoring.label_words import LabelWordScorer

TEXTS = ["the good movie", "he liked the nice story very very much", "bad"]
CLASSIFY = TrainingSpec(task="text-classification", head="classifier", max_length=32)
CAUSAL = TrainingSpec(task="causal-lm", head="causal", max_length=32)
MASKED = TrainingSpec(task="masked-lm", head="masked", max_length=32)
BY_WORD = TrainingSpec(
    task="text-classification",
    head="causal",
    max_length=32,
    prompt="{text} label :",
    label_words=("negative", "positive"),
    label_loss_weight=10.0,
)


def batch_of(pair, examples, spec, indices, step=0):
    model, tokenizer = pair
    return Collator(encode_examples(tokenizer, examples, spec), model, tokenizer, spec, seed=0)(indices, step)


def test_a_classifiers_batch_has_ids_mask_types_and_classes(tiny_bert_classifier):
    _, tokenizer = tiny_bert_classifier
    batch = batch_of(tiny_bert_classifier, Examples(texts=TEXTS, labels=[1, 0, 1]), CLASSIFY, [2, 0])
    expected = tokenizer(["bad", "the good movie"], padding="max_length", max_length=5, return_tensors="pt")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(batch.inputs[name], expected[name])
    assert batch.labels.tolist() == [1, 1]
    assert batch.weights is None


def test_pairs_are_told_apart_by_their_types(tiny_bert_classifier):
    examples = Examples(texts=TEXTS, pairs=["he", "the movie", "she"], labels=[1, 0, 1])
    batch = batch_of(tiny_bert_classifier, examples, CLASSIFY, [0])
    assert batch.inputs["token_type_ids"].tolist() == [[0, 0, 0, 0, 0, 1, 1]]


def test_padding_is_on_the_right_whatever_the_tokenizer_prefers(tiny_gpt2):
    tiny_gpt2[1].padding_side = "left"
    batch = batch_of(tiny_gpt2, Examples(texts=TEXTS), CAUSAL, [2, 1])
    assert batch.inputs["attention_mask"][0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_gpt2_gets_no_token_types_which_it_would_take_for_words(tiny_gpt2, tiny_bert_classifier):
    model, _ = tiny_gpt2
    batch = batch_of((model, tiny_bert_classifier[1]), Examples(texts=TEXTS), CAUSAL, [0])
    assert "token_type_ids" not in batch.inputs
    assert batch.inputs["use_cache"] is False


def test_a_causal_models_labels_are_its_tokens_without_padding(tiny_gpt2):
    batch = batch_of(tiny_gpt2, Examples(texts=TEXTS), CAUSAL, [2, 0])
    ids, labels = batch.inputs["input_ids"], batch.labels
    assert torch.equal(labels[1], ids[1])
    assert labels[0].tolist() == [int(ids[0, 0]), IGNORED, IGNORED]
    assert batch.weights is None


def test_long_texts_are_cut_and_counted(tiny_bert_classifier):
    _, tokenizer = tiny_bert_classifier
    spec = TrainingSpec(task="text-classification", head="classifier", max_length=5)
    encoded = encode_examples(tokenizer, Examples(texts=TEXTS, labels=[0, 0, 0]), spec)
    assert encoded.truncated == 1
    assert [len(ids) for ids in encoded.ids] == [5, 5, 3]


def test_masking_follows_from_seed_step_and_example_alone(tiny_bert_masked):
    examples = Examples(texts=TEXTS * 4)
    one = batch_of(tiny_bert_masked, examples, MASKED, [1, 4, 7, 10], step=3)
    other = batch_of(tiny_bert_masked, examples, MASKED, [10, 1], step=3)
    assert torch.equal(one.inputs["input_ids"][[3, 0]], other.inputs["input_ids"])
    assert torch.equal(one.labels[[3, 0]], other.labels)
    later = batch_of(tiny_bert_masked, examples, MASKED, [1, 4, 7, 10], step=4)
    assert not torch.equal(one.labels, later.labels)


def test_masking_takes_the_stated_shares_and_no_special_token(tiny_bert_masked):
    _, tokenizer = tiny_bert_masked
    text = " ".join(["movie"] * 30)
    batch = batch_of(tiny_bert_masked, Examples(texts=[text] * 400), MASKED, range(400))
    ids, labels = batch.inputs["input_ids"], batch.labels
    movie = tokenizer.convert_tokens_to_ids("movie")
    chosen = labels != IGNORED
    n = int(chosen.sum())
    assert not chosen[:, [0, -1]].any()
    assert set(labels[chosen].tolist()) == {movie}
    assert n / (400 * 30) == pytest.approx(0.15, abs=0.015)  # four standard errors or more, here and below
    assert float((ids[chosen] == tokenizer.mask_token_id).sum()) / n == pytest.approx(0.8, abs=0.04)
    assert float((ids[chosen] == movie).sum()) / n == pytest.approx(0.1, abs=0.03)
    assert torch.equal(ids[~chosen], torch.where(chosen, 0, ids)[~chosen])


def test_a_prompted_example_ends_in_its_class_word_which_weighs_more(tiny_gpt2):
    _, tokenizer = tiny_gpt2
    batch = batch_of(tiny_gpt2, Examples(texts=TEXTS, labels=[1, 0, 0]), BY_WORD, [0, 2])
    assert torch.equal(batch.labels[0], tokenizer("the good movie label : positive", return_tensors="pt").input_ids[0])
    assert batch.labels[1].tolist() == [*tokenizer("bad label : negative").input_ids, IGNORED, IGNORED]
    assert batch.weights.tolist() == [[1, 1, 1, 1, 1, 10], [1, 1, 1, 10, 1, 1]]


def test_the_loss_of_a_class_word_is_what_the_scorer_will_ask(tiny_gpt2):
    model, tokenizer = tiny_gpt2
    batch = batch_of(tiny_gpt2, Examples(texts=TEXTS, labels=[1, 0, 1]), BY_WORD, [0, 1, 2])
    only_word = torch.where(batch.weights == 10, batch.labels, IGNORED)
    losses = causal_losses(model(**batch.inputs).logits, only_word)
    scorer = LabelWordScorer(CausalScorer(model, tokenizer, max_length=32), BY_WORD.prompt, BY_WORD.label_words)
    (scores,) = scorer.logits(TEXTS)
    np.testing.assert_allclose(-losses.detach().numpy(), scores[[0, 1, 2], [1, 0, 1]], atol=1e-5)


@pytest.mark.parametrize(
    ("side", "kept"), [("right", "he liked the nice story"), ("left", "nice story very very much")]
)
def test_a_long_text_loses_its_end_and_never_its_prompt_or_word(tiny_gpt2, side, kept):
    _, tokenizer = tiny_gpt2
    tokenizer.truncation_side = side
    whole = prompted(tokenizer, Examples(texts=TEXTS, labels=[0, 1, 0]), "{text} label :", ("no", "yes"), 8)
    assert whole.truncated.tolist() == [False, True, False]
    assert whole.ids[1].tolist() == tokenizer(f"{kept} label : yes").input_ids
    assert whole.word_tokens.tolist() == [1, 1, 1]


def test_a_class_word_may_have_several_tokens(tiny_gpt2):
    _, tokenizer = tiny_gpt2
    whole = prompted(tokenizer, Examples(texts=["he"], labels=[1]), "{text} is", ("bad", "very good"), 8)
    assert whole.word_tokens.tolist() == [2]


def test_pairs_stand_in_the_prompt(tiny_gpt2):
    _, tokenizer = tiny_gpt2
    examples = Examples(texts=["he"], pairs=["she"], labels=[0])
    whole = prompted(tokenizer, examples, "{text} and {text_pair} are", ("one", "two"), 8)
    assert whole.ids[0].tolist() == tokenizer("he and she are one").input_ids


def test_braces_in_a_text_are_text(tiny_gpt2):
    _, tokenizer = tiny_gpt2
    whole = prompted(tokenizer, Examples(texts=["{text} {0}"], labels=[0]), "{text} is", ("one", "two"), 16)
    assert whole.ids[0].tolist() == tokenizer("{text} {0} is one").input_ids


@pytest.mark.parametrize(
    ("prompt", "words", "message"),
    [
        ("label", ("no", "yes"), "must contain {text} and nothing else"),
        ("{text} {text_pair} is", ("no", "yes"), "must contain {text} and nothing else"),
        ("{text}", ("no", "yes"), "must end in words of its own"),
        ("{text} is ", ("no", "yes"), "not in a space"),
        ("{text} is", ("no", ""), "label word '' must not change the tokens"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(tiny_gpt2, prompt, words, message):
    with pytest.raises(ValueError, match=message):
        prompted(tiny_gpt2[1], Examples(texts=["he"], labels=[0]), prompt, words, 16)


def test_a_prompt_too_long_for_the_model_is_refused(tiny_gpt2):
    with pytest.raises(ValueError, match="must fit into 3 tokens without any text; got 4"):
        prompted(tiny_gpt2[1], Examples(texts=["he"], labels=[0]), "{text} the label is", ("no", "yes"), 3)


def test_missing_or_impossible_labels_are_refused(tiny_bert_classifier, tiny_gpt2):
    with pytest.raises(ValueError, match="a classifier needs labels"):
        batch_of(tiny_bert_classifier, Examples(texts=TEXTS), CLASSIFY, [0])
    with pytest.raises(ValueError, match="needs labels; the examples have none"):
        batch_of(tiny_gpt2, Examples(texts=TEXTS), BY_WORD, [0])
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\); got \[0, 2\]"):
        batch_of(tiny_bert_classifier, Examples(texts=TEXTS, labels=[0, 1, 2]), CLASSIFY, [0])
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\), one label word each; got \[-1, 1\]"):
        batch_of(tiny_gpt2, Examples(texts=TEXTS, labels=[0, 1, -1]), BY_WORD, [0])


def test_a_gpt2_classifier_without_a_padding_token_is_refused(tiny_gpt2_classifier):
    tiny_gpt2_classifier[0].config.pad_token_id = None
    with pytest.raises(ValueError, match=r"needs config\.pad_token_id"):
        batch_of(tiny_gpt2_classifier, Examples(texts=TEXTS, labels=[0, 1, 0]), CLASSIFY, [0])


def test_a_masked_model_without_a_mask_token_is_refused(tiny_bert_masked, tiny_gpt2):
    with pytest.raises(ValueError, match="needs a tokenizer with a mask token"):
        batch_of((tiny_bert_masked[0], tiny_gpt2[1]), Examples(texts=TEXTS), MASKED, [0])
