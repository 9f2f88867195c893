"""How much more is a language model surprised by texts from elsewhere?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import Coverage, MetricSpec, Null, Pillar, Role, Series, Value
from probes.robustness.domains import by_domain, domains_of, other_domains, trained_on
from probes.summary import interval_columns
from probes.utility.language import ask_texts, quality, scored_texts, text_rows


def _spec(ideal: float, unit: str, definition: str, label: str) -> MetricSpec:
    return MetricSpec(
        ideal=ideal,
        unit=unit,
        definition=f"language_shift:{definition}",
        label=label,
        access="token probabilities",
    )


@dataclass(frozen=True, kw_only=True)
class LanguageShift:
    """How much worse does a language model predict texts of another domain?

    Perplexity and bits per character are those of `language_quality`, by domain. The ratio of perplexities is the other
    domain's over the training domain's; the increase is that of the bits per character. A masked model has a
    pseudo-perplexity, of which the ratio is taken.

    Limits: domains differ in how predictable they are for any model, so the ratio of the untouched base is what to
    compare with. Perplexities cannot be compared between tokenizers, bits per character can.

    Source: as for `language_quality`; Gururangan et al. (2020), https://arxiv.org/abs/2004.10964, section 3, compare a
    model's loss on texts of its own and of other domains in this way.
    """

    name: ClassVar[str] = "language_shift"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "robustness"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control"})
    tasks: ClassVar[frozenset[str]] = frozenset({"causal-lm", "masked-lm"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "perplexity": _spec(1.0, "perplexity", "token-mean", "perplexity"),
        "pseudo_perplexity": _spec(1.0, "perplexity", "pseudo-token-mean", "pseudo-perplexity"),
        "bits_per_character": _spec(0.0, "bits", "characters-of-input", "bits per character"),
        "perplexity_ratio": _spec(1.0, "ratio", "out-over-in", "perplexity, relative to the training domain"),
        "bits_per_character_increase": _spec(0.0, "bits", "out-minus-in", "more bits per character"),
    }

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
        """The log-probabilities of the test texts and of each other domain's."""
        others = other_domains(data)
        return {name: ask_texts(facts, items) for name, items in {"test": data["test"], **others}.items()}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per text, with its domain."""
        return by_domain({name: text_rows(table, facts) for name, table in tables.items()}, tables["test"])

    def statistics(self, rows: Rows, weights: Array) -> dict[Key, float]:
        """Each domain's numbers, and the other domains' relative to the training domain's."""
        found = {name: quality(rows, weights * inside) for name, inside in domains_of(rows).items()}
        values: dict[Key, float] = {
            (metric, f"domain={name}"): value for name, numbers in found.items() for metric, value in numbers.items()
        }
        before = found.pop(trained_on(rows), {})
        for name, after in found.items():
            values |= {(metric, f"domain={name}"): value for metric, value in _shift(before, after).items()}
        return values

    def nulls(self, rows: Rows, facts: Facts, rng: np.random.Generator) -> dict[Key, Null]:
        """As well predicted as the training domain."""
        ratio, increase = (Null(value=value, meaning="as in the training domain") for value in (1.0, 0.0))
        parts = [f"domain={name}" for name in domains_of(rows)]
        return {
            **{("perplexity_ratio", part): ratio for part in parts},
            **{("bits_per_character_increase", part): increase for part in parts},
        }

    def coverage(self, rows: Rows, facts: Facts) -> dict[str, Coverage]:
        """Texts of each domain of which a token could be scored."""
        return {f"domain={name}": scored_texts(rows.take(inside)) for name, inside in domains_of(rows).items()}

    def series(self, values: Mapping[Key, Value], rows: Rows, facts: Facts) -> Iterator[Series]:
        """Perplexity by domain."""
        domains = domains_of(rows)
        metric = "pseudo_perplexity" if rows["is_pseudo"].any() else "perplexity"
        yield Series(
            name="domains",
            kind="groups",
            columns={
                "metric": (metric.replace("_", "-"),) * len(domains),
                "group": tuple(domains),
                **interval_columns(values.get((metric, f"domain={name}")) for name in domains),
                "n": tuple(float(np.count_nonzero(inside)) for inside in domains.values()),
            },
            notes={"in_domain": trained_on(rows), "unit": "perplexity"},
        )


def _shift(inside: Mapping[str, float], outside: Mapping[str, float]) -> dict[str, float]:
    """What both domains have, compared."""
    values = {}
    for metric in ("perplexity", "pseudo_perplexity"):
        if metric in inside and metric in outside:
            values["perplexity_ratio"] = outside[metric] / inside[metric]
    if "bits_per_character" in inside and "bits_per_character" in outside:
        values["bits_per_character_increase"] = outside["bits_per_character"] - inside["bits_per_character"]
    return values
