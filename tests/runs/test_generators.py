"""Generators on disk: as they were, from older files too, and answered where they are damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gansearch.config import TrialConfig
from gansearch.errors import BadInputError, ResultsError
from gansearch.family import DEFAULT_FAMILY, ModelFamily, load_family
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
    for later in ("family", "shape", "first_layer", "weights_format", "seal"):
        del description[later]
    weights = load_file(tmp_path / WEIGHTS_FILE)
    save_file(
        {n: w.T.contiguous() if w.ndim == 2 else w for n, w in weights.items()},
        tmp_path / WEIGHTS_FILE,
    )
    (tmp_path / CONFIG_FILE).write_text(json.dumps(description | {"dim": 72}))
    stored = load_generator(tmp_path, no_data)
    assert stored.shape == (72,) and stored.generator.network.dim == 72
    assert np.array_equal(stored.generator.samples(20), generate(generator, DENSE, 20, 7))


GOLDEN = Path(__file__).parents[1] / "golden" / "generator-1"


def test_a_generator_of_the_first_format_gives_the_samples_that_it_gave(tmp_path):
    old = load_generator(GOLDEN, no_data).generator
    np.testing.assert_allclose(old.samples(20), np.load(GOLDEN / "samples.npy"), atol=1e-6)
    # Saved again, in the current format, it gives them to the bit.
    save(tmp_path, old.network, old.config, dataset="digits", seed=old.seed)
    new = load_generator(tmp_path, no_data).generator
    assert np.array_equal(new.samples(20), old.samples(20))
    for before, now in zip(old.network.parameters(), new.network.parameters(), strict=True):
        assert torch.equal(before, now) and before.stride() == now.stride()
    # The hidden layers have as many inputs as outputs of a piece: only the format tells them apart.
    stored = {folder: load_file(folder / WEIGHTS_FILE) for folder in (GOLDEN, tmp_path)}
    for i in range(3):
        name = f"layers.{i}.weight"
        assert torch.equal(stored[GOLDEN][name].T, stored[tmp_path][name])


def test_dense_weights_load_into_plain_torch_and_give_the_same_samples(tmp_path):
    saved(tmp_path, DENSE)
    expected = load_generator(tmp_path, no_data).generator.samples(20)
    weights = load_file(tmp_path / WEIGHTS_FILE)
    layers = [torch.nn.Linear(3, 6), torch.nn.Linear(6, 5), torch.nn.Linear(5, 72)]
    for i, layer in enumerate(layers):
        layer.load_state_dict({n: weights[f"layers.{i}.{n}"] for n in ("weight", "bias")})
    first, second, output = layers
    relu = torch.nn.ReLU()
    net = torch.nn.Sequential(first, relu, second, relu, output, torch.nn.Sigmoid())
    noise = (2 * torch.rand(1000, 3, generator=torch.Generator().manual_seed(7)) - 1) * 3**0.5
    np.testing.assert_allclose(net(noise)[:20].detach(), expected, atol=1e-6)


def test_the_weights_of_convolutions_and_their_projection_have_torchs_layout(tmp_path):
    generator = saved(tmp_path, CONVOLUTIONAL)
    weights = load_file(tmp_path / WEIGHTS_FILE)
    projection, deconvolution = generator.layers[1], generator.layers[2]
    linear = torch.nn.Linear(6, projection.n_out)
    assert linear.weight.shape == weights["layers.1.weight"].shape
    map_in, map_out = deconvolution.map_in, deconvolution.map_out
    torchs = torch.nn.ConvTranspose2d(map_in[0], map_out[0], deconvolution.weight.shape[-1])
    assert torchs.weight.shape == weights["layers.2.weight"].shape


def test_both_files_name_the_format_of_the_weights(tmp_path):
    saved(tmp_path, DENSE)
    assert json.loads((tmp_path / CONFIG_FILE).read_text())["weights_format"] == 2
    with safe_open(tmp_path / WEIGHTS_FILE, "np") as file:
        assert file.metadata()["weights_format"] == "2"


def test_the_format_of_a_later_version_is_not_called_damage(tmp_path):
    saved(tmp_path, DENSE)
    change(tmp_path, weights_format=3)
    with pytest.raises(ResultsError, match="weights_format: found 3") as caught:
        load_generator(tmp_path, no_data)
    assert "damaged" not in str(caught.value)


def test_a_wrong_type_of_an_argument_is_not_called_damage(tmp_path):
    generator = saved(tmp_path, DENSE)
    loaded = load_generator(str(tmp_path), no_data).generator
    assert np.array_equal(loaded.samples(5), generate(generator, DENSE, 5, 7))
    for wrong in (5, None, [str(tmp_path)]):
        with pytest.raises(BadInputError, match="where a path must be") as caught:
            load_generator(wrong, no_data)
        assert "damaged" not in str(caught.value)
    with pytest.raises(
        BadInputError, match=r"load_dataset: found 'digits'\. It must be a function"
    ):
        load_generator(tmp_path, "digits")


@pytest.mark.parametrize("error", [TypeError("mine"), FileNotFoundError("mine")])
def test_an_error_of_the_callers_own_function_is_not_called_damage(tmp_path, monkeypatch, error):
    def fail(_):
        raise error

    saved(tmp_path, DENSE)
    family = load_family(DEFAULT_FAMILY)
    monkeypatch.setattr(type(family), "generator", ModelFamily.generator)
    with pytest.raises(type(error), match="mine"):
        load_generator(tmp_path, fail)


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
