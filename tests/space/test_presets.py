"""The presets of the built-in spaces: the papers' values, and networks that fit the data."""

from itertools import pairwise

import optuna
import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.errors import SpaceError
from gansearch.family import DEFAULT_FAMILY
from gansearch.networks.models import Discriminator, Generator
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace

SHAPES = {
    "cifar10": (32, 32, 3),
    "digits": (8, 8, 1),
    "folder": (48, 64, 3),
    "gaussian": (1,),
    "grid": (2,),
    "mnist": (28, 28, 1),
    "ring": (2,),
    "tfd": (48, 48, 1),
}
PRESETS = [(name, preset) for name in SHAPES for preset in ("paper", *load_space(name).presets)]


def networks(config: TrialConfig, shape: tuple[int, ...]) -> tuple[Generator, Discriminator]:
    """Both players without memory for their parameters, whatever their size."""
    with torch.device("meta"):
        return Generator(config, shape), Discriminator(config, shape)


def n_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_every_builtin_space_of_the_papers_nets_has_a_shape_here() -> None:
    families = {name: load_space(name).family.name for name in builtin_spaces()}
    assert list(SHAPES) == [name for name in families if families[name] == DEFAULT_FAMILY]


@pytest.mark.parametrize(("name", "preset"), dict.fromkeys(PRESETS))
def test_a_presets_networks_fit_the_data(name: str, preset: str) -> None:
    config, shape = load_space(name).preset(preset), SHAPES[name]
    generator, discriminator = networks(config, shape)
    dim = int(torch.Size(shape).numel())
    n = 3 * config.packing
    fakes = generator(torch.empty(n, config.noise_dim, device="meta"))
    assert fakes.shape == (n, dim)
    assert discriminator(fakes).shape == (3,)


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_a_space_proposes_fits_the_data(name: str) -> None:
    space = load_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for _ in range(10):
        config = space.suggest(study.ask())
        generator, discriminator = networks(config, SHAPES[name])
        fakes = generator(torch.empty(2 * config.packing, config.noise_dim, device="meta"))
        assert discriminator(fakes).shape == (2,)


def test_the_papers_fully_connected_networks_for_cifar10() -> None:
    config = load_space("cifar10").preset("paper")
    generator, discriminator = networks(config, (32, 32, 3))
    widths = [100, 8000, 8000, 3072]
    expected = sum((n + 1) * m for n, m in pairwise(widths))
    assert n_parameters(generator) == expected == 89_395_072
    pieces = 5
    expected = 3073 * 1600 * pieces + 1601 * 1600 * pieces + 1601
    assert n_parameters(discriminator) == expected == 37_393_601
    assert config == TrialConfig(
        generator_widths=(8000, 8000),
        generator_activation="relu_sigmoid",
        generator_output="linear",
        output_bias="zero",
        output_init="uniform",
        output_init_range=0.5,
        noise="normal",
        discriminator_widths=(1600, 1600),
        generator_lr=0.025,
        discriminator_lr=0.025,
    )


def test_the_papers_convolutional_networks_for_cifar10() -> None:
    config = load_space("cifar10").preset("paper_convolutional")
    generator, discriminator = networks(config, (32, 32, 3))
    # 100 -> 8000 -> 8000, which is 80x10x10 -> 3x32x32 by 5x5 kernels, with a bias for each value.
    expected = 101 * 8000 + 8001 * 8000 + 80 * 3 * 5 * 5 + 3072
    assert n_parameters(generator) == expected == 64_825_072
    assert (config.batch_size, config.generator_lr, config.discriminator_lr) == (128, 0.004, 0.004)
    # Two pieces for each channel; a dense layer of 500x5 sees 192 channels of 5x5.
    convolutions = [(3, 64, 8), (32, 64, 8), (32, 384, 5)]
    expected = sum((n * side * side + 1) * m for n, m, side in convolutions)
    expected += (192 * 5 * 5 + 1) * 500 * 5 + 501
    assert n_parameters(discriminator) == expected == 12_454_073
    assert config.output_init == "hidden"
    assert (config.generator_init_range, config.discriminator_init_range) == (0.05, 0.005)


def test_the_papers_networks_for_tfd() -> None:
    config = load_space("tfd").preset("paper")
    generator, _ = networks(config, (48, 48, 1))
    widths = [100, 8000, 100, 8000, 8000, 2304]
    expected = sum((n + 1) * m for n, m in pairwise(widths))
    assert n_parameters(generator) == expected
    assert config == TrialConfig(
        generator_widths=(8000, 100, 8000, 8000),
        generator_activation="relu_sigmoid",
        sigmoid_bias=-2.0,
        noise="normal",
        output_init="sparse",
        generator_max_norm=1.9365,
        discriminator_max_norm=1.9365,
        discriminator_widths=(1200, 1200),
        pretraining="upper_layers",
        pretrained_layers=2,
        generator_lr=0.05,
        discriminator_lr=0.05,
    )


def test_tfd_trains_the_whole_generator_for_22_epochs() -> None:
    space = load_space("tfd")
    after = space.budget.max_updates - space.preset("paper").pretraining_updates
    n_unlabelled, batch = 98_058, 100
    epochs = after / 2 / (n_unlabelled / batch)
    assert epochs == pytest.approx(22, abs=0.05)


@pytest.mark.parametrize("name", ["cifar10", "digits", "folder", "mnist", "tfd"])
def test_dcgan_is_that_of_radford_and_others(name: str) -> None:
    config = load_space(name).preset("dcgan")
    assert (config.optimizer, config.adam_beta1, config.adam_beta2) == ("adam", 0.5, 0.999)
    assert config.generator_lr == config.discriminator_lr == 2e-4
    assert config.lr_decay == 1
    assert (config.init, config.init_sd) == ("normal", 0.02)
    assert config.generator_normalization == config.discriminator_normalization == "batch"
    assert (config.generator_activation, config.discriminator_activation) == ("relu", "leaky_relu")
    assert config.leaky_slope == 0.2
    assert config.dropout_input == config.dropout_hidden == 0
    assert config.generator_channels == config.discriminator_channels[::-1]
    assert config.generator_widths == config.discriminator_widths == ()
    assert config.noise == "uniform"
    assert config.generator_max_norm == config.discriminator_max_norm == 0
    assert config.pretraining == "none"


REMEDIES = {
    "label_smoothing": {"label_smoothing": 0.1},
    "minibatch_sd": {"minibatch_sd": 100},
    "packed_2": {"packing": 2},
    "packed_3": {"packing": 3},
    "packed_4": {"packing": 4},
    "unrolled": {"unrolled_steps": 5},
    "spectral_norm": {"discriminator_normalization": "spectral"},
    "r1": {"gradient_penalty": "r1", "gradient_penalty_weight": 0.1},
    "one_centered": {"gradient_penalty": "one_centered", "gradient_penalty_weight": 0.1},
    "instance_noise": {"instance_noise_sd", "instance_noise_updates"},
    "two_time_scales": {"generator_lr"},
}


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_the_preset_pacgan_is_that_of_its_authors_code(name: str) -> None:
    config = load_space(name).preset("pacgan")
    assert (config.update, config.batch_order, config.batch_size) == (
        *("simultaneous", "shuffled"),
        100,
    )
    assert (config.optimizer, config.generator_lr, config.adam_beta1) == ("adam", 1e-4, 0.8)
    assert config.lr_decay == 1.0
    assert config.generator_widths == (400,) * 4 and config.generator_normalization == "batch"
    assert config.discriminator_widths == (200,) * 3 and config.maxout_pieces == 5
    assert (config.init, config.init_sd, config.output_bias) == ("normal", 0.02, "zero")
    assert (config.dropout_input, config.dropout_hidden) == (0, 0)


@pytest.mark.parametrize("name", SHAPES)
def test_no_published_preset_has_an_average_of_g_and_the_spaces_of_images_search_one(
    name: str,
) -> None:
    space = load_space(name)
    published = {"paper", *space.presets} - space.origins.keys()
    assert all(space.preset(each).generator_ema == 0 for each in published)
    assert ("generator_ema" in space.search) == (name != "gaussian")


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_each_remedys_preset_differs_from_vanilla_by_that_remedy_alone(name: str) -> None:
    space = load_space(name)
    vanilla = space.preset("vanilla").to_dict()
    for preset, remedy in REMEDIES.items():
        values = space.preset(preset).to_dict()
        changed = {key: value for key, value in values.items() if value != vanilla[key]}
        assert (changed if isinstance(remedy, dict) else set(changed)) == remedy, preset
    assert {"paper", "pacgan", "vanilla", "found", *REMEDIES} == set(space.presets)
    # Heusel et al. (2017): D learns the faster.
    two = space.preset("two_time_scales")
    assert two.generator_lr < two.discriminator_lr


FOUND = {
    "dataset": "digits",
    "search": {"k": {"int": [1, 3]}},
    "presets": {"found": {"k": 2}},
    "start_from": ["paper", "found"],
    "origins": {"found": "best of 400 trials of 5,000 updates"},
}


def test_a_preset_says_where_it_comes_from_and_is_tried_after_the_papers() -> None:
    space = SearchSpace.from_dict(FOUND)
    assert [space.preset(name).k for name in space.start_from] == [1, 2]
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert "origins:\n  found: best of 400 trials of 5,000 updates\n" in space.describe()
    assert "origins" not in load_space("gaussian").to_dict()


def test_what_was_found_is_not_tried_where_a_change_leaves_it_outside() -> None:
    narrow = "generator_lr={float: [0.01, 0.15], log: true}"
    assert load_space("digits").start_from == ("paper", "found")
    assert load_space("digits", [narrow]).start_from == ("paper",)
    assert load_space("digits", ["k=2"]).start_from == ("paper", "found")
    with pytest.raises(SpaceError, match="start_from: found lies outside the space: generator_lr"):
        load_space("digits", [narrow, "start_from=[paper, found]"])


@pytest.mark.parametrize(
    ("origins", "message"),
    [
        ({"fuond": "here"}, r"origins: no preset is called fuond\. Did you mean found\?"),
        ({"found": [1]}, r"origins\.found: found \[1\]\. It must be text that says where"),
        ("found", r"origins: found 'found'\. It must be a mapping of names to values"),
    ],
)
def test_an_origin_of_no_preset_or_without_text_is_refused(origins: object, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SearchSpace.from_dict(FOUND | {"origins": origins})
