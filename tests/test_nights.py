from dataclasses import replace

import numpy as np
import pytest
import record_factory as make

from audit.judging.nights import over_nights
from audit.store import RunFolder
from probes.privacy import claimed, ladder
from probes.privacy.guessing import play
from probes.privacy.nights import Night, together
from probes.protocol import PrivacyClaim
from probes.results import Check, Series
from probes.stats.epsilon import snj_lower_bound
from probes.stats.evalues import log_wealth
from reports.figures.captions import heading
from reports.figures.charts import can_draw
from reports.figures.looks import Side
from reports.record import ArmSeries, dumps

CLAIM = PrivacyClaim(epsilon=1.0, delta=1e-5)


def series(seed: int, leak: float, claim: PrivacyClaim | None = CLAIM, m: int = 200) -> Series:
    """The chart of one night whose canaries' scores lie a leak apart."""
    rng = np.random.default_rng(seed)
    coins = rng.random(m) < 0.5
    game = play(rng.normal(size=m) + leak * coins, coins, m // 4, delta=1e-5, level=0.95)
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
    low, high = rows["independent canaries (joint Beta)"]
    assert 0 < rows["independent canaries (Clopper–Pearson)"][0] < low < high
    drawn = Side(name="dp", look="private", series=side)
    assert can_draw(drawn)
    assert "claim of 1.00" in heading("epsilon", [drawn], [None])


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


# The records of a root


def written(root, seed: int, leak: float, title: str = "demo", started: str = "") -> None:
    folder = RunFolder(root / f"{title}-{seed}")
    folder.path.mkdir(parents=True)
    record = make.record()
    kept = replace(record.provenance, coins=f"{seed}")
    shown = ArmSeries(arm="dp-twin", probe="canaries", seed=1, series=series(seed, leak))
    other = ArmSeries(arm="standard-twin", probe="canaries", seed=1, series=series(seed, leak, None))
    folder.record.write_text(dumps(replace(record, title=title, provenance=kept, series=(shown, other))), "utf-8")
    folder.run.write_text(
        dumps(replace(make.run(), started=started or f"2026-01-{30 - seed:02d}T00:00:00+00:00")), "utf-8"
    )


def test_the_records_of_a_root_are_read_in_the_order_of_their_start(tmp_path):
    for seed in range(4):
        written(tmp_path, seed, 0.5)
    written(tmp_path, 9, 9.0, title="another")
    found = list(over_nights(tmp_path, "demo"))
    assert {(one.arm, one.probe, one.seed) for one in found} == {("dp-twin", "canaries", None)}
    course = next(one.series for one in found if isinstance(one, ArmSeries) and one.series.kind == "nights")
    assert course.columns["night"] == ("demo-3", "demo-2", "demo-1", "demo-0")


def test_a_root_without_records_says_nothing(tmp_path):
    assert not list(over_nights(tmp_path, "demo"))


def test_a_record_that_cannot_be_read_is_not_passed_over(tmp_path):
    written(tmp_path, 0, 0.5)
    (tmp_path / "demo-0" / "record.json").write_text("{", "utf-8")
    with pytest.raises(ValueError, match=r"record\.json"):
        list(over_nights(tmp_path, "demo"))
