"""What a classifier decided on each item, and how sure it was: the rows that most probes of classifiers start from."""

from collections.abc import Mapping

import numpy as np

from probes.protocol import Array, Facts, Items, Rows, probabilities
from probes.results import NotApplicable
from probes.stats.calibration import squared_errors


def labelled_items(facts: Facts, data: Mapping[str, Items], name: str = "test") -> Items:
    """The items of that name, for a task with classes.

    Raises:
        NotApplicable: The task has no classes, or there are no such items, or they have no labels.
    """
    if facts.task != "text-classification":
        raise NotApplicable(f"the task is {facts.task}, which has no classes to decide for")
    if name not in data or data[name].n == 0:
        raise NotApplicable(f"there are no {name} items")
    if "label" not in data[name]:
        raise NotApplicable(f"the {name} items have no labels")
    return data[name]


def logits_of(table: Rows) -> Array:
    """The logits of a table of `ClassLogits`, shape (N, C)."""
    return np.stack([np.asarray(row, dtype=np.float64) for row in table["logits"]])


def decisions_of(table: Rows, facts: Facts) -> Rows:
    """One row per item of a table of `ClassLogits`.

    Columns: `item_id`, `cluster`; `label` and `decision`, indices into the classes; `correct`; `confidence`, the
    probability of the decided class; `loss_nats`, minus the log-probability of the label; `squared_error` of the
    probabilities. A probe that speaks of groups takes them from the table: what is personal stands only in rows that
    need it.
    """
    logits = logits_of(table)
    label = table["label"].astype(np.int64)
    decision = facts.decision(logits)
    each, chances = np.arange(len(logits)), probabilities(logits)
    logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)  # (N, C)
    return Rows(
        {
            "item_id": table["item_id"],
            "cluster": table["cluster"],
            "label": label,
            "decision": decision,
            "correct": decision == label,
            "confidence": chances[each, decision],
            "loss_nats": -logprobs[each, label],
            "squared_error": squared_errors(chances, label),
        }
    )
