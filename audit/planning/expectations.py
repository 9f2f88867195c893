"""What a run will ask, as far as that can be told before any model is trained or loaded."""

from collections.abc import Mapping

from audit.data.splits import Splits
from audit.planning.plan import ArmPlan
from audit.running.arms import StoredModel
from audit.running.order import Order
from audit.running.privacy_units import delta_of
from audit.running.questions import data_of, decision_of, facts_of
from audit.settings.config import AuditConfig
from probes.protocol import Ask, Facts, PrivacyClaim
from probes.results import NotApplicable
from probes.scoring.tables import ClassLogits

_HEADLESS = "the untouched model has no head for the task's classes"

_NO_EPSILON = 1.0
"""Stands for an epsilon that only the accountant can tell; no question depends on it."""


def asks_of(
    order: Order, splits: Splits, arm: ArmPlan, seed: int, name: str, models: Mapping[tuple[str, int], StoredModel]
) -> tuple[Facts, Mapping[str, Ask]]:
    """What a probe will ask of an arm, and what it will know.

    Args:
        order: What the run is asked to do.
        splits: The data.
        arm: The arm.
        seed: Its training seed.
        name: The probe's name.
        models: The models there are already; of others the facts are what they should be.

    Raises:
        NotApplicable: It cannot be put, or its question cannot be made.
    """
    headless = arm.source == "base" and order.config.head == "classifier"
    model, base = models.get((arm.name, seed)), models.get(("", 0))
    if model is not None and base is not None:
        facts = facts_of(order.config, splits, arm, model, base)
    elif headless:
        raise NotApplicable(_HEADLESS)
    else:
        facts = _expected_facts(order.config, splits, arm, seed)
    try:
        asks = arm.probes[name].needs(facts, data_of(order.config, splits, arm, facts))
    except NotApplicable:
        raise
    except Exception as error:  # a run would go on as well, with this unit as an error
        raise NotApplicable(f"{name} would break ({type(error).__name__})") from error
    if headless and any(isinstance(ask.table, ClassLogits) for ask in asks.values()):
        raise NotApplicable(_HEADLESS)
    return facts, asks


def _expected_facts(config: AuditConfig, splits: Splits, arm: ArmPlan, seed: int) -> Facts:
    head = config.head
    return Facts(
        arm=arm.name,
        role=arm.role,
        seed=seed,
        head=head,
        task=config.kind,
        classes=splits.classes,
        decision=decision_of(config, splits.classes),
        groups=splits.groups,
        base_is_comparable=head != "classifier",
        claim=_expected_claim(arm, splits),
        seeds=config.seeds.model_dump(),
    )


def _expected_claim(arm: ArmPlan, splits: Splits) -> PrivacyClaim | None:
    if arm.claims is not None:
        return PrivacyClaim(epsilon=arm.claims.epsilon, delta=arm.claims.delta)
    if arm.privacy is None:
        return None
    return PrivacyClaim(epsilon=arm.privacy.epsilon or _NO_EPSILON, delta=delta_of(arm, splits))
