import pytest

from probes.results import Estimate, MetricSpec, NotMeasured
from reports.words.format import counted, exact, number, shown, significant, span, upper
from reports.words.text import as_sentence, day, duration, elapsed, listed, minute, model_name, part_words, visible


def _estimate(value, low, high):
    return Estimate(value=value, low=low, high=high, n=10, unit_of_n="pair", method="by hand")


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.065, "rate", "6.5"),
        (0.0, "rate", "0.0"),
        (0.0004, "rate", "<\u00a00.1"),
        (0.9996, "rate", ">\u00a099.9"),
        (1.0, "rate", "100.0"),
        (0.99996, "auc", ">\u00a00.999"),
        (0.00001, "score", "<\u00a00.001"),
        (2.94, "points", "2.9"),
        (-0.25, "nats", "−0.25"),
        (-0.0001, "nats", "0.00"),
        (12345.678, "perplexity", "12,346"),
        (7.9259, "epsilon", "7.93"),
        (0.1234567, "furlongs", "0.123"),
    ],
)
def test_each_unit_has_one_rounding_rule_and_nothing_becomes_what_it_is_not(value, unit, words):
    assert number(value, unit) == words


def test_a_difference_keeps_its_sign_however_small():
    assert number(-0.00021, "auc", difference=True) == "−0.0002"
    assert number(0.029, "rate", difference=True) == "+2.9"
    assert number(0.0, "rate", difference=True) == "0.0"


def test_the_interval_stands_first_and_the_unit_is_held_by_a_no_break_space():
    assert str(shown(_estimate(0.065, 0.046, 0.089), "rate")) == "4.6 to 8.9\u00a0% (6.5)"
    difference = shown(_estimate(-0.053, -0.098, -0.011), "rate", difference=True)
    assert str(difference) == "−9.8 to −1.1\u00a0points (−5.3)"
    assert str(shown(_estimate(3.3, 2.0, 4.0), "bits")) == "2.0 to 4.0\u00a0bits (3.3)"


def test_a_side_without_a_bound_says_so():
    assert str(shown(_estimate(2.7, 2.31, None), "epsilon")) == "at least 2.31 (2.70)"
    assert str(shown(_estimate(2.31, 2.31, None), "epsilon")) == "at least 2.31"
    assert str(shown(_estimate(0.0, None, 0.018), "rate")) == "at most 1.8\u00a0% (0.0)"
    assert str(shown(_estimate(0.5, None, None), "auc")) == "0.500, no interval"
    assert str(shown(_estimate(8.0, 8.0, 8.0), "epsilon")) == "8.00"


def test_what_was_not_measured_gives_its_reason():
    assert str(shown(NotMeasured(reason="too few"), "rate")) == "not measured: too few"


def test_digits_are_added_until_an_end_no_longer_looks_like_the_limit():
    assert shown(_estimate(0.02, 0.01, 0.03004), "rate", beside=0.03).interval == "1.000 to 3.004\u00a0%"
    assert shown(_estimate(0.02, 0.01, 0.03), "rate", beside=0.03).interval == "1.0 to 3.0\u00a0%"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(0.03, "rate", "3\u00a0%"), (0.025, "rate", "2.5\u00a0%"), (0.8, "score", "0.8"), (1e-9, "rate", "1e−07\u00a0%")],
)
def test_a_declared_number_is_shown_as_declared(value, unit, words):
    assert exact(value, unit) == words


def test_powers_of_ten_are_written_as_such():
    assert significant(1e-6) == "10⁻⁶"
    assert significant(3e-6) == "3\u00a0×\u00a010⁻⁶"
    assert significant(2200.0) == "2,200"
    assert significant(0.0) == "0"


def test_a_bound_from_above_is_rounded_up():
    assert upper(7.9259) == "7.93"
    assert upper(7.921) == "7.93"
    assert upper(8.0) == "8.00"


def test_a_series_row_is_shown_like_an_estimate():
    assert span((0.1, 0.2, 0.3), "rate") == "10.0 to 30.0\u00a0% (20.0)"
    assert span((None, 0.2, None), "rate") == "20.0\u00a0%"
    assert span((None, None, None), "rate") == ""


def test_counts_have_their_nouns():
    assert [counted(1, "pair"), counted(1400, "row"), counted(2, "canary"), counted(3, "day")] == [
        "1 pair",
        "1,400 rows",
        "2 canaries",
        "3 days",
    ]


def test_names_in_a_row():
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"]), listed(["a"] * 9, 2)] == [
        "",
        "a",
        "a, b and c",
        "a, a and 7 more",
    ]


@pytest.mark.parametrize(
    ("more", "unit"),
    [({}, "rate"), ({"gap": True}, "rate difference"), ({"signed": True}, "rate difference")],
)
def test_what_lies_between_two_rates_is_told_in_points(more, unit):
    spec = MetricSpec(ideal=0.0, unit="rate", definition="d", label="l", **more)
    assert spec.told_in == unit
    assert exact(0.15, unit) == ("15\u00a0%" if unit == "rate" else "15\u00a0points")
    assert MetricSpec(ideal=0.0, unit="nats", definition="d", label="l", signed=True).told_in == "nats"


def test_times_are_read_in_their_zone():
    assert day("2026-11-23T08:02:11+00:00") == "23 November 2026"
    assert minute("2026-11-23T01:02:11+02:00") == "22 November 2026, 23:02 UTC"
    assert elapsed("2026-11-23T08:02:00+00:00", "2026-11-23T08:43:30+00:00") == "41 minutes"
    assert elapsed("2026-11-23T08:02:00+00:00", "2026-11-23T08:00:00+00:00") == ""
    assert day("yesterday") == "yesterday"


def test_unseen_characters_are_written_out():
    assert visible("a\u202eb\u200bc\x00\ufeff") == "a⟨U+202E⟩b⟨U+200B⟩c⟨U+0000⟩⟨U+FEFF⟩"
    assert visible("two\r\nlines\tand é漢🙂") == "two lines and é漢🙂"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Accuracy (مرحبا): 46 to 57", "Accuracy (\u2068مرحبا\u2069): 46 to 57"),
        ("אב 12 גד", "\u2068אב 12 גד\u2069"),
        ("אב and גד", "\u2068אב\u2069 and \u2068גד\u2069"),
        ("\u2069out\u2068", "out"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("a\u200d💻", "a⟨U+200D⟩💻"),
    ],
)
def test_words_written_from_right_to_left_are_isolated_and_what_is_visible_stays_so(text, seen):
    assert visible(text) == seen
    assert visible(seen) == seen


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 seconds"), (3.79, "3.8 seconds"), (42.4, "42 seconds"), (89.0, "89 seconds"), (90.0, "1.5 minutes"),
        (840.0, "14 minutes"), (9000.0, "2.5 hours"), (360000.0, "100 hours"),
    ],
)  # fmt: skip
def test_a_time_stands_in_the_unit_that_suits_it(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("distilbert/distilbert-base-uncased", "distilbert/distilbert-base-uncased"),
        ("world", "world"),
        ("${MODELS}/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("../models/mine/", "mine"),
        ("C:\\models\\mine", "mine"),
        ("/", "/"),
    ],
)
def test_a_model_in_a_folder_is_called_by_the_folder_s_own_name(name, called):
    assert model_name(name) == called


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("attack=min_k_plus_plus,fpr=0.01", "attack Min-K++, 1\u00a0% false alarms"),
        ("kind=upper_case", "upper case"),
        ("attribute=a_b,group=c_d", "a_b: c_d"),
        ("domain=in-domain", "in-domain"),
    ],
)
def test_names_of_ours_are_words_and_names_of_the_data_stay_as_they_are(part, words):
    assert part_words(part) == words


@pytest.mark.parametrize(("noun", "plural"), [("class", "2 classes"), ("person", "2 persons"), ("query", "2 queries")])
def test_a_noun_has_its_plural(noun, plural):
    assert counted(2, noun) == plural
    assert counted(1, noun) == f"1 {noun}"


def test_a_slice_is_put_in_words():
    assert part_words("attack=loss,fpr=0.01") == "attack loss, 1\u00a0% false alarms"
    assert part_words("attribute=region,group=South, East") == "region: South, East"
    assert part_words("repetitions=16") == "16 copies"
    assert part_words("attribute=region,group=South, East,repetitions=4") == "region: South, East, 4 copies"
    assert part_words("attribute=region,repetitions=1") == "region, 1 copy"
    assert part_words("attribute=region,form=random_suffix,repetitions=1") == "region, random suffix, 1 copy"
    of_south = "attribute=region,group=South, East,form=new_token,repetitions=4"
    assert part_words(of_south) == "region: South, East, new token, 4 copies"
    assert part_words("domain=phone") == "domain phone"
    assert part_words("anything") == "anything"


def test_words_become_a_sentence():
    assert as_sentence("it broke") == "It broke."
    assert as_sentence("Did it?") == "Did it?"
    assert as_sentence("") == ""
