"""Rows that were cut: taken from trainings and tables by split, never counted twice, and told where canaries lose."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.planning.plan import make_plan
from audit.running.arms import StoredModel
from audit.running.asking import Answered, Measured
from audit.running.cuts import with_cuts
from audit.running.recipes import as_trained
from audit.settings.config import AuditConfig
from audit.settings.sections.models import Model
from audit.world.splits import splits
from probes.protocol import Facts
from reports.record import Identity, SeedRecord, TrainingRecord

CONFIG = AuditConfig.model_validate({
    "model": "world",
    "data": {"world": {"core": 120, "pool": 80, "test": 40}},
    "task": {"prompt": "{text} verdict", "label_words": {"accept": "accept", "reject": "reject"}},
    "arms": {"base": {}, "a": {}, "b": {}},
})  # fmt: skip
PLAN = make_plan(CONFIG)
SPLITS = splits(CONFIG, salt="s")


def model(truncated: int | None) -> StoredModel:
    training = None
    if truncated is not None:
        training = TrainingRecord(examples=200, steps=1, final_loss=None, truncated=truncated)
    seed = SeedRecord(
        seed=0, identity=Identity(weights="w", tokenizer="t", parameters=1), training=training, privacy=None
    )
    return StoredModel(source=Model(name="m"), head="causal", record=seed, notes={})


def answered(arm: str, cut: dict[str, int]) -> Answered:
    facts = Facts(arm=arm, role="candidate", seed=0, head="causal", task="text-classification")
    return Answered(
        arm=arm, seed=0, name="utility", probe=PLAN.probes["utility"], facts=facts, comparability="c",
        rows_path=Path("rows"), rows_key="k", cut=cut,
    )  # fmt: skip


def quality(answers=(), **truncated):
    models = {(arm.name, seed): model(truncated.get(arm.name.replace("-", "_"))) for arm, seed in PLAN.runs()}
    return with_cuts(CONFIG, PLAN, SPLITS, models, answers)


def test_the_most_of_all_arms_is_told_for_each_split():
    test, chat = SPLITS.test.digest, SPLITS.domains["chat"].digest
    found = quality([answered("a", {test: 3, chat: 0}), answered("b", {test: 5, "of other items": 9})], a=2, b=7)
    assert found.cut == {"domain:chat": 0, "test": 5, "train": 7}
    assert found.truncated == 5
    assert found.notes == SPLITS.quality.notes


def test_a_twins_training_does_not_speak_for_the_training_split():
    assert quality(a_twin=50, b_twin=50).cut == {}
    assert quality().truncated is None


@pytest.mark.parametrize("shown", [SPLITS.canaries, as_trained(CONFIG, SPLITS.canaries, SPLITS.classes)])
def test_canaries_that_were_cut_are_a_warning_however_they_are_shown(shown):
    found = quality([answered("a-twin", {shown.digest: 4})])
    assert found.cut == {"canaries": 4}
    assert found.notes[-1].startswith("4 of the 200 canaries are longer than the model's limit; what is cut off")


@pytest.mark.parametrize(
    ("told", "expected"), [([True, False, True], 2), ([False], 0), ([True, None], None), (None, None)]
)
def test_a_table_tells_how_many_it_cut_if_it_knows_of_all(tmp_path, told, expected):
    columns = {"item_id": ["i"] * len(told or [1])} | (
        {} if told is None else {"truncated": pa.array(told, pa.bool_())}
    )
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    assert Measured(folder=tmp_path, key="k", question="q", items="d").cut == expected


def test_what_is_said_of_cuts_changes_nothing_else():
    found = quality([answered("a", {SPLITS.test.digest: 1})], a=1)
    assert replace(found, cut={}, truncated=None) == SPLITS.quality
