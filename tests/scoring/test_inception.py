"""torch-fidelity's Inception as an extractor of own measures, with weights that the tests make."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import gansearch
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, OutsideError, SpaceError
from gansearch.own_measures import INCEPTION, OwnMeasure
from gansearch.scoring.own import OwnEvaluator
from gansearch.space.load import load_space
from gansearch.system.user_code import reference_of

library = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
FILE = library.URL_INCEPTION_V3.rpartition("/")[2]


@pytest.fixture(scope="module")
def network():
    """Return the network with random weights, as the library makes it for its own metrics."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        return library.FeatureExtractorInceptionV3("made", ["2048"]).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    """Return a folder of torch hub with the weights where the library puts them."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    torch.save(network.state_dict(), folder / "checkpoints" / FILE)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Let torch hub have an empty folder."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub"
    torch.hub.set_dir(before)


def own(function, features=INCEPTION, dataset="digits", **said) -> OwnEvaluator:
    measure = OwnMeasure("fid", reference_of(function), features=features, **said)
    return OwnEvaluator([measure], load_dataset(dataset))


def test_grey_images_reach_inception_as_bytes_of_three_channels(network, weights, hub):
    torch.hub.set_dir(str(weights))
    seen = []

    def fid(samples, real):
        seen.append((samples, real))
        return gansearch.frechet_distance(samples, real)

    digits = load_dataset("digits")
    values, notes = own(fid).evaluate(digits.to_float(digits.test[:4]), 4)
    assert values["measure.fid"] > 0
    assert not notes
    levels = digits.test[:3].reshape(3, 1, 8, 8).astype(float) / 16
    images = torch.from_numpy(np.round(levels * 255).astype(np.uint8)).repeat(1, 3, 1, 1)
    assert seen[0][0].shape == (4, 2048)
    np.testing.assert_allclose(seen[0][0][:3], network(images)[0], rtol=1e-3, atol=1e-5)


def test_the_weights_may_lie_elsewhere_beside_the_space(weights, hub, tmp_path, monkeypatch):
    monkeypatch.setattr("gansearch.scoring.own.N_TRIED", 2)
    (tmp_path / "mine.py").write_text("def count(samples, real):\n    return samples.shape[1]\n")
    (tmp_path / "w.pth").symlink_to(weights / "checkpoints" / FILE)
    (tmp_path / "space.yaml").write_text(
        "dataset: digits\nsearch: {generator_lr: {float: [0.01, 0.1]}}\nmeasures:\n"
        f"  - {{function: mine.py:count, features: {INCEPTION}:w.pth}}\n"
        f"  - {{function: mine.py:count, name: other, features: {INCEPTION}}}\n"
    )
    there, elsewhere = load_space(str(tmp_path / "space.yaml")).measures
    assert there.features == f"{INCEPTION}:{tmp_path}/w.pth"
    assert elsewhere.features == INCEPTION
    OwnEvaluator([there], load_dataset("digits")).check()
    (tmp_path / "space.yaml").write_text(
        "dataset: digits\nsearch: {generator_lr: {float: [0.01, 0.1]}}\n"
        f"measures: [{{function: mine.py:count, features: '{INCEPTION}:'}}]\n"
    )
    with pytest.raises(SpaceError, match=f"It must be pixels, {INCEPTION}, the path of"):
        load_space(str(tmp_path / "space.yaml"))


def test_missing_weights_are_answered_with_the_command_that_downloads_them(hub, monkeypatch):
    def no_download(*_, **__):
        raise AssertionError("it downloads")

    monkeypatch.setattr(library, "load_state_dict_from_url", no_download)
    path = hub / "checkpoints" / FILE
    with pytest.raises(BadInputError) as error:
        own(gansearch.frechet_distance).check()
    assert isinstance(error.value.__cause__, OutsideError)  # other nodes may have them
    assert f"{path}: there is no such file" in str(error.value)
    assert f"`curl --location --create-dirs --output {path} {library.URL_INCEPTION_V3}`" in str(
        error.value
    )


class Runs:
    """An object whose pickle would run code."""

    def __reduce__(self):
        return (print, ("it ran",))


@pytest.mark.parametrize("content", [{"fc.bias": torch.zeros(3)}, Runs()])
def test_other_weights_are_refused_and_none_run_code(hub, content, capsys):
    (hub / "checkpoints").mkdir(parents=True)
    torch.save(content, hub / "checkpoints" / FILE)
    with pytest.raises(BadInputError, match=r"these aren't its weights: .* They come from https"):
        own(gansearch.frechet_distance).check()
    assert "it ran" not in capsys.readouterr().out


def test_points_are_refused(weights, hub):
    torch.hub.set_dir(str(weights))
    with pytest.raises(BadInputError, match=r"it takes images of one or three channels.*\[2\]"):
        own(gansearch.frechet_distance, dataset="ring").check()


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(
        BadInputError, match=r"on every node: `pip install 'gansearch\[fidelity\]'`"
    ) as error:
        own(gansearch.frechet_distance).check()
    assert isinstance(error.value.__cause__, OutsideError)
