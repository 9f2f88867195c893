import stat

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


def test_folders_and_files_are_readable_by_their_owner_only(tmp_path):
    store = Store(tmp_path / "runs")
    with store.writing("model", "abcd") as part:
        write_text(part / "secret", "x")
    path = store.path("model", "abcd")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "secret").stat().st_mode) == 0o600


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


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
