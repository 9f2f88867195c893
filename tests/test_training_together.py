"""Every supported architecture with what else may come together: persons of 1 to 20 examples, adapters, micro-batches.

What each does alone is held by tests/test_training_architectures.py.
"""

import pytest
import torch
from single_examples import (
    LANGUAGE,
    NAMES,
    DoubleThroughout,
    assert_exact,
    build,
    clipped_sum,
    losses_of,
    make_batch,
    one_at_a_time,
)
from test_training_architectures import prefer, untied

from audit.training.bookkeeping import Bookkeeping
from audit.training.spec import Lora
from audit.training.strategies import applied

torch.set_num_threads(1)  # tiny models are slower on several

PERSONS = ((1, 20), (3, 1))
"""Examples of each person, by micro-batch."""
WAYS = ["ghost norms", "per-example gradients"]


@pytest.fixture(autouse=True)
def double_throughout():
    with DoubleThroughout():
        yield


def many(name, padding="right"):
    """25 examples: five batches of other words."""
    batches = [make_batch(name, padding, seed) for seed in range(5)]
    return tuple(torch.cat(columns) for columns in zip(*batches, strict=True))


def assert_persons_are_exact(model, name, batch, clipping="flat", padding="right", tolerance=1e-8):
    _, found = one_at_a_time(model, name, batch, padding)
    starts = iter(found)
    persons = [[next(starts) for _ in range(count)] for part in PERSONS for count in part]
    summed = [{n: sum(each[n] for each in of) for n in of[0]} for of in persons]
    norms = torch.stack([torch.sqrt(sum(g.square().sum() for g in each.values())) for each in summed])
    limit = 0.9 * float(norms.min())
    expected = clipped_sum(model, summed, limit, clipping)
    books = Bookkeeping(model, limit, clipping)
    ours = [
        books.accumulate(lambda part=part: losses_of(model, name, part, fused=True), len(part[0]), counts)[1]
        for part, counts in zip(zip(*(c.split([21, 4]) for c in batch), strict=True), PERSONS, strict=True)
    ]
    torch.testing.assert_close(torch.cat(ours), norms, rtol=tolerance, atol=tolerance * 1e-3)
    scale = torch.sqrt(sum(g.square().sum() for g in expected.values()))
    for n, parameter in model.named_parameters():
        if parameter.requires_grad:
            error = (parameter.summed_grad - expected[n]).norm()
            assert error <= tolerance * expected[n].norm() + 1e-3 * tolerance * scale, (n, float(error))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_persons_of_1_to_20_examples_are_exact_in_micro_batches(name, way, monkeypatch):
    prefer(monkeypatch, way)
    assert_persons_are_exact(build(name), name, many(name))


@pytest.mark.parametrize("clipping", ["automatic", "per_layer"])
@pytest.mark.parametrize("name", ["BertForMaskedLM", "GPT2LMHeadModel", "LlamaForSequenceClassification"])
def test_persons_are_exact_by_every_clipping(name, clipping, monkeypatch):
    prefer(monkeypatch, "ghost norms")
    assert_persons_are_exact(build(name), name, many(name), clipping)


def with_adapters(model):
    for n, parameter in model.named_parameters():
        if "lora_B" in n:  # they start at zero, which would leave lora_A without a gradient
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double()
    return model.double()


ADAPTED = [name for name in NAMES if not name.startswith("T5")]  # whose tasks come with a strategy of their own


@pytest.mark.parametrize("name", ADAPTED)
def test_persons_are_exact_with_adapters(name, monkeypatch):
    prefer(monkeypatch, "ghost norms")
    model = build(name)
    with applied(model, Lora(r=2)):
        assert_persons_are_exact(with_adapters(model), name, many(name))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_are_exact_with_padding_on_the_left_in_micro_batches_tied_or_not(name, way, monkeypatch):
    prefer(monkeypatch, way)
    is_language = name.endswith(LANGUAGE)
    for model in (build(name), untied(name)) if is_language else (build(name),):
        with applied(model, Lora(r=2)):
            batch = make_batch(name, "left")
            assert_exact(with_adapters(model), name, batch, padding="left", splits=(2, 1, 2))


@pytest.mark.parametrize("name", NAMES)
def test_ghost_norms_are_exact_in_micro_batches(name, monkeypatch):
    prefer(monkeypatch, "ghost norms")
    assert_exact(build(name), name, make_batch(name), splits=(1, 3, 1))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_adds_nothing_and_runs_nothing(name):
    model = build(name)
    _, norms = Bookkeeping(model, 1.0).accumulate(lambda: 1 / 0, 0)
    assert norms.shape == (0,)
    assert all(not parameter.summed_grad.any() for parameter in model.parameters())
