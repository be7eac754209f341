"""docs/networks.md, held to the built-in spaces and to the networks that they build."""

import re
from pathlib import Path

import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.networks.layers import side_below
from gansearch.networks.models import Discriminator, Generator
from gansearch.space.load import load_space

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
SETUPS = {
    "MNIST": ("mnist", "paper", (28, 28, 1)),
    "TFD": ("tfd", "paper", (48, 48, 1)),
    "CIFAR-10": ("cifar10", "paper", (32, 32, 3)),
    "CIFAR-10 convolutional": ("cifar10", "paper_convolutional", (32, 32, 3)),
    "DCGAN": ("cifar10", "dcgan", (32, 32, 3)),
}


def shown(config, name):
    value = getattr(config, name)
    if not config.applies(name):
        return ""
    return str(list(value)) if isinstance(value, tuple) else f"{value}"


def table_of_setups():
    """Return the Markdown table of all parameters in which the setups are not all the default."""
    configs = [load_space(space).preset(preset) for space, preset, _ in SETUPS.values()]
    paper = TrialConfig()
    lines = [f"| parameter | {' | '.join(SETUPS)} |", "| --- " * (len(SETUPS) + 1) + "|"]
    for name in TrialConfig.rules():
        if any(c.applies(name) and getattr(c, name) != getattr(paper, name) for c in configs):
            lines.append(f"| `{name}` | {' | '.join(shown(c, name) for c in configs)} |")
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines)


DCGANS = {
    "digits": (8, 8, 1),
    "mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "tfd": (48, 48, 1),
    "folder": (32, 32, 3),
}


def n_parameters(space, preset, shape):
    config = load_space(space).preset(preset)
    with torch.device("meta"):
        nets = Generator(config, shape), Discriminator(config, shape)
    return [sum(p.numel() for p in net.parameters()) for net in nets]


def test_the_page_has_the_setups_as_the_built_in_spaces_have_them():
    table = table_of_setups()
    if table not in PAGE.read_text():
        pytest.fail(f"docs/networks.md should have this table:\n\n{table}")


def test_the_page_counts_the_parameters_right():
    for setup, of in SETUPS.items():
        counts = " | ".join(f"{n / 1e6:.2f} M" for n in n_parameters(*of))
        assert f"| {setup} | {counts} |" in PAGE.read_text(), f"| {setup} | {counts} |"


def test_the_page_has_the_sizes_of_dcgan_for_each_space_of_images():
    for space, shape in DCGANS.items():
        config = load_space(space).preset("dcgan")
        how = [
            values[0]
            for values in (
                config.generator_kernels,
                config.generator_strides,
                config.generator_paddings,
            )
        ]
        sides = [shape[0]]
        for _ in config.generator_channels:
            sides.insert(0, side_below(sides[0], *how))
        counts = [f"{n / 1e6:.2f} M" for n in n_parameters(space, "dcgan", shape)]
        cells = [f"`{space}`", ", ".join(map(str, sides)), str(list(config.generator_channels))]
        row = f"| {' | '.join(cells + counts)} |"
        assert row in PAGE.read_text(), row


def test_the_networks_of_ones_own_on_the_page_can_be_trained(tmp_path):
    (fence,) = re.findall(r"```python\n(from torch import nn\n.*?)```", PAGE.read_text(), re.DOTALL)
    (space,) = re.findall(
        r"```yaml\n(dataset: digits\ngenerator:.*?)```", PAGE.read_text(), re.DOTALL
    )
    (tmp_path / "my_nets.py").write_text(fence)
    (tmp_path / "mine.yaml").write_text(space)
    found = load_space(str(tmp_path / "mine.yaml"))
    dataset = load_dataset("digits")
    config = found.family.config_type()
    found.family.check(config, dataset)
    training = found.family.build(config, dataset, 0, "cpu")
    training.advance(4)
    weights = found.family.export(training, 0).arrays
    own = {}
    exec(fence, own)
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    own["Generator"](noise_dim=100, shape=(1, 8, 8), width=32).load_state_dict(state)
