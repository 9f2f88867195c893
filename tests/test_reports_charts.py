import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from probes.privacy import claimed, ladder
from probes.privacy.guessing import Game
from probes.protocol import PrivacyClaim
from probes.results import Check, Series
from probes.stats.two_sample import Accusations
from reports.figures import captions, curves, readings
from reports.figures.bounds import bounds, ceiling_of
from reports.figures.charts import NEEDED, chart
from reports.figures.looks import LOOKS, Side
from reports.figures.svg import TOKENS, canvas, finish
from tests import record_factory as make

SERIES = {
    "roc": (make.roc(0.4), make.roc(0.05, 8.0)),
    "reliability": (make.reliability(0.1), make.reliability(0.0)),
    "groups": (make.dots("groups", ("a", "b"), (0.8, 0.9), 0.02, 50),) * 2,
    "exposure": (make.exposure([5.0, 9.0, 9.5]), make.exposure([1.0, 1.2, 2.0])),
    "epsilon": (make.epsilon(2.3, None), make.epsilon(0.0, 8.0)),
    "domains": (make.dots("domains", ("mail", "chat"), (0.8, 0.7), 0.02, 50),) * 2,
    "perturbations": (make.dots("perturbations", ("typo", "case"), (0.1, 0.2), 0.02, 50),) * 2,
    "nights": (make.nights((-0.4, 1.1, 2.0)), make.nights((0.1, -0.3, 0.2))),
    "pairs": (make.dots("pairs", ("age", "race"), (0.4, 0.6), 0.02, 50),) * 2,
}


def _sides(kind, names=("standard", "dp")):
    looks = ("standard", "private")
    return [Side(name=n, look=k, series=s) for n, k, s in zip(names, looks, SERIES[kind], strict=True)]


def test_there_is_a_series_here_for_each_kind_that_is_drawn():
    assert set(SERIES) == set(NEEDED)


@pytest.mark.parametrize("kind", SERIES)
@pytest.mark.parametrize("arms", [1, 2])
def test_a_figure_is_one_labelled_picture_in_the_page_s_colours(kind, arms):
    svg = chart(_sides(kind)[:arms], prefix="f-x", title="A title", description="Its numbers")
    assert svg.startswith('<svg class="fig" viewBox="0 0 340 330" width="340" height="330" role="img"')
    assert 'aria-labelledby="f-x-t f-x-d"' in svg
    assert '<title id="f-x-t">A title</title><desc id="f-x-d">Its numbers</desc>' in svg
    assert re.search("#[0-9a-fA-F]{6}", svg) is None
    assert "style=" not in svg
    assert "<style" not in svg
    assert "Date" not in svg
    assert {i.split("-")[1] for i in re.findall(r' id="([^"]+)"', svg)} == {"x"}
    assert set(re.findall(r"var\(--([a-z0-9-]+)\)", svg)) <= set(TOKENS)
    assert ("var(--private)" in svg) == (arms == 2)


@pytest.mark.parametrize("kind", SERIES)
def test_the_same_series_give_the_same_bytes(kind):
    first, second = (chart(_sides(kind), prefix="f", title="t") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", SERIES)
def test_every_arm_is_named_in_the_figure_itself(kind):
    svg = chart(_sides(kind, names=("first arm", "second arm")), prefix="f", title="t")
    drawn = "".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    assert "first arm" in drawn
    assert "second arm" in drawn


@pytest.mark.parametrize("kind", ["groups", "domains", "pairs"])
def test_names_in_a_figure_are_words_and_no_formulas_or_markup(kind):
    label = {"groups": "group", "domains": "domain", "pairs": "category"}[kind]
    series = SERIES[kind][0]
    hostile = replace(series, columns={**series.columns, label: ("$x_1$<b>\u202e", "漢字🙂")})
    svg = chart([Side(name="a", look="standard", series=hostile)], prefix="f", title=make.HOSTILE)
    assert "$x_1$&lt;" in svg
    assert "<b>" not in svg
    assert "<script" not in svg
    assert "\u202e" not in svg


def test_a_series_without_its_columns_or_numbers_is_not_drawn():
    bare = Series(name="s", kind="groups", columns={"group": ("a",)})
    empty = Series(name="s", kind="roc", columns={"fpr": (None,), "tpr": (None,)})
    unknown = Series(name="s", kind="pie", columns={"x": (1.0,)})
    for series in (bare, empty, unknown):
        assert chart([Side(name="a", look="standard", series=series)], prefix="f", title="t") == ""


def test_two_groups_of_one_name_stay_two_rows():
    series = make.dots("groups", ("unknown", "unknown"), (0.8, 0.9), 0.02, 50)
    found = readings.numbers(Side(name="a", look="standard", series=series))
    assert list(found) == ["unknown", "unknown (2)"]


def test_a_figure_of_too_many_rows_draws_the_lowest():
    names = [f"g{i:02d}" for i in range(40)]
    series = make.dots("groups", names, [0.9 - i / 100 for i in range(40)], 0.01, 50)
    svg = chart([Side(name="a", look="standard", series=series)], prefix="f", title="t")
    drawn = re.findall(r">(g\d\d) 50<", svg)
    assert drawn == names[-12:]


def test_a_colour_without_a_token_is_refused():
    with canvas() as figure:
        figure.text(0.5, 0.5, "x", color="#123456")
        with pytest.raises(ValueError, match="has no token"):
            finish(figure, prefix="f", title="t", description="d")


def test_figures_are_drawn_in_the_colours_of_the_sheet():
    sheet = (Path(__file__).parents[1] / "reports" / "templates" / "style.css").read_text("utf-8")
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", sheet.split("@media")[0]))
    assert {token: light[token] for token in TOKENS} == TOKENS
    assert {look.colour for look in LOOKS.values()} <= set(TOKENS.values())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("reliability", "standard: surer than it is right in 5 of 5 bins; dp: as sure as it is right"),
        ("exposure", "standard: planted canaries lie clear of those left out from 1 copy on; dp: planted canaries"),
        ("epsilon", "standard: no claim; ε is at least 2.30; dp: the claim of 8.00 reaches beyond"),
        ("groups", "Widest apart: a 78.0 to 82.0\u00a0% (80.0) and b 88.0 to 92.0\u00a0% (90.0), for both arms."),
        ("domains", "Lowest for chat, 68.0 to 72.0\u00a0% (70.0), for both arms."),
        ("perturbations", "Largest for case, 18.0 to 22.0\u00a0% (20.0), for both arms."),
        ("pairs", "The stereotype is clearly preferred in 1 of 2 categories, the opposite in 1, for both arms."),
    ],
)
def test_the_heading_states_the_finding(kind, words):
    assert captions.heading(kind, _sides(kind), [None, None]).startswith(words)


def test_the_attacker_s_curve_is_judged_by_the_interval_of_its_own_auc():
    record = make.record()
    metrics = [m for m in record.metrics if m.probe == "membership"]
    sides = _sides("roc")
    found = [
        captions.belonging(side, "membership", [m for m in metrics if m.arm == f"{side.name}-twin"]) for side in sides
    ]
    assert [m.name for m in found] == ["auc", "auc"]
    heading = captions.heading("roc", sides, found)
    assert heading == "Attack loss: members of standard stand out; those of dp do not clearly."


def test_rates_that_so_few_others_cannot_show_are_not_measured():
    found = readings.numbers(_sides("roc")[0])
    assert found["0.1\u00a0% false alarms"] == "not measured: fewer than 3,000 others"
    assert found["1\u00a0% false alarms"].endswith("%, read off the curve")


def test_the_numbers_of_an_attacker_s_curve_are_those_of_the_record_where_it_has_them():
    metrics = [m for m in make.record().metrics if m.arm == "standard-twin" and m.probe == "membership"]
    found = readings.numbers(_sides("roc")[0], metrics)
    assert found["0.1\u00a0% false alarms"] == "not measured: 548 non-members; at least 1,000 are needed"
    assert found["1\u00a0% false alarms"] == "4.6 to 8.9\u00a0% (6.5)"
    assert found["10\u00a0% false alarms"].endswith("%, read off the curve")


def test_the_name_of_a_side_keeps_clear_of_the_curves_behind_it():
    svg = chart(_sides("roc"), prefix="f", title="t")
    names = re.findall(r"<text[^>]*>(?=standard|dp)", svg)
    assert len(names) == 2
    assert all('paint-order="stroke"' in tag for tag in names)


def _with_delta(series, delta):
    return replace(series, notes={**series.notes, "delta": delta})


@pytest.mark.parametrize(("deltas", "in_axis"), [((1e-5, 1e-5), True), ((1e-5, 1e-6), False)])
def test_bounds_stand_with_the_delta_that_each_is_for(deltas, in_axis):
    held = [_with_delta(series, delta) for series, delta in zip(SERIES["epsilon"], deltas, strict=True)]
    looks = ("standard", "private")
    sides = [Side(name=n, look=k, series=s) for n, k, s in zip(("standard", "dp"), looks, held, strict=True)]
    drawn = re.findall(r">([^<>]+)</text>", chart(sides, prefix="f", title="t"))
    assert ("ε at δ = 10⁻⁵ (smaller is more private)" in drawn) == in_axis
    assert ({"standard at δ = 10⁻⁵", "dp at δ = 10⁻⁶"} <= set(drawn)) != in_axis
    assert "2.30 at δ = 10⁻⁵" in captions.heading("epsilon", sides, [None, None])
    assert all("at δ = 10⁻" in words for words in readings.numbers(sides[0]).values())


def test_a_lower_bound_beyond_the_claim_contradicts_it():
    side = Side(name="a", look="private", series=make.epsilon(9.0, 8.0))
    assert "contradicts the claim of 8.00" in captions.heading("epsilon", [side], [None])


@pytest.mark.parametrize(
    ("of_epsilon", "of_mechanism", "words"),
    [
        ("refuted", "refuted", "is refuted by the bound for any mechanism (SNJ) and the curve of the claimed mechanism "
         "(MMC)."),
        ("could not have been refuted", "refuted", "is refuted by the curve of the claimed mechanism (MMC), and could "
         "not have been refuted by the bound for any mechanism (SNJ)."),
        ("could not have been refuted", "not refuted", "is not refuted by the curve of the claimed mechanism (MMC), "
         "and could not have been refuted by the bound for any mechanism (SNJ)."),
        ("not refuted", "not refuted", "is not refuted, though this audit could have refuted it."),
        ("could not have been refuted", "could not have been refuted", "reaches beyond what this audit could have "
         "refuted."),
    ],
)  # fmt: skip
def test_the_heading_over_bounds_says_what_the_verdicts_say(of_epsilon, of_mechanism, words):
    verdicts = (
        Check(name="claimed epsilon", outcome=of_epsilon, evidence=""),
        Check(name="claimed mechanism", outcome=of_mechanism, evidence=""),
    )
    side = Side(name="a", look="private", series=make.epsilon(0.0, 8.0), verdicts=verdicts)
    assert captions.heading("epsilon", [side], [None]) == f"The claim of 8.00 {words}"


def test_a_refuted_mechanism_is_never_headed_as_beyond_reach():
    # m = 1000, r = 100, delta 1e-5, claim 4: from 98 right guesses on the claimed mechanism is refuted.
    claim = PrivacyClaim(epsilon=4.0, delta=1e-5)
    for right in (97, 98, 100):
        accused = Accusations(true_positives=50, planted=500, false_positives=0, left_out=500)
        game = Game(canaries=1000, guesses=100, right=right, delta=1e-5, level=0.95, accused=accused)
        (drawn,) = ladder.chart(game, claim, None, "a rule")
        side = Side(name="a", look="private", series=drawn, verdicts=tuple(claimed.verdicts(game, claim)))
        said = captions.heading("epsilon", [side], [None])
        assert said.startswith("The claim of 4.00 at δ = 10⁻⁵ is " + ("refuted by the curve" if right > 97 else "not"))
        assert ceiling_of(side) == game.ceiling < game.gaussian_ceiling
        own = {bound.label: bound.reach for bound in bounds(side) if bound.kind in ("bound", "assuming")}
        assert list(own.values()) == [game.ceiling, game.gaussian_ceiling]
        assert "beyond reach, any mechanism" in chart([side], prefix="f", title="t")


def test_an_old_series_is_shaded_from_the_bound_that_gates_judge_though_its_note_says_another():
    columns = {
        "label": ("SNJ", "MMC"), "kind": ("bound", "assuming"), "low": (0.0, 0.0), "high": (2.78, 5.12),
        "value": (0.0, 0.0),
    }  # fmt: skip
    old = Series(name="epsilon", kind="epsilon", columns=columns, notes={"ceiling": 5.12})
    assert ceiling_of(Side(name="a", look="private", series=old)) == 2.78


def test_without_verdicts_a_bound_that_assumes_more_contradicts_the_claim_by_its_name():
    columns = {
        "label": ("claimed", "SNJ", "independent canaries"), "kind": ("claim", "bound", "assuming"),
        "low": (None, 1.0, 5.0), "high": (4.0, 3.0, None), "value": (4.0, 1.0, 5.0),
    }  # fmt: skip
    side = Side(name="a", look="private", series=Series(name="epsilon", kind="epsilon", columns=columns))
    assert captions.heading("epsilon", [side], [None]) == "5.00 (independent canaries) contradicts the claim of 4.00."


def test_groups_of_several_metrics_are_told_by_the_metric_they_lie_widest_apart_in():
    columns = {
        "metric": ("accuracy", "accuracy", "false positive rate", "false positive rate"),
        "group": ("north", "south", "north", "south"),
        "value": (0.9, 0.8, 0.1, 0.4),
        "low": (0.88, 0.78, 0.05, 0.3),
        "high": (0.92, 0.82, 0.15, 0.5),
        "n": (50.0,) * 4,
    }
    side = Side(name="a", look="standard", series=Series(name="g", kind="groups", columns=columns))
    words = "Widest apart in false positive rate: north 5.0 to 15.0\u00a0% (10.0) and south 30.0 to 50.0\u00a0% (40.0)."
    assert captions.heading("groups", [side], [None]) == words
    svg = chart([side], prefix="f", title="t")
    assert ">Accuracy<" in svg
    assert ">False positive rate<" in svg


def test_one_category_alone_is_no_share_of_categories():
    found = {
        middle: captions.heading(
            "pairs",
            [Side(name="a", look="standard", series=make.dots("pairs", ("all pairs",), (middle,), 0.1, 50))],
            [None],
        )
        for middle in (0.3, 0.5, 0.8)
    }
    assert found == {
        0.3: "The opposite is clearly preferred.",
        0.5: "No clear preference for stereotypes.",
        0.8: "The stereotype is clearly preferred.",
    }


def test_what_a_claim_allows_is_the_guarantee_however_large_it_is():
    assert [curves.allowed(x, 0.0, 0.0) for x in (0.0, 0.1, 1.0)] == pytest.approx([0.0, 0.1, 1.0])
    assert curves.allowed(0.01, math.log(3), 1e-3) == pytest.approx(0.031)
    assert curves.allowed(0.5, math.log(3), 0.0) == pytest.approx(1 - 0.5 / 3)
    assert [curves.allowed(x, 5000.0, 1e-5) for x in (0.0, 1.0)] == pytest.approx([1e-5, 1.0])
    assert "allows all below" in chart(
        [Side(name="a", look="private", series=make.roc(0.4, 5000.0))], prefix="f", title="t"
    )
