"""Inference of z from x: E against closed forms, its two ways of training, what is measured."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from gansearch.artifacts import inference_of
from gansearch.data.dataset import Dataset, Labels
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError, DivergedError
from gansearch.families.adversarial_nets import AdversarialNets
from gansearch.families.inference_nets import InferenceNets
from gansearch.families.inference_parameters import InferenceConfig, stages
from gansearch.families.trained_inference import TrainedInference, mean_distance, z_statistics
from gansearch.networks.inference import InferenceGenerator
from gansearch.report.reconstructing import write_reconstructions
from gansearch.report.run import open_run
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import StoredGenerator, save_generator
from gansearch.space.search_space import SearchSpace
from gansearch.training.pairs import Minibatch
from gansearch.training.random_draws import UpdateDraws
from gansearch.training.schedules import coefficients_at
from tests.written_runs import described

FAMILY = InferenceNets("inference_nets")
DIGITS = load_dataset("digits")


def points(n=300, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) + 1).astype(np.float32)
    return Dataset("points", rows, rows[:100], rows[100:], (dim,), 1.0)


def config(**values):
    small = {
        "generator_widths": (8,),
        "discriminator_widths": (8,),
        "encoder_widths": (8,),
        "noise_dim": 3,
        "batch_size": 20,
        "maxout_pieces": 2,
    }
    return InferenceConfig(**small | values)


LINEAR = {
    "generator_widths": (),
    "encoder_widths": (),
    "generator_output": "linear",
    "noise": "normal",
    "init": "normal",
    "init_sd": 0.5,
    "optimizer": "adam",
}


def build(values, dataset, max_updates=200, seed=1):
    training = FAMILY.build(values, dataset, seed, "cpu")
    training.max_updates = max_updates
    return training


def linear_training(noise_dim, dim, **values):
    """Return a finished training whose G is linear, with x = z W + b, and whose E is regressed."""
    chosen = config(
        **LINEAR, inference="after", inference_share=0.99, encoder_lr=0.05, lr_decay=1.01,
        batch_size=200, noise_dim=noise_dim, **values,
    )  # fmt: skip
    training = build(chosen, points(dim=dim), 1200)
    training.advance(1200)
    return training


@pytest.mark.parametrize(("noise_dim", "dim"), [(2, 4), (4, 2)])
def test_e_regressed_on_a_linear_g_is_the_closed_form_posterior_mean(noise_dim, dim):
    training = linear_training(noise_dim, dim)
    weight = training.generator.net.layers[0].weight.detach()
    # z given x is normal; its mean is (x - b) W', by the pseudo-inverse W', for x in G's range.
    found = training.generator.encoder[0].weight.detach()
    assert torch.allclose(weight @ found, weight @ torch.linalg.pinv(weight), atol=0.02)
    if dim <= noise_dim:  # all x are in its range
        assert torch.allclose(found, torch.linalg.pinv(weight), atol=0.05)
    # What no function of x can tell of z: the directions that W maps to 0.
    unexplained = max(0, noise_dim - dim) / noise_dim
    z_error = training.measure("valid", at_end=False)["z_error"]
    assert z_error == pytest.approx(unexplained, abs=0.04)


def exact(dim=4, noise_dim=2):
    """Return a linear G with its pseudo-inverse as E, and its weight and bias."""
    chosen = config(**LINEAR, noise_dim=noise_dim)
    network = InferenceGenerator(chosen, (dim,))
    network.initialise(torch.ones(dim), torch.Generator().manual_seed(0))
    layer, inverse = network.net.layers[0], network.encoder[0]
    with torch.no_grad():
        inverse.weight.copy_(torch.linalg.pinv(layer.weight))
        inverse.bias.copy_(-layer.bias @ inverse.weight)
    return TrainedInference(network, chosen, 0), layer


def test_with_the_exact_inverse_nothing_nearer_is_in_gs_range():
    trained, layer = exact()
    x = points(dim=4).test[:50]
    assert trained.reconstruction_ratio(x) == pytest.approx(1, abs=1e-3)
    basis = torch.linalg.qr(layer.weight.detach().T).Q.numpy()
    centred = x - layer.bias.detach().numpy()
    projected = centred @ basis @ basis.T + layer.bias.detach().numpy()
    assert np.allclose(trained.reconstruct(x), projected, atol=1e-4)
    with torch.no_grad():
        trained.network.encoder[0].weight.zero_()
    # The search finds the projection without E's help.
    nearest = mean_distance(x, trained.nearest_in_range(x))
    assert nearest == pytest.approx(mean_distance(x, projected), rel=0.01)
    assert trained.reconstruction_ratio(x) > 1.05


def test_other_examples_reconstructions_are_farther_away():
    trained, _ = exact()
    x = points(dim=4).test
    made = trained.reconstruct(x)
    assert mean_distance(x, made) < 0.8 * mean_distance(x, np.roll(made, 1, axis=0))


@pytest.mark.parametrize("noise", ["normal", "uniform"])
def test_z_statistics_are_near_zero_for_draws_of_the_prior_and_large_elsewhere(noise):
    rng = np.random.default_rng(0)
    half = math.sqrt(3)
    draws = rng.normal(size=(2000, 5)) if noise == "normal" else rng.uniform(-half, half, (2000, 5))
    of_prior = z_statistics(draws.astype(np.float32), noise)
    # The expected Kolmogorov-Smirnov distance of n draws is .87 / sqrt(n).
    assert of_prior["z_mismatch"] == pytest.approx(0.87 / math.sqrt(2000), abs=0.01)
    assert of_prior["z_log_prior_gap"] < 0.03
    narrow = z_statistics(np.zeros((2000, 5), np.float32), noise)
    assert narrow["z_mismatch"] == pytest.approx(0.5, abs=1e-3)
    assert narrow["z_log_prior_gap"] == pytest.approx(0.5)
    # N(0, 4): the mean log density differs by (4 - 1) / 2.
    if noise == "normal":
        wide = z_statistics((2 * draws).astype(np.float32), noise)
        assert wide["z_log_prior_gap"] == pytest.approx(1.5, abs=0.1)


def test_exact_inference_of_generated_examples_has_the_priors_statistics():
    trained, _ = exact()
    z = trained.infer(trained.samples(2000))
    assert z_statistics(z, "normal")["z_mismatch"] < 0.04
    assert trained.z_error() < 1e-6


@pytest.mark.parametrize("loss", ["non_saturating", "minimax"])
def test_along_the_gradients_of_g_and_e_are_those_of_the_hand_written_loss(loss):
    chosen = config(generator_loss=loss, z_weight=0.5, dropout_input=0.0, dropout_hidden=0.0)
    training = build(chosen, points())
    rng = torch.Generator().manual_seed(3)
    x = torch.randn(20, 3, generator=rng)
    z = torch.randn(20, 3, generator=rng)
    batch = Minibatch(x, torch.arange(20), UpdateDraws(z, [None] * 2, None, None))
    update = training._generator_update(batch, coefficients_at(chosen, 0))
    g, d = training.generator, training.discriminator
    made = g.net(z)
    p_fake = torch.sigmoid(d(torch.cat((made, z), 1)))
    p_real = torch.sigmoid(d(torch.cat((x, g.infer(x)), 1)))
    if loss == "non_saturating":
        expected = -p_fake.log().mean() - (1 - p_real).log().mean()
    else:
        expected = p_real.log().mean() + (1 - p_fake).log().mean()
    assert update.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    objective = expected + 0.5 * (g.infer(made) - z).square().mean()
    by_hand = torch.autograd.grad(objective, list(g.parameters()))
    assert len(by_hand) == len(update.grads) == 8
    for found, wanted in zip(update.grads, by_hand, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


def test_d_sees_x_with_its_z_along_and_x_alone_after():
    for inference, dim in (("along", 6), ("after", 3)):
        assert build(config(inference=inference), points()).discriminator.dim == dim


def test_of_uniform_noise_e_stays_within_the_range_of_the_noise():
    network = InferenceGenerator(config(), (3,))
    network.initialise(torch.zeros(3), torch.Generator().manual_seed(0))
    assert network.infer(1e6 * torch.randn(50, 3)).abs().max() <= math.sqrt(3) + 1e-6


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_in_the_second_stage_e_alone_is_trained(ema):
    training = build(
        config(inference="after", inference_share=0.5, encoder_lr=0.1, generator_ema=ema), points()
    )
    first = training.advance(100)
    assert first.stage_start == 0 and first.d_loss is not None
    assert (training.counts.d_updates, training.counts.g_updates) == (50, 50)
    samples, z = training.samples(20), training._scored.infer(points().test)
    d_before = [p.clone() for p in training.discriminator.parameters()]
    second = training.advance(200)
    assert second.stage_start == 100
    assert (second.d_loss, second.g_loss, second.g_grad_norm) == (None, None, None)
    assert (training.counts.updates, training.counts.g_updates) == (200, 50)
    assert np.array_equal(training.samples(20), samples)
    assert not np.array_equal(training._scored.infer(points().test), z)
    for before, after in zip(d_before, training.discriminator.parameters(), strict=True):
        assert torch.equal(before, after)


def test_an_e_that_diverges_is_called_so():
    training = build(config(inference="after", encoder_lr=100, encoder_widths=(8, 8, 8)), points())
    training.advance(140)
    with pytest.raises(DivergedError, match="E's"):
        for updates in range(142, 201, 2):
            for layer in training.generator.encoder:
                layer.weight.data.mul_(1e10)
            training.advance(updates)


CASES = [
    {"inference": "along"},
    {"inference": "along", "generator_ema": 0.9, "z_weight": 1.0, "optimizer": "adam"},
    {"inference": "along", "instance_noise_sd": 0.1, "gradient_penalty": "r1", "k": 2},
    {"inference": "after", "optimizer": "adam", "generator_lr": 1e-3, "encoder_lr": 1e-3},
    {"inference": "after", "generator_ema": 0.9, "k": 2},
    {"inference": "after", "encoder_activation": "maxout", "encoder_widths": (4, 4)},
    {"inference": "along", "generator_normalization": "batch", "noise": "normal"},
    {"inference": "along", "precision": "bf16", "z_weight": 1.0},
]


@pytest.mark.parametrize("values", CASES, ids=lambda values: "-".join(map(str, values.values())))
def test_a_resumed_training_equals_the_undisturbed_one_bit_for_bit(values):
    chosen, dataset = config(**values), points()
    undisturbed = build(chosen, dataset, 60)
    undisturbed.advance(60)
    for saved_at in (12, 42, 48):  # in either stage, and at the boundary between them
        saved = build(chosen, dataset, 60)
        saved.advance(saved_at)
        resumed = build(chosen, dataset, 60)
        resumed.load(saved.save())
        assert np.array_equal(resumed.samples(10), saved.samples(10))
        resumed.advance(60)
        assert np.array_equal(resumed.samples(50), undisturbed.samples(50))
        x = dataset.test
        assert np.array_equal(resumed._scored.infer(x), undisturbed._scored.infer(x))


def test_a_training_can_go_back_from_the_second_stage_to_a_state_of_the_first():
    chosen = config(inference="after", generator_ema=0.9)
    training = build(chosen, points(), 60)
    training.advance(20)
    state, z = training.save(), training._scored.infer(points().test)
    training.advance(60)
    training.rewind(state)
    assert np.array_equal(training._scored.infer(points().test), z)


@pytest.mark.parametrize("values", CASES, ids=lambda values: "-".join(map(str, values.values())))
def test_a_stored_generator_gives_the_same_samples_and_infers_the_same(values):
    chosen, dataset = config(**values), points()
    training = build(chosen, dataset, 60)
    training.advance(60)
    export = FAMILY.export(training, 1)
    details = json.loads(json.dumps({**export.details, "shape": dataset.shape}))
    export = dataclasses.replace(export, details=details)
    restored = type(chosen).from_dict(json.loads(json.dumps(chosen.to_dict())))
    saved = FAMILY.generator(export, restored, lambda: dataset)
    assert np.array_equal(saved.samples(30), training.samples(30))
    inference = inference_of(saved)
    assert inference.infer(dataset.test).shape == (200, 3)
    assert np.array_equal(inference.infer(dataset.test), training._scored.infer(dataset.test))
    made = inference.reconstruct(dataset.test)
    # Under batch normalisation what is beside an example moves it, by little.
    rounding = 0.01 if chosen.generator_normalization == "batch" else 1e-5
    assert np.allclose(made[:5], inference.reconstruct(dataset.test[:5]), atol=rounding)
    module = saved.module()
    assert module.network(torch.zeros(4, module.noise_dim)).shape == (4, 3)


def test_the_measures_are_those_of_the_family_and_those_at_the_end_only_there():
    training = build(config(generator_widths=(16,), noise_dim=5), DIGITS, 40)
    training.advance(40)
    early, final = training.measure("valid", at_end=False), training.measure("test", at_end=True)
    assert set(early) == {each.name for each in FAMILY.measures if not each.at_end}
    assert set(final) == {each.name for each in FAMILY.measures}
    assert all(math.isfinite(value) for value in final.values())
    assert final["reconstruction_ratio"] >= 1
    assert 0 <= final["neighbour_accuracy"] <= 1
    state = training.save()
    assert training.measure("valid", at_end=False) == early
    assert training.save() == state


def test_neighbours_are_found_by_es_last_hidden_layer():
    trained, _ = exact(dim=4)
    # With no hidden layer by E itself, which sees nothing outside of the range of W.
    rng = np.random.default_rng(0)
    train, test = (rng.normal(size=(n, 4)).astype(np.float32) for n in (200, 50))
    z_train, z_test = trained.infer(train), trained.infer(test)
    nearest = np.linalg.norm(z_test[:, None] - z_train, axis=2).argmin(1)
    classes = np.arange(200, dtype=np.int16)
    labels = Labels(tuple(map(str, classes)), classes, classes, classes)
    dataset = Dataset("points", train, test, test, (4,), 1.0, labels=labels)
    assert trained.neighbour_accuracy(dataset, test, nearest) == 1
    assert trained.neighbour_accuracy(dataset, test, nearest + 1) == 0


def test_images_get_a_picture_of_reconstructions_and_points_none():
    training = build(config(), DIGITS, 40)
    pictures = FAMILY.pictures(training, DIGITS)
    assert list(pictures) == ["reconstructions.png"]
    assert pictures["reconstructions.png"].startswith(b"\x89PNG")
    groups = training.reconstructions()
    assert groups.shape == (12, 4, 64)
    assert np.array_equal(groups[:, 0], DIGITS.to_float(DIGITS.valid[:12]))
    assert FAMILY.pictures(build(config(), points()), points()) == {}


def test_memory_and_operations_are_known_before_a_run():
    for values in ({"inference": "along"}, {"inference": "after"}):
        chosen = config(**values)
        exact, rough = (
            FAMILY.training_bytes(chosen, DIGITS, "cpu", exact=e) for e in (True, False)
        )
        assert rough / 10 < exact < 10 * rough  # little of each
        # An update of either player passes through both; an example has 64 values.
        assert FAMILY.operations(chosen, DIGITS).update > 2 * chosen.batch_size * 64


def test_the_stages_share_the_budget():
    chosen = config(inference="after", inference_share=0.25, k=3)
    assert stages(chosen, 1600) == (300, 100)
    assert stages(config(inference="along"), 1600) == (800, 0)
    for share in (0.01, 0.99):
        chosen = config(inference="after", inference_share=share)
        assert min(stages(chosen, 6)) == 1


def test_a_budget_too_small_for_two_stages_is_refused():
    chosen = config(inference="after", inference_share=0.1)
    with pytest.raises(ConfigError, match=r"need an iteration of 2 updates each\. Raise max_up"):
        FAMILY.check_budget(chosen, 2)
    FAMILY.check_budget(chosen, 4)
    FAMILY.check_budget(config(inference="along"), 1)


def test_a_second_stage_needs_a_budget():
    training = FAMILY.build(config(inference="after"), points(), 1, "cpu")
    assert training.samples(2).shape == (2, 3)
    with pytest.raises(ConfigError, match="Give the training its max_updates"):
        training.advance(10)


def test_a_convolutional_e_is_not_there_and_e_stands_beside_convolutional_players():
    chosen = config(
        generator_network="convolutional", generator_channels=(4,), generator_kernels=(4,),
        generator_strides=(2,), discriminator_network="convolutional",
        discriminator_channels=(4,), discriminator_kernels=(3,), discriminator_paddings=(1,),
        discriminator_pools=(1,),
    )  # fmt: skip
    FAMILY.check(chosen, DIGITS)
    training = build(chosen, DIGITS, 8)
    training.advance(8)
    assert training._scored.infer(DIGITS.to_float(DIGITS.test[:5])).shape == (5, 3)
    with pytest.raises(ConfigError, match=r"unknown parameter encoder_channels"):
        InferenceConfig.from_dict({"encoder_channels": [4]})


def test_a_share_of_a_second_stage_is_refused_where_there_is_none():
    space = {
        "family": "inference_nets",
        "dataset": "digits",
        "search": {"inference_share": {"float": [0.2, 0.5]}},
        "fixed": {"inference": "along"},
    }
    with pytest.raises(BadInputError, match="only has an effect where inference is after"):
        SearchSpace.from_dict(space)


def test_inference_asked_of_generators_without_it_is_refused():
    family = AdversarialNets("adversarial_nets")
    small = {"generator_widths": [4], "discriminator_widths": [4]}
    training = family.build(family.config_type.from_dict(small), points(), 1, "cpu")
    export = family.export(training, 1)
    export = dataclasses.replace(export, details={**export.details, "shape": [3]})
    saved = family.generator(export, training.config, points)
    with pytest.raises(BadInputError, match=r"no inference network.*inference_nets"):
        inference_of(saved)


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (np.zeros(4), r"\[4\]"),
        (np.zeros((2, 5)), r"\[2, 5\]"),
        (np.zeros((0, 3)), r"\[0, 3\]"),
        (np.full((2, 3), "a"), "<U1"),
        ([[1, 2], [3]], "can't be made an array"),
        (np.full((2, 3), 1e300), "huge"),
        (np.full((2, 3), np.nan), "NaN"),
    ],
)
def test_examples_of_another_shape_are_refused(x, found):
    with pytest.raises(BadInputError, match=found):
        stored = StoredGenerator(exact()[0], "points", (3,))
        stored.as_trained_on(stored.rows_of(x))


def test_generated_points_come_back_to_their_noise_by_along_training():
    """x ~ N(1, .25): the pairs agree where G(z) = 1 + .5 z and E is its inverse, or mirrored."""
    chosen = config(
        **LINEAR, noise_dim=1, generator_lr=0.01, discriminator_lr=0.02, lr_decay=1.0,
        discriminator_widths=(16,), dropout_input=0.0, dropout_hidden=0.0, batch_size=200,
        generator_ema=0.99,
    )  # fmt: skip
    training = build(chosen, load_dataset("gaussian"), 2400)
    training.advance(2400)
    x = np.linspace(0, 2, 5, dtype=np.float32)[:, None]
    assert np.allclose(training._scored.reconstruct(x), x, atol=0.3)
    assert training._scored.z_error() < 0.3


@pytest.fixture
def stored(tmp_path):
    """Return a run with one trial, t00000, that infers, and its training."""
    folder = RunFolder.create(tmp_path, "some")
    folder.write_run(described(name="some"))
    training = build(config(), DIGITS, 8)
    save_generator(
        folder.model_dir("t00000"),
        FAMILY.export(training, 1),
        training.config,
        family=FAMILY,
        dataset="digits",
        shape=DIGITS.shape,
    )
    return open_run(folder), training._scored


def test_a_run_infers_and_reconstructs_examples(stored):
    run, trained = stored
    x = DIGITS.to_float(DIGITS.test[:7])
    assert np.array_equal(run.infer(x, trial="t00000"), trained.infer(x))
    assert np.array_equal(run.reconstruct(x, trial="t00000"), trained.reconstruct(x))
    with pytest.raises(BadInputError, match=r"x: found .*\[7, 32\].*\[n, 64\]"):
        run.infer(x[:, :32], trial="t00000")


def test_test_examples_are_reconstructed_as_an_array_or_a_picture(stored, tmp_path):
    run, trained = stored
    summary = write_reconstructions(run, tmp_path / "r.npy", trial_id="t00000", n=5)
    assert summary == "5 test examples as reconstructed by t00000"
    x = DIGITS.to_float(DIGITS.test[:5])
    assert np.array_equal(np.load(tmp_path / "r.npy"), trained.reconstruct(x))
    write_reconstructions(run, tmp_path / "r.png", trial_id="t00000")
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.size == (456, 989)


def test_more_reconstructions_than_a_picture_shows_are_refused(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("gansearch.report.sampling._MAX_DRAWN", 100)
    with pytest.raises(BadInputError, match=r"^--n 60: 120 images\. A picture shows 100 at most"):
        write_reconstructions(stored[0], tmp_path / "r.png", trial_id="t00000", n=60)
