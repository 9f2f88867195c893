"""The blind interlock: a classifier that never sees the model tries to tell members from non-members.

Where it can, members and non-members differ in more than their place in training (one is newer, longer, otherwise
formatted), and an attack on the model measures that difference as well. Fair coins leave it nothing to find. It reads
the texts when it is asked, and only its scores are stored.

Sources: Das, Zhang and Tramèr (2024), https://arxiv.org/abs/2406.16201, and Meeus et al. (2024),
https://arxiv.org/abs/2406.17975: published members and non-members told apart without a model.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from probes.protocol import Array, Items, Rows, Subject
from probes.results import Check, Estimate, NotMeasured, Value
from probes.stats.roc import FEWEST_PER_CLASS, auc

PARTS = 10
LEVEL, MARGIN = 0.95, 0.02
"""The interlock holds results back where the interval of the classifier's AUC, at this level, begins so far above ½."""

_MOST_WORDS, _BINS, _STRENGTH = 2**15, 8, 1.0
"""Most words and pairs of words that are counted; bins of every number; inverse of the penalty."""

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_DATE = re.compile(r"\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b")
_PATTERNS = {
    "digits": re.compile(r"\d"),
    "capitals": re.compile(r"[^\W\d_a-zß-öø-ÿ]"),
    "punctuation": re.compile(r"[^\w\s]"),
    "lines": re.compile(r"\n"),
    "spaces": re.compile(r"\s\s"),
    "addresses": re.compile(r"https?://|www\.|@"),
    "markup": re.compile(r"<[^>]+>|&\w+;|[*_#`]{2}"),
    "beyond ASCII": re.compile(r"[^\x00-\x7f]"),
    "years": _YEAR,
    "dates": _DATE,
}


@dataclass(frozen=True, kw_only=True)
class BlindScores:
    """How much like a member each item reads to a classifier that never saw it, nor any model.

    A logistic regression on words and pairs of words, on lengths, dates, and marks of format, and on the class where
    there is one. Clusters fall into ten parts; each part is ranked by a classifier fitted to all parts before it. Those
    before the first fit have no score. Were each part scored by all others, every coin would speak in scores and
    labels alike, and a classifier of noise would stray from one half more often than any interval for it allows.

    Columns: `blind_score`, the item's place in its part, in (0, 1).
    """

    name: ClassVar[str] = "blind_scores"
    version: ClassVar[int] = 1

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Fits to `text`, `text_pair`, `label` and `is_member`; the subject is not asked."""
        score = blind_scores(items)
        ids = pa.array(items["item_id"].tolist(), pa.string())
        yield pa.record_batch({"item_id": ids, "blind_score": pa.array(score, pa.float64())})


def blind_scores(items: Items) -> Array:
    """The scores of `BlindScores`, shape (N,), NaN where there is none."""
    from scipy.stats import rankdata

    part = parts(items["cluster"], PARTS, "blind")
    splits = [(np.flatnonzero(part == number), np.flatnonzero(part < number)) for number in range(1, PARTS)]
    score = np.full(items.n, np.nan)
    for ours, logits in _fitted(items, splits):
        score[ours] = (rankdata(logits) - 0.5) / len(ours)
    return score


def cross_fitted_logits(items: Items) -> Array:
    """Log-odds of being a member, each row's by a classifier of the clusters of all other parts; NaN where none is.

    For matching alone: scored by all others, every coin speaks in scores and labels alike (see `BlindScores`).

    Args:
        items: As `BlindScores` reads them.

    Returns:
        Shape (N,), nats.
    """
    part = parts(items["cluster"], PARTS, "propensity")
    splits = [(np.flatnonzero(part == number), np.flatnonzero(part != number)) for number in range(PARTS)]
    found = np.full(items.n, np.nan)
    for ours, logits in _fitted(items, splits):
        found[ours] = logits
    return found


def _fitted(items: Items, splits: Sequence[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    """For each pair of rows to score and rows to fit, the former with their logits; none where too few are fitted."""
    from sklearn.linear_model import LogisticRegression  # a second of import time, for whoever asks it alone
    from threadpoolctl import threadpool_limits

    is_member, features = items["is_member"].astype(bool), _features(items)
    with threadpool_limits(limits=1):  # so little work that threads would wait for each other
        for ours, others in splits:
            if min(is_member[others].sum(), (~is_member[others]).sum()) >= FEWEST_PER_CLASS and len(ours):
                fitted = LogisticRegression(C=_STRENGTH, max_iter=200).fit(features[others], is_member[others])
                yield ours, fitted.decision_function(features[ours])


def parts(clusters: Array, count: int, purpose: str) -> Array:
    """The part of each row, shape (N,), from a hash of its cluster: blind to coins, and the same in any order."""
    hashes = {c: hashlib.sha256(f"{purpose}:{c}".encode()).digest() for c in set(clusters.tolist())}
    return np.array([int.from_bytes(hashes[c][:8], "big") % count for c in clusters.tolist()], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Interlock:
    """What the classifier found.

    Where it could not be measured, results are shown only if the audit itself tossed the coins: then it is a second
    guard of what the tossing guarantees. Of members and non-members that somebody brought it is the only guard, so
    there they are held back.

    Attributes:
        auc: How well it tells members from non-members, at `LEVEL`.
        reason: Why results are held back; "" where they are not.
    """

    auc: Value
    reason: str

    @classmethod
    def of(cls, rows: Rows, *, tossed_here: bool = True) -> "Interlock":
        """The interlock of rows with `blind_score`, `is_member` and `cluster`.

        Args:
            rows: The rows.
            tossed_here: Whether the audit's own coins chose the members: without a score it is then open, else shut.
        """
        if "blind_score" not in rows:
            return cls._unmeasured(NotMeasured(reason="no classifier read the texts"), tossed_here)
        told = rows.take(~np.isnan(rows["blind_score"]))
        value = auc(told["blind_score"], told["is_member"], cluster=told["cluster"], level=LEVEL)
        if isinstance(value, NotMeasured):
            return cls._unmeasured(value, tossed_here)
        if value.low is None or value.low <= 0.5 + MARGIN:
            return cls(auc=value, reason="")
        reason = (
            "withheld: a classifier that never sees the model tells members from non-members "
            f"(AUC {_span(value)}), so they differ in more than their place in training"
        )
        return cls(auc=value, reason=reason)

    @classmethod
    def _unmeasured(cls, value: NotMeasured, tossed_here: bool) -> "Interlock":
        reason = "" if tossed_here else f"withheld: the blind reader could not be measured: {value.reason}"
        return cls(auc=value, reason=reason)

    def check(self) -> Check:
        """Whether members and non-members differ in more than the coin, as a line of the report."""
        name = "members and non-members differ in their coins alone"
        if isinstance(self.auc, NotMeasured):
            return Check(name=name, outcome="not checked", evidence=self.reason or self.auc.reason)
        tried = "a classifier of words, lengths, dates and format that never sees the model"
        limit = f"results are withheld where the interval begins above {0.5 + MARGIN:g}"
        return Check(
            name=name,
            outcome="fail" if self.reason else "pass",
            evidence=f"{tried} has AUC {_span(self.auc)}; {limit}",
        )


def _span(value: Estimate) -> str:
    return f"{value.value:.3f}, {100 * value.level:g} % interval {value.low:.3f} to {value.high:.3f}"


def _features(items: Items) -> Any:
    """Sparse features, shape (N, F); nothing is fitted to members and non-members here."""
    from scipy.sparse import csr_matrix, hstack

    texts = [list(items[name]) for name in ("text", "text_pair") if name in items]
    columns = [_binned(column) for some in texts for column in _numbers(some)]
    if "label" in items:
        columns.append(_one_hot(items["label"].astype(int)))
    return csr_matrix(
        hstack([_words([" \n ".join(row) for row in zip(*texts, strict=True)]), *map(csr_matrix, columns)])
    )


def _words(texts: Sequence[str]) -> Any:
    """Weights of words and pairs of words that stand in two texts or more: one that stands in one tells of no other."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counted = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", min_df=2, max_features=_MOST_WORDS, sublinear_tf=True
    )
    try:
        return counted.fit_transform(texts)
    except ValueError:  # no word stands in two of them
        return np.zeros((len(texts), 0))


def _numbers(texts: Sequence[str]) -> Iterator[Array]:
    """Lengths, rates of marks a character, and years, one number a text."""
    letters = np.array([len(text) for text in texts], dtype=np.float64)
    words = np.array([len(text.split()) for text in texts], dtype=np.float64)
    yield from (letters, words, letters / np.maximum(words, 1))
    for pattern in _PATTERNS.values():
        yield np.array([len(pattern.findall(text)) for text in texts]) / np.maximum(letters, 1)
    years = [[int(year) for year in _YEAR.findall(text)] for text in texts]
    yield np.array([max(some, default=0) for some in years], dtype=np.float64)
    yield np.array([text != text.strip() for text in texts], dtype=np.float64)


def _binned(column: Array) -> Array:
    """A number as the bin it falls in, of about equal counts, so that a linear classifier can tell a middle."""
    edges = np.unique(np.quantile(column, np.arange(1, _BINS) / _BINS))
    return _one_hot(np.searchsorted(edges, column, side="right"))


def _one_hot(codes: Array) -> Array:
    return np.eye(int(codes.max(initial=0)) + 1)[codes]
