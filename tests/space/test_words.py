"""What other tools call the parameters and the budget is answered by the names here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import N_TRAIN, WITHOUT_FILES, load_dataset
from gansearch.errors import ConfigError, SpaceError
from gansearch.family import ModelFamily
from gansearch.rules import Config, parameter
from gansearch.space.load import load_config, load_space
from gansearch.space.search_space import SearchSpace

TABLES = (TrialConfig, Budget)


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("lr", "Here it is generator_lr and discriminator_lr."),
        ("g-LR", "Here it is generator_lr."),
        ("d_lr", "Here it is discriminator_lr."),
        ("lr_g", "Here it is generator_lr."),
        ("latent_dim", "Here it is noise_dim."),
        ("z_dim", "Here it is noise_dim."),
        ("nz", "Here it is noise_dim."),
        ("n_critic", "Here it is k."),
        ("critic_iters", "Here it is k."),
        ("beta1", "Here it is adam_beta1."),
        ("ema", "Here it is generator_ema."),
        ("hidden", "Here it is generator_widths and discriminator_widths."),
        ("n_trials", "Here it is trials, of the budget."),
        ("num_samples", "Here it is trials, of the budget."),
        ("seed", "The seed belongs to the run: --seed."),
    ],
)
def test_a_word_of_other_tools_is_answered_by_the_name_here(word: str, answer: str) -> None:
    with pytest.raises(SpaceError) as error:
        load_space("digits", [f"{word}=1"])
    assert str(error.value) == f"--set {word}=1: {word}: unknown parameter. {answer}"


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("loss", ("generator_loss", "gradient_penalty", "Wasserstein")),
        ("weight_decay", ("not there", "generator_max_norm", "discriminator_max_norm")),
        ("spectral_norm", ("not there", "gradient_penalty")),
    ],
)
def test_what_is_not_there_is_answered_by_what_comes_nearest(
    word: str, parts: tuple[str, ...]
) -> None:
    with pytest.raises(SpaceError) as error:
        load_space("digits", [f"{word}=1"])
    assert all(part in str(error.value) for part in parts)


def test_epochs_are_converted_where_the_data_sets_size_is_known() -> None:
    with pytest.raises(SpaceError) as error:
        load_space("mnist", ["epochs=10"])
    assert str(error.value) == (
        "--set epochs=10: epochs: unknown parameter. A budget counts parameter updates, not "
        "epochs: max_updates. An epoch is the updates of an iteration, k + 1, times the training "
        "examples, divided by batch_size. 10 epochs of mnist (50,000 examples) at k=1 and "
        "batch_size=100: max_updates=10000."
    )


def test_epochs_of_a_data_set_of_unknown_size_are_answered_by_the_formula() -> None:
    with pytest.raises(SpaceError, match=r"divided by batch_size\.$"):
        load_space("folder", ["epochs=10"])


def test_the_words_are_answered_in_every_section_of_a_file() -> None:
    def fault(**sections: object) -> str:
        space = {"dataset": "digits", "search": {"k": {"int": [1, 3]}}, **sections}
        with pytest.raises(SpaceError) as error:
            SearchSpace.from_dict(space)
        return str(error.value)

    both = "Here it is generator_lr and discriminator_lr"
    assert fault(search={"lr": {"float": [0.1, 1]}}).endswith(f"unknown parameter. {both}.")
    assert fault(fixed={"lr": 0.1}).endswith(f"fixed.lr: unknown parameter. {both}.")
    assert fault(presets={"a": {"lr": 0.1}}).endswith(f"presets.a.lr: unknown parameter. {both}.")
    assert fault(lr=0.1).endswith(f"{both}, under search or fixed.")
    assert fault(budget={"n_trials": 3}).endswith("Here it is trials, of the budget.")
    assert fault(budget={"k": 3}).endswith("It belongs under search or fixed.")
    assert fault(fixed={"trials": 3}).endswith("It belongs under budget.")
    assert fault(budget={"epochs": 3}).endswith(
        "3 epochs of digits (1,197 examples) at k=1 and batch_size=100: max_updates=72."
    )
    condition = {"int": [1, 3], "when": {"optim": "adam"}}
    assert fault(search={"k": condition}).endswith("unknown parameter optim. Here it is optimizer.")


def test_the_words_are_answered_in_a_configuration_and_from_python(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("latent_dim: 3\n")
    with pytest.raises(ConfigError, match=r"config\.latent_dim: .* Here it is noise_dim\."):
        load_config(path, load_space("digits"))
    with pytest.raises(ConfigError, match=r"unknown parameter nz\. Here it is noise_dim\."):
        TrialConfig.from_dict({"nz": 3})
    with pytest.raises(ConfigError, match=r"unknown parameter n_trials\. Here it is trials\."):
        Budget.from_dict({"n_trials": 3})


@dataclass(frozen=True)
class OwnConfig(Config):
    """A table with names that mean something else in that of the paper's nets."""

    lr: float = parameter(0.1, "float", "learning rate", low=0, high=1)
    epochs: int = parameter(1, "int", "passes", low=1, high=9)


class OwnFamily(ModelFamily[OwnConfig]):
    """Trains nothing."""

    config_type = OwnConfig

    def build(self, config, dataset, seed, device):
        raise NotImplementedError


def test_names_of_a_table_of_ones_own_are_no_words() -> None:
    space = {
        "family": f"{__name__}:OwnFamily",
        "dataset": "digits",
        "search": {"lr": {"float": [0.1, 1]}},
        "fixed": {"epochs": 3},
    }
    assert SearchSpace.from_dict(space).fixed == {"epochs": 3}
    with pytest.raises(SpaceError, match=r"fixed\.nz: unknown parameter\. Known: epochs, lr\."):
        SearchSpace.from_dict({**space, "fixed": {"nz": 3}})
    with pytest.raises(SpaceError, match=r"divided by batch_size\.$"):
        SearchSpace.from_dict({**space, "budget": {"n_epochs": 3}})


@pytest.mark.parametrize("table", TABLES)
def test_every_answer_names_parameters_that_exist(table: type[TrialConfig | Budget]) -> None:
    for word, answer in table.other_words.items():
        assert word not in table.rules()
        assert word == word.lower()
        if isinstance(answer, tuple):
            assert set(answer) <= set(table.rules())


@pytest.mark.parametrize("name", [*WITHOUT_FILES])
def test_the_known_numbers_of_training_examples_are_those_of_the_data(name: str) -> None:
    assert np.shape(load_dataset(name).train)[0] == N_TRAIN[name]
