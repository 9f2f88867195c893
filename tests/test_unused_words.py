"""Words of a vocabulary that no text has: one token each, told by encoding, and what they depend on."""

import csv
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from audit.data.clusters import words
from audit.data.files import DataError
from audit.data.prepare import prepare
from audit.data.unused_words import tokenizer_inputs, unused_words
from audit.running.preparation import prepared
from audit.settings.config import AuditConfig
from audit.settings.mistakes import Lines
from audit.settings.sections.models import Model

PLAIN = [f"{a}{b}{c}" for a in "bdfgh" for b in ("al", "il", "ot", "un", "en") for c in ("a", "e", "i", "o")]
RARE = [f"{a}{b}" for a in ("cr", "pl", "st", "tr") for b in ("anko", "esno", "ilmo", "orbo", "ugno", "yspo")]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "MASK"]


def word_pieces(folder, vocabulary):
    """A tokenizer of small letters with whole words and pieces, in a folder."""
    known = {token: i for i, token in enumerate([*SPECIAL, *vocabulary])}
    tokenizer = Tokenizer(models.WordPiece(known, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "MASK"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    return Model(name=str(folder))


def bytes_of_words(folder, said):
    """A tokenizer like GPT-2's, whose tokens hold the space before them; it learns the words it is told."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    learn = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet(), "special_tokens": ["<end>"]}
    tokenizer.train_from_iterator(said, trainers.BpeTrainer(vocab_size=1000, show_progress=False, **learn))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    return Model(name=str(folder))


def test_whole_words_of_a_vocabulary_of_pieces_that_no_text_has(tmp_path):
    model = word_pieces(tmp_path, ["the", "river", "stone", "lamp", "custom", "##er", "##ing", "x", "42", "don't"])
    assert unused_words(model, ["The RIVER."]) == ["custom", "lamp", "stone"]
    assert unused_words(model, ["the customer", "a lamp, x"]) == ["river", "stone"], "a piece of a word is used"
    assert unused_words(model, []) == ["custom", "lamp", "river", "stone", "the"]


def test_words_with_the_space_before_them_are_one_token_of_bytes_and_pieces_of_words_are_none(tmp_path):
    model = bytes_of_words(tmp_path, ["a river ran by a café"] * 3)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert "river" in {token.lstrip("Ġ") for token in tokenizer.get_vocab()}
    found = unused_words(model, ["it ran"])
    assert {"river", "café"} <= set(found)
    assert "ran" not in found
    for word in found:
        (token,) = tokenizer(f" {word}").input_ids
        assert tokenizer(f"so it is {word}").input_ids[-1] == token


def test_a_word_is_used_in_whatever_case_and_has_one_spelling(tmp_path):
    model = bytes_of_words(tmp_path, ["so Stone stone River"] * 3)
    assert {"stone", "River"} <= set(unused_words(model, ["so"]))
    assert "Stone" not in unused_words(model, ["so"])
    assert not {"stone", "Stone"} & set(unused_words(model, ["STONE"]))


def test_a_folder_of_the_tokenizer_comes_before_the_models(tmp_path):
    word_pieces(tmp_path / "own", ["lamp"])
    other = word_pieces(tmp_path / "other", ["stone"])
    model = Model(name=str(tmp_path / "own"), tokenizer=other.name)
    assert unused_words(model, []) == ["stone"]
    assert tokenizer_inputs(model) == tokenizer_inputs(other)


def test_a_tokenizer_that_cannot_be_loaded_is_told_in_a_sentence(tmp_path):
    with pytest.raises(
        DataError, match=r"data\.canaries: new_token ones are made with the model's tokenizer, and that of"
    ):
        unused_words(Model(name=str(tmp_path)), [])


def test_a_tokenizer_that_needs_a_package_that_is_not_there_is_told_in_a_sentence(tmp_path, monkeypatch):
    """The Japanese tokenizer imports packages that are no dependency."""
    monkeypatch.setitem(sys.modules, "fugashi", None)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[PAD]\n[CLS]\n[SEP]\n[MASK]\nlamp\n")
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}'
    )
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match=r"cannot be loaded \("):
        unused_words(Model(name=str(tmp_path)), [])


def test_a_tokenizer_is_named_by_its_files_and_on_the_hub_by_its_commit(tmp_path):
    model = word_pieces(tmp_path / "one", ["lamp"])
    named = tokenizer_inputs(model)
    (tmp_path / "one" / "model.safetensors").write_bytes(b"weights")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    assert named == tokenizer_inputs(model) == tokenizer_inputs(Model(name=str(tmp_path / "copy")))
    assert named != tokenizer_inputs(word_pieces(tmp_path / "two", ["lamps"]))
    assert tokenizer_inputs(Model(name="org/model", revision="c0ffee")) == ["org/model", "c0ffee"]


# ---- in an audit's data -------------------------------------------------------------------------------------------


def config(folder, model, *, validation=(), task=None, canaries=None):
    """A config of 200 texts of plain words, some of them longer."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(PLAIN, int(rng.integers(6, 14)))) for _ in range(200)]
    for name, rows in (("train.csv", texts), ("validation.csv", [*validation, *texts[:5]])):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([row] for row in rows)])
    settings = {"kind": "new_token", "count": 5, "references": 6}
    data = {"file": "train.csv", "text": "text", "validation": {"file": "validation.csv"}, "minimum_units": 20}
    data["canaries"] = [settings] if canaries is None else canaries
    return AuditConfig.model_validate({"model": model.model_dump(), "task": task or {}, "data": data})


def secrets(folder, asked):
    splits = prepare(asked, base_folder=folder, salt="s", canaries_wanted=True)
    canaries, references = splits.canaries, splits.canary_references
    assert set(canaries["kind"]) == set(references["cluster"]) == {"new_token"}
    return set(canaries["secret"]) | set(references["secret"])


def test_words_of_held_out_texts_are_not_planted(tmp_path):
    model, held = word_pieces(tmp_path / "model", [*PLAIN, *RARE]), set(RARE[:6])
    free = secrets(tmp_path, config(tmp_path, model))
    assert len(free) == 11
    assert free <= set(RARE)
    assert not secrets(tmp_path, config(tmp_path, model, validation=[" ".join(held).upper()])) & held


def test_words_of_the_prompt_and_of_other_canaries_are_not_planted(tmp_path):
    """Nor what stands in the prompt within a word, or the word would be looked for there."""
    model, (first, second, *others) = word_pieces(tmp_path / "model", [*PLAIN, *RARE]), RARE[:6]
    secret = {"kind": "secret", "count": 2, "template": " ".join([*others, "{secret}"]), "references": 2}
    planted = [
        {"kind": "new_token", "count": 3, "references": len(RARE) - 13},
        secret,
        {"kind": "new_token", "count": 4, "references": 1},
    ]
    asked = config(tmp_path, model, task={"prompt": f"a{second}s {{text}} {first}"}, canaries=planted)
    splits = prepare(asked, base_folder=tmp_path, salt="s", canaries_wanted=True)
    assert splits.canaries["kind"].tolist() == ["new_token"] * 3 + ["secret"] * 2 + ["new_token"] * 4
    both = (splits.canaries, splits.canary_references)
    ends = [items["secret"][items["kind"] == "new_token"].tolist() for items in both]
    assert len(set(ends[0])) == 7
    assert set(ends[1]) == set(RARE[6:]) - set(ends[0])


def test_too_few_unused_words_are_told_with_what_to_do(tmp_path):
    model = word_pieces(tmp_path / "model", [*PLAIN, *RARE[:3]])
    message = (
        "data.canaries: 5 new_token ones need as many different words .*; got 3; lower count, or use random_suffix"
    )
    with pytest.raises(DataError, match=message):
        secrets(tmp_path, config(tmp_path, model))


class AskedError(Exception):
    """What the data object would have followed from."""


def inputs(folder, asked):
    def obtain(name, kind, found, write):
        raise AskedError(found)

    asked = asked.model_copy(update={"data": asked.data.model_copy(update={"file": str(folder / "train.csv")})})
    held_out = asked.data.validation.model_copy(update={"file": str(folder / "validation.csv")})
    asked = asked.model_copy(update={"data": asked.data.model_copy(update={"validation": held_out})})
    plan = SimpleNamespace(trains=True, needs_canaries=True)
    store, units = SimpleNamespace(root=folder / "runs"), SimpleNamespace(obtain=obtain)
    with pytest.raises(AskedError) as told:
        prepared(asked, asked, store, units, plan=plan, coins=0, lines=Lines({}))
    return told.value.args[0]


def test_the_data_follow_from_the_tokenizer_only_where_its_words_are_planted(tmp_path):
    one, two = (word_pieces(tmp_path / name, [*PLAIN, *RARE, name]) for name in ("one", "two"))
    with_words = [inputs(tmp_path, config(tmp_path, model)) for model in (one, two)]
    assert with_words[0]["tokenizer"] != with_words[1]["tokenizer"]
    json.dumps(with_words)
    random = [
        inputs(tmp_path, config(tmp_path, model, canaries=[{"kind": "random", "count": 5}])) for model in (one, two)
    ]
    assert random[0] == random[1]
    assert "tokenizer" not in random[0]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "texts"),
    [
        ("models/all-MiniLM-L6-v2", ["the movie is a charming and often affecting journey", "Unflinchingly bleak!"]),
        ("models/tinystories-llama-260k", ["Once upon a time there was a little girl", "she was very happy"]),
    ],
)
def test_real_vocabularies_give_words_that_are_one_token_after_any_text(shared, folder, texts):
    model = Model(name=str(shared / folder))
    found = unused_words(model, texts)
    assert len(found) == len({word.casefold() for word in found}) > 20
    tokenizer = AutoTokenizer.from_pretrained(model.name)
    used = {token for ids in tokenizer(texts, add_special_tokens=False).input_ids for token in ids}
    said = {word for text in texts for word in words(text)}
    for word in found[:: max(1, len(found) // 200)]:
        assert not said & set(words(word))
        for text in (*texts, "they said: “no”", "in 1999"):
            alone, longer = tokenizer([text, f"{text} {word}"], add_special_tokens=False).input_ids
            assert longer[:-1] == alone
            assert longer[-1] not in used
