"""The probe of canaries: its bound, its charts, and what it asks."""

import numpy as np
import pytest
from canary_rows import (
    FACTS,
    PROBE,
    RANKS,
    canaries,
    check,
    claiming,
    drawn,
    estimate,
    facts,
    found,
    guessed,
    right,
    secrets,
    series,
    table,
)

from probes.privacy.canaries import Canaries
from probes.privacy.continuation import Continuation
from probes.privacy.guessing import play
from probes.protocol import Items, PrivacyClaim, Rows
from probes.results import Finding, NotApplicable
from probes.scoring.tables import ClassLogits, SentenceLogprob, TokenTable
from reports.figures.bounds import bounds
from reports.figures.captions import heading, note
from reports.figures.charts import can_draw
from reports.figures.readings import numbers
from reports.words.format import NO_BREAK

# The bound


@pytest.mark.parametrize(
    ("m", "r", "v", "delta", "epsilon"),
    [
        (1000, 100, 100, 1e-5, 3.465376),
        (1000, 100, 90, 1e-5, 1.626143),
        (1000, 100, 50, 1e-5, 0.0),
        (1000, 1000, 600, 1e-5, 0.297227),
        (200, 50, 45, 1e-5, 1.391977),
        (100, 10, 10, 1e-3, 0.613793),
        (500, 250, 200, 1e-6, 1.118945),
    ],
)
def test_the_bound_is_that_of_theorem_5_2_of_steinke_nasr_and_jagielski(m, r, v, delta, epsilon):
    given = found(guessed(m, r, v), Canaries(guess_share=r / m), claiming(8.0, delta))
    bound = estimate(given, "epsilon_lower_bound")
    assert bound.value == pytest.approx(epsilon, abs=1e-6)
    assert (bound.low, bound.high, bound.n) == (bound.value, None, r)
    assert f"{v} of {r} guesses right among {m} canaries" in bound.method


def test_what_is_not_claimed_is_bounded_at_a_delta_of_1e_5_and_checks_nothing():
    given = found(guessed(1000, 100, 90), Canaries(guess_share=0.1))
    assert estimate(given, "epsilon_lower_bound").value == pytest.approx(1.626143, abs=1e-6)
    assert check(given) is None


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.3, 0.5, 0.9, 1.0])
def test_guesses_are_even_in_number_and_no_more_than_the_canaries(share):
    made = [Canaries(guess_share=share).guesses(m) for m in range(60)]
    assert all(r % 2 == 0 and 0 <= r <= m for m, r in enumerate(made))
    assert made == sorted(made)


def test_all_canaries_can_be_guessed_but_an_odd_one():
    bound = estimate(found(guessed(7, 6, 6), Canaries(guess_share=1.0)), "epsilon_lower_bound")
    assert bound.n == 6


def test_the_highest_are_guessed_in_and_the_lowest_out():
    is_member = np.array([False, True, True, False, False, True])
    assert right(np.arange(6.0), is_member, 2) == 2
    assert right(np.arange(6.0), is_member, 4) == 2
    assert right(-np.arange(6.0), is_member, 2) == 0
    assert right(np.arange(6.0), is_member, 0) == 0


def test_the_guesses_in_accuse_planted_canaries_and_those_left_out():
    is_member = np.array([False, True, True, False, False, True])
    accused = play(np.arange(6.0), is_member, 4, delta=1e-5, level=0.95).accused
    assert (accused.true_positives, accused.planted) == (1, 3)
    assert (accused.false_positives, accused.left_out) == (1, 3)


def test_equal_scores_are_guessed_by_a_rule_that_cannot_know_the_coins():
    rng = np.random.default_rng(0)
    found = [right(np.zeros(100), rng.random(100) < 0.5, 50) for _ in range(400)]
    assert np.mean(found) == pytest.approx(25, abs=0.6)  # three standard errors are 0.53


def test_a_leak_is_found_and_the_claim_it_contradicts_is_refuted():
    given = found(drawn(0, 3.0), known=claiming(1.0))
    assert estimate(given, "epsilon_lower_bound").value > 2
    assert estimate(given, "auc", "repetitions=1").low > 0.9
    assert check(given).outcome == "refuted"


def test_coins_that_the_model_knows_nothing_of_give_a_bound_no_more_often_than_the_level_says():
    some = [drawn(seed, 0.0, 100) for seed in range(200)]
    bounds = [play(r["score"], r["is_member"], PROBE.guesses(r.n), delta=1e-5, level=0.95).bound for r in some]
    assert sum(bound.value > 0 for bound in bounds) <= 17  # more than 17 of 200 at 5 % would happen once in 80 times
    assert all((bound.null.p < 0.05) == (bound.value > 0) for bound in bounds)


# Copies, forms, and what was not scored


def test_canaries_with_several_copies_stay_out_of_the_bound_and_it_is_said_why():
    once, often = guessed(400, 100, 60), drawn(1, 9.0, 60).assign(repetitions=np.repeat([4, 16], 30))
    often = often.assign(item_id=[f"x{i}" for i in range(60)])
    both = Rows({name: np.concatenate([once[name], often[name]]) for name in once})
    assert estimate(found(both), "epsilon_lower_bound") == estimate(found(once), "epsilon_lower_bound")
    assert check(found(once), "repeated canaries") is None
    said = check(found(both), "repeated canaries")
    assert said.outcome == "not checked"
    assert "4 copies: protected by at most 4 × epsilon in pure-DP terms; 16 copies" in said.evidence
    assert estimate(found(both), "auc", "repetitions=16").value > 0.99


def test_swapping_planted_and_left_out_gives_one_minus_the_auc_and_minus_the_gain():
    some = secrets(2, 0.5, 40)
    there, back = (found(r) for r in (some, some.assign(is_member=~some["is_member"])))
    part = "repetitions=4"
    assert estimate(back, "auc", part).value == pytest.approx(1 - estimate(there, "auc", part).value)
    gain, loss = (estimate(given, "exposure_gain", part) for given in (there, back))
    assert loss.value == pytest.approx(-gain.value)
    assert loss.low == pytest.approx(-gain.high, abs=0.3)  # by other draws


def test_a_form_that_the_model_likes_better_as_a_whole_moves_no_guess():
    rng = np.random.default_rng(0)
    logprobs = rng.normal(size=80)
    forms = ["card-1"] * 40 + ["random"] * 40
    alone = PROBE.answers({"arm": canaries([[x] for x in logprobs], forms)}, FACTS)
    shifted = np.where(np.arange(80) < 40, logprobs + 50, logprobs)
    liked = PROBE.answers({"arm": canaries([[x] for x in shifted], forms)}, FACTS)
    np.testing.assert_allclose(liked["score"], alone["score"], atol=1e-9)


def test_a_canary_without_a_score_is_left_out_of_all_and_counted():
    answered = PROBE.answers({"arm": canaries([[-1.0], [], [-2.0], [-4.0]] * 20)}, FACTS)
    assert np.isnan(answered["score"]).sum() == 20
    given = found(answered)
    bound = next(one for one in given if isinstance(one, Finding) and one.metric == "epsilon_lower_bound")
    assert (bound.coverage.asked, bound.coverage.answered) == (80, 60)
    assert "among 60 canaries" in bound.estimate.method
    assert (
        PROBE.statistics(answered, np.ones(80))["auc", "repetitions=1"] == estimate(given, "auc", "repetitions=1").value
    )


# Charts


def test_the_chart_of_bounds_is_what_its_figure_reads():
    side = series(found(guessed(1000, 100, 90), Canaries(guess_share=0.1), claiming(8.0)), "epsilon")
    assert can_draw(side)
    assert [(bound.label, bound.kind) for bound in bounds(side)] == [
        ("accounted (PRV)", "claim"),
        ("lower bound, any mechanism (SNJ)", "bound"),
        ("lower bound, Gaussian noise (MMC)", "assuming"),
        ("if canaries were independent (OS)", "estimate"),
        ("largest that could have been refuted", "reach"),
    ]
    assert [bound.reach for bound in bounds(side)[1:3]] == pytest.approx([3.465376, 5.549028], abs=1e-6)
    assert (side.note("claim"), side.note("delta")) == (8.0, 1e-5)
    assert side.note("ceiling") == bounds(side)[1].reach  # of the bound that gates judge
    said = heading("epsilon", [side], [None])
    assert said.startswith("The claim of 8.00")
    assert said.endswith("reaches beyond what this audit could have refuted.")
    assert note([side]) == (
        "Canaries: 1,000. Guesses: 100. Right: 90. Fixed beforehand: the score is minus the model's loss, relative to "
        "the mean of the form; of 1000 canaries the 50 with the highest are guessed in, the 50 with the lowest out."
    )


def test_both_accountants_stand_in_the_chart_of_a_mechanism_that_ran_here():
    claim = PrivacyClaim(epsilon=4.6784, delta=1e-5, noise_multiplier=0.8, sample_rate=0.02, steps=500, accounted=True)
    side = series(found(guessed(1000, 100, 90), Canaries(guess_share=0.1), facts(claim=claim)), "epsilon")
    claims = [(bound.label, bound.value) for bound in bounds(side) if bound.kind == "claim"]
    assert claims == [("accounted (PRV)", 4.6784), ("accounted (PLD)", pytest.approx(4.6680, abs=1e-4))]


def test_the_chart_of_exposure_is_what_its_figure_reads():
    one, four = secrets(0, 0.0, 40, copies=1), secrets(1, 1.0, 40, copies=4)
    four = four.assign(item_id=[f"x{i}" for i in range(40)])
    given = found(Rows({name: np.concatenate([one[name], four[name]]) for name in one}))
    side = series(given, "exposure")
    assert can_draw(side)
    assert side.numbers("repetitions") == [1.0, 4.0]
    for place, part in enumerate(("repetitions=1", "repetitions=4")):
        value = estimate(given, "exposure", part)
        assert (value.low, value.value, value.high) == side.rows("planted_low", "planted_mean", "planted_high")[place]
    assert side.note("ceiling") == pytest.approx(np.log2(RANKS))
    assert heading("exposure", [side], [None]) == "Planted canaries lie clear of those left out from 4 copies on."
    said = note([side]).replace(NO_BREAK, " ")
    assert said == "Bars: 95% interval of the mean. Bands: the middle 95 % of the secrets left out."
    assert set(numbers(side)) == {"1 copy", "4 copies"}


# What is asked


def items(**more) -> Items:
    columns = {"item_id": ["a", "b"], "cluster": ["a", "b"], "text": ["x", "y"], "is_member": [True, False]}
    return Items({**columns, "repetitions": [1, 1], "form": ["card-1"] * 2, **more})


DATA = {"canaries": items(label=np.array([0, 1])), "canary_references": items()}


@pytest.mark.parametrize(("head", "table"), [("causal", TokenTable()), ("masked", SentenceLogprob())])
def test_a_language_model_is_asked_for_canaries_and_references_and_its_base_for_canaries(head, table):
    asked = PROBE.needs(facts(head=head, base_is_comparable=True), DATA)
    assert {name: (ask.table, ask.of) for name, ask in asked.items()} == {
        "arm": (table, "arm"),
        "base": (table, "base"),
        "references": (table, "arm"),
    }


def mixed(column: str, **more) -> Items:
    """Two of a form and one with a random end."""
    kinds = ["card-1", "random_suffix", "card-1"]
    named = {"item_id": ["a", "b", "c"], "cluster": ["a", "b", "c"], "text": ["x", "y z", "w"]}
    return Items({**named, "is_member": [True] * 3, "repetitions": [1] * 3, column: kinds, **more})


def test_a_causal_model_is_asked_for_random_ends_after_their_own_beginnings():
    data = {"canaries": mixed("form", secret=["x", "z", "w"])}
    data["canary_references"] = mixed("cluster", secret=["x", "z", "w"])
    asked = PROBE.needs(FACTS, data)
    assert asked.pop("arm").on.n == 3
    told = {name: (ask.table, ask.on["item_id"].tolist()) for name, ask in asked.items()}
    assert told == {
        "references": (TokenTable(), ["a", "c"]),
        "ends": (Continuation(), ["b"]),
        "end_references": (Continuation(), ["b"]),
    }
    of_masked = PROBE.needs(facts(head="masked"), data)
    assert set(of_masked) == {"arm", "references"}
    assert of_masked["references"].on.n == 3
    ends = {name: items.take(np.array([1])) for name, items in data.items()}
    assert set(PROBE.needs(FACTS, ends)) == {"arm", "ends", "end_references"}


def test_a_random_end_is_ranked_by_its_own_probability_and_others_whole():
    arm = canaries([[-5.0], [-90.0], [-1.0]]).assign(form=["card-1", "random_suffix", "card-1"])
    whole = table([[-2.0], [-3.0], [-4.0]]).assign(cluster=["card-1"] * 3)
    said = {"logprob_nats": [-7.0], "n_tokens": [2]}
    ends = Rows({"item_id": ["b"], "cluster": ["b"], "form": ["random_suffix"], **said})
    theirs = {"logprob_nats": [-8.0, -6.0, -9.0, -8.5], "n_tokens": [2] * 4}
    others = Rows({"item_id": list("abcd"), "cluster": ["random_suffix"] * 4, **theirs})
    answered = PROBE.answers({"arm": arm, "references": whole, "ends": ends, "end_references": others}, FACTS)
    # ranks 4 of 3 references, 2 of 4, 1 of 3
    assert answered["exposure_bits"] == pytest.approx([np.log2(3) - np.log2(4), 1.0, np.log2(3)])
    assert answered["exposure_ceiling"] == pytest.approx(np.log2([3, 4, 3]))


def test_ends_of_one_new_token_are_asked_for_and_ranked_among_their_own():
    forms = ["new_token", "random_suffix", "new_token"]
    data = {"canaries": mixed("form", secret=["x", "z", "w"]).assign(form=forms)}
    data["canary_references"] = mixed("cluster", secret=["x", "z", "w"]).assign(cluster=forms)
    asked = PROBE.needs(FACTS, data)
    assert {name: ask.on["item_id"].tolist() for name, ask in asked.items() if name != "arm"} == {
        "ends": ["a", "b", "c"],
        "end_references": ["a", "b", "c"],
    }
    arm = canaries([[-5.0], [-90.0], [-1.0]]).assign(form=forms)
    said = Rows({**asked["ends"].on, "logprob_nats": [-2.0, -30.0, -9.0], "n_tokens": [1, 4, 1]})
    theirs = {"logprob_nats": [-3.0, -8.0, -31.0], "n_tokens": [1, 1, 4]}
    others = Rows({"item_id": list("abc"), "cluster": ["new_token", "new_token", "random_suffix"], **theirs})
    answered = PROBE.answers({"arm": arm, "ends": said, "end_references": others}, FACTS)
    # ranks 1 and 3 of 2 new tokens, 1 of 1 random end
    assert answered["exposure_bits"] == pytest.approx([1.0, 0.0, 1 - np.log2(3)])
    assert answered["exposure_ceiling"].tolist() == [1.0, 0.0, 1.0]


def test_a_classifier_is_asked_for_canaries_alone():
    asked = PROBE.needs(facts(head="classifier", task="text-classification"), DATA)
    assert {name: ask.table for name, ask in asked.items()} == {"arm": ClassLogits()}


def test_secrets_with_a_class_are_not_ranked_among_texts_without_one():
    known = facts(task="text-classification")
    assert "references" not in PROBE.needs(known, DATA)
    assert "references" in PROBE.needs(known, {**DATA, "canary_references": items(label=np.array([0, 1]))})


def test_the_score_is_the_difference_to_a_base_that_compares_else_the_loss():
    arm, base = canaries([[-1.0], [-2.0]]), canaries([[-3.0], [-2.0]])
    assert PROBE.answers({"arm": arm, "base": base}, FACTS)["score"].tolist() == [1.0, -1.0]
    assert PROBE.answers({"arm": arm}, FACTS)["score"].tolist() == [0.5, -0.5]


def test_a_score_can_be_fixed_beforehand():
    compares = facts(base_is_comparable=True)
    assert "base" not in Canaries(score="loss").needs(compares, DATA)
    assert "base" in Canaries(score="reference").needs(compares, DATA)
    with pytest.raises(NotApplicable, match="difference to the base"):
        Canaries(score="reference").needs(FACTS, DATA)


def test_the_rule_that_is_fixed_beforehand_names_the_score():
    compares = facts(base_is_comparable=True)
    told = {score: Canaries(score=score).rule(compares, 200) for score in (None, "loss", "reference")}
    assert told[None] == told["reference"] != told["loss"]
    assert "the 25 with the highest are guessed in, the 25 with the lowest out" in told["loss"]
    assert Canaries().rule(FACTS, 200) == told["loss"]


def test_without_canaries_the_probe_does_not_apply():
    with pytest.raises(NotApplicable, match="no canaries were planted"):
        PROBE.needs(FACTS, {})


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_of_guesses_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="guess_share must lie"):
        Canaries(guess_share=share)
