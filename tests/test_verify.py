"""A finished run is recomputed from its rows: what is whole is equal, and what was changed is named."""

import pyarrow.parquet as pq
import pytest
import tiny_audit

from audit.judging.evidence import Recomputed, stored_answers
from audit.judging.judge import judge
from audit.judging.verify import verified
from audit.refusal import Damaged, Refused
from audit.store import RunFolder, read_json, write_json, write_text
from probes.protocol import Rows
from probes.results import Estimate
from reports.record import dumps, load_record


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tiny_audit.finished(tmp_path)[1])


KEPT = {("dp", 0, "utility"), ("standard-twin", 0, "membership")}
"""What stays in a small run: two sets of rows, which are recomputed in no time."""


@pytest.fixture
def small(folder) -> RunFolder:
    def cut(record):
        for name in ("metrics", "series", "checks"):
            record[name] = [f for f in record[name] if (f["arm"], f["seed"], f["probe"]) in KEPT]
        record["contrasts"] = []
        record["coverage"]["measured"] = len(KEPT)

    for file in folder.rows.glob("*/*"):
        arm, _, seed = file.parent.name.rpartition("@")
        if (arm, int(seed), file.stem) not in KEPT:
            file.unlink()
    forge(folder, cut)
    return folder


def forge(folder: RunFolder, edit) -> None:
    """Change the record as one would who knows of the manifest."""
    record = read_json(folder.record)
    edit(record)
    write_json(folder.record, record)
    folder.write_manifest()


def forge_rows(folder: RunFolder, name: str, column: str) -> None:
    """Change one value in one row."""
    path = folder.rows / name
    rows = Rows.from_arrow(pq.read_table(path))
    values = rows[column].copy()
    values[0] = not values[0] if values.dtype == bool else values[0] + 1
    pq.write_table(rows.assign(**{column: values}).to_arrow(), path)


def test_a_run_as_it_was_written_comes_out_of_its_rows_again(folder):
    record = load_record(folder.record)
    write_text(folder.gates, dumps(judge(folder)))
    result = verified(folder)
    assert (result.differences, result.unverifiable) == ((), ())
    assert result.numbers == len(record.metrics) + len(record.contrasts)


def test_one_digit_in_the_record_is_seen(folder):
    text = folder.record.read_text()
    at = text.index('"value": 0.') + len('"value": 0.')
    folder.record.write_text(f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}")
    assert verified(folder).differences == ("record.json is not the file that the run wrote",)


@pytest.mark.parametrize("name", ["seal.json", "config.json", "rows/dp@0/utility.json"])
def test_no_other_file_that_numbers_rest_on_can_be_changed_either(folder, name):
    (folder.path / name).write_text((folder.path / name).read_text() + " ")
    assert verified(folder).differences == (f"{name} is not the file that the run wrote",)


def test_one_value_in_one_row_is_seen(folder):
    forge_rows(folder, "dp@0/utility.parquet", "decision")
    assert verified(folder).differences == ("rows/dp@0/utility.parquet is not the file that the run wrote",)


@pytest.mark.parametrize("damage", ["gone", "no JSON"])
def test_a_run_without_its_manifest_is_not_whole(folder, damage):
    folder.manifest.unlink() if damage == "gone" else folder.manifest.write_text("{")
    assert verified(folder).differences == ("manifest.json is not the file that the run wrote",)


def test_whoever_changes_the_manifest_too_is_found_out_by_recomputing(folder):
    def edit(record):
        metrics = {(m["arm"], m["seed"], m["probe"], m["name"]): m for m in record["metrics"]}
        metrics["dp", 0, "utility", "accuracy"]["estimate"]["low"] += 1e-12
        metrics["standard", None, "utility", "log_loss"]["estimate"]["value"] += 1e-12
        record["metrics"].append({**metrics["dp", 0, "utility", "accuracy"], "arm": "base"})
        record["contrasts"][0]["difference"]["value"] += 1e-12
        series = next(s for s in record["series"] if s["probe"] == "membership")
        series["series"]["columns"]["tpr"][1] += 1e-12
        check = next(c for c in record["checks"] if c["probe"] == "canaries")
        check["check"]["outcome"] = "refuted"
        (dp,) = (a for a in record["arms"] if a["name"] == "dp")
        dp["runs"][0]["privacy"]["epsilon"] /= 2
        dp["runs"][0]["privacy"]["accountants"]["PLD"] /= 2

    forge(folder, edit)
    differences = "\n".join(verified(folder).differences)
    for sentence in (
        "dp@0/utility: accuracy is recorded as",
        "standard/utility: log_loss is recorded as",
        "base@0/utility: there are no rows that its numbers come from",
        "minus standard/utility: ",
        "membership: its curves do not come out of the rows again",
        "canaries: its checks do not come out of the rows again",
        "dp@0: epsilon is recorded as",
        "dp@0: epsilon by PLD is recorded as",
    ):
        assert sentence in differences, sentence


def test_a_row_that_was_changed_with_the_manifest_moves_the_numbers(small):
    assert verified(small).differences == ()
    forge_rows(small, "dp@0/utility.parquet", "loss_nats")
    small.write_manifest()
    differences = verified(small).differences
    assert any("dp@0/utility: log_loss is recorded as" in sentence for sentence in differences)
    assert all("dp@0/utility" in sentence for sentence in differences)


def test_rows_that_were_taken_away_with_the_manifest_are_missed(small):
    for file in small.rows.glob("dp@0/utility.*"):
        file.unlink()
    small.write_manifest()
    differences = "\n".join(verified(small).differences)
    assert "the record speaks of 2 sets of rows, and there are 1" in differences
    assert "dp@0/utility: there are no rows that its numbers come from" in differences


DAMAGES = {
    "no Parquet": (".parquet", lambda path: path.write_bytes(b"PAR1 and no more")),
    "rows cut short": (".parquet", lambda path: path.write_bytes(path.read_bytes()[:-20])),
    "a column gone": (
        ".parquet",
        lambda path: pq.write_table(pq.read_table(path).drop_columns(["loss_nats"]), path),
    ),
    "words for numbers": (
        ".parquet",
        lambda path: pq.write_table(Rows.from_arrow(pq.read_table(path)).assign(correct=["x"] * 84).to_arrow(), path),
    ),
    "no JSON": (".json", lambda path: path.write_text("{")),
    "no facts": (".json", lambda path: write_json(path, {**read_json(path), "facts": {"arm": 1}})),
    "a list": (".json", lambda path: write_json(path, [])),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_that_are_none_are_named_in_a_sentence_though_the_manifest_knows_them(small, damage):
    suffix, do = DAMAGES[damage]
    path = small.rows / "dp@0" / f"utility{suffix}"
    do(path)
    small.write_manifest()
    differences = verified(small).differences
    about = [
        sentence for sentence in differences if "damaged or changed, so nothing can be computed from it" in sentence
    ]
    assert about
    assert all("dp@0/utility" in sentence for sentence in about)
    with pytest.raises(Damaged, match="damaged or changed"):
        Recomputed(answers=stored_answers(small), seed=0).value("dp", "utility", ("accuracy", ""), 0.9)


@pytest.mark.parametrize(("name", "text"), [("seal.json", "{"), ("seal.json", "[]"), ("config.json", "{}")])
def test_a_seal_or_a_config_that_is_none_is_named_though_the_manifest_knows_it(small, name, text):
    write_text(small.gates, dumps(judge(small)))
    (small.path / name).write_text(text)
    small.write_manifest()
    assert any(f"{name}: damaged or changed" in sentence for sentence in verified(small).differences)
    with pytest.raises(Damaged, match=name):
        judge(small)


def test_a_seal_that_the_record_does_not_know_is_named(small):
    write_json(small.seal, {**read_json(small.seal), "measured_before": ["record.json"]})
    small.write_manifest()
    assert verified(small).differences == ("seal.json: the record says otherwise what was sealed, and when",)


def test_a_difference_is_told_in_words_as_far_as_there_is_one(small):
    def edit(record):
        (metric,) = [m for m in record["metrics"] if (m["name"], m["arm"]) == ("accuracy", "dp")]
        metric["estimate"]["low"] = 0.125
        (other,) = [m for m in record["metrics"] if (m["name"], m["arm"]) == ("log_loss", "dp")]
        other["estimate"] = {"reason": "nobody knows"}

    forge(small, edit)
    one, other = sorted(verified(small).differences)
    assert one.startswith("dp@0/utility: accuracy is recorded as low 0.125 and recomputed as low 0.")
    assert other.startswith("dp@0/utility: log_loss is recorded as reason nobody knows and recomputed as value ")
    assert "unit of n" in other
    assert "Estimate(" not in one + other


@pytest.mark.parametrize("forgery", ["a digit", "another record", "no JSON"])
def test_verdicts_that_do_not_follow_from_the_record_are_seen(small, forgery):
    gates = dumps(judge(small))
    if forgery == "a digit":
        forged = gates.replace('"limit": 0.95', '"limit": 0.96')
    else:
        forged = gates.replace('"record": "', '"record": "0') if forgery == "another record" else gates[:-5]
    assert forged != gates
    write_text(small.gates, forged)
    (difference,) = verified(small).differences
    assert "gates.json" in difference


def test_a_difference_names_the_versions_that_may_explain_it(small):
    def edit(record):
        record["metrics"][0]["estimate"]["low"] += 1e-12
        record["provenance"]["versions"]["numpy"] = "1.0"

    forge(small, edit)
    assert "numpy 1.0 there" in verified(small).differences[-1]


def test_rows_of_another_version_of_a_probe_are_refused_in_words(folder):
    path = folder.rows / "dp@0" / "utility.json"
    write_json(path, {**read_json(path), "version": 0})
    folder.write_manifest()
    with pytest.raises(Refused, match=r"probe utility is version \d+ here, 0 there"):
        verified(folder)


def test_evidence_at_the_level_of_the_record_is_the_record_and_wider_beyond(folder):
    record = load_record(folder.record)
    evidence = Recomputed(answers=stored_answers(folder), seed=record.provenance.seeds["probe"])
    several = {a.name for a in record.arms if len(a.runs) > 1}
    for metric in record.metrics:
        if metric.probe == "utility" and (metric.seed is None) == (metric.arm in several):
            key = (metric.name, metric.slice)
            assert evidence.value(metric.arm, metric.probe, key, 0.95) == metric.estimate
            wider = evidence.value(metric.arm, metric.probe, key, 0.99)
            if isinstance(metric.estimate, Estimate):
                assert wider.low <= metric.estimate.low
                assert wider.high >= metric.estimate.high
    for contrast in record.contrasts:
        if (contrast.arm, contrast.probe) == ("dp", "utility"):
            key = (contrast.metric.partition(".")[2], contrast.slice)
            assert evidence.difference("dp", contrast.reference, "utility", key, 0.95) == contrast.difference


def test_evidence_that_is_not_there_is_not_measured(folder):
    evidence = Recomputed(answers=stored_answers(folder), seed=0)
    assert "no rows" in evidence.value("base", "utility", ("accuracy", ""), 0.95).reason
    assert "found no" in evidence.value("dp-twin", "membership", ("accuracy", ""), 0.95).reason
    assert "no rows" in evidence.difference("dp", "base", "utility", ("accuracy", ""), 0.95).reason


def test_a_folder_with_rows_but_no_parquet_says_that_they_were_deleted(folder):
    (folder.rows / "dp@0" / "utility.parquet").unlink()
    with pytest.raises(Refused, match="the rows were deleted"):
        stored_answers(folder)
