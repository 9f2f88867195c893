"""The units of a run before it is run: which are in the store, and how long the others take.

Units are looked for by the very code that does them, with a store in which nothing is written: what counts as done is
what a run would find done, whichever run did it.
"""

import json
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from audit.data.splits import Splits
from audit.planning.expectations import asks_of
from audit.planning.plan import ArmPlan
from audit.running import arms, compare
from audit.running.arms import StoredModel
from audit.running.asking import Answered, Asking, Measured
from audit.running.order import Order
from audit.running.privacy_units import examples_of, unit_count
from audit.running.questions import asked_of, settings_of, unit_of_ask, unit_of_probe, unit_of_training
from audit.running.recipes import trains_head_alone
from audit.settings.sections.models import WORLD, Model
from audit.store import RunFolder
from audit.units import Observer, Units, events_of, object_name
from probes.protocol import Ask, Facts, HasStatistics, Probe
from probes.results import NotApplicable
from reports.record import UnitOutcome

_FLOPS_TRAINED, _FLOPS_ASKED = 6, 2
"""Operations per parameter and token: forward and backward, and forward alone."""

_LOOKED_UP = re.compile(r"embed|\bwte\b|\bwpe\b|\bshared\b")
"""Names of tables of embeddings, as they are called in the models of transformers."""

_EARLIER = "times of an earlier run of this config on this machine"
_COUNTED = "operations counted, over the speed of this machine's matrix product, which is seldom reached: rather more"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A unit of work.

    Attributes:
        unit: Its name, as the run will have it.
        what: What it does, in words.
        done: Whether it is in the store already.
        seconds: How long it takes, None where that cannot be said.
        basis: What the estimate rests on; "" where there is none.
    """

    unit: str
    what: str
    done: bool
    seconds: float | None = None
    basis: str = ""


class _Absent(Exception):  # noqa: N818 - nothing went wrong: a unit is not done yet
    """A unit that is not in the store."""


@dataclass
class _Lookout(Units):
    """Finds units that are done, and does none."""

    def obtain(self, name: str, kind: str, inputs: Mapping[str, Any], write: Callable[[Path], float | None]) -> Path:
        path = self.store.path(*object_name(kind, inputs).split("/"))
        if not path.is_dir():
            raise _Absent(name)
        return path


def _all_there(take: Callable[[list[UnitOutcome]], object]) -> bool:
    """Whether all comparisons that are taken are there: one that is not is put down like one that broke."""
    missing: list[UnitOutcome] = []
    take(missing)
    return not missing


def _found(look: Callable[[], T]) -> T | None:
    """What is found, or None where it is not there yet."""
    try:
        return look()
    except _Absent:
        return None


class Ahead:
    """The units of a run, found in the store or still to be done.

    Args:
        order: What the run is asked to do.
        splits: The data.
        observer: Not told anything; units want one.

    Attributes:
        models: The models that are there, by arm and seed; the untouched base under ("", 0).
    """

    def __init__(self, order: Order, splits: Splits, observer: Observer) -> None:
        self.models: dict[tuple[str, int], StoredModel] = {}
        self._order, self._splits = order, splits
        self._units = _Lookout(store=order.store, folder=order.folder, observer=observer)
        self._asking = Asking(
            units=self._units,
            subject_of=_never,
            settings=settings_of(order.config),
            seed=order.config.seeds.probe,
        )
        self._known = _earlier_times(order.folder)
        self._source = _found(lambda: arms.base_source(order.config, self._units))
        says_words = order.config.head != "classifier"
        self._parameters = _parameters(self._source[0], says_words) if self._source is not None else None
        self._speed, self._tokens = _machine_speed(order.config.compute.threads), _mean_tokens(order, splits)
        self._is_passed = False
        self._asked: set[str] = set()
        self._put: set[tuple[str, str]] = set()
        self._answers: list[Answered] = []

    def work(self) -> Iterator[Work]:
        """All units after the data, in the order in which a run does them."""
        yield from self._base()
        for arm, seed in self._order.plan.runs():
            yield from self._model(arm, seed)
        for arm, seed in self._order.plan.runs():
            for name in arm.probes:
                yield from self._probe(arm, seed, name)
        yield from self._over_seeds()
        yield from self._contrasts()

    def _base(self) -> Iterator[Work]:
        if self._order.config.base_model.name == WORLD:
            yield self._unit("pretrain", "pre-train the embedded model", self._source is not None)
        if self._source is not None:
            source, content = self._source
            self._keep(("", 0), lambda: arms.base_model(self._order.config, self._units, source, content))
        yield self._unit("identify:base", "name the untouched model by its weights", ("", 0) in self.models)

    def _keep(self, key: tuple[str, int], look: Callable[[], StoredModel]) -> None:
        model = _found(look)
        if model is not None:
            self.models[key] = model

    def _model(self, arm: ArmPlan, seed: int) -> Iterator[Work]:
        config, units, splits, key = self._order.config, self._units, self._splits, (arm.name, seed)
        if arm.source == "base":
            if ("", 0) in self.models:
                self.models[key] = self.models["", 0]
        elif arm.source == "given":
            self._keep(key, lambda: arms.given_model(config, units, arm, splits.classes))
            yield self._unit(f"identify:{arm.name}", "name the given model by its weights", key in self.models)
        else:
            if self._source is not None:
                source, content = self._source
                self._keep(key, lambda: arms.trained_model(config, units, arm, seed, source, content, splits))
            yield self._training(arm, seed)

    def _training(self, arm: ArmPlan, seed: int) -> Work:
        assert arm.training is not None
        items = examples_of(arm, self._splits)
        examples, seen = items.n, items.n * arm.training.epochs
        if arm.training.max_steps is not None:
            units = examples if arm.privacy is None else unit_count(arm.privacy, items)
            seen = min(seen, arm.training.max_steps * arm.training.batch_size * examples / units)
        private = ""
        if arm.privacy is not None:
            private = ", with differential privacy" if arm.control is None else ", clipped, without noise"
        what = f"{examples:,} examples, {seen / examples:.3g} epochs{private}"
        what += ", made to leak on purpose" if arm.control else ""
        operations = _FLOPS_TRAINED * seen * self._tokens
        if trains_head_alone(self._order.config, arm):
            # The body sees each text once, for all heads; a head is trained on one position of an example.
            operations = _FLOPS_TRAINED * seen + (0 if self._is_passed else _FLOPS_ASKED * examples * self._tokens)
            what += ", the head alone" + (", on the same pass of the body" if self._is_passed else "")
            self._is_passed = True
        is_there = (arm.name, seed) in self.models
        return self._unit(unit_of_training(arm.name, seed), what, is_there, operations)

    def _probe(self, arm: ArmPlan, seed: int, name: str) -> list[Work]:
        """What a probe asks of an arm that was not asked before, and its summary; nothing where it cannot be put."""
        try:
            facts, asks = asks_of(self._order, self._splits, arm, seed, name, self.models)
            tables = {key: _found(lambda ask=ask: self._measured(arm, seed, ask)) for key, ask in asks.items()}  # type: ignore[misc]
            answered = _found(lambda: self._answered(arm, seed, name, facts, tables))
        except NotApplicable:
            return []
        except Exception:  # the run tells what broke, and goes on; until then it is still to be done
            return [self._unit(unit_of_probe(arm.name, seed, name), name, False)]
        self._put.add((arm.name, name))
        self._answers += [] if answered is None else [answered]
        units = [unit_of_ask(arm.name, seed, ask) for ask in asks.values()]
        work = [
            self._unit(unit, ask.table.name, tables[key] is not None, _FLOPS_ASKED * ask.on.n * self._tokens)
            for unit, (key, ask) in zip(units, asks.items(), strict=True)
            if unit not in self._asked
        ]
        self._asked |= set(units)
        return [*work, self._unit(unit_of_probe(arm.name, seed, name), name, answered is not None)]

    def _measured(self, arm: ArmPlan, seed: int, ask: Ask) -> Measured:
        unit, key = unit_of_ask(arm.name, seed, ask), asked_of(arm.name, seed, ask)
        if key is None:
            return self._asking.measure(unit, ask, None)
        if key not in self.models:
            raise _Absent(unit)
        return self._asking.measure(unit, ask, self.models[key])

    def _answered(
        self, arm: ArmPlan, seed: int, name: str, facts: Facts, tables: Mapping[str, Measured | None]
    ) -> Answered:
        there = {key: table for key, table in tables.items() if table is not None}
        if len(there) < len(tables):
            raise _Absent(name)
        return self._asking.summarize(arm.name, seed, name, arm.probes[name], facts, there)

    def _over_seeds(self) -> Iterator[Work]:
        order = self._order
        for arm in order.plan.arms:
            for name in [
                n for n, probe in arm.probes.items() if len(arm.seeds) > 1 and self._compares(arm.name, n, probe)
            ]:
                runs = compare.answers_of(self._answers, arm.name, name)
                take = partial(compare.over_seeds, order.plan, runs, self._units, order.config.seeds.probe)
                is_there = len(runs) == len(arm.seeds) and _all_there(take)
                yield self._unit(compare.unit_over_seeds(arm.name, name), name, is_there)

    def _contrasts(self) -> Iterator[Work]:
        order = self._order
        for arm, reference in order.plan.contrasts:
            plan = replace(order.plan, contrasts=((arm, reference),))
            for name, probe in order.plan.probes.items():
                if self._compares(arm, name, probe) and self._compares(reference, name, probe):
                    sides = [compare.answers_of(self._answers, side, name) for side in (arm, reference)]
                    both = [*sides[0], *sides[1]]
                    take = partial(compare.contrasts, plan, both, self._units, order.config.seeds.probe)
                    is_there = all(sides) and _all_there(take)
                    yield self._unit(compare.unit_of_contrast(arm, reference, name), name, is_there)

    def _compares(self, arm: str, name: str, probe: Probe) -> bool:
        return (arm, name) in self._put and isinstance(probe, HasStatistics)

    def _unit(self, name: str, what: str, done: bool, operations_per_parameter: float | None = None) -> Work:
        if done:
            return Work(unit=name, what=what, done=True)
        if name in self._known:
            return Work(unit=name, what=what, done=False, seconds=self._known[name], basis=_EARLIER)
        if operations_per_parameter is None or self._parameters is None:
            return Work(unit=name, what=what, done=False)
        seconds = operations_per_parameter * self._parameters / self._speed
        return Work(unit=name, what=what, done=False, seconds=seconds, basis=_COUNTED)


def _never(unit: str, model: StoredModel) -> NoReturn:
    raise AssertionError(f"{unit}: a forecast loads no model")


def _earlier_times(folder: RunFolder) -> dict[str, float]:
    """Seconds by unit of the runs of this config, whatever their coins; the last one's."""
    found: dict[str, float] = {}
    stem = folder.run_id.rpartition("-")[0]
    for path in sorted(folder.path.parent.glob(f"{stem}-*")):
        done = [e for e in events_of(RunFolder(path)) if e.get("event") == "done"]
        found |= {event["unit"]: event["seconds"] for event in done}
    return found


def _parameters(source: Model, says_words: bool) -> int | None:
    """Number of parameters that a token is multiplied with; None where the model is not on this disk.

    They are counted in the headers of the weight files. Embeddings are looked up, which costs nothing; where the model
    says words, a product as large takes its place at the other end.
    """
    folder = Path(source.name)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    sizes = [(name, size) for file in files for name, size in _sizes(file)]
    return sum(size for name, size in sizes if says_words or not _LOOKED_UP.search(name)) or None


def _sizes(path: Path) -> Iterator[tuple[str, int]]:
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return ((name, int(np.prod(t["shape"]))) for name, t in header.items() if name != "__metadata__")


def _machine_speed(threads: int) -> float:
    """Operations a second of a matrix product in float32 here: the fastest of a few, since others may be at work."""
    a = np.ones((512, 512), dtype=np.float32)
    with threadpool_limits(threads):
        return 2 * 512**3 / min(_seconds(lambda: a @ a) for _ in range(20))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _mean_tokens(order: Order, splits: Splits) -> float:
    """Tokens of a text, about: four thirds of its words, cut to the longest length."""
    texts = splits.train["text"][:500]
    words = np.mean([len(t.split()) for t in texts]) if len(texts) else 1.0
    return float(min(words * 4 / 3 + 2, order.config.base_model.max_length or 512))
