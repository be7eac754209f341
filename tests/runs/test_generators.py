"""Generators on disk: as they were, from older files too, and answered where they are damaged."""

import json

import numpy as np
import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.errors import ResultsError
from gansearch.networks.initialisation import initialise_generator
from gansearch.networks.models import Generator, generate
from gansearch.runs.generators import CONFIG_FILE, WEIGHTS_FILE, load_generator
from tests.saved_generators import no_data, save

DENSE = TrialConfig(generator_widths=(6, 5), noise_dim=3)
CONVOLUTIONAL = TrialConfig(
    generator_network="convolutional",
    generator_widths=(6,),
    generator_channels=(4, 3),
    generator_normalization="batch",
    noise_dim=3,
)


def change(folder, **changes):
    """Change a description as somebody would who takes its seal away."""
    description = json.loads((folder / CONFIG_FILE).read_text()) | changes
    del description["seal"]
    (folder / CONFIG_FILE).write_text(json.dumps(description))


def saved(folder, config, shape=(4, 6, 3)):
    generator = Generator(config, shape)
    mean = torch.full((generator.dim,), 0.4)
    initialise_generator(generator, config, mean, torch.Generator().manual_seed(0))
    save(folder, generator, config, dataset="digits", seed=7)
    return generator


@pytest.mark.parametrize("config", [DENSE, CONVOLUTIONAL], ids=["dense", "convolutional"])
def test_a_generator_comes_back_with_its_shape_and_its_samples(tmp_path, config):
    generator = saved(tmp_path, config)
    stored = load_generator(tmp_path, no_data)
    assert (stored.dataset, stored.shape) == ("digits", (4, 6, 3))
    loaded = stored.generator
    assert loaded.network.shape == (4, 6, 3) and loaded.network.first_layer == 0
    assert (loaded.config, loaded.seed) == (config, 7)
    assert np.array_equal(loaded.samples(20), generate(generator, config, 20, 7))


def test_an_older_file_that_has_the_number_of_values_alone_is_still_read(tmp_path):
    generator = saved(tmp_path, DENSE)
    description = json.loads((tmp_path / CONFIG_FILE).read_text())
    for later in ("family", "shape", "first_layer", "seal"):
        del description[later]
    (tmp_path / CONFIG_FILE).write_text(json.dumps(description | {"dim": 72}))
    stored = load_generator(tmp_path, no_data)
    assert stored.shape == (72,) and stored.generator.network.dim == 72
    assert np.array_equal(stored.generator.samples(20), generate(generator, DENSE, 20, 7))


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
    change(tmp_path, **{key: value})
    with pytest.raises(ResultsError, match="the trained generator can't be read"):
        load_generator(tmp_path, no_data).generator.samples(3)


@pytest.mark.parametrize("first_layer", [-1, 99])
def test_a_first_layer_that_does_not_exist_is_answered(tmp_path, first_layer):
    saved(tmp_path, DENSE)
    change(tmp_path, first_layer=first_layer)
    with pytest.raises(ResultsError, match=f"first_layer is {first_layer}"):
        load_generator(tmp_path, no_data)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_no_flipped_bit_passes_for_the_generator_that_was_saved(tmp_path, name):
    saved(tmp_path, DENSE)
    path = tmp_path / name
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            loaded = load_generator(tmp_path, no_data).generator
        except ResultsError:
            continue
        # Only what leads to the seal may change unseen, and then it is all that has.
        assert b"blake2b:" not in damaged
        assert (loaded.config, loaded.seed) == (DENSE, 7)
