"""What 64 reference models cost whose heads alone are trained, against one fine-tune of a head.

Both are made as an audit makes them: loaded from disk, trained for three epochs on the texts that their coins chose,
named by their weights, saved; then loaded again and asked about the audit pool and a population. The references share
one pass of the frozen body over all texts, and what it made of the batches that all of them are asked. Beside it, the
fine-tune that runs the body in every epoch. In CPU time, on a BERT of 4 layers, 256 wide, with random weights.

    python tests/benchmarks/references.py --json
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _printing import Figure, figure, report
from token_table import tokenizer_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

REFERENCES, LENGTH, VOCABULARY = 64, 64, 8_000
TEXTS, POOL, POPULATION = 2_000, 400, 200
AIM = 6.0


@dataclass
class Bench:
    """The base on disk, the texts, and what is shared.

    Attributes:
        folder: Where models lie.
        texts: All texts that may be trained on; the first ones are the pool.
        asked: The pool and a population.
        labels: Their classes.
        spec: The recipe.
        memory: What models of one body share when they are asked.
    """

    folder: Path
    texts: list[str]
    asked: list[list[str]]
    labels: list[int]
    spec: Any
    memory: Any = field(default=None)

    def load(self, name: str, seed: int) -> Any:
        """A model from disk, a head that is missing drawn from a seed."""
        import torch

        from audit.running.models import load
        from audit.settings.sections.models import Model

        torch.manual_seed(seed)
        return load(Model(name=str(self.folder / name)), "classifier", ("a", "b"), new_head=True)

    def examples(self, chosen: np.ndarray) -> Any:
        """The chosen texts with their classes."""
        from audit.training.spec import Examples

        at = np.flatnonzero(chosen)
        return Examples(texts=[self.texts[i] for i in at], labels=[self.labels[i] for i in at])

    def trained(self, name: str, seed: int, features: Any, *, of_all: bool = False) -> None:
        """Train a head on what its coins chose of the pool and on everything else, and save the model."""
        from audit.running.models import identity, save
        from audit.settings.sections.models import Task
        from audit.training.train import train

        chosen = np.ones(TEXTS, dtype=bool)
        if not of_all:
            chosen[:POOL] = np.random.default_rng(seed).random(POOL) < 0.5
        loaded = self.load("base", seed)
        train(loaded.model, loaded.tokenizer, self.examples(chosen), self.spec, seed=seed, features=features)
        identity(loaded, Task())
        save(loaded, self.folder / name)

    def answered(self, name: str) -> None:
        """Ask a saved model about the pool and the population."""
        from audit.running.models import remember
        from probes.scoring.classifier import ClassifierScorer

        loaded = self.load(name, 0)
        self.memory = remember(loaded, self.memory)
        scorer = ClassifierScorer(loaded.model.eval(), loaded.tokenizer, max_length=LENGTH)
        for texts in self.asked:
            assert sum(len(window) for window in scorer.logits(texts)) == len(texts)

    def forget(self) -> None:
        """Share nothing with what was asked before."""
        self.memory = None


def bench(folder: Path) -> Bench:
    """A small BERT without a head for classes, on disk, and texts of words drawn evenly."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from audit.training.spec import HeadOnly, TrainingSpec

    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, **sizes)
    BertForMaskedLM(config).save_pretrained(folder / "base")
    tokenizer_of(VOCABULARY).save_pretrained(folder / "base")
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in row) for row in rng.integers(1, VOCABULARY, (TEXTS + POPULATION, LENGTH))]
    spec = TrainingSpec(
        task="text-classification", head="classifier", max_length=LENGTH, strategy=HeadOnly(), epochs=3, batch_size=32
    )
    labels = rng.integers(2, size=TEXTS).tolist()
    return Bench(folder=folder, texts=texts[:TEXTS], asked=[texts[:POOL], texts[TEXTS:]], labels=labels, spec=spec)


def seconds(way: Callable[[], object]) -> float:
    """The CPU time of a way."""
    started = time.process_time()
    way()
    return time.process_time() - started


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """All figures of this benchmark."""
    import torch

    from audit.training.train import body_features

    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as place:
        some = bench(Path(place))

        def references() -> None:
            loaded = some.load("base", 0)
            everything = some.examples(np.ones(TEXTS, dtype=bool))
            shared = body_features(loaded.model, loaded.tokenizer, everything, some.spec)
            for number in range(REFERENCES):
                some.trained("reference", number + 1, shared)

        def asked() -> None:
            some.forget()
            for _ in range(REFERENCES):
                some.answered("reference")

        some.answered("base")  # warms up
        one = seconds(lambda: some.trained("tuned", 0, None, of_all=True))
        some.forget()
        one_asked = seconds(lambda: some.answered("tuned"))
        many, many_asked = seconds(references), seconds(asked)
        every_epoch = seconds(lambda: _in_every_epoch(some))
        names = f"{REFERENCES} references"
        yield figure(f"training {names} / one head-only fine-tune", round(many / one, 2), "ratio", AIM)
        both = round((many + many_asked) / (one + one_asked), 2)
        yield figure(f"training and asking {names} / one such fine-tune", both, "ratio", AIM)
        words = f"training and asking {names} / one fine-tune whose body runs in every epoch"
        yield figure(words, round((many + many_asked) / (every_epoch + one_asked), 2), "ratio", AIM)


def _in_every_epoch(some: Bench) -> None:
    from audit.training import train as training

    features = training.have_features
    training.have_features = lambda *_: False
    try:
        some.trained("tuned", 0, None, of_all=True)
    finally:
        training.have_features = features


if __name__ == "__main__":
    threads = {"name": "--threads", "type": int, "default": 1, "help": "threads of the numerical libraries"}
    sys.exit(report("references", __doc__, figures, threads))
