"""What attacks ask of a model, and the scores they make of its answers."""

from collections.abc import Mapping

import numpy as np

from probes.privacy import scores
from probes.protocol import Array, Ask, Facts, Items, Rows, Table
from probes.results import Coverage, NotApplicable
from probes.scoring.tables import ClassLogits, SentenceLogprob, TokenTable


def asks(facts: Facts, data: Mapping[str, Items], name: str, absent: str) -> dict[str, Ask]:
    """What a score-based attack asks on the named items: the arm, and the base where it compares.

    Raises:
        NotApplicable: There are no such items, or no labels where the head needs them.
    """
    if name not in data or not data[name].n:
        raise NotApplicable(absent)
    items = data[name]
    if facts.head == "classifier" and "label" not in items:
        raise NotApplicable("a classifier's loss needs labels, which these data do not have")
    tables: dict[str, Table] = {"classifier": ClassLogits(), "causal": TokenTable(), "masked": SentenceLogprob()}
    table = tables[facts.head]
    found = {"arm": Ask(table=table, on=items)}
    if facts.base_is_comparable:
        found["base"] = Ask(table=table, on=items, of="base")
    return found


def attack_scores(arm: Rows, base: Rows | None, share: float) -> dict[str, Array]:
    """The score of each row by each attack that the tables allow; NaN where a row could not be scored."""
    found = {"loss": minus_loss(arm)}
    if base is not None:
        found["reference"] = scores.reference(found["loss"], minus_loss(base))
    if "means" in arm:
        found["zlib"] = scores.zlib_ratio(arm["logprobs"], arm["zlib_bytes"])
        found["min_k"] = scores.min_k(arm["logprobs"], share)
        found["min_k_plus_plus"] = scores.min_k_plus_plus(arm["logprobs"], arm["means"], arm["deviations"], share)
    return found


def minus_loss(table: Rows) -> Array:
    """Minus the loss of each row: of its own class under a classifier, per scored token under a language model.

    A masked model's is the pseudo-log-likelihood per token, each token scored with only itself masked.
    """
    if "logits" in table:
        return scores.class_loss(np.stack(list(table["logits"])), table["label"].astype(int))
    if "logprobs" in table:
        return scores.mean_logprob(table["logprobs"])
    tokens = table["n_tokens"].astype(np.float64)
    return np.asarray(table["logprob_nats"].astype(np.float64) / np.where(tokens > 0, tokens, np.nan))


def scored(score: Array, *others: Array) -> tuple[Array, ...]:
    """The rows that have a score, of the score and of other columns of the same rows."""
    told = ~np.isnan(score)
    return (score, *others) if told.all() else tuple(column[told] for column in (score, *others))


def coverage_of(score: Array) -> Coverage:
    """How many rows have a score."""
    silent = int(np.isnan(score).sum())
    missing = {"no token could be scored": silent} if silent else {}
    return Coverage(asked=len(score), answered=len(score) - silent, missing=missing)
