"""Generators on disk: as they were, from older files too, and answered where they are damaged."""

import json

import numpy as np
import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.errors import ResultsError
from gansearch.initialisation import initialise_generator
from gansearch.models import Generator, generate
from gansearch.weights import CONFIG_FILE, load_generator, save_generator

DENSE = TrialConfig(generator_widths=(6, 5), noise_dim=3)
CONVOLUTIONAL = TrialConfig(
    generator_network="convolutional",
    generator_widths=(6,),
    generator_channels=(4, 3),
    generator_normalization="batch",
    noise_dim=3,
)


def saved(folder, config, shape=(4, 6, 3)):
    generator = Generator(config, shape)
    mean = torch.full((generator.dim,), 0.4)
    initialise_generator(generator, config, mean, torch.Generator().manual_seed(0))
    save_generator(folder, generator, config, dataset="digits", seed=7)
    return generator


@pytest.mark.parametrize("config", [DENSE, CONVOLUTIONAL], ids=["dense", "convolutional"])
def test_a_generator_comes_back_with_its_shape_and_its_samples(tmp_path, config):
    generator = saved(tmp_path, config)
    loaded = load_generator(tmp_path)
    assert loaded.generator.shape == (4, 6, 3) and loaded.generator.first_layer == 0
    assert (loaded.config, loaded.dataset, loaded.seed) == (config, "digits", 7)
    assert np.array_equal(loaded.samples(20), generate(generator, config, 20, 7))


def test_an_older_file_that_has_the_number_of_values_alone_is_still_read(tmp_path):
    generator = saved(tmp_path, DENSE)
    description = json.loads((tmp_path / CONFIG_FILE).read_text())
    del description["shape"], description["first_layer"]
    (tmp_path / CONFIG_FILE).write_text(json.dumps(description | {"dim": 72}))
    loaded = load_generator(tmp_path)
    assert loaded.generator.dim == 72
    assert np.array_equal(loaded.samples(20), generate(generator, DENSE, 20, 7))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shape", [8, 8, 1]),
        ("shape", "large"),
        ("shape", None),
        ("first_layer", "x"),
        ("config", 3),
    ],
)
def test_a_changed_description_is_answered(tmp_path, key, value):
    saved(tmp_path, CONVOLUTIONAL)
    description = json.loads((tmp_path / CONFIG_FILE).read_text())
    (tmp_path / CONFIG_FILE).write_text(json.dumps(description | {key: value}))
    with pytest.raises(ResultsError, match="the trained generator can't be read"):
        load_generator(tmp_path).samples(3)


@pytest.mark.parametrize("first_layer", [-1, 99])
def test_a_first_layer_that_does_not_exist_is_answered(tmp_path, first_layer):
    saved(tmp_path, DENSE)
    description = json.loads((tmp_path / CONFIG_FILE).read_text())
    (tmp_path / CONFIG_FILE).write_text(json.dumps(description | {"first_layer": first_layer}))
    with pytest.raises(ResultsError, match=f"first_layer is {first_layer}"):
        load_generator(tmp_path)
