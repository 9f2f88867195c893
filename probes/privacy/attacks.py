"""What attacks ask of a model, the scores they make of its answers, and what an attacker needs for each."""

from collections.abc import Mapping, Sequence

import numpy as np

from probes.privacy import reference_scores, scores
from probes.privacy.variants import PASSES, by_record
from probes.protocol import REFERENCE, Array, Ask, Facts, Items, Rows, Table
from probes.results import Coverage, NotApplicable
from probes.scoring.tables import ClassLogits, SentenceLogprob, TokenTable

_PROBABILITIES = {"classifier": "label probabilities", "causal": "token probabilities", "masked": "token probabilities"}
_NEEDS = {
    "loss": "{probabilities}",
    "reference": "{probabilities} of the model and of its base",
    "zlib": "{probabilities}",
    "min_k": "{probabilities}",
    "min_k_plus_plus": "token probabilities over the whole vocabulary",
    "error_zone": "token probabilities and first choices of the model, and token probabilities of its base",
    "windows": "{probabilities} of the model and of its base",
    "lowercase": "{probabilities}, two queries a record",
    "neighbours": "{probabilities}, several queries a record",
    "label_only": "decisions alone, several queries a record",
    "rmia": "{probabilities}, and a few reference models",
    "info_rmia": "{probabilities}, and a few reference models",
    "lira_offline": "{probabilities}, and many reference models",
    "lira_online": "{probabilities}, and many reference models, half of them trained on the record",
}

FEWEST_FOR_LIRA = 16
"""References from which a record's scores under them have a mean and a spread worth the name."""

_POPULATION = "population"


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


def own_passes(facts: Facts, items: Items, passes: Sequence[str], copies: int) -> dict[str, Ask]:
    """What the attacks with passes of their own ask of the arm: copies of the records, by the attack's name.

    An attack that this head cannot answer asks nothing; `why_no_pass` says why.
    """
    table: Table = ClassLogits() if facts.head == "classifier" else SentenceLogprob()
    return {name: Ask(table=table, on=PASSES[name](items, copies)) for name in passes if not why_no_pass(name, facts)}


def why_no_pass(name: str, facts: Facts) -> str:
    """Why an attack with a pass of its own cannot be made; "" where it can."""
    if name == "label_only" and facts.head != "classifier":
        return "an attack on decisions alone needs a classification head"
    if name == "neighbours" and facts.head == "classifier":
        return "neighbours are for language models, whose loss is that of the text itself"
    return ""


def of_references(facts: Facts, data: Mapping[str, Items], count: int) -> dict[str, Ask]:
    """What attacks with reference models ask: each about the pool and a population, and the arm about the latter.

    Without such items (a plan without references) nothing is asked.
    """
    if not count or _POPULATION not in data:
        return {}
    table = asks(facts, data, _POPULATION, "there is no population")["arm"].table
    found = {_POPULATION: Ask(table=table, on=data[_POPULATION])}
    for name in (f"{REFERENCE}{number}" for number in range(count)):
        found[name] = Ask(table=table, on=data[name], of=name)
        found[f"{_POPULATION}:{name}"] = Ask(table=table, on=data[_POPULATION], of=name)
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
        if base is not None:
            found["error_zone"] = scores.error_zone(arm["logprobs"], base["logprobs"], arm["is_top"])
            found["windows"] = scores.windows(arm["logprobs"], base["logprobs"])
    return found


def own_pass_scores(arm: Rows, tables: Mapping[str, Rows], facts: Facts) -> dict[str, Array]:
    """The score of each row by each attack whose pass was made: see `probes.privacy.variants`."""
    found = {}
    for name in PASSES:
        if name not in tables:
            continue
        if name == "label_only":
            right = by_record(_is_right(tables[name], facts), arm.n)
            found[name] = np.concatenate([_is_right(arm, facts)[:, None], right], axis=1).mean(axis=1)
        else:
            found[name] = minus_loss(arm) - by_record(minus_loss(tables[name]), arm.n).mean(axis=1)
    return found


def reference_attack_scores(arm: Rows, tables: Mapping[str, Rows], scale: float) -> dict[str, Array]:
    """The score of each row by each attack with reference models, where those were asked.

    Args:
        arm: The target's answers on the records.
        tables: All answers, by the names of `of_references`.
        scale: a of RMIA.
    """
    references = [tables[name] for name in tables if name.startswith(REFERENCE)]
    if not references:
        return {}
    others = [tables[f"{_POPULATION}:{REFERENCE}{number}"] for number in range(len(references))]
    population = tables[_POPULATION]
    is_inside = np.stack([table["is_member"].astype(bool) for table in references], axis=1)
    nobody = np.zeros((population.n, len(others)), dtype=bool)
    found = {
        "rmia": _rmia((arm, references, is_inside), (population, others, nobody), scale),
        "info_rmia": reference_scores.info_rmia(
            _log_ratios(arm, references, ~is_inside), _log_ratios(population, others, ~nobody)
        ),
    }
    if len(references) >= FEWEST_FOR_LIRA:
        target, theirs = (reference_scores.logit_confidence(x) for x in (minus_loss(arm), _losses(references)))
        found["lira_offline"] = reference_scores.lira_offline(target, theirs, is_inside)
        found["lira_online"] = reference_scores.lira_online(target, theirs, is_inside)
    return found


def usual_rmia_scale(facts: Facts) -> float:
    """What a of RMIA's offline form is where nobody chose it: its authors' for classifiers, 1 for language models."""
    return 0.3 if facts.head == "classifier" else 1.0


_Asked = tuple[Rows, Sequence[Rows], Array]
"""The target's answers, the references', and which reference was trained on which row."""


def _rmia(records: _Asked, population: _Asked, scale: float) -> Array:
    sides = []
    for target, references, is_inside in (records, population):
        outside = reference_scores.mean_of(np.exp(_losses(references)), ~is_inside)
        sides += [np.exp(minus_loss(target)), outside]
    told = ~np.isnan(sides[2]) & ~np.isnan(sides[3])
    return reference_scores.rmia_offline(sides[0], sides[1], sides[2][told], sides[3][told], scale=scale)


def _log_ratios(target: Rows, references: Sequence[Rows], chosen: Array) -> Array:
    """Gains on the references, of a causal model token by token."""
    if "logprobs" in target:
        return reference_scores.token_log_ratio(target["logprobs"], [r["logprobs"] for r in references], chosen)
    return reference_scores.log_ratio(minus_loss(target), _losses(references), chosen)


def _losses(references: Sequence[Rows]) -> Array:
    """Minus the loss of each row under each reference, shape (N, K)."""
    return np.stack([minus_loss(table) for table in references], axis=1)


def _is_right(table: Rows, facts: Facts) -> Array:
    return np.asarray(facts.decision(np.stack(list(table["logits"]))) == table["label"].astype(int))


def needed_for(attack: str, facts: Facts) -> str:
    """What an attacker needs for an attack, in words."""
    words = _NEEDS.get(attack, "what the strongest of these attacks needs")
    return words.format(probabilities=_PROBABILITIES[facts.head])


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
