"""How many models are trained beside the twins for attacks, what they cost, and why so many or so few are the rule."""

from collections.abc import Iterator

from audit.planning.plan import Plan
from audit.running.recipes import trains_head_alone
from audit.settings.config import AuditConfig

FEW = 4
"""Reference models up to which a training of the whole body for each is the rule: RMIA gains little from more."""


def references_in_words(config: AuditConfig, plan: Plan) -> Iterator[str]:
    """A sentence for each twin that is attacked with reference models, or trained by further seeds.

    Source: Zarifzadeh, Liu and Shokri (2024), https://arxiv.org/abs/2312.03262, whose RMIA needs few references, one at
    the least.
    """
    for twin in plan.arms:
        if twin.role == "twin" and twin.retrained:
            yield f"{twin.name} by {twin.retrained} more training seeds: each costs a training like the twin's"
        if twin.role != "twin" or not twin.references:
            continue
        count, whose = twin.references, f"{twin.references} of {twin.name}"
        if trains_head_alone(config, twin):
            yield f"{whose}: their heads alone are trained, on one pass of the frozen body that all of them share"
            continue
        why = (
            f"{whose}: each costs a training like the twin's, for what is trained lies in the body or below it, and no "
            f"pass can be shared; 1 to {FEW} are the rule, which is enough for RMIA"
        )
        many = f"; these cost {count} trainings, and with strategy: head they would cost a few"
        yield why + (many if count > FEW else "")
