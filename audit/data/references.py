"""The data of reference models: the audit's, with coins of their own for the pool and nothing planted.

References come in pairs with opposite coins, so that of every record as many references were trained on it as were
not; the coins of each are fair all the same. They follow from the commitment to the twins' coins and are independent of
those.
"""

import numpy as np

from audit.data.coins import fair_coins
from audit.data.splits import Splits
from probes.protocol import REFERENCE, Array, Items

POPULATION = "population"
"""The name of the items that neither twins nor references are trained on."""


def reference_coins(splits: Splits, number: int) -> Array:
    """Which rows of the pool a reference is trained on, shape (N,), boolean; one coin for each unit of the pool."""
    units, of_row = np.unique(splits.pool["cluster"].astype(str), return_inverse=True)
    coins = fair_coins(int(splits.commitment, 16), f"reference coins {number // 2}", len(units))
    return np.asarray(coins[of_row] ^ bool(number % 2))


def reference_examples(splits: Splits, number: int) -> Items:
    """What a reference is trained on: the rows outside the pool and those of the pool that its coins chose."""
    chosen = set(splits.pool["item_id"][reference_coins(splits, number)])
    everything = splits.candidate_examples()
    kept = [
        not in_pool or item in chosen
        for item, in_pool in zip(splits.train["item_id"], splits.train["in_pool"], strict=True)
    ]
    return everything.take(np.array(kept))


def reference_data(splits: Splits, count: int) -> dict[str, Items]:
    """What is asked of references: the pool with the coins of each as `is_member`, and a population.

    Args:
        splits: The audit's data.
        count: Number of references; without any there is nothing to ask.
    """
    if not count:
        return {}
    pools = {f"{REFERENCE}{k}": splits.pool.assign(is_member=reference_coins(splits, k)) for k in range(count)}
    return {**pools, POPULATION: splits.validation}
