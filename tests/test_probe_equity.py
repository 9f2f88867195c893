import numpy as np
import pytest

from probes.privacy.equity import PrivacyEquity
from probes.protocol import Facts, Items, Rows
from probes.results import Check, Estimate, Finding, NotApplicable, NotMeasured, Series
from probes.scoring.tables import ClassLogits, TokenTable
from probes.stats.bootstrap import paired_difference
from probes.summary import findings
from reports.figures.charts import can_draw
from reports.figures.looks import Side

FACTS = Facts(
    arm="a-twin", role="twin", seed=0, head="causal", task="causal-lm", groups=("region",), base_is_comparable=True
)
PROBE = PrivacyEquity()
REGION = "attribute=region"


def ragged(rows) -> np.ndarray:
    found = np.empty(len(rows), dtype=object)
    found[:] = [np.asarray(row) for row in rows]
    return found


def tables(seed, *, n=800, leak=None, said=None, blind=None, groups=("north", "south"), facts=FACTS) -> dict[str, Rows]:
    """Token tables of twin and base, and of the blind reader: members of a group gain so much a token by training."""
    world, training = np.random.default_rng([7, n]), np.random.default_rng(seed)
    is_member, group = world.random(n) < 0.5, np.array(groups, dtype=object)[world.integers(0, len(groups), n)]
    ids = [f"r{i:04d}" for i in range(n)]
    known = {"item_id": ids, "cluster": ids, "is_member": is_member, "group:region": group, "zlib_bytes": [20] * n}
    base = world.normal(-3, 1, (n, 12))
    gain = training.normal(0, 1, n) + np.where(is_member, [(leak or {}).get(g, 0.0) for g in group], 0.0)
    chance = np.where(is_member, [(said or {}).get(g, 0.02) for g in group], 0.02)
    top = np.repeat((training.random(n) < chance)[:, None], 12, axis=1)

    def table(logprobs) -> Rows:
        moments = {name: ragged(np.ones((n, 12))) for name in ("means", "deviations")}
        return Rows({**known, "logprobs": ragged(logprobs), "is_top": ragged(top), **moments})

    score = np.where(is_member, 0.0, 1.0) if blind else world.random(n)
    return {
        "arm": table(base + gain[:, None]),
        "base": table(base),
        "blind": Rows({"item_id": ids, "blind_score": 1 - score if blind else score}),
    }


def rows(seed, facts=FACTS, probe=PROBE, **more) -> Rows:
    return probe.answers(tables(seed, **more), facts)


def found(some: Rows, probe=PROBE, facts=FACTS) -> list:
    return findings(probe, some, facts, np.random.default_rng(0), draws=200)


def estimate(given, metric: str, part: str = REGION):
    return next(one.estimate for one in given if isinstance(one, Finding) and (one.metric, one.slice) == (metric, part))


def verdict(given) -> Check:
    return next(one for one in given if isinstance(one, Check))


def test_a_group_that_is_remembered_better_is_found():
    given = found(rows(1, leak={"north": 1.5}))
    assert estimate(given, "auc_difference").low > 0.2
    assert estimate(given, "recognition_difference", f"{REGION},fpr=0.01").low > 0
    assert estimate(given, "auc", f"{REGION},group=north").low > 0.75
    assert estimate(given, "tpr_at_fpr", f"{REGION},group=north,fpr=0.01").value > 0.1
    assert verdict(given).outcome == "fail"


def test_groups_that_are_all_remembered_are_not_told_apart():
    given = found(rows(2, leak={"north": 1.5, "south": 1.5}))
    assert estimate(given, "auc_difference").low == 0
    assert estimate(given, "recognition_difference", f"{REGION},fpr=0.01").low == 0
    assert verdict(given).outcome == "pass"
    assert verdict(given).evidence.startswith("0 of 4 differences are larger")


def test_a_clean_twin_raises_an_alarm_no_more_often_than_the_level_says():
    runs = [found(rows(seed, n=620)) for seed in range(10)]  # hundreds of them in the tests of the statistics
    assert sum(verdict(given).outcome == "fail" for given in runs) <= 2  # more would happen once in 90 times


def test_a_group_whose_records_are_said_word_for_word_is_found():
    given = found(rows(3, said={"south": 0.4}))
    assert estimate(given, "verbatim_difference").low > 0.1
    assert estimate(given, "verbatim", f"{REGION},group=south").value > 0.3
    assert estimate(given, "verbatim_left_out", f"{REGION},group=south").value < 0.1


def test_exposure_is_not_measured_and_says_why():
    value = estimate(found(rows(0)), "exposure")
    assert isinstance(value, NotMeasured)
    assert "belong to no group" in value.reason


def test_all_is_withheld_where_a_reader_without_the_model_tells_members():
    some = rows(1, leak={"north": 1.5}, blind=True)
    given = found(some)
    values = [one.estimate for one in given if isinstance(one, Finding)]
    assert all(isinstance(value, NotMeasured) for value in values)
    assert estimate(given, "auc_difference").reason.startswith("withheld: ")
    assert PROBE.statistics(some, np.ones(some.n)) == {}
    assert not [one for one in given if isinstance(one, Check | Series)]


def test_few_others_give_no_rate_but_an_auc():
    given = found(rows(4, n=300))
    few = estimate(given, "recognition_difference", f"{REGION},fpr=0.01")
    assert few.reason.endswith("non-members; at least 300 are needed")
    assert isinstance(estimate(given, "auc_difference"), Estimate)


def test_small_groups_and_unknown_ones_are_named_and_not_compared():
    some = tables(5, groups=("north", "south"))
    group = some["arm"]["group:region"].copy()
    group[:20], group[20:60] = "east", "unknown"
    some["arm"] = some["arm"].assign(**{"group:region": group})
    given = found(PROBE.answers(some, FACTS))
    gap = next(one for one in given if isinstance(one, Finding) and one.metric == "auc_difference")
    assert gap.coverage.missing == {"east: too small a group": 20, "group unknown": 40}
    assert {one.slice for one in given if isinstance(one, Finding) and one.metric == "auc"} == {
        f"{REGION},group=north",
        f"{REGION},group=south",
    }


def test_a_group_of_members_alone_is_not_scored():
    some = tables(6)
    group = np.where(some["arm"]["is_member"] & (np.arange(800) < 200), "east", some["arm"]["group:region"])
    some["arm"] = some["arm"].assign(**{"group:region": group.astype(object)})
    given = found(PROBE.answers(some, FACTS))
    assert not [one for one in given if isinstance(one, Finding) and "east" in one.slice]


def test_a_group_whose_records_are_too_short_to_be_halved_is_not_compared_in_what_is_said():
    some = tables(7)
    short = (some["arm"]["group:region"] == "south") & ~some["arm"]["is_member"]
    for name in ("is_top", "logprobs"):
        cut = [row[:4] if is_short else row for row, is_short in zip(some["arm"][name], short, strict=True)]
        some["arm"] = some["arm"].assign(**{name: ragged(cut)})
    given = found(PROBE.answers(some, FACTS))
    assert isinstance(estimate(given, "auc_difference"), Estimate)
    assert estimate(given, "verbatim_difference").reason == "groups that can be compared: 1, where a difference needs 2"
    assert not [one for one in given if isinstance(one, Finding) and one.metric == "verbatim" and "south" in one.slice]


def test_groups_are_personal_whatever_they_are_called():
    sensitivity = rows(0).sensitivity
    assert {c for c, kind in sensitivity.items() if kind == "personal"} == {
        "group:region",
        "scored:region",
        "asked:region",
    }


def test_the_paired_difference_says_that_a_private_arm_narrows_the_gap():
    private, standard = rows(10), rows(11, leak={"north": 1.5})
    values = paired_difference(PROBE.statistics, private, standard, rng=np.random.default_rng(0), draws=200)
    assert values["auc_difference", REGION].high < -0.1
    assert values["recognition_difference", f"{REGION},fpr=0.01"].value < 0


def test_the_difference_of_two_gaps_that_are_alike_includes_zero():
    covered = 0
    for seed in (20, 21, 22):
        pair = (rows(seed, leak={"north": 1.0}), rows(20 + seed, leak={"north": 1.0}))
        values = paired_difference(PROBE.statistics, *pair, rng=np.random.default_rng(0), draws=200)
        covered += values["auc_difference", REGION].low <= 0 <= values["auc_difference", REGION].high
    assert covered >= 2  # fewer would happen once in 140 times


def test_it_asks_what_membership_asks_and_no_more():
    pool = Items(
        {"item_id": ["a"], "cluster": ["a"], "text": ["x"], "is_member": [True], "label": [0], "group:region": ["n"]}
    )
    asked = PROBE.needs(FACTS, {"pool": pool})
    assert [(name, type(ask.table), ask.of) for name, ask in asked.items()][:2] == [
        ("arm", TokenTable, "arm"),
        ("base", TokenTable, "base"),
    ]
    assert set(asked) == {"arm", "base", "blind"}
    classifier = Facts(arm="a", role="twin", seed=0, head="classifier", task="text-classification", groups=("region",))
    assert {type(ask.table) for name, ask in PROBE.needs(classifier, {"pool": pool}).items() if name != "blind"} == {
        ClassLogits
    }
    assert "base" not in PrivacyEquity(score="loss").needs(FACTS, {"pool": pool})
    with pytest.raises(NotApplicable, match="no protected attribute"):
        PROBE.needs(FACTS, {"pool": pool.drop(["group:region"])})
    with pytest.raises(NotApplicable, match="difference to the base"):
        PrivacyEquity(score="reference").needs(classifier, {"pool": pool})


def test_a_rate_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"fpr must lie in \(0, 1\); got 1"):
        PrivacyEquity(fpr=1)


def test_the_groups_are_drawn():
    (series,) = [one for one in found(rows(1, leak={"north": 1.5})) if isinstance(one, Series)]
    assert series.columns["group"] == ("north", "south")
    assert can_draw(Side(name="a-twin", look="standard", series=series))
