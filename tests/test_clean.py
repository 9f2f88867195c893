"""What `audit clean` deletes, what it leaves, and what can still be verified afterwards."""

import shutil
import stat

import pyarrow.parquet as pq
import pytest
import tiny_audit

from audit.clean import clean
from audit.judging.judge import judge
from audit.judging.verify import verified
from audit.refusal import Refused
from audit.store import RunFolder, Store, private_folder, write_json, write_text
from probes.protocol import Rows
from reports.record import RunInfo, dumps


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def a_run(store: Store, name: str, *objects: str) -> RunFolder:
    """A run that uses these objects, which are there, with rows of every sensitivity."""
    folder = RunFolder(store.root / name)
    private_folder(folder.path)
    for used in objects:
        kind, key = used.split("/")
        if not store.has(kind, key):
            with store.writing(kind, key):
                pass
    info = RunInfo(
        run_id=name, status="complete", started="", finished="", sealed_at="", host={},
        objects={used: used for used in objects},
    )  # fmt: skip
    write_text(folder.run, dumps(info))
    told = {"stratum": ["records, True", "records, False"], "is_member": [True, False]}
    rows = Rows({"item_id": ["a", "b"], "score": [0.1, 0.2], "group:age": ["x", "y"], **told, "secret": ["s", "t"]})
    private_folder(folder.rows / "dp@0")
    pq.write_table(rows.to_arrow(), folder.rows / "dp@0" / "utility.parquet")
    pq.write_table(
        rows.drop(["score", "group:age", "secret", *told]).to_arrow(), folder.rows / "dp@0" / "plain.parquet"
    )
    for file in (folder.record, folder.seal, folder.config):
        write_json(file, {})
    folder.write_manifest()
    return folder


def columns(folder: RunFolder) -> list[str]:
    return pq.read_schema(folder.rows / "dp@0" / "utility.parquet").names


def test_objects_that_only_this_run_uses_are_deleted_and_shared_ones_stay(store):
    mine = a_run(store, "a-1", "model/aa1", "data/dd1")
    a_run(store, "b-1", "model/bb1", "data/dd1")
    said = clean(mine, store, "public")
    assert not store.has("model", "aa1")
    assert store.has("model", "bb1")
    assert store.has("data", "dd1")
    assert said[0] == "1 stored objects deleted (models, prepared data, tables, answers); 1 are used by other runs"


def test_what_two_runs_shared_goes_with_the_last_of_them(store):
    runs = [a_run(store, name, "data/dd1") for name in ("a-1", "b-1")]
    clean(runs[0], store, "public")
    assert store.has("data", "dd1")
    clean(runs[1], store, "public")
    assert not store.has("data", "dd1")


def test_what_a_killed_training_left_goes_too(store):
    folder = a_run(store, "a-1", "data/dd1")
    folder.log({"unit": "train:a@0", "event": "begin", "object": "model/aa1"})
    private_folder(store.checkpoints("aa1"))
    private_folder(store.path("model", "aa1").parent / ".aa1.1234")
    private_folder(store.checkpoints("another"))
    clean(folder, store, "public")
    assert not store.checkpoints("aa1").exists()
    assert list(store.objects.glob("model/*/.*")) == []
    assert store.checkpoints("another").exists()


def test_a_run_that_never_finished_can_be_cleaned(store):
    folder = RunFolder(store.root / "a-1")
    private_folder(folder.path)
    with store.writing("data", "dd1"):
        pass
    folder.log({"unit": "data", "event": "begin", "object": "data/dd1"})
    clean(folder, store, "public")
    assert not store.has("data", "dd1")


def test_nothing_is_deleted_where_it_is_not_known_what_another_run_uses(store):
    mine = a_run(store, "a-1", "model/aa1")
    other = a_run(store, "b-1", "model/aa1")
    other.run.write_text("{")
    with pytest.raises(Refused, match="nothing is deleted"):
        clean(mine, store, "public")
    assert store.has("model", "aa1")
    assert "secret" in columns(mine)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("public", ["item_id"]),
        ("derived", ["item_id", "score", "stratum", "is_member"]),
        ("personal", ["item_id", "score", "group:age", "stratum", "is_member"]),
    ],
)
def test_columns_that_are_more_sensitive_than_what_is_kept_are_deleted(store, keep, left):
    folder = a_run(store, "a-1", "model/aa1")
    said = clean(folder, store, keep)
    assert columns(folder) == left
    assert folder.cleaned() == ["rows/dp@0/utility.parquet"]
    assert said[1].startswith("rows/dp@0/utility.parquet: columns ")
    assert said[1].endswith("secret deleted; its numbers can no longer be verified")


def test_what_was_cleaned_is_whole_and_readable_by_its_owner_only(store):
    folder = a_run(store, "a-1", "model/aa1")
    clean(folder, store, "derived")
    path = folder.rows / "dp@0" / "utility.parquet"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert folder.tampered() == []
    assert [f.name for f in path.parent.iterdir() if f.name.startswith(".")] == []


def test_rows_that_a_killed_process_left_half_written_go_too(store):
    folder = a_run(store, "a-1", "model/aa1")
    shutil.copytree(folder.rows, folder.path / ".rows")
    shutil.copy(folder.rows / "dp@0" / "utility.parquet", folder.rows / "dp@0" / ".utility.parquet")
    clean(folder, store, "derived")
    assert list(folder.path.rglob(".*")) == []
    assert folder.tampered() == []


def test_cleaning_twice_and_more_thoroughly_is_possible(store):
    folder = a_run(store, "a-1", "model/aa1")
    clean(folder, store, "personal")
    clean(folder, store, "public")
    assert columns(folder) == ["item_id"]
    assert clean(folder, store, "public") == ["0 stored objects deleted (models, prepared data, tables, answers)"]


@pytest.mark.parametrize("name", ["record.json", "rows/dp@0/utility.parquet"])
def test_cleaning_does_not_make_a_changed_file_pass_for_the_run_s_own(store, name):
    folder = a_run(store, "a-1", "model/aa1")
    if name == "record.json":
        write_json(folder.record, {"forged": 1})
    else:
        forged = Rows({"item_id": ["a", "z"], "score": [9.0, 9.0]})
        pq.write_table(forged.to_arrow(), folder.path / name)
    clean(folder, store, "public")
    assert folder.tampered() == [name]


# ---- a whole run --------------------------------------------------------------------------------------------------


def test_after_cleaning_verify_says_what_cannot_be_verified_and_gate_refuses(tmp_path):
    _, run = tiny_audit.finished(tmp_path)
    folder, store = RunFolder(run), Store(run.parent)
    write_text(folder.gates, dumps(judge(folder)))
    kept = {f: f.read_bytes() for f in (folder.record, folder.gates)}
    clean(folder, store, "derived")
    result = verified(folder)
    assert result.differences == ()
    assert result.numbers > 0
    lost = {sentence.partition(" lost columns")[0] for sentence in result.unverifiable[:-1]}
    assert lost == {f"rows/{arm}/group_disparity.parquet" for arm in ("dp@0", "standard@0", "standard@1")}
    assert result.unverifiable[-1].startswith("gates.json")
    with pytest.raises(Refused, match="run the audit again"):
        judge(folder)
    assert {f: f.read_bytes() for f in kept} == kept
    assert not any(store.objects.glob("*/*/*"))


def test_a_run_that_is_cleaned_and_run_again_is_whole_again(tmp_path):
    from audit.opening import opened, ordered
    from audit.progress import Lines
    from audit.running import execute

    config, run = tiny_audit.finished(tmp_path)
    folder = RunFolder(run)
    before = folder.record.read_bytes()
    clean(folder, Store(run.parent), "public")
    shutil.rmtree(folder.rows)
    execute.run(ordered(opened(config), run.parent), Lines(quiet=True))
    assert folder.record.read_bytes() == before
    assert folder.cleaned() == []
    assert folder.tampered() == []
