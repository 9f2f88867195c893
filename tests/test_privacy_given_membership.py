import csv

import numpy as np
import pyarrow as pa
import pytest
import tiny_audit

from audit.opening import opened
from audit.settings.mistakes import ConfigError
from probes.privacy.blind import cross_fitted_logits
from probes.privacy.brought import read_brought
from probes.privacy.given_membership import GivenMembership
from probes.privacy.matching import CALIPER, match
from probes.protocol import DATA_ALONE, Facts, Items, Rows
from probes.results import Check, Finding, NotApplicable, NotMeasured

FACTS = Facts(arm="vendor", role="candidate", seed=0, head="classifier", task="text-classification", classes=("a", "b"))
WORDS = [f"word{i}" for i in range(60)]


def brought(tmp_path, n: int, dated: tuple[float, float], seed: int = 0):
    """Members and others; of each the stated share tells a year of its own time, the rest none."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "is_member"])
        for is_member, share in ((True, dated[0]), (False, dated[1])):
            for _ in range(n):
                said = " ".join(rng.choice(WORDS, 12))
                year = (" in 2024" if is_member else " in 2009") if rng.random() < share else ""
                writer.writerow([said + year, rng.choice(["a", "b"]), is_member])
    return path


def found(path, *, leak: float, of_year: float = 0.0, seed: int = 1):
    """What the probe says of a model whose confidence rises by a leak for members, and with the year of a text."""
    probe, rng = GivenMembership(file=str(path)), np.random.default_rng(seed)
    tables = {}
    for name, ask in probe.needs(FACTS, {}).items():
        if ask.of == "data":
            told = Rows.from_arrow(pa.Table.from_batches(list(ask.table.measure(DATA_ALONE, ask.on))))
            tables[name] = Rows({**ask.on.described, **told})
        else:
            newer = np.array([text.endswith("2024") for text in ask.on["text"]])
            margin = rng.normal(size=ask.on.n) + leak * ask.on["is_member"] + of_year * newer
            side = np.where(ask.on["label"] == 1, margin, -margin)
            tables[name] = ask.on.described.assign(logits=list(np.stack([-side / 2, side / 2], axis=1)))
    said = list(probe.summarize(probe.answers(tables, FACTS), FACTS, rng))
    values = {one.metric: one.estimate for one in said if isinstance(one, Finding)}
    return values, {one.name: one for one in said if isinstance(one, Check)}, said


def test_rows_that_read_alike_are_judged_as_they_stand(tmp_path):
    values, checks, _ = found(brought(tmp_path, 150, (0.0, 0.0)), leak=1.5)
    assert values["auc"].low > 0.7
    assert "matched_auc" not in values
    assert checks["members and non-members differ in their coins alone"].outcome == "pass"


def test_a_model_that_knows_no_member_but_the_year_is_cleared_by_the_matched_subset(tmp_path):
    values, checks, said = found(brought(tmp_path, 400, (0.5, 0.5)), leak=0.0, of_year=4.0)
    assert isinstance(values["auc"], NotMeasured)
    assert values["auc"].reason.startswith("withheld: a classifier that never sees the model")
    matched = values["matched_auc"]
    assert matched.low < 0.5 < matched.high
    assert matched.unit_of_n == "matched pair"
    assert "nearest within 0.2 standard deviations" in matched.method
    assert values["matched_blind_auc"].low < 0.52
    evidence = checks["matched members and non-members read alike"].evidence
    assert evidence.startswith(f"{matched.n} pairs of 400 members and 400 others")
    (coverage,) = {one.coverage.answered for one in said if isinstance(one, Finding) and one.metric == "matched_auc"}
    assert coverage == 2 * matched.n


def test_a_true_leak_is_still_seen_on_the_matched_subset(tmp_path):
    values, *_ = found(brought(tmp_path, 400, (0.5, 0.5)), leak=1.0)
    assert values["matched_auc"].low > 0.6


def test_rows_without_a_partner_leave_no_estimate(tmp_path):
    values, checks, _ = found(brought(tmp_path, 60, (1.0, 1.0)), leak=1.0)
    assert isinstance(values["matched_auc"], NotMeasured)
    assert checks["matched members and non-members read alike"].outcome == "not checked"


def test_rows_too_few_for_the_blind_reader_leave_no_figure(tmp_path):
    values, checks, _ = found(brought(tmp_path, 12, (0.0, 0.0)), leak=5.0)
    for metric in ("auc", "matched_auc"):
        assert isinstance(values[metric], NotMeasured)
        assert values[metric].reason.startswith("withheld: the blind reader could not be measured: members and non-")
    told = checks["members and non-members differ in their coins alone"]
    assert told.outcome == "not checked"
    assert "withheld: the blind reader could not be measured" in told.evidence


# ---- matching -----------------------------------------------------------------------------------------------------


def rows(is_member, cluster=None) -> Items:
    ids = [f"i{k}" for k in range(len(is_member))]
    return Items({"item_id": ids, "cluster": cluster or ids, "is_member": is_member, "text": ids})


def test_pairs_are_one_to_one_nearest_and_within_the_caliper():
    rng = np.random.default_rng(0)
    logits, is_member = rng.normal(size=80), np.arange(80) < 40
    pair = match(logits, rows(is_member))
    kept = [np.flatnonzero(pair == name) for name in set(pair) - {""}]
    assert all(len(two) == 2 and is_member[two].sum() == 1 for two in kept)
    assert all(np.ptp(logits[two]) <= CALIPER * logits.std() for two in kept)
    assert len(kept) > 20


def test_who_is_left_has_no_partner_in_reach():
    logits, is_member = np.array([0.0, 0.01, 5.0, 9.0]), np.array([True, False, True, False])
    assert match(logits, rows(is_member)).tolist() == ["i0", "i0", "", ""]


def test_the_order_of_rows_moves_no_pair():
    rng = np.random.default_rng(0)
    logits, asked = rng.normal(size=60), rows(np.arange(60) < 30)
    order = rng.permutation(60)
    assert match(logits[order], asked.take(order)).tolist() == match(logits, asked)[order].tolist()


def test_of_a_cluster_one_row_is_matched():
    logits, cluster = np.zeros(8), ["a", "a", "a", "a", "b", "b", "b", "b"]
    pair = match(logits, rows(np.arange(8) < 4, cluster))
    assert (pair != "").sum() == 2


@pytest.mark.parametrize("is_member", [[], [True] * 3, [False] * 3])
def test_one_side_alone_has_no_pairs(is_member):
    assert set(match(np.zeros(len(is_member)), rows(np.array(is_member, dtype=bool))).tolist()) <= {""}


def test_no_row_s_own_coin_speaks_in_its_propensity():
    # Were a row among those that its classifier was fitted to, unique words would betray its coin.
    rng = np.random.default_rng(0)
    asked = rows(rng.random(200) < 0.5).assign(text=[f"only{k} only{k}" for k in range(200)])
    logits = cross_fitted_logits(asked)
    flipped = asked.assign(is_member=np.where(np.arange(200) == 7, ~asked["is_member"], asked["is_member"]))
    assert cross_fitted_logits(flipped)[7] == logits[7]


# ---- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text\nhello\n", r"need text and is_member; missing \['is_member'\]"),
        ("text,is_member\n", "missing"),
        ("text,is_member\n,1\n", "every row needs a text; row 1 has none"),
        ("text,is_member\nhello,perhaps\n", "is_member must be true or false; row 1 says 'perhaps'"),
    ],
)
def test_a_file_that_does_not_say_who_is_a_member_is_refused(tmp_path, text, words):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_brought(path, ("a", "b"))


def test_clusters_are_numbered_and_not_called_what_the_file_calls_them(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,is_member,cluster\na,1,ann@example.org\nb,0,\nc,0,ann@example.org\n")
    clusters = read_brought(path, ())["cluster"].tolist()
    assert clusters == ["brought:000000", "brought:000001", "brought:000000"]


def test_a_file_that_is_not_in_utf_8_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,is_member\n\xff,1\n")
    with pytest.raises(ValueError, match="must be in UTF-8"):
        read_brought(path, ())


def test_a_row_that_ends_before_its_pair_has_an_empty_one(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,is_member,text_pair\na,1\n")
    assert read_brought(path, ())["text_pair"].tolist() == [""]


def test_a_class_that_the_task_does_not_have_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,is_member,label\nhello,1,c\n")
    with pytest.raises(LookupError, match="a label is none of the classes a, b; got 'c'"):
        read_brought(path, ("a", "b"))


def test_without_a_file_nothing_is_asked():
    with pytest.raises(NotApplicable, match="no file says which rows are members"):
        GivenMembership().needs(FACTS, {})


def test_a_gate_on_the_matched_estimate_is_a_mistake_of_the_config(tmp_path):
    config = tiny_audit.files(tmp_path)
    brought(tmp_path, 20, (0.0, 0.0)).rename(tmp_path / "brought.csv")
    switched_on = ["probes.given_membership={file: brought.csv}"]
    gate = "{id: g, kind: bound, metric: given_membership.%s, max: 0.6}"
    gates = "gates={name: p, version: 1, owner: me, gates: [" + gate + "]}"
    assert opened(config, [*switched_on, gates % "auc"]).plan
    for metric in ("matched_auc", "matched_blind_auc"):
        with pytest.raises(ConfigError, match=f"'given_membership.{metric}' is an estimate that is shown outside"):
            opened(config, [*switched_on, gates % metric])


def test_arms_without_a_twin_are_asked_about_the_rows_that_were_brought(tmp_path):
    config = tiny_audit.files(tmp_path)
    brought(tmp_path, 20, (0.0, 0.0)).rename(tmp_path / "brought.csv")
    plan = opened(config, ["probes.given_membership={file: brought.csv}"]).plan
    assert {arm.name for arm in plan.arms if "given_membership" in arm.probes} == {"base", "standard", "dp"}
