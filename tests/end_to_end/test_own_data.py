"""Data of the user's own, from Python and from a file, goes through all that a search does."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gansearch
from gansearch.data.own_names import GIVEN
from gansearch.errors import ConfigError, DataError

from .searches import ONE_AT_A_TIME, command, in_process

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = [
    *("trials=2", "max_updates=400", "reports=2", "top=1", "replicas=1", "start_from=[vanilla]"),
    *("generator_widths=[16]", "discriminator_widths=[16]"),
]
RNG = np.random.default_rng(0)
CENTRES = np.array([[5.0, 0, 1000], [15.0, 0, 2000]])
CLASSES = RNG.integers(0, 2, 600)
ROWS = CENTRES[CLASSES] + RNG.normal(size=(600, 3)) * [1, 10, 100]


@pytest.fixture(scope="module")
def given(tmp_path_factory, _ray):
    """A small search on an array with labels, without a space."""
    return gansearch.search(
        dataset=(ROWS, np.array(["low", "high"])[CLASSES]),
        overrides=TINY,
        results=tmp_path_factory.mktemp("results"),
        name="given",
        settings=ONE_AT_A_TIME,
    )


def test_data_from_python_is_searched_and_lies_in_the_runs_folder(given):
    description = json.loads((given.path / "run.json").read_text())
    assert description["state"] == "finished"
    assert description["space"]["dataset"] == GIVEN
    assert any("Each column is standardised" in note for note in description["data_notes"])
    trials = given.trials()
    assert (trials["phase"] == "search").sum() == 2
    data = str(given.path / "data.npz")
    assert gansearch.evaluate(ROWS[:100], data)["health"]["verdict"] == "sound"


def test_samples_are_in_the_units_of_the_data_and_need_nothing_given_again(given, tmp_path):
    out = tmp_path / "samples.npy"
    assert command("sample", str(given.path), "--n", "500", "--out", str(out)).exit_code == 0
    samples = np.load(out)
    assert samples.shape == (500, 3)
    assert 0 < samples[:, 2].mean() < 3000 and samples[:, 2].std() > 50
    for name in ("samples.png", "lines.png"):
        options = ["--interpolate"] if name == "lines.png" else []
        written = command("sample", str(given.path), "--out", str(tmp_path / name), *options)
        assert written.exit_code == 0, written.output
    assert "classes" in command("report", str(given.path)).output


def test_such_a_run_goes_on_from_the_command_line(given):
    found = command("resume", str(given.path), "--trials", "3", "--quiet")
    assert found.exit_code == 0, found.output
    assert (given.trials()["phase"] == "search").sum() == 3
    data = given.path / "data.npz"
    aside = data.rename(data.with_name("aside.npz"))
    with pytest.raises(DataError, match="holds the data that was given to this run from Python"):
        command("resume", str(given.path), "--trials", "4", "--quiet")
    aside.rename(data)


SPACE = """
dataset: data/mine.py:load
budget: {trials: 3, max_updates: 3000, reports: 6, top: 1, replicas: 1}
search:
  generator_lr: {float: [0.001, 0.01], log: true}
fixed:
  {generator_output: linear, optimizer: adam, generator_widths: [16], discriminator_widths: [16]}
"""
LOADER = """
import numpy as np
import beside

def load(data_dir):
    return np.load(data_dir / "rows.npy") + beside.SHIFT
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "spaces" / "data").mkdir(parents=True)
    (tmp_path / "spaces" / "mine.yaml").write_text(SPACE)
    (tmp_path / "spaces" / "data" / "mine.py").write_text(LOADER)
    (tmp_path / "spaces" / "data" / "beside.py").write_text("SHIFT = 1\n")
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "elsewhere" / "rows.npy", ROWS)
    return tmp_path


def test_a_space_with_a_function_of_ones_own_is_killed_and_goes_on(folder, monkeypatch):
    """It is started in one folder, and goes on from another."""
    monkeypatch.chdir(folder)
    arguments = ["--space", "spaces/mine.yaml", "--data-dir", "elsewhere", "--max-concurrent", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gansearch", "run", *arguments, "--name", "mine", "--quiet"],
        start_new_session=True,
    )
    history = folder / "results" / "mine" / "history"
    deadline = time.monotonic() + 200
    while not list(history.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    description = json.loads((folder / "results" / "mine" / "run.json").read_text())
    assert description["space"]["dataset"] == f"{folder}/spaces/data/mine.py:load"
    monkeypatch.chdir(folder / "spaces")
    for words in (
        ["resume", "../results/mine", "--quiet"],
        ["sample", "../results/mine", "--out", "x.png"],
        ["report", "../results/mine", "--format", "json", "--out", "report.json"],
    ):
        done = in_process(*words)
        assert done.returncode == 0, done.stderr
    assert gansearch.load("../results/mine").read_run().state == "finished"


def test_a_function_that_is_wrong_is_said_before_anything_starts(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "spaces" / "data" / "beside.py").write_text("SHIFT = None\n")
    with pytest.raises(DataError) as caught:
        command("run", "--space", "spaces/mine.yaml", "--data-dir", "elsewhere", "--dry-run")
    assert str(caught.value).startswith("mine.py:load: raised TypeError:")
    assert "at mine.py:6: return np.load(" in str(caught.value)
    assert not (folder / "results").exists()


def test_a_sigmoid_is_refused_on_vectors():
    with pytest.raises(ConfigError, match="generator_output: sigmoid, on the vectors of given"):
        gansearch.search("digits", dataset=ROWS)


TORCHVISIONS = """
dataset: digits.py:load
budget: {trials: 1, max_updates: 300, reports: 2, replicas: 0}
search: {generator_lr: {float: [0.01, 0.1]}}
fixed: {generator_widths: [32], discriminator_widths: [32]}
baseline: none
"""
LOADER_OF_TORCHVISIONS = """
from torch.utils.data import Subset
from torchvision.datasets import MNIST

def load(data_dir):
    return Subset(MNIST(data_dir, train=False), range(600))
"""


def test_a_data_set_of_torchvisions_is_searched_from_where_it_lies(tmp_path, mnist_dir, _ray):
    (tmp_path / "digits.py").write_text(LOADER_OF_TORCHVISIONS)
    (tmp_path / "mine.yaml").write_text(TORCHVISIONS)
    where = ["--data-dir", str(mnist_dir), "--results", str(tmp_path), "--name", "run"]
    done = command("run", "--space", str(tmp_path / "mine.yaml"), *where)
    assert done.exit_code == 0, done.output
    run = gansearch.load("run", tmp_path)
    assert set(run.trials()["status"]) == {"completed"}
    assert run.history()["n_classes_effective"].notna().all()
    out = tmp_path / "samples.npy"
    assert command("sample", str(run.path), "--trial", "t00000", "--out", str(out)).exit_code == 0
    assert np.load(out).shape == (64, 784)


def test_a_gan_of_tables_that_others_wrote_is_searched_and_sampled(tmp_path, _ray):
    options = ["--results", str(tmp_path), "--name", "run", "--quiet"]
    # Fewer choices, each of which is tried before the run.
    fewer = ("discriminator_lr=0.0002", "width=64", "discriminator_steps=1")
    for change in (*fewer, "max_updates=6", "reports=2", "trials=2", "top=1", "replicas=1"):
        options += ["--set", change]
    done = command("run", "--space", str(EXAMPLES / "tabular.yaml"), *options)
    assert done.exit_code == 0, done.output
    run = gansearch.load("run", tmp_path)
    assert run.read_run().state == "finished" and (run.trials()["updates"] <= 6).all()
    assert run.history()[["d_loss", "g_loss"]].notna().all(axis=None)
    out = tmp_path / "rows.npy"
    assert command("sample", str(run.path), "--n", "500", "--out", str(out)).exit_code == 0
    rows = np.load(out)
    assert rows.shape == (500, 10) and 5 < rows[:, 0].mean() < 30  # radii, in their own unit


def test_the_example_runs(tmp_path, monkeypatch, _ray):
    monkeypatch.chdir(tmp_path)
    changes = ["trials=1", "replicas=1", "top=0", "max_updates=200", "reports=2"]
    monkeypatch.setattr(sys, "argv", ["own_data.py", *changes])
    runpy.run_path(str(EXAMPLES / "own_data.py"), run_name="__main__")
    assert [*(tmp_path / "results").iterdir()]
