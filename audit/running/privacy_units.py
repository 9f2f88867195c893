"""What one unit of privacy is in an arm's training data, and how many there are."""

import math
from collections.abc import Iterator

from audit.data.references import reference_examples
from audit.data.rows import NOBODY
from audit.data.splits import Splits
from audit.planning.plan import ArmPlan
from audit.settings.mistakes import Wrong
from audit.settings.sections.training import Privacy
from probes.protocol import Items


def examples_of(arm: ArmPlan, splits: Splits) -> Items:
    """What an arm is trained on: everything for a candidate, the audit's data for twins, references and controls."""
    if arm.number is not None:
        return reference_examples(splits, arm.number)
    if arm.is_on_audit_data:
        return splits.repeating(arm.repetitions).twin_examples()
    return splits.candidate_examples()


def unit_names(privacy: Privacy, items: Items) -> list[str] | None:
    """The name of each row's unit, which depends on the unit's own rows alone; None where each row is a unit.

    Args:
        privacy: The arm's, its unit known.
        items: What the arm is trained on.
    """
    if privacy.unit == "person":
        return [str(person) for person in items["person"]]
    if privacy.unit != "cluster":
        return None
    # Clusters are numbered as they are met, which others' rows change: a row of theirs names them better.
    first: dict[str, str] = {}
    for cluster, item in zip(items["cluster"], items["item_id"], strict=True):
        first[cluster] = min(first.get(cluster, item), item)
    return [first[cluster] for cluster in items["cluster"]]


def unit_count(privacy: Privacy, items: Items) -> int:
    """Number of privacy units among the rows, counted in their own column: a check on the names."""
    if privacy.unit not in ("person", "cluster"):
        return items.n
    return len(set(items[privacy.unit]))


def wrong_persons(arm: ArmPlan, items: Items) -> Iterator[Wrong]:
    """What is wrong with a private arm whose unit is the person, in rows that do not all name one."""
    if arm.privacy is None or arm.privacy.unit != "person":
        return
    persons = items["person"] if "person" in items else [NOBODY] * items.n
    nobody = sum(str(person).startswith(NOBODY) for person in persons)
    if nobody:
        rule = (
            f"the person is what '{arm.name}' protects, and {nobody:,} of the {items.n:,} rows it is trained on name "
            f"none: they could all be one person's"
        )
        yield Wrong(("data", "person"), rule, "name them, leave these rows out, or set unit: example in privacy")


def delta_of(arm: ArmPlan, splits: Splits) -> float:
    """The stated delta, or the default: small enough for the arm's units and its twin's, or for the declared number."""
    privacy = arm.privacy
    assert privacy is not None
    if privacy.delta is not None:
        return privacy.delta
    counted = max(unit_count(privacy, items) for items in (splits.candidate_examples(), splits.twin_examples()))
    return delta_for(max(counted, privacy.public_n or 0))


def delta_for(units: int) -> float:
    """The power of ten below 1 / (10 · units)."""
    return float(10.0 ** (math.ceil(math.log10(1 / (10 * units))) - 1))
