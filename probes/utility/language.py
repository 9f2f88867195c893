"""How well a language model predicts texts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import ALL, Coverage, MetricSpec, NotApplicable, Pillar, Role
from probes.scoring.tables import SentenceLogprob


@dataclass(frozen=True, kw_only=True)
class LanguageQuality:
    """How well does the model predict the test texts, token by token and per character?

    Perplexity is exp(nats per scored token), over all tokens of all texts together. Bits per character divide the same
    nats by ln 2 and by the characters of the texts as given; they can be compared between tokenizers, perplexities
    cannot. A masked model has a pseudo-perplexity only: each token is predicted with all others in sight.

    Limits: a text longer than the model's limit is scored up to it, and is left out of the bits per character. A causal
    model without a start token does not score the first token, though its characters are counted.

    Source: Salazar et al. (2020), https://arxiv.org/abs/1910.14659 (pseudo-perplexity); Gao et al. (2020),
    https://arxiv.org/abs/2101.00027, section 3.1, who count the bytes of the given text where we count its characters.
    """

    name: ClassVar[str] = "language_quality"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "utility"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control", "twin"})
    tasks: ClassVar[frozenset[str]] = frozenset({"causal-lm", "masked-lm"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "perplexity": MetricSpec(
            ideal=1.0,
            unit="perplexity",
            definition="language_quality:token-mean",
            label="perplexity",
            access="token probabilities",
        ),
        "bits_per_character": MetricSpec(
            ideal=0.0,
            unit="bits",
            definition="language_quality:characters-of-input",
            label="bits per character",
            access="token probabilities",
        ),
        "pseudo_perplexity": MetricSpec(
            ideal=1.0,
            unit="perplexity",
            definition="language_quality:pseudo-token-mean",
            label="pseudo-perplexity",
            access="token probabilities",
        ),
    }

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
        """The log-probabilities of the test texts."""
        if "test" not in data or data["test"].n == 0:
            raise NotApplicable("there are no test items")
        return {"test": ask_texts(facts, data["test"])}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per text."""
        return text_rows(tables["test"], facts)

    def statistics(self, rows: Rows, weights: Array) -> dict[Key, float]:
        """Sums over texts, divided."""
        return {(metric, ALL): value for metric, value in quality(rows, weights).items()}

    def coverage(self, rows: Rows, facts: Facts) -> dict[str, Coverage]:
        """Texts without a token that could be scored are missing."""
        return {ALL: scored_texts(rows)}


def ask_texts(facts: Facts, items: Items) -> Ask:
    """The log-probabilities of texts, whose lengths in characters come back beside them.

    Raises:
        NotApplicable: A classification head says nothing of the text itself.
    """
    if facts.head == "classifier":
        raise NotApplicable("a classification head gives no probability to the text itself")
    return Ask(table=SentenceLogprob(), on=items.assign(characters=[len(text) for text in items["text"]]))


def text_rows(table: Rows, facts: Facts) -> Rows:
    """One row per text: `nats` (minus the log-probability, 0 where nothing was scored), `n_tokens`, `characters`.

    `is_whole` says whether all of the text was scored, `is_pseudo` whether by a masked model.
    """
    nats = -np.array([0.0 if value is None else value for value in table["logprob_nats"]], dtype=np.float64)
    return Rows(
        {
            "item_id": table["item_id"],
            "cluster": table["cluster"],
            "nats": np.nan_to_num(nats, nan=0.0),
            "n_tokens": table["n_tokens"],
            "characters": table["characters"],
            "is_whole": ~table["truncated"].astype(bool) & (table["n_tokens"] > 0),
            "is_pseudo": np.full(table.n, facts.head == "masked"),
        }
    )


def quality(rows: Rows, weights: Array) -> dict[str, float]:
    """Perplexity and bits per character of weighted texts; what has nothing to rest on is left out."""
    tokens = float(weights @ rows["n_tokens"])
    if tokens == 0:
        return {}
    perplexity = math.exp(float(weights @ rows["nats"]) / tokens)
    if rows["is_pseudo"].any():
        return {"pseudo_perplexity": perplexity}
    whole = weights * rows["is_whole"]
    characters = float(whole @ rows["characters"])
    bits = {"bits_per_character": float(whole @ rows["nats"]) / math.log(2) / characters} if characters else {}
    return {"perplexity": perplexity, **bits}


def scored_texts(rows: Rows) -> Coverage:
    """How many texts were scored at all."""
    answered = int(np.count_nonzero(rows["n_tokens"] > 0))
    missing = {"no token could be scored": rows.n - answered} if answered < rows.n else {}
    return Coverage(asked=rows.n, answered=answered, missing=missing)
