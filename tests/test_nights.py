import html
import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import click
import numpy as np
import pytest
import record_factory as make
from click.testing import CliRunner

from audit.cli import main
from audit.judging.nights import over_nights
from audit.refusal import Incomparable, Refused
from audit.store import RunFolder
from probes.privacy import claimed, ladder
from probes.privacy.guessing import play
from probes.privacy.ladder import ANY_MECHANISM, GAUSSIAN
from probes.privacy.nights import CLOPPER_PEARSON, JOINT_BETA, Guessed, Night, bounds_of, together
from probes.protocol import PrivacyClaim
from probes.results import Check, Series
from probes.stats.curve_audit import mmc_lower_bound
from probes.stats.epsilon import largest_refutable, snj_lower_bound
from probes.stats.evalues import log_wealth
from reports.figures.bounds import EACH_NIGHT
from reports.figures.captions import heading
from reports.figures.charts import can_draw
from reports.figures.looks import Side
from reports.nights import render_nights
from reports.record import ArmSeries, dumps

CLAIM = PrivacyClaim(epsilon=1.0, delta=1e-5)


def series(seed: int, leak: float, claim: PrivacyClaim | None = CLAIM, m: int = 200) -> Series:
    """The chart of one night whose canaries' scores lie a leak apart."""
    rng = np.random.default_rng(seed)
    coins = rng.random(m) < 0.5
    delta = claim.delta if claim else 1e-5
    game = play(rng.normal(size=m) + leak * coins, coins, m // 4, delta=delta, level=0.95)
    return next(ladder.chart(game, claim, claimed.evidence(game, claim) if claim else None, "a rule"))


def night(seed: int, leak: float, claim: PrivacyClaim = CLAIM, m: int = 200) -> Night:
    found = Night.from_notes(f"night {seed}", f"coins {seed}", series(seed, leak, claim, m).notes)
    assert found is not None
    return found


def verdict(nights) -> Check:
    return next(one for one in together(nights) if isinstance(one, Check))


def curve(nights, kind: str) -> Series:
    return next(one for one in together(nights) if isinstance(one, Series) and one.kind == kind)


def test_weak_evidence_adds_up_to_a_refutation():
    nights = [night(seed, 1.6) for seed in range(12)]
    assert all(one.log_e_value < 3 for one in nights[:1])
    assert verdict(nights[:1]).outcome == "not refuted"
    said = verdict(nights)
    assert said.outcome == "refuted"
    assert "12 audits with fresh coins" in said.evidence
    assert "e^3 refutes, first reached on night" in said.evidence


def test_a_claim_once_refuted_stays_refuted():
    leaky, honest = [night(seed, 3.0) for seed in range(3)], [night(100 + seed, 0.0) for seed in range(20)]
    nights = leaky + honest
    assert sum(one.log_e_value for one in nights) < 3
    assert verdict(nights).outcome == "refuted"
    assert verdict(honest).outcome == "not refuted"


def test_a_leak_that_begins_late_is_found_though_nothing_leaked_before():
    honest, leaky = [night(100 + seed, 0.0) for seed in range(20)], [night(seed, 2.5) for seed in range(6)]
    assert sum(one.log_e_value for one in honest + leaky) < 3
    assert verdict(honest + leaky).outcome == "refuted"


def test_nights_with_the_same_coins_are_one_night():
    one = night(0, 1.6)
    said = verdict([one] * 40)
    assert said.outcome == "not refuted"
    assert "1 audit with fresh coins, 39 more had coins that had been used before" in said.evidence


def test_of_the_same_coins_the_first_night_counts():
    first, again = night(0, 0.0), replace(night(1, 9.0), coins="coins 0")
    assert curve([first, again], "nights").columns["night"] == ("night 0",)


def test_nights_that_could_not_have_refuted_say_so():
    claim = PrivacyClaim(epsilon=8.0, delta=1e-5)
    assert verdict([night(seed, 9.0, claim) for seed in range(4)]).outcome == "could not have been refuted"


def test_the_course_is_the_running_evidence():
    nights = [night(seed, 0.8) for seed in range(5)]
    course = curve(nights, "nights").columns
    np.testing.assert_allclose(course["log_evidence"], log_wealth([one.log_e_value for one in nights]))


def test_the_bound_of_all_nights_is_that_of_all_their_guesses():
    nights = [night(seed, 1.6) for seed in range(5)]
    side = curve(nights, "epsilon")
    rows = dict(zip(side.columns["label"], zip(side.columns["low"], side.columns["high"], strict=True), strict=True))
    right = sum(one.right for one in nights)
    assert rows["lower bound, any mechanism (SNJ)"][0] == snj_lower_bound(1000, 250, right, delta=1e-5).value
    assert rows["lower bound, Gaussian noise (MMC)"][0] == mmc_lower_bound(1000, 250, right, delta=1e-5).value
    low, high = rows["if independent (joint Beta)"]
    assert 0 < rows["if independent (Clopper–Pearson)"][0] < low < high
    drawn = Side(name="dp", look="private", series=side)
    assert can_draw(drawn)
    assert "claim of 1.00" in heading("epsilon", [drawn], [None])


def test_each_nights_own_bound_stands_beside_those_of_all():
    nights = [night(seed, 1.6) for seed in range(3)]
    columns = curve(nights, "epsilon").columns
    rows = zip(*(columns[name] for name in ("label", "kind", "low")), strict=True)
    assert {label: low for label, kind, low in rows if kind == "night"} == {
        one.name: snj_lower_bound(200, 50, one.right, delta=1e-5).value for one in nights
    }


def test_a_claim_is_called_what_its_nights_call_it_where_they_agree():
    nights = [replace(night(seed, 0.0), basis="accounted (PRV)") for seed in range(2)]
    assert bounds_of(nights).columns["label"][0] == "accounted (PRV)"
    assert bounds_of([nights[0], night(5, 0.0)]).columns["label"][0] == "claimed"


def test_within_one_night_rates_are_not_taken_for_independent():
    assert not [label for label in curve([night(0, 1.0)], "epsilon").columns["label"] if "independent" in label]


def test_no_night_is_no_series():
    assert not list(together([]))
    assert Night.from_notes("a", "b", series(0, 1.0, claim=None).notes) is None
    assert Night.from_notes("a", "b", {"ceiling": 4.2, "claim": 8.0}) is None


@pytest.mark.slow
def test_a_claim_that_is_kept_is_rarely_refuted_over_all_nights():
    # Gaussian canaries that keep the claimed mechanism exactly, looked at after each of 30 nights.
    claim = PrivacyClaim(epsilon=4.378, delta=1e-5, noise_multiplier=1.0, sample_rate=1.0, steps=1, accounted=True)
    refuted = 0
    for first in range(0, 200 * 30, 30):
        refuted += verdict([night(seed, 1.0, claim) for seed in range(first, first + 30)]).outcome == "refuted"
    assert refuted <= 18  # 10 expected at most; more than 18 of 200 at 5 % would happen once in a hundred times


def test_arms_without_a_claim_have_the_bounds_of_all_their_guesses():
    notes = [series(seed, 1.6, claim=None).notes for seed in range(5)]
    guessed = [Guessed.from_notes(f"n{at}", f"c{at}", some) for at, some in enumerate(notes)]
    assert all(guessed)
    bounds = bounds_of([*guessed, replace(guessed[0], name="again")])  # the same coins count once
    assert [kind for kind in bounds.columns["kind"] if kind == "claim"] == []
    right = sum(one.right for one in guessed)
    assert bounds.columns["low"][0] == snj_lower_bound(1000, 250, right, delta=1e-5).value


# ---- the records of a root ----------------------------------------------------------------------------------------


def written(root, seed: int, leak: float, *, coins: int | None = None, claim=CLAIM, **changed) -> RunFolder:
    """A finished run with one twin that is asked and one that claims nothing."""
    title = changed.get("title", "demo")
    folder = RunFolder(root / f"{title}-{seed}")
    folder.path.mkdir(parents=True)
    record, drawn = make.record(), series(seed, leak, claim)
    tossed = seed if coins is None else coins
    committed = changed.get("commitment", f"{tossed}")
    kept = replace(record.provenance, coins=committed, seeds={"coins": tossed})
    shown = ArmSeries(arm="dp-twin", probe="canaries", seed=1, series=drawn)
    again = ArmSeries(arm="dp-twin", probe="canaries", seed=2, series=series(seed + 500, 9.0, claim))
    added = [ArmSeries(arm=arm, probe="canaries", seed=1, series=drawn) for arm in changed.get("added", ())]
    other = ArmSeries(arm="standard-twin", probe="canaries", seed=1, series=series(seed, leak, None))
    arms = tuple(_trained(arm, changed.get("weights", f"{seed}")) for arm in record.arms)
    arms = tuple(replace(arm, control="no_noise") if arm.name == changed.get("control") else arm for arm in arms)
    found = replace(record, title=title, provenance=kept, series=(shown, again, *added, other), arms=arms)
    started = changed.get("started", f"2026-01-{30 - seed:02d}T00:00:00+00:00")
    folder.record.write_text(dumps(found), "utf-8")
    folder.run.write_text(dumps(replace(make.run(), started=started)), "utf-8")
    folder.write_manifest()
    return folder


def _trained(arm, weights: str):
    runs = tuple(replace(run, identity=replace(run.identity, weights=weights)) for run in arm.runs)
    return replace(arm, runs=runs)


def said(root, **more):
    """The series of a root's runs of the twin that is asked."""
    (arm,) = over_nights(root, **more).arms
    return arm


def test_the_runs_of_a_title_are_read_in_the_order_of_their_start(tmp_path):
    for seed in range(4):
        written(tmp_path, seed, 0.5)
    written(tmp_path, 9, 9.0, title="another")
    assert said(tmp_path, title="demo").course.columns["night"] == ("demo-3", "demo-2", "demo-1", "demo-0")


def test_a_claim_that_is_added_later_changes_none_that_stands_and_all_share_five_percent(tmp_path):
    def shares() -> dict[str, float]:
        return {arm.arm: math.exp(-arm.course.notes["refutes_at"]) for arm in over_nights(tmp_path).arms}

    written(tmp_path, 0, 0.5, started="2026-01-01T00:00:00+00:00", added=["b"])
    assert shares() == pytest.approx({"dp-twin": 0.02, "b": 0.02})
    written(tmp_path, 1, 0.5, started="2026-01-02T00:00:00+00:00", added=["b", "c"])
    written(tmp_path, 2, 0.5, started="2026-01-03T00:00:00+00:00", added=["d", "e"])
    assert shares() == pytest.approx({"dp-twin": 0.02, "b": 0.02, "c": 0.008, "d": 0.0008, "e": 0.0008})
    assert sum(shares().values()) < 0.05


def test_of_several_training_seeds_that_share_the_coins_the_first_speaks(tmp_path):
    written(tmp_path, 0, 0.0)
    assert said(tmp_path).course.columns["log_e_value"] == (night(0, 0.0).log_e_value,)


def test_a_copy_of_a_night_counts_once(tmp_path):
    written(tmp_path, 1, 1.6)
    written(tmp_path, 2, 1.6, coins=1, weights="1")
    nights = over_nights(tmp_path)
    assert nights.copies == ("demo-1",)  # it was started later
    assert len(nights.arms[0].course.columns["night"]) == 1


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"coins": 1}, "demo-1 and demo-2: two trainings with the same coins are no two nights"),
        ({"coins": 1, "weights": "1", "commitment": "other data"}, "the same coins are no two nights"),
        ({"claim": PrivacyClaim(epsilon=1.1, delta=1e-5)}, "nights of one series must test one claim"),
        ({"claim": PrivacyClaim(epsilon=1.0, delta=1e-6)}, "at delta 1e-06"),
    ],
)
def test_what_does_not_compare_is_refused(tmp_path, second, words):
    written(tmp_path, 1, 1.0)
    written(tmp_path, 2, 1.0, **second)
    with pytest.raises(Incomparable, match=words):
        over_nights(tmp_path)
    ended = audit("nights", tmp_path)
    assert ended.exit_code == 12
    assert words in ended.stderr


def test_an_epsilon_found_up_to_a_tolerance_is_the_same_claim(tmp_path):
    written(tmp_path, 1, 1.0)
    written(tmp_path, 2, 1.0, claim=PrivacyClaim(epsilon=0.9981, delta=8e-6))
    assert len(said(tmp_path).course.columns["night"]) == 2


@pytest.mark.parametrize(
    ("titles", "title", "words"),
    [
        ([], None, "no finished run"),
        (["a", "b"], None, "runs of 2 audits; name one by --title: a and b"),
        (["a"], "c", "no finished run with the title 'c'; there are a"),
    ],
)
def test_a_series_is_of_one_audit(tmp_path, titles, title, words):
    for seed, name in enumerate(titles):
        written(tmp_path, seed, 0.5, title=name)
    with pytest.raises(Refused, match=words):
        over_nights(tmp_path, title)


def test_the_folder_of_one_run_is_no_folder_of_runs(tmp_path):
    folder = written(tmp_path, 0, 0.5)
    with pytest.raises(Refused, match="give the folder that holds all of them"):
        over_nights(folder.path)


def test_a_record_that_cannot_be_read_is_not_passed_over(tmp_path):
    (written(tmp_path, 0, 0.5).path / "record.json").write_text("{", "utf-8")
    with pytest.raises(Refused, match=r"record\.json"):
        over_nights(tmp_path)


def test_a_night_that_was_changed_by_hand_is_not_read(tmp_path):
    folder = written(tmp_path, 0, 0.5)
    folder.record.write_text(folder.record.read_text("utf-8") + " ", "utf-8")
    assert audit("nights", tmp_path).exit_code == 13


# ---- the verb -----------------------------------------------------------------------------------------------------


def audit(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_false_claim_that_no_night_refutes_is_refuted_by_the_series(tmp_path):
    for seed in range(12):
        written(tmp_path, seed, 0.8, started=f"2026-01-{seed + 1:02d}T00:00:00+00:00")
    page = tmp_path / "nights.html"
    ended = audit("nights", tmp_path, "--json", "--page", page)
    told = json.loads(ended.stdout)
    (arm,) = told["arms"]
    assert ended.exit_code == told["exit"] == 10
    assert arm["outcome"] == told["outcome"] == "refuted"
    assert max(arm["log_e_value"]) < arm["refutes_at"] <= max(arm["log_evidence"])
    (unclaimed,) = told["unclaimed"]
    assert unclaimed["arm"] == "standard-twin"
    for bounds in (arm["bounds"], unclaimed["bounds"]):
        assert (bounds["canaries"], bounds["level"], bounds["delta"]) == (2400, 0.95, 1e-5)
        assert bounds["holds_for"].endswith("for a number of nights that was fixed beforehand")
        assert [one["label"][:20] for one in bounds["epsilon"]] == [
            "lower bound, any mec",
            "lower bound, Gaussia",
            "if independent (Clop",
            "if independent (join",
        ]
        assert [one["high"] is None for one in bounds["epsilon"]] == [True, True, True, False]
        assert all(one["assuming"] for one in bounds["epsilon"])
        assert bounds["largest_refutable"] == largest_refutable(2400, 600, delta=1e-5)
        assert [one["night"] for one in bounds["nights"]] == [f"demo-{seed}" for seed in range(12)]
    assert 'data-verdict="blocked"' in page.read_text("utf-8")


def test_a_clean_series_is_not_refuted_and_its_page_fetches_nothing(tmp_path):
    for seed in range(6):
        written(tmp_path, seed, 0.0)
    (tmp_path / "demo-77").mkdir()
    (tmp_path / "demo-77" / "config.json").write_text('{"title": "demo"}', "utf-8")
    ended = audit("nights", tmp_path, "--page", tmp_path / "nights.html")
    assert ended.exit_code == 0
    assert "6 finished runs of demo; 1 run without a record, not counted." in ended.stdout
    assert "dp-twin: NOT REFUTED" in ended.stdout
    told = {line.split(":")[0]: line for line in ended.stdout.splitlines() if "fixed beforehand, 95 % each: at" in line}
    assert set(told) == {"dp-twin", "standard-twin"}
    for line in told.values():
        assert "assuming nothing of the mechanism; at least" in line
        assert "if the noise is Gaussian; at least" in line
        assert "if canaries leak independently of each other" in line
        assert line.endswith("the largest that they could have refuted whatever the mechanism is 4.57")
    page = (tmp_path / "nights.html").read_text("utf-8")
    assert page.count("<figure>") == page.count('<svg class="fig"') == 3  # two of the claim, one of the arm without
    assert "6 nights did not refute the claim" in page
    assert "e-value 1/0.04" in page
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert not re.findall("<script|https?://(?!www.w3.org)", page)


def page_of(root) -> str:
    return html.unescape(re.sub(r"\s+", " ", render_nights(over_nights(root)).replace("\N{NO-BREAK SPACE}", " ")))


def test_the_page_draws_claim_bounds_and_reach_on_one_axis_and_each_night_as_a_tick(tmp_path):
    for seed in range(12):
        written(tmp_path, seed, 0.8, started=f"2026-01-{seed + 1:02d}T00:00:00+00:00")
    page = page_of(tmp_path)
    assert "Figure 2. The claim of 1.00 at δ = 10⁻⁵ is refuted by the evidence of all nights together." in page
    claimed, unclaimed = (page[page.index(f'id="f{n}-t"') : page.index(f"Numbers of figure {n}")] for n in (2, 3))
    for figure in (claimed, unclaimed):
        for words in (ANY_MECHANISM, GAUSSIAN, CLOPPER_PEARSON, JOINT_BETA, EACH_NIGHT, "beyond reach, any mechanism"):
            assert f">{words}<" in figure
        assert "could have shown 5.23" in figure  # read out: the largest that these nights could have refuted
        assert "each night alone at least 0.31 to 1.25, in 12 nights" in figure
    assert ">claimed, not accounted here<" in claimed
    assert "claimed" not in unclaimed
    assert "Figure 3. No claim; ε is at least 1.28" in page
    assert page.count("<td>≥ 0.31</td>") == 2  # the same guesses, under either arm


def test_a_bound_beyond_a_claim_that_the_evidence_does_not_refute_is_explained(tmp_path):
    words = "A lower bound lies beyond the claim, which the evidence does not refute"
    for seed in range(2):
        written(tmp_path, seed, 0.8, claim=PrivacyClaim(epsilon=1.1, delta=1e-5))
    (arm,) = over_nights(tmp_path).arms
    assert arm.verdict.outcome == "not refuted"
    assert words in page_of(tmp_path)
    written(tmp_path / "kept", 0, 0.0)
    assert words not in page_of(tmp_path / "kept")


def test_the_page_of_one_night_has_no_tick(tmp_path):
    written(tmp_path, 0, 0.0)
    page = page_of(tmp_path)
    assert EACH_NIGHT not in page
    assert "Ticks" not in page
    assert "if independent" not in page


def test_a_series_that_could_not_have_refuted_ends_with_11_and_one_without_claims_with_3(tmp_path):
    written(tmp_path / "weak", 0, 9.0, claim=PrivacyClaim(epsilon=8.0, delta=1e-5))
    assert audit("nights", tmp_path / "weak").exit_code == 11
    written(tmp_path / "none", 0, 0.0, claim=None)
    ended = audit("nights", tmp_path / "none", "--page", tmp_path / "nights.html")
    assert ended.exit_code == 3
    assert "no run has an arm whose claim was put to the test" in ended.stdout
    assert "standard-twin: epsilon at delta 1e-05, of all guesses together" in ended.stdout
    assert not (tmp_path / "nights.html").exists()


def test_a_claim_that_is_false_on_purpose_is_no_part_of_a_series(tmp_path):
    written(tmp_path, 0, 9.0, control="dp-twin")
    assert not over_nights(tmp_path).arms


def test_a_page_in_a_folder_that_is_not_there_is_refused_in_a_sentence(tmp_path):
    written(tmp_path, 0, 0.0)
    ended = audit("nights", tmp_path, "--page", tmp_path / "no" / "n.html")
    assert ended.exit_code == 2
    assert "there is no folder" in ended.stderr


def test_nights_are_read_without_torch(tmp_path):
    written(tmp_path, 0, 0.0)
    code = f"""
import sys
from audit.cli import main
try:
    main(["nights", {str(tmp_path)!r}, "--page", {str(tmp_path / "n.html")!r}])
except SystemExit as end:
    assert end.code == 0, end.code
assert not {{"torch", "transformers", "opacus"}} & set(sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
