"""A toy language of a few hundred words and a tiny model of it, for audits of real trainings that take seconds."""

import copy
from dataclasses import dataclass
from functools import cache

import numpy as np

WORDS, LENGTH = 300, 16
RECORDS, CANARIES = 2000, 400


@dataclass(frozen=True)
class Audited:
    """Canaries of one training: their scores (mean log-probability over that of the base) and their coins."""

    score: np.ndarray
    coins: np.ndarray


def audited(seed: int, epsilon: float | None) -> Audited:
    """Train on records of the language and on canaries that end in random words, each put in by a fair coin.

    Poisson batches of a tenth of the examples, 150 steps of Adam; with differential privacy at a delta of 1e-5, or
    without.
    """
    from audit.training.spec import Examples, PrivacySpec, TrainingSpec
    from audit.training.train import train

    rng = np.random.default_rng(seed)
    canaries = [_text([*_words(rng, LENGTH // 2), *rng.integers(0, WORDS, LENGTH // 2)]) for _ in range(CANARIES)]
    coins = rng.random(CANARIES) < 0.5
    texts = [_text(_words(rng, LENGTH)) for _ in range(RECORDS)]
    texts += [text for text, is_planted in zip(canaries, coins, strict=True) if is_planted]
    recipe = TrainingSpec(
        task="causal-lm",
        head="causal",
        max_length=LENGTH,
        batch_size=round(0.1 * len(texts)),
        micro_batch_size=256,
        epochs=1000,
        max_steps=150,
        learning_rate=1e-3,
    )
    privacy = PrivacySpec(epsilon=epsilon, delta=1e-5, reproducible_seed=seed) if epsilon is not None else None
    base, tokenizer = _base()
    model = copy.deepcopy(base)
    train(model, tokenizer, Examples(texts=texts), recipe, seed=seed, privacy=privacy)
    return Audited(_logprob(model, tokenizer, canaries) - _logprob(base, tokenizer, canaries), coins)


@cache
def _base():
    """A two-layer model that has read four thousand texts of the language, and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from audit.training.spec import Examples, TrainingSpec
    from audit.training.train import train

    torch.set_num_threads(1)
    vocabulary = {"<pad>": 0, **{f"w{i}": i + 1 for i in range(WORDS)}}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = dict.fromkeys(("pad_token", "unk_token", "bos_token", "eos_token"), "<pad>")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **special)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=WORDS + 1, n_embd=64, n_layer=2, n_head=4, n_positions=LENGTH, tie_word_embeddings=False,
            bos_token_id=0, eos_token_id=0, pad_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        )  # fmt: skip
        model = GPT2LMHeadModel(config)
    recipe = TrainingSpec(
        task="causal-lm", head="causal", max_length=LENGTH, batch_size=64, micro_batch_size=64, epochs=4,
        learning_rate=3e-3,
    )  # fmt: skip
    rng = np.random.default_rng(99)
    train(model, tokenizer, Examples(texts=[_text(_words(rng, LENGTH)) for _ in range(4000)]), recipe, seed=0)
    return model.eval(), tokenizer


@cache
def _followers() -> np.ndarray:
    """The six words that may follow each word."""
    rng = np.random.default_rng(0)
    return np.stack([rng.choice(WORDS, 6, replace=False) for _ in range(WORDS)])


def _words(rng: np.random.Generator, length: int) -> list[int]:
    found = [int(rng.integers(WORDS))]
    while len(found) < length:
        found.append(int(_followers()[found[-1]][min(5, rng.geometric(0.4) - 1)]))
    return found


def _text(words) -> str:
    return " ".join(f"w{word}" for word in words)


def _logprob(model, tokenizer, texts) -> np.ndarray:
    import torch

    ids = torch.tensor([tokenizer(text)["input_ids"] for text in texts])
    with torch.no_grad():
        logs = torch.log_softmax(model(ids).logits[:, :-1].double(), -1)
    return logs.gather(-1, ids[:, 1:, None])[..., 0].mean(1).numpy()
