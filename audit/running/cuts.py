"""How many rows were cut to the model's limit: counted where they were tokenized anyway, in training and in asking."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from audit.data.splits import Splits
from audit.planning.plan import Plan
from audit.running.arms import StoredModel
from audit.running.asking import Answered
from audit.running.recipes import as_trained
from audit.settings.config import AuditConfig
from reports.record import DataQuality

_CANARIES = "canaries"


def with_cuts(
    config: AuditConfig,
    plan: Plan,
    splits: Splits,
    models: Mapping[tuple[str, int], StoredModel],
    answers: Sequence[Answered],
) -> DataQuality:
    """The data's quality with the rows that were cut, by split, and a warning where canaries lost a part."""
    found: dict[str, int] = {}
    for name, rows in (*_trained(plan, models), *_asked(config, splits, answers)):
        found[name] = max(rows, found.get(name, 0))
    quality = splits.quality
    lost = found.get(_CANARIES, 0)
    warning = (
        f"{lost:,} of the {sum(quality.canaries.values()):,} canaries are longer than the model's limit; what is cut"
        " off cannot be remembered, so they show less than there is"
    )
    return replace(
        quality,
        truncated=found.get("test"),
        cut=dict(sorted(found.items())),
        notes=(*quality.notes, warning) if lost else quality.notes,
    )


def _trained(plan: Plan, models: Mapping[tuple[str, int], StoredModel]) -> Iterator[tuple[str, int]]:
    """The training rows that candidates cut: they are trained on all of them, and on nothing else."""
    for arm, seed in plan.runs():
        training = models[arm.name, seed].record.training
        if arm.role == "candidate" and training is not None:
            yield "train", training.truncated


def _asked(config: AuditConfig, splits: Splits, answers: Sequence[Answered]) -> Iterator[tuple[str, int]]:
    names = {splits.test.digest: "test", splits.validation.digest: "validation"}
    names |= {items.digest: f"domain:{name}" for name, items in splits.domains.items()}
    if splits.canaries is not None:
        shown = [splits.canaries]
        shown += [as_trained(config, splits.canaries, splits.classes)] if config.task.label_words else []
        names |= {items.digest: _CANARIES for items in shown}
    for answered in answers:
        yield from ((names[items], rows) for items, rows in answered.cut.items() if items in names)
