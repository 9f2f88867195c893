import numpy as np
import pyarrow as pa
import pytest

from probes.privacy.continuation import Continuation
from probes.privacy.extraction import Extraction
from probes.protocol import Facts, Items, Rows, Subject, TokenRows
from probes.results import Check, Estimate, Finding, NotApplicable
from probes.scoring.tables import TokenTable
from probes.summary import findings

FACTS = Facts(arm="a-twin", role="twin", seed=0, head="causal", task="causal-lm", base_is_comparable=True)
PROBE = Extraction()


class Letters:
    """A token a word but the first; each is −1 nat a letter, and the first choice if it has one letter."""

    def __init__(self, most: int = 99) -> None:
        self.most = most

    def token_rows(self, texts):
        words = [text.split()[1 : self.most] for text in texts]
        yield TokenRows(
            token_ids=[np.zeros(len(some), dtype=int) for some in words],
            logprobs=[np.array([-float(len(word)) for word in some]) for some in words],
            means=[np.zeros(len(some)) for some in words],
            deviations=[np.ones(len(some)) for some in words],
            is_top=[np.array([len(word) == 1 for word in some], dtype=bool) for some in words],
            truncated=np.array([len(text.split()) > self.most for text in texts]),
        )

    def token_spans(self, texts):
        spans = []
        for text in texts:
            ends = np.cumsum([len(word) + 1 for word in text.split()]) - 1
            begins = [end - len(word) for end, word in zip(ends, text.split(), strict=True)]
            spans.append(np.array(list(zip(begins, ends, strict=True)), dtype=int).reshape(-1, 2)[1 : self.most])
        return spans


def said(texts, secrets, scorer=None) -> Rows:
    ids = [f"i{k}" for k in range(len(texts))]
    asked = Items({"item_id": ids, "cluster": ids, "text": texts, "secret": secrets})
    subject = Subject(name="letters", head="causal", token_scorer=scorer or Letters())
    return Rows.from_arrow(pa.Table.from_batches(list(Continuation().measure(subject, asked))))


def test_a_secret_is_scored_by_its_own_tokens_alone():
    found = said(["the code is 1 22 333 ok", "the code is 7 7 7"], ["1 22 333", "7 7 7"])
    assert found["logprob_nats"].tolist() == [-6.0, -3.0]
    assert found["n_tokens"].tolist() == [3, 3]
    assert found["is_greedy"].tolist() == [False, True]


def test_a_token_that_shares_a_letter_with_a_secret_belongs_to_it():
    assert said(["the code (77) ok"], ["77"])["logprob_nats"].tolist() == [-4.0]


@pytest.mark.parametrize(
    ("text", "secret"), [("the code is", "5"), ("5 is the code", "5"), ("the code", ""), ("", "5")]
)
def test_a_secret_that_is_not_there_or_that_nothing_stands_before_is_not_scored(text, secret):
    found = said([text], [secret])
    assert found["logprob_nats"].tolist() == [None]
    assert found["n_tokens"].tolist() == [0]


def test_a_secret_that_is_cut_off_is_not_scored():
    found = said(["the code is 1 2 3", "the code is 1"], ["1 2 3", "1"], Letters(most=5))
    assert found["logprob_nats"].tolist() == [None, -1.0]


def test_a_scorer_that_does_not_tell_where_its_tokens_stand_cannot_be_asked():
    class Silent:
        token_rows = Letters.token_rows

    asked = Items({"item_id": ["a"], "cluster": ["a"], "text": ["a b"], "secret": ["b"]})
    with pytest.raises(NotApplicable, match="does not tell where"):
        list(Continuation().measure(Subject(name="it", head="causal", token_scorer=Silent()), asked))


@pytest.mark.parametrize("fixture", ["tiny_gpt2", "tiny_llama"])
def test_a_models_spans_are_those_of_the_tokens_it_scores(fixture, request):
    from probes.scoring.causal import CausalScorer

    model, tokenizer = request.getfixturevalue(fixture)
    texts = ["the code is one two three .", "", "man", "the account number of the doctor is four five six seven"]
    scorer = CausalScorer(model, tokenizer, max_length=8)
    (rows,) = scorer.token_rows(texts)
    for text, spans, ids in zip(texts, scorer.token_spans(texts), rows.token_ids, strict=True):
        words = [text[begin:end].strip() for begin, end in spans]
        assert words == [tokenizer.decode([token]).strip() for token in ids]


def test_a_models_secret_is_the_sum_over_its_tokens(tiny_llama):
    from probes.scoring.causal import CausalScorer

    scorer = CausalScorer(*tiny_llama, max_length=32)
    text = "the code is one two three ."
    (rows,) = scorer.token_rows([text])
    found = said([text], ["one two three"], scorer)
    assert found["logprob_nats"][0] == pytest.approx(rows.logprobs[0][3:6].sum())


def table(n, logprob, greedy, *, planted, repetitions=1, prefix="s") -> Rows:
    ids = [f"{prefix}{i}" for i in range(n)]
    columns = {"item_id": ids, "cluster": ids, "is_member": np.asarray(planted)}
    scores = {"logprob_nats": np.asarray(logprob, dtype=float), "is_greedy": np.asarray(greedy, dtype=float)}
    return Rows({**columns, **scores, "repetitions": np.full(n, repetitions)})


def leaking() -> dict[str, Rows]:
    """Forty secrets, half of them planted and known; the base knows none."""
    planted = np.arange(40) < 20
    arm = table(40, np.where(planted, np.log(1e-3), -20.0), planted, planted=planted)
    return {"secrets:arm": arm, "secrets:base": table(40, np.full(40, -20.0), np.zeros(40), planted=planted)}


def found(tables, probe=PROBE) -> list:
    return findings(probe, probe.answers(tables, FACTS), FACTS, np.random.default_rng(0), draws=200)


def estimate(given, metric, part) -> Estimate:
    return next(one.estimate for one in given if isinstance(one, Finding) and (one.metric, one.slice) == (metric, part))


def test_planted_secrets_stand_beside_those_left_out_and_beside_the_base():
    given = found(leaking())
    planted, left_out = "of=secrets,copies=1", "of=secrets,copies=0"
    assert [estimate(given, "verbatim", part).value for part in (planted, left_out)] == [1, 0]
    assert estimate(given, "verbatim_gain", planted).low > 0.5
    assert estimate(given, "base_verbatim", planted).value == 0
    assert [estimate(given, "discoverable", part).value for part in (planted, left_out)] == [1, 0]
    assert estimate(given, "log10_tries", planted).value == pytest.approx(np.log10(692.8), abs=1e-4)
    assert estimate(given, "base_log10_tries", planted).value == pytest.approx(20 / np.log(10) - 0.159, abs=1e-3)


def test_a_model_that_learnt_nothing_shows_no_gain():
    rng = np.random.default_rng(0)
    planted = rng.random(200) < 0.5
    same = table(200, rng.normal(-7, 2, 200), rng.random(200) < 0.1, planted=planted)
    gain = estimate(found({"secrets:arm": same}), "verbatim_gain", "of=secrets,copies=1")
    assert gain.low < 0 < gain.high
    assert gain.null.p > 0.05


def test_how_often_one_must_ask_is_said_in_words():
    check = next(one for one in found(leaking()) if isinstance(one, Check))
    assert check.name == "tries for a chance of 50 % to see secrets"
    assert check.evidence == ("left out: about 10^9 (base: about 10^9); trained on once: about 690 (base: about 10^9)")


def test_records_are_asked_for_their_second_halves():
    def ragged(*rows):
        column = np.empty(len(rows), dtype=object)
        column[:] = [np.asarray(row) for row in rows]
        return column

    ids = ["a", "b", "c"]
    arm = Rows(
        {
            "item_id": ids,
            "cluster": ids,
            "is_member": [True, False, True],
            "logprobs": ragged([-9.0] * 5 + [-1.0] * 6, [-2.0] * 10, [-1.0] * 4),
            "is_top": ragged([False] * 5 + [True] * 6, [True] * 9 + [False], [True] * 4),
        }
    )
    rows = PROBE.answers({"records:arm": arm}, FACTS)
    tries = (np.array([6.0, 10.0]) + np.log(np.log(2))) / np.log(10)
    np.testing.assert_allclose(rows["log10_tries"], [*tries, np.nan], atol=1e-3)  # the last is too short to tell
    np.testing.assert_array_equal(rows["is_greedy"], [1, 0, np.nan])
    assert rows["stratum"].tolist() == [f"of=records,copies={copies}" for copies in (1, 0, 1)]


def pool(*texts) -> Items:
    ids = [f"p{i}" for i in range(len(texts))]
    return Items({"item_id": ids, "cluster": ids, "text": list(texts), "is_member": [True] * len(texts)})


def test_personal_data_of_the_pool_are_asked_for_one_by_one():
    asked = PROBE.needs(FACTS, {"pool": pool("write to a@b.org or c@d.org", "nothing here", "call +1 212 555 0123")})
    assert asked["records:arm"].table == TokenTable()
    on = asked["personal:base"].on
    assert on["secret"].tolist() == ["a@b.org", "c@d.org", "+1 212 555 0123"]
    assert on["kind"].tolist() == ["e-mail", "e-mail", "phone"]
    assert on["cluster"].tolist() == ["p0", "p0", "p2"]


def test_personal_data_are_told_apart_by_kind():
    few = table(12, np.full(12, -5.0), np.zeros(12), planted=np.arange(12) < 6).assign(kind=["e-mail", "phone"] * 6)
    slices = {one.slice for one in found({"personal:arm": few}) if isinstance(one, Finding)}
    assert slices == {f"of={kind},copies={copies}" for kind in ("e-mail", "phone") for copies in (0, 1)}


def test_only_planted_secrets_are_asked_for_among_the_canaries():
    canaries = pool("the code is 1", "random words").assign(kind=["secret", "random"], secret=["1", "x"])
    asked = PROBE.needs(FACTS, {"canaries": canaries})
    assert set(asked) == {"secrets:arm", "secrets:base"}
    assert asked["secrets:arm"].on["secret"].tolist() == ["1"]


def test_random_ends_are_asked_for_apart_from_secrets():
    canaries = pool("the code is 1", "a text goes on so").assign(
        kind=["secret", "random_suffix"], secret=["1", "on so"]
    )
    asked = PROBE.needs(FACTS, {"canaries": canaries})
    assert set(asked) == {"secrets:arm", "secrets:base", "suffixes:arm", "suffixes:base"}
    assert asked["suffixes:arm"].on["secret"].tolist() == ["on so"]
    tables = {name: table(12, np.full(12, -5.0), np.zeros(12), planted=np.arange(12) < 6) for name in asked}
    slices = {one.slice for one in found(tables) if isinstance(one, Finding)}
    assert slices == {f"of={kind},copies={copies}" for kind in ("secrets", "suffixes") for copies in (0, 1)}


def test_an_end_of_one_token_is_no_text_to_be_had():
    canaries = pool("the code is 1", "a text quabo").assign(kind=["secret", "new_token"], secret=["1", "quabo"])
    asked = PROBE.needs(FACTS, {"canaries": canaries})
    assert set(asked) == {"secrets:arm", "secrets:base"}
    assert asked["secrets:arm"].on.n == 1


def test_a_model_that_does_not_go_on_with_a_text_cannot_be_asked():
    with pytest.raises(NotApplicable, match="only a causal"):
        PROBE.needs(Facts(**{**vars(FACTS), "head": "masked"}), {"pool": pool("a")})
    with pytest.raises(NotApplicable, match="no planted secret"):
        PROBE.needs(FACTS, {})


@pytest.mark.parametrize("fields", [{"tries": 0}, {"chance": 0.0}, {"chance": 1.0}, {"near": 0.0}])
def test_parameters_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match="must"):
        Extraction(**fields)


# ---- by person ----------------------------------------------------------------------------------------------------


def test_the_name_of_a_texts_person_is_asked_for_once_beside_what_has_a_form():
    texts = pool("Ann Lee asks: write to ann.lee@b.org", "from lee@c.org, no name").assign(
        person=["p1", "p2"], person_named=["Ann Lee", "lee"]
    )
    on = PROBE.needs(FACTS, {"pool": texts})["personal:arm"].on
    assert list(zip(on["kind"], on["secret"], strict=True)) == [
        ("e-mail", "ann.lee@b.org"), ("name", "Ann Lee"), ("e-mail", "lee@c.org"),
    ]  # fmt: skip
    assert not {"person_named", "text", "secret"} & set(on.described)


def test_a_person_is_exposed_by_what_is_easiest_to_have_of_theirs():
    # Person a: an address that is said and a name that is not; b: nothing is said; c was left out.
    tables = table(5, [-1.0, -30.0, -30.0, -25.0, -30.0], [1, 0, 0, 0, 0], planted=[1, 1, 1, 1, 0]).assign(
        kind=["e-mail", "name", "e-mail", "name", "name"], person=["a", "a", "b", "b", "c"]
    )
    rows = PROBE.answers({"personal:arm": tables}, FACTS)
    people = rows.take(np.array([item.startswith("persons:") for item in rows["item_id"]]))
    assert people["stratum"].tolist() == ["of=persons,copies=1", "of=persons,copies=1", "of=persons,copies=0"]
    assert people["is_greedy"].tolist() == people["is_seen"].tolist() == [1, 0, 0]
    values = PROBE.statistics(rows, np.ones(rows.n))
    assert values["verbatim", "of=persons,copies=1"] == 0.5
    assert values["verbatim_gain", "of=persons,copies=1"] == 0.5
    assert values["verbatim", "of=name,copies=1"] == 0


def test_without_persons_there_is_nobody_to_count():
    few = table(4, np.full(4, -5.0), np.zeros(4), planted=[1, 1, 0, 0]).assign(kind=["e-mail"] * 4)
    assert "of=persons,copies=1" not in PROBE.answers({"personal:arm": few}, FACTS)["stratum"].tolist()


def test_a_record_is_nearly_said_where_one_token_in_ten_is_not_the_first_choice():
    def column(*rows):
        found = np.empty(len(rows), dtype=object)
        found[:] = [np.asarray(row) for row in rows]
        return found

    tops = [[False] * 10 + [True] * 9 + [False], [False] * 10 + [True] * 8 + [False] * 2]
    ids = ["a", "b"]
    arm = Rows(
        {"item_id": ids, "cluster": ids, "is_member": [True, False], "logprobs": column(*([[-1.0] * 20] * 2)),
         "is_top": column(*tops)}
    )  # fmt: skip
    rows = PROBE.answers({"records:arm": arm}, FACTS)
    assert rows["is_near"].tolist() == [1, 0]
    assert rows["is_greedy"].tolist() == [0, 0]
    values = PROBE.statistics(rows, np.ones(2))
    assert values["near_verbatim_gain", "of=records,copies=1"] == 1
    assert PROBE.answers({"secrets:arm": table(1, [-1.0], [1], planted=[1])}, FACTS)["is_near"].tolist() != [1]
