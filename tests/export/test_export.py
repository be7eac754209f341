"""A generator leaves for a folder of its own, and works there without gansearch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

from gansearch.cli import cli
from gansearch.data.units import Units
from gansearch.errors import BadInputError, ResultsError
from gansearch.export import export as export_module
from gansearch.export import formats
from gansearch.export.export import export
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.networks.models import Generator
from gansearch.networks.own import OwnGenerator
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.report.run import Run
from gansearch.report.sampling import stored_generator
from gansearch.runs.generators import StoredGenerator, save_discriminator
from tests.saved_generators import save
from tests.written_runs import WINNER, finished_run

TRIAL = f"r-{WINNER.config_id}-0"
# What a process does that has torch and the exported folder, but no gansearch.
LOAD = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "gansearch":
            raise ImportError("gansearch is not there")
sys.meta_path.insert(0, Block())
sys.path = [entry for entry in sys.path if entry != {top!r}]
sys.path.insert(0, {folder!r})
import numpy as np, torch
torch.set_num_threads(1)
import load_generator
images = load_generator.samples(1200)
if images.dim() == 4:
    images = images.permute(0, 2, 3, 1)
np.save({out!r}, images.flatten(1).numpy())
assert not any(name.split(".")[0] == "gansearch" for name in sys.modules)
"""


@pytest.fixture
def run(tmp_path) -> Run:
    folder = finished_run(tmp_path)
    network = Generator(WINNER, (8, 8, 1))
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.1)
    for trial in (TRIAL, "t00001"):
        save(folder.model_dir(trial), network, WINNER, dataset="digits", seed=5)
    return Run(folder.path)


def loaded(folder: Path, out: Path) -> np.ndarray:
    """Return the samples that the loader of a folder makes, in a process without gansearch."""
    top = str(Path(__file__).parents[2])
    code = LOAD.format(top=top, folder=str(folder), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return np.load(out)


@pytest.mark.parametrize("to", ["safetensors", "torchscript", "onnx"])
def test_the_loader_makes_the_same_samples_without_gansearch(run, tmp_path, to: str) -> None:
    if to == "onnx":
        for package in (*formats._ONNX_PACKAGES, "onnxruntime"):
            pytest.importorskip(package)
    out, trial = export(run, to=to, out=tmp_path / "out")
    assert (out, trial) == (tmp_path / "out", TRIAL)
    found = loaded(out, tmp_path / "samples.npy")
    np.testing.assert_allclose(found, run.sample(1200), atol=2e-6, rtol=1e-5)


def test_the_weights_have_the_layout_of_torchs_layers(run, tmp_path) -> None:
    export(run, out=tmp_path / "out")
    weights = load_file(tmp_path / "out" / "generator.safetensors")
    assert weights["0.weight"].shape == (256, WINNER.noise_dim)
    for name, value in run.generator().state_dict().items():
        torch.testing.assert_close(weights[name], value)


def test_the_folder_says_what_the_generator_is_and_how_good(run, tmp_path) -> None:
    out, _ = export(run, out=tmp_path / "out")
    card = (out / "README.md").read_text()
    assert card.startswith(f"# Generator {TRIAL} of the run digits-1\n")
    interval = f"{run.best.test_ll:.2f} [{run.best.test_ll_low:.2f}, {run.best.test_ll_high:.2f}]"
    assert interval in card and "3 of 4" in card and "`generator_lr` | 0.05" in card
    for heading in ("Use", "Scores", "Data", "Training", "Limits"):
        assert f"\n## {heading}\n" in card
    about = json.loads((out / "config.json").read_text())
    assert about["config"]["generator_widths"] == [256, 256]
    assert about["scores_over_seeds"]["test_ll"] == pytest.approx(run.best.test_ll)
    assert (about["trial_id"], about["dataset"], about["shape"]) == (TRIAL, "digits", [8, 8, 1])


def test_a_trial_of_the_search_says_that_its_score_is_partly_luck(run, tmp_path) -> None:
    out, _ = export(run, trial_id="t00001", out=tmp_path / "out")
    assert "It comes from the search" in (out / "README.md").read_text()


def test_the_command_writes_into_a_folder_named_after_run_and_trial(
    run, tmp_path, monkeypatch
) -> None:
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    done = CliRunner().invoke(cli, ["export", str(run.path)], catch_exceptions=False)
    assert done.stdout == f"digits-1-{TRIAL}: the generator of {TRIAL}, and load_generator.py\n"
    files = {path.name for path in Path(f"digits-1-{TRIAL}").iterdir()}
    assert files == {"README.md", "config.json", "generator.safetensors", "load_generator.py"}


def test_nothing_in_a_folder_is_replaced(run, tmp_path) -> None:
    export(run, out=tmp_path / "out")
    with pytest.raises(BadInputError, match="the folder isn't empty"):
        export(run, out=tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="An export is a folder"):
        export(run, out=tmp_path / "file")


def test_an_unknown_trial_or_one_without_a_generator_is_refused(run, tmp_path) -> None:
    with pytest.raises(ResultsError, match="no such trial"):
        export(run, trial_id="t00009", out=tmp_path / "out")
    with pytest.raises(ResultsError, match="no trained generator lies here"):
        export(run, trial_id="t00003", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_onnx_without_its_package_names_the_extra(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BadInputError, match=r"pip install 'gansearch\[onnx\]'"):
        export(run, to="onnx", out=tmp_path / "out")


def test_vectors_come_out_in_the_units_of_their_data(run, tmp_path, monkeypatch) -> None:
    units = Units(np.linspace(-1, 1, 64), np.linspace(1, 2, 64))
    trial, stored = stored_generator(run)
    network = Generator(WINNER, (64,))
    network.load_state_dict(stored.generator.network.state_dict())
    points = TrainedGenerator(network, WINNER, stored.generator.seed)
    given = dataclasses.replace(stored, generator=points, shape=(64,), units=units)
    monkeypatch.setattr(export_module, "stored_generator", lambda *_: (trial, given))
    out, _ = export(run, out=tmp_path / "out")
    found = loaded(out, tmp_path / "samples.npy")
    np.testing.assert_allclose(found, units.restored(run.sample(1200)), atol=1e-5, rtol=1e-5)


def test_layers_of_the_users_own_code_go_out_as_torchscript(run, tmp_path, monkeypatch) -> None:
    trial, stored = stored_generator(run)
    network = OwnGenerator(nn.Sequential(nn.Linear(6, 64), nn.Sigmoid()), (8, 8, 1), 6, None)
    own = TrainedGenerator(network, OwnNetworkParameters(noise_dim=6), 3)
    given = dataclasses.replace(stored, generator=own)
    monkeypatch.setattr(export_module, "stored_generator", lambda *_: (trial, given))
    with pytest.raises(BadInputError, match="--to torchscript and --to onnx store them"):
        export(run, out=tmp_path / "out")
    out, _ = export(run, to="torchscript", out=tmp_path / "out")
    found = loaded(out, tmp_path / "samples.npy")
    np.testing.assert_allclose(found, own.samples(1200), atol=2e-6, rtol=1e-5)


def test_a_family_without_modules_says_so(run, tmp_path, monkeypatch) -> None:
    stored = StoredGenerator(object(), "ring", (2,))
    monkeypatch.setattr(export_module, "stored_generator", lambda *_: (TRIAL, stored))
    with pytest.raises(BadInputError, match="are no modules of torch"):
        export(run, out=tmp_path / "out")


def test_the_discriminator_is_copied_if_the_run_has_kept_it(run, tmp_path) -> None:
    save_discriminator(run.model_dir(TRIAL), {"layers.0.bias": np.zeros(3, np.float32)})
    out, _ = export(run, out=tmp_path / "out")
    assert load_file(out / "discriminator.safetensors")["layers.0.bias"].shape == (3,)
    assert "`discriminator.safetensors`: the discriminator" in (out / "README.md").read_text()
