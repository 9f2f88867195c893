"""Tiny models made in memory, and the shared public data where it is present."""

import os
from pathlib import Path
from typing import Any

import pytest

VOCABULARY = (
    "the a an this that it he she they we you i him her his their my our is are was were be been has have had do does "
    "did will would can could should may not no yes and or but so if when then because of in on at to for with from by "
    "about as man woman men women boy girl doctor nurse lawyer teacher engineer clerk driver farmer student friend "
    "person people family mother father old young good bad great terrible nice poor rich happy sad angry calm strong "
    "weak smart lazy kind rude honest late early new big small red blue green one two three four five six seven eight "
    "nine ten time day night year week work home school city house car train dog cat bird tree book letter account "
    "number card bank loan money price food water film movie story song game ticket order refund invoice password code "
    "name email phone address went came said told made gave took saw knew thought liked hated loved asked answered "
    "wrote read paid sold bought opened closed lost found very really never always often today here there all some "
    "sentence answer label positive negative neutral world sports business review . , ! ? : ; ' - ( )"
)


def _tokenizer(special: dict[str, str], template: str | None, pair: str | None) -> Any:
    """A word-level fast tokenizer over `VOCABULARY`, with the special tokens first in the vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*special.values(), *VOCABULARY.split()]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if template is not None:
        added = [(t, vocabulary[t]) for t in dict.fromkeys(special.values()) if t in f"{template} {pair}".split()]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, pair=pair, special_tokens=added)
    names = ["input_ids", "token_type_ids", "attention_mask"] if pair else ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=names, **special)


def _bert_tokenizer() -> Any:
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    named = {f"{name}_token": token for name, token in special.items()}
    return _tokenizer(named, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")


def _gpt2_tokenizer() -> Any:
    """Like GPT-2's: no token is put in front, and the one for padding is the one for the end."""
    return _tokenizer(dict.fromkeys(("eos_token", "bos_token", "pad_token", "unk_token"), "<|endoftext|>"), None, None)


def _llama_tokenizer() -> Any:
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return _tokenizer(special, "<s> $A", None)


def _built(kind: Any, config: Any) -> Any:
    """A model with the same random weights at every call, in evaluation mode, with the caller's seed left alone."""
    import torch

    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return kind(config).eval()


def _bert_config(tokenizer: Any, **more: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # ten times the usual, so that an untrained model's scores differ visibly
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )


def _gpt2_config(tokenizer: Any, **more: Any) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=64,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )


@pytest.fixture
def tiny_bert_classifier() -> tuple[Any, Any]:
    """A BERT with a head for two classes, and its tokenizer."""
    from transformers import BertForSequenceClassification

    tokenizer = _bert_tokenizer()
    return _built(BertForSequenceClassification, _bert_config(tokenizer, num_labels=2)), tokenizer


@pytest.fixture
def tiny_bert_masked() -> tuple[Any, Any]:
    """A BERT with its masked head, and its tokenizer."""
    from transformers import BertForMaskedLM

    tokenizer = _bert_tokenizer()
    return _built(BertForMaskedLM, _bert_config(tokenizer)), tokenizer


@pytest.fixture
def tiny_gpt2() -> tuple[Any, Any]:
    """A GPT-2 whose tokenizer puts nothing in front of a text."""
    from transformers import GPT2LMHeadModel

    tokenizer = _gpt2_tokenizer()
    return _built(GPT2LMHeadModel, _gpt2_config(tokenizer)), tokenizer


@pytest.fixture
def tiny_gpt2_classifier() -> tuple[Any, Any]:
    """A GPT-2 with a head for two classes, read at the last token."""
    from transformers import GPT2ForSequenceClassification

    tokenizer = _gpt2_tokenizer()
    return _built(GPT2ForSequenceClassification, _gpt2_config(tokenizer, num_labels=2)), tokenizer


@pytest.fixture
def tiny_llama() -> tuple[Any, Any]:
    """A Llama whose tokenizer puts a beginning-of-text token in front."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _llama_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _built(LlamaForCausalLM, config), tokenizer


@pytest.fixture
def shared() -> Path:
    """The folder of shared public data and small models: `AUDIT_SHARED`, or `shared` beside the repository."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("AUDIT_SHARED") or root.parent / "shared")
    if not folder.is_dir():
        reason = "AUDIT_SHARED names no folder of shared data and models"
        if os.environ.get("AUDIT_REQUIRE_SHARED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder.resolve()
