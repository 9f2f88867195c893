"""Near-duplicates: which texts are the same evidence.

MinHash signatures and banding (Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section
3.4) propose pairs, the exact Jaccard similarity of their word shingles decides. The clusters are the connected
components, so they do not depend on the order of the texts.
"""

import hashlib
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from probes.protocol import Array

SHINGLE = 3
"""Words in a shingle."""

ALWAYS_EVIDENCE = 5
"""A shingle that stands in no more texts than this is never boilerplate, however small the data."""

_HASHES = 128
_COMPARED = 256  # texts of a bucket that are compared with all of it at once
_MISSED = 1e-3  # largest probability of missing a pair that is exactly as similar as the threshold

# A word is a run of letters and digits; where a script has no spaces (Thai to Khmer, kana, Han), each letter is one.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")


class UnionFind:
    """Disjoint sets of the numbers below n, with path halving and the smallest member as root."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def find(self, i: int) -> int:
        """The root of the set that i is in."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def union(self, i: int, j: int) -> None:
        """Make one set of those that i and j are in."""
        i, j = self.find(i), self.find(j)
        self._parent[max(i, j)] = min(i, j)

    def numbers(self) -> Array:
        """Shape (n,): the number of the set each is in, counted from 0 in the order of first appearance."""
        return first_seen(self.find(i) for i in range(len(self._parent)))


def first_seen(values: Iterable[Hashable]) -> Array:
    """Shape (N,): each value's number, counted from 0 in the order of first appearance."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


def words(text: str) -> list[str]:
    """The words of a text without case, punctuation and differences of encoding (NFKC)."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def near_duplicates(
    texts: Sequence[str], origins: Sequence[int] | None = None, *, threshold: float = 0.8, boilerplate: float = 0.2
) -> Array:
    """Which cluster of near-duplicates each text is in.

    Two texts share a cluster if their words are the same, or if the Jaccard similarity of their shingles of three
    words reaches the threshold, or through a chain of such texts. Shingles that stand in more than the given share
    of the texts of one origin (and in more than `ALWAYS_EVIDENCE`) are set aside before, so that a common footer
    makes nothing similar; texts of which nothing else is left, or of fewer than three words, match exactly or not.

    A pair just at the threshold is missed with a probability of at most 0.1 %, more similar ones more seldom.

    Args:
        texts: The N texts.
        origins: The source of each, for what is boilerplate in one source need not be in another; None for one source.
        threshold: Similarity from which two texts are near-duplicates, in (0, 1).
        boilerplate: Share of texts from which on a shingle is set aside, in (0, 1).

    Returns:
        Shape (N,): cluster numbers, counted from 0 in the order of first appearance.
    """
    same, shingles = [], []
    for text in texts:
        its_words = words(text)
        same.append(_digest(" ".join(its_words) or " ".join(text.split())))
        shingles.append(_shingles(its_words))
    where = np.zeros(len(texts), dtype=np.int64) if origins is None else np.asarray(origins)
    evidence = _without_boilerplate(shingles, where, boilerplate)
    exact = first_seen(same)
    _, firsts = np.unique(exact, return_index=True)
    return np.asarray(_components([evidence[i] for i in firsts], threshold)[exact])


def _digest(text: str) -> int:
    """64 bits of a hash; Python's own differs from process to process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _shingles(its_words: list[str]) -> Array:
    """The hashes of the shingles, unique and sorted."""
    grams = {" ".join(its_words[i : i + SHINGLE]) for i in range(len(its_words) - SHINGLE + 1)}
    return np.unique(np.fromiter(map(_digest, grams), dtype=np.uint64, count=len(grams)))


def _without_boilerplate(shingles: list[Array], origins: Array, share: float) -> list[Array]:
    evidence = list(shingles)
    for origin in np.unique(origins):
        here = np.flatnonzero(origins == origin)
        seen, counts = np.unique(np.concatenate([shingles[i] for i in here]), return_counts=True)
        common = seen[counts > max(share * len(here), ALWAYS_EVIDENCE)]
        if len(common):
            for i in here:
                evidence[i] = np.setdiff1d(shingles[i], common, assume_unique=True)
    return evidence


def _components(sets: list[Array], threshold: float) -> Array:
    groups = UnionFind(len(sets))
    for bucket in _buckets(sets, _rows_of_a_band(threshold)):
        _unite(bucket, sets, threshold, groups)
    return groups.numbers()


def _rows_of_a_band(threshold: float) -> int:
    """The longest band that keeps the probability of missing a pair at the threshold below `_MISSED`."""
    fits = (r for r in range(_HASHES, 1, -1) if (_HASHES // r) * math.log1p(-(threshold**r)) <= math.log(_MISSED))
    return next(fits, 1)


def _buckets(sets: list[Array], rows: int) -> Iterable[list[int]]:
    """Texts that agree on a band of their signatures.

    The banding is our own: an index that lists every candidate of every text is quadratic in the size of a cluster.
    """
    from datasketch import MinHash

    filled = [i for i, hashes in enumerate(sets) if len(hashes)]
    signatures = np.empty((len(filled), _HASHES), dtype=np.uint32)
    sketch = MinHash(num_perm=_HASHES, seed=1, hashfunc=int)
    for place, i in enumerate(filled):
        sketch.clear()
        sketch.update_batch((sets[i] >> np.uint64(32)).tolist())  # the sketch takes 32 bits
        signatures[place] = sketch.hashvalues
    for start in range(0, _HASHES - rows + 1, rows):
        band = np.ascontiguousarray(signatures[:, start : start + rows])
        buckets = defaultdict(list)
        for place, key in enumerate(band.view(f"V{band.itemsize * rows}").ravel().tolist()):
            buckets[key].append(filled[place])
        yield from (bucket for bucket in buckets.values() if len(bucket) > 1)


def _unite(bucket: list[int], sets: list[Array], threshold: float, groups: UnionFind) -> None:
    """Unite all similar pairs of the bucket; where all are connected already, nothing needs a look.

    Texts made from one form may fall into one bucket by the thousand and be similar by a hair too little, so that every
    pair of them has to be compared: as a product of sparse matrices, some rows at a time.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    sizes = np.array([len(sets[i]) for i in bucket])
    found: csr_array | None = None
    for start in range(0, len(bucket), _COMPARED):
        roots = np.array([groups.find(i) for i in bucket])
        if (roots == roots[0]).all():
            return
        found = _incidence([sets[i] for i in bucket]) if found is None else found
        here = slice(start, start + _COMPARED)
        shared = (found[here] @ found.T).toarray()
        alike = shared / (sizes[here, None] + sizes - shared) >= threshold
        ours, theirs = np.nonzero(alike & (roots[here, None] != roots))
        edges = csr_array((np.ones(len(ours)), (ours + start, theirs)), shape=(len(bucket), len(bucket)))
        first: dict[int, int] = {}
        for i, part in zip(bucket, connected_components(edges, directed=False)[1].tolist(), strict=True):
            groups.union(first.setdefault(part, i), i)


def _incidence(sets: list[Array]) -> Any:
    """Which set holds which of all their elements, as a sparse matrix of shape (sets, elements)."""
    from scipy.sparse import csr_array

    elements, columns = np.unique(np.concatenate(sets), return_inverse=True)
    ends = np.cumsum([0, *map(len, sets)])
    return csr_array((np.ones(len(columns), dtype=np.int32), columns, ends), shape=(len(sets), len(elements)))
