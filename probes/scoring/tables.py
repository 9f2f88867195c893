"""The questions that most probes share: class logits, token scores, and log-probabilities of sentences and pairs."""

import difflib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from probes.protocol import Array, Items, Subject, TokenRows, sensitivity_of
from probes.results import NotApplicable, Sensitivity

PAIRS = 2048
"""Pairs that are asked together: both sides make one window of a scorer."""


@runtime_checkable
class _KnowsTruncation(Protocol):
    """A class scorer that can tell which texts it cuts."""

    def truncated(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Array:
        """Whether each text is cut, shape (N,)."""


@runtime_checkable
class _ScoresChosenTokens(Protocol):
    """A masked scorer that can be asked for some tokens of a text alone."""

    def token_ids(self, texts: Sequence[str]) -> list[Array]:
        """The tokens of each text that could be scored."""

    def pseudo_token_rows(self, texts: Sequence[str], positions: Sequence[Array] | None = None) -> Iterator[TokenRows]:
        """Scores of the tokens at the positions."""


@dataclass(frozen=True, kw_only=True)
class ClassLogits:
    """The logits of each item's classes.

    Columns: `logits` (one value a class, nats up to a constant per row) and `truncated` (empty where the scorer
    cannot tell).
    """

    name: ClassVar[str] = "class_logits"
    version: ClassVar[int] = 1

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Asks for the class logits of `text`, with `text_pair` where the items have it."""
        scorer = subject.need_classes()
        texts, pairs = _texts(items, "text"), _texts(items, "text_pair") if "text_pair" in items else None
        start = 0
        for logits in scorer.logits(texts, pairs):
            here = slice(start, start + len(logits))
            is_cut = [None] * len(logits)
            if isinstance(scorer, _KnowsTruncation):
                is_cut = scorer.truncated(texts[here], None if pairs is None else pairs[here]).tolist()
            columns = {"logits": _lists(list(logits), pa.float64()), "truncated": pa.array(is_cut, pa.bool_())}
            yield _batch(items, here, **columns)
            start = here.stop


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """What a causal model says of each token of a text: enough for loss, ratio, zlib and Min-K attacks alike.

    Columns, lists with one value for each scored token: `token_ids`, `logprobs`, `means`, `deviations` (see
    `probes.protocol.TokenRows`), `is_top`. Besides: `truncated`, and `zlib_bytes`, the length of the whole text's UTF-8
    when compressed by zlib at its default level.

    Log-probabilities are kept in float64, since findings are differences of them. Means and deviations are kept in
    float32: that is the precision of the logits they come from, and floating point keeps it where they are tiny.
    Token ids spell the text, so they are personal, or secret where the items carry secrets.
    """

    name: ClassVar[str] = "token_table"
    version: ClassVar[int] = 1

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Asks for the token scores of `text`."""
        texts = _texts(items, "text")
        sensitivity: dict[str, Sensitivity] = {"token_ids": "secret" if "secret" in items else "personal"}
        start = 0
        for rows in subject.need_tokens().token_rows(texts):
            here = slice(start, start + len(rows.truncated))
            yield _batch(
                items,
                here,
                sensitivity,
                token_ids=_lists(rows.token_ids, pa.int32()),
                logprobs=_lists(rows.logprobs, pa.float64()),
                means=_lists(rows.means, pa.float32()),
                deviations=_lists(rows.deviations, pa.float32()),
                is_top=_lists(rows.is_top, pa.bool_()),
                truncated=pa.array(rows.truncated, pa.bool_()),
                zlib_bytes=pa.array([len(zlib.compress(text.encode())) for text in texts[here]], pa.int32()),
            )
            start = here.stop


@dataclass(frozen=True, kw_only=True)
class SentenceLogprob:
    """The log-probability of each sentence: the sum over its tokens under a causal model, pseudo under a masked one.

    Columns: `logprob_nats` (empty where no token could be scored), `n_tokens` scored, `truncated`.
    """

    name: ClassVar[str] = "sentence_logprob"
    version: ClassVar[int] = 1

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Asks for the token scores of `text`."""
        texts, start = _texts(items, "text"), 0
        for rows in _token_rows(subject, texts):
            here = slice(start, start + len(rows.truncated))
            yield _batch(
                items,
                here,
                logprob_nats=_sums(rows.logprobs),
                n_tokens=pa.array([len(logprobs) for logprobs in rows.logprobs], pa.int32()),
                truncated=pa.array(rows.truncated, pa.bool_()),
            )
            start = here.stop


@dataclass(frozen=True, kw_only=True)
class PairLogprob:
    """How likely a model finds each of two sentences that differ in a few words.

    Under a masked model only the tokens that both sentences share are scored, each with only itself masked: how
    natural the rest is, given the words that differ. Shared are the blocks that `difflib.SequenceMatcher` finds in the
    token ids of `text` against those of `text_pair`, in this order, between a common start and end, and without its
    junk heuristic. Sums are not rounded. Under a causal model it is the sum over all scored tokens of a sentence.

    Columns: `more_nats` for `text` (the more stereotyping sentence of such benchmarks), `less_nats` for
    `text_pair`, both empty where nothing could be scored; `n_shared` tokens; `truncated` of either.

    Limits: blocks depend on the tokenizer, and in rare cases on the order of the two sentences. A causal model without
    a start token does not score the first token, so it sees a difference there only in what follows.

    Source: Nangia et al. (2020), https://arxiv.org/abs/2010.00133, section 3.
    """

    name: ClassVar[str] = "pair_logprob"
    version: ClassVar[int] = 1

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Asks for the token scores of `text` and `text_pair`."""
        more, less = _texts(items, "text"), _texts(items, "text_pair")
        for start in range(0, len(more), PAIRS):
            here = slice(start, min(start + PAIRS, len(more)))
            n = here.stop - start
            logprobs, truncated, n_shared = _of_pairs(subject, more[here] + less[here])
            yield _batch(
                items,
                here,
                more_nats=_sums(logprobs[:n]),
                less_nats=_sums(logprobs[n:]),
                n_shared=pa.array(n_shared, pa.int32()),
                truncated=pa.array(truncated[:n] | truncated[n:], pa.bool_()),
            )


def _of_pairs(subject: Subject, sentences: Sequence[str]) -> tuple[list[Array], Array, list[int]]:
    """Token scores of N first and then N second sentences, which were cut, and each pair's number of shared tokens."""
    n = len(sentences) // 2
    if subject.head == "masked":
        scorer = subject.need_masked()
        if not isinstance(scorer, _ScoresChosenTokens):
            raise NotApplicable(f"{subject.name} cannot be asked for the shared tokens of two sentences alone")
        ids = scorer.token_ids(sentences)
        shared = [_shared(*pair) for pair in zip(ids[:n], ids[n:], strict=True)]
        positions = [first for first, _ in shared] + [second for _, second in shared]
        windows = list(scorer.pseudo_token_rows(sentences, positions))
        n_shared = [len(first) for first, _ in shared]
    else:
        windows = list(subject.need_tokens().token_rows(sentences))
        ids = [tokens for rows in windows for tokens in rows.token_ids]
        n_shared = [len(_shared(*pair)[0]) for pair in zip(ids[:n], ids[n:], strict=True)]
    logprobs = [row for rows in windows for row in rows.logprobs]
    return logprobs, np.concatenate([rows.truncated for rows in windows]), n_shared


def _shared(first: Array, second: Array) -> tuple[Array, Array]:
    """Where the tokens that two sentences share stand in each, both (n_shared,)."""
    one, other = ([-1, *sentence.tolist(), -2] for sentence in (first, second))  # start and end, as in the source
    blocks = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    steps = [(block.a + k - 1, block.b + k - 1) for block in blocks for k in range(block.size)][1:-1]
    at = np.array(steps, dtype=np.int64).reshape(-1, 2)
    return at[:, 0], at[:, 1]


def _token_rows(subject: Subject, texts: Sequence[str]) -> Iterator[TokenRows]:
    if subject.head == "masked":
        return subject.need_masked().pseudo_token_rows(texts)
    return subject.need_tokens().token_rows(texts)


def _texts(items: Items, column: str) -> list[str]:
    return list(items[column])


def _sums(logprobs: Sequence[Array]) -> pa.Array:
    return pa.array([float(np.sum(row)) if len(row) else None for row in logprobs], pa.float64())


def _lists(rows: Sequence[Array], kind: pa.DataType) -> pa.ListArray:
    ends = np.cumsum([0, *map(len, rows)])
    values = np.concatenate(rows).astype(kind.to_pandas_dtype())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values, kind))


def _batch(
    items: Items, here: slice, sensitivity: Mapping[str, Sensitivity] | None = None, **columns: pa.Array
) -> pa.RecordBatch:
    """A batch with `item_id` in front; each field's metadata tells its sensitivity, as `Rows` reads it."""
    arrays = {"item_id": pa.array(items["item_id"][here].tolist(), pa.string()), **columns}
    given = sensitivity or {}
    fields = [
        pa.field(name, array.type, metadata={"sensitivity": given.get(name, sensitivity_of(name))})
        for name, array in arrays.items()
    ]
    return pa.record_batch(list(arrays.values()), schema=pa.schema(fields))
