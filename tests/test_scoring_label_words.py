"""Class scores by label words, against the chain rule on plain logits."""

import numpy as np
import pytest
import torch

from probes.scoring.causal import CausalScorer
from probes.scoring.label_words import LabelWordScorer

TEMPLATE = "review : {text} the answer is"
TEXTS = ["the man was happy", "dog", "they never paid the old invoice for the car", "dog"]
WORDS = ["good", "very bad", "very very old", "bad"]


def manual(model, tokenizer, prompt, word):
    """Sum of the word's token log-probabilities after the prompt, one whole log-softmax at a time."""
    ids = tokenizer(f"{prompt} {word}", return_tensors="pt")["input_ids"]
    n = len(tokenizer(prompt)["input_ids"])
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=ids).logits[0].double(), dim=1)
    return float(sum(logp[t - 1, ids[0, t]] for t in range(n, ids.shape[1])))


def by_hand(model, tokenizer, prompts, words):
    return np.array([[manual(model, tokenizer, prompt, word) for word in words] for prompt in prompts])


@pytest.mark.parametrize("batch_tokens", [1, 25, 4096])
@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_scores_are_the_words_log_probabilities_after_the_prompt(name, batch_tokens, request):
    model, tokenizer = request.getfixturevalue(name)
    causal = CausalScorer(model, tokenizer, max_length=64, batch_tokens=batch_tokens)
    found = np.concatenate(list(LabelWordScorer(causal, TEMPLATE, WORDS).logits(TEXTS)))
    expected = by_hand(model, tokenizer, [TEMPLATE.format(text=text) for text in TEXTS], WORDS)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 logits


def test_pairs_fill_the_second_field(tiny_llama):
    template = "{text} ? {text_pair} ? yes or no :"
    causal = CausalScorer(*tiny_llama, max_length=64)
    found = next(LabelWordScorer(causal, template, ["yes", "no"]).logits(TEXTS[:2], ["a cat", "he { text }"]))
    prompts = [template.format(text=t, text_pair=p) for t, p in zip(TEXTS[:2], ["a cat", "he { text }"], strict=True)]
    np.testing.assert_allclose(found, by_hand(*tiny_llama, prompts, ["yes", "no"]), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "n_passes"), [(["good", "bad"], 1), (["good", "very bad"], 1), (WORDS, 1), (["very bad", "so good"], 2)]
)
def test_words_share_passes_over_the_prompt(tiny_gpt2, monkeypatch, words, n_passes):
    scorer = LabelWordScorer(CausalScorer(*tiny_gpt2, max_length=64), TEMPLATE, words)
    calls = []
    read = scorer.causal.read
    monkeypatch.setattr(scorer.causal, "read", lambda *asked: calls.append(asked) or read(*asked))
    next(scorer.logits(["dog"]))
    assert len(calls) == n_passes


@pytest.mark.parametrize(("side", "kept"), [("right", "the man"), ("left", "was happy")])
def test_a_long_text_is_cut_and_the_template_stays_whole(tiny_llama, side, kept):
    model, tokenizer = tiny_llama
    tokenizer.truncation_side = side
    scorer = LabelWordScorer(CausalScorer(model, tokenizer, max_length=8), TEMPLATE, ["good", "bad"])
    assert scorer.truncated(["the man was happy", "the man"]).tolist() == [True, False]
    (found,) = scorer.logits(["the man was happy", "the man"])
    np.testing.assert_allclose(
        found[0], by_hand(model, tokenizer, [TEMPLATE.format(text=kept)], ["good", "bad"])[0], atol=1e-5
    )


def test_room_is_left_for_the_longest_word(tiny_llama):
    model, tokenizer = tiny_llama
    words = ["good", "very very old"]
    scorer = LabelWordScorer(CausalScorer(model, tokenizer, max_length=10), TEMPLATE, words)
    (found,) = scorer.logits(["the man was happy"])
    np.testing.assert_allclose(found, by_hand(model, tokenizer, [TEMPLATE.format(text="the man")], words), atol=1e-5)


def test_of_a_pair_the_longer_text_is_cut_first(tiny_llama):
    model, tokenizer = tiny_llama
    template = "{text} ? {text_pair} ? yes or no :"
    scorer = LabelWordScorer(CausalScorer(model, tokenizer, max_length=11), template, ["yes", "no"])
    (found,) = scorer.logits(["a dog"], ["the man was happy with the cat"])
    fits = template.format(text="a dog", text_pair="the man")
    np.testing.assert_allclose(found, by_hand(model, tokenizer, [fits], ["yes", "no"]), atol=1e-5)


def test_a_template_that_leaves_no_room_is_refused(tiny_llama):
    scorer = LabelWordScorer(CausalScorer(*tiny_llama, max_length=4), TEMPLATE, ["good", "bad"])
    with pytest.raises(ValueError, match="template must fit into 4 tokens without any text; got 6"):
        next(scorer.logits(["dog"]))


@pytest.mark.parametrize(
    ("template", "words", "rule"),
    [
        ("the answer is", ["good", "bad"], "must contain {text}"),
        ("{text} {label} is", ["good", "bad"], "must contain {text}"),
        ("{text} the answer is ", ["good", "bad"], "must end in words"),
        ("the text : {text}", ["good", "bad"], "must end in words"),
        ("{text} the answer is", ["good", "zebra"], "'zebra' must be known"),
        ("{text} the answer is", ["good", "good"], "'good' must not be the beginning"),
        ("{text} the answer is", ["very", "very good"], "'very' must not be the beginning"),
        ("{text} the answer is", ["good", ""], "'' must not change"),
    ],
)
def test_a_template_or_words_that_would_mislead_are_refused(tiny_llama, template, words, rule):
    with pytest.raises(ValueError, match=rule):
        LabelWordScorer(CausalScorer(*tiny_llama, max_length=64), template, words)


def test_pairs_and_their_field_must_come_together(tiny_llama):
    scorer = LabelWordScorer(CausalScorer(*tiny_llama, max_length=64), TEMPLATE, ["good", "bad"])
    with pytest.raises(ValueError, match="pairs were given"):
        scorer.logits(["dog"], ["cat"])


def test_a_text_that_changes_the_tokens_of_the_word_is_refused(tiny_llama):
    from tokenizers.normalizers import Replace

    model, tokenizer = tiny_llama
    tokenizer.backend_tokenizer.normalizer = Replace("dog the answer is good", "cat")
    scorer = LabelWordScorer(CausalScorer(model, tokenizer, max_length=64), "{text} the answer is", ["good", "bad"])
    with pytest.raises(ValueError, match="must have the same tokens after every text"):
        next(scorer.logits(["dog"]))
