"""Class logits, against one text at a time."""

import numpy as np
import pytest
import torch

from probes.scoring.classifier import ClassifierScorer

TEXTS = ["the man was happy .", "dog", "the old lawyer said that the young doctor was late", "dog", "they paid"]
PAIRS = ["a dog", "a cat sat here today", "the doctor was late", "a cat", "no"]


def one_at_a_time(model, tokenizer, texts, pairs=None):
    rows = []
    for i, text in enumerate(texts):
        inputs = tokenizer(text, None if pairs is None else pairs[i], return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**inputs).logits[0].double().numpy())
    return np.stack(rows)


@pytest.mark.parametrize("batch_tokens", [1, 13, 4096])
@pytest.mark.parametrize("name", ["tiny_bert_classifier", "tiny_gpt2_classifier"])
def test_logits_are_those_of_one_text_at_a_time_whatever_the_batch(name, batch_tokens, request):
    model, tokenizer = request.getfixturevalue(name)
    scorer = ClassifierScorer(model, tokenizer, max_length=64, batch_tokens=batch_tokens)
    found = np.concatenate(list(scorer.logits(TEXTS)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, one_at_a_time(model, tokenizer, TEXTS), atol=1e-5)  # float32 logits


def test_pairs_are_told_apart_by_their_types(tiny_bert_classifier):
    scorer = ClassifierScorer(*tiny_bert_classifier, max_length=64)
    found = np.concatenate(list(scorer.logits(TEXTS, PAIRS)))
    np.testing.assert_allclose(found, one_at_a_time(*tiny_bert_classifier, TEXTS, PAIRS), atol=1e-5)


def test_a_decoder_is_never_given_token_types_even_if_its_tokenizer_makes_them(tiny_gpt2_classifier):
    model, tokenizer = tiny_gpt2_classifier
    expected = one_at_a_time(model, tokenizer, TEXTS)
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    found = np.concatenate(list(ClassifierScorer(model, tokenizer, max_length=64).logits(TEXTS)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_decoder_without_a_padding_token_is_asked_one_text_at_a_time(tiny_gpt2_classifier):
    model, tokenizer = tiny_gpt2_classifier
    model.config.pad_token_id = None
    found = np.concatenate(list(ClassifierScorer(model, tokenizer, max_length=64).logits(TEXTS)))
    np.testing.assert_allclose(found, one_at_a_time(model, tokenizer, TEXTS), atol=1e-5)


def test_a_text_without_tokens_is_asked_as_the_start_token(tiny_gpt2_classifier):
    model, tokenizer = tiny_gpt2_classifier
    scorer = ClassifierScorer(model, tokenizer, max_length=64)
    (found,) = scorer.logits(["", tokenizer.bos_token])
    np.testing.assert_array_equal(found[0], found[1])


def test_truncation_is_told_for_each_text_and_the_added_tokens_stay(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    scorer = ClassifierScorer(model, tokenizer, max_length=5)
    texts = ["the man was", "the man was happy", "dog"]
    assert scorer.truncated(texts).tolist() == [False, True, False]
    assert scorer.truncated(["the man", "a"], ["was happy", "dog"]).tolist() == [True, False]
    (found,) = scorer.logits(texts)
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


def test_texts_and_pairs_must_be_as_many(tiny_bert_classifier):
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ClassifierScorer(*tiny_bert_classifier, max_length=64).logits(TEXTS, PAIRS[:-1])


def test_a_broken_model_is_refused(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    with pytest.raises(ValueError, match="logits must be finite"):
        next(ClassifierScorer(model, tokenizer, max_length=64).logits(TEXTS))
