"""The embedded world's own model: a tiny causal transformer over its words, made in memory."""

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from audit.world.language import CONTEXT, END, PADDING, START, UNKNOWN, vocabulary

WIDTH, LAYERS, HEADS = 64, 1, 4
"""Size of the model. One layer learns this language as well as two, for half the time."""


def world_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word and per digit, a start token in front; a word that the world lacks becomes one unknown token.

    There is no case: a capital letter changes nothing.
    """
    ids = {word: place for place, word in enumerate(vocabulary())}
    words = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    words.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", pair=f"{START} $A $B", special_tokens=[(START, ids[START])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=CONTEXT,
        bos_token=START,
        eos_token=END,
        pad_token=PADDING,
        unk_token=UNKNOWN,
    )


def world_model(seed: int) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """The untrained model, its weights drawn from the seed alone, and its tokenizer.

    It has no dropout: the standard recipe of the demo is meant to remember what it has read.
    """
    tokenizer = world_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config), tokenizer
