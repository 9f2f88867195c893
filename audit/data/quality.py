"""What the data were like, counted from the prepared items; no text of theirs is shown."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from audit.data.division import linked_units
from probes.protocol import Items
from reports.record import DataQuality


def data_quality(
    *,
    train: Items,
    pool: Items,
    validation: Items,
    test: Items,
    domains: Mapping[str, Items],
    canaries: Items | None,
    groups: Sequence[str],
    read: int,
    bad: Mapping[str, int],
    notes: Sequence[str] = (),
) -> DataQuality:
    """Count what the reader of a report should know of the data.

    Args:
        train: Everything a candidate trains on.
        pool: The audit pool, with its coins.
        validation: Held out.
        test: Held out.
        domains: Items of other domains.
        canaries: The canaries with their coins, None where there are none.
        groups: Names of the protected attributes.
        read: Number of rows read.
        bad: Rows left out, by reason.
        notes: Sentences on how the data were prepared; those on what the counts show are added.
    """
    named = {"train": train, "validation": validation, "test": test}
    named |= {f"domain:{name}": items for name, items in domains.items()}
    kept = sum(items.n for items in named.values())
    different = len(set().union(*(items["cluster"].tolist() for items in named.values())))
    units = np.unique(np.concatenate(linked_units(list(named.values()))))
    persons = set().union(*(items["person"].tolist() for items in named.values() if "person" in items))
    trained = Counter(train["person"].tolist()) if "person" in train else Counter[str]()
    both = set(train["person"]) & set(test["person"]) if "person" in train and "person" in test else set()
    kinds = Counter[str]() if canaries is None else Counter(canaries["kind"].tolist())
    planted = Counter[str]() if canaries is None else Counter(canaries["kind"][canaries["is_member"]].tolist())
    return DataQuality(
        read=read,
        kept=kept,
        bad=dict(sorted(bad.items())),
        duplicates=kept - different,
        clusters=len(units),
        persons=len(persons) if persons else None,
        largest_person=max(trained.values()) if trained else None,
        persons_on_both_sides=len(both) if persons else None,
        splits={name: items.n for name, items in named.items()},
        pool=pool.n,
        pool_members=int(pool["is_member"].sum()),
        canaries=dict(sorted(kinds.items())),
        canaries_planted={kind: planted[kind] for kind in sorted(kinds)},
        groups={group: dict(sorted(Counter(test[f"group:{group}"].tolist()).items())) for group in groups},
        notes=(*notes, *_overlaps(train, named, both)),
    )


def _overlaps(train: Items, named: Mapping[str, Items], both: set[str]) -> Iterable[str]:
    """What of the training data also stands where the model is tested."""
    trained_on = np.unique(train["cluster"].astype(str))
    for name, items in named.items():
        found = 0 if name == "train" else int(np.isin(items["cluster"].astype(str), trained_on).sum())
        if found:
            yield (
                f"{found:,} of the {items.n:,} rows of {name} are near-duplicates of training texts; numbers on them"
                " may be better than on new texts"
            )
    if both:
        yield (
            f"{len(both):,} of the {len(set(named['test']['person'])):,} persons in test have rows in training too;"
            " numbers on them may be better than on new persons"
        )
