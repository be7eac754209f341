"""Masks hide what their kind says, always something, and as often as they should."""

import pytest
import torch

from gansearch.scoring.masks import (
    KINDS,
    kinds_of,
    masks_from,
    masks_of_kind,
    n_numbers,
    n_units,
    over_channels,
)

N = 4000


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 5, 3), (1, 5, 3), (2, 2, 1), (2,), (5,)])
def test_masks_of_each_kind_are_0_or_1_and_hide_something(shape):
    for kind in kinds_of(shape):
        masks = masks_of_kind(kind, shape, N, seed=1)
        assert masks.shape == (N, n_units(shape))
        assert torch.isin(masks, torch.tensor([0.0, 1.0])).all()
        assert (masks.sum(1) < n_units(shape)).all()


def test_random_masks_have_a_share_of_their_own_and_no_pattern():
    masks = masks_of_kind("random", (8, 8, 1), N, seed=2)
    shares = masks.mean(1)
    # Of p uniform on (0, 1) with binomial noise.
    assert shares.mean() == pytest.approx(1 / 2, abs=0.02)
    assert shares.var() == pytest.approx(1 / 12 + 1 / 6 / 64, abs=0.005)
    assert (masks.mean(0) - 0.5).abs().max() < 0.05


def test_halves_are_the_four_halves_of_an_image():
    masks = masks_of_kind("halves", (4, 6, 1), N, seed=3).view(N, 4, 6)
    found, counts = masks.unique(dim=0, return_counts=True)
    wanted = torch.ones(4, 4, 6)
    wanted[0, :, :3] = wanted[1, :, 3:] = wanted[2, :2] = wanted[3, 2:] = 0
    assert {tuple(m.ravel().tolist()) for m in found} == {tuple(m.ravel().tolist()) for m in wanted}
    assert counts.min() > 0.2 * N


def test_blocks_are_rectangles_of_a_quarter_to_three_quarters_anywhere():
    hidden = 1 - masks_of_kind("blocks", (8, 12, 1), N, seed=4).view(N, 8, 12)
    rows, columns = hidden.amax(2), hidden.amax(1)
    assert torch.equal(hidden, rows[:, :, None] * columns[:, None, :])  # a product of two ranges
    for ranges, length in ((rows, 8), (columns, 12)):
        assert (ranges.diff(dim=1).abs().sum(1) <= 2).all()  # without a gap
        sizes = ranges.sum(1)
        assert (sizes.min(), sizes.max()) == (length / 4, length * 3 / 4)
        assert ranges[:, 0].mean() > 0.1 and ranges[:, -1].mean() > 0.1


def test_a_mixture_has_its_share_of_masks_that_hide_all_and_equal_shares_of_kinds():
    shape = (8, 8, 1)
    numbers = torch.rand(N, n_numbers(shape), generator=torch.Generator().manual_seed(5))
    masks = masks_from(numbers, KINDS, shape, all_hidden_share=0.4)
    assert (masks.sum(1) == 0).float().mean() == pytest.approx(0.4, abs=0.03)
    halves = masks_of_kind("halves", shape, 100, seed=0).unique(dim=0)
    is_half = (masks[:, None] == halves).all(2).any(1).float().mean()
    assert is_half == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("shape", [(2,), (3,), (8, 8, 1), (1, 8, 1), (8, 1, 3), (1, 2, 1)])
def test_a_mask_of_any_kind_hides_something_and_shows_something(shape):
    for kind in kinds_of(shape):
        n_visible = masks_of_kind(kind, shape, N, seed=6).sum(1)
        assert n_visible.min() >= 1
        assert n_visible.max() < n_units(shape)


def test_numbers_on_the_edge_of_their_range_give_masks():
    shape, largest = (8, 8, 1), 1 - 2**-24
    for value in (0.0, largest):
        numbers = torch.full((1, n_numbers(shape)), value)
        for share in (0.0, 0.3):
            masks = masks_from(numbers, KINDS, shape, all_hidden_share=share)
            assert masks.sum() < 64


def test_a_mask_of_pixels_holds_for_all_their_channels():
    masks = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    assert over_channels(masks, (2, 2, 3)).view(4, 3).tolist() == [
        [1] * 3,
        [0] * 3,
        [0] * 3,
        [1] * 3,
    ]
    assert over_channels(masks, (4,)) is masks
