"""Nets for all conditionals: they complete what is hidden, and nothing else."""

import re
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from gansearch.artifacts import complete_with, module_of
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError
from gansearch.families.inpainting_parameters import KINDS as MEASURED
from gansearch.family import family_of
from gansearch.networks.models import Generator
from gansearch.runs.generators import load_generator, save_generator
from gansearch.scoring.masks import KINDS, masks_of_kind
from gansearch.space.load import load_space
from gansearch.training import state as training_state
from gansearch.training.pairs import Minibatch
from gansearch.training.random_draws import UpdateDraws

DIGITS = load_dataset("digits")
RING = load_dataset("ring")
FAMILY = family_of({"family": "inpainting_nets"})
SMALL = {
    "noise_dim": 5,
    "generator_widths": (32,),
    "discriminator_widths": (24,),
    "batch_size": 20,
    "optimizer": "adam",
    "generator_lr": 0.001,
    "discriminator_lr": 0.001,
    "init": "glorot",
}
CONVOLUTIONAL = {
    **SMALL,
    "generator_network": "convolutional",
    "generator_channels": (8,),
    "generator_kernels": (4,),
    "generator_strides": (2,),
    "generator_paddings": (1,),
    "discriminator_network": "convolutional",
    "discriminator_channels": (8,),
    "discriminator_kernels": (4,),
    "discriminator_strides": (2,),
    "discriminator_paddings": (1,),
    "discriminator_pools": (1,),
    "discriminator_pool_strides": (1,),
    "discriminator_normalization": "batch",
}


def config(**changes):
    return FAMILY.config_type(**{**SMALL, **changes})


def training(dataset=DIGITS, seed=3, **changes):
    linear = {} if dataset.is_image else {"generator_output": "linear"}
    made = config(**{**linear, **changes})
    FAMILY.check(made, dataset)
    built = FAMILY.build(made, dataset, seed, "cpu")
    built.max_updates = 1000
    return built


def colours():
    images = np.random.default_rng(0).integers(0, 256, (60, 8 * 12 * 3), dtype=np.uint8)
    return Dataset("colours", images, images, images, (8, 12, 3), 255.0)


MEAN = np.array([0.5, -0.3, 1.0])
COVARIANCE = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.1], [0.3, 0.1, 0.5]])


def test_completions_of_a_gaussian_have_its_conditional_means_and_covariances():
    points = np.random.default_rng(0).multivariate_normal(MEAN, COVARIANCE, 6000)
    points = points.astype(np.float32)
    dataset = Dataset("gaussian", points[:5000], points[5000:5500], points[5500:], (3,), 1.0)
    trained = training(
        dataset,
        noise="normal",
        discriminator_widths=(32, 32),
        discriminator_activation="leaky_relu",
        dropout_input=0.0,
        dropout_hidden=0.0,
        batch_size=200,
        adam_beta1=0.5,
        lr_decay=1.0,
        generator_lr=0.003,
        discriminator_lr=0.005,
        generator_ema=0.99,
        all_hidden_share=0.1,
    )
    errors = []
    for updates in (0, 1500):
        if updates:
            trained.advance(updates)
        errors.append([conditional_errors(trained, shown) for shown in ([0], [1, 2])])
    assert np.max(errors[0], axis=(0, 1)) > 0.5
    assert np.max(errors[1]) < 0.25


def conditional_errors(trained, shown):
    """Return how far means and covariances of completions are from the exact ones, at most."""
    hidden = [i for i in range(3) if i not in shown]
    gain = COVARIANCE[np.ix_(hidden, shown)] @ np.linalg.inv(COVARIANCE[np.ix_(shown, shown)])
    wanted = COVARIANCE[np.ix_(hidden, hidden)] - gain @ COVARIANCE[np.ix_(shown, hidden)]
    worst = np.zeros(2)
    for x in MEAN + np.array([[-1.0, -1, -0.5], [0, 0, 0], [1, 1, 0.5]]):
        masks = torch.zeros(1, 3)
        masks[0, shown] = 1
        given = torch.from_numpy(x.astype(np.float32)[None])
        made = trained.complete(given, masks, 3000)[0]
        mean = MEAN[hidden] + gain @ (x - MEAN)[shown]
        away = np.abs(made[:, hidden].mean(0) - mean).max()
        covariance = np.cov(made[:, hidden].T).reshape(wanted.shape)
        worst = np.maximum(worst, [away, np.abs(covariance - wanted).max()])
    return worst


@pytest.mark.parametrize("changes", [{}, {"generator_widths": ()}, CONVOLUTIONAL])
def test_where_all_is_hidden_it_is_the_unconditional_net_of_the_same_weights(changes):
    generator = training(**changes).generator
    plain = generator.unconditional(config(**changes))
    assert type(plain) is Generator
    noise = torch.randn(50, 5)
    torch.testing.assert_close(generator(noise), plain(noise))
    x, nothing = torch.rand(50, 64), torch.zeros(50, 64)
    assert torch.equal(generator.completed(noise, x, nothing), generator(noise))
    # What is hidden has no influence.
    masks = masks_of_kind("halves", (8, 8, 1), 50, seed=1)
    other = torch.where(masks > 0, x, torch.rand(50, 64))
    completed = generator.completed(noise, x, masks)
    assert torch.equal(completed, generator.completed(noise, other, masks))
    assert not torch.equal(completed, generator.completed(noise, torch.rand(50, 64), masks))


@pytest.mark.parametrize("dataset", [DIGITS, colours(), RING], ids=lambda each: each.name)
def test_real_and_completed_pairs_agree_where_x_is_visible_and_on_the_mask(dataset):
    for network in ("dense", "convolutional") if dataset.is_image else ("dense",):
        trained = training(dataset, **CONVOLUTIONAL if network == "convolutional" else {})
        n_extra = trained.discriminator.n_extra
        rows = torch.arange(20)
        extra = torch.rand(20, n_extra, generator=torch.Generator().manual_seed(1))
        drawn = UpdateDraws(torch.randn(20, 5), [], None, None, extra)
        batch = Minibatch(trained.examples.at(rows), rows, drawn)
        real, fake = trained.real_pairs(batch), trained.fake_pairs(batch)
        assert real.shape == fake.shape == (20, trained.discriminator.dim)
        if network == "convolutional":
            height, width, channels = dataset.shape
            maps = [each.view(20, height * width, channels + 1) for each in (real, fake)]
            masks = maps[0][..., -1]
            assert torch.equal(masks, maps[1][..., -1])
            real, fake = (each[..., :-1].flatten(1) for each in maps)
        else:
            masks = real[:, dataset.dim :]
            assert torch.equal(masks, fake[:, dataset.dim :])
            real, fake = real[:, : dataset.dim], fake[:, : dataset.dim]
        assert torch.equal(real, batch.x)
        visible = masks.repeat_interleave(dataset.dim // masks.shape[1], 1) > 0
        assert torch.equal(real[visible], fake[visible])
        assert (real[~visible] != fake[~visible]).float().mean() > 0.9
        assert 0 < visible.float().mean() < 1


@pytest.mark.parametrize(
    ("dataset", "changes"),
    [
        (DIGITS, {"masks": "mixed", "generator_ema": 0.9}),
        (DIGITS, {"masks": "random", "all_hidden_share": 0.9}),
        (DIGITS, {"masks": "halves", "k": 2, "gradient_penalty": "one_centered"}),
        (DIGITS, {"masks": "blocks", "instance_noise_sd": 0.1, "batch_order": "shuffled"}),
        (colours(), CONVOLUTIONAL),
        (RING, {}),
    ],
)
def test_each_choice_trains_and_its_state_and_generator_are_stored_bit_for_bit(
    dataset, changes, tmp_path
):
    trained = training(dataset, **changes)
    metrics = trained.advance(30)
    assert np.isfinite([metrics.d_loss, metrics.g_loss]).all()
    again = training(dataset, **changes)
    again.load(trained.save())
    trained.advance(60)
    again.advance(60)
    for one, other in zip(*(tensors_of(each) for each in (trained, again)), strict=True):
        assert torch.equal(one, other)
    np.testing.assert_array_equal(trained.samples(30), again.samples(30))

    export = FAMILY.export(trained, 3)
    where = {"family": FAMILY, "dataset": dataset.name, "shape": dataset.shape}
    save_generator(tmp_path, export, trained.config, **where)
    saved = load_generator(tmp_path, lambda name: pytest.fail(name)).generator
    np.testing.assert_array_equal(saved.samples(30), trained.samples(30))
    x = dataset.to_float(dataset.test[:5])
    masks = masks_of_kind("random", dataset.shape, 5, seed=2)
    made = complete_with(saved, x, masks.numpy() > 0, 4)
    np.testing.assert_array_equal(made, trained.complete(torch.from_numpy(x), masks, 4))
    visible = np.broadcast_to(
        (masks.numpy() > 0).repeat(x.shape[1] // masks.shape[1], 1)[:, None], made.shape
    )
    np.testing.assert_array_equal(made[visible], np.repeat(x[:, None], 4, 1)[visible])


def tensors_of(trained):
    return [tensor for _, tensor in sorted(training_state.decode(trained.save())[1].items())]


def test_the_exported_module_gives_the_samples_that_were_scored():
    trained = training()
    trained.advance(20)
    saved = FAMILY.generator(
        dataclass_with_shape(FAMILY.export(trained, 3)), trained.config, pytest.fail
    )
    module = module_of(saved)
    noise = eval(
        module.noise,
        {"torch": torch, "n": 1000, "rng": torch.Generator().manual_seed(module.seed)},
    )
    np.testing.assert_allclose(
        module.network(noise).flatten(1)[:50].numpy(), trained.samples(50), atol=1e-6
    )


def dataclass_with_shape(export):
    return type(export)(export.arrays, export.seed, {**export.details, "shape": [8, 8, 1]})


def test_measures_leave_the_training_as_it_is_and_have_the_names_of_the_family():
    trained, alone = training(), training()
    names = {each.name for each in FAMILY.measures}
    early = trained.measure("valid", at_end=False)
    assert set(early) == {each.name for each in FAMILY.measures if not each.at_end}
    assert set(trained.measure("test", at_end=True)) == names
    assert all(np.isfinite(list(early.values())))
    trained.advance(20)
    alone.advance(20)
    np.testing.assert_array_equal(trained.samples(10), alone.samples(10))
    assert trained.measure("valid", at_end=False) == alone.measure("valid", at_end=False)
    assert set(training(RING).measure("valid", at_end=False)) < names


def test_pictures_show_examples_what_is_visible_and_completions():
    for dataset in (DIGITS, colours(), RING):
        trained = training(dataset)
        content = FAMILY.pictures(trained, dataset)["completions.png"]
        image = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
        assert image.shape[0] > 100
        if dataset.is_image:  # the original, the hidden part in blue, completions
            hiding = (image == (0x56, 0xB4, 0xE9)).all(2)
            columns = np.flatnonzero(hiding.any(0))
            side = image.shape[1] // 10
            assert hiding.sum() > 1000
            assert columns.min() >= side and columns.max() < 2 * side + 4


@pytest.mark.parametrize(
    ("dataset", "changes", "message"),
    [
        (RING, {"masks": "halves"}, "masks: halves, on the points of ring. Halves and blocks are"),
        (RING, {"masks": "blocks"}, "masks: blocks, on the points of ring. Halves and blocks are"),
        (RING, CONVOLUTIONAL, "convolutional, on the points of ring. A convolutional network is"),
        (load_dataset("gaussian"), {}, "on gaussian: an example is a single value or pixel, so"),
        (DIGITS, {"generator_normalization": "batch"}, "statistics suit none of them. Use none."),
        (
            Dataset("large", *[np.zeros((3, 3 * 200 * 200), np.uint8)] * 3, (200, 200, 3), 255.0),
            {},
            "G would take 160,005 inputs, the noise, the example and its mask. It takes at most",
        ),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_a_run(dataset, changes, message):
    linear = {} if dataset.is_image else {"generator_output": "linear"}
    with pytest.raises(ConfigError, match=re.escape(message)):
        FAMILY.check(config(**{**linear, **changes}), dataset)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("all_hidden_share", 0, "a number in (0, 0.95]"),
        ("all_hidden_share", 1, "a number in (0, 0.95]"),
        ("masks", "all", "one of mixed, random, halves, blocks"),
    ],
)
def test_values_out_of_range_are_refused(name, value, rule):
    with pytest.raises(ConfigError, match=re.escape(rule)):
        config(**{name: value})


def test_pixels_out_of_range_are_refused():
    saved = FAMILY.generator(
        dataclass_with_shape(FAMILY.export(training(), 3)), config(), pytest.fail
    )
    shown = np.ones((1, 64), bool)
    shown[:, :8] = False
    with pytest.raises(BadInputError, match=re.escape("from 0 to 16. Pixels lie in [0, 1].")):
        complete_with(saved, DIGITS.test[:1].astype(np.float32), shown, 2)


def test_other_families_say_that_they_complete_nothing():
    with pytest.raises(BadInputError, match=r"don't complete examples\. The family inpainting"):
        complete_with(object(), np.zeros((1, 2)), np.zeros((1, 2), bool), 1)


def test_the_built_in_space_fits_its_data():
    space = load_space("digits-inpainting")
    assert space.family.name == "inpainting_nets"
    assert set(space.presets) == {"completing", "paper"}
    for name in space.presets:
        space.family.check(space.preset(name), DIGITS)
    assert space.objective.name == "energy_score"
    assert KINDS == MEASURED  # kinds of masks, and those that measures are named after


def test_memory_and_operations_are_known_before_a_run():
    for changes in ({}, CONVOLUTIONAL, {"precision": "bf16"}):
        made = config(**{**changes, "generator_widths": (256, 256), "batch_size": 200})
        rough = FAMILY.training_bytes(made, DIGITS, "cpu", exact=False)
        exact = FAMILY.training_bytes(made, DIGITS, "cpu", exact=True)
        assert exact / 3 < rough < 3 * exact
        # G's lowest layer takes the noise, the image and the mask.
        assert FAMILY.operations(made, DIGITS).samples > 1000 * 2 * 256 * (5 + 64 + 64)
        training(**changes).advance(4)
