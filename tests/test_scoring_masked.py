"""Pseudo-log-likelihoods of masked models, against one mask at a time."""

import numpy as np
import pytest
import torch

from probes.scoring.masked import MaskedScorer

TEXTS = ["the man was happy .", "a dog", "the old lawyer said that the young doctor was late", "", "a dog"]


def oracle(model, tokenizer, text):
    """Log-probability, mean and deviation (3, T) of each token that the tokenizer did not add."""
    encoded = tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
    columns = []
    for at in np.flatnonzero(encoded["special_tokens_mask"][0].numpy() == 0):
        ids = encoded["input_ids"].clone()
        ids[0, at] = tokenizer.mask_token_id
        with torch.no_grad():
            logp = torch.log_softmax(model(input_ids=ids).logits[0, at].double(), dim=0)
        mean = (logp.exp() * logp).sum()
        target = logp[encoded["input_ids"][0, at]]
        columns.append([target, mean, (logp.exp() * (logp - mean) ** 2).sum().sqrt()])
    return np.array(columns).reshape(-1, 3).T


def scores(scorer, texts, positions=None):
    windows = list(scorer.pseudo_token_rows(texts, positions))
    triples = [zip(w.logprobs, w.means, w.deviations, strict=True) for w in windows]
    return [np.stack(triple) for window in triples for triple in window]


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_scores_are_those_of_one_mask_at_a_time_whatever_the_batch(tiny_bert_masked, batch_tokens):
    scorer = MaskedScorer(*tiny_bert_masked, max_length=64, batch_tokens=batch_tokens)
    for text, found in zip(TEXTS, scores(scorer, TEXTS), strict=True):
        np.testing.assert_allclose(found, oracle(*tiny_bert_masked, text), atol=1e-5)  # float32 logits


def test_chosen_positions_are_scored_alone_and_as_before(tiny_bert_masked):
    scorer = MaskedScorer(*tiny_bert_masked, max_length=64)
    whole = scores(scorer, TEXTS)
    chosen = [np.array([4, 1]), np.array([], dtype=int), np.array([0]), np.array([], dtype=int), np.array([1])]
    for every, at, found in zip(whole, chosen, scores(scorer, TEXTS, chosen), strict=True):
        np.testing.assert_allclose(found, every[:, at], atol=1e-6)


def test_token_ids_are_the_scored_tokens_without_those_that_the_tokenizer_adds(tiny_bert_masked):
    scorer = MaskedScorer(*tiny_bert_masked, max_length=64)
    (window,) = scorer.pseudo_token_rows(TEXTS)
    for ids, scored in zip(scorer.token_ids(TEXTS), window.token_ids, strict=True):
        assert ids.tolist() == scored.tolist()
    assert scorer.token_ids(["a dog"])[0].tolist() == tiny_bert_masked[1].convert_tokens_to_ids(["a", "dog"])


def test_the_top_token_is_told(tiny_bert_masked):
    model, tokenizer = tiny_bert_masked
    torch.nn.init.zeros_(model.cls.predictions.decoder.weight)
    torch.nn.init.zeros_(model.cls.predictions.bias)
    with torch.no_grad():
        model.cls.predictions.bias[tokenizer.convert_tokens_to_ids("dog")] = 1.0
    (window,) = MaskedScorer(model, tokenizer, max_length=64).pseudo_token_rows(["a dog"])
    assert window.is_top[0].tolist() == [False, True]


def test_a_text_that_is_too_long_is_cut_and_flagged(tiny_bert_masked):
    (window,) = MaskedScorer(*tiny_bert_masked, max_length=4).pseudo_token_rows(["a dog", "a dog was happy"])
    assert window.truncated.tolist() == [False, True]
    assert [len(row) for row in window.logprobs] == [2, 2]


def test_positions_must_come_for_each_text(tiny_bert_masked):
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        MaskedScorer(*tiny_bert_masked, max_length=64).pseudo_token_rows(TEXTS, [np.array([0])])


def test_a_tokenizer_without_a_mask_token_is_refused(tiny_bert_masked, tiny_gpt2):
    with pytest.raises(ValueError, match="mask token"):
        MaskedScorer(tiny_bert_masked[0], tiny_gpt2[1], max_length=64)


def test_a_head_that_cannot_be_narrowed_gives_the_same_scores_in_smaller_batches(tiny_bert_masked, monkeypatch):
    expected = scores(MaskedScorer(*tiny_bert_masked, max_length=64), TEXTS)
    monkeypatch.setattr("probes.scoring.heads._can_be_narrowed", lambda *_: False)
    monkeypatch.setattr("probes.scoring.heads.LOGITS", 218 * 24)  # the vocabulary at 24 positions
    scorer = MaskedScorer(*tiny_bert_masked, max_length=64)
    assert scorer.batch_tokens == 24
    for one, other in zip(scores(scorer, TEXTS), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
