"""Training whole arms: what comes out, that it repeats, and that a killed one continues."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification, GPTNeoXConfig, GPTNeoXForCausalLM

from audit.training.setup import ShuffledDraws, learning_rate
from audit.training.spec import BitFit, Examples, Frozen, Full, HeadOnly, LayerDecay, Lora, PrivacySpec, TrainingSpec
from audit.training.train import train

GOOD, BAD = "the good nice movie was great", "a terrible bad sad film was poor today"
LABELLED = Examples(
    texts=[GOOD, BAD, f"he liked it and {GOOD}", f"she hated it so {BAD}"] * 10, labels=[1, 0, 1, 0] * 10
)
UNLABELLED = Examples(texts=LABELLED.texts)
CLASSIFY = TrainingSpec(
    task="text-classification",
    head="classifier",
    max_length=16,
    epochs=3,
    batch_size=8,
    micro_batch_size=3,
    learning_rate=1e-2,
)
CAUSAL = replace(CLASSIFY, task="causal-lm", head="causal")
BY_WORD = replace(CLASSIFY, head="causal", prompt="{text} label :", label_words=("bad", "good"), label_loss_weight=10.0)
MASKED = replace(CLASSIFY, task="masked-lm", head="masked")
PRIVATE = PrivacySpec(noise_multiplier=0.5, delta=1e-3, reproducible_seed=5)


class Killed(Exception):  # noqa: N818 - it is an event, not an error
    """Stands in for a process that dies."""


def kill_at(step):
    def on_progress(progress):
        if progress.step == step:
            raise Killed

    return on_progress


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def arms():
    """(fixture, examples, recipe, privacy) of arms of every kind."""
    yield "tiny_bert_classifier", LABELLED, CLASSIFY, None
    yield "tiny_bert_classifier", LABELLED, CLASSIFY, PRIVATE
    yield "tiny_bert_classifier", LABELLED, replace(CLASSIFY, strategy=Lora(r=2)), PRIVATE
    yield "tiny_bert_masked", UNLABELLED, MASKED, None
    yield "tiny_bert_masked", UNLABELLED, MASKED, PRIVATE
    yield "tiny_gpt2", UNLABELLED, replace(CAUSAL, optimizer="sgd", momentum=0.9, schedule="constant"), None
    yield "tiny_gpt2", LABELLED, replace(BY_WORD, optimizer="sgd", momentum=0.9), PRIVATE
    yield "tiny_gpt2_classifier", LABELLED, replace(CLASSIFY, strategy=Frozen(layers=1)), PRIVATE
    yield "tiny_bert_classifier", LABELLED, replace(CLASSIFY, strategy=LayerDecay(factor=0.5)), None
    yield "tiny_bert_classifier", LABELLED, replace(CLASSIFY, strategy=LayerDecay(factor=0.5)), PRIVATE
    yield "tiny_bert_classifier", LABELLED, replace(CLASSIFY, strategy=BitFit()), None
    yield "tiny_bert_masked", UNLABELLED, replace(MASKED, strategy=BitFit()), replace(PRIVATE, clipping="automatic")
    yield "tiny_llama", UNLABELLED, CAUSAL, replace(PRIVATE, clipping="per_layer")


ARMS = list(arms())
NAMES = [f"{a[0]}-{type(a[2].strategy).__name__}-{'private' if a[3] else 'standard'}" for a in ARMS]


@pytest.mark.parametrize(("fixture", "examples", "spec", "privacy"), ARMS, ids=NAMES)
def test_a_killed_training_continues_to_the_same_bits(fixture, examples, spec, privacy, request, tmp_path):
    model, tokenizer = request.getfixturevalue(fixture)
    first, second, third = model, copy.deepcopy(model), copy.deepcopy(model)
    whole = train(first, tokenizer, examples, spec, seed=1, privacy=privacy)
    again = {"seed": 1, "privacy": privacy, "checkpoint_dir": tmp_path / "c", "checkpoint_minutes": 0.0}
    with pytest.raises(Killed):
        train(second, tokenizer, examples, spec, on_progress=kill_at(7), **again)
    torch.rand(5)  # the state of torch's own generator does not matter
    resumed = train(third, tokenizer, examples, spec, **again)
    assert_same(weights(first), weights(third))
    assert resumed.resumed_at == (7,)
    assert (resumed.losses, resumed.batch_sizes, resumed.privacy) == (whole.losses, whole.batch_sizes, whole.privacy)


def test_a_training_killed_twice_continues_to_the_same_bits(tiny_bert_classifier, tmp_path):
    model, tokenizer = tiny_bert_classifier
    models = [model, *(copy.deepcopy(model) for _ in range(3))]
    train(models[0], tokenizer, LABELLED, CLASSIFY, seed=1, privacy=PRIVATE)
    again = {"seed": 1, "privacy": PRIVATE, "checkpoint_dir": tmp_path, "checkpoint_minutes": 0.0}
    for which, step in ((1, 3), (2, 9)):
        with pytest.raises(Killed):
            train(models[which], tokenizer, LABELLED, CLASSIFY, on_progress=kill_at(step), **again)
    resumed = train(models[3], tokenizer, LABELLED, CLASSIFY, **again)
    assert_same(weights(models[0]), weights(models[3]))
    assert resumed.resumed_at == (3, 9)
    assert resumed.privacy.steps == resumed.steps


@pytest.mark.parametrize(("fixture", "examples", "spec", "privacy"), ARMS, ids=NAMES)
def test_micro_batches_change_memory_and_not_the_result(fixture, examples, spec, privacy, request):
    model, tokenizer = request.getfixturevalue(fixture)
    results = []
    for size in (2, 8):
        trained = copy.deepcopy(model).double()
        recipe = replace(spec, micro_batch_size=size, dropout=False, max_steps=3)
        train(trained, tokenizer, examples, recipe, seed=1, privacy=privacy)
        results.append(weights(trained))
    for name in results[0]:
        # Adapters are made in single precision, and Adam divides by what may be rounding.
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-3, atol=1e-4)


def test_a_classifier_learns_what_separates_its_classes(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    result = train(model, tokenizer, LABELLED, replace(CLASSIFY, epochs=10, learning_rate=3e-3), seed=1)
    assert result.final_loss < 0.1
    assert result.losses[0][1] > 0.5
    logits = model(**tokenizer([GOOD, BAD], padding=True, return_tensors="pt")).logits
    assert logits.argmax(dim=1).tolist() == [1, 0]


def test_a_private_training_without_noise_and_clipping_is_gradient_descent_on_the_mean(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    other = copy.deepcopy(model)
    spec = replace(CLASSIFY, batch_size=40, dropout=False, optimizer="sgd", max_grad_norm=None, max_steps=3)
    train(model, tokenizer, LABELLED, spec, seed=1)
    train(
        other,
        tokenizer,
        LABELLED,
        spec,
        seed=1,
        privacy=PrivacySpec(noise_multiplier=0.0, max_grad_norm=1e6, delta=1e-3),
    )
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(other.get_parameter(name), parameter, rtol=1e-4, atol=1e-6)


def test_noise_of_zero_keeps_nothing_and_says_so(tiny_bert_classifier):
    privacy = PrivacySpec(noise_multiplier=0.0, delta=1e-3)
    result = train(*tiny_bert_classifier, LABELLED, replace(CLASSIFY, max_steps=2), seed=1, privacy=privacy)
    assert result.privacy.epsilons is result.privacy.epsilon is None
    assert result.privacy.epsilon_unknown == "no noise was added, so no finite epsilon holds"


def test_a_private_result_states_what_was_done(tiny_bert_classifier):
    result = train(*tiny_bert_classifier, LABELLED, CLASSIFY, seed=1, privacy=PrivacySpec(epsilon=4.0, delta=1e-3))
    kept = result.privacy
    assert (kept.sample_rate, kept.steps, kept.expected_batch_size, kept.dataset_size) == (0.2, 15, 8, 40)
    assert kept.epsilon == pytest.approx(4.0, abs=0.02)
    assert kept.epsilon <= 4.0
    assert kept.secret_noise
    assert 0 < kept.clipped_share <= 1
    assert len(result.batch_sizes) == 15
    assert result.epochs == sum(result.batch_sizes) / 40


def test_secret_noise_makes_two_trainings_differ(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    other = copy.deepcopy(model)
    for trained in (model, other):
        train(trained, tokenizer, LABELLED, CLASSIFY, seed=1, privacy=replace(PRIVATE, reproducible_seed=None))
    assert not torch.equal(model.classifier.weight, other.classifier.weight)


def test_a_training_with_secret_noise_continues_and_counts_every_step_once(tiny_bert_classifier, tmp_path):
    model, tokenizer = tiny_bert_classifier
    secret = replace(PRIVATE, reproducible_seed=None)
    again = {"seed": 1, "privacy": secret, "checkpoint_dir": tmp_path, "checkpoint_minutes": 0.0}
    with pytest.raises(Killed):
        train(copy.deepcopy(model), tokenizer, LABELLED, CLASSIFY, on_progress=kill_at(5), **again)
    result = train(model, tokenizer, LABELLED, CLASSIFY, **again)
    assert result.resumed_at == (5,)
    assert result.privacy.steps == len(result.batch_sizes) == 15
    assert result.privacy.epsilon is not None


def test_an_empty_poisson_batch_is_a_step_of_noise_alone(tiny_bert_classifier):
    spec = replace(CLASSIFY, batch_size=1, epochs=1)
    result = train(*tiny_bert_classifier, LABELLED, spec, seed=1, privacy=PRIVATE)
    assert 0 in result.batch_sizes
    assert result.privacy.steps == len(result.batch_sizes) == 40
    assert len(result.losses) == sum(size > 0 for size in result.batch_sizes)


def test_an_accountant_whose_state_was_lost_makes_epsilon_unknown(tiny_bert_classifier, tmp_path):
    model, tokenizer = tiny_bert_classifier
    again = {"seed": 1, "privacy": PRIVATE, "checkpoint_dir": tmp_path, "checkpoint_minutes": 0.0}
    with pytest.raises(Killed):
        train(copy.deepcopy(model), tokenizer, LABELLED, CLASSIFY, on_progress=kill_at(5), **again)
    path = tmp_path / "training.safetensors"
    with safe_open(path, "pt") as file:
        state = json.loads(file.metadata()["state"])
    state["counted"]["guarantee"]["history"] = [[0.5, 0.2, 3]]  # tells of 3 steps, where 5 were taken
    save_file(load_file(path), path, metadata={"state": json.dumps(state)})
    kept = train(model, tokenizer, LABELLED, CLASSIFY, **again).privacy
    assert kept.epsilon is None
    assert kept.epsilon_unknown == "the accountant's state was lost when the training was continued"


@pytest.mark.parametrize("noised", [7, None])
def test_a_resumed_training_whose_noise_would_repeat_is_refused(tiny_bert_classifier, tmp_path, noised):
    model, tokenizer = tiny_bert_classifier
    again = {"seed": 1, "privacy": PRIVATE, "checkpoint_dir": tmp_path, "checkpoint_minutes": 0.0}
    with pytest.raises(Killed):
        train(copy.deepcopy(model), tokenizer, LABELLED, CLASSIFY, on_progress=kill_at(5), **again)
    path = tmp_path / "training.safetensors"
    with safe_open(path, "pt") as file:
        state = json.loads(file.metadata()["state"])
    state["counted"]["guarantee"]["noised"] = noised
    save_file(load_file(path), path, metadata={"state": json.dumps(state)})
    with pytest.raises(ValueError, match="noise that is derived from the seed could repeat; delete it to train from"):
        train(model, tokenizer, LABELLED, CLASSIFY, **again)


def test_a_finished_training_leaves_no_checkpoint(tiny_bert_classifier, tmp_path):
    folder = tmp_path / "c"
    train(*tiny_bert_classifier, LABELLED, CLASSIFY, seed=1, checkpoint_dir=folder, checkpoint_minutes=0.0)
    assert list(folder.iterdir()) == []


def test_a_checkpoint_is_for_its_owner_and_holds_no_random_state(tiny_bert_classifier, tmp_path):
    folder = tmp_path / "c"
    with pytest.raises(Killed):
        train(
            *tiny_bert_classifier,
            LABELLED,
            CLASSIFY,
            seed=1,
            privacy=PrivacySpec(noise_multiplier=1.0, delta=1e-3),
            checkpoint_dir=folder,
            checkpoint_minutes=0.0,
            on_progress=kill_at(2),
        )
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o077 == folder.stat().st_mode & 0o077 == 0
    with safe_open(path, "pt") as file:
        assert {name.split("/")[0] for name in file.keys()} == {"model", "optimizer"}  # noqa: SIM118
        state = json.loads(file.metadata()["state"])
    assert set(state) == {"fingerprint", "optimizer", "counted"}
    assert set(state["counted"]["guarantee"]) == {"history", "drawn", "clipped", "draws", "noised", "noise"}


@pytest.mark.parametrize("change", [{"seed": 2}, {"privacy": PRIVATE}, {"spec": replace(CLASSIFY, epochs=4)}])
def test_a_checkpoint_of_another_training_is_refused(tiny_bert_classifier, tmp_path, change):
    given = {"spec": CLASSIFY, "seed": 1, "checkpoint_dir": tmp_path, "checkpoint_minutes": 0.0}
    with pytest.raises(Killed):
        train(*tiny_bert_classifier, LABELLED, on_progress=kill_at(2), **given)
    with pytest.raises(ValueError, match="the checkpoint is of another training"):
        train(*tiny_bert_classifier, LABELLED, **{**given, **change})


def test_a_damaged_checkpoint_is_refused(tiny_bert_classifier, tmp_path):
    (tmp_path / "training.safetensors").write_bytes(b"12345678 no checkpoint")
    with pytest.raises(ValueError, match="the checkpoint is damaged; delete it"):
        train(*tiny_bert_classifier, LABELLED, CLASSIFY, seed=1, checkpoint_dir=tmp_path)


def test_a_checkpoint_half_written_is_not_looked_at(tiny_bert_classifier, tmp_path):
    (tmp_path / "training.part").write_bytes(b"half")
    train(*tiny_bert_classifier, LABELLED, replace(CLASSIFY, max_steps=1), seed=1, checkpoint_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_callers_generator_is_left_alone(tiny_bert_classifier):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    train(*tiny_bert_classifier, LABELLED, replace(CLASSIFY, max_steps=2, strategy=Lora(r=2)), seed=1, privacy=PRIVATE)
    assert torch.equal(torch.rand(3), expected)


def test_the_model_comes_back_in_evaluation_mode_and_without_gradients(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    train(model, tokenizer, LABELLED, replace(CLASSIFY, max_steps=1), seed=1, privacy=PRIVATE)
    assert type(model) is BertForSequenceClassification
    assert not model.training
    assert all(p.grad is None and p.summed_grad is None for p in model.parameters())


@pytest.mark.parametrize("privacy", [None, PRIVATE], ids=["standard", "private"])
@pytest.mark.parametrize(
    "strategy",
    [Full(), LayerDecay(factor=0.5), HeadOnly(), Frozen(layers=1), Lora(r=2)],
    ids=lambda s: type(s).__name__,
)
def test_what_is_frozen_stays_as_it_was(tiny_bert_classifier, strategy, privacy):
    model, tokenizer = tiny_bert_classifier
    result = train(model, tokenizer, LABELLED, replace(CLASSIFY, strategy=strategy), seed=1, privacy=privacy)
    assert result.frozen_untouched is (None if isinstance(strategy, Full | LayerDecay) else True)


def test_an_unsupported_model_is_refused_before_anything_is_trained(tiny_llama):
    _, tokenizer = tiny_llama
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(tokenizer), **sizes))
    before = weights(model)
    with pytest.raises(ValueError, match="got GPTNeoXForCausalLM"):
        train(model, tokenizer, UNLABELLED, CAUSAL, seed=1, privacy=PRIVATE)
    assert_same(before, weights(model))
    train(model, tokenizer, UNLABELLED, replace(CAUSAL, max_steps=2), seed=1)


def test_with_layer_decay_a_step_moves_the_lower_layers_less(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    steps = {}
    for strategy in (Full(), LayerDecay(factor=0.5)):
        recipe = replace(CLASSIFY, strategy=strategy, max_steps=1, optimizer="sgd", warmup_fraction=0.0, dropout=False)
        trained = copy.deepcopy(model).double()
        before = weights(trained)
        train(trained, tokenizer, LABELLED, recipe, seed=1)
        steps[type(strategy)] = {name: now - before[name] for name, now in weights(trained).items()}
    for name, step in steps[Full].items():
        part = ["embeddings", "layer.0.", "layer.1."]
        rate = next((share for key, share in zip(part, (0.125, 0.25, 0.5), strict=True) if key in name), 1.0)
        torch.testing.assert_close(steps[LayerDecay][name], rate * step, msg=name)


def test_a_loss_that_is_not_finite_stops_the_training(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    model.classifier.weight.data[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="not finite in step 1"):
        train(model, tokenizer, LABELLED, CLASSIFY, seed=1)


def test_every_example_is_drawn_once_in_an_epoch():
    draw = ShuffledDraws(10, 4, seed=0)
    first, second = ([i for step in steps for i in draw(step)] for steps in ((0, 1, 2), (3, 4, 5)))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert ShuffledDraws(10, 4, seed=0)(4) == draw(4)


def test_epochs_may_be_fractions_and_are_rounded_to_steps(tiny_bert_classifier):
    result = train(*tiny_bert_classifier, LABELLED, replace(CLASSIFY, epochs=0.5), seed=1)
    assert (result.steps, result.epochs) == (2, 0.4)


def test_progress_tells_every_step(tiny_bert_classifier):
    seen = []
    train(*tiny_bert_classifier, LABELLED, CLASSIFY, seed=1, on_progress=seen.append)
    assert [p.step for p in seen] == list(range(1, 16))
    assert seen[-1].share == 1
    assert all(p.loss > 0 for p in seen)


def test_the_learning_rate_rises_then_falls_to_zero():
    spec = replace(CLASSIFY, learning_rate=1.0, warmup_fraction=0.2)
    assert [learning_rate(spec, step, 10) for step in range(10)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    )
    constant = replace(spec, schedule="constant", warmup_fraction=0.0)
    assert {learning_rate(constant, step, 10) for step in range(10)} == {1.0}


def test_a_long_training_keeps_a_curve_of_a_few_hundred_points(tiny_bert_classifier):
    spec = replace(CLASSIFY, epochs=30, batch_size=1, strategy=HeadOnly())
    result = train(*tiny_bert_classifier, Examples(texts=LABELLED.texts[:8], labels=LABELLED.labels[:8]), spec, seed=1)
    assert result.steps == 240
    assert 100 <= len(result.losses) <= 201
    assert (result.losses[0][0], result.losses[-1][0]) == (1, 240)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "masked-lm"}, "task masked-lm needs a head among"),
        ({"head": "causal"}, "needs prompt and label_words"),
        ({"momentum": 0.9}, "momentum belongs to optimizer sgd"),
        ({"epochs": 0}, "epochs must be positive; got 0"),
        ({"warmup_fraction": 1.0}, r"warmup_fraction must lie in \[0, 1\); got 1.0"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CLASSIFY, **change)


def test_columns_of_unequal_length_and_no_examples_are_refused():
    with pytest.raises(ValueError, match="labels must be as many as texts; got 1 and 2"):
        Examples(texts=["a", "b"], labels=[0])
    with pytest.raises(ValueError, match="at least one example"):
        Examples(texts=[])
