"""Conditional nets p(x | c): against the theory, choice by choice, and what is made of them."""

import dataclasses
import io
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from gansearch.artifacts import conditional_of
from gansearch.conditional_parameters import ConditionalConfig
from gansearch.data.dataset import Dataset, Labels
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError
from gansearch.export.formats import FORMATS
from gansearch.families.conditional_generator import generate_classes
from gansearch.family import load_family
from gansearch.networks.conditional import Branches, ConditionalDiscriminator, ConditionalGenerator
from gansearch.report.run import Run
from gansearch.report.sampling import write_samples
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import load_generator, save_generator
from gansearch.scoring.classes import ClassScores, coverage, reference_scores
from gansearch.space.load import load_space
from gansearch.tune.preflight import check_configs
from tests.saved_generators import no_data
from tests.written_runs import described

DIGITS = load_dataset("digits")
RING = load_dataset("ring")
FAMILY = load_family("conditional_nets")
SMALL = {
    "noise_dim": 6,
    "generator_widths": (24, 16),
    "discriminator_widths": (20, 16),
    "batch_size": 20,
}
CONVOLUTIONAL = {
    "generator_network": "convolutional",
    "generator_widths": (),
    "generator_channels": (8, 6),
    "generator_kernels": (4,),
    "generator_strides": (2,),
    "generator_paddings": (1,),
    "generator_normalization": "batch",
    "discriminator_network": "convolutional",
    "discriminator_channels": (6, 8),
    "discriminator_kernels": (4,),
    "discriminator_strides": (2,),
    "discriminator_paddings": (1,),
    "discriminator_pools": (1,),
    "discriminator_widths": (),
    "discriminator_activation": "leaky_relu",
}
BRANCHES = {"generator_class_share": 0.4, "discriminator_class_share": 0.25, "maxout_pieces": 4}
CHOICES = [
    {"noise": "normal", "k": 2},
    {**BRANCHES, "generator_ema": 0.9},
    {**BRANCHES, "condition_embedding": 4, "minibatch_sd": 4, "optimizer": "adam"},
    {"condition": "projection", "gradient_penalty": "one_centered", "discriminator_lr": 0.01},
    {
        "condition": "projection",
        "condition_embedding": 3,
        "discriminator_normalization": "spectral",
        "discriminator_widths": (16,),
    },
    {"condition": "auxiliary", "auxiliary_weight": 0.5, "instance_noise_sd": 0.1},
    CONVOLUTIONAL,
    {**CONVOLUTIONAL, "condition": "projection", "discriminator_normalization": "batch"},
    {**CONVOLUTIONAL, "generator_widths": (12,), "generator_class_share": 0.3},
]


def trained(updates=30, dataset=DIGITS, seed=3, **changes):
    torch.set_num_threads(1)
    training = FAMILY.build(ConditionalConfig(**SMALL | changes), dataset, seed, "cpu")
    training.max_updates = 60
    training.advance(updates)
    return training


# The theory


def normal_density(x, mean, sd):
    return torch.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi))


def two_normal_classes(n, seed):
    """Return examples of N(-1.5, .8) and N(1, .8), equally likely, with their classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return (np.array([-1.5, 1])[labels] + rng.normal(0, 0.8, n)).astype(np.float32)[:, None], labels


@pytest.mark.parametrize("condition", ["concatenation", "projection"])
def test_with_g_fixed_d_approaches_its_optimum_of_each_class(condition):
    """Proposition 1 given c: D*(x, c) = p(x | c) / (p(x | c) + p_g(x | c))."""
    torch.set_num_threads(1)
    points, labels = zip(*(two_normal_classes(30000, seed) for seed in range(3)), strict=True)
    dataset = Dataset("two classes", *points, (1,), 1.0, labels=Labels(("a", "b"), *labels))
    config = ConditionalConfig(
        condition=condition,
        k=20,
        optimizer="adam",
        discriminator_lr=3e-3,
        generator_lr=1e-30,
        lr_decay=1.02,
        noise="normal",
        noise_dim=1,
        generator_widths=(2,),
        generator_output="linear",
        discriminator_widths=(32, 32),
        discriminator_activation="leaky_relu",
        dropout_input=0,
        dropout_hidden=0,
        init="glorot",
        batch_size=512,
    )
    training = FAMILY.build(config, dataset, 0, "cpu")
    hidden, output = training.generator.net.layers
    with torch.no_grad():
        # relu(z + c) - relu(-z - c) = z + c, of the one-hot classes 0 and 1: N(0, 1) and N(1, 1).
        hidden.weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0], [1.0, -1.0]]))
        output.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        output.bias.fill_(0)
    training.advance(21 * 150)
    x = torch.linspace(-5, 5, 201)[:, None]
    for label, mean in enumerate([-1.5, 1.0]):
        p_data, p_g = normal_density(x, mean, 0.8), normal_density(x, label, 1)
        optimum = (p_data / (p_data + p_g)).squeeze(1)
        one_hot = F.one_hot(torch.full((201,), label), 2).float()
        with torch.no_grad():
            found = torch.sigmoid(training.discriminator(torch.cat((x, one_hot), 1)))
        error, mass = (found - optimum).abs(), (p_data + p_g).squeeze(1)
        assert error[mass > 0.05].max() < 0.08
        assert (error * mass).sum() / mass.sum() < 0.03


def test_on_1d_classes_g_learns_the_law_of_each():
    torch.set_num_threads(1)
    points, labels = zip(*(two_normal_classes(20000, seed) for seed in range(3)), strict=True)
    dataset = Dataset("two classes", *points, (1,), 1.0, labels=Labels(("a", "b"), *labels))
    config = ConditionalConfig(
        k=2,
        optimizer="adam",
        adam_beta1=0.0,
        generator_lr=2e-3,
        discriminator_lr=4e-3,
        lr_decay=1.0015,
        noise="normal",
        noise_dim=1,
        generator_widths=(16,),
        generator_activation="elu",
        generator_output="linear",
        discriminator_widths=(16, 16),
        discriminator_activation="elu",
        dropout_input=0,
        dropout_hidden=0,
        init="glorot",
        batch_size=256,
    )
    training = FAMILY.build(config, dataset, 1, "cpu")
    training.advance(3 * 1500)
    conditional = training.trained_generator.conditional()
    for label, mean in enumerate([-1.5, 1.0]):
        made = conditional.samples(label, 3000)
        assert made.mean() == pytest.approx(mean, abs=0.15)
        assert made.std() == pytest.approx(0.8, abs=0.15)


# Each choice


@pytest.mark.parametrize("changes", CHOICES)
def test_a_resumed_training_of_each_choice_continues_bit_for_bit(changes):
    straight, first, resumed = trained(60, **changes), trained(27, **changes), trained(0, **changes)
    resumed.load(first.save())
    resumed.advance(60)
    assert resumed.save()[-2000:] == straight.save()[-2000:]
    np.testing.assert_array_equal(resumed.samples(30), straight.samples(30))
    assert np.isfinite(straight.samples(30)).all()
    given = np.arange(20) % 10
    np.testing.assert_array_equal(
        generate_classes(resumed.trained_generator, given),
        generate_classes(straight.trained_generator, given),
    )


@pytest.mark.parametrize("changes", CHOICES)
def test_an_exported_generator_gives_the_same_samples_of_each_class(changes, tmp_path):
    training = trained(**changes)
    export = FAMILY.export(training, seed=3)
    saved = {"family": FAMILY, "dataset": "digits", "shape": DIGITS.shape}
    save_generator(tmp_path, export, training.config, **saved)
    generator = load_generator(tmp_path, no_data).generator
    usual = training.samples(1000)
    np.testing.assert_array_equal(generator.samples(1000), usual)
    conditional = conditional_of(generator)
    assert conditional.classes == tuple("0123456789")
    seven = conditional.samples(7, 20)
    rows = [np.flatnonzero((usual == sample).all(axis=1)) for sample in seven]
    assert [len(found) for found in rows] == [1] * 20  # among those that were scored, in order
    assert (np.diff(np.concatenate(rows)) > 0).all()
    paths = generator.interpolate(12, 4)
    assert paths.shape == (12, 4, 64)
    np.testing.assert_array_equal(paths[7, [0, -1]], seven[:2])
    np.testing.assert_array_equal(paths[10, 0], conditional.samples(0, 3)[2])


@pytest.mark.parametrize("changes", CHOICES)
def test_its_module_gives_the_samples_that_were_scored(changes):
    training = trained(**changes)
    found = training.trained_generator.module()
    scope = {"torch": torch, "nn": nn, "rng": torch.Generator().manual_seed(found.seed)}
    noise = eval(found.noise, scope | {"n": found.block})
    images = found.network(noise)
    assert images.shape == (1000, 1, 8, 8)
    np.testing.assert_allclose(images.flatten(1)[:50], training.samples(50), atol=2e-6, rtol=1e-5)
    exec(found.definition, scope)
    again = scope["generator"]
    again.load_state_dict(found.network.state_dict())
    torch.testing.assert_close(again.eval()(noise), images)
    assert found.depends_on_company == (changes.get("generator_normalization") == "batch")


def test_its_module_can_be_written_in_each_format():
    training = trained(**BRANCHES, condition_embedding=4)
    found = training.trained_generator.module()
    noise = torch.randn(7, found.noise_dim)
    script = torch.jit.load(io.BytesIO(FORMATS["torchscript"].encode(found)))
    torch.testing.assert_close(script(noise), found.network(noise))
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(FORMATS["onnx"].encode(found))
    (samples,) = session.run(None, {"noise": noise.numpy()})
    np.testing.assert_allclose(samples, found.network(noise), atol=1e-5)


def test_classes_are_generated_as_often_as_they_are_in_the_data():
    images = DIGITS.train[:1000]
    labels = np.repeat([0, 1, 2], [100, 300, 600])
    dataset = dataclasses.replace(
        DIGITS, train=images, labels=Labels(("a", "b", "c"), labels, *[DIGITS.labels.valid % 3] * 2)
    )
    for noise in ("uniform", "normal"):
        generator = trained(0, dataset, noise=noise).generator
        rng = torch.Generator().manual_seed(0)
        drawn = torch.rand(20000, 7, generator=rng) * 2 * 3**0.5 - 3**0.5
        if noise == "normal":
            drawn = torch.randn(20000, 7, generator=rng)
        shares = generator.classes(drawn).mean(0)
        np.testing.assert_allclose(shares, [0.1, 0.3, 0.6], atol=0.015)


def test_with_units_of_its_own_the_class_is_seen_by_these_alone():
    """The nets of Mirza and Osindero (2014) for MNIST."""
    config = load_space("mnist-conditional").preset("mirza_osindero")
    generator = ConditionalGenerator(config, (28, 28, 1), [0.1] * 10)
    discriminator = ConditionalDiscriminator(config, (28, 28, 1), 10)
    first = discriminator.layers[0]
    assert isinstance(first, Branches) and first.activation.pieces == 5
    assert discriminator.layers[1].activation.pieces == 4
    of_image = first.sees[:784].view(784, 5, 290)[:, :, :240]
    of_class = first.sees[784:].view(10, 5, 290)[:, :, 240:]
    assert of_image.all() and of_class.all()
    assert first.sees.sum() == 5 * (784 * 240 + 10 * 50)
    first = generator.net.layers[0]
    assert first.sees[:100, :200].all() and first.sees[100:, 200:].all()
    assert first.sees.sum() == 100 * 200 + 10 * 1000
    assert [layer.n_out for layer in generator.net.layers] == [1200, 1200, 784]
    training = trained(**BRANCHES)
    for net in (training.generator.net, training.discriminator):
        first = net.layers[0]
        assert (first.weight[first.sees == 0] == 0).all()
        assert (first.weight[first.sees == 1] != 0).all()


def test_the_auxiliary_term_is_the_cross_entropy_of_both_halves_times_its_weight():
    training = trained(
        0, condition="auxiliary", auxiliary_weight=0.5, dropout_input=0, dropout_hidden=0
    )
    batch = training._probe(torch.arange(40), torch.Generator().manual_seed(0))
    batch = dataclasses.replace(batch, drawn=dataclasses.replace(batch.drawn, masks=None))
    real, fake = training.real_pairs(batch), training.fake_pairs(batch)

    def cross_entropy(pairs):
        features = training.discriminator.features(pairs)
        head = training.discriminator.class_output
        logits = features @ head.weight + head.bias
        return F.cross_entropy(logits, pairs[:, 64:].argmax(1)).item()

    found = training.discriminator_term(batch, real, fake).item()
    assert found == pytest.approx(0.5 * (cross_entropy(real) + cross_entropy(fake)), rel=1e-5)
    assert training.generator_term(batch, fake).item() == pytest.approx(0.5 * cross_entropy(fake))
    assert (real[:, 64:].argmax(1).numpy() == DIGITS.labels.train[:40]).all()


def test_the_class_decides_by_the_product_with_its_vector():
    """Equation 5 of Miyato and Koyama (2018)."""
    discriminator = trained(condition="projection", dropout_input=0, dropout_hidden=0).discriminator
    x = torch.rand(5, 64)
    features = discriminator.features(torch.cat((x, torch.zeros(5, 10)), 1))
    output, vectors = discriminator.layers[-1], discriminator.projection
    for label in (0, 7):
        pairs = torch.cat((x, F.one_hot(torch.full((5,), label), 10).float()), 1)
        weight = output.weight.squeeze(1) + vectors.weight[label] + vectors.bias
        torch.testing.assert_close(discriminator(pairs), features @ weight + output.bias)


# The measures


@pytest.fixture(scope="module")
def scores():
    return ClassScores(DIGITS)


@pytest.fixture(scope="module")
def real_scores():
    return reference_scores(DIGITS)


def measured(scores, images, given):
    return scores.measure(DIGITS.to_float(images), given, "test")


def test_real_examples_of_the_given_classes_score_best(scores, real_scores):
    assert real_scores["label_accuracy"] > 0.95
    assert real_scores["class_coverage"] > 0.95
    assert real_scores["worst_class_coverage"] > 0.85
    assert real_scores["class_ll"] > 25


def test_examples_that_take_no_notice_of_the_class_are_at_the_chance_level(scores, real_scores):
    given = np.random.default_rng(0).permutation(DIGITS.labels.train)
    found = measured(scores, DIGITS.train, given)
    assert found["label_accuracy"] == pytest.approx(0.1, abs=0.04)
    assert found["class_coverage"] < 0.7 * real_scores["class_coverage"]
    assert found["class_ll"] < real_scores["class_ll"] - 5


def test_a_collapse_within_one_class_shows_in_the_worst_one(scores, real_scores):
    images, given = DIGITS.train.copy(), DIGITS.labels.train
    images[given == 3] = images[given == 3][0]
    found = measured(scores, images, given)
    assert found["worst_class_coverage"] < 0.2 < 0.85 < real_scores["worst_class_coverage"]
    assert found["class_coverage"] > 0.85
    assert found["label_accuracy"] > 0.95


def test_coverage_counts_the_balls_that_hold_a_sample():
    real = np.arange(10.0)[:, None]
    assert coverage(real, real, k=1) == 1
    assert coverage(real, np.array([[0.0], [0.9]]), k=1) == pytest.approx(0.2)
    assert coverage(real, np.array([[4.5]]), k=2) == pytest.approx(0.2)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500, 3))
    assert coverage(a, b) == pytest.approx(1 - 2**-5, abs=0.02)


@pytest.fixture
def few():
    """Six validation examples of each digit, and as many test examples."""
    labels = DIGITS.labels
    return Dataset(
        *("few", DIGITS.train[:200], DIGITS.valid[:60], DIGITS.test[:60], DIGITS.shape, 16.0),
        labels=Labels(labels.names, labels.train[:200], labels.valid[:60], labels.test[:60]),
    )


def test_classes_of_few_examples_have_no_coverage_and_are_left_out(few):
    found = ClassScores(few).measure(few.to_float(few.train), few.labels.train, "test")
    assert "class_coverage" not in found and "class_ll" not in found
    assert set(found) == ClassScores(few).names


def test_an_objective_without_a_value_is_refused_before_a_run(few):
    space = load_space("digits-conditional")
    with pytest.raises(ConfigError, match="objective: class_ll, on few: no class has 20 valid"):
        check_configs(space, [space.preset("projection")], few)
    check_configs(space, [space.preset("projection")], DIGITS)


def test_of_many_classes_the_hundred_most_frequent_are_generated():
    names = tuple(f"class {i}" for i in range(150))
    classes = np.arange(600) % 150
    train = np.concatenate([classes, np.arange(50, 150)])
    points = [np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32) for n in (700, 600)]
    dataset = Dataset(
        "many", points[0], *points[1:] * 2, (2,), 1.0, labels=Labels(names, train, classes, classes)
    )
    given = ClassScores(dataset).classes_to_generate(at_end=False)
    assert set(given) == set(range(50, 150)) and len(given) == 2000


def test_a_training_measures_itself_and_goes_on_as_if_it_had_not():
    training, other = trained(30), trained(30)
    first = training.measure("valid", at_end=False)
    assert set(first) == {each.name for each in FAMILY.measures}
    assert first == training.measure("valid", at_end=False)
    assert first != training.measure("test", at_end=True)
    training.advance(45)
    other.advance(45)
    np.testing.assert_array_equal(training.samples(10), other.samples(10))


# Samples of a run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "some")
    space = load_space("digits-conditional").to_dict()
    folder.write_run(described(name="some", space=space, paper_config_id=None))
    training = trained(30)
    save_generator(
        folder.model_dir("t00000"),
        FAMILY.export(training, seed=3),
        training.config,
        family=FAMILY,
        dataset="digits",
        shape=DIGITS.shape,
    )
    return folder, training


def test_samples_of_a_class_are_written_and_drawn(run, tmp_path):
    folder, training = run
    seven = training.trained_generator.conditional().samples(7, 5)
    array, picture = tmp_path / "seven.npy", tmp_path / "seven.png"
    said = write_samples(folder, array, trial_id="t00000", n=5, label="7")
    assert said == "5 unpicked samples of class 7 of t00000"
    np.testing.assert_array_equal(np.load(array), seven)
    np.testing.assert_array_equal(Run(folder.path).sample(5, label=7, trial="t00000"), seven)
    write_samples(folder, picture, trial_id="t00000", label="7", nearest=True, n=3)
    write_samples(folder, array, trial_id="t00000", n=2, n_steps=4, label="7")
    assert np.load(array).shape == (2, 4, 64)
    np.testing.assert_array_equal(np.load(array)[0, [0, -1]], seven[:2])


def test_the_usual_picture_has_a_row_a_class(run, tmp_path):
    folder, training = run
    said = write_samples(folder, tmp_path / "all.png", trial_id="t00000")
    assert said == "unpicked samples, a row a class, of t00000"
    of_family = FAMILY.pictures(training, DIGITS)["classes.png"]
    pictures = [Image.open(tmp_path / "all.png"), Image.open(io.BytesIO(of_family))]
    np.testing.assert_array_equal(*map(np.asarray, pictures))
    assert not FAMILY.pictures(trained(3, RING, generator_output="linear"), RING)


@pytest.mark.parametrize("label", ["10", "-1", "seven", 3.5, True, "7.0", ""])
def test_an_unknown_class_is_answered_with_the_classes(run, tmp_path, label):
    message = f"--label {label}: no such class. The classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9."
    with pytest.raises(BadInputError, match=f"^{re.escape(message)}"):
        write_samples(run[0], tmp_path / "x.npy", trial_id="t00000", label=label)


def test_a_name_goes_before_an_index():
    conditional = dataclasses.replace(
        trained(0).trained_generator.conditional(), classes=("1", "0", "cat")
    )
    assert [conditional.index_of(label) for label in ("1", "0", "cat", "2", 2, 0)] == [
        *(0, 1, 2, 2, 2, 1)
    ]


# Bad input


def with_labels(labels, dataset=DIGITS):
    return dataclasses.replace(dataset, labels=labels)


@pytest.mark.parametrize(
    ("dataset", "changes", "message"),
    [
        (with_labels(None), {}, "the data has no classes, or a single one"),
        (
            with_labels(Labels(("a", "b", "c"), *[np.arange(n) % 2 for n in (1197, 300, 300)])),
            {},
            "the class c has no training examples",
        ),
        (
            with_labels(
                Labels(tuple(map(str, range(120))), *[np.arange(n) % 120 for n in (1197, 300, 300)])
            ),
            {},
            "120 classes of 1,197 training examples. It takes 1,000 classes at most, and 10 "
            "examples of each on average",
        ),
        (
            DIGITS,
            {"generator_class_share": 0.5, "generator_widths": (1,)},
            "generator_class_share: 0.5, of generator_widths: [1]",
        ),
        (
            DIGITS,
            {"discriminator_class_share": 0.5, "discriminator_widths": ()},
            "discriminator_class_share: 0.5, of discriminator_widths: []",
        ),
        (
            DIGITS,
            CONVOLUTIONAL | {"discriminator_class_share": 0.2},
            "with discriminator_network: convolutional",
        ),
        (
            DIGITS,
            {"discriminator_class_share": 0.2, "discriminator_normalization": "spectral"},
            "discriminator_normalization: spectral",
        ),
        (RING, CONVOLUTIONAL, "convolutional, on the points of ring"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_run(dataset, changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        FAMILY.check(ConditionalConfig(**SMALL | changes), dataset)


@pytest.mark.parametrize("space", ["digits-conditional", "mnist-conditional"])
def test_the_presets_of_the_built_in_spaces_can_be_trained(space):
    found = load_space(space)
    assert found.baseline is not None
    for name in found.presets:
        FAMILY.check(found.preset(name), DIGITS)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_the_modes_of_a_mixture_are_classes(name):
    dataset = load_dataset(name)
    config = ConditionalConfig(**SMALL, generator_output="linear")
    FAMILY.check(config, dataset)
    training = FAMILY.build(config, dataset, 0, "cpu")
    training.advance(4)
    assert 0 <= training.measure("valid", at_end=False)["label_accuracy"] <= 1
