from itertools import combinations

import numpy as np
import pytest

from probes.privacy.membership import Membership, null_of_tpr
from probes.protocol import Facts, Items, PrivacyClaim, Rows
from probes.results import Estimate, Finding, NotApplicable, NotMeasured, Series
from probes.scoring.tables import ClassLogits, SentenceLogprob, TokenTable
from probes.summary import findings
from reports.captions import note
from reports.charts import can_draw
from reports.looks import Side
from reports.readings import numbers

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
    assert "Others accused where 1 % may be: 0.81 %, which is a true rate of 0.17 to 2.34 %." in note([side])
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
    assert {name: (ask.table, ask.of) for name, ask in both.items()} == {"arm": (table, "arm"), "base": (table, "base")}
    assert set(alone) == {"arm"}


def test_without_a_pool_the_probe_does_not_apply():
    with pytest.raises(NotApplicable, match="no audit pool"):
        PROBE.needs(FACTS, {})


def test_a_classifier_without_labels_cannot_be_asked():
    with pytest.raises(NotApplicable, match="needs labels"):
        PROBE.needs(Facts(**{**vars(FACTS), "head": "classifier"}), {"pool": items()})


@pytest.mark.parametrize("fields", [{"fprs": ()}, {"fprs": (0.0,)}, {"fprs": (1.0,)}, {"share": 0.0}, {"share": 1.1}])
def test_parameters_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match="must"):
        Membership(**fields)
