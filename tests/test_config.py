"""The configuration of a trial and the budget: defaults, rules, ids, and their documentation."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.errors import BadInputError, ConfigError
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.seeds import run_seed, trial_seed

PAGE = Path(__file__).parent.parent / "docs" / "parameters.md"


# The paper's values


def test_the_defaults_are_the_papers_for_mnist():
    """As the authors' published configuration and code have them, k and losses as in the text."""
    assert dataclasses.asdict(TrialConfig()) == {
        "k": 1,
        "update": "alternating",
        "generator_loss": "non_saturating",
        "discriminator_loss_scale": 1.0,
        # Later remedies against collapse, all off.
        "label_smoothing": 0.0,
        "gradient_penalty": "none",
        "gradient_penalty_weight": 10.0,
        "unrolled_steps": 0,
        "instance_noise_sd": 0.0,
        "instance_noise_updates": 0,
        "packing": 1,
        "minibatch_sd": 0,
        "batch_size": 100,
        "precision": "fp32",
        "optimizer": "sgd",
        "generator_lr": 0.1,
        "discriminator_lr": 0.1,
        "lr_decay": 1.000004,
        "min_lr": 1e-6,
        "momentum": 0.5,
        "final_momentum": 0.7,
        "momentum_epochs": 250.0,
        "adam_beta1": 0.5,
        "adam_beta2": 0.999,
        "generator_ema": 0.0,
        "batch_order": "replacement",
        "final_lr_share": 1.0,
        "momentum_share": 0.0,
        "noise": "uniform",
        "noise_dim": 100,
        "generator_network": "dense",
        "generator_widths": (1200, 1200),
        "generator_activation": "relu",
        "generator_normalization": "none",
        "sigmoid_bias": 0.0,
        "generator_output": "sigmoid",
        "output_bias": "data_mean",
        "discriminator_network": "dense",
        "discriminator_widths": (240, 240),
        "discriminator_activation": "maxout",
        "discriminator_normalization": "none",
        "maxout_pieces": 5,
        "leaky_slope": 0.2,
        "dropout_input": 0.2,
        "dropout_hidden": 0.5,
        "init": "uniform",
        "generator_init_range": 0.05,
        "discriminator_init_range": 0.005,
        "init_sd": 0.02,
        "output_init": "hidden",
        "generator_max_norm": 0.0,
        "discriminator_max_norm": 0.0,
        "pretraining": "none",
        # From the paper's other configurations: convolutional networks for CIFAR-10, and TFD.
        "generator_channels": (80,),
        "generator_kernels": (5,),
        "generator_strides": (3,),
        "generator_paddings": (0,),
        "discriminator_channels": (32, 32, 192),
        "discriminator_kernels": (8, 8, 5),
        "discriminator_strides": (1,),
        "discriminator_paddings": (4, 3, 3),
        "discriminator_pools": (4, 4, 2),
        "discriminator_pool_strides": (2,),
        "convolution_pieces": 2,
        "output_init_range": 0.5,
        "output_init_inputs": 100,
        "pretraining_updates": 98000,
        "pretrained_layers": 2,
        # From populations.
        "schedule": (),
    }


# Rules


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 0}, "k: found 0. It must be a whole number in [1, 100]."),
        ({"k": 1.5}, "k: found 1.5. It must be a whole number in [1, 100]."),
        ({"k": True}, "k: found True. It must be a whole number in [1, 100]."),
        ({"k": "2"}, "k: found '2'. It must be a whole number in [1, 100]."),
        ({"generator_lr": 0}, "generator_lr: found 0. It must be a number in (0, 100]."),
        ({"generator_lr": math.nan}, "generator_lr: found nan. It must be a number in (0, 100]."),
        ({"min_lr": -0.1}, "min_lr: found -0.1. It must be a number in [0, 1]."),
        ({"noise": "gauss"}, "noise: found 'gauss'. It must be one of uniform, normal."),
        ({"noise": ["normal"]}, "noise: found ['normal']. It must be one of uniform, normal."),
        (
            {"generator_channels": []},
            "generator_channels: found []. It must be a list of whole numbers in [1, 65536], one "
            "for each layer.",
        ),
        (
            {"generator_widths": [64, 0]},
            "generator_widths: found 0. It must be a list of whole numbers in [1, 65536], one for "
            "each layer; [] for none.",
        ),
    ],
)
def test_a_value_that_breaks_its_rule_is_answered_with_the_rule(values, message):
    with pytest.raises(ConfigError) as error:
        TrialConfig(**values)
    assert str(error.value) == f"configuration: {message}"


def test_a_number_beyond_the_range_of_floats_breaks_the_rule():
    with pytest.raises(ConfigError, match=r"It must be a whole number in \[1, 100\]\.$"):
        TrialConfig(k=10**400)


@pytest.mark.parametrize("name", [n for n in TrialConfig.rules() if n != "schedule"])
def test_the_ends_of_every_range_belong_to_it_unless_they_are_open(name):
    rule = TrialConfig.rules()[name]
    if rule.choices:
        for choice in rule.choices:
            assert getattr(TrialConfig(**{name: choice}), name) == choice
        return

    def value_of(end):
        return [end] if rule.kind == "widths" else end

    just_outside = [rule.high + 1, rule.low if rule.low_is_open else rule.low - 1]
    for end in just_outside:
        with pytest.raises(ConfigError, match=rf"^configuration: {name}: found "):
            TrialConfig(**{name: value_of(end)})
    TrialConfig(**{name: value_of(rule.high)})
    TrialConfig(**{name: value_of(1e-9 if rule.low_is_open else rule.low)})


def test_numbers_are_converted_to_the_parameters_type():
    config = TrialConfig(k=np.int64(3), generator_lr=1, generator_widths=[np.int32(8), 8.0])
    assert (type(config.k), type(config.generator_lr)) == (int, float)
    assert config.generator_widths == (8, 8)
    assert [type(width) for width in config.generator_widths] == [int, int]


def test_an_unknown_parameter_is_answered_with_the_nearest_name():
    with pytest.raises(ConfigError) as error:
        TrialConfig.from_dict({"generater_lr": 0.1})
    assert str(error.value) == (
        "configuration: unknown parameter generater_lr. Did you mean generator_lr?"
    )
    with pytest.raises(BadInputError, match=r"^budget: unknown parameter trails\. Did you mean t"):
        Budget.from_dict({"trails": 3})


# Conditions and ids


@pytest.mark.parametrize(
    ("values", "applying", "idle"),
    [
        ({}, {"momentum", "maxout_pieces", "generator_init_range"}, {"adam_beta1", "leaky_slope"}),
        ({"optimizer": "adam"}, {"adam_beta1", "adam_beta2"}, {"momentum", "momentum_epochs"}),
        ({"discriminator_activation": "relu"}, {"k"}, {"maxout_pieces", "leaky_slope"}),
        (
            {"discriminator_activation": "relu", "generator_activation": "maxout"},
            {"maxout_pieces"},
            set(),
        ),
        ({"init": "glorot"}, set(), {"generator_init_range", "discriminator_init_range"}),
    ],
)
def test_a_parameter_applies_where_it_has_an_effect(values, applying, idle):
    config = TrialConfig(**values)
    assert all(config.applies(name) for name in applying)
    assert not any(config.applies(name) for name in idle)
    stored = config.to_dict()
    assert all(stored[name] is not None for name in applying)
    assert all(stored[name] is None for name in idle)


def test_configurations_that_train_the_same_have_one_id():
    relu = TrialConfig(discriminator_activation="relu")
    same = TrialConfig(discriminator_activation="relu", maxout_pieces=3, adam_beta1=0.9)
    assert relu != same
    assert relu.config_id == same.config_id


def test_every_parameter_that_applies_changes_the_id():
    other = {
        "k": 2,
        "update": "simultaneous",
        "batch_order": "shuffled",
        "final_lr_share": 0.5,
        "generator_loss": "minimax",
        "gradient_penalty": "r1",
        "optimizer": "adam",
        "precision": "bf16",
        "noise": "normal",
        "generator_output": "linear",
        "output_bias": "zero",
        "generator_widths": (1200,),
        "discriminator_widths": (240,),
        "generator_activation": "elu",
        "discriminator_activation": "elu",
        "init": "glorot",
        "generator_network": "convolutional",
        "generator_normalization": "batch",
        "discriminator_network": "convolutional",
        "discriminator_normalization": "batch",
        "output_init": "sparse",
        "pretraining": "upper_layers",
    }
    paper = TrialConfig()
    names = {paper.config_id}
    for name in filter(paper.applies, TrialConfig.rules()):
        value = getattr(paper, name)
        changed = other[name] if name in other else type(value)(value * 1.0001 + 1e-6)
        if isinstance(value, int) and name not in other:
            changed = value + 1
        names.add(dataclasses.replace(paper, **{name: changed}).config_id)
    assert len(names) == 1 + sum(paper.applies(name) for name in TrialConfig.rules())


def test_the_papers_id_stays_the_same_over_versions():
    # Stored runs are compared by it.
    assert TrialConfig().config_id == "44136fa3"


def test_a_configuration_survives_json():
    config = TrialConfig(k=3, optimizer="adam", generator_widths=(64, 32), init="glorot")
    again = TrialConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.to_dict()["generator_widths"] == [64, 32]


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrialConfig().k = 2  # type: ignore[misc]


# The budget


@settings(max_examples=300, deadline=None)
@given(max_updates=st.integers(1, 10**6), reports=st.integers(1, 500), grace=st.floats(0, 1))
def test_reports_are_spread_over_the_updates_and_end_with_them(max_updates, reports, grace):
    budget = Budget(max_updates=max_updates, reports=reports, grace=grace)
    marks = budget.report_updates()
    assert marks == sorted(set(marks))
    assert marks[-1] == max_updates
    assert marks[0] >= 1
    assert len(marks) == min(reports, max_updates)
    gaps = np.diff([0, *marks])
    assert gaps.max() - gaps.min() <= 1  # as even as whole numbers can be
    assert 1 <= budget.grace_updates <= max_updates


def test_the_reports_of_the_digits_are_every_500_updates():
    budget = Budget(max_updates=8000, reports=16, grace=0.15)
    assert budget.report_updates() == list(range(500, 8001, 500))
    assert budget.grace_updates == 1200


def test_a_budget_survives_json_and_keeps_its_rules():
    budget = Budget(trials=7, grace=0.3)
    assert Budget.from_dict(json.loads(json.dumps(budget.to_dict()))) == budget
    with pytest.raises(ConfigError) as error:
        Budget(reduction_factor=1)
    assert str(error.value) == (
        "budget: reduction_factor: found 1. It must be a number in [1.1, 100]."
    )


# Seeds


def test_seeds_differ_between_runs_phases_and_trials():
    seeds = {
        trial_seed(run, phase, index)
        for run in range(10)
        for phase in ("search", "replica")
        for index in range(100)
    }
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seed_stays_the_same_over_versions():
    # `printf 0/search/0 | sha256sum` begins with a423843d, of which 31 bits are taken.
    assert trial_seed(0, "search", 0) == 0xA423843D >> 1


@pytest.mark.parametrize("seed", [0, 5_000_000_000, 2**128 - 1, np.int64(7), np.uint8(7)])
def test_a_seed_may_be_any_whole_number_of_128_bits(seed):
    assert run_seed(seed) == seed
    assert type(run_seed(seed)) is int


@pytest.mark.parametrize(
    "seed",
    [
        -1,
        2**128,
        *(pytest.param(sign * 10**5000, id=f"huge {sign}") for sign in (1, -1)),
        1.0,
        "1",
        True,
        [1],
    ],
)
def test_another_seed_is_answered_with_the_rule(seed):
    with pytest.raises(
        BadInputError, match=r"^seed: found .{1,40}\. A seed is a whole number from 0"
    ):
        run_seed(seed)


def test_no_seed_is_a_random_one():
    assert run_seed(None) != run_seed(None)


# The page of parameters


def _table(kind):
    """Return the Markdown table that the page should have; a budget knows no conditions."""
    conditional = any(rule.when for rule in kind.rules().values())
    columns = ["parameter", "default", "rule", *["applies when"] * conditional, "meaning"]
    rows = [columns, ["---"] * len(columns)]
    for name, rule in kind.rules().items():
        default = getattr(kind(), name)
        shown = list(default) if isinstance(default, tuple) else default
        when = " or ".join(f"`{other}` is {value}" for other, value in rule.when) or "always"
        rows.append([f"`{name}`", str(shown), rule.describe(), *[when] * conditional, rule.doc])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


@pytest.mark.parametrize("kind", [TrialConfig, Budget])
def test_the_page_of_parameters_agrees_with_the_code(kind):
    table = _table(kind)
    if table not in PAGE.read_text():
        pytest.fail(f"docs/parameters.md should have this table:\n\n{table}")


def test_the_page_names_what_may_change_in_mid_training():
    names = ", ".join(f"`{name}`" for name in TrialConfig.schedulable)
    assert f"mid-training: {names}." in " ".join(PAGE.read_text().split())


def test_the_page_has_the_defaults_of_own_networks_that_differ_and_their_last_parameters():
    own, paper = OwnNetworkParameters(), TrialConfig()
    names = list(OwnNetworkParameters.rules())
    table = "| parameter | default |\n| --- | --- |\n" + "".join(
        f"| `{name}` | {getattr(own, name)} |\n"
        for name in names
        if getattr(own, name) != getattr(paper, name)
    )
    if table not in PAGE.read_text():
        pytest.fail(f"docs/parameters.md should have this table:\n\n{table}")
    *shared, last = names
    assert shared == list(TrialConfig.rules())[: len(shared)]
    assert (names[0], shared[-1], last) == ("k", "noise_dim", "schedule")


def test_own_networks_share_the_rules_of_training_and_noise_but_have_no_layers_to_set():
    for name, rule in OwnNetworkParameters.rules().items():
        assert rule is TrialConfig.rules()[name]
    with pytest.raises(ConfigError, match="unknown parameter dropout_hidden"):
        OwnNetworkParameters.from_dict({"dropout_hidden": 0.5})
