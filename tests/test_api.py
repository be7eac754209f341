"""The Python interface: what it takes, and that it answers in terms of Python what it doesn't."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

import gansearch
from gansearch import api  # noqa: F401  # before its driver is replaced: it copies its signature
from gansearch.errors import BadInputError
from gansearch.runs.folder import RunFolder
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.tune import driver, preflight
from gansearch.tune.settings import Settings

SAMPLES = np.zeros((30, 64), np.float32)


@pytest.fixture
def asked(monkeypatch):
    """Start nothing, but check the plan; return what the driver is asked for."""
    calls = []

    def search(space, **options):
        calls.append({"space": space, **options})
        known = {"overrides": (), "only": (), "seed": 0, "settings": None}
        preflight.check_request(space, **{k: options.get(k, v) for k, v in known.items()})
        return RunFolder(Path("results/none"))

    monkeypatch.setattr(driver, "search", search)
    return calls


def test_a_space_may_be_a_name_a_path_a_space_or_the_content_of_a_file(asked):
    content = {"dataset": "digits", "search": {"k": {"int": [1, 3]}}}
    for space in ("digits", Path("digits"), load_space("digits"), content):
        gansearch.search(space)
    names = [call["space"] for call in asked]
    assert names[:2] == ["digits", "digits"]
    assert isinstance(names[3], SearchSpace) and names[3].dataset == "digits"


def test_overrides_may_be_a_list_one_text_or_a_mapping(asked):
    gansearch.search(overrides=["k=2"])
    gansearch.search(overrides="k=2")
    gansearch.search(
        overrides={
            "trials": np.int64(5),
            "budget": {"top": 2},
            "k": {"int": (1, 3)},
            "generator_activation": "relu",
            "generator_widths": (64, 64),
            "generator_lr": 1e-5,
        }
    )
    assert [call["overrides"] for call in asked] == [
        ["k=2"],
        ["k=2"],
        [
            *("trials=5", "budget.top=2", "k={int: [1, 3]}", "generator_activation=relu"),
            *("generator_widths=[64, 64]", "generator_lr=1.0e-05"),
        ],
    ]


def test_only_may_be_one_preset_and_paths_may_be_paths(asked, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("k: 2")
    gansearch.search(only="paper")
    gansearch.search(only=("paper", mine), seed=None, console=Console(quiet=True))
    assert [call["only"] for call in asked] == [["paper"], ["paper", str(mine)]]


def test_earlier_runs_may_be_one_or_several_paths_names_and_runs(asked, tmp_path):
    run = RunFolder(tmp_path)
    gansearch.search(warm_start="digits-1")
    gansearch.search(warm_start=(run, tmp_path))
    assert [call["warm_start"] for call in asked] == [["digits-1"], [tmp_path, tmp_path]]
    with pytest.raises(BadInputError, match=r"^warm_start: found 3\. It must be a path"):
        gansearch.search(warm_start=3)


def test_what_flags_are_may_be_given_by_keywords(asked):
    gansearch.search(
        *("digits",),
        trials=3,
        max_updates=100,
        replicas=2,
        top=1,
        time_budget="2h",
        data_dir=None,
        max_concurrent=1,
        sampler="random",
        gpus_per_trial=0,
        cpus_per_trial=1,
        group_trials="off",
        overrides={"k": 2},
    )
    gansearch.search(time_budget=90, settings=Settings(sampler="random"))
    assert asked[0]["overrides"] == [
        *("k=2", "budget.trials=3", "budget.max_updates=100", "budget.top=1", "budget.replicas=2")
    ]
    assert asked[0]["settings"] == Settings(
        *("random", None, 0, 1, "off", 1), time_budget_seconds=7200
    )
    assert asked[1]["settings"] == Settings(sampler="random", time_budget_seconds=90)


def test_the_keywords_are_in_the_signature_and_the_documentation():
    parameters = inspect.signature(gansearch.search).parameters
    for name in ("trials", "max_updates", "time_budget", "data_dir", "settings", "overrides"):
        assert name in parameters
        assert name in gansearch.search.__doc__
    assert "time_budget" in inspect.signature(gansearch.resume).parameters


def test_progress_is_shown_where_somebody_sees_it(asked, monkeypatch):
    class Shell:
        kernel = object()

    gansearch.search()
    gansearch.search(console=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=Shell))
    gansearch.search()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    gansearch.search()
    gansearch.search(console=False)
    consoles = [call["console"] for call in asked]
    assert consoles[:2] == [None, None] and consoles[4] is None
    assert not consoles[2].is_jupyter and consoles[3].is_terminal


def test_the_package_lists_what_it_is_for():
    assert {"search", "resume", "load", "evaluate", "Settings"} <= set(dir(gansearch))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": None}, "space: found None. It must be the name of a built-in space"),
        ({"space": {}}, "space: dataset: missing."),
        ({"space": {"dataset": "digit"}}, "space: dataset: no data set is called 'digit'."),
        ({"space": {5: 1}}, "space: 5: a key must be a name."),
        ({"space": "nosuch"}, "space nosuch: no built-in space has this name."),
        ({"only": 5}, "only: found 5. It must be a list of presets and paths"),
        ({"only": {"k": 2}}, "only: found {'k': 2}. It must be a list"),
        ({"only": ["nope"]}, "only nope: there is no such file."),
        ({"overrides": 5}, 'overrides: found 5. It must be a list such as ["trials=5"], or {'),
        ({"overrides": None}, "overrides: found None."),
        ({"overrides": [5]}, "overrides: found [5]."),
        ({"overrides": {5: 1}}, "overrides: found 5. A key must be a name"),
        ({"overrides": {"k": object()}}, "overrides: k: found <object"),
        ({"overrides": {"k": "x"}}, "overrides k=x: k: found 'x'. It must be a whole number in"),
        ({"overrides": {"trails": 5}}, "overrides trails=5: trails: unknown parameter. Did you"),
        ({"overrides": {"budget": {"trials": 0}}}, "overrides budget.trials=0: budget.trials:"),
        ({"overrides": ["k"]}, "overrides k: it must be key=value, such as overrides k=3."),
        ({"only": "paper", "overrides": {"replicas": 0}}, "only with replicas: 0 trains nothing"),
        ({"settings": {"max_concurrent": 1}}, "settings: found {'max_concurrent': 1}. It must be"),
        ({"settings": Settings(sampler="tpa")}, "sampler tpa: no such sampler."),
        ({"seed": "1"}, "seed: found '1'."),
        ({"seed": -1}, "seed: found -1."),
        ({"console": True}, "console: found True. It must be a rich.console.Console()"),
        ({"trials": 0}, "trials: found 0. It must be a whole number in"),
        ({"max_updates": "many"}, "max_updates: found 'many'. It must be a whole number"),
        ({"time_budget": "2"}, "time_budget: '2' has no unit. Write 2s, 2m or 2h."),
        ({"time_budget": []}, "time_budget: found []. It must be a time such as '2h', or seconds."),
        ({"time_budget": -1}, "time_budget_seconds=-1: it must be a positive number"),
        ({"max_concurrent": 0}, "max_concurrent=0: it must be 1 at least."),
        ({"trials": 3, "overrides": {"trials": 3}}, "trials: found 3, and trials among overrides"),
        (
            {"max_concurrent": 2, "settings": Settings(max_concurrent=1)},
            "max_concurrent: found 2, and max_concurrent=1 in settings. One value counts",
        ),
        (
            {"time_budget": "1h", "settings": Settings(time_budget_seconds=5)},
            "time_budget: found 3600.0, and time_budget_seconds=5.0 in settings.",
        ),
        ({"results": None}, "results: found None. It must be a path"),
        ({"name": 5}, "name: found 5. It must be text"),
    ],
)
def test_an_argument_that_a_search_cannot_use_is_named_as_python_names_it(
    asked, arguments, message
):
    with pytest.raises(BadInputError) as caught:
        gansearch.search(**arguments)
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gansearch.load(5), "run: found 5. It must be a path"),
        (lambda: gansearch.load("x", results=5), "results: found 5."),
        (lambda: gansearch.load("x", results="nosuch"), "x: no such run."),
        (lambda: gansearch.resume(None), "run: found None. It must be a path"),
        (lambda: gansearch.resume("x", trials="5"), "trials: found '5'. It must be a whole number"),
        (lambda: gansearch.resume("x", trials=0), "trials: found 0."),
        (lambda: gansearch.resume("x", time_budget_seconds="1h"), "time_budget_seconds: found"),
        (lambda: gansearch.resume("x", address=5), "address: found 5. It must be text"),
        (lambda: gansearch.evaluate(SAMPLES, 5), "dataset: found 5. It must be an array"),
        (lambda: gansearch.evaluate("digits", SAMPLES), "dataset: all 30 rows are identical."),
        (lambda: gansearch.evaluate(SAMPLES, "digit"), "data set 'digit': unknown."),
        (lambda: gansearch.evaluate(SAMPLES, "digits", grid=5), "grid 5: unknown."),
        (lambda: gansearch.evaluate(SAMPLES, "mnist", data_dir=5), "data_dir: found 5."),
        (lambda: gansearch.evaluate({}, "digits"), "samples: found a dict"),
        (lambda: gansearch.evaluate("no.npy", "digits"), "no.npy: No such file"),
    ],
)
def test_wrong_arguments_of_the_other_functions_are_named_too(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value) and "damaged" not in str(caught.value)


def test_a_run_is_resumed_by_its_folder_too(monkeypatch, tmp_path):
    monkeypatch.setattr(driver, "resume", lambda run, **_: RunFolder(run))
    assert gansearch.resume(RunFolder.create(tmp_path, "mine")).path == tmp_path / "mine"


def test_samples_are_scored_on_data_that_is_given():
    rows = np.random.default_rng(0).normal(size=(400, 2)) * [1, 100]
    found = gansearch.evaluate(rows[:100], (rows[100:], rows[:100]))
    assert found["dataset"] == "given" and found["n_samples"] == 100
    assert found["health"]["coverage"] > 0.8
    assert any("add -4" in warning for warning in found["warnings"])  # less log 100


def test_samples_are_scored_from_a_path_and_from_a_tensor_alike(tmp_path):
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).random((40, 64), np.float32)
    np.save(tmp_path / "x.npy", images)
    expected = gansearch.evaluate(images, "digits")
    for samples in (tmp_path / "x.npy", torch.from_numpy(images).requires_grad_()):
        assert gansearch.evaluate(samples, "digits") == expected


def test_networks_beside_data_need_a_space_that_says_what_is_searched():
    rows = np.random.default_rng(0).normal(size=(300, 2))
    with pytest.raises(BadInputError) as caught:
        gansearch.search(dataset=rows, generator=lambda config: None)
    assert str(caught.value).startswith("generator: no space says what is searched. Give one:")
