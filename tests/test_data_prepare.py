"""Prepared data: nothing trained on is tested on, coins are fair, twins get members only, bytes are the same again."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.data.division import audit_pool, held_out, units_of
from audit.data.files import DataError
from audit.data.prepare import prepare
from audit.data.splits import Splits
from audit.settings.config import AuditConfig
from probes.protocol import Items

VOCABULARY = [f"zq{a}{b}{c}" for a in "bdfghk" for b in "aeiou" for c in "lmnprstvwx"]
Rows = Sequence[dict[str, object]]


def text(rng: np.random.Generator, length: int = 20) -> str:
    return " ".join(rng.choice(VOCABULARY, length))


def rows(n: int = 300, seed: int = 0, **columns) -> list[dict[str, object]]:
    """Rows of which every tenth is a near-duplicate of the one before; columns are functions of the row's number."""
    rng = np.random.default_rng(seed)
    texts = [text(rng) for _ in range(n)]
    for i in range(9, n, 10):
        texts[i] = f"{texts[i - 1]} again"
    return [
        {"text": t, "label": ("no", "yes")[i % 2], **{c: f(i) for c, f in columns.items()}} for i, t in enumerate(texts)
    ]


def write(folder: Path, content: Rows, name: str = "train.csv") -> str:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(content[0]))
        writer.writeheader()
        writer.writerows(content)
    return name


def prepared(
    folder: Path, content: Rows | None = None, *, canaries_wanted: bool = True, salt: str = "s", **data
) -> Splits:
    name = write(folder, rows() if content is None else content)
    seeds = data.pop("seeds", {})
    task = data.pop("task", {})
    config = AuditConfig.model_validate(
        {
            "model": {"name": "m"},
            "task": task,
            "seeds": seeds,
            "data": {"file": name, "text": "text", "label": "label", **data},
        }
    )
    return prepare(config, base_folder=folder, salt=salt, canaries_wanted=canaries_wanted)


def column(items: Items, name: str) -> set[object]:
    return set(items[name].tolist())


def sides(splits: Splits) -> list[Items]:
    return [splits.train, splits.validation, splits.test, *splits.domains.values()]


def test_every_row_is_on_one_side_and_no_cluster_is_on_two(tmp_path):
    splits = prepared(tmp_path)
    for name in ("item_id", "cluster", "text"):
        values = [column(items, name) for items in sides(splits)]
        assert len(set.union(*values)) == sum(map(len, values))
    assert [items.n for items in sides(splits)] == [210, 30, 60]
    assert splits.quality.duplicates == 30
    assert splits.quality.clusters == 270


def test_rows_keep_the_order_of_their_source(tmp_path):
    content = rows()
    splits = prepared(tmp_path, content)
    order = {row["text"]: place for place, row in enumerate(content)}
    for items in [*sides(splits), splits.pool]:
        places = [order[t] for t in items["text"]]
        assert places == sorted(places)


def test_a_person_is_never_on_both_sides_and_shares_one_coin(tmp_path):
    splits = prepared(tmp_path, rows(600, person=lambda i: i % 200), person="person")
    persons = [column(items, "person") for items in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, persons)) == len(set.union(*persons)) == 200
    assert (splits.quality.persons, splits.quality.largest_person) == (200, 3)
    assert splits.quality.persons_on_both_sides == 0
    for person in column(splits.pool, "person"):
        mine = splits.pool["person"] == person
        assert len(set(splits.pool["is_member"][mine])) == len(set(splits.pool["cluster"][mine])) == 1
        assert mine.sum() == (splits.train["person"] == person).sum()


def test_the_largest_person_is_counted_in_what_is_trained_on_alone(tmp_path):
    write(tmp_path, rows(20, seed=7, person=lambda i: "heavy"), "test.csv")
    write(tmp_path, rows(20, seed=8, person=lambda i: "p1"), "other.csv")
    elsewhere = {"test": {"file": "test.csv"}, "domains": {"other": {"file": "other.csv"}}}
    quality = prepared(
        tmp_path, rows(person=lambda i: f"p{i % 100}"), person="person", minimum_units=50, **elsewhere
    ).quality
    assert (quality.persons, quality.largest_person) == (101, 3)


def test_all_rows_of_a_person_are_one_piece_of_evidence_in_what_is_held_out(tmp_path):
    write(tmp_path, rows(60, seed=7, person=lambda i: i % 20), "other.csv")
    splits = prepared(
        tmp_path, rows(600, person=lambda i: i % 200), person="person", domains={"shop": {"file": "other.csv"}}
    )
    for items in (splits.validation, splits.test, splits.domains["shop"]):
        assert len(set(zip(items["person"], items["cluster"], strict=True))) == len(column(items, "person"))
        assert len(column(items, "cluster")) <= len(column(items, "person")) < items.n


def test_rows_of_one_person_are_no_near_duplicates_for_that(tmp_path):
    splits = prepared(tmp_path, rows(600, person=lambda i: i % 200), person="person")
    assert splits.quality.duplicates == 60
    assert splits.quality.clusters == 180, "near-duplicates link persons: each of 20 has a text of another"


def test_rows_that_name_no_person_are_persons_of_their_own(tmp_path):
    splits = prepared(tmp_path, rows(person=lambda i: "" if i % 2 else "p"), person="person", minimum_units=1)
    assert splits.quality.persons == 151
    assert "150 rows of train name no person; each counts as a person of its own" in splits.quality.notes


def test_near_duplicates_and_persons_of_a_given_test_set_are_counted_and_noted(tmp_path):
    content = rows(person=lambda i: f"p{i}")
    given_test = [
        {**content[0], "person": "new"},
        {"text": text(np.random.default_rng(9)), "label": "no", "person": "p1"},
    ]
    write(tmp_path, given_test, "test.csv")
    splits = prepared(tmp_path, content, person="person", test={"file": "test.csv"}, validation={"file": "test.csv"})
    notes = "\n".join(splits.quality.notes)
    assert splits.train.n == 300
    assert splits.quality.persons_on_both_sides == 1
    assert "1 of the 2 rows of test are near-duplicates of training texts" in notes
    assert "1 of the 2 rows of validation are near-duplicates" in notes
    assert "1 of the 2 persons in test have rows in training too" in notes
    assert "zq" not in notes


def test_the_pool_is_a_fifth_of_the_units_unless_the_config_says_otherwise(tmp_path):
    splits = prepared(tmp_path)
    units = len(column(splits.train, "cluster"))
    assert len(column(splits.pool, "cluster")) == units // 5
    assert splits.quality.pool == splits.pool.n == splits.train["in_pool"].sum()
    assert len(column(prepared(tmp_path, pool=7).pool, "cluster")) == 7


def test_pool_sizes_that_leave_nothing_outside_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.pool: at most \d+ of the"):
        prepared(tmp_path, pool=5000)


def test_too_few_units_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"fewer than data\.minimum_units, 5,000; add rows"):
        prepared(tmp_path, minimum_units=5000)


def test_coins_and_splits_do_not_depend_on_the_order_of_the_rows(tmp_path):
    content = rows()
    shuffled = [content[i] for i in np.random.default_rng(3).permutation(len(content))]
    one, other = prepared(tmp_path, content), prepared(tmp_path, shuffled)
    for name in ("train", "validation", "test", "pool"):
        assert column(getattr(one, name), "text") == column(getattr(other, name), "text")
    coins = [dict(zip(s.pool["text"], s.pool["is_member"].tolist(), strict=True)) for s in (one, other)]
    assert coins[0] == coins[1]


def test_another_seed_of_the_coins_moves_neither_the_split_nor_what_a_candidate_trains_on(tmp_path):
    one, other = prepared(tmp_path), prepared(tmp_path, seeds={"coins": 1})
    assert one.candidate_examples().digest == other.candidate_examples().digest
    assert one.test.digest == other.test.digest
    assert column(one.pool, "item_id") != column(other.pool, "item_id")
    assert one.commitment != other.commitment


def test_pool_coins_are_fair_and_independent():
    sizes = np.ones(2000, dtype=int)
    members = np.array([audit_pool(sizes, 400, seed)[1].sum() for seed in range(400)])
    assert members.mean() == pytest.approx(200, abs=5 * 10 / 20)  # deviation sqrt(400 / 4) = 10, over sqrt(400) runs
    assert members.std() == pytest.approx(10, rel=0.2)  # exactly half each time would have none


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    share=st.floats(0.01, 0.9),
    taken=st.integers(0, 59),
)
def test_what_is_held_out_fits_the_share_and_comes_from_what_is_free(sizes, share, taken):
    free = np.arange(len(sizes)) != taken
    room = max(1, round(share * sum(sizes)))
    if not (free & (np.array(sizes) <= room)).any():
        with pytest.raises(DataError, match="no independent unit is as small"):
            held_out(np.array(sizes), free, share, "test")
        return
    mask = held_out(np.array(sizes), free, share, "test")
    left = free & ~mask
    held = np.array(sizes)[mask].sum()
    assert not (mask & ~free).any()
    assert 0 < held <= room
    assert not left.any() or held + np.array(sizes)[left].min() > room


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40))
@settings(deadline=None)
def test_units_join_all_that_share_a_cluster_or_a_person(links):
    clusters, persons = zip(*links, strict=True)
    units = units_of(np.array(clusters), [str(p) for p in persons], [f"{c} {i}" for i, c in enumerate(clusters)])
    for i, one in enumerate(links):
        for j, other in enumerate(links):
            if one[0] == other[0] or one[1] == other[1]:
                assert units[i] == units[j]
    assert set(units) == set(range(len(set(units))))


def test_a_unit_of_over_a_tenth_of_the_rows_gets_no_coin_and_that_is_noted(tmp_path):
    splits = prepared(tmp_path, rows(400, person=lambda i: "crowd" if i < 150 else i), person="person")
    crowd = [p for p in column(splits.train, "person") if (splits.train["person"] == p).sum() >= 150]
    assert len(crowd) == 1
    assert crowd[0] not in column(splits.pool, "person")
    assert any("it gets no coin" in note for note in splits.quality.notes)


def test_candidates_train_on_everything_and_on_no_canary(tmp_path):
    splits = prepared(tmp_path)
    examples = splits.candidate_examples()
    assert examples["item_id"].tolist() == splits.train["item_id"].tolist()
    assert not column(examples, "text") & column(splits.canaries, "text")
    assert set(examples) == {"item_id", "cluster", "text", "label"}


@pytest.mark.parametrize("seed", range(5))
def test_twins_train_on_the_core_the_members_and_planted_canaries_and_on_nothing_else(tmp_path, seed):
    canaries = [{"kind": "random", "count": 30}, {"kind": "random", "count": 10, "repetitions": 4}]
    splits = prepared(tmp_path, seeds={"coins": seed}, canaries=canaries)
    examples = splits.twin_examples()["item_id"].tolist()
    planted = splits.canaries.take(splits.canaries["is_member"])
    core = splits.train["item_id"][~splits.train["in_pool"]].tolist()
    members = splits.pool["item_id"][splits.pool["is_member"]].tolist()
    expected = [*core, *members, *np.repeat(planted["item_id"], planted["repetitions"])]
    assert sorted(examples) == sorted(expected)
    assert not set(examples) & set(splits.pool["item_id"][~splits.pool["is_member"]])
    assert not set(examples) & set(splits.canaries["item_id"][~splits.canaries["is_member"]])


def test_canaries_are_persons_of_their_own_to_a_twin(tmp_path):
    splits = prepared(
        tmp_path,
        rows(person=lambda i: i),
        person="person",
        canaries=[{"kind": "random", "count": 20, "repetitions": 3}],
    )
    examples = splits.twin_examples()
    canary = np.isin(examples["item_id"].astype(str), splits.canaries["item_id"].astype(str))
    assert len(set(examples["person"][canary])) == splits.canaries["is_member"].sum()
    assert not set(examples["person"][canary]) & column(splits.train, "person")


def test_where_no_canaries_are_wanted_there_are_none(tmp_path):
    splits = prepared(tmp_path, canaries_wanted=False)
    assert splits.canaries is None
    assert splits.quality.canaries == {}
    assert splits.twin_examples().n == splits.train.n - (~splits.pool["is_member"]).sum()


def test_only_twins_may_be_asked_about_the_pool_and_the_canaries(tmp_path):
    canaries = [{"kind": "secret", "count": 5, "template": "it is {secret}"}]
    splits = prepared(tmp_path, rows(domain=lambda i: "ab"[i % 5 == 0]), domain="domain", canaries=canaries)
    everyone = {"test", "validation", "domain:b"}
    for role in ("candidate", "control", "reference"):
        assert set(splits.probe_data(role)) == everyone
    assert set(splits.probe_data("twin")) == everyone | {"pool", "canaries", "canary_references"}
    assert set(splits.digests()) == everyone | {"train", "pool", "canaries", "canary_references"}


def test_rows_of_other_domains_are_tested_on_and_never_trained_on(tmp_path):
    content = rows(domain=lambda i: ("shop", "shop", "bank", "")[i % 4])
    splits = prepared(tmp_path, content, domain="domain", minimum_units=50)
    assert column(splits.train, "domain") | column(splits.test, "domain") == {"shop"}
    assert {name: items.n for name, items in splits.domains.items()} == {"bank": 75, "unknown": 75}
    other = prepared(tmp_path, content, domain="domain", in_domain="bank", minimum_units=10)
    assert column(other.train, "domain") == {"bank"}


def test_domains_of_a_given_test_set_join_those_of_the_training_data(tmp_path):
    write(tmp_path, rows(20, seed=5, domain=lambda i: ("shop", "bank")[i % 2]), "test.csv")
    content = rows(domain=lambda i: "bank" if i < 30 else "shop")
    splits = prepared(tmp_path, content, domain="domain", test={"file": "test.csv"}, validation={"file": "test.csv"})
    assert (splits.test.n, splits.domains["bank"].n) == (10, 40)
    assert "10 rows of validation are of other domains than the training data and were left out" in splits.quality.notes


def test_a_domain_of_its_own_source_borrows_the_training_datas_columns_and_may_lack_groups(tmp_path):
    write(tmp_path, rows(40, seed=6), "books.csv")
    content = rows(sex=lambda i: "fm"[i % 2], person=lambda i: i)
    splits = prepared(tmp_path, content, groups=["sex"], person="person", domains={"books": {"file": "books.csv"}})
    books = splits.domains["books"]
    assert column(books, "domain") == {"books"}
    assert column(books, "group:sex") == {"unknown"}
    assert "person" not in books
    assert "domain:books has no column for sex; its rows count as unknown there" in splits.quality.notes
    assert set(splits.quality.groups["sex"]) == {"f", "m"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"domains": {"shop": {"file": "train.csv", "domain": "domain"}}}, "domain must not be set"),
        ({"domain": "domain", "in_domain": "moon"}, "no row of the train data is of the domain 'moon'"),
        ({"domain": "domain", "domains": {"bank": {"file": "train.csv"}}}, "also a value of the domain column"),
        ({"test": 0.0001, "person": "domain", "minimum_units": 1}, "no independent unit is as small"),
        ({"label": None, "task": {"kind": "text-classification"}}, "data.label must name the column"),
    ],
)
def test_what_the_config_cannot_mean_is_refused(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, rows(domain=lambda i: "bank" if i % 5 == 0 else "shop"), **data)


def test_one_class_is_no_classification(tmp_path):
    with pytest.raises(DataError, match="labels of two or more classes"):
        prepared(tmp_path, [{**row, "label": "yes"} for row in rows()])


def test_classes_are_those_of_the_config_or_those_found_in_order(tmp_path):
    numbered = [{**row, "label": str(i % 11)} for i, row in enumerate(rows())]
    assert prepared(tmp_path).classes == ("no", "yes")
    assert prepared(tmp_path, numbered).classes == tuple(map(str, range(11)))
    chosen = prepared(tmp_path, task={"classes": ["yes", "no"]})
    yes = chosen.train["label"] == 0
    content = {row["text"]: row["label"] for row in rows()}
    assert {content[t] for t in chosen.train["text"][yes]} == {"yes"}


def test_language_models_have_no_classes_and_no_labels(tmp_path):
    splits = prepared(tmp_path, task={"kind": "causal-lm"})
    assert splits.classes == ()
    assert "label" not in splits.twin_examples()


def test_pairs_are_kept_and_compared_as_a_whole(tmp_path):
    rng = np.random.default_rng(0)
    premise = text(rng)
    content = [{"text": premise, "hypothesis": text(rng), "label": "ab"[i % 2]} for i in range(300)]
    splits = prepared(tmp_path, content, text_pair="hypothesis")
    assert splits.quality.duplicates == 0
    assert column(splits.test, "text") == {premise}
    assert "text_pair" in splits.twin_examples()


BAD_ROWS: list[tuple[str, dict[str, object]]] = [
    ("missing text", {"text": None, "label": "no"}),
    ("empty text", {"text": " \t", "label": "no"}),
    ("over-long", {"text": "x" * 100_001, "label": "no"}),
    ("wrong encoding", {"text": "caf\udce9", "label": "no"}),
    ("missing label", {"text": "a text", "label": None}),
    ("unknown label", {"text": "a text", "label": "maybe"}),
    ("repeated id", {"text": "a text", "label": "no", "id": "i0"}),
    ("missing id", {"text": "a text", "label": "no", "id": None}),
]


def write_raw(folder: Path, name: str, content: Rows) -> None:
    """Write rows whose texts may hold bytes that are not UTF-8, as lone surrogates."""
    columns = list(content[0])
    if name.endswith(".parquet"):
        cells = {c: [None if r[c] is None else str(r[c]).encode("utf-8", "surrogateescape") for r in content]
                 for c in columns}  # fmt: skip
        table = pa.table({column: pa.array(values, pa.binary()).view(pa.string()) for column, values in cells.items()})
        pq.write_table(table, folder / name)
        return
    with (folder / name).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        if name.endswith(".csv"):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(content)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in content)


@pytest.mark.parametrize("name", ["odd.csv", "odd.jsonl", "odd.parquet"])
def test_bad_rows_of_every_kind_of_file_are_refused_or_counted_by_reason(tmp_path, name):
    good = rows(150, id=lambda i: f"i{i}")
    content = [*good, *({"id": f"bad{i}", **row} for i, (_, row) in enumerate(BAD_ROWS))]
    write_raw(tmp_path, name, content)
    expected = Counter(reason for reason, _ in BAD_ROWS)
    if name == "odd.csv":  # it has no missing texts, only empty ones
        expected = expected + Counter({"empty text": 1}) - Counter({"missing text": 1})
    data = {"file": name, "id": "id", "minimum_units": 1}
    with pytest.raises(DataError, match=r"8 of 158 rows cannot be used \((line|row) 15[12]: (empty|missing) text; "):
        prepared(tmp_path, task={"classes": ["no", "yes"]}, **data)
    quality = prepared(tmp_path, task={"classes": ["no", "yes"]}, bad_rows="skip", **data).quality
    assert quality.bad == dict(expected)
    assert (quality.read, quality.kept) == (158, 150)


@pytest.mark.parametrize("name", ["one.csv", "one.jsonl", "one.parquet"])
def test_a_file_of_one_row_is_refused_for_its_size_and_may_be_tested_on(tmp_path, name):
    write_raw(tmp_path, name, [{"text": "a single text", "label": "no"}])
    with pytest.raises(DataError, match=r"units to train on there are 1, fewer than data\.minimum_units, 100"):
        prepared(tmp_path, file=name, label=None, task={"kind": "causal-lm"})
    assert prepared(tmp_path, test={"file": name}).test.n == 1


def test_columns_without_any_value_are_unknown_groups_nobody_and_one_domain(tmp_path):
    content = [{**row, "sex": None, "who": None, "where": None} for row in rows()]
    write_raw(tmp_path, "nulls.parquet", content)
    splits = prepared(tmp_path, file="nulls.parquet", groups=["sex"], person="who", domain="where")
    assert splits.quality.groups == {"sex": {"unknown": splits.test.n}}
    assert (splits.quality.persons, splits.quality.largest_person) == (300, 1)
    assert column(splits.train, "domain") == {"unknown"}
    with pytest.raises(DataError, match=r"300 of 300 rows cannot be used \(row 1: missing label"):
        prepared(tmp_path, file="nulls.parquet", label="sex")
    with pytest.raises(DataError, match="none of its 300 rows can be used"):
        prepared(tmp_path, file="nulls.parquet", label="sex", bad_rows="skip")


def test_skipped_rows_are_counted_and_the_rest_goes_on(tmp_path):
    content = rows()
    content[3]["text"] = " "
    with pytest.raises(DataError, match=r"train\.csv: 1 of 300 rows cannot be used \(line 5: empty text\)"):
        prepared(tmp_path, content)
    quality = prepared(tmp_path, content, bad_rows="skip").quality
    assert (quality.read, quality.kept, quality.bad) == (300, 299, {"empty text": 1})


def test_markup_in_a_row_is_data_to_the_end(tmp_path):
    content = rows()
    content[0]["text"] = markup = '<script>alert("x")</script> & {{ secrets }}'
    splits = prepared(tmp_path, content)
    splits.save(tmp_path / "saved")
    loaded = Splits.load(tmp_path / "saved")
    assert sum(t == markup for items in sides(loaded) for t in items["text"]) == 1
    assert "script" not in json.dumps(loaded.quality.notes)


def test_identifiers_and_persons_are_hidden_by_the_salt_and_the_order_is_not(tmp_path):
    content = rows(id=lambda i: f"id{i}", person=lambda i: f"person{i}")
    one, other = (prepared(tmp_path, content, id="id", person="person", salt=salt) for salt in ("s", "t"))
    for items in sides(one):
        assert all(len(value) == 16 and int(value, 16) >= 0 for value in [*items["item_id"], *items["person"]])
    assert not column(one.train, "item_id") & column(other.train, "item_id")
    assert not column(one.train, "person") & column(other.train, "person")
    for name in ("text", "cluster", "in_pool"):
        assert one.train[name].tolist() == other.train[name].tolist()


def test_the_commitment_speaks_for_every_coin_and_every_canary(tmp_path):
    from audit.data.coins import commitment

    splits = prepared(tmp_path)
    assert commitment("s", splits.pool, splits.canaries) == splits.commitment
    turned = splits.pool.assign(is_member=~splits.pool["is_member"])
    assert commitment("s", turned, splits.canaries) != splits.commitment
    planted = splits.canaries.assign(is_member=~splits.canaries["is_member"])
    assert commitment("s", splits.pool, planted) != splits.commitment
    assert commitment("t", splits.pool, splits.canaries) != splits.commitment


def saved_bytes(splits: Splits, folder: Path) -> dict[str, bytes]:
    splits.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_inputs_give_the_same_bytes_which_only_their_owner_can_read(tmp_path):
    data = {"person": "person", "groups": ["sex"], "domain": "domain", "minimum_units": 50}
    data["canaries"] = [
        {"kind": "secret", "count": 9, "template": "it is {secret}"},
        {"kind": "mislabelled", "count": 9},
    ]
    content = rows(person=lambda i: i // 2, sex=lambda i: "fm"[i % 2], domain=lambda i: "ab"[i % 3 == 0])
    old = os.umask(0)
    try:
        one = saved_bytes(prepared(tmp_path, content, **data), tmp_path / "one")
        other = saved_bytes(prepared(tmp_path, content, **data), tmp_path / "other")
    finally:
        os.umask(old)
    assert one == other
    assert len(one) == 8
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "one").iterdir()} == {0o600}


def test_what_is_saved_is_what_is_loaded(tmp_path):
    content = rows(domain=lambda i: "ab"[i % 3 == 0], person=lambda i: "" if i % 2 else i)
    canaries = [{"kind": "secret", "count": 9, "template": "it is {secret}"}]
    splits = prepared(tmp_path, content, domain="domain", person="person", canaries=canaries, minimum_units=50)
    splits.save(tmp_path / "saved")
    loaded = Splits.load(tmp_path / "saved")
    assert loaded.digests() == splits.digests()
    assert loaded.twin_examples().digest == splits.twin_examples().digest
    assert loaded.canaries.sensitivity == splits.canaries.sensitivity
    assert loaded.canaries.sensitivity["secret"] == "secret"
    for name in ("quality", "classes", "groups", "commitment"):
        assert getattr(loaded, name) == getattr(splits, name)


def test_the_embedded_world_makes_its_own_data(tmp_path, monkeypatch):
    made = prepared(tmp_path)
    world = ModuleType("audit.world.splits")
    world.splits = lambda config, *, salt, canaries_wanted: (made, config.data.world.seed, salt, canaries_wanted)
    monkeypatch.setitem(sys.modules, "audit.world.splits", world)
    config = AuditConfig.model_validate({"model": {"name": "world"}, "data": {"world": {"seed": 4}}})
    assert prepare(config, base_folder=tmp_path, salt="s", canaries_wanted=False) == (made, 4, "s", False)


def test_progress_is_told_what_is_done_next(tmp_path):
    write(tmp_path, rows())
    config = AuditConfig.model_validate({"model": {"name": "m"}, "data": {"file": "train.csv", "label": "label"}})
    told: list[str] = []
    prepare(config, base_folder=tmp_path, salt="s", canaries_wanted=True, progress=told.append)
    assert told == ["reading train.csv", "looking for near-duplicates", "splitting, and tossing the coins"]


def test_the_room_is_imported_without_torch_and_without_what_only_some_data_need():
    code = (
        "import sys; import audit.data.prepare, audit.data.splits;"
        "print([m for m in ('torch', 'transformers', 'datasets', 'datasketch') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
