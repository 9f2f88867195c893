"""Token scores of causal models, against a plain log-softmax over one text at a time."""

import dataclasses

import numpy as np
import pytest
import torch

from probes.scoring.causal import CausalScorer

TEXTS = [
    "the man was happy .",
    "a dog",
    "the old lawyer said that the young doctor was late , and the driver asked for a refund .",
    "",
    "dog",
    "the man was happy .",
    "they never paid the invoice",
]


def oracle(model, tokenizer, text):
    """Log-probability, mean, deviation and top-1 hit of every token but the first, with a whole log-softmax."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    if ids.shape[1] < 2:
        return np.zeros((4, 0))
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=ids).logits[0, :-1].double(), dim=1)  # (T - 1, V)
    target = logp.gather(1, ids[0, 1:, None])[:, 0]
    mean = (logp.exp() * logp).sum(dim=1)
    deviation = (logp.exp() * (logp - mean[:, None]) ** 2).sum(dim=1).sqrt()
    return np.stack([target, mean, deviation, (target >= logp.max(dim=1).values).double()])


def scores(scorer, texts):
    """One (4, T) array for each text."""
    rows = [dataclasses.asdict(window) for window in scorer.token_rows(texts)]
    names = ("logprobs", "means", "deviations", "is_top")
    return [np.stack(text) for window in rows for text in zip(*(window[n] for n in names), strict=True)]


def agree(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)  # float32 logits of either shape of batch


@pytest.mark.parametrize("batch_tokens", [1, 13, 4096])
@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_scores_are_those_of_one_text_at_a_time_whatever_the_batch(name, batch_tokens, request):
    model, tokenizer = request.getfixturevalue(name)
    scorer = CausalScorer(model, tokenizer, max_length=64, batch_tokens=batch_tokens)
    agree(scores(scorer, TEXTS), [oracle(model, tokenizer, text) for text in TEXTS])


def test_scores_follow_the_texts_whatever_their_order_and_the_side_of_padding(tiny_llama):
    model, tokenizer = tiny_llama
    scorer = CausalScorer(model, tokenizer, max_length=64)
    expected = scores(scorer, TEXTS)
    tokenizer.padding_side = "left"
    agree(scores(scorer, TEXTS[::-1]), expected[::-1])


def test_a_text_asked_twice_is_computed_once(tiny_gpt2, monkeypatch):
    scorer = CausalScorer(*tiny_gpt2, max_length=64)
    seen = []
    read = scorer.head.moments
    monkeypatch.setattr(type(scorer.head), "moments", lambda _, inputs, *at: seen.append(inputs) or read(inputs, *at))
    next(scorer.token_rows(["the man was", "the man was", "the man was"]))
    assert [len(inputs["input_ids"]) for inputs in seen] == [1]


def test_the_first_token_is_scored_only_after_a_start_token(tiny_gpt2, tiny_llama):
    for (model, tokenizer), n_scored in ((tiny_gpt2, 2), (tiny_llama, 3)):
        (window,) = CausalScorer(model, tokenizer, max_length=64).token_rows(["the man was"])
        ids = tokenizer("the man was")["input_ids"]
        assert window.token_ids[0].tolist() == ids[-n_scored:]
        assert tokenizer.bos_token_id not in window.token_ids[0]


def test_a_text_without_a_scored_token_has_empty_arrays(tiny_gpt2):
    (window,) = CausalScorer(*tiny_gpt2, max_length=64).token_rows(["", "dog"])
    assert [len(row) for row in window.logprobs] == [0, 0]
    assert [len(row) for row in window.token_ids] == [0, 0]


def test_an_end_token_that_the_tokenizer_adds_is_not_scored(tiny_llama):
    from tokenizers.processors import TemplateProcessing

    model, tokenizer = tiny_llama
    added = [(t, tokenizer.convert_tokens_to_ids(t)) for t in ("<s>", "</s>")]
    plain = scores(CausalScorer(model, tokenizer, max_length=64), TEXTS)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=added)
    agree(scores(CausalScorer(model, tokenizer, max_length=64), TEXTS), plain)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_text_that_is_too_long_is_cut_on_the_tokenizers_side_and_flagged(tiny_llama, side):
    model, tokenizer = tiny_llama
    tokenizer.truncation_side = side
    (window,) = CausalScorer(model, tokenizer, max_length=4).token_rows(["the man was", "the man was happy today"])
    kept = "the man was" if side == "right" else "was happy today"
    assert window.truncated.tolist() == [False, True]
    assert window.token_ids[1].tolist() == tokenizer(kept)["input_ids"][1:]


def test_nothing_is_computed_before_the_first_window_is_asked_for(tiny_gpt2):
    model, tokenizer = tiny_gpt2
    scorer = CausalScorer(model, tokenizer, max_length=64)
    model.forward = model.transformer.forward = None
    windows = scorer.token_rows(TEXTS)
    with pytest.raises(TypeError):
        next(windows)


def test_a_model_in_training_is_asked_without_dropout_and_goes_on_training(tiny_gpt2):
    model, tokenizer = tiny_gpt2
    expected = scores(CausalScorer(model, tokenizer, max_length=64), TEXTS)
    model.train()
    windows = CausalScorer(model, tokenizer, max_length=64).token_rows(TEXTS)
    window = next(windows)
    assert model.training
    assert torch.is_grad_enabled()
    np.testing.assert_allclose(window.logprobs[0], expected[0][0], atol=1e-6)


def test_a_broken_model_is_refused(tiny_gpt2):
    model, tokenizer = tiny_gpt2
    torch.nn.init.constant_(model.transformer.ln_f.weight, float("nan"))
    with pytest.raises(ValueError, match="logits must be finite"):
        next(CausalScorer(model, tokenizer, max_length=64).token_rows(TEXTS))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["tinystories-llama-260k", "tinystories-llama-char105-940k"])
def test_a_trained_model_finds_a_story_likely_and_its_scores_are_the_oracles(shared, name):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    path = shared / "models" / name
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    texts = ["Once upon a time, there was a little girl named Lily.", "Lily girl a upon. there little time, named was"]
    story, shuffled = scores(CausalScorer(model, tokenizer, max_length=128), texts)
    agree([story, shuffled], [oracle(model, tokenizer, text) for text in texts])
    assert story[0].sum() > shuffled[0].sum() + 20
