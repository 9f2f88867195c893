"""Members and non-members that read alike: pairs matched on the blind classifier's propensity.

Where members and non-members come from elsewhere they may differ in time, topic or format, and an attack on a model
then measures that difference too. Among pairs of a member and a non-member that a classifier of the texts finds equally
likely to be members, what it can see is the same on both sides; what it cannot see need not be. A second classifier,
fitted to the matched rows alone, says how much is left.

Sources: Rosenbaum and Rubin (1983), "The central role of the propensity score in observational studies for causal
effects", theorem 1; Austin (2011), "Optimal caliper widths for propensity-score matching when estimating differences in
means and differences in proportions in observational studies" (a fifth of a standard deviation of the logit).
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from probes.privacy.blind import blind_scores, cross_fitted_logits
from probes.protocol import Array, Items, Subject

CALIPER = 0.2
"""Most that the logits of a pair may differ by, in standard deviations of the logit."""


@dataclass(frozen=True, kw_only=True)
class MatchedPairs:
    """Which member goes with which non-member, and how alike the matched rows still read.

    Each row's log-odds of being a member come from a classifier fitted to the clusters of the other nine parts. Members
    in an order that knows nothing (a hash) each take the nearest non-member that is left, if it lies within the
    caliper. Of a cluster one row is matched.

    Columns: `pair`, the member's item_id on both rows of a pair, "" for a row without one; `matched_blind_score`, the
    `blind_score` of a classifier fitted to the matched rows alone, empty where there is none.
    """

    name: ClassVar[str] = "matched_pairs"
    version: ClassVar[int] = 1

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Fits to the texts and `is_member`; the subject is not asked."""
        pair = match(cross_fitted_logits(items), items)
        matched = np.flatnonzero(pair != "")
        score = np.full(items.n, np.nan)
        if len(matched):
            score[matched] = blind_scores(items.take(matched).assign(cluster=pair[matched]))
        yield pa.record_batch(
            {
                "item_id": pa.array(items["item_id"].tolist(), pa.string()),
                "pair": pa.array(pair.tolist(), pa.string()),
                "matched_blind_score": pa.array(score, pa.float64()),
            }
        )


def match(logits: Array, items: Items, *, caliper: float = CALIPER) -> Array:
    """One-to-one nearest neighbours within a caliper, without replacement.

    Args:
        logits: Log-odds of being a member, shape (N,), NaN where there are none.
        items: With `item_id`, `cluster` and `is_member`.
        caliper: In standard deviations of the logits.

    Returns:
        Shape (N,): the member's item_id on both rows of a pair, else "".
    """
    pair = np.full(items.n, "", dtype=object)
    rows = _one_per_cluster(items, ~np.isnan(logits))
    is_member = items["is_member"].astype(bool)
    if not len(rows):
        return pair
    most = caliper * float(logits[rows].std())
    left = sorted((float(logits[row]), row) for row in rows if not is_member[row])
    for row in (row for row in rows if is_member[row]):
        nearest = _nearest(left, float(logits[row]))
        if nearest is not None and abs(left[nearest][0] - logits[row]) <= most:
            pair[row] = pair[left.pop(nearest)[1]] = items["item_id"][row]
    return pair


def _one_per_cluster(items: Items, told: Array) -> list[int]:
    """A row of each cluster, in the order of a hash of their names."""
    order = sorted(np.flatnonzero(told).tolist(), key=lambda row: _hash(str(items["item_id"][row])))
    first: dict[str, int] = {}
    for row in order:
        first.setdefault(items["cluster"][row], row)
    return list(first.values())


def _hash(name: str) -> bytes:
    return hashlib.sha256(f"match:{name}".encode()).digest()


def _nearest(left: list[tuple[float, int]], logit: float) -> int | None:
    """The place of the nearest of some ascending logits; None where none is left."""
    at = bisect_left(left, (logit, -1))
    beside = [place for place in (at - 1, at) if 0 <= place < len(left)]
    return min(beside, key=lambda place: abs(left[place][0] - logit), default=None)
