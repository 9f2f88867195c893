"""Does a decision hold when the text is typed a little differently?"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from probes.protocol import Array, Ask, Facts, Items, Key, Rows
from probes.results import ALL, Coverage, MetricSpec, Null, Pillar, Role, Series, Value
from probes.robustness.edits import EDITS, generator, share_changed
from probes.scoring.tables import ClassLogits
from probes.summary import interval_columns
from probes.utility.decisions import decisions_of, labelled_items, logits_of

_DECISION, _CHANGED = "decision:", "share_changed:"
_UNCHANGED = -1


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """Do decisions hold under typing errors, other capitals, spaces and punctuation?

    Each kind of edit leaves the label as it is. A text that an edit leaves as it was is not asked again, nor counted.
    Edits of letters change one letter in 15 % of the words, one word at least; the share of characters that really
    changed stands beside each rate. An edit depends on the item and on its own kind alone.

    Limits: these are slips, not attacks; a text chosen to mislead the model does more. Texts in languages without case,
    spaces or Latin letters are hardly changed. Answers that change are not always answers that get worse: accuracy
    stands beside.

    Source: the comparison of each answer with the model's own before is that of Ribeiro et al. (2020),
    https://aclanthology.org/2020.acl-main.442, section 2.2 (invariance tests); the least over all edits is that of
    Liang et al. (2022), https://arxiv.org/abs/2211.09110, section 4.5.

    Attributes:
        kinds: The edits, by name.
        limit: Most test items that are asked, chosen by a hash of their ids.
    """

    name: ClassVar[str] = "perturbation"
    version: ClassVar[int] = 1
    pillar: ClassVar[Pillar] = "robustness"
    roles: ClassVar[frozenset[Role]] = frozenset({"candidate", "control"})
    tasks: ClassVar[frozenset[str]] = frozenset({"text-classification"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "answers_changed": MetricSpec(
            ideal=0.0, unit="rate", definition="perturbation:decision", label="answers changed by the edit"
        ),
        "accuracy_drop": MetricSpec(
            ideal=0.0,
            unit="rate",
            definition="perturbation:paired",
            label="accuracy lost by the edit",
            signed=True,
        ),
        "robust_accuracy": MetricSpec(
            ideal=1.0, unit="rate", definition="perturbation:worst-of-edits", label="right before and after every edit"
        ),
    }

    kinds: tuple[str, ...] = tuple(EDITS)
    limit: int = 500

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - set(EDITS))
        if unknown or not self.kinds:
            raise ValueError(f"kinds must be among {', '.join(EDITS)}; got {', '.join(unknown) or 'none'}")
        if self.limit < 1:
            raise ValueError(f"limit must be at least 1; got {self.limit}")

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> dict[str, Ask]:
        """The class logits of the test items, and of those chosen under each edit that changes them."""
        items = labelled_items(facts, data)
        some = items.take(chosen(items["item_id"], self.limit))
        edited = {kind: edited_items(some, kind) for kind in self.kinds}
        asks = {kind: Ask(table=ClassLogits(), on=on) for kind, on in edited.items() if on.n}
        return {"test": Ask(table=ClassLogits(), on=items), **asks}

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per chosen item: the decision before, and under each edit, −1 where the edit changed nothing."""
        everything = decisions_of(tables["test"], facts)
        rows = everything.take(chosen(everything["item_id"], self.limit))
        place = {item: at for at, item in enumerate(rows["item_id"])}
        columns: dict[str, Array] = {}
        for kind in self.kinds:
            decision = np.full(rows.n, _UNCHANGED)
            changed = np.zeros(rows.n)
            if kind in tables:
                at = [place[item] for item in tables[kind]["item_id"]]
                decision[at] = facts.decision(logits_of(tables[kind]))
                changed[at] = tables[kind]["share_changed"]
            columns |= {_DECISION + kind: decision, _CHANGED + kind: changed}
        return rows.assign(**columns)

    def statistics(self, rows: Rows, weights: Array) -> dict[Key, float]:
        """The rates of each kind over the texts that it changed, and of all kinds together."""
        values: dict[Key, float] = {("robust_accuracy", ALL): float(np.average(_always_right(rows), weights=weights))}
        for kind in _kinds(rows):
            decision = rows[_DECISION + kind]
            weight = weights * (decision != _UNCHANGED)
            if weight.any():
                changed = decision != rows["decision"]
                lost = rows["correct"].astype(float) - (decision == rows["label"])
                values["answers_changed", f"kind={kind}"] = float(np.average(changed, weights=weight))
                values["accuracy_drop", f"kind={kind}"] = float(np.average(lost, weights=weight))
        return values

    def proportions(self, rows: Rows) -> dict[Key, Array]:
        """Changed answers are a share of the changed texts."""
        shares: dict[Key, Array] = {("robust_accuracy", ALL): _always_right(rows).astype(np.float64)}
        for kind in _kinds(rows):
            decision = rows[_DECISION + kind]
            shares["answers_changed", f"kind={kind}"] = np.where(
                decision == _UNCHANGED, np.nan, (decision != rows["decision"]).astype(np.float64)
            )
        return shares

    def nulls(self, rows: Rows, facts: Facts, rng: np.random.Generator) -> dict[Key, Null]:
        """No accuracy lost."""
        return {("accuracy_drop", f"kind={kind}"): Null(value=0.0, meaning="no accuracy lost") for kind in _kinds(rows)}

    def coverage(self, rows: Rows, facts: Facts) -> dict[str, Coverage]:
        """Texts that an edit leaves as they are do not count for it."""
        by_kind = {f"kind={kind}": _coverage(rows[_DECISION + kind]) for kind in _kinds(rows)}
        return {ALL: Coverage(asked=rows.n, answered=rows.n), **by_kind}

    def series(self, values: Mapping[Key, Value], rows: Rows, facts: Facts) -> Iterator[Series]:
        """Answers changed by kind, with the share of characters that the edit changed."""
        kinds = _kinds(rows)
        asked = [rows[_DECISION + kind] != _UNCHANGED for kind in kinds]
        severity = [rows[_CHANGED + kind][some] for kind, some in zip(kinds, asked, strict=True)]
        drops = interval_columns(values.get(("accuracy_drop", f"kind={kind}")) for kind in kinds)
        yield Series(
            name="perturbations",
            kind="perturbations",
            columns={
                "kind": tuple(kinds),
                **interval_columns(values.get(("answers_changed", f"kind={kind}")) for kind in kinds),
                "n": tuple(float(some.sum()) for some in asked),
                "accuracy_drop": drops["value"],
                "characters_changed": tuple(float(share.mean()) if len(share) else None for share in severity),
            },
            notes={"axis": "answers changed", "unit": "rate"},
        )


def chosen(item_ids: Array, limit: int) -> Array:
    """Positions of at most `limit` items, those whose ids have the smallest hashes, in the order they stand in."""
    hashes = [hashlib.sha256(str(item).encode()).hexdigest() for item in item_ids]
    return np.array(sorted(np.argsort(hashes, kind="stable")[:limit]), dtype=np.int64)


def edited_items(items: Items, kind: str) -> Items:
    """The items whose texts an edit changes, so edited; a second text is edited as well."""
    columns = [name for name in ("text", "text_pair") if name in items]
    edited = {name: _edited(items[name], items["item_id"], kind, name) for name in columns}
    before = [" ".join(row) for row in zip(*(items[name] for name in columns), strict=True)]
    after = [" ".join(row) for row in zip(*(edited[name] for name in columns), strict=True)]
    shares = np.array([share_changed(old, new) for old, new in zip(before, after, strict=True)])
    return items.assign(**edited, share_changed=shares).take(np.flatnonzero(shares > 0))


def _edited(texts: Array, item_ids: Array, kind: str, column: str) -> list[str]:
    edit = EDITS[kind]
    return [edit(text, generator(f"{kind}:{column}", str(item))) for text, item in zip(texts, item_ids, strict=True)]


def _kinds(rows: Rows) -> list[str]:
    return [name.removeprefix(_DECISION) for name in rows if name.startswith(_DECISION)]


def _always_right(rows: Rows) -> Array:
    right = rows["correct"].astype(bool)
    for kind in _kinds(rows):
        decision = rows[_DECISION + kind]
        right = right & ((decision == _UNCHANGED) | (decision == rows["label"]))
    return right


def _coverage(decision: Array) -> Coverage:
    unchanged = int(np.count_nonzero(decision == _UNCHANGED))
    missing = {"unchanged by the edit": unchanged} if unchanged else {}
    return Coverage(asked=len(decision), answered=len(decision) - unchanged, missing=missing)
