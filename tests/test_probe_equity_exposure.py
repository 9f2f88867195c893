"""Exposure and discoverability by protected group."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_audit
from canary_rows import table
from click.testing import CliRunner
from test_probe_equity import FACTS, PROBE, REGION, estimate, found, ragged, tables, verdict

from audit.cli import main
from audit.opening import opened, ordered
from audit.progress import Lines
from audit.running import execute
from probes.privacy.canaries import Canaries
from probes.privacy.equity import PrivacyEquity
from probes.privacy.group_exposures import asked
from probes.protocol import Items, Rows
from probes.results import Estimate, Finding, Series
from probes.stats.bootstrap import paired_difference
from reports.figures.charts import can_draw
from reports.figures.looks import Side
from reports.record import load_record

RANKS = 500
ONCE, FOUR = (f"{REGION},form=in_distribution,repetitions={copies}" for copies in (1, 4))
OF_NORTH = f"{REGION},group=north,form=in_distribution,repetitions=4"


def planted(seed, *, n=200, learnt=None, easy=None, copies=4, groups=("north", "south"), form="in_distribution"):
    """A twin's answers on canaries, of which a share of a group's planted ones is known by heart, and on references."""
    coins, rng = np.random.default_rng([5, n]), np.random.default_rng(seed)
    is_member, group = coins.random(n) < 0.5, np.array(groups, dtype=object)[coins.integers(0, len(groups), n)]
    known = is_member & (rng.random(n) < [(learnt or {}).get(name, 0.0) for name in group])
    liked = np.array([(easy or {}).get(name, 0.0) for name in group])
    nats = np.where(known, 0.0, rng.normal(-40, 3, n) + liked)
    ids = [f"canary-{i:03d}" for i in range(n)]
    more = {"is_member": is_member, "repetitions": np.broadcast_to(copies, n).copy(), "form": [form] * n}
    arm = table([[x / 2, x / 2] for x in nats], **more, **{"group:region": group})
    arm = arm.assign(item_id=ids, cluster=ids)
    references = table([[x] for x in rng.normal(-40, 3, RANKS)]).assign(cluster=[form] * RANKS)
    return {"canaries": arm, "references": references}


def rows(seed, *, probe=PROBE, facts=FACTS, said=None, blind=None, **more) -> Rows:
    return probe.answers({**tables(seed, said=said, blind=blind), **planted(seed, **more)}, facts)


def test_a_group_whose_canaries_are_remembered_is_found():
    given = found(rows(1, learnt={"north": 0.5}))
    gap = estimate(given, "exposure_difference", FOUR)
    assert gap.low > 1
    assert gap.null.p < 0.001
    assert estimate(given, "exposure", OF_NORTH).low > 3
    assert estimate(given, "exposure_left_out", OF_NORTH).high < 3
    assert verdict(given).outcome == "fail"
    assert verdict(given).evidence.startswith("1 of 5 differences")


@pytest.mark.parametrize(
    "world",
    [{}, {"learnt": {"north": 0.5, "south": 0.5}}, {"learnt": {"north": 1.0, "south": 1.0}}, {"easy": {"north": 2.0}}],
    ids=["nothing is remembered", "all are alike", "all are known by heart", "one group is easier for any model"],
)
def test_groups_that_leak_alike_are_not_told_apart(world):
    # 1,000 seeds each of the statistics, with 200 canaries: 4.2, 4.6, 0.2 and 4.9 % of the lower limits above 0.
    gaps = [estimate(found(rows(seed, **world)), "exposure_difference", FOUR) for seed in (2, 3, 4)]
    assert sum(gap.low > 0 for gap in gaps) <= 1  # more would happen once in 140 times


def two_forms(seed, *, n=300, minority=0.2):
    """Canaries of which those with random ends leak and those of two persons' texts hardly, in all groups alike."""
    rng = np.random.default_rng(seed)
    first, second = (np.where(rng.random(2 * n) < minority, "south", "north").astype(object) for _ in range(2))
    has_end = np.arange(2 * n) < n
    group = np.where(has_end | (first == second), first, "unknown").astype(object)
    is_member = rng.random(2 * n) < 0.5
    known = is_member & (rng.random(2 * n) < np.where(has_end, 0.6, 0.02))
    nats, ids = np.where(known, 0.0, rng.normal(-40, 3, 2 * n)), [f"canary-{i:03d}" for i in range(2 * n)]
    form = np.where(has_end, "random_suffix", "in_distribution").tolist()
    more = {"is_member": is_member, "repetitions": np.full(2 * n, 4), "form": form, "group:region": group}
    arm = table([[x] for x in nats], **more).assign(item_id=ids, cluster=ids)
    among = table([[x] for x in rng.normal(-40, 3, RANKS)])
    return {
        "canaries": arm,
        "references": among.assign(cluster=["in_distribution"] * RANKS),
        "ends": arm.take(np.flatnonzero(has_end)),
        "end_references": among.assign(cluster=["random_suffix"] * RANKS),
    }


def test_groups_that_differ_in_their_mix_of_forms_alone_are_not_told_apart():
    # Of all forms together 7 of 20 seeds would be flagged.
    gaps = []
    for seed in range(4):
        given = found(PROBE.answers({**tables(seed), **two_forms(seed)}, FACTS))
        gaps.append(estimate(given, "exposure_difference", f"{REGION},form=random_suffix,repetitions=4"))
        few = estimate(given, "exposure_difference", FOUR)  # of these the minority has about 12
        assert few.reason == "groups that can be compared: 1, where a difference needs 2"
    assert sum(gap.low > 0 for gap in gaps) <= 1


def test_canaries_are_compared_with_those_of_their_own_form():
    some = PROBE.answers({**tables(0), **two_forms(0, minority=0.5)}, FACTS)
    given = found(some)
    assert set(some["part"]) == {"records", "canaries:in_distribution:4", "canaries:random_suffix:4"}
    high, low = (
        estimate(given, "exposure", f"{REGION},group=south,form={form},repetitions=4")
        for form in ("random_suffix", "in_distribution")
    )
    assert high.low > low.high
    (chart,) = [one for one in given if isinstance(one, Series) and one.name == "exposure:region"]
    assert set(chart.columns["metric"]) == {"added, in distribution, 4 copies", "added, random suffix, 4 copies"}


def test_the_figures_are_those_counted_one_by_one():
    some = planted(5, learnt={"north": 0.3}, copies=np.where(np.arange(200) < 120, 4, 1))
    given = found(PROBE.answers({**tables(5), **some}, FACTS))
    arm, theirs = some["canaries"], [float(row.sum()) for row in some["references"]["logprobs"]]
    excess = {}
    for name in ("north", "south"):
        means = []
        for side, metric in ((True, "exposure"), (False, "exposure_left_out")):
            bits = []
            for i in range(200):
                if (arm["group:region"][i], arm["repetitions"][i], arm["is_member"][i]) == (name, 4, side):
                    mine = float(arm["logprobs"][i].sum())
                    bits.append(np.log2(RANKS) - np.log2(1 + sum(other > mine for other in theirs)))
            means.append(sum(bits) / len(bits))
            value = estimate(given, metric, FOUR.replace(",", f",group={name},", 1))
            assert value.value == pytest.approx(means[-1])
            assert (value.n, value.unit_of_n) == (len(bits), "canary")
        excess[name] = means[0] - means[1]
    assert estimate(given, "exposure_difference", FOUR).value == pytest.approx(abs(excess["north"] - excess["south"]))
    assert isinstance(estimate(given, "exposure_difference", ONCE), Estimate)


def test_statistics_are_the_values_found():
    some = rows(6, learnt={"north": 0.5}, said={"south": 0.4})
    values, given = PROBE.statistics(some, np.ones(some.n)), found(some)
    for metric in ("exposure_difference", "discoverable_difference", "exposure", "discoverable_left_out"):
        mine = {key: value for key, value in values.items() if key[0] == metric}
        assert mine
        for key, value in mine.items():
            assert estimate(given, *key).value == pytest.approx(value, abs=1e-12)


def test_the_paired_difference_says_that_a_private_arm_narrows_the_gap():
    private, standard, alike = rows(7), rows(8, learnt={"north": 0.5}), rows(9, learnt={"north": 0.5})
    rng = np.random.default_rng
    narrowed = paired_difference(PROBE.statistics, private, standard, rng=rng(0), draws=200)
    assert narrowed["exposure_difference", FOUR].high < -0.5
    assert narrowed["exposure_difference", FOUR].n == 200
    assert narrowed["auc_difference", REGION].n == 800
    is_north = (private["part"] == "canaries:in_distribution:4") & (private["group:region"] == "north")
    of_north = narrowed["exposure", OF_NORTH]
    assert of_north.n == (is_north & private["is_member"]).sum()
    same = paired_difference(PROBE.statistics, alike, standard, rng=rng(0), draws=200)["exposure_difference", FOUR]
    assert same.low <= 0 <= same.high


def test_what_a_blind_reader_withholds_of_records_is_still_told_of_canaries():
    some = rows(1, learnt={"north": 0.5}, blind=True)
    given = found(some)
    assert estimate(given, "auc_difference").reason.startswith("withheld: ")
    assert estimate(given, "discoverable_difference").reason.startswith("withheld: ")
    assert estimate(given, "exposure_difference", FOUR).low > 1
    assert {metric for metric, _ in PROBE.statistics(some, np.ones(some.n))} == {
        "exposure",
        "exposure_left_out",
        "exposure_difference",
    }
    assert verdict(given).evidence.startswith("1 of 1 differences")


def test_small_groups_of_canaries_and_unknown_ones_are_named_and_not_compared():
    some = planted(2)
    group = some["canaries"]["group:region"].copy()
    group[:20], group[20:60] = "east", "unknown"
    some["canaries"] = some["canaries"].assign(**{"group:region": group})
    given = found(PROBE.answers({**tables(2), **some}, FACTS))
    gap = next(one for one in given if isinstance(one, Finding) and one.metric == "exposure_difference")
    assert gap.coverage.missing == {"east: too small a group": 20, "group unknown": 40}
    assert (gap.coverage.asked, gap.coverage.answered) == (200, 140)
    assert not [one for one in given if isinstance(one, Finding) and "east" in one.slice]


def test_one_group_has_its_exposure_and_no_difference():
    given = found(rows(2, groups=("north",)))
    assert isinstance(estimate(given, "exposure", OF_NORTH), Estimate)
    why = "groups that can be compared: 1, where a difference needs 2"
    assert estimate(given, "exposure_difference", FOUR).reason == why


def test_canaries_that_could_not_be_scored_are_counted():
    some = planted(3)
    logprobs = [[] if i < 10 else row for i, row in enumerate(some["canaries"]["logprobs"])]
    some["canaries"] = some["canaries"].assign(logprobs=ragged(logprobs))
    given = found(PROBE.answers({**tables(3), **some}, FACTS))
    gap = next(one for one in given if isinstance(one, Finding) and one.metric == "exposure_difference")
    assert gap.coverage.missing == {"no token could be scored": 10}


def test_groups_of_canaries_are_personal_and_their_texts_in_no_row():
    some = rows(0)
    assert {c for c, kind in some.sensitivity.items() if kind == "personal"} == {
        "group:region",
        "scored:region",
        "asked:region",
        "ranked:region",
    }
    assert not {"text", "secret"} & set(some)


def test_what_planting_adds_is_drawn():
    drawn = [one for one in found(rows(1, learnt={"north": 0.5})) if isinstance(one, Series)]
    (series,) = [one for one in drawn if one.name == "exposure:region"]
    assert series.columns["metric"] == ("added, in distribution, 4 copies",) * 2
    assert series.columns["group"] == ("north", "south")
    assert can_draw(Side(name="a-twin", look="standard", series=series))


# What is asked


def data(kind="in_distribution", group=("n", "s"), labelled=True) -> dict[str, Items]:
    def items(name, more):
        some = {"item_id": [f"{name}{i}" for i in range(4)], "cluster": [f"{name}{i}" for i in range(4)]}
        some |= {"text": ["x y"] * 4, "secret": ["y"] * 4, "group:region": [*group, *group]}
        return Items(some | ({"label": [0] * 4} if labelled else {}) | more)

    canaries = items("c", {"is_member": [True, False] * 2, "repetitions": [1] * 4, "form": [kind] * 4})
    return {
        "pool": items("p", {"is_member": [True, False] * 2}),
        "canaries": canaries,
        "canary_references": items("r", {"cluster": [kind] * 4}),
    }


@pytest.mark.parametrize("kind", ["in_distribution", "random_suffix", "new_token"])
def test_of_canaries_it_asks_what_the_canaries_probe_asks(kind):
    theirs = {(a.table, a.on.digest) for a in Canaries(score="loss").needs(FACTS, data(kind)).values()}
    assert {(a.table, a.on.digest) for a in asked(FACTS, data(kind)).values()} == theirs
    mine = PROBE.needs(FACTS, data(kind))
    assert ("ends" in mine) is (kind != "in_distribution")
    assert mine["canaries"].of == "arm"


@pytest.mark.parametrize(
    "given",
    [
        {name: items for name, items in data().items() if name != "canaries"},
        {name: items for name, items in data().items() if name != "canary_references"},
        {**data(), "canaries": Items(data()["canaries"].drop(["group:region"]))},
        data("digits-1", group=("unknown", "unknown")),
        {**data(), "canary_references": data("digits-1")["canary_references"]},
    ],
    ids=["no canaries", "no references", "no groups", "invented", "none is ranked"],
)
def test_canaries_that_belong_to_no_group_or_are_not_ranked_are_not_asked_for(given):
    assert asked(FACTS, given) == {}


def test_without_such_canaries_it_says_which_would_do():
    given = found(PROBE.answers(tables(0), FACTS))
    reason = estimate(given, "exposure").reason
    assert "are invented, so they belong to no group" in reason
    assert reason.endswith("plant some of kind new_token, random_suffix or in_distribution")
    assert estimate(given, "exposure_difference").reason == reason


def test_references_that_could_not_be_scored_are_told_from_canaries_that_are_invented():
    some = planted(1)
    some["references"] = some["references"].assign(logprobs=ragged([[np.nan]] * RANKS))
    given = found(PROBE.answers({**tables(1), **some}, FACTS))
    why = "of the never-planted texts that these canaries are ranked among, none could be scored"
    for metric in ("exposure", "exposure_difference"):
        assert estimate(given, metric, FOUR).reason == why
    gap = next(one for one in given if isinstance(one, Finding) and one.metric == "exposure_difference")
    assert (gap.coverage.asked, gap.coverage.missing) == (200, {why: 200})


def test_a_classifier_ranks_no_canary_and_says_so():
    classifier = replace(FACTS, head="classifier", task="text-classification", base_is_comparable=False)
    assert asked(classifier, data()) == {}
    given = found(PROBE.answers(tables(0), FACTS), facts=classifier)
    assert estimate(given, "exposure").reason == "a classification head gives no probability to a secret"


def test_invented_canaries_beside_those_of_people_are_left_out():
    some = planted(2, form="in_distribution")
    arm = some["canaries"]
    form = np.where(np.arange(arm.n) < 50, "digits-1", arm["form"]).astype(object)
    group = np.where(np.arange(arm.n) < 50, "unknown", arm["group:region"]).astype(object)
    more = some["references"].assign(cluster=["digits-1"] * RANKS)
    logprobs = ragged([*some["references"]["logprobs"], *more["logprobs"]])
    both = table(logprobs).assign(cluster=["in_distribution"] * RANKS + ["digits-1"] * RANKS)
    some = {"canaries": arm.assign(form=form, **{"group:region": group}), "references": both}
    given = PROBE.answers({**tables(2), **some}, FACTS)
    assert (given["part"] == "canaries:in_distribution:4").sum() == 150


# Discoverability


def test_a_record_is_seen_where_the_tries_bring_it_out_with_the_chance():
    some = tables(0, n=600)
    chance = np.random.default_rng(0).choice([1e-5, 5e-4, 8e-4, 0.5], 600)
    logprobs = [np.repeat([-9.0, np.log(p) / 6], 6) for p in chance]  # the second half has the chance
    some["arm"] = some["arm"].assign(logprobs=ragged(logprobs))
    given = found(PROBE.answers(some, FACTS))
    seen = 1 - (1 - chance) ** 1000 >= 0.5  # from 0.000693 on
    is_member, group = some["arm"]["is_member"], some["arm"]["group:region"]
    excess = []
    for name in ("north", "south"):
        rates = [seen[(group == name) & (is_member == side)].mean() for side in (True, False)]
        for metric, rate in zip(("discoverable", "discoverable_left_out"), rates, strict=True):
            assert estimate(given, metric, f"{REGION},group={name}").value == pytest.approx(rate)
        excess.append(rates[0] - rates[1])
    assert estimate(given, "discoverable_difference").value == pytest.approx(abs(excess[0] - excess[1]))


def test_a_group_whose_records_are_seen_though_never_said_is_found():
    some = tables(1)
    is_north = some["arm"]["is_member"] & (some["arm"]["group:region"] == "north")
    some["arm"] = some["arm"].assign(logprobs=ragged([np.full(12, -0.5 if one else -9.0) for one in is_north]))
    given = found(PROBE.answers(some, FACTS))
    assert estimate(given, "discoverable_difference").low > 0.8
    assert estimate(given, "verbatim_difference").low == 0


def test_more_tries_see_more():
    some = tables(1)
    some["arm"] = some["arm"].assign(logprobs=ragged([np.full(12, -1.5)] * 800))  # exp(-9) for the second half
    few, many = (PrivacyEquity(tries=tries).answers(some, FACTS)["is_seen"] for tries in (100, 100_000))
    assert (few.max(), many.min()) == (0, 1)


@pytest.mark.parametrize(("parameters", "said"), [({"tries": 0}, "tries must be"), ({"chance": 1}, "chance must lie")])
def test_a_parameter_outside_its_range_is_refused(parameters, said):
    with pytest.raises(ValueError, match=said):
        PrivacyEquity(**parameters)


# In a whole audit

CONFIG = """\
model: ./model
task: {kind: causal-lm}
data:
  file: tickets.csv
  text: body
  groups: [gender]
  pool: 80
  canaries:
    - {kind: random_suffix, count: 120, references: 60}
    - {kind: random, count: 10}
training: {max_steps: 5, epochs: 9, batch_size: 32}
arms: {standard: {}}
deploy: standard
probes: {privacy_equity: {}}
compute: {threads: 1, reproducible: true}
"""


def test_canaries_begun_by_people_have_an_exposure_by_group_that_verify_computes_again(tmp_path):
    tiny_audit.files(tmp_path)
    tiny_audit.causal_model(tmp_path / "model")
    (tmp_path / "groups.yaml").write_text(CONFIG, "utf-8")
    execute.run(ordered(opened(tmp_path / "groups.yaml"), tmp_path / "runs"), Lines(quiet=True))
    (run,) = tmp_path.glob("runs/groups-*")
    record = load_record(run / "record.json")
    (gap,) = [m.estimate for m in record.metrics if m.name == "exposure_difference"]
    assert (gap.n, gap.unit_of_n) == (120, "canary")
    (stored,) = run.glob("rows/*/privacy_equity.parquet")
    assert pq.read_table(stored)["part"].to_pylist().count("canaries:random_suffix:1") == 120
    assert CliRunner().invoke(main, ["verify", str(run)]).exit_code == 0
