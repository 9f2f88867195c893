"""One pass of the frozen body, shared by all arms whose head alone is trained."""

from pathlib import Path
from typing import Any

from audit.data.splits import Splits, stack
from audit.planning.plan import ArmPlan
from audit.running.recipes import as_examples, spec_of
from audit.settings.config import AuditConfig
from audit.settings.sections.models import Model
from audit.store import digest
from audit.units import Units, code_of_training, versions
from probes.protocol import Items


def texts_of_heads(splits: Splits) -> Items:
    """Every text that any head is trained on."""
    return splits.train if splits.canaries is None else stack([splits.train, splits.canaries])


def features_inputs(config: AuditConfig, source: Model, content: dict[str, Any], splits: Splits) -> dict[str, Any]:
    """Everything that influences the features of these texts."""
    return {
        "base": content,
        "task": [config.kind, config.task.model_dump(mode="json"), list(splits.classes)],
        "texts": _texts_digest(texts_of_heads(splits)),
        "max_length": source.max_length,
        "threads": config.compute.threads,
        "device": config.compute.device,
        "code": code_of_training(),
        "versions": dict(versions()),
    }


def shared_features(
    config: AuditConfig, units: Units, arm: ArmPlan, source: Model, inputs: dict[str, Any], splits: Splits
) -> Path:
    """What the frozen body makes of every text that any head is trained on: one pass, shared by all heads."""

    def write(part: Path) -> None:
        import torch

        from audit.running.models import load, longest, place, set_threads
        from audit.training.train import body_features

        set_threads(config.compute.threads)
        torch.manual_seed(0)  # of the head, which is not read
        loaded = place(load(source, config.head, splits.classes, new_head=True), config.compute.device)
        spec = spec_of(config, arm, splits, longest(source, loaded))
        body_features(loaded.model, loaded.tokenizer, as_examples(texts_of_heads(splits)), spec).save(part)

    return units.obtain("features", "features", inputs, write)


def _texts_digest(items: Items) -> str:
    """Names the texts of items and their order."""
    pairs = items["text_pair"].tolist() if "text_pair" in items else None
    return digest([items["text"].tolist(), pairs])
