"""Search spaces: the format, its faults, and the way from Optuna to a configuration."""

from __future__ import annotations

import json
import os
import random
import re
import string
import tempfile
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.errors import BadInputError, ConfigError, SpaceError
from gansearch.family import DEFAULT_FAMILY, load_family
from gansearch.rules import Rule
from gansearch.space import builtin as builtin_module
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_config, load_space
from gansearch.space.overrides import apply_overrides
from gansearch.space.ranges import Choices, FloatRange, IntRange, parse_by_rule
from gansearch.space.search_space import SearchSpace
from gansearch.space.yaml_source import parse_yaml

optuna.logging.set_verbosity(optuna.logging.WARNING)

ROOT = Path(__file__).parents[2]
BUILTIN = tuple(sorted(path.stem for path in (ROOT / "search_spaces").glob("*.yaml")))
SPACES = {name: load_space(name) for name in BUILTIN}
HEAD = "dataset: digits\nsearch:\n"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Load a space from the text of its file, which is called my.yaml."""
    monkeypatch.chdir(tmp_path)

    def _load(text: str | bytes, overrides: tuple[str, ...] = ()) -> SearchSpace:
        Path("my.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_space("my.yaml", overrides)

    return _load


def ask(space: SearchSpace, seed: int) -> tuple[dict[str, Any], TrialConfig]:
    """Return Optuna's parameters and the configuration of one random proposal."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask()
    config = space.suggest(trial)
    return trial.params, config


# What a file means


def test_a_space_file_gives_its_parts(load):
    space = load(
        """
dataset: mnist
budget: {trials: 7, max_updates: 100}
search:
  k: {int: [1, 5], step: 2}
  generator_lr: {float: [1e-3, 1], log: yes}
  generator_widths: {choice: [[64], [64, 32]]}
  maxout_pieces: {int: [2, 5], when: {k: [3, 5]}}
fixed: {batch_size: 50, noise: normal}
presets:
  paper: {generator_widths: [64]}
  other: {generator_widths: [64, 32]}
start_from: [other, paper]
"""
    )
    assert space == SearchSpace(
        name="my",
        family=load_family(DEFAULT_FAMILY),
        dataset="mnist",
        budget=Budget(trials=7, max_updates=100),
        search={
            "k": IntRange(1, 5, step=2),
            "generator_lr": FloatRange(1e-3, 1.0, log=True),
            "generator_widths": Choices(((64,), (64, 32))),
            "maxout_pieces": IntRange(2, 5, when=(("k", (3, 5)),)),
        },
        fixed={"batch_size": 50, "noise": "normal"},
        presets={"paper": {"generator_widths": (64,)}, "other": {"generator_widths": (64, 32)}},
        start_from=("other", "paper"),
        baseline_name="paper",
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("1.0e-5", 1e-5), ("1E-5", 1e-5), (".5", 0.5), ("+0.5", 0.5), ("1_0", 10.0)],
)
def test_numbers_are_read_as_people_write_them(load, text, value):
    space = load(f"{HEAD}  k: {{int: [1, 3]}}\nfixed: {{generator_lr: {text}}}\n")
    assert space.fixed == {"generator_lr": value}


@pytest.mark.parametrize(("word", "log"), [("yes", True), ("On", True), ("no", False)])
def test_yes_and_no_are_booleans(load, word, log):
    space = load(f"{HEAD}  k: {{int: [1, 3], log: {word}}}\n")
    assert space.search["k"] == IntRange(1, 3, log=log)


ODD_NAMES = [
    "1",
    "no",
    "yes",
    "null",
    "~",
    "1e3",
    "2024-01-01",
    "007",
    ".inf",
    "0x10",
    "1:30",
    "On",
]


def test_a_preset_is_called_as_it_is_written(load):
    presets = "".join(f"  {name}: {{k: {i + 1}}}\n" for i, name in enumerate(ODD_NAMES))
    space = load(
        f"dataset: ring\nsearch: {{k: {{int: [1, 99]}}}}\npresets:\n{presets}"
        f"start_from: [{', '.join(ODD_NAMES)}]\n"
    )
    assert space.start_from == tuple(ODD_NAMES)
    assert [space.preset(name).k for name in ODD_NAMES] == list(range(1, len(ODD_NAMES) + 1))
    assert apply_overrides(space, ["start_from=[no, 1]"]).start_from == ("no", "1")
    again = load(space.describe())
    assert (again.presets, again.start_from) == (space.presets, space.start_from)
    with pytest.raises(SpaceError, match=r"no preset is called '1\.0e3'\. Did you mean 1e3\?"):
        apply_overrides(space, ["start_from=[1.0e3]"])


def test_a_choice_of_words_takes_them_as_they_are_written():
    rule = Rule("str", "whether", choices=("yes", "no", "null", "1"))
    for word in rule.choices:
        item = parse_yaml(word, "--set x", numbered=False)
        assert parse_by_rule(rule, "x", item) == word
    with pytest.raises(SpaceError, match=r"found true\. It must be one of yes, no, null, 1\."):
        parse_by_rule(rule, "x", parse_yaml("on", "--set x", numbered=False))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("{max_updates: 60,000}", "max_updates: found 60,000. In braces a comma ends the entry. "
         "Write 60000 or 60_000."),
        ("{max_updates: 1,000,000, trials: 3}", "max_updates: found 1,000,000. In braces a comma "
         "ends the entry. Write 1000000 or 1_000_000."),
        ("{grace: 0,25}", "grace: found 0,25. In braces a comma ends the entry. Write 0.25."),
        ("{grace: 0.15,trials: 60,000}", "trials: found 60,000. In braces a comma ends the entry. "
         "Write 60000 or 60_000."),
        ("\n  max_updates: 60,000", "budget.max_updates: found '60,000'. It must be a whole number "
         "in [1, 1000000000000]. Write 60000 or 60_000."),
        ("\n  grace: 0,25", "budget.grace: found '0,25'. It must be a number in "
         "[0, 1]. Write 0.25."),
        ("{max_updates: 60.000}", "budget.max_updates: found 60.000. It must be a whole number in "
         "[1, 1000000000000]. Write it without a point."),
        ("{max_updates: 0100}", "budget.max_updates: found '0100'. It must be a whole number in "
         "[1, 1000000000000]. Write 100, since some readers take leading zeros for octal; or, if "
         "it belongs to the number before it, write both without a comma."),
        ("{max_updates: 0__1}", "budget.max_updates: found '0__1'. It must be a whole number in "
         "[1, 1000000000000]. Write 1, since some readers take leading zeros for octal; or, if it "
         "belongs to the number before it, write both without a comma."),
    ],
)  # fmt: skip
def test_a_number_that_yaml_reads_otherwise_is_answered_with_how_to_write_it(load, budget, message):
    line = 4 if budget.startswith("\n") else 3
    with pytest.raises(SpaceError) as error:
        load(f"dataset: ring\nsearch: {{k: {{int: [1, 3]}}}}\nbudget: {budget}\n")
    assert str(error.value) == f"my.yaml:{line}: {message}"


def test_no_whole_number_is_advised_a_decimal_point():
    with pytest.raises(SpaceError) as error:
        load_space("ring", ["k=1,5"])
    assert str(error.value).endswith("found '1,5'. It must be a whole number in [1, 100].")


@pytest.mark.parametrize("entry", ["{int: [1,000, 2]}", "{choice: [1,000]}"])
def test_a_number_with_commas_in_a_list_is_no_two_numbers(load, entry):
    rule = r"found .*'000'.*write both without a comma\.$"
    with pytest.raises(SpaceError, match=rule) as error:
        load(f"dataset: ring\nsearch: {{noise_dim: {entry}}}\n")
    assert "Write 0" not in str(error.value)


def test_merge_keys_are_refused_like_anchors(load):
    with pytest.raises(SpaceError, match=r"^my.yaml:3: <<: merge keys aren't used here\."):
        load(f"{GOOD}presets: {{<<: {{k: 2}}}}\n")
    assert load(f"{GOOD}presets: {{'<<': {{k: 2}}}}\n").presets == {"<<": {"k": 2}}


def test_a_name_in_no_encoding_gives_one_that_every_file_can_hold(load, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.yaml")
    Path(path).write_text(GOOD)
    assert load_space(path).name == "caf\ufffd"


def test_a_json_file_is_a_space_too(load):
    assert load('{"dataset": "ring", "search": {"k": {"int": [1, 3]}}}').dataset == "ring"


def test_a_byte_order_mark_and_empty_sections_are_no_fault(load):
    space = load("﻿dataset: ring\nbudget:\nfixed:\npresets: {mine: }\nsearch: {k: {int: [1, 3]}}\n")
    assert (space.budget, space.fixed, space.presets) == (Budget(), {}, {"mine": {}})


# Suggesting


def test_what_is_not_searched_is_fixed_or_the_default(load):
    space = load(f"{HEAD}  k: {{int: [2, 2000]}}\nfixed: {{noise: normal}}\n".replace("2000", "20"))
    config = space.suggest(FixedTrial({"k": 7}))
    assert config == TrialConfig(k=7, noise="normal")


def test_a_parameter_is_suggested_only_where_it_has_an_effect(load):
    space = load(
        HEAD + "  discriminator_activation: {choice: [maxout, relu]}\n"
        "  maxout_pieces: {int: [2, 4]}\n"
    )
    with_maxout = FixedTrial({"discriminator_activation": "maxout", "maxout_pieces": 3})
    assert space.suggest(with_maxout).maxout_pieces == 3
    without = FixedTrial({"discriminator_activation": "relu"})
    assert space.suggest(without).discriminator_activation == "relu"
    assert without.params == {"discriminator_activation": "relu"}


def test_a_rule_sees_the_default_of_a_parameter_that_is_neither_searched_nor_fixed(load):
    # The paper's D is maxout, so its pieces have an effect though the activation isn't searched.
    space = load(HEAD + "  maxout_pieces: {int: [2, 4]}\n")
    assert space.suggest(FixedTrial({"maxout_pieces": 2})).maxout_pieces == 2


def test_all_parts_of_a_condition_must_hold(load):
    space = load(
        HEAD + "  k: {int: [1, 5], when: {noise: normal, noise_dim: [2, 16]}}\n"
        "  noise: {choice: [normal, uniform]}\n  noise_dim: {choice: [2, 16, 100]}\n"
    )
    assert list(space.search) == ["noise", "noise_dim", "k"]
    for noise, dim, asked in [("normal", 16, True), ("normal", 100, False), ("uniform", 2, False)]:
        trial = FixedTrial({"noise": noise, "noise_dim": dim, "k": 4})
        assert space.suggest(trial).k == (4 if asked else 1)
        assert ("k" in trial.params) == asked


def test_a_condition_on_a_parameter_that_was_not_asked_for_does_not_hold(load):
    space = load(
        HEAD + "  noise: {choice: [normal, uniform]}\n"
        "  noise_dim: {choice: [2, 100], when: {noise: normal}}\n"
        "  k: {int: [1, 5], when: {noise_dim: 100}}\n"
    )
    trial = FixedTrial({"noise": "uniform"})
    assert space.suggest(trial) == TrialConfig(noise="uniform")  # though noise_dim is 100
    assert trial.params == {"noise": "uniform"}


def test_a_condition_can_ask_for_widths(load):
    space = load(
        HEAD + "  generator_widths: {choice: [[64, 64], [128], [32]]}\n"
        "  k: {int: [1, 5], when: {generator_widths: [64, 64]}}\n"
        "  noise_dim: {choice: [2, 100], when: {generator_widths: [[64, 64], [32]]}}\n"
    )
    assert space.search["k"].when == (("generator_widths", ((64, 64),)),)
    assert space.search["noise_dim"].when == (("generator_widths", ((64, 64), (32,))),)


def test_a_condition_on_a_fixed_parameter_may_hold_always(load):
    space = load(HEAD + "  k: {int: [1, 5], when: {noise: normal}}\nfixed: {noise: normal}\n")
    assert space.suggest(FixedTrial({"k": 4})).k == 4


def test_the_order_in_the_file_changes_no_proposal(load):
    entries = [
        "  maxout_pieces: {int: [2, 5]}\n",
        "  k: {int: [1, 5], when: {discriminator_activation: relu}}\n",
        "  noise_dim: {int: [2, 100]}\n",
        "  discriminator_activation: {choice: [maxout, relu]}\n",
    ]
    forwards = load(HEAD + "".join(entries))
    backwards = load(HEAD + "".join(reversed(entries)))
    assert list(forwards.search) == list(backwards.search)
    assert [ask(forwards, seed) for seed in range(5)] == [ask(backwards, s) for s in range(5)]


@pytest.mark.parametrize("name", BUILTIN)
def test_every_proposal_of_a_builtin_space_encodes_to_what_optuna_proposed(name):
    space = load_space(name)
    for seed in range(100):
        params, config = ask(space, seed)
        assert space.encode(config) == params
        assert space.suggest(FixedTrial(space.encode(config))) == config


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(BUILTIN), data=st.data())
def test_any_configuration_of_a_builtin_space_survives_encoding(name, data):
    space = SPACES[name]
    values: dict[str, Any] = dict(space.fixed)
    for parameter, entry in space.search.items():
        match entry:
            case IntRange(low, high, _, step):
                value = data.draw(st.integers(0, (high - low) // step)) * step + low
            case FloatRange(low, high):
                value = data.draw(st.floats(low, high))
            case Choices(choices):
                value = data.draw(st.sampled_from(choices))
        values[parameter] = value
    config = space.family.config_type.from_dict(values)
    again = space.suggest(FixedTrial(space.encode(config)))
    # Parameters without effect are not asked for, so they may differ; the training is the same.
    assert again.to_dict() == config.to_dict()
    assert again.config_id == config.config_id


def test_an_enqueued_preset_is_what_optuna_asks_first():
    for name in BUILTIN:
        space = load_space(name)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        for preset in space.start_from:
            study.enqueue_trial(space.encode(space.preset(preset)))
        for preset in space.start_from:
            assert space.suggest(study.ask()).config_id == space.preset(preset).config_id


def test_a_configuration_outside_the_space_is_not_encoded():
    space = load_space("mnist")
    with pytest.raises(SpaceError) as error:
        space.encode(TrialConfig(k=7, batch_size=50, noise_dim=33))
    assert str(error.value) == (
        "mnist: outside the space: k=7 is outside [1, 5], noise_dim=33 is outside the choices 10, "
        "32, 64, 100, 256, batch_size=50 where the space has 100."
    )


def test_widths_reach_optuna_as_text():
    params = load_space("digits").encode(load_space("digits").preset("paper"))
    assert params["generator_widths"] == "128-128"


# Presets


def test_the_papers_configuration_of_mnist_is_the_default():
    assert load_space("mnist").preset("paper") == TrialConfig()


def test_a_preset_is_the_paper_then_fixed_then_its_own(load):
    space = load(
        "dataset: ring\nsearch: {k: {int: [1, 3]}}\n"
        "fixed: {noise: normal, batch_size: 50}\npresets: {mine: {batch_size: 20}}\n"
    )
    assert space.preset("paper") == TrialConfig(noise="normal", batch_size=50)
    assert space.preset("mine") == TrialConfig(noise="normal", batch_size=20)
    with pytest.raises(SpaceError, match=r"^my: no preset mien\. Did you mean mine\?$"):
        space.preset("mien")


# The built-in spaces


def test_the_builtin_spaces_are_the_files_of_the_checkout():
    assert tuple(builtin_spaces()) == BUILTIN
    assert {"cifar10", "digits", "folder", "gaussian", "mnist", "ring", "tfd"} < set(BUILTIN)
    for name, path in builtin_spaces().items():
        space = load_space(name)
        assert (space.name, space.dataset) == (name, name.partition("-")[0])
        if space.family.name == DEFAULT_FAMILY:
            assert space.start_from[0] == "paper"
        assert load_space(str(path)) == space


def test_an_installed_package_finds_the_spaces_beside_its_modules(tmp_path, monkeypatch):
    package = tmp_path / "gansearch"
    (package / "search_spaces").mkdir(parents=True)
    text = (ROOT / "search_spaces" / "ring.yaml").read_text()
    (package / "search_spaces" / "mine.yaml").write_text(text)
    monkeypatch.setattr(builtin_module, "__file__", str(package / "space" / "builtin.py"))
    assert builtin_spaces() == {"mine": package / "search_spaces" / "mine.yaml"}
    assert load_space("mine").dataset == "ring"


def test_points_get_a_generator_without_bounds():
    for name in ("ring", "grid", "gaussian"):
        space = load_space(name)
        _, config = ask(space, 0)
        assert config.generator_output == space.preset("paper").generator_output == "linear"


@pytest.mark.parametrize("name", BUILTIN)
def test_a_space_survives_json_and_its_own_description(name, tmp_path):
    space = load_space(name)
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict(), sort_keys=True))) == space
    path = tmp_path / f"{name}.yaml"
    path.write_text(space.describe())
    assert load_space(str(path)) == space


def test_a_space_is_described_as_a_file_would_say_it(load):
    budget = (
        "{trials: 6, max_updates: 60, reports: 2, grace: 0.1, reduction_factor: 3.0, "
        "scheduler: asha, give_up: 0.05, top: 3, replicas: 5}"
    )
    text = f"""\
# my
dataset: ring
budget: {budget}
search:
  k: {{int: [1, 5], log: true}}
  noise_dim: {{int: [2, 8], step: 3, when: {{k: [1, 2]}}}}
  generator_widths: {{choice: [[64, 64], [128]]}}
fixed: {{noise: normal}}
presets: {{}}
start_from: []
baseline: paper
"""
    assert load(text).describe() == text


def test_another_budget_leaves_the_rest_of_a_space():
    space = load_space("digits")
    more = space.with_budget(trials=99)
    assert more.budget.trials == 99
    assert more.with_budget(trials=space.budget.trials) == space
    with pytest.raises(ConfigError, match=r"^budget: trials: found 0\."):
        space.with_budget(trials=0)


# Faults of a file. Every message: file, line, key, what was found, the rule, the remedy.

FORMS = "{int: [low, high]}, {float: [low, high], log: true} or {choice: [value, ...]}"

ENTRY_FAULTS = {
    "generater_lr: {float: [0.1, 1]}": "generater_lr: unknown parameter. Did you mean "
    "generator_lr?",
    "k: 3": f"k: found 3. A searched parameter is written {FORMS}; a parameter with one value "
    "belongs under fixed.",
    "k: [1, 5]": f"k: found [1, 5]. A searched parameter is written {FORMS}; a parameter with one "
    "value belongs under fixed.",
    "k: ": f"k: found nothing. A searched parameter is written {FORMS}; a parameter with one "
    "value belongs under fixed.",
    "k: {}": f"k: found nothing. One of these is needed: {FORMS}.",
    "k: {uniform: [1, 5]}": f"k: found uniform. One of these is needed: {FORMS}.",
    "k: {int: [1, 5], float: [1, 5]}": f"k: found int and float. One of these is needed: {FORMS}.",
    "k: {int: [1, 5], lgo: true}": "k: lgo does not go with int. Did you mean log?",
    "k: {choice: [1, 5], log: true}": "k: log does not go with choice. Known: choice, when.",
    "k: {int: [1, 3], int: [1, 4]}": "int: given twice, first at my.yaml:3. Remove one.",
    "k: {int: [5, 1]}": "k: low=5 and high=1. low must be below high. Swap or widen them; a "
    "single value belongs under fixed: {k: 5}.",
    "k: {int: [3, 3]}": "k: low=3 and high=3. low must be below high. Swap or widen them; a "
    "single value belongs under fixed: {k: 3}.",
    "k: {int: [0, 3]}": "k: found 0. It must be a whole number in [1, 100].",
    "k: {int: [0, 3], log: true}": "k: low=0 with log: true. A log scale needs low > 0. Use low: "
    "1, or drop log.",
    "k: {int: [1.5, 3]}": "k: found 1.5. It must be a whole number in [1, 100].",
    "k: {int: ['1', 3]}": "k: found '1'. It must be a whole number in [1, 100].",
    "k: {int: [1, true]}": "k: found true. It must be a whole number in [1, 100].",
    "k: {int: [1, 3, 5]}": "k: int: found [1, 3, 5]. It must be a list [low, high].",
    "k: {int: 3}": "k: int: found 3. It must be a list [low, high].",
    "k: {int: [1, 10], step: 2}": "k: steps of 2 from low=1 never reach high=10. Use high: 9.",
    "k: {int: [1, 3], step: 5}": "k: steps of 5 from low=1 never reach high=3. Use a step of at "
    "most 2.",
    "k: {int: [1, 9], step: 0}": "k: step=0. It must be a whole number >= 1.",
    "k: {int: [1, 9], step: 2, log: true}": "k: step=2 with log: true. A log scale has no steps. "
    "Drop one.",
    "k: {float: [1, 3]}": "k: float does not fit. k is a whole number. Use {int: [low, high]}.",
    "generator_lr: {int: [1, 3]}": "generator_lr: int does not fit. generator_lr is a number. Use "
    "{float: [low, high]}.",
    "generator_lr: {float: [0.0, 0.3], log: true}": "generator_lr: low=0.0 with log: true. A log "
    "scale needs low > 0. Use low: 1e-5, or drop log.",
    "generator_lr: {float: [1e-5, 1000]}": "generator_lr: found 1000. It must be a number in "
    "(0, 100].",
    "generator_lr: {float: [.nan, .inf]}": "generator_lr: found '.nan'. It must be a number in "
    "(0, 100].",
    "generator_lr: {float: [0.1, 0.3], log: maybe}": "generator_lr: log: found 'maybe'. It must be "
    "true or false.",
    "generator_lr: {float: [0.1, 0.3], step: 0.1}": "generator_lr: step does not go with float. "
    "Known: float, log, when.",
    "noise: {float: [0.1, 0.3]}": "noise: float does not fit. noise is one of uniform, normal. "
    "Use {choice: [...]}.",
    "generator_widths: {int: [64, 128]}": "generator_widths: int does not fit. generator_widths "
    "is a list of widths. Use {choice: [...]}.",
    "generator_widths: {choice: [64, 128]}": "generator_widths: found 64. It must be a list of "
    "whole numbers in [1, 65536], one for each layer; [] for none.",
    "generator_widths: {choice: [[64], [64, 0]]}": "generator_widths: found [64, 0]. It must be a "
    "list of whole numbers in [1, 65536], one for each layer; [] for none.",
    "noise: {choice: []}": "noise: choice: found []. It must be a list of values.",
    "noise: {choice: normal}": "noise: choice: found 'normal'. It must be a list of values.",
    "noise: {choice: [normal, gauss]}": "noise: found 'gauss'. It must be one of uniform, normal.",
    "noise: {choice: [normal, normal]}": "noise: 'normal' is listed twice. Remove one.",
    "k: {choice: [1, 1.0]}": "k: 1 is listed twice. Remove one.",
    "k: {int: [2, 5], when: {}}": "k: when: found {}. It must be a mapping {parameter: value or "
    "[values]}.",
    "k: {int: [2, 5], when: noise}": "k: when: found 'noise'. It must be a mapping {parameter: "
    "value or [values]}.",
    "k: {int: [2, 5], when: {nose: normal}}": "k: when: unknown parameter nose. Did you mean "
    "noise?",
    "k: {int: [2, 5], when: {noise: []}}": "k: when: noise: found []. Give at least one value, or "
    "drop the condition.",
    "k: {int: [2, 5], when: {noise: gauss}}": "k: when: noise: found 'gauss'. It must be one of "
    "uniform, normal.",
    "k: {int: [2, 5], when: {noise: normal}}": "k: when: noise is neither searched nor fixed here. "
    "Search or fix it, or drop the condition.",
    "k: {int: [2, 5], when: {k: 3}}": "k: when: circular: k needs k. Drop one of the conditions.",
    "adam_beta1: {float: [0.0, 0.9]}": "adam_beta1: it only has an effect where optimizer is adam, "
    "which never happens here. Drop it, or let that happen.",
    "? [a, b]": "a key must be a name, and is a list or mapping here.",
    "k: &range {int: [1, 2]}": "found an anchor (&name), alias (*name) or tag (!name). They aren't "
    "used here. Write the value out.",
    "k: *range": "found an anchor (&name), alias (*name) or tag (!name). They aren't used here. "
    "Write the value out.",
    "k: !!python/object/apply:os.getcwd []": "found an anchor (&name), alias (*name) or tag "
    "(!name). They aren't used here. Write the value out.",
    "k: [[[[[[[[[[[[[]]]]]]]]]]]]]": "found more than 12 levels. Remove the needless brackets.",
}


@pytest.mark.parametrize("entry", ENTRY_FAULTS)
def test_a_faulty_entry_is_answered_with_line_rule_and_remedy(load, entry):
    with pytest.raises(SpaceError) as error:
        load(f"{HEAD}  {entry}\n")
    assert str(error.value) == f"my.yaml:3: {ENTRY_FAULTS[entry]}"


GOOD = "dataset: digits\nsearch: {k: {int: [2, 3]}}\n"
MISFIT = "Widen the search, give presets.{0} another value, or leave {0} out of start_from."

FILE_FAULTS = {
    "": "my.yaml: the file is empty. A space needs a dataset and a search.",
    "# nothing\n": "my.yaml: the file is empty. A space needs a dataset and a search.",
    "- a\n- b\n": "my.yaml:1: found ['a', 'b']. A space is a mapping with family, generator, "
    "discriminator, output_range, trainable, parameters, dataset, data, budget, search, fixed, "
    "presets, start_from, baseline, measures, objective, objectives, keep, origins.",
    "dataset: [\n": "my.yaml:2:1: not YAML: expected the node content, but found '<stream end>'. "
    "Check the brackets and quotes, and the space after each colon.",
    "dataset: a: b\n": "my.yaml:1:11: not YAML: mapping values are not allowed here. Check the "
    "brackets and quotes, and the space after each colon.",
    "dataset: digits\nsearch:\n\tk: {int: [1, 3]}\n": "my.yaml:3:1: not YAML: found character "
    "'\\t' that cannot start any token. YAML is indented with spaces, never tabs.",
    GOOD + "---\n" + GOOD: "my.yaml:3:1: not YAML: expected a single document in the stream but "
    "found another document. Check the brackets and quotes, and the space after each colon.",
    'dataset: "\\UFFFFFFFF"\n': "my.yaml: not YAML: an escaped character (backslash U) that "
    "Unicode does not have.",
    "a: \x07\n": "my.yaml:1: not YAML: the character 7 may not stand there. Save the file as plain "
    "UTF-8 text.",
    "dataset: digits\ndataset: ring\n": "my.yaml:2: dataset: given twice, first at my.yaml:1. "
    "Remove one.",
    GOOD + "family: [a]\n": "my.yaml:3: family: found ['a']. It must be the name of code, "
    "such as my_nets.py:Generator.",
    GOOD + "family: adversarial\n": "my.yaml:3: family adversarial: no such family. Did you mean "
    "adversarial_nets? A family of your own is written FILE.py:CLASS.",
    "search: {k: {int: [1, 3]}}\n": "my.yaml:1: dataset: missing. Name the data set: digits, "
    "mnist, cifar10, tfd, folder, ring, grid, gaussian, tfd-2, tfd-3, tfd-4, tfd-5.",
    "dataset: digit\n": "my.yaml:1: dataset: no data set is called 'digit'. Did you mean digits?",
    "dataset: [digits]\n": "my.yaml:1: dataset: no data set is called ['digits']. Known: "
    "cifar10, digits, folder, gaussian, grid, mnist, ring, tfd, tfd-2, tfd-3, tfd-4, tfd-5.",
    GOOD + "serch: {}\n": "my.yaml:3: serch: no section of a space has this name. Did you mean "
    "search?",
    GOOD + "noise: normal\n": "my.yaml:3: noise: no section of a space has this name. It belongs "
    "under search or fixed.",
    GOOD + "trials: 3\n": "my.yaml:3: trials: no section of a space has this name. It belongs "
    "under budget.",
    GOOD + "budget: 3\n": "my.yaml:3: budget: found 3. It must be a mapping of names to values.",
    GOOD + "budget: {trails: 3}\n": "my.yaml:3: budget.trails: unknown. Did you mean trials?",
    GOOD + "budget:\n  reports: no\n": "my.yaml:4: budget.reports: found false. It must be a whole "
    "number in [1, 100000].",
    "dataset: digits\nsearch: [k]\n": "my.yaml:2: search: found ['k']. It must be a mapping of "
    "names to values.",
    "dataset: digits\nfixed: {k: 2}\n": "my.yaml:1: search: there is nothing to search and nothing "
    "to start from. Give search at least one parameter, or start_from: [paper].",
    GOOD + "fixed: {k: 1}\n": "my.yaml:2: k: it stands under both search and fixed. Remove one.",
    GOOD + "fixed: {nose: normal}\n": "my.yaml:3: fixed.nose: unknown parameter. Did you mean "
    "noise?",
    GOOD + "fixed:\n  noise: 1\n": "my.yaml:4: fixed.noise: found 1. It must be one of uniform, "
    "normal.",
    GOOD + "fixed: {noise: }\n": "my.yaml:3: fixed.noise: found nothing. It must be one of "
    "uniform, normal.",
    GOOD + "presets: {mine: 3}\n": "my.yaml:3: presets.mine: found 3. It must be a mapping of "
    "names to values.",
    GOOD + "presets:\n  mine:\n    k: 0\n": "my.yaml:5: presets.mine.k: found 0. It must be a "
    "whole number in [1, 100].",
    GOOD + "start_from: paper\n": "my.yaml:3: start_from: found 'paper'. It must be a list of "
    "presets, such as [paper].",
    GOOD + "start_from: [papr]\n": "my.yaml:3: start_from: no preset is called 'papr'. Did you "
    "mean paper?",
    GOOD + "start_from:\n - paper\n - paper\n": "my.yaml:5: start_from: paper is listed twice. "
    "Remove one.",
    GOOD + "start_from: [paper]\n": "my.yaml:3: start_from: paper lies outside the space: k=1 is "
    "outside [2, 3]. " + MISFIT.format("paper"),
    GOOD + "presets: {a: {k: 2, noise: normal}}\nstart_from: [a]\n": "my.yaml:4: start_from: a "
    "lies outside the space: noise=normal where the space has uniform. " + MISFIT.format("a"),
    HEAD + "  k: {int: [1, 3], when: {noise: normal}}\n  noise: {choice: [uniform]}\n": "my.yaml:3:"
    " k: when: noise is never normal; it is searched over the choices 'uniform'. Correct the "
    "condition.",
    HEAD + "  k: {int: [1, 3], when: {noise_dim: 9}}\n  noise_dim: {int: [2, 8], step: 2}\n": (
        "my.yaml:3: k: when: noise_dim is never 9; it is searched over [2, 8] in steps of 2. "
        "Correct the condition."
    ),
    HEAD + "  k: {int: [1, 3], when: {noise: normal}}\nfixed: {noise: uniform}\n": "my.yaml:3: k: "
    "when: noise is never normal; it is fixed to uniform. Correct the condition.",
    HEAD + "  noise_dim: {int: [2, 8], when: {k: 2}}\n  k: {int: [1, 3], when: {noise: normal}}\n"
    "  noise: {choice: [uniform, normal], when: {k: 2}}\n": "my.yaml:4: k: when: circular: k needs "
    "noise, which needs k. Drop one of the conditions.",
    HEAD + "  discriminator_activation: {choice: [maxout, relu], when: {maxout_pieces: 3}}\n"
    "  maxout_pieces: {int: [2, 5]}\n": "my.yaml:3: discriminator_activation: when: circular: "
    "discriminator_activation needs maxout_pieces, which needs discriminator_activation. Drop one "
    "of the conditions.",
    HEAD + "  discriminator_activation: {choice: [maxout, relu]}\n"
    "  maxout_pieces: {int: [2, 5], when: {discriminator_activation: relu}}\n": "my.yaml:4: "
    "maxout_pieces: it only has an effect where discriminator_activation is maxout or "
    "generator_activation is maxout, which never happens here. Drop it, or let that happen.",
}


@pytest.mark.parametrize("text", FILE_FAULTS)
def test_a_faulty_file_is_answered_with_line_rule_and_remedy(load, text):
    with pytest.raises(SpaceError) as error:
        load(text)
    assert str(error.value) == FILE_FAULTS[text]


def test_a_file_that_is_no_text_is_refused(load):
    with pytest.raises(SpaceError) as error:
        load(b"dataset: digits\xff")
    assert str(error.value) == (
        "my.yaml: not text: byte 15 is 0xff, which isn't UTF-8. Save the file as plain UTF-8 text."
    )


def test_a_file_in_utf_16_is_called_so(load):
    with pytest.raises(SpaceError, match=r"^my.yaml: not plain text: it is UTF-16\. Save"):
        load(GOOD.encode("utf-16"))


def test_a_huge_file_is_refused_without_being_read_whole(load):
    with pytest.raises(
        SpaceError, match=r"^my\.yaml: larger than 1 MB\. A space or configuration is"
    ):
        load(b"a" * 1_000_001)
    with pytest.raises(SpaceError, match=r"^/dev/zero: larger than 1 MB"):
        load_space("/dev/zero")


@pytest.mark.timeout(30)
def test_a_file_of_very_many_values_is_refused_early(load):
    with pytest.raises(SpaceError, match=r"^my\.yaml:1: found more than 10,000 values\."):
        load("dataset: [" + "1," * 450_000 + "1]")


def test_aliases_that_expand_to_gigabytes_are_refused(load):
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30)]
    with pytest.raises(SpaceError, match=r"^my\.yaml:1: found an anchor"):
        load("\n".join(lines))


def test_a_path_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder.yaml").mkdir()
    faults = {
        "absent.yaml": "absent.yaml: can't be read (No such file or directory). Check the path.",
        "no/absent": "no/absent: can't be read (No such file or directory). Check the path.",
        "folder.yaml": "folder.yaml: a folder. Name a file in it.",
        "a\0b.yaml": "a\0b.yaml: can't be read (embedded null byte). Check the path.",
        "x" * 300 + ".yaml": "x" * 300 + ".yaml: can't be read (File name too long). Check the "
        "path.",
        "digts": "space digts: no built-in space has this name. Did you mean digits? A path "
        "must have a slash or end in .yaml.",
        "": f"space '': no built-in space has this name. Known: {', '.join(sorted(BUILTIN))}. "
        "A path must have a slash or end in .yaml.",
    }
    for path, message in faults.items():
        with pytest.raises(SpaceError) as error:
            load_space(path)
        assert str(error.value) == message


def test_an_unreadable_file_is_reported(tmp_path, monkeypatch):
    def refuse(self, *args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # permissions don't stop the superuser
    with pytest.raises(SpaceError, match=r"my\.yaml: can't be read \(Permission denied\)\."):
        load_space(str(tmp_path / "my.yaml"))


def test_a_message_stays_short_whatever_the_file_holds(load):
    for text in (
        f"{HEAD}  k: {'x' * 10_000}\n",
        f"{'x' * 10_000}: 3\n",
        f"{HEAD}  k: {{int: [1, {'9' * 6_000}]}}\n",
        f"{HEAD}  generator_widths: {{choice: [[{'0, ' * 5000}0]]}}\n",
    ):
        with pytest.raises(SpaceError) as error:
            load(text)
        assert len(str(error.value)) < 400


# Changes by --set


def test_setting_a_value_fixes_the_parameter_in_the_presets_too():
    space = load_space("digits", ["k=3", "generator_widths=[64, 64]"])
    assert not {"k", "generator_widths"} & set(space.search)
    assert space.fixed == {"batch_size": 100, "k": 3, "generator_widths": (64, 64)}
    paper = space.preset("paper")
    assert (paper.k, paper.generator_widths, paper.discriminator_widths) == (3, (64, 64), (64, 64))


def test_setting_a_range_searches_the_parameter_and_keeps_the_presets():
    space = load_space("digits", ["batch_size={choice: [20, 50, 100]}", "start_from=[paper]"])
    assert space.search["batch_size"] == Choices((20, 50, 100))
    assert space.fixed == {}
    assert space.preset("paper") == load_space("digits").preset("paper")
    narrow = load_space("digits", ["generator_lr={float: [0.01, 0.1], log: true}"])
    assert narrow.search["generator_lr"] == FloatRange(0.01, 0.1, log=True)


def test_searching_what_was_fixed_leaves_the_papers_configuration_alone():
    space = load_space("ring", ["generator_output={choice: [sigmoid, linear]}"])
    assert space.preset("paper") == load_space("ring").preset("paper")


@pytest.mark.parametrize(
    ("change", "outside", "remedy"),
    [
        ("generator_lr={float: [0.01, 0.3], log: true}", "vanilla", "start_from=[paper]"),
        ("batch_size={int: [200, 300]}", "paper", "start_from=[]"),
    ],
)
def test_the_remedy_for_a_preset_outside_a_changed_space_starts_from_those_inside(
    change, outside, remedy
):
    with pytest.raises(SpaceError) as error:
        load_space("ring", ["start_from=[paper, vanilla]", change])
    assert f"start_from: {outside} lies outside the space" in str(error.value)
    assert re.findall("--set '(.+?)'", str(error.value)) == [remedy]
    space = load_space("ring", [change, remedy])
    assert space.preset("paper") == load_space("ring").preset("paper")


@pytest.mark.parametrize("override", ["trials=10", "budget.trials=10", " trials =10"])
def test_the_budget_can_be_set(override):
    space = load_space("digits", [override])
    assert space == load_space("digits").with_budget(trials=10)


def test_the_last_of_several_changes_prevails():
    assert load_space("digits", ["k=3", "k=2"]).fixed["k"] == 2
    assert load_space("digits", ["k=3", "k={int: [1, 2]}"]).search["k"] == IntRange(1, 2)


def test_what_a_change_makes_impossible_is_no_longer_searched():
    space = load_space("mnist", ["discriminator_activation=relu"])
    assert "maxout_pieces" not in space.search
    space = load_space("ring", ["optimizer=adam", "start_from=[vanilla]"])
    assert "momentum" not in space.search
    assert "adam_beta1" in space.search
    assert SearchSpace.from_dict(space.to_dict()) == space


def test_a_change_narrows_the_conditions_that_name_the_parameter(load):
    text = HEAD + (
        "  noise: {choice: [normal, uniform]}\n"
        "  noise_dim: {choice: [2, 3, 4]}\n"
        "  k: {int: [1, 5], when: {noise_dim: [3, 4]}}\n"
        "  generator_lr: {float: [0.1, 0.3], when: {k: 5}}\n"
    )
    space = load(text, ("noise_dim={choice: [2, 3]}",))
    assert space.search["k"].when == (("noise_dim", (3,)),)
    # Without k there is nothing that the condition of generator_lr could hold on.
    assert set(load(text, ("noise_dim=2",)).search) == {"noise"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["k"], "--set k: it must be key=value, such as --set k=3."),
        (["=3"], "--set =3: it must be key=value, such as --set k=3."),
        (["k="], "--set k=: k: found nothing. It must be a whole number in [1, 100]."),
        (["k=x"], "--set k=x: k: found 'x'. It must be a whole number in [1, 100]."),
        (["kk=3"], "--set kk=3: kk: unknown parameter. Did you mean k?"),
        (["trails=3"], "--set trails=3: trails: unknown parameter. Did you mean trials?"),
        (
            ["budget.trails=3"],
            "--set budget.trails=3: budget.trails: unknown. Did you mean trials?",
        ),
        (
            ["trials=many"],
            "--set trials=many: budget.trials: found 'many'. It must be a whole number in "
            "[1, 10000000].",
        ),
        (
            ["dataset=ring"],
            "--set dataset=ring: dataset: a space belongs to its data set. Use another --space, or "
            "copy and edit its file.",
        ),
        (
            ["family=my:Own"],
            "--set family=my:Own: family: a space belongs to its networks. Use another --space, or "
            "copy and edit its file.",
        ),
        (
            ["search={}"],
            "--set search={}: search: a whole section can't be set. Name a parameter, such as "
            "--set k=3.",
        ),
        (
            ["noise=[normal"],
            "--set noise=[normal: not YAML: expected ',' or ']', but got '<stream end>'. Check the "
            "brackets and quotes, and the space after each colon.",
        ),
        (
            ["k={int: [2, 3]}"],
            "--set k={int: [2, 3]}: start_from: paper lies outside the space: k=1 is outside "
            "[2, 3]. Widen the search, or start only from the presets "
            "inside it: --set 'start_from=[]'.",
        ),
        (
            ["start_from=[mine]"],
            "--set start_from=[mine]: start_from: no preset is called 'mine'. Known: dcgan, found, "
            "paper.",
        ),
        (
            ["maxout_pieces={int: [2, 3]}", "discriminator_activation=leaky_relu"],
            "--set maxout_pieces={int: [2, 3]}: maxout_pieces: it only has an effect where "
            "discriminator_activation is maxout or generator_activation is maxout, which never "
            "happens here. Drop it, or let that happen.",
        ),
    ],
)
def test_a_faulty_change_is_answered_with_itself_rule_and_remedy(overrides, message):
    with pytest.raises(SpaceError) as error:
        load_space("digits", overrides)
    assert str(error.value) == message


def test_a_change_that_leaves_nothing_to_search_is_refused(load):
    with pytest.raises(SpaceError) as error:
        load(GOOD, ("k=2",))
    assert str(error.value) == (
        "--set k=2: nothing is left to search or to start from. To train single configurations, "
        "use --only."
    )


# One configuration


def test_a_configuration_takes_the_rest_from_the_space(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("k: 2\ngenerator_widths: [256, 256]\n")
    config = load_config(path, load_space("ring"))
    assert config == TrialConfig(
        k=2,
        generator_widths=(256, 256),
        generator_output="linear",
        init="glorot",
        dropout_input=0.0,
    )


def test_a_stored_configuration_is_read_back(tmp_path):
    path = tmp_path / "config.json"
    config = TrialConfig(k=3, discriminator_activation="relu", optimizer="adam")
    assert config.to_dict()["momentum"] is None
    path.write_text(json.dumps({"config": config.to_dict(), "seed": 3, "trial_id": "t00001"}))
    assert load_config(path, load_space("mnist")) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kk: 2\n", "config.kk: unknown parameter. Did you mean k?"),
        ("config:\n  noise: gauss\n", None),
        ("- 3\n", "config: found [3]. It must be a mapping of names to values."),
    ],
)
def test_a_faulty_configuration_is_answered_with_its_line(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(Path("mine.yaml"), load_space("mnist"))
    second = "config.noise: found 'gauss'. It must be one of uniform, normal."
    assert str(error.value) == (f"mine.yaml:1: {message}" if message else f"mine.yaml:2: {second}")


# Random input

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([0, 1, 2, 3, 0.1, 10**400, "maxout", "relu", "normal", "sgd", "adam", "paper"]),
)
NAMES = st.sampled_from(
    [
        *("k", "noise", "generator_lr", "maxout_pieces", "discriminator_activation", "momentum"),
        *("optimizer", "generator_widths", "trials", "int", "float", "choice", "log", "step"),
        *("when", "paper", "dataset", "search", "fixed", "presets", "start_from", "budget"),
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
# Values that are mostly right for these parameters, so that many of the mappings are spaces.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "k": st.integers(1, 6) | st.integers(0, 6),
    "noise": st.sampled_from(["normal", "uniform"]),
    "noise_dim": st.integers(1, 300),
    "generator_lr": st.floats(1e-6, 1) | st.sampled_from([0.0, 0.1, "1e-5"]),
    "generator_widths": st.lists(st.sampled_from([32, 64]), min_size=1, max_size=2),
    "discriminator_activation": st.sampled_from(["maxout", "relu"]),
    "maxout_pieces": st.integers(2, 6),
    "optimizer": st.sampled_from(["sgd", "adam"]),
    "momentum": st.floats(0, 0.9),
    "adam_beta1": st.floats(0, 0.9),
}


@st.composite
def entries(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Draw what stands under `search` for a parameter: likely, but not surely, without fault."""
    kind = TrialConfig.rules()[name].kind
    entry: dict[str, Any]
    if kind in ("int", "float") and draw(st.booleans()):
        entry = {kind: sorted(draw(st.lists(LIKELY[name], min_size=2, max_size=2)), key=str)}
        if draw(st.booleans()):
            entry["log"] = draw(st.booleans())
        if kind == "int" and draw(st.integers(0, 3)) == 0:
            entry["step"] = draw(st.integers(1, 2))
    else:
        entry = {"choice": draw(st.lists(LIKELY[name], min_size=1, max_size=3, unique_by=str))}
    if draw(st.integers(0, 2)) == 0:
        other = draw(st.sampled_from(sorted(LIKELY)))
        entry["when"] = {other: draw(LIKELY[other] | st.lists(LIKELY[other], max_size=2))}
    return entry


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the mapping of a space that is likely valid, sometimes with one thing out of place."""
    searched = draw(st.lists(st.sampled_from(sorted(LIKELY)), max_size=5, unique=True))
    others = [name for name in LIKELY if name not in searched or draw(st.integers(0, 9)) == 0]
    space = {
        "dataset": "digits",
        "search": {name: draw(entries(name)) for name in searched},
        "fixed": {name: draw(LIKELY[name]) for name in others if draw(st.integers(0, 2)) == 0},
        "presets": {"mine": {name: draw(LIKELY[name]) for name in searched[:2]}},
        "start_from": draw(st.sampled_from([[], [], ["paper"], ["mine"]])),
    }
    if draw(st.integers(0, 4)) == 0:
        place = space
        while isinstance(inner := place[key := draw(st.sampled_from(sorted(place)))], dict):
            if not inner or draw(st.booleans()):
                break
            place = inner
        place[key] = draw(VALUES)
    return space


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spaces())
def test_a_random_space_works_or_is_a_space_error(values):
    try:
        space = SearchSpace.from_dict(values)
    except SpaceError as error:
        event(f"refused: {re.sub('[^a-z ]', '', str(error))[:30]}")
        return
    event("a space")
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    for seed in range(3):
        params, config = ask(space, seed)
        assert space.encode(config) == params
        assert space.suggest(FixedTrial(params)) == config


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES | st.integers(), VALUES, max_size=4))
def test_a_mapping_of_anything_is_a_space_error(values):
    with pytest.raises(SpaceError):
        SearchSpace.from_dict(values)


def _load_text(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            ask(load_space(str(path)), 0)
        except SpaceError as error:
            assert str(error).startswith(str(path))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("k:{}[]-,#&*!|>'\"%@` \t\n\\0123456789.eE?~<=") | st.characters()))
def test_random_text_is_never_anything_but_a_space_or_a_space_error(text):
    _load_text(text)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(BUILTIN), seed=st.integers(0, 10**6))
def test_a_damaged_space_file_is_a_space_or_a_space_error(name, seed):
    rng = random.Random(seed)
    text = builtin_spaces()[name].read_text()
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text))
        length = rng.choice([0, 1, 5, 50])
        new = "".join(rng.choices(string.printable, k=rng.choice([0, 1, 3])))
        text = text[:start] + new + text[start + length :]
    _load_text(text)


# The page that teaches the format

BLOCK = re.compile(r"```(yaml|text)\n(.*?)```", re.DOTALL)


def _documented_examples() -> list[tuple[str, str | None]]:
    """Return the YAML examples of docs/spaces.md, each with the message that answers it."""
    blocks = BLOCK.findall((ROOT / "docs" / "spaces.md").read_text())
    examples: list[tuple[str, str | None]] = []
    for kind, text in blocks:
        if kind == "yaml":
            examples.append((text, None))
        else:
            examples[-1] = (examples[-1][0], text.strip())
    return examples


@pytest.mark.parametrize(("text", "message"), _documented_examples())
def test_every_example_of_the_documentation_does_what_it_says(load, tmp_path, text, message):
    if text.startswith("# configuration"):
        (tmp_path / "one.yaml").write_text(text)
        load_config(tmp_path / "one.yaml", load_space("mnist"))
    elif message is None:
        assert load(text).search
    else:
        with pytest.raises(BadInputError) as error:
            load(text)
        assert str(error.value) == message


def test_every_documented_change_works():
    page = (ROOT / "docs" / "spaces.md").read_text()
    changes = [
        quoted or bare for quoted, bare in re.findall(r"--set (?:'([^']+)'|(\w\S+=\S+?))`", page)
    ]
    changes = [change for change in changes if change != "key=value"]
    assert len(changes) >= 6
    for change in changes:
        name = "folder" if change.startswith("data.") else "mnist"
        assert load_space(name, [change]) != load_space(name), change


def test_the_page_names_the_presets_of_every_builtin_space():
    page = (ROOT / "docs" / "spaces.md").read_text()
    table = page.partition("## The built-in ones")[2].partition("\n\n`paper`")[0]
    documented = {}
    for line in table.strip().splitlines():
        spaces, _, *presets = line.strip("| ").split("|")
        for name in re.findall("`(.+?)`", spaces):
            documented[name] = re.findall("`(.+?)`", "".join(presets))
    found = {name: [p for p in load_space(name).presets if p != "paper"] for name in BUILTIN}
    assert documented == found
