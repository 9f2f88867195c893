import os
import signal
import stat
import subprocess
import sys

import pytest

from audit.store import RunFolder, Store, canonical, digest, file_digest, stored_salt, write_json, write_text


def test_equal_values_have_equal_digests_whatever_the_order_of_their_keys():
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert canonical({"b": 1, "a": "ä"}) == '{"a":"ä","b":1}'


def test_a_number_that_is_not_finite_has_no_digest():
    with pytest.raises(ValueError, match="Out of range"):
        digest({"a": float("nan")})


def test_an_object_is_there_whole_or_not_at_all(tmp_path):
    store = Store(tmp_path)

    def killed():
        with store.writing("table", "abcd") as part:
            (part / "half").write_text("x")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        killed()
    assert not store.has("table", "abcd")
    assert list(store.objects.rglob("half")) == []


def test_an_object_that_another_process_wrote_first_is_kept(tmp_path):
    store = Store(tmp_path)
    with store.writing("table", "abcd") as part:
        (part / "value").write_text("mine")
        with store.writing("table", "abcd") as other:
            (other / "value").write_text("first")
    assert (store.path("table", "abcd") / "value").read_text() == "first"


def test_what_a_killed_process_left_is_swept_away_and_objects_stay(tmp_path):
    store = Store(tmp_path)
    with store.writing("table", "abcd"):
        pass
    (store.path("table", "abcd").parent / ".abcd.1234").mkdir()
    store.sweep()
    assert store.has("table", "abcd")
    assert list(store.objects.glob("*/*/.*")) == []


def test_what_a_living_process_is_writing_is_not_swept_away(tmp_path):
    store = Store(tmp_path)
    with store.writing("table", "abcd") as part:
        (part / "half").write_text("x")
        store.sweep()
        assert (part / "half").is_file()
    assert (store.path("table", "abcd") / "half").is_file()
    assert list(store.objects.glob("*/*/.*")) == []


def test_what_a_process_was_writing_when_it_was_killed_is_swept_away(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from audit.store import Store
with Store(Path({str(tmp_path)!r})).writing("table", "abcd"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    store = Store(tmp_path)
    assert len(list(store.objects.glob("*/*/.*"))) == 1
    store.sweep()
    assert list(store.objects.glob("*/*/.*")) == []


@pytest.fixture
def open_mask():
    """A process that lets everybody read what it writes."""
    before = os.umask(0o000)
    yield
    os.umask(before)


def test_folders_and_files_are_readable_by_their_owner_only_whatever_the_mask(tmp_path, open_mask):
    store = Store(tmp_path / "new" / "runs")
    with store.writing("model", "abcd") as part:
        write_text(part / "secret", "x")
        (part / "of_a_library").mkdir()
        (part / "of_a_library" / "weights").write_text("x")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
    assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in modes}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("inf")})
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_salt_is_made_once_and_stays(tmp_path):
    first = stored_salt(tmp_path / "runs" / "salt")
    assert stored_salt(tmp_path / "runs" / "salt") == first
    assert len(first) == 64


def test_a_changed_or_missing_file_of_the_evidence_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.rows.mkdir()
    write_json(folder.record, {"a": 1})
    write_text(folder.rows / "x.parquet", "rows")
    folder.write_manifest()
    assert folder.tampered() == []
    write_json(folder.record, {"a": 2})
    (folder.rows / "x.parquet").unlink()
    assert folder.tampered() == ["record.json", "rows/x.parquet"]


def test_a_manifest_that_leaves_out_a_file_of_the_evidence_vouches_for_nothing(tmp_path):
    folder = RunFolder(tmp_path)
    write_json(folder.record, {"a": 1})
    write_json(folder.manifest, {})
    assert folder.tampered() == ["manifest.json"]


def test_what_was_computed_from_the_evidence_is_vouched_for_apart_and_is_no_evidence(tmp_path):
    folder = RunFolder(tmp_path)
    write_json(folder.record, {"a": 1})
    folder.write_manifest()
    write_json(folder.intervals, {"b": 1})
    assert not folder.vouches(folder.intervals)
    folder.vouch(folder.intervals)
    assert folder.vouches(folder.intervals)
    folder.write_manifest()
    assert folder.vouches(folder.intervals)
    write_json(folder.intervals, {"b": 2})
    assert folder.tampered() == []
    folder.write_manifest()
    assert not folder.vouches(folder.intervals)


def test_a_manifest_contradicts_a_file_that_it_knows_otherwise_and_no_other(tmp_path):
    folder = RunFolder(tmp_path)
    write_json(folder.seal, {"a": 1})
    assert not folder.contradicts(folder.seal)
    folder.write_manifest()
    assert not folder.contradicts(folder.seal)
    write_json(folder.seal, {"a": 2})
    assert folder.contradicts(folder.seal)
    write_text(folder.manifest, "{")
    assert not folder.contradicts(folder.seal)
    assert folder.tampered() == ["manifest.json"]


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
