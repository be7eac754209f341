"""Dropout masks: which inputs are kept, and by what they are multiplied."""

import pytest
import torch

from gansearch.networks.dropout import Mask, drops, mask_at, rows_of


def all_numbers():
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).short()


@pytest.mark.parametrize("rate", [0.0, 1e-5, 0.2, 0.5, 0.99])
def test_of_all_numbers_a_rates_share_is_dropped_and_the_mean_stays(rate):
    factors = mask_at(rate, all_numbers()).factors
    n_dropped = int((factors == 0).sum())
    assert n_dropped == round(rate * 2**16)
    assert drops(rate) == (n_dropped > 0)
    assert factors.mean().item() == pytest.approx(1, rel=1e-6)


def test_each_of_several_networks_has_the_rate_that_was_set():
    rng = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**15), 2**15, (3, 4, 50), generator=rng, dtype=torch.int16)
    mask = Mask(bits, torch.zeros(3, dtype=torch.int16), torch.zeros(3))
    rates = (0.2, 0.9, 0.5)
    for member, rate in enumerate(rates):
        mask.set_rate(member, rate)
    for own, rate, drawn in zip(mask.factors, rates, bits, strict=True):
        assert torch.equal(own, mask_at(rate, drawn).factors)


def test_a_part_of_a_mask_is_the_mask_of_that_part():
    mask = mask_at(0.5, all_numbers().view(4, -1, 8))
    assert torch.equal(mask[2].factors, mask.factors[2])
    some, nothing = rows_of([mask, None], slice(3, 7))
    assert torch.equal(some.factors, mask.factors[:, 3:7]) and nothing is None
