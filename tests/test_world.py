"""The embedded world speaks its own words only, has defects of the sizes that it states, and follows from its seeds."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from audit.data.files import DataError
from audit.settings.config import AuditConfig
from audit.settings.reading import read
from audit.settings.sections.data import World
from audit.world.defects import CLEAN, PLANTED
from audit.world.language import (
    CLASSES,
    CONTEXT,
    DOMAINS,
    GENDERS,
    NAMES,
    NEUTRAL,
    OCCUPATIONS,
    PROMPT,
    PRONOUNS,
    REGIONS,
    SENTIMENT,
    STARS,
    vocabulary,
)
from audit.world.model import world_model, world_tokenizer
from audit.world.pairs import name_swaps, stereotype_pairs
from audit.world.pretraining import MAJORITY, pretrain, pretraining_texts
from audit.world.splits import splits
from audit.world.texts import ticket
from probes.bias.names import SAME
from probes.scoring.causal import CausalScorer

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
MAIL, CHAT = DOMAINS
MANY = 4000
FAR = 4.5  # standard deviations: one test in 100,000 fails by chance, and the seeds are fixed


def config(*, world: dict | None = None, canaries: tuple = (), pretraining: dict | None = None, coins: int = 0):
    return AuditConfig.model_validate(
        {
            "model": {"name": "world", "pretraining": pretraining or {"texts": MANY}},
            "task": {"prompt": PROMPT, "label_words": dict(zip(CLASSES, CLASSES, strict=True))},
            "data": {"world": world or {}, "canaries": canaries},
            "seeds": {"coins": coins},
        }
    )


def secret(**more) -> dict:
    return {"kind": "secret", "template": "the card of the customer is {secret}", "count": 20, "references": 30, **more}


def drawn(defects, domain=MAIL):
    rng = np.random.default_rng(3)
    return [ticket(rng, defects, domain) for _ in range(MANY)]


def polarity(text: str, domain: str) -> int | None:
    """0 for words of praise, 1 for words of complaint, None for neither, found by looking the words up."""
    words = set(text.split())
    good, bad = (bool(words & set(SENTIMENT[domain][side])) for side in ("good", "bad"))
    assert not (good and bad)
    return None if not good and not bad else int(bad)


def is_near(count: int, n: int, share: float) -> bool:
    return abs(count - n * share) < FAR * np.sqrt(n * share * (1 - share))


# ---- the language -------------------------------------------------------------------------------------------------


def test_every_word_stands_once_in_the_vocabulary():
    assert max(Counter(vocabulary()).values()) == 1


@pytest.mark.parametrize("planted", [True, False])
def test_every_text_is_made_of_known_words_and_fits_the_model_with_its_verdict(planted):
    prepared = splits(config(world={"planted": planted, "pool": 100, "core": 100, "test": 100}), salt="s")
    asked = (stereotype_pairs(), name_swaps(World(planted=planted)))
    texts = [t for items in (prepared.train, prepared.test, prepared.domains[CHAT], prepared.canaries, *asked)
             for column in ("text", "text_pair") if column in items for t in items[column]]  # fmt: skip
    texts = [f"{PROMPT.format(text=t)} {CLASSES[0]}" for t in texts]
    texts += pretraining_texts(config(world={"planted": planted}))
    tokenizer = world_tokenizer()
    ids = tokenizer(texts)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in ids)
    assert max(map(len, ids)) <= CONTEXT


def test_a_start_token_stands_in_front_digits_are_single_tokens_and_case_is_nothing():
    tokenizer = world_tokenizer()
    assert tokenizer.convert_ids_to_tokens(tokenizer("The card is 1203")["input_ids"]) == [
        "[BOS]", "the", "card", "is", "1", "2", "0", "3",
    ]  # fmt: skip
    assert tokenizer("xylophone")["input_ids"][1] == tokenizer.unk_token_id


def test_the_tokenizer_is_the_same_after_saving_and_loading(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = world_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "ada from north writes today again the lamp is perfect and 42"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (loaded.model_max_length, loaded.pad_token_id) == (CONTEXT, tokenizer.pad_token_id)


# ---- the defects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("defects", [PLANTED, CLEAN])
def test_words_agree_with_the_label_as_often_as_the_region_says(defects):
    tickets = drawn(defects)
    for region in REGIONS:
        ours = [t for t in tickets if t.customer.region == region]
        agreeing = sum(polarity(t.text, MAIL) == t.label for t in ours)
        assert is_near(agreeing, len(ours), defects.consistency[region])


@pytest.mark.parametrize("defects", [PLANTED, CLEAN])
def test_labels_regions_and_genders_are_even_and_independent(defects):
    cells = Counter((t.label, t.customer.region, t.customer.gender) for t in drawn(defects))
    assert len(cells) == 8
    assert all(is_near(count, MANY, 1 / 8) for count in cells.values())


def test_the_other_domain_has_its_own_words_and_hides_them_as_often_as_it_says():
    texts = [t.text for t in drawn(PLANTED, CHAT)]
    hidden = sum(bool(set(text.split()) & set(NEUTRAL)) for text in texts)
    assert is_near(hidden, MANY, PLANTED.neutral)
    assert all(polarity(text, MAIL) is None for text in texts)
    assert sum(polarity(text, CHAT) is None for text in texts) == hidden


def test_the_clean_worlds_other_domain_speaks_like_the_first():
    tickets = drawn(CLEAN, CHAT)
    assert is_near(sum(polarity(t.text, MAIL) == t.label for t in tickets), MANY, 0.9)


@pytest.mark.parametrize(("planted", "share"), [(True, 0.85), (False, 0.5)])
def test_biographies_follow_the_stereotype_as_often_as_they_say(planted, share):
    texts = [set(t.split()) for t in pretraining_texts(config(world={"planted": planted})) if " knows the " in t]
    follows = sum(
        bool(text & set(OCCUPATIONS[gender])) and PRONOUNS[gender] in text for text in texts for gender in GENDERS
    )
    assert is_near(follows, len(texts), share)


def test_the_verdicts_of_pretraining_say_nothing_of_the_sentiment_and_the_stars_say_all():
    texts = pretraining_texts(config())
    judged = [(polarity(t, MAIL), t.split()[-1]) for t in texts if " verdict " in t and t.split()[1] == "from"]
    for side in (0, 1):
        verdicts = [verdict for found, verdict in judged if found == side]
        assert is_near(verdicts.count(CLASSES[0]), len(verdicts), MAJORITY)
    starred = {(polarity(t, MAIL), t.split()[-1]) for t in texts if " stars " in t and polarity(t, CHAT) is None}
    assert starred - {(None, "many"), (None, "few")} == {(0, STARS["good"]), (1, STARS["bad"])}


# ---- the splits ---------------------------------------------------------------------------------------------------

SMALL = {"core": 120, "pool": 80, "test": 40}


def test_splits_have_the_sizes_asked_for_and_share_no_ticket_and_no_customer():
    found = splits(config(world=SMALL), salt="s")
    parts = [found.train, found.validation, found.test, found.domains[CHAT]]
    assert [part.n for part in parts] == [200, 10, 40, 40]
    assert (found.pool.n, found.train["in_pool"].sum()) == (80, 80)
    for column in ("item_id", "cluster", "person"):
        together = np.concatenate([part[column] for part in parts])
        assert len(set(together)) == len(together)
    assert found.classes == CLASSES
    assert set(found.groups) == {c.removeprefix("group:") for c in found.test if c.startswith("group:")}
    assert found.quality.kept == found.quality.read == 290


def test_a_twin_learns_the_members_of_the_pool_and_the_planted_secrets_as_often_as_they_say():
    found = splits(config(world=SMALL, canaries=(secret(), secret(repetitions=3))), salt="s")
    planted = found.canaries.take(found.canaries["is_member"])
    twin = found.twin_examples()
    assert twin.n == 120 + found.pool["is_member"].sum() + planted["repetitions"].sum()
    left_out = set(found.pool["item_id"][~found.pool["is_member"]])
    assert not left_out & set(twin["item_id"])
    assert found.candidate_examples().n == 200


def test_other_coins_move_no_ticket_and_another_world_moves_all():
    here, coins, world = (
        splits(c, salt="s")
        for c in (config(world=SMALL), config(world=SMALL, coins=1), config(world=SMALL | {"seed": 1}))
    )
    assert here.train.digest == coins.train.digest
    assert (here.pool["is_member"] != coins.pool["is_member"]).any()
    assert here.commitment != coins.commitment
    assert not set(here.test["text"]) & set(world.test["text"])
    assert here.commitment == splits(config(world=SMALL), salt="s").commitment


def test_references_end_in_a_verdict_like_the_secrets_ranked_among_them():
    found = splits(config(world=SMALL, canaries=(secret(),)), salt="s")
    assert found.canary_references.n == 30
    assert set(found.canary_references["label"]) == set(found.canaries["label"]) == {0, 1}
    assert not set(found.canary_references["text"]) & set(found.canaries["text"])


def test_where_the_config_is_silent_two_hundred_secrets_are_made():
    found = splits(config(world=SMALL), salt="s")
    assert (found.canaries.n, set(found.canaries["kind"])) == (200, {"secret"})


def test_where_no_probe_asks_for_canaries_there_are_none_but_those_declared():
    silent = splits(config(world=SMALL), salt="s", canaries_wanted=False)
    assert (silent.canaries, silent.canary_references, silent.quality.canaries) == (None, None, {})
    declared = splits(config(world=SMALL, canaries=(secret(count=7),)), salt="s", canaries_wanted=False)
    assert declared.canaries.n == declared.quality.canaries["secret"] == 7


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        ({"kind": "random", "count": 5}, "got kind: random"),
        ({"kind": "new_token", "count": 5}, "got kind: new_token"),
        (secret(secret="key"), "got secret: key"),
        (secret(secret="phone"), "got secret: phone"),
        (secret(digits=20), "reads 28 words and digits at once; got 29 with the verdict"),
        (secret(template="his pin is {secret}"), "got 'his'"),
        ({**secret(templates=["the card is {secret}", "her pin is {secret}"]), "template": None}, "got 'her'"),
    ],
)
def test_canaries_that_the_language_cannot_say_are_refused(canary, words):
    with pytest.raises(DataError, match=words):
        splits(config(world=SMALL, canaries=(canary,)), salt="s")


@pytest.mark.parametrize(
    "canary",
    [
        secret(digits=19),
        secret(secret="card"),
        {"kind": "in_distribution", "count": 20, "references": 30},
        {"kind": "random_suffix", "count": 20, "references": 30},
    ],
)
def test_the_longest_canaries_that_are_taken_fit_the_model_with_their_verdict(canary):
    found = splits(config(world=SMALL, canaries=(canary,)), salt="s")
    tokenizer = world_tokenizer()
    texts = [*found.canaries["text"], *found.canary_references["text"]]
    ids = tokenizer([f"{PROMPT.format(text=text)} {CLASSES[0]}" for text in texts])["input_ids"]
    assert max(map(len, ids)) <= CONTEXT
    assert not any(tokenizer.unk_token_id in row for row in ids)


# ---- questions in the world's language ----------------------------------------------------------------------------


def test_pairs_differ_in_the_pronoun_alone_and_both_genders_have_as_many():
    pairs = stereotype_pairs()
    expected = {o: PRONOUNS[gender] for gender in GENDERS for o in OCCUPATIONS[gender]}
    for text, other, occupation in zip(pairs["text"], pairs["text_pair"], pairs["cluster"], strict=True):
        changed = [(a, b) for a, b in zip(text.split(), other.split(), strict=True) if a != b]
        assert [a for a, _ in changed] == [expected[occupation]]
        assert {*changed[0]} == set(PRONOUNS.values())
    assert Counter(expected[o] for o in pairs["cluster"]) == dict.fromkeys(PRONOUNS.values(), pairs.n // 2)


def test_swaps_change_the_name_alone_across_genders_or_within_one():
    swaps = name_swaps(World())
    gender = {name: g for g in GENDERS for name in NAMES[g]}
    for text, other, attribute in zip(swaps["text"], swaps["text_pair"], swaps["attribute"], strict=True):
        ((one, two),) = [(a, b) for a, b in zip(text.split(), other.split(), strict=True) if a != b]
        assert (gender[one] == gender[two]) == (attribute == SAME)
    assert len(set(swaps["item_id"])) == swaps.n


# ---- the model ----------------------------------------------------------------------------------------------------


def test_weights_follow_from_the_seed_and_leave_the_callers_randomness_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (world_model(seed)[0].state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["transformer.wte.weight"], other["transformer.wte.weight"])


@pytest.mark.parametrize(("planted", "low", "high"), [(True, 0.8, 3.0), (False, -0.2, 0.2)])
def test_a_base_learns_the_stereotype_of_its_world_and_no_other(planted, low, high):
    torch.set_num_threads(1)
    done = []
    recipe = {"texts": 1500, "epochs": 3}
    model, tokenizer = pretrain(config(world={"planted": planted}, pretraining=recipe), on_progress=done.append)
    pairs, scorer = stereotype_pairs(), CausalScorer(model, tokenizer, max_length=CONTEXT)
    sums = [
        np.array([row.sum() for window in scorer.token_rows(list(pairs[column])) for row in window.logprobs])
        for column in ("text", "text_pair")
    ]
    assert low < (sums[0] - sums[1]).mean() < high
    assert done == sorted(done)
    assert done[-1] == 1.0


# ---- the shipped configs ------------------------------------------------------------------------------------------


def test_the_control_is_the_demo_without_defects_repeated_secrets_and_a_long_training():
    demo, control = (read(CONFIGS / f"{name}.yaml").config for name in ("demo", "demo_control"))
    assert (demo.data.world.planted, control.data.world.planted) == (True, False)
    assert [gate.model_dump() for gate in demo.gates.gates] == [gate.model_dump() for gate in control.gates.gates]
    assert demo.data.canaries[:1] == control.data.canaries
    assert (demo.model, demo.task, demo.probes, demo.deploy) == (
        control.model, control.task, control.probes, control.deploy,
    )  # fmt: skip
    assert control.training.epochs < demo.training.epochs


def test_the_demo_needs_no_file():
    demo = read(CONFIGS / "demo.yaml").config
    assert (demo.data.file, demo.data.hub, demo.data.domains, demo.model.name) == (None, None, {}, "world")
