from itertools import combinations

import numpy as np
import pytest

from probes.privacy.blind import BlindScores
from probes.privacy.membership import Membership, null_of_tpr
from probes.protocol import Facts, Items, PrivacyClaim, Rows
from probes.results import Check, Estimate, Finding, NotApplicable, NotMeasured, Series
from probes.scoring.tables import ClassLogits, SentenceLogprob, TokenTable
from probes.summary import findings
from reports.figures.captions import note
from reports.figures.charts import can_draw
from reports.figures.looks import Side
from reports.figures.readings import numbers

FACTS = Facts(arm="a-twin", role="twin", seed=0, head="causal", task="causal-lm", base_is_comparable=True)
PROBE = Membership()


def ragged(rows) -> np.ndarray:
    found = np.empty(len(rows), dtype=object)
    found[:] = [np.asarray(row, dtype=float) for row in rows]
    return found


def rows(score, is_member, cluster=None, attack="loss") -> Rows:
    ids = [f"r{i:05d}" for i in range(len(score))]
    return Rows(
        {
            "item_id": ids,
            "cluster": ids if cluster is None else cluster,
            "is_member": np.asarray(is_member, dtype=bool),
            f"score:{attack}": np.asarray(score, dtype=float),
        }
    )


def drawn(seed: int, shift: float, n: int = 800) -> Rows:
    """Records of a pool whose members score higher by `shift` standard deviations."""
    rng = np.random.default_rng(seed)
    is_member = rng.random(n) < 0.5
    return rows(rng.normal(size=n) + shift * is_member, is_member)


def found(some: Rows, probe=PROBE, facts=FACTS, **more) -> list:
    return findings(probe, some, facts, np.random.default_rng(0), **({"draws": 200} | more))


def estimate(given, metric: str, part: str):
    return next(one.estimate for one in given if isinstance(one, Finding) and (one.metric, one.slice) == (metric, part))


def items(**more) -> Items:
    return Items({"item_id": ["a", "b"], "cluster": ["a", "b"], "text": ["x", "y"], "is_member": [True, False], **more})


def token_table(logprobs, is_member, **more) -> Rows:
    n = len(logprobs)
    moments = {"means": ragged([np.full(len(row), -2.0) for row in logprobs])}
    moments["deviations"] = ragged([np.ones(len(row)) for row in logprobs])
    ids = [f"r{i}" for i in range(n)]
    columns = {"item_id": ids, "cluster": ids, "is_member": is_member, "logprobs": ragged(logprobs)}
    moments["is_top"] = ragged([np.asarray(row) > -1.5 for row in logprobs])
    return Rows({**columns, **moments, "zlib_bytes": np.full(n, 20), **more})


# Four lines of scores whose rates are known: 8 members and 8 non-members, each 40 times over.
IN = [0.95, 0.9, 0.8, 0.7, 0.6, 0.55, 0.4, 0.3]
OUT = [0.92, 0.65, 0.5, 0.45, 0.35, 0.25, 0.2, 0.1]
KNOWN = rows((IN + OUT) * 40, ([True] * 8 + [False] * 8) * 40)


def test_the_true_positive_rate_is_the_largest_whose_false_positive_rate_does_not_exceed_the_one_asked():
    values = Membership(fprs=(0.01, 0.25)).statistics(KNOWN, np.ones(KNOWN.n))
    assert values["auc", "attack=loss"] == 0.75
    assert values["tpr_at_fpr", "attack=loss,fpr=0.01"] == 0.125  # the nearest threshold would say 0
    assert values["tpr_at_fpr", "attack=loss,fpr=0.25"] == 0.75  # and 0.5


def test_an_exact_tie_counts_one_half():
    values = PROBE.statistics(rows(np.zeros(40), [True, False] * 20), np.ones(40))
    assert values["auc", "attack=loss"] == 0.5


def test_swapping_members_and_non_members_gives_one_minus_the_auc():
    some = drawn(3, 0.4)
    swapped = some.assign(is_member=~some["is_member"])
    there, back = (estimate(found(r), "auc", "attack=loss") for r in (some, swapped))
    assert back.value == pytest.approx(1 - there.value)
    assert (back.low, back.high) == pytest.approx((1 - there.high, 1 - there.low))


def test_a_leak_is_found():
    given = found(drawn(5, 1.0))
    assert estimate(given, "auc", "attack=loss").low > 0.7
    few = estimate(given, "tpr_at_fpr", "attack=loss,fpr=0.01")
    assert few.low > few.null.value
    assert few.null.p < 1e-6


def test_noise_is_not_found_more_often_than_the_level_says():
    noise = [found(drawn(seed, 0.0), draws=50) for seed in range(40)]
    aucs = [estimate(given, "auc", "attack=loss").null.p for given in noise]
    few = [estimate(given, "tpr_at_fpr", "attack=loss,fpr=0.01").null.p for given in noise]
    for ps in (aucs, few):  # more than 5 of 40 at 5 % would happen once in 70 times
        assert sum(p <= 0.05 for p in ps) <= 5
        assert sum(p <= 0.5 for p in ps) > 5


def test_the_interval_of_a_rate_knows_that_the_threshold_could_have_been_another():
    rate = estimate(found(drawn(5, 1.0), draws=500), "tpr_at_fpr", "attack=loss,fpr=0.01")
    given_the_threshold = 2 * 1.96 * np.sqrt(rate.value * (1 - rate.value) / 400)
    assert rate.high - rate.low > 1.3 * given_the_threshold


def test_a_rate_with_too_few_non_members_is_not_measured():
    given = found(drawn(5, 1.0))
    assert estimate(given, "tpr_at_fpr", "attack=loss,fpr=0.001").reason.endswith("at least 3,000 are needed")
    assert ("tpr_at_fpr", "attack=loss,fpr=0.001") not in PROBE.statistics(drawn(5, 1.0), np.ones(800))


def test_the_p_value_of_a_rate_is_that_of_all_orders_of_members_and_non_members():
    places = list(combinations(range(9), 4))  # where the 4 members stand among 9 scores

    def coins(members):
        return np.isin(np.arange(9), members)

    score = np.arange(9.0)
    rates = {m: sum(i > sorted(set(range(9)) - set(m))[-2] for i in m) for m in places}  # one of five may be accused
    for members in places[::7]:
        null = null_of_tpr(score, coins(members), 0.2, is_independent=True)
        assert null.p == pytest.approx(np.mean([rates[other] >= rates[members] for other in places]))
        assert null.value == pytest.approx(np.mean([rate / 4 for rate in rates.values()]))


def test_records_that_share_a_coin_get_no_p_value_and_a_wider_interval():
    own = drawn(7, 1.0)
    shared = rows(np.repeat(own["score:loss"], 4), np.repeat(own["is_member"], 4), np.repeat(own["cluster"], 4))
    few, many = (found(r) for r in (own, shared))
    assert estimate(many, "tpr_at_fpr", "attack=loss,fpr=0.01").null.p is None
    auc, same = estimate(few, "auc", "attack=loss"), estimate(many, "auc", "attack=loss")
    assert (auc.n, auc.unit_of_n, same.n, same.unit_of_n) == (800, "record", 800, "cluster")
    assert same.low == pytest.approx(auc.low)


def test_a_record_without_a_score_is_left_out_and_counted():
    some = drawn(5, 1.0)
    score = some["score:loss"].copy()
    score[::10] = np.nan
    holed, without = found(some.assign(**{"score:loss": score})), found(some.take(~np.isnan(score)))
    assert estimate(holed, "auc", "attack=loss") == estimate(without, "auc", "attack=loss")
    coverage = {f.slice: f.coverage for f in holed if isinstance(f, Finding)}
    for part in ("attack=loss", "attack=loss,fpr=0.01", "attack=loss,fpr=0.001"):
        assert (coverage[part].asked, coverage[part].answered) == (800, 720)
        assert dict(coverage[part].missing) == {"no token could be scored": 80}


@pytest.mark.parametrize("is_member", [np.zeros(40), np.ones(40)])
def test_without_members_or_without_non_members_nothing_is_measured(is_member):
    given = found(rows(np.arange(40.0), is_member))
    assert all(isinstance(one.estimate, NotMeasured) for one in given)
    assert len(given) == 3


def test_a_pool_in_which_nothing_was_scored_is_not_measured():
    given = found(rows(np.full(40, np.nan), [True, False] * 20))
    assert all(isinstance(one.estimate, NotMeasured) for one in given)


def test_one_record_is_not_measured():
    assert all(isinstance(one.estimate, NotMeasured) for one in found(rows([1.0], [True])))


def test_the_level_reaches_every_interval():
    given = found(drawn(5, 1.0), level=0.99)
    assert {one.estimate.level for one in given if isinstance(getattr(one, "estimate", None), Estimate)} == {0.99}


def test_members_and_non_members_are_resampled_apart():
    # Half of the draws would otherwise have fewer non-members than the rate needs.
    is_member = np.arange(600) < 300
    rate = estimate(
        found(rows(np.random.default_rng(0).normal(size=600), is_member)), "tpr_at_fpr", "attack=loss,fpr=0.01"
    )
    assert isinstance(rate, Estimate)


def test_the_curve_is_what_its_figure_reads():
    facts = Facts(**{**vars(FACTS), "claim": PrivacyClaim(epsilon=8.0, delta=1e-5)})
    curve = next(one for one in found(drawn(5, 1.0), facts=facts) if isinstance(one, Series))
    side = Side(name="a", look="private", series=curve)
    assert curve.name == "roc:loss"
    assert can_draw(side)
    assert (side.note("epsilon"), side.note("delta")) == (8.0, 1e-5)
    assert side.note("n_members") + side.note("n_nonmembers") == 800
    said = note([side]).replace("\N{NO-BREAK SPACE}", " ")
    assert "Others accused where 1 % may be: 0.81 %, which is a true rate of 0.17 to 2.34 %." in said
    assert len(numbers(side)) == 3


def test_without_a_claim_no_envelope_is_drawn():
    curve = next(one for one in found(drawn(5, 1.0)) if isinstance(one, Series))
    assert curve.notes["epsilon"] is None


def test_a_causal_model_answers_with_every_attack():
    arm = token_table([[-1.0, -3.0], [-2.0, -2.0]], [True, False])
    base = token_table([[-2.0, -3.0], [-2.0, -2.0]], [True, False])
    answered = PROBE.answers({"arm": arm, "base": base}, FACTS)
    assert answered["score:loss"].tolist() == [-2.0, -2.0]
    assert answered["score:reference"].tolist() == [0.5, 0.0]
    assert answered["score:zlib"].tolist() == [-0.2, -0.2]
    assert answered["score:min_k"].tolist() == [-3.0, -2.0]
    assert answered["score:min_k_plus_plus"].tolist() == [-1.0, 0.0]
    assert answered["score:error_zone"].tolist() == [0.0, 0.0]  # what rose in the first is its first choice
    assert answered["score:windows"].tolist() == [1.0, 0.5]


def test_a_classifier_answers_with_the_loss_of_its_label():
    ids = ["a", "b", "c"]
    columns = {"item_id": ids, "cluster": ids, "is_member": [True, False, True], "label": np.array([0, 1, 0])}
    arm = Rows({**columns, "logits": ragged([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])})
    answered = PROBE.answers({"arm": arm}, FACTS)
    right, wrong = -np.log1p(np.exp(-2)), -np.log1p(np.exp(2))
    np.testing.assert_allclose(answered["score:loss"], [right, wrong, wrong])
    assert "score:reference" not in answered


def test_a_base_with_the_same_head_adds_the_difference_whatever_the_head():
    ids = ["a", "b"]
    columns = {"item_id": ids, "cluster": ids, "is_member": [True, False]}
    arm, base = (
        Rows({**columns, "label": np.array([0, 1]), "logits": ragged([[gap, 0.0], [0.0, gap]])}) for gap in (2.0, 1.0)
    )
    answered = PROBE.answers({"arm": arm, "base": base}, FACTS)
    np.testing.assert_allclose(answered["score:reference"], np.log1p(np.exp(-1.0)) - np.log1p(np.exp(-2.0)))


def test_a_masked_model_answers_with_its_pseudo_log_likelihood_per_token():
    ids = ["a", "b", "c"]
    columns = {"item_id": ids, "cluster": ids, "is_member": [True, False, True]}
    scored = {"logprob_nats": np.array([-6.0, -6.0, None], dtype=object), "n_tokens": np.array([3, 2, 0])}
    answered = PROBE.answers({"arm": Rows({**columns, **scored})}, FACTS)
    np.testing.assert_array_equal(answered["score:loss"], [-2.0, -3.0, np.nan])


@pytest.mark.parametrize(
    ("head", "table"), [("causal", TokenTable()), ("masked", SentenceLogprob()), ("classifier", ClassLogits())]
)
def test_the_arm_is_asked_as_its_head_answers_and_so_is_a_base_that_compares(head, table):
    data = {"pool": items(label=np.array([0, 1]))}
    both = PROBE.needs(Facts(**{**vars(FACTS), "head": head}), data)
    alone = PROBE.needs(Facts(**{**vars(FACTS), "head": head, "base_is_comparable": False}), data)
    assert {name: (ask.table, ask.of) for name, ask in both.items()} == {
        "arm": (table, "arm"),
        "base": (table, "base"),
        "blind": (BlindScores(), "data"),
    }
    assert set(alone) == {"arm", "blind"}


def test_without_a_pool_the_probe_does_not_apply():
    with pytest.raises(NotApplicable, match="no audit pool"):
        PROBE.needs(FACTS, {})


def test_a_classifier_without_labels_cannot_be_asked():
    with pytest.raises(NotApplicable, match="needs labels"):
        PROBE.needs(Facts(**{**vars(FACTS), "head": "classifier"}), {"pool": items()})


def several(seed: int, shifts: dict[str, float], n: int = 800, blind: float = 0.0, probe=PROBE) -> Rows:
    """What a causal model's probe answers: attacks whose members score higher, and a reader who never saw a model."""
    rng = np.random.default_rng(seed)
    is_member = rng.random(n) < 0.5
    gains = max(shifts.values(), default=0.0)
    arm = token_table([[gains * member + rng.normal()] for member in is_member], is_member)
    table = arm.assign(blind_score=rng.normal(size=n) + blind * is_member)
    base = token_table(np.zeros((n, 1)), is_member)
    return probe.answers({"arm": arm, "base": base, "blind": table}, FACTS)


def test_the_attack_is_chosen_on_one_half_of_the_clusters_and_reported_on_the_other():
    some = several(1, {"loss": 1.0})
    reported = ~np.isnan(some["score:chosen"])
    assert 300 < reported.sum() < 500
    assert (reported == ~some["chooses"]).all()
    best = some["attack"][0]
    np.testing.assert_array_equal(some["score:chosen"][reported], some[f"score:{best}"][reported])
    given = found(some)
    half = estimate(given, "auc", "attack=chosen")
    assert (half.n, half.low > 0.6) == (int(reported.sum()), True)
    coverage = next(one.coverage for one in given if isinstance(one, Finding) and one.slice == "attack=chosen")
    assert dict(coverage.missing) == {"the attack was chosen on them": 800 - int(reported.sum())}


def test_the_best_of_many_attacks_on_noise_is_no_leak_where_it_is_reported():
    clear = 0
    for seed in range(40):
        some = several(seed, {}, n=300)
        score, member = some["score:chosen"], some["is_member"]
        told = ~np.isnan(score)
        clear += estimate(found(rows(score[told], member[told])), "auc", "attack=loss").null.p <= 0.05
    assert clear <= 5  # more would happen once in 70 times


def test_the_check_says_which_attack_was_chosen_and_how_many_beat_a_coin_together():
    given = found(several(1, {"loss": 1.0}))
    said = next(one for one in given if isinstance(one, Check) and "chosen" in one.name)
    assert "by its AUC on " in said.evidence
    assert said.evidence.endswith("of 7 attacks differ from a coin at 5 % over all of them (Holm)")


def test_a_single_attack_is_not_chosen():
    assert "score:chosen" not in PROBE.answers({"arm": classifier_table()}, FACTS)


def classifier_table(ids=("a", "b", "c")) -> Rows:
    columns = {"item_id": list(ids), "cluster": list(ids), "is_member": [True, False, True][: len(ids)]}
    logits = ragged([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]][: len(ids)])
    return Rows({**columns, "label": np.array([0, 1, 0])[: len(ids)], "logits": logits})


def test_where_the_texts_alone_tell_members_every_result_is_withheld():
    given = found(several(1, {"loss": 1.0}, blind=1.0))
    assert estimate(given, "blind_auc", "").low > 0.6
    others = [one for one in given if isinstance(one, Finding) and one.metric != "blind_auc"]
    assert len(others) == 8 * 3
    assert all(one.estimate.reason.startswith("withheld: a classifier that never sees the model") for one in others)
    assert not [one for one in given if isinstance(one, Series)]
    assert next(one for one in given if isinstance(one, Check)).outcome == "fail"
    assert not PROBE.statistics(several(1, {"loss": 1.0}, blind=1.0), np.ones(800))


def test_where_the_texts_tell_nothing_results_stand():
    given = found(several(1, {"loss": 1.0}))
    assert estimate(given, "auc", "attack=loss").low > 0.6
    assert next(one for one in given if isinstance(one, Check) and "coins alone" in one.name).outcome == "pass"


def test_each_figure_says_what_the_attacker_needs():
    said = {a: PROBE.access(("auc", f"attack={a}"), FACTS) for a in ("loss", "reference", "label_only", "chosen")}
    assert said["loss"] == "token probabilities"
    assert said["reference"] == "token probabilities of the model and of its base"
    assert said["label_only"].startswith("decisions alone")
    assert PROBE.access(("tpr_at_fpr", "attack=loss,fpr=0.01"), FACTS) == "token probabilities"
    assert PROBE.access(("blind_auc", ""), FACTS) == "the texts alone, and no model"


def test_attacks_with_passes_of_their_own_ask_about_copies_of_the_pool():
    asked = Membership(passes=("lowercase", "neighbours"), copies=3).needs(FACTS, {"pool": items()})
    assert (asked["lowercase"].on.n, asked["neighbours"].on.n) == (2, 6)
    assert {asked[name].table for name in ("lowercase", "neighbours")} == {SentenceLogprob()}


def test_a_record_is_liked_better_than_its_neighbours_by_the_mean_difference():
    probe = Membership(passes=("neighbours",), copies=2)
    arm = token_table([[-1.0], [-2.0]], [True, False])
    near = Rows({"logprob_nats": np.array([-2.0, -4.0, -2.0, -2.0]), "n_tokens": np.ones(4)})
    assert probe.answers({"arm": arm, "neighbours": near}, FACTS)["score:neighbours"].tolist() == [2.0, 0.0]


def test_decisions_alone_are_votes_of_a_record_and_its_copies():
    copies = Rows({"logits": ragged([[1.0, 0.0], [0.0, 1.0]] * 3), "label": np.array([0, 0, 1, 1, 0, 0])})
    answered = PROBE.answers(
        {"arm": classifier_table(), "label_only": copies}, Facts(**{**vars(FACTS), "head": "classifier"})
    )
    np.testing.assert_allclose(answered["score:label_only"], [2 / 3, 1 / 3, 1 / 3])


def with_references(count: int, gain: float = 1.0, n: int = 400) -> dict[str, Rows]:
    """A twin and its references, each of which likes better by `gain` what it was trained on; texts differ too."""
    rng = np.random.default_rng(0)
    ids, hard = [f"r{i:03d}" for i in range(n)], 3 * rng.random(n)
    coins = rng.random((n, count // 2 + 1)) < 0.5

    def answered(is_inside, own=hard) -> Rows:
        logprobs = -6 - own + gain * is_inside + rng.normal(0, 0.3, len(own))
        names = ids[: len(own)]
        columns = {"item_id": names, "cluster": names, "is_member": np.asarray(is_inside, dtype=bool)}
        return Rows({**columns, "logprob_nats": logprobs, "n_tokens": np.ones(len(own), dtype=int)})

    others = 3 * rng.random(100)
    nobody = np.zeros(100)
    found = {"arm": answered(coins[:, -1]), "population": answered(nobody, others)}
    for number in range(count):
        found[f"reference:{number}"] = answered(coins[:, number // 2] ^ bool(number % 2))
        found[f"population:reference:{number}"] = answered(nobody, others)
    return found


MASKED = Facts(**{**vars(FACTS), "head": "masked", "base_is_comparable": False})


def test_reference_models_find_members_among_texts_of_unlike_difficulty():
    tables = with_references(16)
    values = PROBE.statistics(PROBE.answers(tables, MASKED), np.ones(400))
    alone = values["auc", "attack=loss"]
    for attack in ("rmia", "info_rmia", "lira_offline", "lira_online"):
        assert values["auc", f"attack={attack}"] > alone + 0.1


def test_references_that_know_nothing_find_nothing():
    given = found(PROBE.answers(with_references(4, gain=0.0), MASKED))
    for attack in ("rmia", "info_rmia"):
        estimated = estimate(given, "auc", f"attack={attack}")
        assert estimated.low < 0.5 < estimated.high


def test_few_references_are_too_few_for_lira():
    answered = PROBE.answers(with_references(2), MASKED)
    assert not np.isnan(answered["score:rmia"]).any()
    assert not [column for column in answered if "lira" in column]


def test_references_are_asked_about_the_pool_with_their_own_coins_and_about_a_population():
    data = {"pool": items(), "population": items()} | {f"reference:{k}": items() for k in range(2)}
    asked = Membership(references=2).needs(MASKED, data)
    assert asked["population"].of == "arm"
    for name in ("reference:0", "reference:1"):
        assert (asked[name].of, asked[f"population:{name}"].of) == (name, name)


def test_an_attack_that_the_head_cannot_answer_says_why():
    probe = Membership(passes=("label_only",))
    assert "label_only" not in probe.needs(FACTS, {"pool": items()})
    reason = estimate(found(several(1, {}), probe=probe), "auc", "attack=label_only").reason
    assert reason == "an attack on decisions alone needs a classification head"


@pytest.mark.parametrize(
    "fields",
    [
        {"fprs": ()},
        {"fprs": (0.0,)},
        {"fprs": (1.0,)},
        {"share": 0.0},
        {"share": 1.1},
        {"passes": ("guess",)},
        {"copies": 0},
        {"references": 1},
        {"references": -2},
        {"rmia_scale": 1.5},
    ],
)
def test_parameters_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match="must"):
        Membership(**fields)
