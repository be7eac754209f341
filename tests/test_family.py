"""The interface to model families: their names, the defaults, and the example of its docstring."""

import json
import math
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import numpy as np
import pytest
from optuna.trial import FixedTrial

from gansearch import family as family_module
from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ResultsError, SpaceError
from gansearch.family import (
    _FAMILIES,
    DEFAULT_FAMILY,
    Counts,
    Metrics,
    ModelFamily,
    Training,
    load_family,
)
from gansearch.rules import Config, parameter
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import CONFIG_FILE, load_generator, save_generator
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.footprint import footprint
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner

LINE = load_dataset("gaussian")
SHAPE = "It must be FILE.py:NAME, or MODULE:NAME of a module that Python can import on every node."
KNOWN = f"Known: {', '.join(sorted(_FAMILIES))}."
CLASS = "it must be a class derived from gansearch's ModelFamily, with a config_type and a build."


@dataclass(frozen=True)
class ShiftConfig(Config):
    step: float = parameter(0.05, "float", "what an update adds", low=0, high=1)


class ShiftTraining(Training):
    """Moves noise along a line."""

    def __init__(self, config, dim, seed):
        self._step, self._dim, self._seed, self._updates = config.step, dim, seed, 0

    @property
    def updates(self):
        return self._updates

    def advance(self, updates, *, time_limit_seconds=math.inf):
        self._updates = max(self._updates, updates)
        return Metrics(self._updates)

    def samples(self, n_samples):
        noise = np.random.default_rng(self._seed).normal(size=(n_samples, self._dim))
        return (noise + self._updates * self._step).astype(np.float32)

    def save(self):
        return json.dumps([self._updates, self._seed]).encode()

    def load(self, state):
        self._updates, self._seed = json.loads(state)


class ShiftFamily(ModelFamily[ShiftConfig]):
    config_type = ShiftConfig

    def build(self, config, dataset, seed, device):
        return ShiftTraining(config, dataset.dim, seed)


class Unbuilt(ModelFamily[ShiftConfig]):
    config_type = ShiftConfig


class Untabled(ModelFamily):
    def build(self, config, dataset, seed, device):
        raise NotImplementedError


SHIFT = f"{__name__}:ShiftFamily"


def message_about(name):
    with pytest.raises(BadInputError) as error:
        load_family(name)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("adversarial_net", "Did you mean adversarial_nets?"),
        ("diffusion", KNOWN),
        ("", KNOWN),
        ("tests.test_family.ShiftFamily", KNOWN),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones_and_the_form_of_a_users_own(name, hint):
    assert message_about(name) == (
        f"family {name}: no such family. {hint} A family of your own is written FILE.py:CLASS."
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_module:Family", "No module named 'no_such_module'"),
        ("gansearch.no_such:Family", "No module named 'gansearch.no_such'"),
    ],
)
def test_a_family_that_can_not_be_imported_is_answered_with_the_reason(name, why):
    assert message_about(name) == (
        f"family {name}: can't be imported (ModuleNotFoundError: {why}). It must be installed here "
        "and on every node, or lie beside the file that imports it."
    )


@pytest.mark.parametrize("name", ["gansearch.rules:", ":Family", ".family:ModelFamily"])
def test_what_names_no_class_is_answered_with_the_form(name):
    assert message_about(name) == f"family {name}: names no object. {SHAPE}"


def test_a_class_that_its_module_lacks_is_answered_with_those_it_has():
    assert message_about("gansearch.rules:Confug") == (
        "family gansearch.rules:Confug: gansearch.rules has no Confug. Did you mean Config?"
    )


@pytest.mark.parametrize(
    "name",
    [
        "gansearch.rules:Config",
        "math:pi",
        "gansearch.family:load_family",
        "gansearch.family:ModelFamily",
        f"{__name__}:Unbuilt",
        f"{__name__}:Untabled",
    ],
)
def test_a_name_of_no_family_is_refused(name):
    assert message_about(name) == f"family {name}: {CLASS}"


def test_a_family_is_made_once_and_knows_its_name():
    family = load_family(SHIFT)
    assert family is load_family(SHIFT)
    assert (type(family).__name__, family.name) == ("ShiftFamily", SHIFT)


def test_a_familys_file_that_has_changed_is_read_again(example, tmp_path):
    before = load_family(example)
    assert load_family(example) is before
    code = (tmp_path / "my_module.py").read_text()
    (tmp_path / "my_module.py").write_text(code.replace("parameter(0.01", "parameter(0.02"))
    assert (before.config_type().lr, load_family(example).config_type().lr) == (0.01, 0.02)


def test_the_default_family_is_the_papers_nets():
    family = load_family(DEFAULT_FAMILY)
    assert family.config_type is TrialConfig
    assert (family.name, family.baseline) == ("adversarial_nets", "paper")
    assert family.balance.ratio == "discriminator_lr/generator_lr"


def test_the_default_familys_table_is_read_without_torch():
    code = (
        "import sys; from gansearch.family import load_family;"
        "table = load_family('adversarial_nets').config_type;"
        "print(len(table.rules()), sorted({'torch', 'ray', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(TrialConfig.rules())} []\n"


def test_a_space_of_a_users_family_searches_its_table():
    sections = {
        "name": "shift",
        "family": SHIFT,
        "dataset": "gaussian",
        "search": {"step": {"float": [0.01, 0.5], "log": True}},
        "presets": {"wide": {"step": 0.25}},
        "start_from": ["defaults", "wide"],
    }
    space = SearchSpace.from_dict(sections)
    assert (space.family, space.table) == (load_family(SHIFT), ShiftConfig)
    assert (space.preset("defaults"), space.preset("wide")) == (
        ShiftConfig(),
        ShiftConfig(step=0.25),
    )
    assert space.baseline is None
    assert space.preset_names == {"defaults", "wide"}
    assert space.suggest(FixedTrial({"step": 0.1})) == ShiftConfig(step=0.1)
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert space.to_dict()["family"] == SHIFT and f"\nfamily: {SHIFT}\n" in space.describe()
    with pytest.raises(SpaceError, match=r"shift: fixed\.k: unknown parameter"):
        SearchSpace.from_dict(sections | {"fixed": {"k": 3}})
    with pytest.raises(SpaceError, match="no preset is called 'paper'"):
        SearchSpace.from_dict(sections | {"start_from": ["paper"]})


def test_a_space_of_the_default_family_does_not_name_it():
    space = load_space("digits")
    assert space.family is load_family(DEFAULT_FAMILY) and space.table is TrialConfig
    assert "family" not in space.to_dict()
    named = SearchSpace.from_dict({"family": DEFAULT_FAMILY} | space.to_dict())
    assert named == space


def test_optional_parts_of_a_family_have_defaults():
    family = load_family(SHIFT)
    config, training = ShiftConfig(), family.build(ShiftConfig(), LINE, 0, "cpu")
    assert (family.baseline, family.balance, family.size_parameters) == ("defaults", None, ())
    family.check(config, LINE)
    for exact in (True, False):
        assert family.training_bytes(config, LINE, "cpu", exact=exact) is None
        needs = footprint(family, config, LINE, "cpu", exact=exact)
        assert needs.training == 0 and needs.on("host") > needs.scoring > 0
    assert family.observer(config, LINE, [1, 2]) is None
    assert training.counts == Counts(0, None, None, training.counts.seconds)
    assert not family.has_engine
    assert family.group_key(config) is None and not family.trains_in_group(config)
    assert family.engine_bytes(config, LINE, "cuda", exact=True) is None
    with pytest.raises(NotImplementedError, match="has_engine is False"):
        family.engine(LINE, "cpu", 2)


def test_by_default_the_whole_training_is_stored_and_gives_the_same_samples(tmp_path):
    family, config = load_family(SHIFT), ShiftConfig(step=0.5)
    training = family.build(config, LINE, 7, "cpu")
    training.advance(4)
    export = family.export(training, 7)
    assert (export.seed, export.details) == (7, {})
    save_generator(tmp_path, export, config, family=family, dataset=LINE.name, shape=LINE.shape)
    asked = []
    stored = load_generator(tmp_path, lambda name: (asked.append(name), LINE)[1])
    assert (stored.dataset, stored.shape, asked) == ("gaussian", (1,), ["gaussian"])
    np.testing.assert_array_equal(stored.generator.samples(50), training.samples(50))
    with pytest.raises(BadInputError) as error:
        stored.generator.interpolate(2, 5)
    assert str(error.value) == (
        f"--interpolate: generators of the family {SHIFT} can't interpolate. Leave the flag out."
    )


@pytest.mark.parametrize("family", [3, None, ["adversarial_nets"]])
def test_a_saved_generator_whose_family_is_no_name_is_answered(tmp_path, family):
    config = ShiftConfig()
    own = load_family(SHIFT)
    export = own.export(own.build(config, LINE, 7, "cpu"), 7)
    save_generator(tmp_path, export, config, family=own, dataset=LINE.name, shape=LINE.shape)
    description = json.loads((tmp_path / CONFIG_FILE).read_text()) | {"family": family}
    del description["seal"]
    (tmp_path / CONFIG_FILE).write_text(json.dumps(description))
    with pytest.raises(ResultsError, match="the trained generator can't be read"):
        load_generator(tmp_path, lambda _: LINE)


# The example in the docstring


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Return the name of the family that the docstring defines, importable as it says."""
    _, start, rest = family_module.__doc__.partition("    import time\n")
    code = textwrap.dedent((start + rest).partition("\nA space file")[0])
    (tmp_path / "my_module.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    return "my_module.py:MeanFamily"


def test_the_example_of_the_docstring_keeps_all_that_the_interface_asks_for(example):
    assert f"`family: {example}`" in family_module.__doc__
    sections = {"family": example, "dataset": "ring", "search": {"lr": {"float": [0.001, 0.1]}}}
    space = SearchSpace.from_dict(sections)
    ring = load_dataset(space.dataset)
    training, other = (
        space.family.build(space.preset("defaults"), ring, 3, "cpu") for _ in range(2)
    )
    assert training.advance(10, time_limit_seconds=0) is None
    assert training.advance(500).updates == training.counts.updates == 500
    samples = training.samples(30)
    assert (samples.shape, samples.dtype) == ((30, 2), np.float32)
    np.testing.assert_array_equal(training.samples(10), samples[:10])
    other.load(training.save())
    assert other.updates == 500
    training.advance(700), other.advance(700)
    np.testing.assert_array_equal(other.samples(30), training.samples(30))


def test_the_example_of_the_docstring_runs_as_a_trial(example, tmp_path):
    budget = Budget(max_updates=4000, reports=4)
    plan = TrialPlan(RunFolder(tmp_path).path, {"family": example}, budget)
    process = TrialProcess.prepare(LINE, plan)
    config = load_family(example).config_type().to_dict()
    results = ended(TrialRunner(TrialSpec("t", 0, "replica", 5, config), process))
    assert [result.updates for result in results] == [1000, 2000, 3000, 4000]
    assert results[-1].verdict.status == "sound" and results[-1].final["test_ll"] > -1


def ended(runner):
    results = [runner.step()]
    while not results[-1].done:
        results.append(runner.step())
    return results


def test_a_resumed_trial_of_a_users_family_ends_as_one_that_was_not_stopped(tmp_path):
    plan = TrialPlan(RunFolder(tmp_path).path, {"family": SHIFT}, Budget(max_updates=40, reports=4))
    process = TrialProcess.prepare(LINE, plan)
    values = {"number": 0, "phase": "replica", "seed": 5, "config": ShiftConfig().to_dict()}
    whole = ended(TrialRunner(TrialSpec("whole", **values), process))
    cut = TrialRunner(TrialSpec("cut", **values), process)
    cut.step(), cut.step()
    cut.stop()
    resumed = ended(TrialRunner(TrialSpec("cut", **values), process))
    assert [result.updates for result in whole] == [10, 20, 30, 40]
    assert [(r.evaluation, r.verdict, r.final) for r in resumed] == [
        (r.evaluation, r.verdict, r.final) for r in whole
    ]
    assert whole[-1].metrics.d_loss is None and whole[-1].final["test_ll"] < 0
    models = [tmp_path / "models" / name for name in ("whole", "cut")]
    for model_dir in models:
        names = sorted(path.name for path in model_dir.iterdir())
        assert names == ["config.json", "generator.safetensors", "nearest.png", "strip.png"]
    first, second = (load_generator(path, lambda _: LINE).generator for path in models)
    np.testing.assert_array_equal(first.samples(30), second.samples(30))
