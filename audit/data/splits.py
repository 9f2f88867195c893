"""What everything else is made from: who is trained on, what is asked, which coins fell, and what is planted.

train = core + pool          a candidate trains on all of it, and on nothing else
twin  = core + the members of the pool + the planted canaries, as often as each says
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from probes.protocol import Items
from probes.results import Role
from reports.record import DataQuality

_EXAMPLE = ("item_id", "cluster", "text", "text_pair", "label", "person")
_FIXED = ("train", "pool", "validation", "test", "canaries", "canary_references")


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """The data of an audit, prepared.

    Attributes:
        train: Everything a candidate trains on, in the order of its source: `item_id`, `cluster` (of
            near-duplicates), `text`, `text_pair`, `label`, `person` and `domain` where the data have them,
            `group:<name>`, `in_pool`.
        pool: The audit pool, a part of `train`: `is_member` tells the twins' coin; `cluster` is the coin's unit.
        validation: Held out; never trained on.
        test: Held out; never trained on.
        domains: Items of other domains, by name; never trained on.
        canaries: What may be planted in twins (`audit.data.canaries`); None where nothing is.
        canary_references: What secrets are ranked among; None where there are none.
        classes: Names of the classes in the order of the labels; empty for language models.
        groups: Names of the protected attributes.
        quality: What the data were like.
        commitment: SHA-256 that commits to the coins and the canaries.
    """

    train: Items
    pool: Items
    validation: Items
    test: Items
    domains: Mapping[str, Items]
    canaries: Items | None
    canary_references: Items | None
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    quality: DataQuality
    commitment: str

    def candidate_examples(self) -> Items:
        """What a candidate trains on: `item_id`, `cluster`, `text`; `text_pair`, `label`, `person` where they stand."""
        return _examples(self.train)

    def twin_examples(self) -> Items:
        """What a twin trains on, with the columns of `candidate_examples`.

        The rows outside the pool and the pool's members stand in the order of `train`, the planted canaries after
        them. The repetitions of a canary share its `item_id`; where persons stand, each canary is a person of its own.
        """
        members = set(self.pool["item_id"][self.pool["is_member"]])
        kept = [
            not in_pool or item in members
            for item, in_pool in zip(self.train["item_id"], self.train["in_pool"], strict=True)
        ]
        examples = _examples(self.train.take(np.array(kept)))
        if self.canaries is None:
            return examples
        planted = self.canaries.take(np.flatnonzero(self.canaries["is_member"]))
        planted = planted.take(np.repeat(np.arange(planted.n), planted["repetitions"]))
        if "person" in examples:
            planted = planted.assign(person=planted["item_id"])
        return stack([examples, _examples(planted)])

    def repeating(self, repetitions: int | None) -> "Splits":
        """The same with each planted canary as often as is said; None for as often as it says itself."""
        if repetitions is None or self.canaries is None:
            return self
        return replace(self, canaries=self.canaries.assign(repetitions=np.full(self.canaries.n, repetitions)))

    def probe_data(self, role: Role) -> dict[str, Items]:
        """What a probe may ask an arm of that role about: the `data` of `Probe.needs`.

        The pool and the canaries are there for twins only: no other arm was trained by these coins.
        """
        data = {"test": self.test, "validation": self.validation}
        data |= {f"domain:{name}": items for name, items in self.domains.items()}
        if role == "twin":
            private = {"pool": self.pool, "canaries": self.canaries, "canary_references": self.canary_references}
            data |= {name: items for name, items in private.items() if items is not None}
        return data

    def digests(self) -> dict[str, str]:
        """SHA-256 of the items by split; the names are those of `probe_data`, and "train"."""
        data = {"train": self.train, **self.probe_data("twin")}
        return {name: items.digest for name, items in data.items()}

    def save(self, folder: Path) -> None:
        """Write everything into a folder that only its owner can read; the same splits give the same bytes."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name, items in self._tables().items():
            buffer = BytesIO()
            pq.write_table(items.to_arrow(), buffer, compression="zstd")
            _write_private(folder / f"{name}.parquet", buffer.getvalue())
        plain = {
            "domains": list(self.domains),
            "classes": self.classes,
            "groups": self.groups,
            "quality": asdict(self.quality),
            "commitment": self.commitment,
        }
        _write_private(folder / "splits.json", (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> "Splits":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: The folder does not hold saved splits.
        """
        plain = json.loads((folder / "splits.json").read_text("utf-8"))
        tables = {name: _read(folder / f"{name}.parquet") for name in _FIXED if (folder / f"{name}.parquet").exists()}
        quality = plain["quality"]
        return cls(
            **{name: tables[name] for name in ("train", "pool", "validation", "test")},
            domains={name: _read(folder / f"domain-{i}.parquet") for i, name in enumerate(plain["domains"])},
            canaries=tables.get("canaries"),
            canary_references=tables.get("canary_references"),
            classes=tuple(plain["classes"]),
            groups=tuple(plain["groups"]),
            quality=DataQuality(**{**quality, "notes": tuple(quality["notes"])}),
            commitment=plain["commitment"],
        )

    def _tables(self) -> dict[str, Items]:
        fixed = {name: getattr(self, name) for name in _FIXED}
        others = {f"domain-{i}": items for i, items in enumerate(self.domains.values())}
        return {name: items for name, items in (fixed | others).items() if items is not None}


def stack(parts: Sequence[Items]) -> Items:
    """The rows of all parts, one after another, with the columns that every part has, in the first one's order."""
    shared = [column for column in parts[0] if all(column in part for part in parts)]
    return Items({c: np.concatenate([part[c] for part in parts]) for c in shared}, parts[0].sensitivity)


def _examples(items: Items) -> Items:
    return Items({column: items[column] for column in _EXAMPLE if column in items}, items.sensitivity)


def _read(path: Path) -> Items:
    return Items.from_arrow(pq.read_table(path))


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # an older file keeps its mode when it is opened
        file.write(content)
