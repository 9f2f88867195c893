"""Does a decision change with the first name in the text?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from probes.bias.names import SAME, built_in_swaps
from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import ALL, Coverage, MetricSpec, NotApplicable, Null, Pillar, Role
from probes.scoring.tables import ClassLogits
from probes.stats.codes import codes
from probes.utility.decisions import logits_of


@dataclass(frozen=True, kw_only=True)
class NameSwap:
    """Does the decision change when a first name is swapped for one of another group?

    Some decisions hang by a thread and change with any name. So names of the same group are swapped as well, and only
    what goes beyond that (the excess) speaks of groups.

    Limits: names stand for groups only as far as the list does, in the United States, as perceived by others. The
    built-in sentences are everyday English and may be far from the texts of the task; swaps in such texts come with the
    run's data. Intervals take the sentences as drawn at random, and the names as given.

    Source: Garg et al. (2019), https://arxiv.org/abs/1809.10610, section 3 (counterfactual token fairness), on
    decisions instead of scores; the names are from Bertrand and Mullainathan (2004), https://doi.org/10.1257/0002828042002561.
    """

    name: ClassVar[str] = "name_swap"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "bias"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control"})
    tasks: ClassVar[frozenset[str]] = frozenset({"text-classification"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "flip_rate": MetricSpec(
            ideal=0.0, unit="rate", definition="name_swap:decision", label="decisions that change with the group"
        ),
        "flip_rate_same_group": MetricSpec(
            ideal=0.0, unit="rate", definition="name_swap:decision", label="decisions that change within a group"
        ),
        "excess_flip_rate": MetricSpec(
            ideal=0.0,
            unit="rate",
            definition="name_swap:difference",
            label="changes beyond those within a group",
            signed=True,
        ),
    }

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
        """The class logits of both sides of each swap."""
        if facts.task != "text-classification":
            raise NotApplicable(f"the task is {facts.task}, which has no decision that could change")
        if "test" in data and "text_pair" in data["test"]:
            raise NotApplicable("the task is about pairs of texts, and names are swapped in single ones")
        swaps = data["name_swaps"] if "name_swaps" in data else built_in_swaps()
        sides = {"original": swaps["text"], "swapped": swaps["text_pair"]}
        alone = swaps.drop(["text_pair"])
        return {side: Ask(table=ClassLogits(), on=Items({**alone, "text": text})) for side, text in sides.items()}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per swap: did the decision change?"""
        original, swapped = tables["original"], tables["swapped"]
        assert (original["item_id"] == swapped["item_id"]).all()
        return Rows(
            {
                "item_id": original["item_id"],
                "cluster": original["cluster"],
                "attribute": original["attribute"] if "attribute" in original else ["name"] * original.n,
                "is_changed": facts.decision(logits_of(original)) != facts.decision(logits_of(swapped)),
            }
        )

    def statistics(self, rows: Rows, weights: Array) -> dict[Key, float]:
        """The flip rate of each attribute, of swaps within a group, and the difference of the two."""
        rates = {name: _rate(rows, weights * inside) for name, inside in _by_attribute(rows).items()}
        same = rates.pop(SAME, None)
        values: dict[Key, float] = {} if same is None else {("flip_rate_same_group", ALL): same}
        for attribute, rate in rates.items():
            if rate is not None:
                values["flip_rate", f"attribute={attribute}"] = rate
                if same is not None:
                    values["excess_flip_rate", f"attribute={attribute}"] = rate - same
        return values

    def nulls(self, rows: Rows, facts: Facts, rng: np.random.Generator) -> dict[Key, Null]:
        """What swaps within a group change, and no excess."""
        within = Null(value=0.0, meaning="no more changes than within a group")
        nulls: dict[Key, Null] = {("excess_flip_rate", f"attribute={a}"): within for a in _by_attribute(rows)}
        same = _rate(rows, _by_attribute(rows).get(SAME, np.zeros(rows.n)).astype(np.float64))
        if same is None:
            return nulls
        shown = Null(value=same, meaning="swaps of two names of the same group")
        return nulls | {("flip_rate", f"attribute={a}"): shown for a in _by_attribute(rows)}

    def coverage(self, rows: Rows, facts: Facts) -> dict[str, Coverage]:
        """Every swap is answered."""
        return {
            ALL if name == SAME else f"attribute={name}": Coverage(asked=int(inside.sum()), answered=int(inside.sum()))
            for name, inside in _by_attribute(rows).items()
        }


def _by_attribute(rows: Rows) -> dict[str, Array]:
    found = codes(rows["attribute"])
    return {str(name): found.index == i for i, name in enumerate(found.values)}


def _rate(rows: Rows, weights: Array) -> float | None:
    return float(np.average(rows["is_changed"], weights=weights)) if weights.any() else None
