"""Several attacks on the same records: which is strongest, without the luck of the best of many.

The attack is chosen on one half of the coins and reported on the other. Clusters fall into the halves by a hash of
their name, blind to the coins. Beside it, Holm's correction over all attacks says how many beat a coin.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from probes.privacy.attacks import scored
from probes.privacy.blind import parts
from probes.protocol import Array
from probes.results import Check, Coverage, Estimate, Value
from probes.stats.multiplicity import holm
from probes.stats.roc import weighted_auc

CHOSEN = "chosen"
"""The name of the attack that was chosen, among the attacks."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The attack with the largest AUC on one half of the records, and its scores on the other.

    Attributes:
        attack: Its name.
        score: Its scores, shape (N,), NaN in the half that chose it.
        chooses: Which records chose it, shape (N,), boolean.
    """

    attack: str
    score: Array
    chooses: Array

    @classmethod
    def of(cls, attacks: Mapping[str, Array], is_member: Array, cluster: Array) -> "Choice":
        """The choice among some attacks; the first of those that are equally good, or cannot be compared."""
        chooses = half_that_chooses(cluster)
        ours = chooses.astype(np.float64)
        found = {name: weighted_auc(*scored(score, is_member, ours)) or 0.0 for name, score in attacks.items()}
        attack = max(found, key=lambda name: found[name])
        return cls(attack=attack, score=np.where(chooses, np.nan, attacks[attack]), chooses=chooses)


def half_that_chooses(cluster: Array) -> Array:
    """Which records choose the attack, shape (N,), boolean; the others are those that it is reported on."""
    return np.asarray(parts(cluster, 2, "half") == 0)


def coverage_of_choice(score: Array, chooses: Array) -> Coverage:
    """How many records speak for the chosen attack."""
    silent = int((np.isnan(score) & ~chooses).sum())
    missing = {"the attack was chosen on them": int(chooses.sum())}
    missing |= {"no token could be scored": silent} if silent else {}
    return Coverage(asked=len(score), answered=len(score) - sum(missing.values()), missing=missing)


def check(attack: str, chooses: Array, values: Mapping[str, Value], level: float) -> Check:
    """How the reported attack was chosen, and how many of all attacks beat a coin.

    Args:
        attack: The chosen one.
        chooses: Which records chose it.
        values: The AUC of each attack on all records.
        level: Confidence level; what is left of it is shared among the attacks.
    """
    nulls = [value.null for value in values.values() if isinstance(value, Estimate)]
    p_values = [null.p for null in nulls if null is not None and null.p is not None]
    mine = int(chooses.sum())
    named = {"min_k": "Min-K", "min_k_plus_plus": "Min-K++"}.get(attack, attack.replace("_", " "))
    others = len(chooses) - mine
    said = [f"the attack {named}, by its AUC on {mine:,} records; its figures are of the {others:,} others"]
    if p_values:
        clear = int(holm(p_values, alpha=1 - level).significant.sum())
        error = f"{100 * (1 - level):.3g} % over all of them (Holm)"
        said.append(f"{clear} of {len(p_values)} attacks differ from a coin at {error}")
    name = "the attack is chosen on other records than it is reported on"
    return Check(name=name, outcome="pass", evidence="; ".join(said))
