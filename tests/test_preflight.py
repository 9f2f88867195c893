"""What only model and data can tell is told before any arm is trained: in a sentence with file, line and key."""

import json
import random
from pathlib import Path

import pytest

from audit.opening import opened, ordered
from audit.planning.forecast import forecast
from audit.progress import Lines
from audit.running import execute
from audit.settings.mistakes import ConfigError
from audit.units import events_of

WORDS = ["good", "great", "nice", "bad", "poor", "sad", "the", "a", "man", "dog", "cat", "house", "story", "water"]
ARM = "arms: {it: {training: {max_steps: 2, batch_size: 16}}}\n"
CLASSIFIER = "model: ./bert\ndata: {file: rows.csv, label: label}\nprobes: {utility: {}}\n"
CAUSAL = "model: ./gpt2\ndata: {file: rows.csv, label: label}\nprobes: {utility: {}}\n"


def an_architecture_that_is_not_known_here():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=300, max_position_embeddings=64, **sizes))


@pytest.fixture
def folder(tmp_path, tiny_bert_masked, tiny_gpt2, tiny_bert_classifier, tiny_llama):
    unknown = (an_architecture_that_is_not_known_here(), tiny_llama[1])
    pairs = {"bert": tiny_bert_masked, "gpt2": tiny_gpt2, "theirs": tiny_bert_classifier, "neox": unknown}
    for name, (model, tokenizer) in pairs.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    rng = random.Random(0)
    rows = [f"{' '.join(rng.choices(WORDS, k=7))},{label}" for label in ("no", "yes") for _ in range(150)]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "audit.yaml"
    path.write_text(text)
    return path


def said(folder: Path, text: str) -> list[str]:
    """What a run refuses a config with that `audit validate` lets pass; nothing is trained before."""
    order = ordered(opened(write(folder, text)), folder / "runs")
    with pytest.raises(ConfigError) as caught:
        execute.run(order, Lines(quiet=True))
    assert not [e for e in events_of(order.folder) if e["unit"].startswith(("train", "ask"))]
    return [str(mistake).replace(f"{folder}/", "") for mistake in caught.value.mistakes]


def test_a_gpu_that_is_not_there_is_told_before_anything_is_trained(folder, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert said(folder, CLASSIFIER + ARM + "compute: {device: cuda}\n") == [
        "audit.yaml:5: compute.device: PyTorch finds no GPU on this machine; write compute.device: cpu, or install "
        "PyTorch's build for your GPU"
    ]


def test_a_rate_of_a_head_that_cannot_be_told_from_its_body_is_refused(folder, tiny_bert_classifier):
    from transformers import ElectraConfig, ElectraForSequenceClassification

    sizes = {"hidden_size": 16, "embedding_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = len(tiny_bert_classifier[1])
    ElectraForSequenceClassification(ElectraConfig(vocab_size=words, **sizes)).save_pretrained(folder / "electra")
    tiny_bert_classifier[1].save_pretrained(folder / "electra")
    text = CLASSIFIER.replace("./bert", "./electra") + "training: {head_learning_rate: 0.01}\n" + ARM
    (sentence,) = said(folder, text)
    assert sentence.startswith(
        "audit.yaml:4: training.head_learning_rate: where the head is, is known of albert, bert, "
    )
    assert sentence.endswith("; got electra; leave the head's rate out")


REFUSED = {
    "adapters of a layer that is none": (
        CLASSIFIER + "arms:\n  it:\n    training: {strategy: {lora: {target_modules: [query, valeu]}}}\n",
        "audit.yaml:6: arms.it.training.strategy.lora.target_modules: the model has no layer 'valeu'; "
        "did you mean 'value'?",
    ),
    "a strategy that knows only some architectures": (
        "model: ./neox\ndata: {file: rows.csv}\nprobes: {language_quality: {}}\n"
        "training: {strategy: {frozen: 1}}\narms: {it: {}}\n",
        "audit.yaml:4: training.strategy: strategies other than full know ",
    ),
    "an architecture that cannot be trained privately": (
        "model: ./neox\ndata: {file: rows.csv}\nprobes: {language_quality: {}}\n"
        "arms: {it: {training: {strategy: head}, privacy: {epsilon: 8}}}\n",
        "strategies other than full know",
    ),
    "an epsilon that no noise reaches": (
        CLASSIFIER + "arms:\n  it:\n    privacy:\n      epsilon: 0.005\n",
        "audit.yaml:7: arms.it.privacy.epsilon: no noise keeps epsilon 0.005 at delta 0.0001",
    ),
    "a label word that the tokenizer does not know": (
        CAUSAL + 'task:\n  prompt: "{text} was"\n  label_words: {yes: good, no: wonderful}\n' + ARM,
        "audit.yaml:6: task.label_words: label word 'wonderful' must be known to the tokenizer; choose another word",
    ),
    "a label word that begins another": (
        CAUSAL + 'task:\n  prompt: "{text} was"\n  label_words: {yes: good, no: good time}\n' + ARM,
        "audit.yaml:6: task.label_words: label word 'good' must not be the beginning of another; choose another word",
    ),
    "a word for no class of the data": (
        CAUSAL + 'task: {prompt: "{text} was", label_words: {yes: good, no: bad, maybe: poor}}\n' + ARM,
        "audit.yaml:4: task.label_words.maybe: no such class; got 'maybe'; there are no, yes",
    ),
    "a prompt that leaves no room for the text": (
        CAUSAL.replace("./gpt2", "{name: ./gpt2, max_length: 4}")
        + 'task: {prompt: "the man said it and {text} was", label_words: {yes: good, no: bad}}\n'
        + ARM,
        "audit.yaml:4: task.prompt: must fit into 4 tokens without any text",
    ),
    "a delta for the examples that are left": (
        CLASSIFIER.replace("label: label", "label: label, bad_rows: skip")
        + "arms: {it: {privacy: {epsilon: 8, delta: 1e-3}}}\n",
        "audit.yaml:4: arms.it.privacy.delta: must be at most 1/(10 · units) = 0.00048 for 210 units; got 0.001",
    ),
    "a batch for the examples that are left": (
        CLASSIFIER + "arms: {it: {privacy: {epsilon: 8}, training: {batch_size: 250}}}\n",
        "audit.yaml:4: arms.it.training.batch_size: a private arm cannot draw more than the 210 examples that it is "
        "trained on; got 250 for 'it'",
    ),
    "a batch for the examples of the twin": (
        CLASSIFIER.replace("utility", "membership") + "arms: {it: {privacy: {epsilon: 8}, training: "
        "{batch_size: 209}}}\n",
        "examples that its twin is trained on; got 209 for 'it'",
    ),
    "a model whose own head is for other classes than the data's": (
        CLASSIFIER.replace("bert", "theirs") + ARM,
        "audit.yaml:1: model.name: its head has 3 classes, and the task has 2: no, yes",
    ),
    "a given model with other classes than the data": (
        CLASSIFIER + ARM.replace("it:", "theirs: {given: ./theirs}, it:").replace("max_steps: 2", "max_steps: 3"),
        "audit.yaml:4: arms.theirs.given: its classes are one, two, and the task's are no, yes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_sentence_before_any_arm_is_trained(folder, case):
    text, sentence = REFUSED[case]
    if "own head" in case:
        config = folder / "theirs" / "config.json"
        named = {"id2label": {str(i): f"LABEL_{i}" for i in range(3)}}
        config.write_text(json.dumps({**json.loads(config.read_text()), **named}))
    if "given model" in case:
        config = folder / "theirs" / "config.json"
        named = {"id2label": {"0": "one", "1": "two"}, "label2id": {"one": 0, "two": 1}}
        config.write_text(json.dumps({**json.loads(config.read_text()), **named}))
    (one,) = said(folder, text)
    assert sentence in one


def test_all_that_is_wrong_with_several_arms_is_said_at_once(folder):
    text = CLASSIFIER + (
        "arms:\n  a:\n    privacy: {epsilon: 0.005}\n  b:\n    training: {strategy: {lora: {target_modules: [q]}}}\n"
    )
    assert [one.partition(": ")[0] for one in said(folder, text)] == ["audit.yaml:6", "audit.yaml:8"]


def test_a_plan_tells_what_the_data_tell(folder):
    order = ordered(
        opened(write(folder, CLASSIFIER + "arms: {it: {privacy: {epsilon: 8}, training: {batch_size: 250}}}\n")),
        folder / "runs",
    )
    with pytest.raises(ConfigError, match="a private arm cannot draw more than the 210 examples"):
        forecast(order, Lines(quiet=True))


GIVEN = CLASSIFIER.replace("label: label", "label: label, test: 0.8") + "arms: {base: {}, theirs: {given: ./theirs}}\n"


def test_a_given_model_needs_no_fewest_units_to_train_on(folder):
    text = GIVEN.replace("utility: {}", "utility: {}, membership: {}, canaries: {}")
    record = execute.run(ordered(opened(write(folder, text)), folder / "runs"), Lines(quiet=True))
    assert record.data.splits["train"] < 100
    assert {m.arm for m in record.metrics} == {"theirs"}
    unmeasured = {(u.arm, u.probe): u.reason for u in record.unmeasured}
    for probe in ("membership", "canaries"):
        assert unmeasured["theirs", probe].startswith("theirs was trained elsewhere: which rows it was trained on is")
    assert record.coverage.errors == 0
    assert record.data.canaries == {}  # there is nothing that they could be planted in


def test_the_same_data_are_too_few_once_an_arm_is_trained_on_them(folder):
    path = write(folder, GIVEN)
    execute.run(ordered(opened(path), folder / "runs"), Lines(quiet=True))
    text = GIVEN.replace("theirs: {given", "it: {training: {max_steps: 1}}, theirs: {given")
    with pytest.raises(ValueError, match=r"fewer than data\.minimum_units, 100"):
        execute.run(ordered(opened(write(folder, text)), folder / "runs"), Lines(quiet=True))
