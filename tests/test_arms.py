"""From an arm of the plan to what is trained and asked: what names it, and how its examples are shown."""

import numpy as np

from audit.running.arms import base_source
from audit.running.recipes import as_trained
from audit.settings.config import AuditConfig
from probes.protocol import Items


def by_word(prompt: str, **data: str) -> AuditConfig:
    task = {"prompt": prompt, "label_words": {"no": "bad", "yes": "good"}}
    return AuditConfig.model_validate({"model": "m", "data": {"file": "d.csv", "label": "l", **data}, "task": task})


def items(**columns) -> Items:
    return Items({"item_id": ["a", "b"], "cluster": ["a", "b"], "label": np.array([0, 1]), **columns})


def test_members_are_shown_as_they_were_trained_on_prompt_text_and_word():
    shown = as_trained(by_word("{text} is"), items(text=["tea", "{text}"]), ("no", "yes"))
    assert shown["text"].tolist() == ["tea is bad", "{text} is good"]


def test_pairs_are_shown_with_both_their_texts_and_doubled_braces_as_one():
    config = by_word("{text} {{and}} {text_pair} are", text_pair="second")
    shown = as_trained(config, items(text=["tea", "milk"], text_pair=["rum", "honey"]), ("no", "yes"))
    assert shown["text"].tolist() == ["tea {and} rum are bad", "milk {and} honey are good"]


def test_a_folder_of_another_tokenizer_is_another_base(tmp_path):
    for name, content in (("model", "{}"), ("tokenizer", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    model = {"name": str(tmp_path / "model"), "tokenizer": str(tmp_path / "tokenizer")}
    config = AuditConfig.model_validate({"model": model, "data": {"file": "d.csv"}})
    before = base_source(config, units=None)[1]
    (tmp_path / "tokenizer" / "vocab.txt").write_text("a\n")
    assert base_source(config, units=None)[1] != before
    assert str(tmp_path) not in str(before)
