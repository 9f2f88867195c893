"""Three ways to bound what a unit adds: by hand, and against single examples."""

import math

import pytest
import torch
from single_examples import B, DoubleThroughout, build, clipped_sum, losses_of, make_batch, one_at_a_time

from audit.training.bookkeeping import Bookkeeping
from audit.training.clipping import clipping_factors, layers_of
from audit.training.per_example import MatrixLedger

torch.set_num_threads(1)
WAYS = ["flat", "automatic", "per_layer"]
NORMS = torch.tensor([[0.0, 0.5, 3.0, 8.0], [0.0, 0.1, 4.0, 6.0]], dtype=torch.float64)  # two layers, four units


def factors(clipping, limit=2.0):
    rows = NORMS if clipping == "per_layer" else NORMS.square().sum(dim=0, keepdim=True).sqrt()
    return rows, clipping_factors(rows.square(), limit, clipping)


def test_flat_shortens_what_is_longer_than_the_norm_and_leaves_the_rest():
    _, found = factors("flat")
    assert found[0].tolist() == pytest.approx([1.0, 1.0, 2 / 5, 2 / 10], rel=1e-6)


def test_automatic_brings_every_gradient_to_about_the_norm():
    norms, found = factors("automatic")
    assert found[0].tolist() == pytest.approx([2 / (n + 0.01) for n in norms[0].tolist()])
    assert (norms * found)[0, 2:].tolist() == pytest.approx([2.0, 2.0], rel=3e-3)


def test_per_layer_shares_the_norm_among_the_layers():
    _, found = factors("per_layer")
    share = 2 / math.sqrt(2)
    assert found[0].tolist() == pytest.approx([1.0, 1.0, share / 3, share / 8], rel=1e-6)
    assert found[1].tolist() == pytest.approx([1.0, 1.0, share / 4, share / 6], rel=1e-6)


@pytest.mark.parametrize("clipping", WAYS)
def test_no_unit_adds_more_than_the_norm_and_one_of_zero_adds_nothing(clipping):
    rows, found = factors(clipping)
    added = (rows * found).square().sum(dim=0).sqrt()
    assert (added <= 2.0).all()
    assert added[0] == 0


def test_a_layer_is_the_module_that_holds_its_parameters():
    model = build("BertForMaskedLM")
    groups = layers_of(model, "per_layer")
    query = model.bert.encoder.layer[0].attention.self.query
    assert groups[id(query.weight)] == groups[id(query.bias)]
    holders = {id(p): m for m in reversed(list(model.modules())) for p in m.parameters(recurse=False)}
    assert len(set(groups.values())) == len({id(m) for m in holders.values()})
    assert set(groups.values()) == set(range(len(set(groups.values()))))
    assert set(layers_of(model, "flat").values()) == set(layers_of(model, "automatic").values()) == {0}


def test_what_is_not_trained_is_no_layer():
    model = build("BertForSequenceClassification").requires_grad_(False)
    model.classifier.requires_grad_(True)
    assert layers_of(model, "per_layer") == {id(p): 0 for p in model.classifier.parameters()}


@pytest.mark.parametrize("clipping", WAYS)
@pytest.mark.parametrize(
    "name", ["BertForMaskedLM", "GPT2LMHeadModel", "AlbertForTokenClassification", "T5ForTokenClassification"]
)
def test_clipped_sums_are_those_of_single_examples(name, clipping):
    model, batch = build(name), make_batch(name)
    with DoubleThroughout():
        norms, found = one_at_a_time(model, name, batch)
        expected = clipped_sum(model, found, 1.3, clipping)
        books = Bookkeeping(model, 1.3, clipping)
        _, ours = books.accumulate(lambda: losses_of(model, name, batch, fused=True), B)
    torch.testing.assert_close(ours, norms, rtol=1e-8, atol=1e-12)
    scale = torch.sqrt(sum(g.square().sum() for g in expected.values()))
    for n, parameter in model.named_parameters():
        assert (parameter.summed_grad - expected[n]).norm() <= 1e-8 * expected[n].norm() + 1e-11 * scale, n
    assert not books.shortened[3]  # a gradient of zero
    assert books.shortened[0]


@pytest.mark.parametrize("length", [15.0, 150.0])
@pytest.mark.parametrize(("clipping", "limit"), [("automatic", 1.0), ("flat", 0.1), ("flat", 0.03), ("per_layer", 0.1)])
def test_who_contradicts_themselves_adds_no_more_than_the_norm_though_rounding_hides_what_is_left(
    clipping, limit, length
):
    # Two texts of a person that are nearly the same, under opposite labels: in single precision the T x T products of
    # their gradients cancel to less than their rounding.
    draw = torch.Generator().manual_seed(0)
    for left in (1e-4, 3e-4, 1e-3, 2e-3):
        columns = torch.randn(8, 64, 384, generator=draw)
        rows = torch.randn(8, 64, 384, generator=draw) * length / 3072  # the length of one text's gradient, about
        ledger = MatrixLedger(
            (384, 384), products=[(torch.cat([rows, (left - 1) * rows], 1), torch.cat([columns] * 2, 1))]
        )
        factors = clipping_factors(ledger.squared_norms()[None], limit, clipping)[0]
        assert ledger._gradients is None  # it was read off the products
        added = torch.stack([_sum_of(ledger, factors, unit) for unit in range(8)])
        assert added.norm(dim=1).max() <= limit * (1 + 1e-4)


def _sum_of(ledger, factors, unit):
    into = torch.zeros(384, 384)
    ledger.add_clipped(factors * torch.eye(8)[unit], into)
    return into.flatten()
