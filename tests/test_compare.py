"""Means over seeds and paired differences, from rows that stand in files."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest

from audit.planning.plan import ArmPlan, Plan
from audit.progress import Lines
from audit.running import compare
from audit.running.asking import Answered, generator
from audit.store import RunFolder, Store, private_folder
from audit.units import Units, events_of
from probes.protocol import Facts, Rows
from probes.results import ALL, Estimate, MetricSpec


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of a column."""

    name: ClassVar[str] = "mean"
    version: ClassVar[int] = 1
    pillar: ClassVar[str] = "utility"
    roles: ClassVar[frozenset[str]] = frozenset({"candidate"})
    metrics: ClassVar[dict[str, MetricSpec]] = {
        "right": MetricSpec(ideal=1.0, unit="rate", definition="mean", label="right")
    }

    def statistics(self, rows, weights):
        return {("right", ALL): float(np.average(rows["right"], weights=weights))}


@dataclass(frozen=True, kw_only=True)
class Summarized:
    """A probe with intervals of its own, from which no difference can be made."""

    name: ClassVar[str] = "mean"
    version: ClassVar[int] = 1
    pillar: ClassVar[str] = "utility"
    roles: ClassVar[frozenset[str]] = frozenset({"candidate"})
    metrics: ClassVar[dict[str, MetricSpec]] = {}


KEY = ("right", ALL)


class Bench:
    """Arms with the rows that they answered."""

    def __init__(self, folder, probe):
        self.folder, self.probe, self.answers, self.seeds = folder, probe, [], {}
        run = RunFolder(folder / "a-1")
        private_folder(run.path)
        self.units = Units(store=Store(folder), folder=run, observer=Lines(quiet=True))

    def answer(self, arm, seed, right):
        path = self.folder / f"{arm}@{seed}.parquet"
        ids = [f"i{i:03}" for i in range(len(right))]
        pq.write_table(Rows({"item_id": ids, "cluster": ids, "right": np.asarray(right, float)}).to_arrow(), path)
        self.seeds.setdefault(arm, []).append(seed)
        facts = Facts(arm=arm, role="candidate", seed=seed, head="classifier", task="text-classification")
        self.answers.append(
            Answered(
                arm=arm, seed=seed, name="mean", probe=self.probe, facts=facts, comparability="c", rows_path=path,
                rows_key=f"{arm}@{seed}",
            )
        )  # fmt: skip

    def plan(self, *contrasts):
        arms = tuple(
            ArmPlan(
                name=arm, role="candidate", source="trained", twin_of=None, training=None, privacy=None, claims=None,
                given=None, seeds=tuple(seeds), probes={"mean": self.probe},
            )
            for arm, seeds in self.seeds.items()
        )  # fmt: skip
        return Plan(arms=arms, probes={"mean": self.probe}, contrasts=contrasts)

    def difference(self, arm, reference):
        (found,) = compare.contrasts(self.plan((arm, reference)), self.answers, self.units, seed=0, failed=[])
        return found.values[KEY]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, Mean())


def answers(share, n=200, seed=0):
    return np.random.default_rng(seed).random(n) < share


def test_the_mean_over_seeds_is_the_mean_of_their_values(bench):
    columns = [answers(0.8, seed=s) for s in range(3)]
    for seed, column in enumerate(columns):
        bench.answer("standard", seed, column)
    (found,) = compare.over_seeds(bench.plan(), bench.answers, bench.units, seed=0, failed=[])
    value = found.values[KEY]
    assert value.value == pytest.approx(np.mean(columns))
    assert value.varies == "items and seeds"


def test_one_seed_has_no_mean_over_seeds(bench):
    bench.answer("standard", 0, answers(0.8))
    assert compare.over_seeds(bench.plan(), bench.answers, bench.units, seed=0, failed=[]) == []


def test_a_seed_that_did_not_answer_is_left_out_of_the_mean(bench):
    for seed in range(3):
        bench.answer("standard", seed, answers(0.8, seed=seed))
    (found,) = compare.over_seeds(bench.plan(), bench.answers[:2], bench.units, seed=0, failed=[])
    assert found.values[KEY].value == pytest.approx(np.mean([answers(0.8, seed=s) for s in range(2)]))


def test_a_difference_is_arm_minus_reference(bench):
    bench.answer("dp", 0, answers(0.6, seed=1))
    bench.answer("standard", 0, answers(0.9, seed=2))
    value = bench.difference("dp", "standard")
    assert value.value == pytest.approx(answers(0.6, seed=1).mean() - answers(0.9, seed=2).mean())
    assert value.high < 0


def test_swapping_the_arms_turns_the_difference_round(bench):
    bench.answer("dp", 0, answers(0.6, seed=1))
    bench.answer("standard", 0, answers(0.7, seed=2))
    there, back = bench.difference("dp", "standard"), bench.difference("standard", "dp")
    assert there.value == -back.value
    assert there.low == pytest.approx(-back.high)


def test_arms_that_answer_alike_differ_by_less_than_arms_that_answer_apart(bench):
    right = answers(0.7)
    bench.answer("a", 0, right)
    bench.answer("b", 0, np.where(np.arange(200) < 4, ~right, right))  # four answers are others
    bench.answer("c", 0, np.random.default_rng(9).permutation(right))
    alike, apart = bench.difference("b", "a"), bench.difference("c", "a")
    assert alike.high - alike.low < (apart.high - apart.low) / 3


def test_the_value_at_the_level_of_the_record_is_the_recorded_one(bench):
    bench.answer("dp", 0, answers(0.6, seed=1))
    bench.answer("standard", 0, answers(0.7, seed=2))
    ours, theirs = ([a] for a in bench.answers)
    assert compare.difference(ours, theirs, generator(0, "mean"))[KEY] == bench.difference("dp", "standard")


def test_an_interval_at_a_higher_level_contains_that_at_a_lower(bench):
    bench.answer("dp", 0, answers(0.6, seed=1))
    bench.answer("standard", 0, answers(0.7, seed=2))
    ours, theirs = ([a] for a in bench.answers)
    ends = []
    for level in (0.8, 0.95, 0.99, 0.998):
        value = compare.difference(ours, theirs, generator(0, "mean"), level)[KEY]
        assert isinstance(value, Estimate)
        ends.append((value.low, value.high))
    lows, highs = zip(*ends, strict=True)
    assert list(lows) == sorted(lows, reverse=True)
    assert list(highs) == sorted(highs)


def test_a_comparison_is_computed_once(bench):
    bench.answer("dp", 0, answers(0.6, seed=1))
    bench.answer("standard", 0, answers(0.7, seed=2))
    assert bench.difference("dp", "standard") == bench.difference("dp", "standard")
    assert [e["unit"] for e in events_of(bench.units.folder)] == ["contrast:dp:standard:mean"] * 2  # begun, done


def test_an_arm_without_answers_is_not_compared(bench):
    bench.answer("dp", 0, answers(0.6))
    assert compare.contrasts(bench.plan(("dp", "standard")), bench.answers, bench.units, seed=0, failed=[]) == []


def test_a_probe_without_statistics_is_neither_pooled_nor_compared(tmp_path):
    bench = Bench(tmp_path, Summarized())
    for arm, seed in (("dp", 0), ("dp", 1), ("standard", 0)):
        bench.answer(arm, seed, answers(0.6))
    plan = bench.plan(("dp", "standard"))
    assert compare.over_seeds(plan, bench.answers, bench.units, seed=0, failed=[]) == []
    assert compare.contrasts(plan, bench.answers, bench.units, seed=0, failed=[]) == []


def test_a_comparison_that_breaks_is_put_down_and_the_run_goes_on(bench, monkeypatch):
    def broken(ours, theirs, rng, level=0.95):
        raise RuntimeError("a text of the user")

    monkeypatch.setattr(compare, "difference", broken)
    for arm in ("dp", "standard"):
        bench.answer(arm, 0, answers(0.6))
    failed = []
    assert compare.contrasts(bench.plan(("dp", "standard")), bench.answers, bench.units, seed=0, failed=failed) == []
    (unit,) = failed
    assert (unit.unit, unit.outcome) == ("contrast:dp:standard:mean", "error")
    assert "a text of the user" not in unit.reason
