"""Gram matrices in bands, against whole ones."""

import pytest
import torch

from audit.training.bookkeeping_layers import Book
from audit.training.grams import LastGram, band_of, gram, inner_product
from audit.training.grouping import Grouping
from audit.training.per_example import MatrixLedger, Ragged

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.parametrize("positions", [1, 2, 31, 32, 33, 64, 65, 130, 300])
def test_the_inner_product_is_the_squared_norm_of_the_gradient(positions):
    g, x = random(3, positions, 4), random(3, positions, 5)
    expected = torch.einsum("bta,btc->bac", g, x).square().sum(dim=(1, 2))
    torch.testing.assert_close(inner_product(gram(g), gram(x)), expected, rtol=1e-10, atol=1e-12)


def test_bands_cover_a_long_text_in_pieces_and_a_short_one_whole():
    assert [band_of(positions) for positions in (1, 32, 33, 64, 128, 200, 512)] == [32, 32, 32, 32, 64, 100, 128]


def test_the_matrix_of_one_input_is_made_once():
    last, x = LastGram(), random(2, 4, 3)
    assert last.of(x) is last.of(x.view(2, 4, 3))
    assert last.of(x) is not last.of(x.clone())


def test_another_input_in_the_same_memory_is_not_taken_for_it():
    last = LastGram()
    first = last.of(random(2, 4, 3))[0].clone()  # nothing else holds the input: its memory would be free
    for _ in range(20):
        other = random(2, 4, 3)
        torch.testing.assert_close(last.of(other)[0], torch.bmm(other, other.transpose(1, 2)))
        assert not torch.equal(last.of(other)[0], first)
        del other


@pytest.mark.parametrize("counts", [(2, 2, 2), (4, 0, 2), (0, 0, 6)])
def test_a_ragged_use_is_the_padded_one(counts):
    rows, columns = random(6, 7), random(6, 5)
    factors = random(3).abs()
    padded = MatrixLedger((7, 5), products=[Ragged(rows, columns, counts).padded()])
    ragged = MatrixLedger((7, 5), heads=[Ragged(rows, columns, counts)])
    expected = padded.squared_norms()
    torch.testing.assert_close(ragged._ghost_squared_norms(), expected, rtol=1e-10, atol=1e-12)
    sums = [torch.zeros(7, 5, dtype=torch.float64) for _ in range(2)]
    padded.add_clipped(factors, sums[0])
    ragged.add_clipped(factors, sums[1])
    torch.testing.assert_close(sums[1], sums[0], rtol=1e-10, atol=1e-12)


def test_the_first_position_of_an_input_is_another_input_though_it_starts_at_the_same_place():
    book, x = Book(3, grouping=Grouping.of([2, 1], torch.device("cpu"))), random(3, 4, 5)
    assert book.input(x) is book.input(x)
    assert book.input(x).shape == (2, 8, 5)
    assert book.input(x[:, 0]).shape == (2, 2, 5)
