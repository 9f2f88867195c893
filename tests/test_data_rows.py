"""Reading rows: nothing is guessed, every bad row has its reason, and nothing of a row's text gets into a message."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.data.files import DataError
from audit.data.rows import LONGEST_TEXT, read
from audit.settings.sections.data import Source


def csv(folder: Path, content: str | bytes, **columns) -> Source:
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "rows.csv").write_bytes(raw)
    return Source(file="rows.csv", text="text", **columns)


def jsonl(folder: Path, *lines: object, **columns) -> Source:
    written = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / "rows.jsonl").write_bytes(b"\n".join(written))
    return Source(file="rows.jsonl", text="text", **columns)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"only one cell", "malformed line"),
        (b"one,two,three", "malformed line"),
        (b'"closed" and more,0', "malformed line"),
        (b",0", "empty text"),
        (b" \t ,0", "empty text"),
        (b"caf\xe9,0", "wrong encoding"),
        (b"x" * (LONGEST_TEXT + 1) + b",0", "over-long"),
        (b"x" * 200_000 + b",0", "over-long"),
        (b"good,", "missing label"),
        (b"good,7", "unknown label"),
    ],
)
def test_a_bad_row_of_a_csv_file_is_counted_with_its_reason(tmp_path, line, reason):
    source = csv(tmp_path, b"text,label\nfirst,0\n" + line + b"\nlast,1\n", label="label")
    reading = read(source, tmp_path, classes=("0", "1"), skip=True)
    assert reading.bad == {reason: 1}
    assert [row.text for row in reading.rows] == ["first", "last"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut off', "malformed line"),
        (b'["text"]', "malformed line"),
        (b'{"text": ["a", "list"]}', "malformed line"),
        (b'{"text": {"body": "nested"}}', "malformed line"),
        (b"[" * 100_000, "malformed line"),
        (b'{"text": 1' + b"0" * 5000 + b"}", "malformed line"),
        (b'{"text": "caf\xe9"}', "wrong encoding"),
        (b'{"text": "caf\xe9', "wrong encoding"),
        (b'{"text": "\\ud800"}', "wrong encoding"),
        (b"{}", "missing text"),
        (b'{"text": null}', "missing text"),
        (b'{"text": NaN}', "missing text"),
        (b'{"text": "\\n"}', "empty text"),
    ],
)
def test_a_bad_line_of_a_jsonl_file_is_counted_with_its_reason(tmp_path, line, reason):
    reading = read(jsonl(tmp_path, {"text": "first"}, line, {"text": "last"}), tmp_path, skip=True)
    assert reading.bad == {reason: 1}
    assert [row.text for row in reading.rows] == ["first", "last"]


def test_lines_that_a_stray_quote_swallows_are_counted_one_by_one(tmp_path):
    source = csv(tmp_path, b'text\nfirst\n"never closed\nlost\nlost too\n')
    reading = read(source, tmp_path, skip=True)
    assert reading.bad == {"malformed line": 3}
    assert (reading.read, len(reading.rows)) == (4, 1)


def test_a_quote_that_swallows_more_than_a_field_may_hold_loses_no_line_uncounted(tmp_path):
    lines = [f"line {i} {'x' * 90}" for i in range(3000)]
    lines[10] = f'"{lines[10]}'
    reading = read(csv(tmp_path, "\n".join(["text", *lines])), tmp_path, skip=True)
    assert set(reading.bad) == {"over-long"}
    assert reading.read == len(reading.rows) + reading.bad.total() == 3000


def test_bad_rows_are_refused_in_one_sentence_with_their_lines_and_without_their_text(tmp_path):
    source = csv(tmp_path, b"text\ngood\n" + b'"  "\n' * 7 + b"secret\xe9\n")
    with pytest.raises(DataError) as refused:
        read(source, tmp_path)
    message = str(refused.value)
    assert message.startswith("rows.csv: 8 of 9 rows cannot be used (line 3: empty text; line 4: empty text;")
    assert "3 more" in message
    assert "bad_rows: skip" in message
    assert "secret" not in message


def test_labels_and_identifiers_of_a_csv_file_are_not_taken_for_numbers(tmp_path):
    source = csv(tmp_path, "text,label,id\na,01,007\nb,1,7\nc,1.0,true\n", label="label", id="id")
    rows = read(source, tmp_path).rows
    assert [row.label for row in rows] == ["01", "1", "1.0"]
    assert [row.identifier for row in rows] == ["007", "7", "true"]


def test_numbers_and_truth_values_of_typed_files_become_their_plainest_text(tmp_path):
    source = jsonl(tmp_path, *({"text": "a", "label": label} for label in (0, 1.0, 0.5, True, "01")), label="label")
    assert [row.label for row in read(source, tmp_path).rows] == ["0", "1", "0.5", "true", "01"]


def test_label_names_map_the_files_labels_and_no_others(tmp_path):
    source = csv(tmp_path, "text,label\na,0\nb,1\nc,2\n", label="label", label_names={"0": "bad", "1": "good"})
    reading = read(source, tmp_path, skip=True)
    assert [row.label for row in reading.rows] == ["bad", "good"]
    assert reading.bad == {"unknown label": 1}


def test_a_missing_group_is_unknown_and_na_is_a_value_like_any_other(tmp_path):
    source = csv(tmp_path, "text,country,sex\na,NA,\nb, DE ,f\n", groups=("country", "sex"))
    assert [row.groups for row in read(source, tmp_path).rows] == [("NA", "unknown"), ("DE", "f")]


def test_markup_quotes_commas_and_line_breaks_survive_as_data(tmp_path):
    text = '<script>alert("1, 2")</script>\n{{ 7*7 }} \ufeff\u2028 =cmd()'
    quoted = '"' + text.replace('"', '""') + '"'
    assert read(csv(tmp_path, f"text\n{quoted}\n"), tmp_path).rows[0].text == text
    assert read(jsonl(tmp_path, {"text": text}), tmp_path).rows[0].text == text


def test_byte_order_marks_blank_lines_and_carriage_returns_are_no_part_of_the_data(tmp_path):
    source = csv(tmp_path, b"\xef\xbb\xbftext,label\r\n\r\na,0\r\n\r\n", label="label")
    rows = read(source, tmp_path).rows
    assert [(row.number, row.text, row.label) for row in rows] == [(3, "a", "0")]


def test_a_row_is_numbered_by_the_line_on_which_it_begins(tmp_path):
    source = csv(tmp_path, 'text\n"two\nlines"\nnext\n')
    assert [row.number for row in read(source, tmp_path).rows] == [2, 4]


def test_marks_and_line_ends_of_other_systems_are_no_part_of_jsonl_either(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}\r\n')
    rows = read(Source(file="rows.jsonl", text="text"), tmp_path).rows
    assert [(row.number, row.text) for row in rows] == [(1, "a"), (3, "b")]


def test_numbers_of_any_size_are_labels_and_no_number_is_none(tmp_path):
    labels = [10**30, -1, 2**63, float("nan"), None, float("inf")]
    lines = [f'{{"text": "a", "label": {json.dumps(label)}}}'.encode() for label in labels]
    reading = read(jsonl(tmp_path, *lines, label="label"), tmp_path, skip=True)
    assert [row.label for row in reading.rows] == ["1" + 30 * "0", "-1", "9223372036854775808", "inf"]
    assert reading.bad == {"missing label": 2}


def test_cells_of_parquet_that_hold_no_single_value_are_bad_and_nan_and_null_are_missing(tmp_path):
    table = {
        "text": pa.array([{"body": "a"}, None], pa.struct([("body", pa.string())])),
        "words": pa.array([["a", "b"], None]),
        "map": pa.array([[("a", "b")], None], pa.map_(pa.string(), pa.string())),
        "nothing": pa.nulls(2),
        "number": pa.array([float("nan"), 3.0]),
    }
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    for column in ("text", "words", "map"):
        with pytest.raises(DataError, match="row 1: malformed line; row 2: missing text"):
            read(Source(file="rows.parquet", text=column), tmp_path)
    with pytest.raises(DataError, match="row 1: missing text; row 2: missing text"):
        read(Source(file="rows.parquet", text="nothing"), tmp_path)
    reading = read(Source(file="rows.parquet", text="number"), tmp_path, skip=True)
    assert ([row.text for row in reading.rows], reading.bad) == (["3"], {"missing text": 1})


def test_bytes_in_parquet_are_text_where_they_are_utf8(tmp_path):
    pq.write_table(pa.table({"text": pa.array(["café".encode(), b"caf\xe9"])}), tmp_path / "rows.parquet")
    reading = read(Source(file="rows.parquet", text="text"), tmp_path, skip=True)
    assert ([row.text for row in reading.rows], reading.bad) == (["café"], {"wrong encoding": 1})


def test_parquet_keeps_its_types_as_text_and_counts_bad_bytes(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(np.array([0, 2, 3, 4], "i4").tobytes()), pa.py_buffer(b"ok\xe9z")]
    )
    label = pa.array([1, 2, 3], pa.int8())
    group = pa.array(["x", None, "x"]).dictionary_encode()
    pq.write_table(pa.table({"text": broken, "label": label, "group": group}), tmp_path / "rows.parquet")
    source = Source(file="rows.parquet", text="text", label="label", groups=("group",))
    reading = read(source, tmp_path, skip=True)
    assert reading.bad == {"wrong encoding": 1}
    assert [(row.number, row.text, row.label, row.groups) for row in reading.rows] == [
        (1, "ok", "1", ("x",)),
        (3, "z", "3", ("x",)),
    ]


def test_a_repeated_or_missing_identifier_is_a_bad_row(tmp_path):
    source = csv(tmp_path, "text,id\na,1\nb,1\nc,\n", id="id")
    assert read(source, tmp_path, skip=True).bad == {"repeated id": 1, "missing id": 1}


def test_a_limit_draws_the_same_rows_each_time_in_the_files_order(tmp_path):
    source = csv(tmp_path, "text\n" + "".join(f"row {i}\n" for i in range(1000)), limit=50)
    first, second = read(source, tmp_path), read(source, tmp_path)
    numbers = [row.number for row in first.rows]
    assert first.rows == second.rows
    assert numbers == sorted(set(numbers))
    assert (len(numbers), first.read, first.of) == (50, 50, 1000)
    assert 400 < np.mean(numbers) < 600  # the first 50 would have a mean of 26; the mean's deviation is 41


def test_a_limit_above_the_number_of_rows_reads_them_all(tmp_path):
    assert len(read(csv(tmp_path, "text\na\nb\n", limit=5), tmp_path).rows) == 2


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path, name):
    (tmp_path / "rows.csv").write_text("body,kind\na,b\n")
    (tmp_path / "rows.jsonl").write_text('{"body": "a", "kind": "b"}\n')
    pq.write_table(pa.table({"body": ["a"], "kind": ["b"]}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"no column 'text'; its columns are 'body', 'kind'"):
        read(Source(file=name, text="text"), tmp_path, skip=True)


def test_the_first_row_of_a_file_without_header_is_not_told_as_its_columns(tmp_path):
    (tmp_path / "rows.csv").write_text("Zmark wrote a long text about the noise of a dog,label\nanother,b\n")
    with pytest.raises(DataError, match=r"no column 'text'; its columns are 'one of 48 characters', 'label'"):
        read(Source(file="rows.csv", text="text"), tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xlsx", b"", "must end in .csv, .jsonl or .parquet"),
        ("rows.csv", b"", "the file is empty"),
        ("rows.csv", "text\na\n".encode("utf-16"), "the header is not in UTF-8"),
        ("rows.csv", b'"text\n', "the header cannot be read"),
        ("rows.csv", b"text,text\na,b\n", "stands there twice"),
        ("rows.csv", b"text\n", "none of its 0 rows can be used"),
        ("rows.csv", b"\xef\xbb\xbf", "the file is empty"),
        ("rows.parquet", b"", "not a readable Parquet file"),
        ("rows.jsonl", '{"text": "a"}\n'.encode("utf-16"), "cannot be used"),
        ("rows.jsonl", b"", "none of its 0 rows can be used"),
        ("rows.parquet", b"PAR1 but not really", "not a readable Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        read(Source(file=name, text="text"), tmp_path)
    assert str(refused.value).startswith(f"{name}: ")


def test_a_file_that_is_not_there_is_refused_without_its_folder(tmp_path):
    with pytest.raises(DataError, match=r"^rows\.csv: no such file"):
        read(Source(file=str(tmp_path / "rows.csv"), text="text"), tmp_path)


class FakeHub:
    """Stands for the `datasets` package; remembers what was asked of it."""

    def __init__(self, rows: dict[str, list[object]]) -> None:
        import datasets

        self.config = datasets.config
        self.asked: dict[str, object] = {}
        self._rows = datasets.Dataset.from_dict(rows)

    def load_dataset(self, name, subset, **options):
        self.asked = {"name": name, "subset": subset, **options}
        return self._rows


def test_a_hub_data_set_is_read_at_its_pinned_commit_into_a_cache_that_is_gone_afterwards(tmp_path, monkeypatch):
    hub = FakeHub({"text": ["a", "b"], "label": [0, 1], "unused": [1.5, 2.5]})
    monkeypatch.setitem(sys.modules, "datasets", hub)
    source = Source(hub="some/set", revision="a" * 40, split="test", text="text", label="label")
    rows = read(source, tmp_path).rows
    assert [(row.number, row.text, row.label) for row in rows] == [(1, "a", "0"), (2, "b", "1")]
    assert hub.asked["revision"] == "a" * 40
    assert hub.asked["split"] == "test"
    assert not Path(str(hub.asked["cache_dir"])).exists()


@pytest.mark.parametrize("revision", [None, "main", "abc123"])
def test_a_hub_data_set_without_a_commit_is_refused(tmp_path, revision):
    with pytest.raises(DataError, match="revision must be a commit hash of 40 hex digits"):
        read(Source(hub="some/set", revision=revision, text="text"), tmp_path)


def test_a_folder_that_would_stand_in_for_the_hub_is_refused(tmp_path, monkeypatch):
    (tmp_path / "some-set").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="stands in the way of the hub"):
        read(Source(hub="some-set", revision="a" * 40, text="text"), tmp_path)
