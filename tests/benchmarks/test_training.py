"""The benchmark of training: its other ways train the same networks, and its tables are printed."""

import dataclasses
import math
import re
import sys

import numpy as np
import pytest
import torch

from benchmarks.speed import training as benchmark
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.networks.models import Discriminator, Generator, layers_of

TINY = TrialConfig(noise_dim=5, generator_widths=(7, 6), discriminator_widths=(4, 3))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def copied(net, ours):
    """Give `net` the weights of our network; torch stores them transposed."""
    affine = [module for module in net.modules() if isinstance(module, torch.nn.Linear)]
    with torch.no_grad():
        for module, layer in zip(affine, layers_of(ours), strict=True):
            layer.weight.normal_()
            layer.bias.normal_()
            module.weight.copy_(layer.weight.t())
            module.bias.copy_(layer.bias)
    return net


def test_the_widest_setting_is_the_papers():
    assert benchmark.config_of(benchmark.WIDTHS[-1]) == TrialConfig()


def test_the_products_of_the_papers_step_are_3_57_gflop():
    operands = benchmark.products(TrialConfig(), 784)
    # By hand: three layers forward twice in each net, D's back for weights and then for inputs,
    # G's back for weights, and the inputs of all layers but the lowest.
    assert len(operands) == 4 * 3 + (3 + 2) + 3 + (3 + 2)
    assert benchmark.n_operations(operands) == pytest.approx(3.567e9, rel=1e-3)
    benchmark.multiply_all(operands)()
    for left, right, result in operands:
        assert torch.allclose(result, left @ right, rtol=1e-3, atol=1e-3)


def test_the_other_ways_train_our_networks():
    generator, discriminator = Generator(TINY, (9,)), Discriminator(TINY, (9,))
    theirs = copied(benchmark.torch_generator(TINY, 9), generator)
    noise = torch.randn(11, 5)
    assert torch.allclose(theirs(noise), generator(noise), atol=1e-6)
    judge = copied(benchmark.torch_discriminator(TINY, 9), discriminator).eval()
    x = torch.rand(11, 9)
    assert torch.allclose(judge(x).squeeze(1), discriminator(x), atol=1e-5)


def test_dropout_is_on_every_layer_of_the_other_ways_discriminator():
    layers = benchmark.torch_discriminator(TINY, 9)
    assert [m.p for m in layers if isinstance(m, torch.nn.Dropout)] == [0.2, 0.5, 0.5]


def test_a_careful_update_changes_one_player_only():
    # At the paper's ranges D's gradient is too small for this G's weights to show it.
    config = dataclasses.replace(TINY, generator_init_range=0.5, discriminator_init_range=0.5)
    loop = benchmark.CarefulLoop(config, load_dataset("digits"))
    for update, trained, other in (
        (loop.update_discriminator, loop.discriminator, loop.generator),
        (loop.update_generator, loop.generator, loop.discriminator),
    ):
        before = [[p.clone() for p in net.parameters()] for net in (trained, other)]
        update()
        after = [list(net.parameters()) for net in (trained, other)]
        assert not any(map(torch.equal, before[0], after[0]))
        assert all(map(torch.equal, before[1], after[1]))
    assert all(p.requires_grad for p in loop.discriminator.parameters())


def test_a_tutorials_first_losses_are_those_of_an_undecided_discriminator():
    d_loss, g_loss, *outputs = next(benchmark.tutorial_loop(TINY, load_dataset("digits")))
    assert d_loss == pytest.approx(2 * np.log(2), abs=0.01)
    assert g_loss == pytest.approx(np.log(2), abs=0.01)
    assert outputs == pytest.approx([0.5] * 3, abs=0.01)


def test_a_ratio_is_taken_turn_by_turn():
    assert benchmark.ratio([2, 6, 40], [1, 2, 10]) == "3.00 [2.50, 3.50]"


def test_scores_are_compared_seed_by_seed(capsys):
    benchmark.print_scores([1.0, 2.0, 3.0], [1.5, 2.0, 4.0])
    told = capsys.readouterr().out
    assert "seed 2: fp32 3.00, bf16 4.00, difference +1.00 nats" in told
    # t of 95 % and two degrees of freedom is 4.303, the standard error .5 / sqrt(3).
    assert "bf16 less fp32: +0.50 nats, 95 % interval -0.74 to +1.74" in told


def test_seeds_that_diverged_are_left_out_and_counted():
    told = benchmark.told_difference("a less b", [1.5, math.nan, 2.0, 4.0], [1.0, 5.0, 2.0, 3.0])
    assert told.endswith("+0.50 nats, 95 % interval -0.74 to +1.74; 1 of 4 seeds diverged")


def test_the_tables_are_printed_without_any_data(capsys, monkeypatch):
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    quick = ["--widths", "16", "--turns", "1", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", ["training.py", *quick])
    benchmark.main()
    told = capsys.readouterr().out
    assert "G 100-16-16-784, D maxout 16 x 5 twice" in told
    for way in ("autograd", "careful", "tutorial", "products", "simultaneous"):
        assert re.search(rf"{way} +\d+\.\d\d ms +\d+\.\d\d \[.*\] times ours", told), way
    assert re.search(r"two trials on \d+ cores, width 16: \d\.\d\d", told)
