"""Run a plan: prepare the data, seal, train the arms, ask, compare, and file the record.

Units that are done are found, not done again; a killed run continues where it was.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.data.splits import Splits
from audit.planning.plan import ArmPlan, Plan, Unasked
from audit.running import arms, assemble, compare
from audit.running.arms import StoredModel
from audit.running.asking import Answered, Asking, Measured, broken, not_measured
from audit.running.order import Order
from audit.running.preflight import placed, preflight
from audit.running.preparation import prepared
from audit.running.questions import (
    asked_of,
    data_of,
    facts_of,
    settings_of,
    unit_of_ask,
    unit_of_probe,
    unit_of_training,
)
from audit.running.recipes import trains_head_alone
from audit.running.seal import Seal, now, sealed
from audit.store import private_folder, write_json, write_text
from audit.units import Observer, Units, tool_version
from probes.protocol import Ask, Facts, Probe, Subject
from probes.results import NotApplicable
from reports.record import AuditRecord, RunInfo, UnitOutcome, dumps, load_run

if TYPE_CHECKING:
    from audit.training.features import Memory


@dataclass
class Found:
    """What has been found so far."""

    answers: list[Answered] = field(default_factory=list)
    unmeasured: list[UnitOutcome] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One ask of a probe that is to be put to a run of an arm."""

    arm: ArmPlan
    seed: int
    name: str
    probe: Probe
    facts: Facts
    asks: Mapping[str, Ask]


def run(order: Order, observer: Observer) -> AuditRecord:
    """Do what is not yet done, and write `record.json`, the rows and `run.json`.

    Raises:
        ValueError: Data or a model that the audit refuses, in one sentence.
    """
    private_folder(order.folder.path)
    order.store.sweep()
    units = Units(store=order.store, folder=order.folder, observer=observer)
    started = now()
    splits = prepared(
        order.config, order.as_written, order.store, units, plan=order.plan, coins=order.coins, lines=order.lines
    )
    if not order.folder.config.is_file():
        write_json(order.folder.config, order.as_written.model_dump(mode="json"))
    seal = sealed(order, splits, observer)
    _write_run(order, units, started, seal, "running", {})
    models = _models(order, units, splits)
    found = _ask(order, units, splits, models)
    seeds = compare.over_seeds(order.plan, found.answers, units, order.config.seeds.probe, found.unmeasured)
    contrasts = compare.contrasts(order.plan, found.answers, units, order.config.seeds.probe, found.unmeasured)
    record = assemble.record(
        config=order.as_written,
        plan=order.plan,
        splits=splits,
        models=models,
        answers=found.answers,
        over_seeds=seeds,
        contrasts=contrasts,
        unmeasured=tuple(found.unmeasured),
        seal=seal,
        changes=order.changes,
        coins=order.coins,
    )
    write_text(order.folder.record, dumps(record))
    assemble.write_rows(order.folder, order.as_written, found.answers)
    write_json(order.folder.config, order.as_written.model_dump(mode="json"))  # its gates may be others by now
    order.folder.cleaning.unlink(missing_ok=True)  # the rows are whole again
    order.folder.write_manifest()
    status = "incomplete" if record.coverage.errors else "complete"
    _write_run(order, units, started, seal, status, _deployed(order, models))
    return record


def _models(order: Order, units: Units, splits: Splits) -> dict[tuple[str, int], StoredModel]:
    """Each run of each arm as a stored model; the untouched base under ("", 0) as well."""
    source, content = arms.base_source(order.config, units)
    if not all(_is_trained(order, arm, seed) for arm, seed in order.plan.runs()):
        preflight(order.config, order.plan, splits, source, order.lines)
    with placed(order.lines, ("model", "name")):
        base = arms.base_model(order.config, units, source, content)
    models = {("", 0): base}
    for arm, seed in order.plan.runs():  # before any arm is trained
        if arm.source == "given":
            with placed(order.lines, ("arms", arm.name, "given")):
                models[arm.name, seed] = arms.given_model(order.config, units, arm, splits.classes)
    for arm, seed in order.plan.runs():
        if arm.source == "base":
            models[arm.name, seed] = base
        elif arm.source == "trained":
            models[arm.name, seed] = arms.trained_model(order.config, units, arm, seed, source, content, splits)
    return models


def _is_trained(order: Order, arm: ArmPlan, seed: int) -> bool:
    """Whether an arm need not be trained, or was in an earlier turn of this run."""
    if arm.source != "trained":
        return True
    known = load_run(order.folder.run).objects.get(unit_of_training(arm.name, seed))
    return known is not None and order.store.has(*known.split("/"))


def _ask(order: Order, units: Units, splits: Splits, models: Mapping[tuple[str, int], StoredModel]) -> Found:
    """Put every probe to every arm it is for; models are loaded one at a time."""
    found = Found(unmeasured=[_unasked(order.plan, each) for each in order.plan.unasked])
    runs = order.plan.runs()
    alone = [models[arm.name, seed] for arm, seed in runs if trains_head_alone(order.config, arm)]
    loader = _Loader(order, splits, frozenset(model.record.identity.weights for model in alone))
    asking = Asking(
        units=units,
        subject_of=loader.subject,
        settings=settings_of(order.config),
        seed=order.config.seeds.probe,
    )
    questions = list(_questions(order, splits, models, found))
    for question in questions:
        unit = unit_of_probe(question.arm.name, question.seed, question.name)
        try:
            tables = _tables(asking, question, models)
            answered = asking.summarize(
                question.arm.name, question.seed, question.name, question.probe, question.facts, tables
            )
            found.answers.append(answered)
        except NotApplicable as reason:
            found.unmeasured.append(not_measured(unit, question.arm.name, question.name, reason))
        except Exception as error:  # one probe that breaks must not take the others' results with it
            found.unmeasured.append(broken(unit, question.arm.name, question.name, error))
            units.observer.say(f"{unit}: {found.unmeasured[-1].reason}")
    return found


def _unasked(plan: Plan, each: Unasked) -> UnitOutcome:
    unit = unit_of_probe(each.arm, plan.arm(each.arm).seeds[0], each.probe)
    return not_measured(unit, each.arm, each.probe, NotApplicable(each.reason))


def _questions(
    order: Order, splits: Splits, models: Mapping[tuple[str, int], StoredModel], found: Found
) -> list[Question]:
    """All questions, those of one model together."""
    questions = []
    for arm, seed in order.plan.runs():
        facts = facts_of(order.config, splits, arm, models[arm.name, seed], models["", 0])
        data = data_of(order.config, splits, arm, facts)
        for name, probe in arm.probes.items():
            unit = unit_of_probe(arm.name, seed, name)
            try:
                asks = probe.needs(facts, data)
                questions.append(Question(arm=arm, seed=seed, name=name, probe=probe, facts=facts, asks=asks))
            except NotApplicable as reason:
                found.unmeasured.append(not_measured(unit, arm.name, name, reason))
            except Exception as error:  # as above
                found.unmeasured.append(broken(unit, arm.name, name, error))
    return questions


def _tables(asking: Asking, question: Question, models: Mapping[tuple[str, int], StoredModel]) -> dict[str, Measured]:
    tables = {}
    for name, ask in question.asks.items():
        asked = asked_of(question.arm.name, question.seed, ask)
        model = None if asked is None else models[asked]
        tables[name] = asking.measure(unit_of_ask(question.arm.name, question.seed, ask), ask, model)
    return tables


class _Loader:
    """Loads stored models for asking, and keeps the last two: an arm and its base.

    Args:
        order: What the run is asked to do.
        splits: The data.
        heads: Hashes of the weights of models whose head alone was trained: they share what their body made of a batch.
    """

    def __init__(self, order: Order, splits: Splits, heads: frozenset[str]) -> None:
        self._order = order
        self._splits = splits
        self._heads = heads
        self._kept: dict[str, Subject] = {}
        self._memory: Memory | None = None

    def subject(self, unit: str, model: StoredModel) -> Subject:
        """The model, ready to be asked."""
        from audit.running import models

        key = model.record.identity.weights
        if key not in self._kept:
            while len(self._kept) > 1:
                self._kept.pop(next(iter(self._kept)))
            if model.head is None:
                raise NotApplicable("the untouched base has no head of its own")
            config = self._order.config
            models.set_threads(config.compute.threads)
            loaded = models.load(model.source, model.head, self._splits.classes)
            models.place(loaded, config.compute.device)
            if key in self._heads:
                self._memory = models.remember(loaded, self._memory)
            longest = models.longest(config.base_model, loaded)
            name = unit.split(":")[1].partition("@")[0]
            self._kept[key] = models.subject(
                name,
                loaded,
                config.task,
                self._splits.classes,
                max_length=longest,
                batch_tokens=config.compute.batch_tokens,
            )
        return self._kept[key]


def _write_run(order: Order, units: Units, started: str, seal: Seal, status: Any, deployed: Mapping[str, str]) -> None:
    timings: dict[str, Any] = {}
    if order.folder.run.is_file():
        before = load_run(order.folder.run)
        timings, started = dict(before.timings), before.started
        if status == "running":
            return  # what was written before stands with the record until there is a new one
        as_before = (before.status, before.sealed_at, before.deployed) == (status, seal.sealed_at, deployed)
        if as_before and not units.timings and dict(before.objects) == units.keys:
            return  # nothing was done: a second look leaves the folder as it is
    info = RunInfo(
        run_id=order.folder.run_id,
        status=status,
        started=started,
        finished=None if status == "running" else now(),
        sealed_at=seal.sealed_at,
        host={"machine": platform.machine(), "system": platform.platform(), "processors": str(os.cpu_count())},
        timings={**timings, **units.earlier, **units.timings},
        objects=dict(units.keys),
        deployed=deployed,
        tool_version=tool_version(),
    )
    write_text(order.folder.run, dumps(info))


def _deployed(order: Order, models: Mapping[tuple[str, int], StoredModel]) -> dict[str, str]:
    """Where the weights of the arm to be deployed lie, by run of it: in the folder of all runs, or as configured."""
    found = {}
    for (arm, seed), model in sorted(models.items()):
        if arm == order.config.deploy:
            folder = Path(model.source.name)
            is_stored = folder.is_relative_to(order.store.root)
            as_given = order.as_written.arms[arm].given or order.as_written.base_model.name
            found[f"{arm}@{seed}"] = str(folder.relative_to(order.store.root)) if is_stored else as_given
    return found
