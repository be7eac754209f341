"""Convolutions and batch normalisation on real images: a small training that must get somewhere."""

import math

import torch

from gansearch.config import TrialConfig
from gansearch.data import load_dataset
from gansearch.evaluation import Evaluator
from gansearch.training import Training

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
    training, evaluator = Training(TrialConfig(**DCGAN), digits, 0), Evaluator(digits)
    before = evaluator.report(training.samples(evaluator.n_samples))
    metrics = training.advance(600)
    after = evaluator.report(training.samples(evaluator.n_samples))
    # It begins at the mean image, whose likelihood is not bad, but which is no digit.
    assert after.valid_ll > before.valid_ll + 4
    assert after.coverage > before.coverage + 0.1 and after.recall > before.recall + 0.1
    assert math.isfinite(metrics.d_loss) and 0.1 < metrics.d_fake < metrics.d_real < 0.9
