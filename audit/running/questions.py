"""What is asked of whom: the names of the units, what a probe may know of an arm, and the items it may ask about."""

from typing import Any

from audit.data.references import POPULATION, reference_data
from audit.data.splits import Splits
from audit.planning.plan import ArmPlan, reference_run, retrained_run
from audit.running.arms import StoredModel
from audit.running.recipes import as_trained
from audit.settings.config import AuditConfig
from audit.settings.sections.models import Head
from audit.world.pairs import name_swaps, stereotype_pairs
from probes.protocol import REFERENCE, RETRAINED, Ask, Decision, Facts, Items, PrivacyClaim
from probes.results import Role


def settings_of(config: AuditConfig) -> dict[str, Any]:
    """What else can change a score: part of a table's key."""
    return {
        "max_length": config.base_model.max_length,
        "batch_tokens": config.compute.batch_tokens,
        "threads": config.compute.threads,
        "device": config.compute.device,
    }


def asked_of(arm: str, seed: int, ask: Ask) -> tuple[str, int] | None:
    """The run that answers what is asked in the name of a run of an arm; None where the data alone do."""
    if ask.of == "data":
        return None
    if ask.of.startswith(REFERENCE):
        return reference_run(arm, seed, int(ask.of.removeprefix(REFERENCE)))
    if ask.of.startswith(RETRAINED):
        return retrained_run(arm, seed, int(ask.of.removeprefix(RETRAINED)))
    return ("", 0) if ask.of == "base" else (arm, seed)


def unit_of_training(arm: str, seed: int) -> str:
    """The name of the unit that trains an arm."""
    return f"train:{arm}@{seed}"


def unit_of_ask(arm: str, seed: int, ask: Ask) -> str:
    """The name of the unit that measures a table."""
    asked = asked_of(arm, seed, ask)
    whose = ask.of if ask.of in {"base", "data"} or asked is None else f"{asked[0]}@{asked[1]}"
    return f"ask:{whose}:{ask.table.name}:{ask.on.digest[:8]}"


def unit_of_probe(arm: str, seed: int, name: str) -> str:
    """The name of the unit that summarizes a probe on a run of an arm."""
    return f"probe:{arm}@{seed}:{name}"


def facts_of(config: AuditConfig, splits: Splits, arm: ArmPlan, model: StoredModel, base: StoredModel) -> Facts:
    """What the probes may know of an arm."""
    head: Head = model.head or "classifier"
    same_head = base.head == head and head != "classifier"
    return Facts(
        arm=arm.name,
        role=arm.role,
        seed=model.record.seed,
        head=head,
        task=config.kind,
        classes=splits.classes,
        decision=decision_of(config, splits.classes),
        groups=splits.groups,
        base_is_comparable=same_head,
        claim=claim_of(arm, model),
        seeds=config.seeds.model_dump(),
    )


def decision_of(config: AuditConfig, classes: tuple[str, ...]) -> Decision:
    """The config's decision rule over class indices."""
    rule = config.task.decision
    if isinstance(rule, str):
        return Decision()
    return Decision(positive=classes.index(rule.class_name), threshold=rule.threshold)


def claim_of(arm: ArmPlan, model: StoredModel) -> PrivacyClaim | None:
    """The differential privacy an arm claims: what is only claimed goes before what was accounted."""
    if arm.claims is not None:
        return PrivacyClaim(epsilon=arm.claims.epsilon, delta=arm.claims.delta)
    kept = model.record.privacy
    if kept is None or kept.epsilon is None:
        return None
    return PrivacyClaim(
        epsilon=kept.epsilon,
        delta=kept.delta,
        noise_multiplier=kept.noise_multiplier,
        sample_rate=kept.sample_rate,
        steps=kept.steps,
        accounted=True,
    )


_AS_TRAINED = ("pool", "canaries", "canary_references", POPULATION)


def data_of(config: AuditConfig, splits: Splits, arm: ArmPlan, facts: Facts) -> dict[str, Items]:
    """The items a probe may ask about; where a causal model classifies by a word, members are shown as trained on."""
    asked_as: Role = "twin" if arm.is_on_audit_data else arm.role
    data = splits.repeating(arm.repetitions).probe_data(asked_as) | reference_data(splits, arm.references)
    if config.data.world is not None:  # a language of its own has questions of its own
        data |= {"pairs": stereotype_pairs(), "name_swaps": name_swaps(config.data.world)}
    if facts.head == "causal" and facts.task == "text-classification":
        for name in [n for n in data if n in _AS_TRAINED or n.startswith(REFERENCE)]:
            if "label" in data[name]:
                data[name] = as_trained(config, data[name], splits.classes)
    return data
