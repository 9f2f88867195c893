"""Summaries over an arm's seeds, and paired differences between arms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from audit.planning.plan import Plan
from audit.running.asking import DRAWS, Answered, broken, generator
from audit.store import file_digest, read_json, write_json
from audit.units import Units, code_of_arithmetic
from probes.protocol import HasStatistics, Key, Probe, Rows
from probes.results import Value
from probes.stats import seeds
from probes.stats.bootstrap import Statistics
from reports.record import UnitOutcome

_VALUES = TypeAdapter(list[tuple[Key, Value]])
Values = dict[Key, Value]


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """A probe's numbers on an arm, over all its training seeds."""

    arm: str
    name: str
    probe: Probe
    values: Mapping[Key, Value]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A probe's paired differences between two arms: arm minus reference."""

    arm: str
    reference: str
    name: str
    probe: Probe
    values: Mapping[Key, Value]


def over_seeds(
    plan: Plan, answers: Sequence[Answered], units: Units, seed: int, failed: list[UnitOutcome]
) -> list[OverSeeds]:
    """For each arm with several seeds, the mean over them, with an interval that knows of both items and seeds.

    Args:
        plan: The plan.
        answers: All answers.
        units: Does the work, or finds it done.
        seed: Seed of the arithmetic.
        failed: Where a unit that breaks is put down; the others go on.
    """
    found = []
    for arm in plan.arms:
        for name, probe in arm.probes.items():
            runs = answers_of(answers, arm.name, name)
            if len(runs) > 1 and isinstance(probe, HasStatistics):
                unit = unit_over_seeds(arm.name, name)
                with _noting(failed, unit, arm.name, name):
                    values = _stored(units, unit, [runs], seed, pooled)
                    found.append(OverSeeds(arm=arm.name, name=name, probe=probe, values=values))
    return found


def contrasts(
    plan: Plan, answers: Sequence[Answered], units: Units, seed: int, failed: list[UnitOutcome]
) -> list[Compared]:
    """For each planned pair of arms and each probe that both answered, arm minus reference on the same items.

    Args: as `over_seeds`.
    """
    found = []
    for arm, reference in plan.contrasts:
        for name, probe in plan.probes.items():
            sides = [answers_of(answers, arm, name), answers_of(answers, reference, name)]
            if all(sides) and isinstance(probe, HasStatistics):
                unit = unit_of_contrast(arm, reference, name)
                with _noting(failed, unit, arm, name):
                    values = _stored(units, unit, sides, seed, difference)
                    found.append(Compared(arm=arm, reference=reference, name=name, probe=probe, values=values))
    return found


@contextmanager
def _noting(failed: list[UnitOutcome], unit: str, arm: str, name: str) -> Iterator[None]:
    """Put down a unit that breaks, and go on."""
    try:
        yield
    except Exception as error:  # one comparison that breaks must not take the others' results with it
        failed.append(broken(unit, arm, name, error))


def unit_over_seeds(arm: str, name: str) -> str:
    """The name of the unit that takes a probe's means over the seeds of an arm."""
    return f"seeds:{arm}:{name}"


def unit_of_contrast(arm: str, reference: str, name: str) -> str:
    """The name of the unit that takes a probe's differences between two arms."""
    return f"contrast:{arm}:{reference}:{name}"


def answers_of(answers: Sequence[Answered], arm: str, name: str) -> list[Answered]:
    """An arm's answers to a probe, one for each seed that has them."""
    return [a for a in answers if a.arm == arm and a.name == name]


def pooled(runs: Sequence[Answered], rng: np.random.Generator, level: float = 0.95) -> Values:
    """The mean over the runs of one arm."""
    rates = [name for name, spec in runs[0].probe.metrics.items() if spec.unit == "rate" and not spec.signed]
    return seeds.over_seeds(_statistics(runs), _by_seed(runs), rng=rng, draws=DRAWS, level=level, rates=rates)


def difference(
    ours: Sequence[Answered], theirs: Sequence[Answered], rng: np.random.Generator, level: float = 0.95
) -> Values:
    """The paired difference of the means over seeds."""
    return seeds.difference_over_seeds(
        _statistics(ours), _by_seed(ours), _by_seed(theirs), rng=rng, draws=DRAWS, level=level
    )


def _by_seed(runs: Sequence[Answered]) -> dict[int, Rows]:
    return {a.seed: a.rows() for a in runs}


def _statistics(runs: Sequence[Answered]) -> Statistics:
    probe = runs[0].probe
    assert isinstance(probe, HasStatistics)
    return probe.statistics


def _stored(
    units: Units, unit: str, sides: Sequence[Sequence[Answered]], seed: int, compute: Callable[..., Values]
) -> Values:
    inputs = {
        "what": compute.__name__,
        "rows": [[a.rows_key for a in side] for side in sides],
        "seed": seed,
        "draws": DRAWS,
        "code": [code_of_arithmetic(), file_digest(Path(__file__))],
    }

    def write(part: Path) -> None:
        values = compute(*sides, generator(seed, sides[0][0].name))
        write_json(part / "values.json", _VALUES.dump_python(sorted(values.items(), key=lambda kv: kv[0]), mode="json"))

    folder = units.obtain(unit, "compared", inputs, write)
    return dict(_VALUES.validate_python(read_json(folder / "values.json")))
