"""The audit's fair coins, the salt that hides identifiers, and the hash that commits to both before training.

Every draw has a generator of its own, seeded by the seed and the purpose, so that one more draw for one purpose
moves no other. The salt is secret: without it nobody can tell by trying whether an identifier, a person or a text is
in the data.
"""

import hashlib
import json
import secrets

import numpy as np

from probes.protocol import Array, Items


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose, independent of those for other purposes of the same seed."""
    return np.random.default_rng(int.from_bytes(_sha256("draw", purpose, seed)))


def fair_coins(seed: int, purpose: str, n: int) -> Array:
    """Independent fair coins, shape (n,), boolean; not a choice of exactly half."""
    return generator(seed, purpose).integers(2, size=n).astype(bool)


def fresh_seed() -> int:
    """A seed of 128 bits from the operating system's randomness, for coins that nobody can foretell."""
    return secrets.randbits(128)


def pseudonym(salt: str, *parts: str | int) -> str:
    """The name that stands for an identifier: 16 hex digits of SHA-256 over the salt and the parts."""
    return _sha256(salt, *parts).hex()[:16]


def commitment(salt: str, pool: Items, canaries: Items | None) -> str:
    """SHA-256 that commits to the coins of the pool and to the canaries with all that is known of them.

    Args:
        salt: Keeps the committed coins and texts from being found by trying.
        pool: The audit pool, with its coins.
        canaries: The canaries with theirs, None where there are none.
    """
    coins = dict(zip(pool["item_id"], pool["is_member"].tolist(), strict=True))
    planted = None if canaries is None else {column: canaries[column].tolist() for column in canaries}
    return _sha256("commitment", salt, coins, planted).hex()


def _sha256(*parts: object) -> bytes:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
