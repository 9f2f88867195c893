"""Who is trained on, who is held out, and for whom the twins' coin is tossed: whole units, never a part of one.

A unit is a cluster of near-duplicates; where rows name persons, it is all that clusters and persons link together.
Units are put in an order that their texts give, and drawn from that, so that the order of the rows changes nothing.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from audit.data.clusters import UnionFind, first_seen
from audit.data.coins import fair_coins, generator
from audit.data.files import DataError
from probes.protocol import Array, Items

LARGEST_POOL = 2_200
"""Most units in an audit pool whose size the config does not give."""

POOL_SHARE = 0.2
"""Share of the training units in an audit pool whose size the config does not give, unless `LARGEST_POOL` is less."""

_HEAVY = 10  # a unit with more than one in ten of the training rows gets no coin: it would change what the twin learns


def units_of(clusters: Array, persons: Sequence[str] | None, texts: Sequence[str]) -> Array:
    """The unit of each row, numbered in the order that the texts give.

    Args:
        clusters: The near-duplicate cluster of each row, shape (N,).
        persons: The person of each row; None where rows name none.
        texts: What each row says.
    """
    units = first_seen(clusters.tolist())
    if persons is not None:
        linked = UnionFind(len(units))
        for names in (units.tolist(), persons):
            first: dict[int | str, int] = {}
            for row, name in enumerate(names):
                linked.union(first.setdefault(name, row), row)
        units = linked.numbers()
    hashes = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) for text in texts]
    lowest = np.full(units.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(lowest, units, np.array(hashes, dtype=np.uint64))
    rank = np.empty(len(lowest), dtype=np.int64)
    rank[np.argsort(lowest, kind="stable")] = np.arange(len(lowest))
    return np.asarray(rank[units])


def linked_units(parts: Sequence[Items]) -> list[Array]:
    """The unit of each row of several parts of the data, by the names of their clusters and persons in all of them.

    A row whose part names no persons is linked by its cluster alone.

    Args:
        parts: Items with `item_id`, `cluster` and, where their source names them, `person`.
    """
    clusters = np.concatenate([part["cluster"] for part in parts])
    persons = np.concatenate([part["person" if "person" in part else "item_id"] for part in parts]).tolist()
    return np.split(units_of(clusters, persons, persons), np.cumsum([part.n for part in parts])[:-1])


def held_out(sizes: Array, free: Array, share: float, purpose: str) -> Array:
    """Units to hold out, shape (U,), boolean.

    They are drawn in random order, and each is taken that still fits into the share of the rows; so a unit that is
    larger than the share stays in training. The draw has a seed of its own that no config changes: other coins or
    another training seed leave the split as it is.

    Args:
        sizes: Rows of each unit, shape (U,).
        free: Units that may be taken, shape (U,), boolean.
        share: Share of all rows, in (0, 1).
        purpose: What is held out: "test" or "validation".

    Raises:
        DataError: No unit fits.
    """
    room = max(1, round(share * int(sizes.sum())))
    taken = np.zeros(len(sizes), dtype=bool)
    for unit in generator(0, f"split {purpose}").permutation(np.flatnonzero(free)):
        if sizes[unit] <= room:
            taken[unit] = True
            room -= int(sizes[unit])
    if not taken.any():
        raise DataError(
            f"data.{purpose}: no independent unit is as small as a share of {share:g}; raise it, or name a file"
        )
    return taken


def largest_pool(sizes: Array) -> int:
    """The most units that an audit pool can have, of units with so many training rows each, shape (U,)."""
    return min(int(_is_light(sizes).sum()), len(sizes) - 1)


def _is_light(sizes: Array) -> Array:
    return np.asarray(sizes <= max(1, int(sizes.sum()) // _HEAVY))


def audit_pool(sizes: Array, size: int | None, seed: int) -> tuple[Array, Array]:
    """The units of the audit pool, and their coins.

    Args:
        sizes: Training rows of each unit, shape (U,).
        size: How many are drawn; None for the smaller of `LARGEST_POOL` and `POOL_SHARE` of the units.
        seed: Seed of the draw and of the coins.

    Returns:
        Whether each unit is in the pool, and whether it is a member, both of shape (U,), boolean.

    Raises:
        DataError: The pool would leave no unit outside, or needs units of more than a tenth of the rows.
    """
    light, most = np.flatnonzero(_is_light(sizes)), largest_pool(sizes)
    wanted = max(1, min(LARGEST_POOL, int(POOL_SHARE * len(sizes)), most)) if size is None else size
    if wanted > most:
        raise DataError(
            f"data.pool: at most {most:,} of the {len(sizes):,} training units can be in it, for at least one must stay"
            f" outside, as must those of over a tenth of the rows; got {wanted:,}"
        )
    in_pool = np.zeros(len(sizes), dtype=bool)
    in_pool[generator(seed, "pool").choice(light, size=wanted, replace=False)] = True
    is_member = np.zeros(len(sizes), dtype=bool)
    is_member[in_pool] = fair_coins(seed, "pool coins", wanted)
    return in_pool, is_member
