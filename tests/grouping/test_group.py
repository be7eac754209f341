"""Trainings that share every kernel: each follows its own way, whatever trains beside it."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from gansearch.data.registry import load_dataset
from gansearch.grouping.group import Group
from gansearch.grouping.structure import bucket, structure_of
from gansearch.system.precision import arithmetic, full_precision
from gansearch.training.examples import Examples
from gansearch.training.schedules import steps_at
from gansearch.training.training import AdversarialTraining
from tests.benchmark_scripts import script
from tests.training.test_training import BOUNDED, NORMALISED, blobs, small

ADAM = {"optimizer": "adam", "generator_lr": 0.01, "discriminator_lr": 0.003}
# Pairs of configurations that may share a group, for each structure.
STRUCTURES = {
    "maxout": ({}, {"k": 3, "noise": "normal", "noise_dim": 7, "discriminator_widths": (3, 8)}),
    "adam": (ADAM, ADAM | {"adam_beta1": 0.0, "k": 2, "adam_beta2": 0.9}),
    "simultaneous": (
        {"update": "simultaneous"},
        {"update": "simultaneous", "k": 2, "momentum": 0, "label_smoothing": 0.2},
    ),
    "sigmoid": (
        {"generator_activation": "relu_sigmoid", "discriminator_activation": "sigmoid"},
        {
            "generator_activation": "relu_sigmoid",
            "discriminator_activation": "sigmoid",
            "discriminator_loss_scale": 0.5,
        },
    ),
    # Sizes that no vector unit divides, so that the last member's values are the last ones.
    "odd": (
        {"batch_size": 13, "generator_activation": "elu", "discriminator_activation": "sigmoid"},
        {
            "batch_size": 13,
            "generator_activation": "elu",
            "discriminator_activation": "sigmoid",
            "k": 2,
        },
    ),
    "averaged": (
        {"generator_ema": 0.9, "batch_size": 13},
        {"generator_ema": 0.3, "batch_size": 13, "k": 2, "generator_widths": (5, 8)},
    ),
    "shuffled, annealed": (
        {"batch_order": "shuffled", "final_lr_share": 0.1},
        {"momentum_share": 0.5, "batch_order": "shuffled", "k": 2, "momentum": 0.2},
    ),
    "batch normalised": (NORMALISED, NORMALISED | {"k": 2, "generator_widths": (5, 8)}),
    "bounded": (
        BOUNDED,
        BOUNDED | {"generator_max_norm": 0.4, "lr_decay": 1.1, "min_lr": 0.02},
    ),
    "no hidden layer": (
        {"generator_widths": (), "discriminator_widths": ()},
        {"generator_widths": (), "discriminator_widths": (), "dropout_input": 0.6},
    ),
    "no dropout, minimax": (
        {"dropout_input": 0, "dropout_hidden": 0, "generator_loss": "minimax"},
        {"dropout_input": 0, "dropout_hidden": 0, "generator_loss": "minimax", "k": 4},
    ),
    "noisy": (
        {"instance_noise_sd": 0.3, "instance_noise_updates": 8, "label_smoothing": 0.1},
        {"instance_noise_sd": 0.1, "k": 2},
    ),
    "packed, one-centred": (
        {"gradient_penalty": "one_centered", "packing": 2, "gradient_penalty_weight": 0.3},
        {"gradient_penalty": "one_centered", "packing": 2, "gradient_penalty_weight": 0.1},
    ),
    "r1, leaky": (
        {
            "gradient_penalty": "r1",
            "gradient_penalty_weight": 0.5,
            "discriminator_activation": "leaky_relu",
        },
        {
            "gradient_penalty": "r1",
            "gradient_penalty_weight": 0.1,
            "discriminator_activation": "leaky_relu",
            "k": 2,
        },
    ),
}
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
        ],
    ),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def group_for(config, device="cpu", n_slots=4, n_ticks=8):
    dataset = blobs()
    examples = Examples(dataset, device)
    return Group(structure_of(config), dataset.shape, examples, n_slots=n_slots, n_ticks=n_ticks)


def training_of(config, seed, device="cpu"):
    return AdversarialTraining(config, blobs(), seed, device=device, max_updates=30)


def state_of(training):
    """All that a training has learnt and will draw from."""
    return {name: tensor.clone() for name, tensor in training._tensors().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def run(group, training, n_iterations, neighbours=(), come_late=False):
    """Train in a group, beside others that are there to the end; return the state it ends with."""
    if come_late:
        for neighbour in neighbours:
            group.admit(neighbour, 1000)
        group.advance()
    group.admit(training, n_iterations)
    if not come_late:
        for neighbour in neighbours:
            group.admit(neighbour, 1000)
    while group.left(training):
        group.advance()
    group.release(training)
    return state_of(training)


def two_of(name):
    return [small(**values) for values in STRUCTURES[name]]


@pytest.mark.parametrize("name", STRUCTURES)
def test_members_follow_the_single_step_to_rounding_error(name, device):
    configs = two_of(name)
    assert structure_of(configs[0]) == structure_of(configs[1])
    group = group_for(configs[0], device)
    members = [training_of(config, 1 + i, device) for i, config in enumerate(configs)]
    for member in members:
        group.admit(member, 9)
    while any(map(group.left, members)):
        group.advance()
    for i, (member, config) in enumerate(zip(members, configs, strict=True)):
        group.release(member)
        alone = training_of(config, 1 + i, device)
        for _ in range(9):
            alone.step()
        assert member.iteration == alone.iteration == 9
        ours, theirs = state_of(member), state_of(alone)
        assert torch.equal(ours.pop("rng"), theirs.pop("rng"))
        for key, tensor in theirs.items():
            assert torch.allclose(ours[key], tensor, rtol=1e-3, atol=3e-5), key


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_member_is_bit_for_bit_independent_of_its_company(name, device):
    config, other = two_of(name)
    alone = run(group_for(config, device), training_of(config, 5, device), 13)

    def beside(*seeds, **how):
        neighbours = [training_of(other, seed, device) for seed in seeds]
        return run(group_for(config, device), training_of(config, 5, device), 13, neighbours, **how)

    assert same(alone, beside(8, 9))
    assert same(alone, beside(8, come_late=True))  # in another slot
    assert same(alone, beside(8, 9, 10, come_late=True))  # in the last one
    # In parts, saved and loaded elsewhere, in a slot that another one has left.
    first = training_of(config, 5, device)
    run(group_for(config, device), first, 6)
    again = training_of(config, 5, device)
    again.load(first.save())
    group = group_for(config, device)
    run(group, training_of(other, 3, device), 7)
    assert same(alone, run(group, again, 7))


def test_a_diverging_member_leaves_its_neighbours_unchanged(device):
    config = small()
    alone = run(group_for(config, device), training_of(config, 5, device), 13)
    broken = training_of(config, 6, device)
    with torch.no_grad():
        broken.generator.layers[0].weight.fill_(torch.nan)
    group = group_for(config, device)
    assert same(alone, run(group, training_of(config, 5, device), 13, [broken]))
    group.release(broken)
    assert broken.generator.layers[0].weight.isnan().all()
    # Nor does it leave anything to the next one in its slot.
    assert same(alone, run(group, training_of(config, 5, device), 13))


def test_what_is_padded_stays_exactly_zero():
    configs = small(generator_widths=(9, 3), noise_dim=3), small(generator_widths=(16, 8))
    group = group_for(configs[0])
    larger = training_of(configs[1], 1)
    run(group, larger, 5)
    member = training_of(configs[0], 2)
    group.admit(member, 1000)
    for _ in range(3):
        group.advance()
    lowest = group._players.generator.params[0][0].detach()
    assert lowest.shape == (8, 16)
    assert lowest[:3, :9].all()
    assert not lowest[3:].any() and not lowest[:, 9:].any()
    for kind in group._players.generator.moments:
        assert not kind[0][0][3:].any()


def test_a_chunk_does_whole_iterations_of_each_member():
    configs = [small(k=k) for k in (1, 3, 5)]
    group = group_for(configs[0], n_ticks=8)
    members = [training_of(config, 0) for config in configs]
    for member, n in zip(members, (5, 100, 100), strict=True):
        group.admit(member, n)
    group.advance()
    assert [member.iteration for member in members] == [5, 2, 1]
    assert [group.left(member) for member in members] == [0, 98, 99]
    group.advance()
    assert [member.iteration for member in members] == [5, 4, 2]
    assert not group_for(configs[0], n_slots=1).trainings
    group.admit(training_of(configs[0], 7), 1)
    assert not group.has_room


def test_the_reported_losses_are_the_means_since_the_last_report():
    for config in two_of("simultaneous"):
        grouped, alone = training_of(config, 3), training_of(config, 3)
        run(group_for(config), grouped, 7)
        updates = 8 * (config.k + 1)
        ours, theirs = grouped.advance(updates), alone.advance(updates)
        for name, value in dataclasses.asdict(theirs).items():
            if name != "seconds":
                assert getattr(ours, name) == pytest.approx(value, rel=1e-4), name


def test_widths_are_padded_by_at_most_a_quarter_or_seven_units():
    for width in range(1, 5000):
        assert width <= bucket(width) <= max(width + 7, 1.25 * width)
        assert bucket(bucket(width)) == bucket(width)


def test_what_cannot_share_a_group_is_told_apart():
    assert structure_of(small(unrolled_steps=1)) is None
    assert structure_of(small(discriminator_normalization="spectral")) is None
    assert structure_of(small(minibatch_sd=4)) is None
    base = structure_of(small())
    others = {"optimizer": "adam"}, {"batch_size": 20}, {"dropout_input": 0}, {"generator_ema": 0.9}
    for values in others:
        assert structure_of(small(**values)) != base
    assert structure_of(small(generator_lr=0.7, k=9, dropout_input=0.3)) == base


def test_g_is_left_out_of_ticks_in_which_no_iteration_can_end():
    group = group_for(small(), n_ticks=6)
    assert group._ticks_with_g({2, 3}) == (False, True, True, True, False, True)
    # So that members with these k's share a recorded graph with those that have 1 alone.
    assert group._ticks_with_g({1, 4}) == group._ticks_with_g({1})


def test_the_host_gives_each_tick_what_the_single_step_takes():
    config = small(k=2, lr_decay=1.1, momentum=0.3, final_momentum=0.9, momentum_epochs=3)
    group, member = group_for(config, n_ticks=8), training_of(config, 0)
    member.count(5)
    group.admit(member, 3)
    group._fill()
    numbers, due = group._buffers.numbers[:, :, 0], group._buffers.due[:, :, 0]
    for i in range(3):
        d_steps, g_step = steps_at(config, 5 + i, member.horizon)
        for j, step in enumerate(d_steps):
            expected = torch.tensor([step.lr, step.decay], dtype=torch.float32)
            assert torch.allclose(numbers[2 * i + j, :2], expected, rtol=1e-6)
        expected = torch.tensor([g_step.lr, g_step.decay], dtype=torch.float32)
        assert torch.allclose(numbers[2 * i + 1, 2:4], expected, rtol=1e-6)
    assert due[:, 0].tolist() == [True] * 6 + [False] * 2
    assert due[:, 1].tolist() == [False, True] * 3 + [False] * 2
    assert numbers[:, -2].tolist() == [0.5] * 6 + [0] * 2
    assert numbers[:, -1].tolist() == [0, 1] * 3 + [0] * 2


def test_tf32_is_allowed_in_both_passes_and_no_longer():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    for backward in (False, True):
        with arithmetic("tf32", "cuda", backward=backward):
            assert matmul.fp32_precision == "tf32"
            with full_precision("cuda"):
                assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == before
    with arithmetic("bf16", "cpu", backward=True):
        assert not torch.is_autocast_enabled("cpu")


def test_full_precision_on_a_cpu_is_that_of_its_own_library():
    matmul = torch.backends.mkldnn.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        with full_precision(torch.device("cpu")):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "bf16"
    finally:
        matmul.fp32_precision = before


class Operations(TorchDispatchMode):
    """The names of all operations that run within."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_tick_reads_nothing_back_to_the_host(name, monkeypatch):
    config, other = two_of(name)
    group = group_for(config)
    for i, c in enumerate((config, other)):
        group.admit(training_of(c, i), 100)
    group._fill()
    # On a CPU maxout looks whether any pieces tie.
    monkeypatch.setattr("gansearch.networks.activations._shares", lambda pieces, _: pieces * 1)
    with Operations() as operations:
        group.run_ticks(group._ticks_with_g({config.k, other.k}))
    assert "aten::addmm" not in operations.names  # all products are batched
    assert operations.names.isdisjoint(
        {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::_to_copy.cuda"}
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_replayed_chunk_neither_waits_nor_allocates():
    config = small()
    group = group_for(config, "cuda")
    for seed in range(3):
        group.admit(training_of(config, seed, "cuda"), 1000)
    group.advance()
    with_g = group._ticks_with_g({config.k})
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    torch.cuda.set_sync_debug_mode("error")
    try:
        group._chunks.run(group.run_ticks, with_g)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_scores_of_grouped_and_single_trainings_have_one_distribution(device):
    """Twenty full trainings each way, on digits; Kolmogorov and Smirnov find no difference."""
    scores = script("studies.scores")
    torch.set_num_threads(1)
    dataset, full = load_dataset("digits"), scores.PAPERS["digits"]
    single = [scores.score_alone(full, dataset, seed, device) for seed in range(20)]
    grouped = scores.scores_together(full, dataset, range(1000, 1020), device)
    p = stats.ks_2samp(single, grouped).pvalue
    for name, found in (("single", single), ("grouped", grouped)):
        print(f"{name}: mean {np.mean(found):.2f}, sd {np.std(found, ddof=1):.2f} nats")
    print(f"p = {p:.2f}")
    assert np.isfinite([*single, *grouped]).all()
    assert p > 0.01
