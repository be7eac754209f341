"""A training whose hyperparameters change at points: exactly as a chain of trainings."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.errors import GansearchError
from gansearch.grouping.engine import Engine
from gansearch.grouping.memory import member_bytes
from gansearch.grouping.structure import structure_of
from gansearch.training.peak_memory import peak_bytes
from gansearch.training.training import AdversarialTraining
from tests.training.test_pretraining import staged
from tests.training.test_training import CONVOLUTIONAL, blobs, small, weights

POINTS = [
    {"at": 12, "discriminator_lr": 0.02, "label_smoothing": 0.1},
    {"at": 25, "instance_noise_sd": 0.1, "gradient_penalty": "one_centered", "momentum": 0.6},
    {"at": 42, "gradient_penalty": "r1", "gradient_penalty_weight": 0.5, "generator_lr": 0.005},
]
END = 60
ADAM = {"optimizer": "adam", "generator_lr": 0.01, "discriminator_lr": 0.01}
VARIANTS = {
    "sgd": small(),
    "adam": small(**ADAM, k=2),
    "simultaneous": small(update="simultaneous", k=2, batch_order="shuffled", batch_size=9),
    "averaged": small(generator_ema=0.9, lr_decay=1.01, momentum_epochs=2),
    "by the budget": small(final_lr_share=0.1, momentum_share=0.5),
    "convolutional": small(**CONVOLUTIONAL),
    "pretrained": staged(),
}


def training_of(config, updates=0, state=None):
    training = AdversarialTraining(config, blobs(), 5, max_updates=END)
    if state is not None:
        training.load(state)
    training.advance(updates)
    return training


def equal(a, b):
    return all(map(torch.equal, weights(a), weights(b))) and a.save() == b.save()


def scheduled(name, points=POINTS):
    return VARIANTS[name].replaced(schedule=points, gradient_penalty_weight=0.1)


def without_seconds(training):
    training.seconds = 0.0
    return training


@pytest.mark.parametrize("name", VARIANTS)
def test_a_schedule_trains_as_its_forks_do_one_after_the_other(name):
    """The state of each training becomes that of one with one point more, at the state's updates.

    A new configuration is loaded where its last point is reached.
    """
    whole = without_seconds(training_of(scheduled(name), END))
    state = None
    for i, point in enumerate(POINTS):
        part = training_of(scheduled(name, POINTS[:i]), point["at"], state)
        assert part.updates < point["at"] + part.config.k + 1
        state = part.save()
    last = without_seconds(training_of(scheduled(name), END, state))
    assert equal(whole, last)
    assert not equal(whole, without_seconds(training_of(scheduled(name, []), END)))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("saved_at", [10, 24, 26, 45])
def test_a_resumed_training_goes_on_by_its_schedule_bit_for_bit(name, saved_at):
    config = scheduled(name)
    undisturbed = without_seconds(training_of(config, END))
    state = training_of(config, saved_at).save()
    assert equal(undisturbed, without_seconds(training_of(config, END, state)))


def test_time_slices_do_not_matter_to_a_schedule():
    whole, sliced = training_of(scheduled("sgd"), END), training_of(scheduled("sgd"))
    while sliced.advance(END, time_limit_seconds=0.002) is None:
        pass
    assert equal(without_seconds(whole), without_seconds(sliced))


def test_points_beyond_the_end_change_nothing():
    late = small(schedule=[{"at": END, "discriminator_lr": 5.0}])
    assert all(map(torch.equal, *map(weights, (training_of(late, END), training_of(small(), END)))))


def test_a_training_goes_back_before_a_point_that_it_has_passed():
    """As a trial does whose best state is kept."""
    training = training_of(scheduled("sgd"), 20)
    state, samples = training.save(), training.samples(10)
    training.advance(END)
    training.rewind(state)
    assert (training.samples(10) == samples).all()
    training.advance(END)
    assert equal(without_seconds(training), without_seconds(training_of(scheduled("sgd"), END)))


def test_a_state_fits_what_differs_only_in_points_that_it_has_not_reached():
    state = training_of(scheduled("sgd"), 24).save()
    other = scheduled("sgd", [POINTS[0], {"at": 24, "momentum": 0.1}])
    assert training_of(other, state=state).updates == 24
    for points in ([], POINTS[1:], [{**POINTS[0], "at": 13}, *POINTS[1:]]):
        with pytest.raises(GansearchError, match="another configuration or seed"):
            training_of(scheduled("sgd", points), state=state)
    with pytest.raises(GansearchError, match="another configuration or seed"):
        training_of(scheduled("sgd", [*POINTS[:1], {"at": 22, "momentum": 0.1}]), state=state)
    with pytest.raises(GansearchError, match="another configuration or seed"):
        training_of(scheduled("sgd").replaced(k=2), state=state)


def test_the_velocity_of_sgd_survives_a_change_of_its_rate():
    """v' = momentum v - lr grad: with lr near 0, the next step is the last one times momentum."""
    tiny = {"generator_lr": 1e-12, "discriminator_lr": 1e-12}
    config = small(schedule=[{"at": 20, **tiny}], momentum=0.8, final_momentum=0.8)
    training, found = training_of(config), []
    for updates in (18, 20, 22):
        training.advance(updates)
        found.append(weights(training))
    for before, at_point, after in zip(*found, strict=True):
        assert torch.allclose(after - at_point, 0.8 * (at_point - before), atol=1e-6)
        assert (at_point - before).abs().max() > 1e-5


def test_a_training_with_a_schedule_shares_no_group_and_an_engine_trains_it_all_the_same():
    config = scheduled("sgd")
    assert structure_of(config) is None
    assert structure_of(small()) is not None
    engine = Engine(blobs(), "cpu", n_slots=2)
    try:
        ours = AdversarialTraining(config, blobs(), 5, examples=engine.examples, max_updates=END)
        engine.advance(ours, END)
    finally:
        engine.close()
    assert equal(without_seconds(ours), without_seconds(training_of(config, END)))


def test_the_memory_is_that_of_the_most_expensive_stage():
    noisy = {"instance_noise_sd": 0.1}
    config = TrialConfig(noise_dim=30, generator_widths=(100,))
    points = [{"at": 9, **noisy}, {"at": 20, "instance_noise_sd": 0}]
    later = config.replaced(schedule=points)
    highest = peak_bytes(dataclasses.replace(config, **noisy), blobs(), "cuda")
    assert peak_bytes(later, blobs(), "cuda") == highest > peak_bytes(config, blobs(), "cuda")
    assert member_bytes(later, blobs(), "cuda") == highest
