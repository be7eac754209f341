"""Convolutions and batch normalisation on real images: a small training that must get somewhere."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.scoring.evaluation import Evaluator, evaluate_samples
from gansearch.space.load import load_space
from gansearch.training.training import AdversarialTraining

DCGAN = {
    "optimizer": "adam",
    "generator_lr": 0.002,
    "discriminator_lr": 0.0005,
    "lr_decay": 1.0,
    "generator_network": "convolutional",
    "generator_widths": (),
    "generator_channels": (32, 16),
    "generator_kernels": (4,),
    "generator_strides": (2,),
    "generator_paddings": (1,),
    "generator_normalization": "batch",
    "discriminator_network": "convolutional",
    "discriminator_channels": (16, 32),
    "discriminator_kernels": (4,),
    "discriminator_strides": (2,),
    "discriminator_paddings": (1,),
    "discriminator_pools": (1,),
    "discriminator_widths": (),
    "discriminator_activation": "leaky_relu",
    "discriminator_normalization": "batch",
    "dropout_input": 0.0,
    "dropout_hidden": 0.0,
    "init": "normal",
    "batch_size": 32,
}


def test_a_small_dcgan_learns_digits():
    torch.set_num_threads(1)
    digits = load_dataset("digits")
    training, evaluator = AdversarialTraining(TrialConfig(**DCGAN), digits, 0), Evaluator(digits)
    before = evaluator.evaluate(training.samples(evaluator.n_samples))
    metrics = training.advance(600)
    after = evaluator.evaluate(training.samples(evaluator.n_samples))
    # It begins at the mean image, whose likelihood is not bad, but which is no digit.
    assert after.valid_ll > before.valid_ll + 4
    assert after.coverage > before.coverage + 0.1 and after.recall > before.recall + 0.1
    assert math.isfinite(metrics.d_loss) and 0.1 < metrics.d_fake < metrics.d_real < 0.9


@pytest.mark.data
def test_a_folder_of_photographs_trains_convolutional_networks(cifar10_sample: Path) -> None:
    torch.set_num_threads(1)
    photographs = load_dataset("folder", cifar10_sample)
    assert photographs.shape == (32, 32, 3)
    splits = (photographs.train, photographs.valid, photographs.test)
    assert [len(split) for split in splits] == [540, 60, 600]
    some = np.asarray(Image.open(next(cifar10_sample.glob("test/ship/*.jpg"))))
    assert some.ravel().tolist() in photographs.test.tolist()
    preset = load_space("folder").preset("dcgan")
    # Smaller and faster, for a test.
    changes = {"generator_channels": (32, 16), "discriminator_channels": (16, 32), "batch_size": 20}
    config = dataclasses.replace(preset, **changes, generator_lr=0.002, discriminator_lr=0.0005)
    training, evaluator = AdversarialTraining(config, photographs, 0), Evaluator(photographs)
    before = evaluator.evaluate(training.samples(evaluator.n_samples))
    metrics = training.advance(100)
    samples = training.samples(evaluator.n_samples)
    after = evaluator.evaluate(samples)
    assert after.valid_ll > before.valid_ll + 80, (before, after)
    assert after.nn_ratio > 1.5 * before.nn_ratio, (before, after)
    assert math.isfinite(metrics.d_loss) and math.isfinite(metrics.g_loss)
    found = evaluate_samples(photographs, samples[:200])
    assert math.isfinite(found["test_ll"]) and not found["sigma_at_edge"]
