"""Adversarial nets whose D helps a classifier with few labels."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import norm

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset, Labels
from gansearch.data.registry import load_dataset
from gansearch.errors import ConfigError
from gansearch.families.semisupervised_parameters import SemisupervisedConfig
from gansearch.families.semisupervised_training import ClassDiscriminator
from gansearch.family import load_family
from gansearch.own_measures import Objective
from gansearch.runs.folder import RunFolder
from gansearch.scoring.few_labels import (
    error_rate,
    few_label_errors,
    fit_few_labels,
    label_set,
)
from gansearch.training.losses import discriminator_loss
from gansearch.training.pairs import Minibatch
from gansearch.training.schedules import schedule_at
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner

FAMILY = load_family("semisupervised_nets")
SMALL = SemisupervisedConfig(
    generator_widths=(16,),
    discriminator_widths=(16, 12),
    discriminator_activation="relu",
    noise_dim=5,
    batch_size=20,
    labels_per_class=3,
    init="glorot",
)
CLASSES = dataclasses.replace(SMALL, classifier="classes")
EVERYTHING = dataclasses.replace(
    CLASSES,
    generator_loss="feature_matching",
    generator_activation="softplus",
    generator_normalization="batch",
    discriminator_normalization="spectral",
    instance_noise_sd=0.1,
    hidden_noise_sd=0.5,
    discriminator_ema=0.9,
    optimizer="adam",
    generator_lr=0.001,
    discriminator_lr=0.001,
    batch_order="shuffled",
)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def gaussians(distance, n=4000, dim=2):
    """Return two classes at a distance, of unit variance: the best error is Phi(-distance / 2)."""
    rng = np.random.default_rng(0)
    splits, classes = {}, {}
    for name in ("train", "valid", "test"):
        classes[name] = rng.integers(2, size=n)
        points = rng.normal(size=(n, dim))
        points[:, 0] += distance * (classes[name] - 0.5)
        splits[name] = points.astype(np.float32)
    labels = Labels.of(["left", "right"], **classes)
    return Dataset("two", **splits, shape=(dim,), scale=1.0, labels=labels)


def build(config, dataset, seed=1):
    training = FAMILY.build(config, dataset, seed, "cpu")
    training.max_updates = 1000
    return training


def batch_of(training, n=20):
    draws = training.stream.take(1)[0]
    batches = training.examples.at(draws.rows)
    return Minibatch(batches[-1], draws.rows[-1], draws.of_generator())


def coefficients_of(training):
    return schedule_at(training.config, 0, training.horizon).coefficients


# The classifier with few labels


@pytest.mark.parametrize("distance", [1.0, 2.0, 4.0])
def test_with_many_labels_the_error_is_nearly_the_least_possible_one(distance):
    data = gaussians(distance)
    errors = few_label_errors(lambda x: x, data, labels_per_class=1000, seed=0)
    # Two standard errors of a share of 4,000 test examples, and what the fit costs.
    best = norm.cdf(-distance / 2)
    assert errors["test"] == pytest.approx(best, abs=2 * np.sqrt(best / 4000) + 0.003)
    assert set(errors) == {"valid", "test"}


def test_features_that_say_nothing_leave_the_error_at_chance():
    data = gaussians(4.0)
    errors = few_label_errors(lambda x: np.ones((len(x), 3)), data, labels_per_class=100, seed=0)
    assert errors["test"] == pytest.approx(0.5, abs=0.03)


def test_the_classifier_sees_no_test_data():
    data = gaussians(2.0)
    fitted = fit_few_labels(lambda x: x, data, np.arange(40))
    seen = []

    def spy(x):
        seen.append(len(x))
        return x

    again = fit_few_labels(spy, dataclasses.replace(data, test=data.test[:0]), np.arange(40))
    assert seen == [40 + 1000, 4000]  # labelled and unlabelled training, validation
    assert np.array_equal(fitted.regression.coef_, again.regression.coef_)


def test_a_label_set_has_as_many_of_each_class_and_follows_from_the_seed(digits):
    first, second = (label_set(digits.labels, 5, seed) for seed in (1, 2))
    for rows in (first, second):
        assert len(set(rows.tolist())) == 50
        assert np.bincount(digits.labels.train[rows]).tolist() == [5] * 10
    assert not np.array_equal(first, second)
    assert np.array_equal(first, label_set(digits.labels, 5, 1))
    training = build(CLASSES, digits, seed=1)
    assert np.array_equal(training.labelled, label_set(digits.labels, 3, 1))
    other = build(CLASSES, digits, seed=1)
    training.advance(6)
    other.load(training.save())
    assert np.array_equal(training.labelled, other.labelled)


# D of K + 1 classes


def test_the_logit_of_d_is_that_of_the_softmax_with_a_last_logit_of_0(digits):
    discriminator = build(CLASSES, digits).discriminator
    assert isinstance(discriminator, ClassDiscriminator)
    x = torch.rand(7, 64)
    logits = discriminator.class_logits(x)
    assert logits.shape == (7, 10)
    of_k_plus_1 = torch.softmax(torch.cat((logits, torch.zeros(7, 1)), 1), 1)
    assert torch.allclose(torch.sigmoid(discriminator(x)), 1 - of_k_plus_1[:, -1], atol=1e-6)


def test_its_loss_is_the_cross_entropy_of_k_plus_1_classes(digits):
    """Salimans et al. (2016), section 5."""
    training = build(dataclasses.replace(CLASSES, dropout_input=0, dropout_hidden=0), digits)
    discriminator = training.discriminator
    real, fake = torch.rand(6, 64), torch.rand(6, 64)

    def log_p(x):
        logits = discriminator.class_logits(x)
        return torch.log_softmax(torch.cat((logits, torch.zeros(len(x), 1)), 1), 1)

    unlabelled = -torch.logsumexp(log_p(real)[:, :-1], 1).mean() - log_p(fake)[:, -1].mean()
    ours = discriminator_loss(discriminator(real), discriminator(fake))
    assert ours.item() == pytest.approx(unlabelled.item(), abs=1e-6)
    # All 30 labels would be more than a minibatch: with one of 40 the term takes all of them.
    training = build(dataclasses.replace(training.config, batch_size=40, label_weight=2.0), digits)
    rows = torch.from_numpy(training.labelled)
    x, classes = training.examples.at(rows), digits.labels.train[training.labelled]
    # log p(y | x, y < K + 1)
    of_labels = training.discriminator.class_logits(x).log_softmax(1)
    by_hand = -2 * of_labels[torch.arange(30), torch.from_numpy(classes.astype(int))].mean()
    term = training.discriminator_term(batch_of(training), real, fake)
    assert term.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_the_gradient_of_feature_matching_is_that_by_hand(digits):
    config = dataclasses.replace(
        SMALL,
        generator_loss="feature_matching",
        dropout_input=0,
        dropout_hidden=0,
        discriminator_widths=(12,),
    )
    training = build(config, digits)
    batch = batch_of(training)
    fake = torch.rand(20, 64, requires_grad=True)
    loss = training.generator_loss(batch, fake, coefficients_of(training))
    (gradient,) = torch.autograd.grad(loss, fake)
    layer = training.discriminator.layers[0]
    with torch.no_grad():
        z = fake @ layer.weight + layer.bias
        real = torch.relu(batch.x @ layer.weight + layer.bias).mean(0)
        difference = torch.relu(z).mean(0) - real
        by_hand = 2 / 20 * (difference * (z > 0)) @ layer.weight.T
    assert loss.item() == pytest.approx(difference.square().sum().item(), rel=1e-5)
    assert torch.allclose(gradient, by_hand, atol=1e-6)


def test_the_noise_of_hidden_layers_has_its_sd_and_is_for_training_alone(digits):
    config = dataclasses.replace(SMALL, hidden_noise_sd=0.5)
    discriminator = build(config, digits).discriminator
    x = torch.rand(4000, 64)
    plain = discriminator.features(x)
    assert torch.equal(plain, discriminator.features(x))
    discriminator.rng = torch.Generator().manual_seed(0)
    # Of the layer that sees the input there is none.
    assert torch.equal(discriminator._input_of(0, x, None, 1), x)
    h = torch.zeros(4000, 12)
    assert discriminator._input_of(2, h, None, 1).std().item() == pytest.approx(0.5, abs=0.01)
    assert not torch.equal(plain, discriminator.features(x))


def test_the_average_of_d_is_what_classifies(digits):
    config = dataclasses.replace(CLASSES, discriminator_ema=0.5)
    training = build(config, digits)
    before = [p.clone() for p in training.discriminator.parameters()]
    training.step()
    after = list(training.discriminator.parameters())
    # In the first iteration the decay is 1 / 10, see `average_share`.
    for old, new, average in zip(before, after, training.classifying.parameters(), strict=True):
        assert torch.allclose(average, 0.1 * old + 0.9 * new, atol=1e-7)
    plain = build(CLASSES, digits)
    assert plain.classifying is plain.discriminator


# Trainings


@pytest.mark.parametrize("config", [SMALL, CLASSES, EVERYTHING], ids=["features", "classes", "all"])
def test_a_training_goes_on_after_a_load_as_if_uninterrupted(config, digits):
    whole, part = build(config, digits), build(config, digits)
    whole.advance(12)
    part.advance(6)
    again = build(config, digits)
    again.load(part.save())
    again.advance(12)
    states = [training._tensors() for training in (whole, again)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert whole.measure("valid", at_end=False) == again.measure("valid", at_end=False)


def test_measuring_leaves_the_training_alone(digits):
    measured, other = build(EVERYTHING, digits), build(EVERYTHING, digits)
    for training in (measured, other):
        training.advance(4)
    measured.measure("valid", at_end=False)
    for training in (measured, other):
        training.advance(8)
    assert np.array_equal(measured.samples(5), other.samples(5))


def test_the_labels_teach_d_the_classes(digits):
    config = dataclasses.replace(
        CLASSES,
        labels_per_class=10,
        optimizer="adam",
        discriminator_lr=0.005,
        discriminator_widths=(64,),
        lr_decay=1.0,
    )
    training = build(config, digits)
    training.advance(400)
    found = training.measure("test", at_end=True)
    assert found["error_rate"] < 0.2
    assert found["error_supervised"] < 0.03 < found["error_pixels"] < 0.2
    assert found["gain"] == pytest.approx(found["error_pixels"] - found["error_rate"])
    assert found["error_pixels"] <= found["error_random"]
    assert set(found) == {each.name for each in FAMILY.measures}
    own = few_label_errors(lambda x: x, digits, labels_per_class=10, seed=1)
    assert found["error_pixels"] == own["test"]


def test_only_the_error_is_measured_before_the_end(digits):
    found = build(SMALL, digits).measure("valid", at_end=False)
    assert set(found) == {"error_rate"}
    assert {each.name for each in FAMILY.measures if not each.at_end} == set(found)


def test_features_that_are_not_finite_have_no_error(digits):
    training = build(SMALL, digits)
    with torch.no_grad():
        for parameter in training.discriminator.parameters():
            parameter.fill_(1e25)
    assert np.isnan(training.measure("valid", at_end=False)["error_rate"])
    with pytest.raises(FloatingPointError, match="not finite"):
        few_label_errors(lambda x: x * np.inf, digits, labels_per_class=3, seed=0)


def test_features_of_an_untrained_d_have_the_error_of_random_ones(digits):
    training = build(SMALL, digits)
    found = training.measure("valid", at_end=True)
    assert found["error_rate"] == found["error_random"]
    training.advance(20)
    assert training.measure("valid", at_end=True)["error_random"] == found["error_random"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_memory_of_a_training_is_known_beforehand(device, digits):
    """Of nets of 64 pixels it is mostly that of the 1,000 samples of an evaluation."""
    plain, average = CLASSES, dataclasses.replace(CLASSES, discriminator_ema=0.9)
    found = [FAMILY.training_bytes(each, digits, device, exact=True) for each in (plain, average)]
    net = build(plain, digits).discriminator
    n_bytes = 4 * sum(p.numel() for p in net.parameters())
    assert found[1] - found[0] == pytest.approx(n_bytes, abs=100)
    rough = FAMILY.training_bytes(plain, digits, device, exact=False)
    assert rough < 10 * found[0] and found[0] < 10 * rough
    assert FAMILY.training_bytes(EVERYTHING, digits, device, exact=True) > found[0]


@pytest.mark.parametrize("config", [SMALL, EVERYTHING], ids=["features", "all"])
def test_an_exported_generator_makes_the_same_samples(config, digits):
    training = build(config, digits)
    training.advance(4)
    export = FAMILY.export(training, 1)
    export = dataclasses.replace(export, details={**export.details, "shape": [8, 8, 1]})
    restored = FAMILY.generator(export, config, lambda: digits)
    assert np.array_equal(restored.samples(30), training.samples(30))
    assert restored.interpolate(2, 3).shape == (2, 3, 64)
    assert restored.module().noise_dim == 5
    weights = FAMILY.discriminator(training)
    assert any(name.endswith("layers.2.weight") for name in weights)


def test_error_rate_is_the_share_of_wrong_ones():
    data = gaussians(2.0, n=10)
    assert error_rate(lambda x: data.labels.test, data, "test") == 0
    assert error_rate(lambda x: 1 - data.labels.test, data, "test") == 1


# Bad input


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (SMALL, {"labels": None}, "Several are needed to learn and to measure the classifier"),
        (
            dataclasses.replace(SMALL, labels_per_class=200),
            {},
            r"on digits: labels_per_class: found 200, but the class \d has 1\d\d training examples."
            r" Take labels_per_class: 1\d\d or fewer\.",
        ),
    ],
)
def test_bad_input_gets_one_clear_error(config, change, message, digits):
    with pytest.raises(ConfigError, match=message):
        FAMILY.check(config, dataclasses.replace(digits, **change))


def test_a_class_without_training_images_is_an_error(digits):
    labels = digits.labels
    without = dataclasses.replace(labels, train=np.where(labels.train == 9, 0, labels.train))
    with pytest.raises(ConfigError, match="the class 9 has no training examples"):
        FAMILY.check(SMALL, dataclasses.replace(digits, labels=without))


def test_data_of_one_class_has_no_classes(digits):
    one = {name: np.zeros(len(getattr(digits, name)), int) for name in ("train", "valid", "test")}
    with pytest.raises(ConfigError, match="the data has no classes"):
        FAMILY.check(CLASSES, dataclasses.replace(digits, labels=Labels.of(["0"], **one)))


def test_no_labels_at_all_break_the_rule():
    with pytest.raises(ConfigError, match=r"labels_per_class: found 0\. It must be a whole number"):
        SemisupervisedConfig(labels_per_class=0)


# The guard


@pytest.mark.parametrize("objective", ["error_rate", None])
def test_collapsed_samples_end_no_trial_that_is_after_a_classifier(objective, digits, tmp_path):
    """As with a D that learns from the labels alone: its G stays what it was at first."""
    measure = next((each for each in FAMILY.measures if each.name == objective), None)
    config = dataclasses.replace(CLASSES, discriminator_loss_scale=1e-9, output_bias="zero")
    plan = TrialPlan(
        RunFolder.create(tmp_path, "run").path,
        FAMILY.sections,
        Budget(max_updates=1500, reports=3, grace=0.1),
        measures=FAMILY.measures,
        objective=Objective(measure),
    )
    spec = TrialSpec("r0", 0, "replica", seed=1, config=config.to_dict())
    runner = TrialRunner(spec, TrialProcess.prepare(digits, plan))
    step = runner.step()
    while not (step.done or step.is_unsound):
        step = runner.step()
    assert step.verdict.status == "collapsed"
    assert "off the data" in step.verdict.reason or "look collapsed" in step.verdict.reason
    assert step.is_unsound == (objective is None)
    if objective:
        assert 0 < step.final["measure.error_rate_test"] < 1
        assert step.final["measure.error_pixels_test"] < 0.5
    assert type(step).from_dict(step.to_dict()) == step
