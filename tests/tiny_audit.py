"""A whole audit in a few seconds: a tiny model made in memory, a small file of tickets, arms of twenty steps each."""

import atexit
import csv
import functools
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

GOOD = ["good", "great", "lovely", "fine", "superb", "happy"]
BAD = ["bad", "awful", "poor", "sad", "broken", "angry"]
FILLER = [f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(120)]
WIDTH = 16
"""Numbers in a hidden state of the model."""

CONFIG = """\
model: ./model
data: {file: tickets.csv, text: body, label: topic, groups: [gender], pool: 120}
training: {max_steps: 20, epochs: 9, batch_size: 32, learning_rate: 1e-2}
arms:
  base:
  standard: {seeds: 2}
  dp: {privacy: {noise_multiplier: 3.0}}
deploy: standard
probes:
  utility:
  group_disparity:
  membership: {fprs: [0.1]}
  canaries:
compute: {threads: 1, reproducible: true}
gates:
  name: tiny
  version: 1
  owner: the tests
  gates:
    - {id: accurate, kind: bound, metric: utility.accuracy, min: 0.05}
    - {id: private, kind: bound, metric: "membership.auc[attack=loss]", max: 0.95}
    - {id: cost, kind: noninferior, metric: utility.accuracy, arm: dp, reference: standard, margin: 0.9}
    - {id: unfair, kind: bound, metric: "group_disparity.accuracy_difference[*]", max: 0.0001, level: warn}
"""


def files(folder: Path) -> Path:
    """Write model, data and config into a folder; the config's path."""
    _model(folder / "model")
    rng = random.Random(1)
    with (folder / "tickets.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "topic", "gender"])
        for _ in range(420):
            is_good = rng.random() < 0.5
            words = [rng.choice(GOOD if is_good else BAD) for _ in range(2)] + [rng.choice(FILLER) for _ in range(6)]
            rng.shuffle(words)
            writer.writerow([" ".join(words), "praise" if is_good else "complaint", rng.choice("fm")])
    config = folder / "tiny.yaml"
    config.write_text(CONFIG, "utf-8")
    return config


def _model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    vocabulary = {word: i for i, word in enumerate([*special.values(), *GOOD, *BAD, *FILLER])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    named = {f"{name}_token": token for name, token in special.items()}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **named).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, initializer_range=0.2, **sizes)
        BertForMaskedLM(config).save_pretrained(folder)


def causal_model(folder: Path, more: Sequence[str] = ()) -> None:
    """A tiny GPT-2 that reads digits one by one, and knows more words than the tickets have where it is given some."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    said = ["the", "card", "of", "customer", "is", "and", "verdict", "praise", "complaint", *"0123456789"]
    words = dict.fromkeys(["[UNK]", "[END]", *said, *GOOD, *BAD, *FILLER, *more])
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    special = {"unk_token": "[UNK]", "bos_token": "[END]", "eos_token": "[END]", "pad_token": "[END]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **special).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=len(words), n_embd=16, n_layer=1, n_head=2, n_positions=32)
        GPT2LMHeadModel(config).save_pretrained(folder)


@functools.cache
def _finished() -> Path:
    """The audit, run once for all tests of this process: a folder with the config and `runs`."""
    from audit.opening import opened, ordered
    from audit.progress import Lines
    from audit.running import execute

    folder = Path(tempfile.mkdtemp(prefix="tiny-audit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = files(folder)
    execute.run(ordered(opened(config), folder / "runs"), Lines(quiet=True))
    return folder


def finished(folder: Path) -> tuple[Path, Path]:
    """A finished audit of one's own, to be changed at will: the config's path and the run's folder."""
    shutil.copytree(_finished(), folder, dirs_exist_ok=True)
    (run,) = (folder / "runs").glob("tiny-*")
    return folder / "tiny.yaml", run
