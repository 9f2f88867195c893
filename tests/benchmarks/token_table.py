"""What a token table costs, against a plain pass of the same model and against a tiled head alone.

Three ways of asking an arm and its base about the same texts are timed in turn, in CPU time: the token table, from text
to record batches; a plain pass, `model(...).logits`, of the same batches; and the body with the head's product in the
table's tiles and nothing made of it, which is the least that walking the head can cost. Then the attacks that read the
tables of 10,000 texts of 64 tokens.

    python tests/benchmarks/token_table.py --json
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _printing import Figure, figure, report

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

LENGTH = 64
SHAPES = {"30,522 × 384": (30_522, 384, 6, 12, 128), "50,257 × 768": (50_257, 768, 12, 12, 32)}
"""Vocabulary and width of the head, layers, attention heads, and texts asked."""

EXAMPLES = 10_000


def median_seconds(ways: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median CPU time of each way; they take turns, so that whatever else the machine does falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repetitions + 1):
        for name, way in ways.items():
            started = time.process_time()
            way()
            if turn:  # the first one warms up
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def tokenizer_of(vocabulary: int) -> Any:
    """A tokenizer with a word for each of so many tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="w0", unk_token="w0", model_max_length=512)


def models_of(vocabulary: int, width: int, layers: int, heads: int) -> tuple[Any, Any]:
    """An arm and its base: two models of GPT-2's kind, of random weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": 512}
    config = GPT2Config(vocab_size=vocabulary, bos_token_id=0, eos_token_id=0, **sizes)
    return GPT2LMHeadModel(config).eval(), GPT2LMHeadModel(config).eval()


def ways_of(shape: tuple[int, int, int, int, int]) -> dict[str, Callable[[], object]]:
    """The three ways of asking two models of a shape."""
    import torch
    from torch.nn import functional as F

    from probes.protocol import Items, Subject
    from probes.scoring.causal import CausalScorer
    from probes.scoring.moments import ROWS, TILE
    from probes.scoring.tables import TokenTable

    vocabulary, width, layers, heads, texts = shape
    tokenizer, models = tokenizer_of(vocabulary), models_of(vocabulary, width, layers, heads)
    ids = np.random.default_rng(0).integers(1, vocabulary, (texts, LENGTH))
    names = [f"t{i}" for i in range(texts)]
    items = Items({"item_id": names, "cluster": names, "text": [" ".join(f"w{i}" for i in row) for row in ids]})
    scorers = [CausalScorer(model, tokenizer, max_length=512) for model in models]
    subjects = [Subject(name="a model", head="causal", token_scorer=scorer) for scorer in scorers]
    size = scorers[0].batch_tokens // LENGTH
    batches = [torch.from_numpy(ids[start : start + size]) for start in range(0, texts, size)]

    def token_tables() -> None:
        for subject in subjects:
            assert sum(batch.num_rows for batch in TokenTable().measure(subject, items)) == texts

    def plain_passes() -> None:
        with torch.no_grad():
            for model in models:
                for batch in batches:
                    assert len(model(batch, attention_mask=torch.ones_like(batch)).logits) == len(batch)

    def tiled_products() -> None:
        with torch.no_grad():
            for model in models:
                for batch in batches:
                    inputs = {"input_ids": batch[:, :-1], "attention_mask": torch.ones_like(batch[:, :-1])}
                    hidden = model.transformer(**inputs, use_cache=False).last_hidden_state.reshape(-1, width)
                    for start in range(0, len(hidden), ROWS):
                        for tile in model.lm_head.weight.split(TILE):
                            F.linear(hidden[start : start + ROWS], tile)

    return {"table": token_tables, "plain": plain_passes, "tiled": tiled_products}


def table_of(rng: np.random.Generator, gain: float) -> Any:
    """A token table of `EXAMPLES` texts, as it is read back, with what the audit knows of them."""
    from probes.protocol import Rows

    def ragged(values: Any) -> Any:
        rows = np.empty(EXAMPLES, dtype=object)
        rows[:] = list(values)
        return rows

    names = [f"t{i:05d}" for i in range(EXAMPLES)]
    means = -2 - rng.random((EXAMPLES, LENGTH))
    return Rows(
        {
            "item_id": names,
            "cluster": names,
            "is_member": rng.integers(2, size=EXAMPLES).astype(bool),
            "logprobs": ragged(means + rng.normal(gain, 1, (EXAMPLES, LENGTH))),
            "means": ragged(means.astype(np.float32)),
            "deviations": ragged(np.ones((EXAMPLES, LENGTH), dtype=np.float32)),
            "is_top": ragged(rng.random((EXAMPLES, LENGTH)) < 0.3),
            "zlib_bytes": rng.integers(80, 120, EXAMPLES),
        }
    )


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """All figures of this benchmark."""
    import torch

    from probes.privacy.attacks import attack_scores
    from probes.protocol import Rows

    torch.set_num_threads(arguments.threads)
    for name, shape in SHAPES.items():
        seconds = median_seconds(ways_of(shape), arguments.repetitions)
        for words, way, aim in (("plain passes", "plain", 1.0), ("body and tiled head alone", "tiled", 1.3)):
            ratio = round(seconds["table"] / seconds[way], 3)
            yield figure(f"token tables / {words}, {name}", ratio, "ratio", aim)
    rng = np.random.default_rng(0)
    stored = [table_of(rng, gain).to_arrow() for gain in (0.1, 0.0)]

    def attacks() -> None:
        arm, base = (Rows.from_arrow(table) for table in stored)
        assert all(len(score) == EXAMPLES for score in attack_scores(arm, base, 0.2).values())

    seconds = median_seconds({"attacks": attacks}, 3)
    yield figure("reading both tables, and all attacks, 10,000 texts", round(seconds["attacks"], 2), "s", 2.0)


if __name__ == "__main__":
    sys.exit(
        report(
            "token_table",
            __doc__,
            figures,
            {"name": "--threads", "type": int, "default": 1, "help": "threads of the numerical libraries"},
            {"name": "--repetitions", "type": int, "default": 5, "help": "turns of each way"},
        )
    )
