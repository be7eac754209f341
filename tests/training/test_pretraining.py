"""The two stages of the authors' TFD training: G's upper layers first, then all of it."""

import numpy as np
import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError
from gansearch.runs.generators import load_generator
from gansearch.training.training import AdversarialTraining, first_stage_iterations
from tests.saved_generators import no_data, save


def blobs():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (200, 12), dtype=np.uint8) for _ in range(3)]
    return Dataset("blobs", *images, shape=(2, 6, 1), scale=255.0)


def staged(**values):
    defaults = {
        "pretraining": "upper_layers",
        "pretraining_updates": 20,
        "pretrained_layers": 2,
        "generator_widths": (9, 4, 8, 7),
        "generator_activation": "relu_sigmoid",
        "sigmoid_bias": -2.0,
        "init": "glorot",
        "output_init": "sparse",
        "output_init_inputs": 3,
        "generator_max_norm": 1.9365,
        "discriminator_widths": (6,),
        "noise": "normal",
        "noise_dim": 5,
        "batch_size": 10,
        "momentum_epochs": 2,
        "lr_decay": 1.01,
    }
    return TrialConfig(**(defaults | values))


# Ten iterations at k = 1, seven at k = 2; one that ends between two iterations.
CONFIGS = [
    staged(),
    staged(k=2, optimizer="adam", generator_lr=0.01, discriminator_lr=0.01),
    staged(generator_normalization="batch", pretraining_updates=19),
]


def layers_of(net):
    return [[p.detach().clone() for p in layer.parameters()] for layer in net.layers]


def equal(a, b):
    return [all(map(torch.equal, x, y)) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize(
    ("k", "updates", "expected"), [(1, 20, 10), (1, 19, 10), (2, 20, 7), (2, 21, 7), (3, 1, 1)]
)
def test_the_first_stage_lasts_while_its_updates_are_not_done(k, updates, expected):
    assert first_stage_iterations(staged(k=k, pretraining_updates=updates)) == expected
    assert first_stage_iterations(staged(k=k, pretraining="none")) == 0


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_the_first_stage_trains_the_upper_layers_alone(config):
    training = AdversarialTraining(config, blobs(), 3)
    before = layers_of(training.generator)
    assert training.generator.noise_dim == 4
    training.advance(18)
    assert equal(layers_of(training.generator), before) == [True, True, False, False, False]
    assert training.samples(5).shape == (5, 12)


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_then_the_lower_layers_join_as_they_were_drawn_and_the_upper_keep_their_weights(config):
    training = AdversarialTraining(config, blobs(), 3)
    drawn = layers_of(training.generator)
    n_first = first_stage_iterations(config)
    training.advance(n_first * (config.k + 1))
    assert training.generator.first_layer == 2
    pretrained, d_before = layers_of(training.generator), layers_of(training.discriminator)
    training._begin_second_stage()
    assert training.generator.first_layer == 0 and training.generator.noise_dim == 5
    joined = layers_of(training.generator)
    assert equal(joined, pretrained) == [True] * 5
    assert equal(joined, drawn) == [True, True, False, False, False]
    assert not any(equal(layers_of(training.discriminator), d_before))
    assert not any(layer.bias.any() for layer in training.discriminator.layers)
    players = training.players.generator, training.players.discriminator
    moments = [m for player in players for part in player.moments for m in part]
    assert not any(m.any() for m in moments)
    assert len(training.players.generator.params) == sum(map(len, joined))


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_the_stage_starts_where_its_first_update_was_done(config):
    training, resumed = (
        AdversarialTraining(config, blobs(), 3),
        AdversarialTraining(config, blobs(), 3),
    )
    n_first = first_stage_iterations(config)
    boundary = n_first * (config.k + 1)
    found = []
    for _ in range(n_first + 2):
        training.step()
        resumed.load(training.save())
        assert resumed.stage_start == training.stage_start
        found.append(training.stage_start)
    assert found == [0] * n_first + [boundary] * 2
    assert AdversarialTraining(staged(pretraining="none"), blobs(), 3).stage_start == 0


def test_both_stages_train_every_layer_they_have():
    training = AdversarialTraining(CONFIGS[0], blobs(), 3)
    drawn = layers_of(training.generator)
    training.advance(22)
    assert equal(layers_of(training.generator), drawn) == [False] * 5


def test_the_second_stage_is_a_training_of_its_own_from_the_weights_it_begins_with():
    """The rates, momentum and Adam's bias correction begin anew: as in an unstaged training."""
    for config in CONFIGS:
        unstaged = TrialConfig.from_dict(config.to_dict() | {"pretraining": "none"})
        switched, alone = (
            AdversarialTraining(config, blobs(), 3),
            AdversarialTraining(unstaged, blobs(), 9),
        )
        switched.advance(first_stage_iterations(config) * (config.k + 1))
        switched._begin_second_stage()
        for name in ("generator", "discriminator"):
            getattr(alone, name).load_state_dict(getattr(switched, name).state_dict())
        alone._rng.set_state(switched._rng.get_state())
        # The next step of an undisturbed training makes the same switch.
        whole = AdversarialTraining(config, blobs(), 3)
        whole.advance(first_stage_iterations(config) * (config.k + 1))
        for _ in range(6):
            whole.step()
            alone.step()
        assert equal(layers_of(whole.generator), layers_of(alone.generator)) == [True] * 5
        assert all(equal(layers_of(whole.discriminator), layers_of(alone.discriminator)))


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
@pytest.mark.parametrize("offset", [-3, -1, 0, 1, 4])
def test_a_resume_anywhere_around_the_boundary_loses_not_a_bit(config, offset):
    saved_at = first_stage_iterations(config) + offset
    undisturbed, first = (
        AdversarialTraining(config, blobs(), 5),
        AdversarialTraining(config, blobs(), 5),
    )
    for _ in range(saved_at):
        first.step()
    state = first.save()
    second = AdversarialTraining(config, blobs(), 5)
    second.load(state)
    assert second.save() == state
    assert np.array_equal(second.samples(20), first.samples(20))
    mark = 25 * (config.k + 1)
    a, b = undisturbed.advance(mark), second.advance(mark)
    assert (a.d_loss, a.g_loss, a.d_real, a.d_fake) == (b.d_loss, b.g_loss, b.d_real, b.d_fake)
    for name in ("generator", "discriminator"):
        assert all(equal(*(layers_of(getattr(t, name)) for t in (undisturbed, second))))


def test_a_state_of_the_first_stage_loads_into_a_training_that_is_in_its_second():
    config = CONFIGS[0]
    early, late = AdversarialTraining(config, blobs(), 5), AdversarialTraining(config, blobs(), 5)
    early.advance(10)
    late.advance(30)
    late.load(early.save())
    assert late.generator.first_layer == 2
    late.advance(40), early.advance(40)
    assert all(equal(layers_of(late.generator), layers_of(early.generator)))


@pytest.mark.parametrize(
    ("n_layers", "first_layer", "noise_dim"), [(0, 4, 7), (1, 3, 8), (4, 0, 5), (9, 0, 5)]
)
def test_any_number_of_upper_layers_can_be_pretrained(n_layers, first_layer, noise_dim):
    config = staged(pretrained_layers=n_layers)
    training = AdversarialTraining(config, blobs(), 3)
    assert training.generator.first_layer == first_layer
    assert training.generator.noise_dim == noise_dim
    before = layers_of(training.generator)
    training.advance(10)
    changed = [not same for same in equal(layers_of(training.generator), before)]
    assert changed == [i >= first_layer for i in range(5)]
    training.advance(30)
    assert training.generator.first_layer == 0


def test_the_upper_layers_may_be_deconvolutions():
    config = staged(
        generator_network="convolutional",
        generator_widths=(9,),
        generator_channels=(6, 4),
        generator_kernels=(3,),
        generator_strides=(2,),
        pretrained_layers=1,
    )
    training = AdversarialTraining(config, blobs(), 3)
    before = layers_of(training.generator)
    # Of the layers 9, the projection, and two deconvolutions, the last hidden one and the output.
    assert training.generator.noise_dim == training.generator.layers[2].n_in
    training.advance(20)
    assert equal(layers_of(training.generator), before) == [True, True, False, False]
    training.advance(24)
    assert equal(layers_of(training.generator), before) == [False] * 4


def test_a_generator_that_ended_in_its_first_stage_is_saved_and_sampled_as_such(tmp_path):
    training = AdversarialTraining(CONFIGS[0], blobs(), 3)
    training.advance(20)
    save(tmp_path, training.generator, training.config, dataset="blobs", seed=training.sample_seed)
    loaded = load_generator(tmp_path, no_data).generator
    assert loaded.network.first_layer == 2
    assert np.array_equal(loaded.samples(30), training.samples(30))


def test_a_state_of_a_training_without_pretraining_is_refused():
    other = AdversarialTraining(staged(pretraining="none"), blobs(), 3).save()
    with pytest.raises(GansearchError, match="another configuration or seed"):
        AdversarialTraining(staged(), blobs(), 3).load(other)
