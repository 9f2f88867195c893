"""Verdicts: what passes, what fails, what stays open, and how often an honest model is blocked by chance."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from audit.judging.gate import criterion, exit_code, judge
from audit.judging.targets import address, targets
from audit.settings.sections.policy import Gate, Policy
from audit.store import digest
from probes.results import ALL, Estimate, NotMeasured
from reports.record import Contrast, GateResult, Judgement, UnitOutcome
from tests import record_factory as make

BOUND = {"kind": "bound", "metric": "utility.accuracy"}


def at(value, deviation, level=0.95, n=100, **more):
    """A normal estimate: its interval at any level, nested."""
    reach = float(ndtri((1 + level) / 2)) * deviation
    return make.estimate(value, value - reach, value + reach, level=level, n=n, **more)


class Normal:
    """Evidence that knows each number's value and deviation, and what it was asked for."""

    def __init__(self, values=None, differences=None):
        self.values, self.differences, self.asked = values or {}, differences or {}, []

    def value(self, arm, probe, key, level):
        self.asked.append(level)
        return at(*self.values[arm, probe, key], level=level)

    def difference(self, arm, reference, probe, key, level):
        self.asked.append(level)
        return at(*self.differences[arm, reference, probe, key], level=level)


def policy(*gates, **more):
    fields = [{"id": f"g{i}", **gate} for i, gate in enumerate(gates)]
    return Policy(name="p", version=1, owner="me", gates=tuple(Gate(**f) for f in fields), **more)


def measured(arm, name, estimate, *, probe="utility", ideal=1.0, part=ALL, seed=1):
    return make.metric(arm, probe, name, estimate, ideal=ideal, part=part, seed=seed)


def contrast(arm, reference, name, difference, *, probe="utility", ideal=1.0, better=1, part=ALL):
    return Contrast(
        metric=f"{probe}.{name}", probe=probe, pillar="utility", label=name, arm=arm, reference=reference, slice=part,
        difference=difference, ideal=ideal, unit="rate", better=better,
    )  # fmt: skip


def record(*metrics, contrasts=(), unmeasured=()):
    """A record of three arms and two twins with these numbers alone."""
    return replace(
        make.record(), metrics=tuple(metrics), contrasts=tuple(contrasts), unmeasured=tuple(unmeasured),
        series=(), checks=(),
    )  # fmt: skip


def judged(of, rules, evidence=None):
    return judge(of, rules, evidence or Normal(), record_digest="0" * 64, sealed_at="2026-01-01T00:00:00+00:00")


def verdict(of, rules, evidence=None) -> GateResult:
    (result,) = judged(of, rules, evidence).gates
    return result


# ---- one gate -----------------------------------------------------------------------------------------------------

CASES = {
    "wholly below a maximum": ({"max": 0.8}, (0.7, 0.78), "pass"),
    "up to a maximum": ({"max": 0.8}, (0.7, 0.8), "pass"),
    "across a maximum, the value below it": ({"max": 0.8}, (0.7, 0.81), "inconclusive"),
    "across a maximum, the value above it": ({"max": 0.8}, (0.79, 0.9), "inconclusive"),
    "from a maximum on": ({"max": 0.8}, (0.8, 0.9), "inconclusive"),
    "wholly above a maximum": ({"max": 0.8}, (0.81, 0.9), "fail"),
    "wholly above a minimum": ({"min": 0.8}, (0.81, 0.9), "pass"),
    "from a minimum on": ({"min": 0.8}, (0.8, 0.9), "pass"),
    "across a minimum": ({"min": 0.8}, (0.79, 0.9), "inconclusive"),
    "wholly below a minimum": ({"min": 0.8}, (0.7, 0.79), "fail"),
    "a minimum of zero": ({"min": 0.0}, (0.0, 0.1), "pass"),
}


@pytest.mark.parametrize(("limit", "interval", "expected"), CASES.values(), ids=CASES)
def test_a_bound_judges_the_interval_and_not_the_point(limit, interval, expected):
    low, high = interval
    of = record(measured("standard", "accuracy", make.estimate((low + high) / 2, low, high)))
    assert verdict(of, policy({**BOUND, **limit})).verdict == expected


DIFFERENCES = {
    # direction in which a difference is better, its interval, noninferior, no_regression; the margin is 0.05
    "better by more than the margin": (1, (0.06, 0.10), "pass", "pass"),
    "no worse than the margin": (1, (-0.05, 0.10), "pass", "pass"),
    "perhaps worse than the margin": (1, (-0.06, 0.10), "inconclusive", "pass"),
    "worse, perhaps within the margin": (1, (-0.10, -0.04), "inconclusive", "pass"),
    "worse than the margin": (1, (-0.10, -0.051), "fail", "fail"),
    "smaller is better, and it is smaller": (-1, (-0.10, -0.06), "pass", "pass"),
    "smaller is better, and it may be larger": (-1, (-0.01, 0.06), "inconclusive", "pass"),
    "smaller is better, and it is larger": (-1, (0.051, 0.10), "fail", "fail"),
}


@pytest.mark.parametrize(("better", "interval", "noninferior", "no_regression"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_difference_is_judged_in_the_direction_in_which_it_is_a_loss(better, interval, noninferior, no_regression):
    low, high = interval
    ideal = 1.0 if better > 0 else 0.0
    difference = contrast(
        "dp", "standard", "accuracy", make.estimate((low + high) / 2, low, high), better=better, ideal=ideal
    )
    metrics = [measured(arm, "accuracy", make.estimate(0.5, 0.4, 0.6), ideal=ideal) for arm in ("dp", "standard")]
    rule = {"metric": "utility.accuracy", "arm": "dp", "reference": "standard", "margin": 0.05}
    for kind, expected in (("noninferior", noninferior), ("no_regression", no_regression)):
        result = verdict(record(*metrics, contrasts=[difference]), policy({**rule, "kind": kind}))
        assert (result.verdict, result.limit, result.reference) == (expected, -0.05 * better, "standard")


def test_a_number_that_was_not_measured_never_passes_and_says_why():
    absent = measured("standard", "accuracy", NotMeasured(reason="no labels"))
    for of in (record(absent), record()):
        result = verdict(of, policy({**BOUND, "min": 0.0}))
        assert result.verdict == "not measured"
    assert verdict(record(absent), policy({**BOUND, "min": 0.0})).reason == "no labels"


def test_a_difference_that_was_not_taken_never_passes():
    rule = policy({"kind": "no_regression", "metric": "utility.accuracy", "reference": "dp", "margin": 0.5})
    ours, theirs = (measured(arm, "accuracy", at(0.5, 0.01)) for arm in ("standard", "dp"))
    assert verdict(record(ours, theirs), rule).verdict == "not measured"
    absent = contrast("standard", "dp", "accuracy", NotMeasured(reason="no item in common"))
    assert verdict(record(ours, theirs, contrasts=[absent]), rule).reason == "no item in common"


BROKEN = {"unit": "probe:standard@1:utility", "probe": "utility", "outcome": "error", "reason": "KeyError at x.py:1"}


@pytest.mark.parametrize("arm", ["standard", "dp"])
def test_where_a_unit_broke_no_gate_passes_even_if_another_seed_was_measured(arm):
    of = record(
        measured("standard", "accuracy", at(0.9, 0.01)),
        measured("dp", "accuracy", at(0.9, 0.01)),
        contrasts=[contrast("standard", "dp", "accuracy", at(0.0, 0.01))],
        unmeasured=[UnitOutcome(arm=arm, **BROKEN)],
    )
    rule = {"kind": "noninferior", "metric": "utility.accuracy", "reference": "dp", "margin": 0.5}
    judgement = judged(of, policy(rule))
    assert judgement.gates[0].verdict == "error"
    assert judgement.gates[0].reason == f"utility broke on {arm}: KeyError at x.py:1"
    assert exit_code(judgement, incomplete=False) == 3


def test_a_metric_of_privacy_is_judged_on_the_twin_and_compared_with_a_twin():
    numbers = [
        measured(f"{arm}-twin", "auc", at(0.6, 0.01), probe="membership", ideal=0.5) for arm in ("standard", "dp")
    ]
    difference = contrast("standard-twin", "dp-twin", "auc", at(0.0, 0.01), probe="membership", better=-1, ideal=0.5)
    of = record(*numbers, contrasts=[difference])
    bound = verdict(of, policy({"kind": "bound", "metric": "membership.auc", "max": 0.7}))
    assert (bound.verdict, bound.metric_id) == ("pass", "standard-twin@1/membership.auc")
    rule = {"kind": "noninferior", "metric": "membership.auc", "reference": "dp", "margin": 0.05}
    compared = verdict(of, policy(rule))
    assert (compared.verdict, compared.reference) == ("pass", "dp-twin")


def test_of_several_seeds_the_mean_over_them_is_judged():
    of = record(
        measured("standard", "accuracy", at(0.5, 0.01), seed=1),
        measured("standard", "accuracy", at(0.9, 0.01), seed=2),
        measured("standard", "accuracy", at(0.7, 0.01), seed=None),
    )
    (arm,) = [a for a in of.arms if a.name == "standard"]
    of = replace(of, arms=tuple(replace(a, runs=a.runs * 2) if a is arm else a for a in of.arms))
    assert verdict(of, policy({**BOUND, "min": 0.6})).observed.value == 0.7


# ---- slices -------------------------------------------------------------------------------------------------------


def test_a_star_is_a_gate_for_each_slice_and_none_for_all_rows():
    slices = {ALL: 0.9, "group=a": 0.1, "group=b": 0.9}
    of = record(*(measured("standard", "gap", at(v, 0.01), part=part) for part, v in slices.items()))
    evidence = Normal({("standard", "utility", ("gap", part)): (v, 0.01) for part, v in slices.items()})
    results = judged(of, policy({"kind": "bound", "metric": "utility.gap[*]", "max": 0.5}), evidence).gates
    assert [(r.id, r.verdict) for r in results] == [("g0 [group=b]", "fail"), ("g0 [group=a]", "pass")]
    assert results[0].criterion == "utility.gap [group=b] at most 0.5"


def test_a_slice_that_is_not_there_is_not_measured_and_the_reason_names_those_that_are():
    of = record(measured("standard", "gap", at(0.1, 0.01), part="group=a"))
    for wanted in ("utility.gap[group=x]", "utility.gap"):
        result = verdict(of, policy({"kind": "bound", "metric": wanted, "max": 0.5}))
        assert result.verdict == "not measured"
        assert result.reason.endswith("there is [group=a]")


# ---- bounded on one side ------------------------------------------------------------------------------------------


def lower_bound(value, ceiling):
    """A lower bound on epsilon and the largest that could have been shown."""
    estimate = Estimate(value=value, low=value, high=None, n=50, unit_of_n="canary", method="m", detectable=ceiling)
    return record(measured("standard-twin", "epsilon_lower_bound", estimate, probe="canaries", ideal=0.0))


@pytest.mark.parametrize(
    ("value", "ceiling", "expected"),
    [
        (0.0, 4.0, "pass"),
        (0.0, 1.0, "inconclusive"),
        (0.0, 2.0, "inconclusive"),
        (2.5, 4.0, "fail"),
        (0.0, None, "inconclusive"),
    ],
)
def test_a_lower_bound_passes_only_where_a_value_beyond_the_limit_could_have_been_shown(value, ceiling, expected):
    rule = policy({"kind": "bound", "metric": "canaries.epsilon_lower_bound", "max": 2.0})
    assert verdict(lower_bound(value, ceiling), rule).verdict == expected


# ---- on different sides of the ideal ------------------------------------------------------------------------------


def on_both_sides(ours, theirs, kind):
    """A preference rate whose ideal is one half; deviations are 0.01."""
    metrics = [measured(arm, "rate", at(value, 0.01), ideal=0.5) for arm, value in (("dp", ours), ("standard", theirs))]
    nearer = abs(theirs - 0.5) - abs(ours - 0.5)
    better = 0 if nearer == 0 else 1 if (nearer > 0) == (ours > theirs) else -1
    difference = contrast("dp", "standard", "rate", at(ours - theirs, 0.01), ideal=0.5, better=better)
    evidence = Normal({(arm, "utility", ("rate", ALL)): (v, 0.01) for arm, v in (("dp", ours), ("standard", theirs))})
    rule = {"kind": kind, "metric": "utility.rate", "arm": "dp", "reference": "standard", "margin": 0.1}
    return verdict(record(*metrics, contrasts=[difference]), policy(rule), evidence)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (0.45, 0.56, "pass"),  # nearer by 0.01: the difference of -0.11 is no gain of 0.11 and no loss either
        (0.28, 0.56, "fail"),  # further by 0.16, though the difference is -0.28
        (0.34, 0.56, "inconclusive"),  # further by 0.10
        (0.44, 0.80, "pass"),
        (0.44, 0.56, "pass"),  # equally far
    ],
)
def test_arms_on_different_sides_of_the_ideal_are_compared_by_their_distance_from_it(ours, theirs, expected):
    result = on_both_sides(ours, theirs, "noninferior")
    assert result.verdict == expected
    assert result.observed.value == pytest.approx(abs(ours - 0.5) - abs(theirs - 0.5))
    assert (result.better, result.limit) == (-1, 0.1)


def test_a_regression_across_the_ideal_is_seen():
    assert on_both_sides(0.20, 0.56, "no_regression").verdict == "fail"
    assert on_both_sides(0.45, 0.56, "no_regression").verdict == "pass"


# ---- several gates ------------------------------------------------------------------------------------------------


def family(values, deviation=1.0, **more):
    """As many bounds at 0 as there are values, in one family, with their evidence."""
    of = record(*(measured("standard", f"m{i}", at(v, deviation)) for i, v in enumerate(values)))
    gates = [{"kind": "bound", "metric": f"utility.m{i}", "max": 0.0} for i in range(len(values))]
    known = {("standard", "utility", (f"m{i}", ALL)): (v, deviation) for i, v in enumerate(values)}
    return of, policy(*gates, **more), Normal(known)


def failed(values, **more):
    return {r.id for r in judged(*family(values, **more)).gates if r.verdict == "fail"}


def holm_by_hand(values, alpha):
    """Holm (1979) on p-values: the smallest first, until one is not small enough; p of a two-sided interval's end."""
    from scipy.stats import norm

    p = 2 * norm.sf(np.asarray(values))
    found = set()
    for step, i in enumerate(np.argsort(p)):
        if values[i] <= 0 or p[i] >= alpha / (len(values) - step):
            break
        found.add(f"g{i}")
    return found


@pytest.mark.parametrize("seed", range(20))
def test_stepping_over_intervals_fails_what_holm_rejects(seed):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=6) + rng.choice([0.0, 2.5], size=6)).tolist()
    assert failed(values) == holm_by_hand(values, 0.05)


def test_a_value_that_fails_alone_is_open_among_others_and_the_reason_gives_the_level():
    assert failed([2.1]) == {"g0"}
    of, rules, evidence = family([2.1, -9.0, -9.0, -9.0, -9.0])
    result = next(r for r in judged(of, rules, evidence).gates if r.id == "g0")
    assert result.verdict == "inconclusive"
    assert result.observed.level == pytest.approx(0.99)
    assert result.reason == "the 99% interval lies on both sides of the limit"


def test_a_value_that_failed_leaves_more_to_the_others():
    assert failed([2.3, -9.0]) == {"g0"}
    assert failed([2.1, -9.0]) == set()
    assert failed([2.1, 5.0]) == {"g0", "g1"}


def test_intervals_at_another_level_are_recomputed_and_those_of_the_record_are_not():
    of, rules, evidence = family([-9.0])
    judged(of, rules, evidence)
    assert evidence.asked == []
    of, rules, evidence = family([-9.0, -9.0])
    judged(of, rules, evidence)
    assert set(evidence.asked) == {0.975}


def test_passing_needs_no_correction():
    assert [r.verdict for r in judged(*family([-2.1] * 5)).gates] == ["pass"] * 5


def test_without_correction_each_gate_has_the_whole_alpha():
    assert failed([2.1, -9.0, -9.0], correction="none") == {"g0"}


def test_families_are_the_pillars_unless_gates_name_their_own():
    of, rules, evidence = family([2.1, -9.0])
    apart = rules.model_copy(update={"gates": tuple(g.model_copy(update={"family": g.id}) for g in rules.gates)})
    assert {r.verdict for r in judged(of, apart, evidence).gates} == {"fail", "pass"}


def test_what_has_no_number_takes_nothing_from_its_family():
    of, _, evidence = family([2.1])
    more = policy({"kind": "bound", "metric": "utility.m0", "max": 0.0}, {**BOUND, "max": 0.0})
    assert [r.verdict for r in judged(of, more, evidence).gates] == ["fail", "not measured"]


def test_the_chance_of_any_false_failure_in_a_family_is_at_most_alpha():
    rng = np.random.default_rng(0)
    audits, gates, alpha = 1000, 5, 0.1
    blocked = sum(bool(failed(rng.normal(size=gates).tolist(), alpha=alpha)) for _ in range(audits))
    # Every limit is the truth itself, the worst case. One end of a two-sided interval can fail: half of alpha is due.
    assert 0.02 * audits < blocked < alpha * audits


def test_a_model_at_its_limit_passes_with_at_most_half_of_alpha():
    rng = np.random.default_rng(1)
    passed = sum(judged(*family([rng.normal()], alpha=0.1)).verdict == "passed" for _ in range(1000))
    assert passed < 0.05 * 1000 + 3 * np.sqrt(1000 * 0.05 * 0.95)


# ---- how many more rows -------------------------------------------------------------------------------------------


def test_the_rows_that_would_decide_follow_the_square_of_half_width_over_distance():
    # Half-width 0.1 at n = 100, distance 0.05: four times the rows decide, so 300 more.
    of = record(measured("standard", "accuracy", make.estimate(0.85, 0.75, 0.95, n=100)))
    assert verdict(of, policy({**BOUND, "min": 0.8})).rows_needed == pytest.approx(300, abs=1)


def test_no_number_of_rows_is_named_where_the_value_lies_on_the_limit():
    of = record(measured("standard", "accuracy", make.estimate(0.8, 0.7, 0.9, n=100)))
    assert verdict(of, policy({**BOUND, "min": 0.8})).rows_needed is None


def test_the_end_that_faces_the_limit_counts():
    of = record(measured("standard", "accuracy", make.estimate(0.85, 0.75, 0.90, n=100)))
    assert verdict(of, policy({**BOUND, "max": 0.875})).rows_needed == pytest.approx(300, abs=1)


# ---- the judgement ------------------------------------------------------------------------------------------------


def outcome(*verdicts, on_inconclusive="warn") -> Judgement:
    """A judgement of gates of these levels and verdicts."""
    intervals = {"pass": (0.1, 0.2), "fail": (0.8, 0.9), "inconclusive": (0.4, 0.6)}
    metrics = [
        measured("standard", f"m{i}", make.estimate(sum(intervals[v]) / 2, *intervals[v]))
        for i, (_, v) in enumerate(verdicts)
        if v in intervals
    ]
    gates = [
        {"kind": "bound", "metric": f"utility.m{i}", "max": 0.5, "level": level, "family": str(i)}
        for i, (level, _) in enumerate(verdicts)
    ]
    return judged(record(*metrics), policy(*gates, on_inconclusive=on_inconclusive))


BLOCK, WARN = "block", "warn"
OUTCOMES = [
    ([(BLOCK, "pass")], "warn", "passed", 0),
    ([(BLOCK, "pass"), (WARN, "fail")], "fail", "passed", 0),
    ([(BLOCK, "pass"), (WARN, "inconclusive")], "fail", "passed", 0),
    ([(BLOCK, "pass"), (BLOCK, "fail")], "warn", "blocked", 10),
    ([(BLOCK, "fail"), (BLOCK, "inconclusive")], "fail", "blocked", 10),
    ([(BLOCK, "pass"), (BLOCK, "inconclusive")], "warn", "no decision", 0),
    ([(BLOCK, "pass"), (BLOCK, "inconclusive")], "fail", "no decision", 11),
    ([(BLOCK, "pass"), (BLOCK, "not measured")], "warn", "no decision", 0),
    ([(BLOCK, "pass"), (BLOCK, "not measured")], "fail", "no decision", 11),
    ([(BLOCK, "not measured")], "warn", "no decision", 3),
    ([(WARN, "pass")], "fail", "no decision", 0),
    ([(WARN, "fail")], "fail", "no decision", 0),
]


@pytest.mark.parametrize(("gates", "on_inconclusive", "expected", "code"), OUTCOMES)
def test_the_verdict_and_the_exit_code_follow_from_the_blocking_gates(gates, on_inconclusive, expected, code):
    judgement = outcome(*gates, on_inconclusive=on_inconclusive)
    assert (judgement.verdict, exit_code(judgement, incomplete=False)) == (expected, code)


@pytest.mark.parametrize(("blocked", "code"), [("fail", 10), ("inconclusive", 3), ("pass", 3)])
def test_a_failure_goes_before_incompleteness_and_that_before_what_is_open(blocked, code):
    assert exit_code(outcome((BLOCK, blocked), on_inconclusive="fail"), incomplete=True) == code


def test_failures_come_first_and_passes_last():
    judgement = outcome((BLOCK, "pass"), (BLOCK, "not measured"), (BLOCK, "inconclusive"), (WARN, "fail"))
    assert [g.verdict for g in judgement.gates] == ["fail", "inconclusive", "not measured", "pass"]


def test_gates_that_were_sealed_give_no_deviation_and_others_do():
    rules = policy({**BOUND, "min": 0.8})
    of = record(measured("standard", "accuracy", at(0.9, 0.01)))

    def sealed(gates):
        return judged(replace(of, provenance=replace(of.provenance, gates=gates)), rules).deviations

    assert sealed(digest(rules.model_dump(mode="json"))) == ()
    assert "changed afterwards" in sealed("f" * 64)[0]
    assert "added afterwards" in sealed(None)[0]


def test_a_criterion_says_what_must_hold_and_against_whom():
    (gate,) = policy({"kind": "noninferior", "metric": "utility.f1[*]", "reference": "base", "margin": 0.05}).gates
    assert criterion(gate, "topic=a") == "utility.f1 [topic=a] shown to be at most 0.05 worse than base"
    worse = gate.model_copy(update={"kind": "no_regression"})
    assert criterion(worse, ALL) == "utility.f1 not shown to be more than 0.05 worse than base"
    (bound,) = policy({**BOUND, "min": 0.8}).gates
    assert criterion(bound, ALL) == "utility.accuracy at least 0.8"


def test_a_gate_says_who_set_its_limit_and_why():
    of = record(measured("standard", "accuracy", at(0.9, 0.01)))
    mine = {**BOUND, "min": 0.1, "family": "a"}
    theirs = {**BOUND, "min": 0.1, "family": "b", "owner": "legal", "source": "contract 7"}
    assert [(g.owner, g.source) for g in judged(of, policy(mine, theirs)).gates] == [
        ("me", None),
        ("legal", "contract 7"),
    ]


def test_an_address_is_probe_metric_and_slice():
    assert address("membership.tpr_at_fpr[attack=loss,fpr=0.01]") == (
        "membership",
        "tpr_at_fpr",
        "attack=loss,fpr=0.01",
    )
    assert address("utility.accuracy") == ("utility", "accuracy", ALL)
    with pytest.raises(ValueError, match="a metric is addressed as"):
        address("accuracy")


def test_a_gate_without_an_arm_speaks_of_the_one_to_be_deployed():
    of = record(measured("standard", "accuracy", at(0.9, 0.01)), measured("dp", "accuracy", at(0.1, 0.01)))
    silent, named = policy({**BOUND, "min": 0.5}, {**BOUND, "min": 0.5, "arm": "dp"}).gates
    assert [targets(g, of)[0].arm for g in (silent, named)] == ["standard", "dp"]
