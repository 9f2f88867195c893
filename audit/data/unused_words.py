"""Words that a model's tokenizer knows as one token and that the data of an audit never use.

A text that ends in such a word is like the data up to its last token, and that token stands nowhere else. The model
stays as it is: no token is added, so nothing has to be resized. Of the model only the tokenizer is read.

Source: Panda et al. (2025), https://arxiv.org/abs/2503.06808, who add new tokens to the model instead.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from audit.data.clusters import words
from audit.data.files import DataError
from audit.settings.sections.models import Model
from audit.store import file_digest
from audit.tokenizers import load_tokenizer, revision_of

_T = TypeVar("_T")

_BEFORE = ("it", "it ends.")  # a word must be one token after a letter and after a sign
_SHORTEST = 2  # letters: one letter is no word
_AT_ONCE = 1000
_OF_TOKENIZERS = (".json", ".model", ".tiktoken", ".txt")


def unused_words(model: Model, texts: Iterable[str]) -> list[str]:
    """The words of a model's vocabulary that are one token at the end of a text and stand in none of the given ones.

    A word is of letters alone. Written after a text and a space it makes exactly one token more, which is encoded to
    see; that token stands in no encoding of the texts, not even as a part of a word, and the word is no word of theirs,
    in whatever case. Of words that differ in case alone there is one, in small letters where that is a token too.

    Args:
        model: The config's model section; the tokenizer is loaded as it is for training.
        texts: What must not hold the words.

    Returns:
        The words, sorted.

    Raises:
        DataError: The tokenizer cannot be loaded.
    """
    tokenizer = _tokenizer(model)
    tokens, said = _used(tokenizer, texts)
    tokens |= set(tokenizer.all_special_ids)
    first: dict[str, str] = {}
    for word in _single_tokens(tokenizer, tokens):
        folded = words(word)
        if not said.intersection(folded):
            first.setdefault(" ".join(folded), word)
    return sorted(first.values())


def tokenizer_inputs(model: Model) -> Any:
    """What names a model's tokenizer, as JSON: its files' content for a folder, name and commit on the hub.

    Of a folder all files count that a tokenizer may be read from, weights and pages do not.
    """
    name = model.tokenizer or model.name
    folder = Path(name)
    if not folder.is_dir():
        return [name, revision_of(model)]
    files = sorted(file for file in folder.iterdir() if file.suffix in _OF_TOKENIZERS)
    return {file.name: file_digest(file) for file in files}


def _tokenizer(model: Model) -> Any:
    try:
        return load_tokenizer(model)
    except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(
            f"data.canaries: new_token ones are made with the model's tokenizer, and that of"
            f" {model.tokenizer or model.name} cannot be loaded ({why})"
        ) from error


def _used(tokenizer: Any, texts: Iterable[str]) -> tuple[set[int], set[str]]:
    """The tokens of the texts, and their words."""
    tokens: set[int] = set()
    said: set[str] = set()
    for some in _batches(texts):
        for ids in _encoded(tokenizer, some):
            tokens.update(ids)
        for text in some:
            said.update(words(text))
    return tokens, said


def _single_tokens(tokenizer: Any, excluded: set[int]) -> Iterator[str]:
    """The vocabulary's words that are a token after a text, each before those that differ in capitals alone."""
    known = {number: token for token, number in tokenizer.get_vocab().items() if number not in excluded}
    spelled = [(tokenizer.convert_tokens_to_string([token]).strip(), number) for number, token in known.items()]
    candidates = sorted({one for one in spelled if len(one[0]) >= _SHORTEST and one[0].isalpha()}, key=_small_first)
    before = _encoded(tokenizer, _BEFORE)
    for some in _batches(candidates):
        is_one = [True] * len(some)
        for text, ids in zip(_BEFORE, before, strict=True):
            longer = _encoded(tokenizer, [f"{text} {word}" for word, _ in some])
            for place, ((_, number), found) in enumerate(zip(some, longer, strict=True)):
                is_one[place] &= found == [*ids, number]
        yield from (word for (word, _), whether in zip(some, is_one, strict=True) if whether)


def _small_first(candidate: tuple[str, int]) -> tuple[str, bool, str, int]:
    word, number = candidate
    return word.casefold(), word != word.lower(), word, number


def _encoded(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of whole texts, without those that the tokenizer adds."""
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    return [list(ids) for ids in encoded["input_ids"]]


def _batches(some: Iterable[_T]) -> Iterator[list[_T]]:
    remaining = iter(some)
    while batch := list(islice(remaining, _AT_ONCE)):
        yield batch
