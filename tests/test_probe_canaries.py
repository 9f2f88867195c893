from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from probes.privacy import claimed, exposures
from probes.privacy.canaries import Canaries
from probes.privacy.continuation import Continuation
from probes.privacy.guessing import play
from probes.protocol import Facts, Items, PrivacyClaim, Rows
from probes.results import ALL, Check, Estimate, Finding, NotApplicable, NotMeasured, Series
from probes.scoring.tables import ClassLogits, SentenceLogprob, TokenTable
from probes.stats.exposure import expected_exposure, extrapolated_bits
from probes.stats.skew_normal import SkewNormal
from probes.summary import findings
from reports.figures.bounds import bounds
from reports.figures.captions import heading, note
from reports.figures.charts import can_draw
from reports.figures.looks import Side
from reports.figures.readings import numbers
from reports.words.format import NO_BREAK

FACTS = Facts(arm="a-twin", role="twin", seed=0, head="causal", task="causal-lm")
PROBE = Canaries()
RANKS = 1000
FIT = ("reference_location", "reference_scale", "reference_shape", "reference_misfit")
GAME = play(np.arange(1000.0), np.arange(1000) % 2 == 0, 100, delta=1e-5, level=0.95)


def facts(**more) -> Facts:
    return Facts(**{**vars(FACTS), **more})


def claiming(epsilon: float, delta: float = 1e-5, accounted: bool = True) -> Facts:
    return facts(claim=PrivacyClaim(epsilon=epsilon, delta=delta, accounted=accounted))


def ragged(rows) -> np.ndarray:
    found = np.empty(len(rows), dtype=object)
    found[:] = [np.asarray(row, dtype=float) for row in rows]
    return found


def rows(score, is_member, copies=1, bits=None) -> Rows:
    n = len(score)
    ids = [f"c{i:05d}" for i in range(n)]
    return Rows(
        {
            "item_id": ids,
            "cluster": ids,
            "is_member": np.asarray(is_member, dtype=bool),
            "repetitions": np.broadcast_to(copies, n).copy(),
            "score": np.asarray(score, dtype=float),
            "exposure_bits": np.full(n, np.nan) if bits is None else np.asarray(bits, dtype=float),
            "exposure_ceiling": np.full(n, np.nan if bits is None else np.log2(RANKS)),
            **dict.fromkeys(("log_perplexity", *FIT), np.full(n, np.nan)),
        }
    )


def guessed(m: int, r: int, v: int) -> Rows:
    """Canaries in the order of their scores, of whose r guesses v are right."""
    is_member = np.arange(m) % 2 == 0
    is_member[: r // 2], is_member[m - r // 2 :] = False, True
    is_member[: r - v] = True  # the wrong ones
    return rows(np.arange(m), is_member)


def drawn(seed: int, shift: float, n: int = 400) -> Rows:
    rng = np.random.default_rng(seed)
    is_member = rng.random(n) < 0.5
    return rows(rng.normal(size=n) + shift * is_member, is_member)


def secrets(seed: int, learnt: float, n: int = 20, copies: int = 4) -> Rows:
    """Secrets with random ranks, of which a share of the planted ones ranks first."""
    rng = np.random.default_rng(seed)
    is_member = np.arange(n) < n // 2
    rank = np.where(is_member & (rng.random(n) < learnt), 1, rng.integers(1, RANKS + 2, n))
    return rows(rng.normal(size=n) + is_member, is_member, copies, np.log2(RANKS) - np.log2(rank))


def found(some: Rows, probe=PROBE, known=FACTS, **more) -> list:
    return findings(probe, some, known, np.random.default_rng(0), **more)


def estimate(given, metric: str, part: str = ALL):
    return next(one.estimate for one in given if isinstance(one, Finding) and (one.metric, one.slice) == (metric, part))


def check(given, name: str = "claimed epsilon") -> Check | None:
    return next((one for one in given if isinstance(one, Check) and one.name == name), None)


def series(given, kind: str) -> Side | None:
    drawn = [Side(name="a", look="private", series=s) for s in given if isinstance(s, Series) and s.kind == kind]
    return drawn[0] if drawn else None


def table(logprobs, **more) -> Rows:
    ids = [f"i{i}" for i in range(len(logprobs))]
    moments = {name: ragged([np.ones(len(row)) for row in logprobs]) for name in ("means", "deviations")}
    columns = {"item_id": ids, "cluster": ids, "logprobs": ragged(logprobs), "zlib_bytes": np.full(len(ids), 20)}
    return Rows({**columns, **moments, **more})


def right(score, is_member, guesses: int) -> int:
    return play(score, is_member, guesses, delta=1e-5, level=0.95).right


def canaries(logprobs, form="card-1", copies=1) -> Rows:
    n = len(logprobs)
    return table(
        logprobs,
        is_member=np.arange(n) % 2 == 0,
        repetitions=np.full(n, copies),
        form=[form] * n if isinstance(form, str) else form,
    )


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


# The three verdicts


@pytest.mark.parametrize(
    ("epsilon", "outcome", "said"),
    [
        (1.0, "refuted", "81 or more refute it"),
        (2.0, "not refuted", "94 or more refute it"),
        (8.0, "could not have been refuted", "the largest that could have been is 3.465"),
    ],
)
def test_a_claim_is_refuted_or_not_or_beyond_reach(epsilon, outcome, said):
    verdict = check(found(guessed(1000, 100, 90), Canaries(guess_share=0.1), claiming(epsilon)))
    assert verdict.outcome == outcome
    assert said in verdict.evidence
    assert "90 of 100 guesses right" in verdict.evidence


def test_the_verdict_agrees_with_the_bound_and_the_ceiling():
    for seen in (60, 75, 90, 100):
        game = replace(GAME, right=seen)
        for epsilon in np.linspace(0.05, 4, 30):
            outcome = next(claimed.verdicts(game, PrivacyClaim(epsilon=epsilon, delta=1e-5))).outcome
            assert (outcome == "refuted") == (epsilon < game.bound.value)
            assert (outcome == "could not have been refuted") == (epsilon >= game.ceiling)


@pytest.mark.parametrize("right", [90, 50])
def test_the_largest_that_could_have_been_refuted_is_said_whatever_the_verdict(right):
    said = next(claimed.verdicts(replace(GAME, right=right), PrivacyClaim(epsilon=1.0, delta=1e-5))).evidence
    assert "the largest that could have been refuted is 3.465" in said


def test_the_claimed_mechanism_falls_by_its_own_curve_where_no_guesses_could_refute_its_epsilon():
    claim = PrivacyClaim(epsilon=4.668, delta=1e-5, noise_multiplier=0.8, sample_rate=0.02, steps=500, accounted=True)
    told = [check(found(guessed(1000, 250, v), known=facts(claim=claim)), "claimed mechanism") for v in (236, 237)]
    assert [one.outcome for one in told] == ["not refuted", "refuted"]
    assert "noise multiplier 0.8, sample rate 0.02 and 500 steps; 237 of 250" in told[1].evidence
    assert "237 or more refute it" in told[1].evidence
    assert check(found(guessed(1000, 250, 250), known=facts(claim=claim))).outcome == "could not have been refuted"


def test_a_claim_without_a_mechanism_is_tested_as_a_gaussian_one():
    claim = PrivacyClaim(epsilon=4.668, delta=1e-5)
    told = list(claimed.verdicts(replace(GAME, guesses=250, right=242), claim))[1]
    assert told.outcome == "refuted"
    assert "a Gaussian mechanism with epsilon 4.668 at delta 1e-05" in told.evidence
    assert "242 or more refute it" in told.evidence


def test_a_claim_that_promises_nothing_has_no_curve():
    assert claimed.curve_of(PrivacyClaim(epsilon=1000.0, delta=1e-5)) is None
    outcomes = [one.outcome for one in claimed.verdicts(GAME, PrivacyClaim(epsilon=1000.0, delta=1e-5))]
    assert outcomes == ["could not have been refuted"]


# How many canaries a claim needs


def test_the_canaries_a_claim_needs_just_refute_it():
    claim, probe = PrivacyClaim(epsilon=2.0, delta=1e-5), Canaries()
    needed = {name: said.if_all_right for name, said in probe.canaries_sufficing(claim).items()}
    for m, outcome in (
        (needed[claimed.OF_EPSILON], "refuted"),
        (needed[claimed.OF_EPSILON] - 4, "could not have been refuted"),
    ):
        some = guessed(m, probe.guesses(m), probe.guesses(m))
        assert check(found(some, probe, facts(claim=claim))).outcome == outcome
    assert needed[claimed.OF_MECHANISM] < needed[claimed.OF_EPSILON]


def test_a_claim_that_is_out_of_reach_says_how_many_canaries_could_reach_it():
    said = check(found(guessed(200, 50, 50), known=claiming(4.0))).evidence
    needed = Canaries().canaries_sufficing(claiming(4.0).claim)[claimed.OF_EPSILON]
    assert needed.if_realistic is None  # 95 % right is within what epsilon 4 allows: e⁴ / (1 + e⁴) = 0.98
    assert said.endswith(
        f"; it could be refuted with a guess share of 0.25 by {needed.if_all_right} canaries if all guesses "
        "were right, by no number if 95 % were"
    )


def test_a_weaker_claim_says_also_how_many_canaries_a_realistic_leak_takes():
    said = Canaries().canaries_sufficing(PrivacyClaim(epsilon=2.0, delta=1e-5))["claimed epsilon"]
    assert (said.if_all_right, said.if_realistic) == (92, 476)
    assert said.words.endswith(f"by {said.if_realistic:,}, 4 times in 5, if 95 % were")


def test_where_a_share_of_guesses_refutes_nothing_one_is_named_that_could():
    # By hand: at epsilon 8 and delta 1e-5 no number does at a share of 0.25 or 0.5, and 12,978 do at 1.
    none, at_half = (
        Canaries().canaries_sufficing(PrivacyClaim(epsilon=8.0, delta=delta))["claimed epsilon"]
        for delta in (1e-5, 5e-6)
    )
    assert (none.if_all_right, none.other_share, none.with_other_share) == (None, 1.0, 12_978)
    assert (at_half.other_share, at_half.with_other_share) == (0.5, 25_955)
    assert none.words.endswith("up to 100,000, with one of 1 by 12,978 if all guesses were right")


def test_deltas_of_many_canaries_may_put_a_claim_out_of_reach_for_good():
    needed = Canaries().canaries_sufficing(PrivacyClaim(epsilon=8.0, delta=1e-5))
    assert needed[claimed.OF_EPSILON].if_all_right is None
    assert needed[claimed.OF_MECHANISM].if_all_right == pytest.approx(1093, abs=2)
    said = check(found(guessed(200, 50, 50), known=claiming(8.0))).evidence
    assert "with a guess share of 0.25 by no number of canaries up to 100,000" in said


def test_weaker_leaks_need_more_canaries():
    claim = PrivacyClaim(epsilon=1.0, delta=1e-5)
    by_right = [Canaries().canaries_sufficing(claim, right=r)[claimed.OF_EPSILON] for r in (0.95, 0.9, 0.8, 0.7)]
    needed = [by_right[0].if_all_right, *(said.if_realistic for said in by_right)]
    assert needed[:4] == sorted(needed[:4])
    assert needed[4] is None  # below e / (1 + e) = 0.73


# Bounds that assume more, and evidence


def test_the_bounds_that_assume_more_stand_beside_the_one_that_gates_judge():
    given = found(guessed(1000, 100, 90), Canaries(guess_share=0.1))
    gaussian, independent = (estimate(given, f"epsilon_if_{what}") for what in ("gaussian", "independent"))
    assert gaussian.value == pytest.approx(2.456405, abs=1e-6)
    assert (gaussian.low, gaussian.high) == (gaussian.value, None)
    assert gaussian.detectable == pytest.approx(5.549028, abs=1e-6)
    assert independent.low < independent.value < independent.high
    assert "no bound" in independent.method


def test_a_night_without_a_claim_has_no_evidence_against_one():
    assert not [one for one in found(guessed(400, 100, 60)) if getattr(one, "metric", "") == "log_e_value"]


@pytest.mark.parametrize("accounted", [True, False])
def test_the_evidence_against_a_claim_rises_with_the_right_guesses(accounted):
    mechanism = {"noise_multiplier": 4.0, "sample_rate": 1.0, "steps": 1} if accounted else {}
    claim = PrivacyClaim(epsilon=1.0, delta=1e-5, accounted=accounted, **mechanism)
    values = [estimate(found(guessed(400, 100, v), known=facts(claim=claim)), "log_e_value") for v in (50, 80, 90, 100)]
    assert [v.value for v in values] == sorted(v.value for v in values)
    assert values[0].value < 0 < 3 < values[-1].value
    assert values[-1].null.p == pytest.approx(np.exp(-values[-1].value))
    assert ("DP-SGD" if accounted else "any mechanism") in values[0].method


# Extrapolated exposure


def fitted_secrets(seed: int, shift: float, n: int = 40, references: int = 400, shape: float = 2.0) -> Rows:
    """Canaries whose planted half is liked better than all that the model has not seen by a shift."""
    rng = np.random.default_rng(seed)
    space = SkewNormal(40.0, 3.0, shape)
    liked = np.where(np.arange(n) % 2 == 0, shift, 0.0)
    arm = canaries([[-x] for x in space.sample(rng, (n,)) - liked], copies=4)
    pool = table([[-x] for x in space.sample(rng, (references,))]).assign(cluster=["card-1"] * references)
    return PROBE.answers({"arm": arm, "references": pool}, FACTS)


def test_extrapolated_exposure_is_that_of_the_space_of_secrets():
    rows = fitted_secrets(0, 4.0, references=2000)
    given = estimate(found(rows), "exposure_extrapolated", "repetitions=4")
    planted = rows["log_perplexity"][rows["is_member"]]
    truth = extrapolated_bits(planted, SkewNormal(40.0, 3.0, 2.0)).mean()
    assert given.low < truth < given.high
    assert given.value > estimate(found(rows), "exposure", "repetitions=4").value
    assert given.null.value == pytest.approx(1.4427, abs=1e-4)


def test_a_secret_nobody_learnt_has_the_extrapolated_exposure_of_chance():
    given = estimate(found(fitted_secrets(1, 0.0)), "exposure_extrapolated", "repetitions=4")
    assert given.low < given.null.value < given.high


def test_nothing_is_extrapolated_more_than_ten_bits_beyond_the_ranks():
    given = estimate(found(fitted_secrets(2, 60.0)), "exposure_extrapolated", "repetitions=4")
    assert given.value == pytest.approx(np.log2(400) + 10)
    assert given.high is None
    assert "20 lie beyond what is extrapolated and count as 18.6 bits" in given.method


def test_a_form_whose_references_fit_no_skew_normal_is_not_extrapolated():
    rng = np.random.default_rng(0)
    pool = table([[-x] for x in rng.exponential(size=400)]).assign(cluster=["card-1"] * 400)
    rows = PROBE.answers({"arm": canaries([[-1.0]] * 20), "references": pool}, FACTS)
    given = next(one for one in found(rows) if isinstance(one, Finding) and one.metric == "exposure_extrapolated")
    assert given.estimate.reason.startswith("the log-perplexities of 400 references are not skew-normal (p = 0.005")
    assert (given.coverage.asked, given.coverage.answered) == (10, 0)


def test_few_references_are_not_extrapolated():
    pool = table([[-float(x)] for x in range(20)]).assign(cluster=["card-1"] * 20)
    given = estimate(
        found(PROBE.answers({"arm": canaries([[-1.0]] * 20), "references": pool}, FACTS)),
        "exposure_extrapolated",
        "repetitions=1",
    )
    assert "too few references for a fit" in given.reason


def test_a_claim_that_was_not_accounted_here_is_said_to_be_claimed():
    some, probe = guessed(1000, 100, 90), Canaries(guess_share=0.1)
    accounted, claimed = (check(found(some, probe, claiming(2.0, accounted=a))).evidence for a in (True, False))
    assert "accounted here" in accounted
    assert "claimed, not accounted here" not in accounted
    assert "epsilon 2 at delta 1e-05 (claimed, not accounted here)" in claimed


def test_one_canary_is_too_few_to_guess_and_the_claim_is_not_checked():
    given = found(rows([1.0], [True]), known=claiming(8.0))
    assert estimate(given, "epsilon_lower_bound").reason == "canaries planted at most once: 1, too few to guess any"
    assert estimate(given, "auc", "repetitions=1").reason.startswith("canaries planted and left out: 1 and 0")
    assert check(given).outcome == "not checked"
    assert series(given, "epsilon") is None


def test_the_level_reaches_the_bound_and_the_verdict():
    some, probe = guessed(1000, 100, 95), Canaries(guess_share=0.1)
    bound = estimate(found(some, probe, level=0.99), "epsilon_lower_bound")
    assert (bound.level, bound.value) == (0.99, pytest.approx(1.917159, abs=1e-6))
    outcomes = [check(found(some, probe, claiming(2.0), level=level)).outcome for level in (0.95, 0.99)]
    assert outcomes == ["refuted", "not refuted"]


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


# Exposure


def test_exposure_is_the_rank_among_references_in_bits():
    # References 1 to 16 and perplexities 0, 3.5 and 20 have ranks 1, 4 and 17.
    references = table([[-float(x)] for x in range(1, 17)]).assign(cluster=["card-1"] * 16)
    answered = PROBE.answers({"arm": canaries([[0.0], [-3.5], [-20.0]]), "references": references}, FACTS)
    np.testing.assert_allclose(answered["exposure_bits"], [4, 2, -0.087463], atol=1e-6)
    assert answered["exposure_ceiling"].tolist() == [4.0] * 3


def test_perplexity_is_that_of_the_whole_text_however_many_tokens_it_has():
    references = table([[-3.0], [-4.0], [-5.0]]).assign(cluster=["card-1"] * 3)
    answered = PROBE.answers({"arm": canaries([[-2.0, -2.5]]), "references": references}, FACTS)
    assert answered["exposure_bits"][0] == pytest.approx(np.log2(3) - np.log2(3))


def test_a_secret_is_ranked_among_its_own_form_and_other_canaries_are_not_ranked():
    references = table([[-1.0], [-9.0], [-1.0]]).assign(cluster=["card-1", "digits-2", "card-1"])
    arm = canaries([[-5.0]] * 3, ["card-1", "digits-2", "random"])
    answered = PROBE.answers({"arm": arm, "references": references}, FACTS)
    np.testing.assert_allclose(answered["exposure_bits"], [np.log2(2 / 3), 0.0, np.nan])


def test_a_masked_models_exposure_is_by_pseudo_log_likelihood():
    names = {"item_id": ["a", "b", "c"], "cluster": ["card-1"] * 3}
    told = Rows({**names, "logprob_nats": np.array([-1.0, -3.0, None], dtype=object), "n_tokens": np.array([2, 2, 0])})
    arm = told.assign(is_member=[True, False, True], repetitions=[1] * 3, form=["card-1"] * 3)
    bits, ceilings = exposures.exposures(arm, told)
    np.testing.assert_allclose(bits, [np.log2(2 / 1.5), np.log2(2 / 2.5), np.nan])
    assert ceilings.tolist() == [1.0] * 3  # the reference without a score is none


def test_secrets_that_are_all_known_by_heart_have_an_interval_below_the_ceiling():
    some = secrets(0, 1.0)
    exposure = estimate(found(some), "exposure", "repetitions=4")
    assert exposure.value == exposure.high == np.log2(RANKS)
    assert 6.5 < exposure.low < 7.5  # 1 - 0.025 ** (1 / 10) of the range could have been missed
    assert (exposure.n, exposure.unit_of_n) == (10, "planted secret")
    assert exposure.null.value == pytest.approx(expected_exposure(RANKS))


def test_secrets_that_are_known_show_a_gain():
    gain = estimate(found(secrets(0, 1.0)), "exposure_gain", "repetitions=4")
    assert gain.low > 4
    assert gain.null.p == pytest.approx(1 / 5000)  # none of 4,999 shuffles is like it
    assert 0 < gain.detectable < gain.value


def test_the_gains_p_value_is_that_of_all_ways_the_coins_could_have_fallen():
    bits = np.array([4.0, 3.5, 0.2, 3.0, 1.0, 0.5, 0.1, 0.3, 2.0, 1.5])
    is_planted = np.arange(10) < 5
    gains = [bits[list(c)].mean() * 2 - bits.mean() * 2 for c in combinations(range(10), 5)]
    every = np.mean(np.abs(gains) >= abs(gains[0]) - 1e-9)
    gain = exposures.gain(bits, np.full(10, 10.0), is_planted, np.random.default_rng(0), level=0.95)
    assert gain.null.p == pytest.approx(every, abs=0.015)


def test_secrets_that_nobody_learnt_show_no_gain_more_often_than_the_level_says(monkeypatch):
    monkeypatch.setattr(exposures, "SHUFFLES", 199)
    gains = [estimate(found(secrets(seed, 0.0)), "exposure_gain", "repetitions=4") for seed in range(100)]
    assert sum(gain.null.p <= 0.05 for gain in gains) <= 11  # more than 11 of 100 would happen once in 200 times
    assert sum(gain.low > 0 for gain in gains) <= 7  # one side only


@pytest.mark.parametrize(("learnt", "at_least"), [(0.0, 0.91), (0.5, 0.91), (0.9, 0.94), (1.0, 0.94)])
def test_the_gains_interval_covers_the_truth_with_ten_secrets_a_side(learnt, at_least, monkeypatch):
    monkeypatch.setattr(exposures, "SHUFFLES", 1)
    truth = learnt * (np.log2(RANKS) - expected_exposure(RANKS))
    covered = 0
    for seed in range(200):
        some = secrets(1000 + seed, learnt)
        rng = np.random.default_rng(seed)
        gain = exposures.gain(some["exposure_bits"], some["exposure_ceiling"], some["is_member"], rng, level=0.95)
        covered += gain.low <= truth <= gain.high
    assert covered / 200 >= at_least  # a standard error at 95 % is 0.015


def test_too_few_secrets_are_not_measured():
    given = found(secrets(0, 1.0, n=8))
    assert estimate(given, "exposure", "repetitions=4").reason == "planted secrets: 4, where an interval needs 5"
    assert estimate(given, "exposure_gain", "repetitions=4").reason.startswith("secrets planted and left out: 4 and 4")


def test_without_references_exposure_is_not_measured():
    given = found(drawn(0, 1.0))
    for metric in ("exposure", "exposure_gain"):
        assert estimate(given, metric) == NotMeasured(reason="no canary is a secret that could be ranked among others")
    assert series(given, "exposure") is None


def test_a_classifier_has_no_exposure_and_says_so():
    given = found(drawn(0, 1.0), known=facts(head="classifier", task="text-classification"))
    assert "classification head" in estimate(given, "exposure").reason


def test_secrets_that_were_all_unscored_are_not_measured():
    some = secrets(0, 1.0)
    given = found(some.assign(exposure_bits=np.full(some.n, np.nan)))
    assert isinstance(estimate(given, "exposure", "repetitions=4"), NotMeasured)
    assert series(given, "exposure") is None


def test_statistics_are_the_values_found():
    some = secrets(4, 0.5, 40)
    given, values = found(some), PROBE.statistics(some, np.ones(some.n))
    assert set(values) == {(metric, "repetitions=4") for metric in ("auc", "exposure", "exposure_gain")}
    for (metric, part), value in values.items():
        assert estimate(given, metric, part).value == pytest.approx(value)
    assert all(isinstance(estimate(given, *key), Estimate) for key in values)


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
