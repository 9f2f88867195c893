"""File what was found: the record, and the rows that its numbers rest on."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from audit.data.splits import Splits
from audit.planning.plan import ArmPlan, Plan
from audit.running.arms import StoredModel
from audit.running.asking import DRAWS, FACTS, Answered, fields_of
from audit.running.claims import OtherTraining, claim_lines
from audit.running.compare import Compared, OverSeeds
from audit.running.cuts import with_cuts
from audit.running.provenance import placeless, provenance
from audit.running.seal import Seal
from audit.settings.config import AuditConfig
from audit.store import RunFolder, private_folder, write_json
from probes.catalog import describe
from probes.protocol import Key, Probe
from probes.results import Check, Coverage, Estimate, Finding, Metric, MetricSpec, Series, Value
from probes.summary import HasAccess
from reports.record import (
    ArmCheck,
    ArmRecord,
    ArmSeries,
    AuditRecord,
    Contrast,
    ProbeRecord,
    UnitOutcome,
)
from reports.record import Coverage as PlanCoverage

DP_CLAIM = "dp_claim"


def record(
    *,
    config: AuditConfig,
    plan: Plan,
    splits: Splits,
    models: Mapping[tuple[str, int], StoredModel],
    answers: Sequence[Answered],
    over_seeds: Sequence[OverSeeds],
    contrasts: Sequence[Compared],
    unmeasured: tuple[UnitOutcome, ...],
    seal: Seal,
    changes: tuple[str, ...],
    coins: int,
) -> AuditRecord:
    """The audit's record: everything that was measured, in a fixed order, and nothing of when or where."""
    metrics = metrics_of(plan, answers, over_seeds)
    return AuditRecord(
        title=config.title or "audit",
        model=placeless(config.base_model.name),
        task=config.kind,
        classes=splits.classes,
        deploy=config.deploy,
        shows_examples=False,
        arms=tuple(_arm(config, arm, models) for arm in plan.arms),
        probes=tuple(_probe(config, name, probe) for name, probe in plan.probes.items()),
        metrics=metrics,
        contrasts=contrasts_of(plan, contrasts, metrics),
        checks=(*_claims(plan, models), *_checks(answers)),
        series=tuple(
            ArmSeries(arm=a.arm, probe=a.name, seed=a.seed, series=s)
            for a in answers
            for s in a.found()
            if isinstance(s, Series)
        ),
        unmeasured=unmeasured,
        coverage=PlanCoverage(
            planned=len(answers) + len(unmeasured),
            measured=len(answers),
            not_measured=sum(u.outcome == "not measured" for u in unmeasured),
            errors=sum(u.outcome == "error" for u in unmeasured),
        ),
        data=with_cuts(config, plan, splits, models, answers),
        provenance=provenance(config, splits, seal, changes, coins),
    )


def _arm(config: AuditConfig, arm: ArmPlan, models: Mapping[tuple[str, int], StoredModel]) -> ArmRecord:
    recipe: dict[str, Any] = {}
    if arm.training is not None:
        recipe["training"] = arm.training.model_dump(mode="json")
    if arm.privacy is not None:
        recipe["privacy"] = arm.privacy.model_dump(mode="json")
    return ArmRecord(
        name=arm.name,
        role=arm.role,
        source=arm.source,
        twin_of=arm.twin_of,
        recipe=recipe,
        claims=arm.claims.model_dump() if arm.claims else None,
        runs=tuple(models[arm.name, seed].record for seed in arm.seeds),
        control=arm.control,
    )


def _probe(config: AuditConfig, name: str, probe: Probe) -> ProbeRecord:
    said = describe(type(probe))
    return ProbeRecord(
        name=name,
        probe=f"{probe.name} {probe.version}",
        pillar=probe.pillar,
        question=said.question,
        limits=said.limits,
        source=said.source,
        parameters={key: placeless(value) for key, value in parameters_of(config, name, probe).items()},
    )


def parameters_of(config: AuditConfig, name: str, probe: Probe) -> dict[str, Any]:
    """A probe's parameters, files as the config writes them."""
    return {**fields_of(probe), **(config.probes or {}).get(name, {})}


def metrics_of(plan: Plan, answers: Sequence[Answered], over_seeds: Sequence[OverSeeds]) -> tuple[Metric, ...]:
    """All metrics: of each run, then over the seeds of arms that have several."""
    single = [
        _metric(a, plan.arm(a.arm), f.metric, f.slice, f.estimate, f.coverage, seed=a.seed)
        for a in answers
        for f in a.found()
        if isinstance(f, Finding)
    ]
    first = {(a.arm, a.name): a for a in reversed(answers)}
    several = [
        _metric(first[o.arm, o.name], plan.arm(o.arm), metric, part, value, None, seed=None)
        for o in over_seeds
        for (metric, part), value in sorted(o.values.items())
    ]
    return (*single, *several)


def _metric(
    answered: Answered,
    arm: ArmPlan,
    metric: str,
    part: str,
    value: Value,
    coverage: Coverage | None,
    *,
    seed: int | None,
) -> Metric:
    spec: MetricSpec = answered.probe.metrics[metric]
    n = value.n if isinstance(value, Estimate) else 0
    return Metric(
        name=metric,
        probe=answered.name,
        pillar=answered.probe.pillar,
        label=spec.label,
        definition=f"{spec.definition} v{answered.probe.version}",
        arm=arm.name,
        role=arm.role,
        seed=seed,
        slice=part,
        estimate=value,
        ideal=spec.ideal,
        unit=spec.told_in,
        coverage=coverage or Coverage(asked=n, answered=n),
        access=_access(answered, (metric, part)),
        comparability=answered.comparability,
    )


def _access(answered: Answered, key: Key) -> str:
    probe = answered.probe
    return probe.access(key, answered.facts) if isinstance(probe, HasAccess) else probe.metrics[key[0]].access


def contrasts_of(plan: Plan, contrasts: Sequence[Compared], metrics: Sequence[Metric]) -> tuple[Contrast, ...]:
    """Paired differences, each with the direction that is nearer the ideal."""
    values = headline_values(plan, metrics)
    return tuple(
        _contrast(c, key, difference, values) for c in contrasts for key, difference in sorted(c.values.items())
    )


def headline_values(plan: Plan, metrics: Sequence[Metric]) -> dict[tuple[str, str, Key], float]:
    """The value that speaks for an arm: over its seeds where it has several, else of its one run."""
    values = {}
    for metric in metrics:
        seeds = plan.arm(metric.arm).seeds
        speaks = metric.seed is None if len(seeds) > 1 else True
        if speaks and isinstance(metric.estimate, Estimate):
            values[metric.arm, metric.probe, (metric.name, metric.slice)] = metric.estimate.value
    return values


def _contrast(c: Compared, key: Key, difference: Value, values: Mapping[tuple[str, str, Key], float]) -> Contrast:
    metric, part = key
    spec = c.probe.metrics[metric]
    return Contrast(
        metric=f"{c.name}.{metric}",
        probe=c.name,
        pillar=c.probe.pillar,
        label=spec.label,
        arm=c.arm,
        reference=c.reference,
        slice=part,
        difference=difference,
        ideal=spec.ideal,
        unit=spec.told_in,
        better=_better(values.get((c.arm, c.name, key)), values.get((c.reference, c.name, key)), spec.ideal),
    )


def _better(ours: float | None, theirs: float | None, ideal: float | None) -> Literal[-1, 0, 1]:
    """Whether a positive difference is nearer the ideal.

    With both on one side of the ideal that is a matter of the side; with one on each, of who is nearer.
    """
    if ours is None or theirs is None or ideal is None:
        return 0
    if max(ours, theirs) <= ideal:
        return 1
    if min(ours, theirs) >= ideal:
        return -1
    nearer = abs(theirs - ideal) - abs(ours - ideal)
    if nearer == 0:
        return 0
    return 1 if (nearer > 0) == (ours > theirs) else -1


def _claims(plan: Plan, models: Mapping[tuple[str, int], StoredModel]) -> Iterator[ArmCheck]:
    for arm, seed in plan.runs():
        others = [
            OtherTraining(
                f"{other.name}@{other_seed}",
                None if other.control is not None else models[other.name, other_seed].record.privacy,
            )
            for other, other_seed in plan.runs()
            if other.source == "trained" and (other.name, other_seed) != (arm.name, seed)
        ]
        for check in claim_lines(arm, models[arm.name, seed], others):
            yield ArmCheck(arm=arm.name, probe=DP_CLAIM, seed=seed, check=check)


def _checks(answers: Sequence[Answered]) -> Iterator[ArmCheck]:
    for answered in answers:
        for check in answered.found():
            if isinstance(check, Check):
                yield ArmCheck(arm=answered.arm, probe=answered.name, seed=answered.seed, check=check)


def write_rows(folder: RunFolder, config: AuditConfig, answers: Sequence[Answered]) -> None:
    """Copy each probe's rows into the run, with what is needed to summarize them again."""
    shutil.rmtree(folder.path / ".rows", ignore_errors=True)  # what a killed run left
    fresh = private_folder(folder.path / ".rows")
    for answered in answers:
        place = private_folder(fresh / f"{answered.arm}@{answered.seed}")
        _copy(answered.rows_path, place / f"{answered.name}.parquet")
        write_json(
            place / f"{answered.name}.json",
            {
                "arm": answered.arm,
                "seed": answered.seed,
                "name": answered.name,
                "probe": answered.probe.name,
                "version": answered.probe.version,
                "parameters": parameters_of(config, answered.name, answered.probe),
                "facts": FACTS.dump_python(answered.facts, mode="json"),
                "comparability": answered.comparability,
                "draws": DRAWS,
            },
        )
    if folder.rows.is_dir():
        shutil.rmtree(folder.rows)
    fresh.rename(folder.rows)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)
