"""Every built-in space, searched for real: two trials of tiny networks on data of its kind."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from gansearch import Settings, search
from gansearch.data import registry
from gansearch.data.dataset import SPLITS, Dataset, Labels
from gansearch.data.registry import WITHOUT_FILES, load_dataset
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space
from gansearch.tune.cluster import connected

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

BUDGET = ["trials=2", "max_updates=40", "reports=2", "top=1", "replicas=1"]
DENSE = ["generator_widths=[8, 8]", "discriminator_widths=[8]"]
CONVOLUTIONAL = ["generator_channels=[4]", "discriminator_channels=[4, 4]"]
TINY = {
    "cifar10": [*DENSE, *CONVOLUTIONAL],
    "digits": DENSE,
    "digits-conditional": [],
    "digits-inference": [],
    "digits-inpainting": [],
    "digits-semisupervised": DENSE,
    "folder": [*DENSE, *CONVOLUTIONAL],
    "gaussian": [],
    "grid": DENSE,
    "mnist": DENSE,
    "mnist-conditional": [
        *DENSE,
        *("generator_class_share=0", "discriminator_class_share=0"),
    ],
    "ring": DENSE,
    "tfd": [*DENSE, "pretraining_updates=20", "output_init_inputs=4"],
}
# Their likes are searched in every test run: other points, other convolutional networks, digits
# (test_search.py) and its model families (test_families.py).
SLOW = (
    *(name for name in TINY if name.startswith("digits")),
    *("gaussian", "grid", "mnist-conditional", "tfd"),
)
N = 800


def images(height, width, channels):
    """Scikit-learn's digits, enlarged, as uint8 `[N, height, width, channels]`."""
    digits = load_dataset("digits")
    small = np.concatenate([digits.train, digits.valid, digits.test])[:N].reshape(-1, 8, 8)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    enlarged = (small[:, rows][:, :, columns] * 15).astype(np.uint8)
    return np.repeat(enlarged[..., None], channels, axis=3)


def stand_in(name, shape, contrast=None):
    """A data set of the real one's name, shape and treatment, and of few images."""
    few = images(*shape).reshape(N, -1)
    train, valid, test = np.split(few, [400, 600])
    digits = load_dataset("digits").labels
    classes = dict(zip(SPLITS, np.split(digits.train[:N], [400, 600]), strict=True))
    labels = Labels.of(digits.names, **classes)
    return Dataset(
        name, train, valid, test, shape=shape, scale=255.0, contrast=contrast, labels=labels
    )


def fewer_points(name):
    """The data set's first points: ten thousand to test on take a score most of its time."""
    points = load_dataset(name)
    few = {"train": points.train[:2000], "valid": points.valid[:200], "test": points.test[:200]}
    labels = points.labels
    if labels is not None:
        cut = {split: getattr(labels, split)[: len(part)] for split, part in few.items()}
        labels = dataclasses.replace(labels, **cut)
    return dataclasses.replace(points, **few, labels=labels)


def write_tfd(data_dir):
    folds = np.zeros((N, 5), np.uint8)
    folds[500:] = np.array([1, 1, 2, 3, 3, 3])[np.arange(N - 500) % 6][:, None]
    (data_dir / "TFD").mkdir()
    faces = images(48, 48, 1)[..., 0]
    fields = {"images": faces, "folds": folds}
    savemat(data_dir / "TFD" / "TFD_48x48.mat", fields)


def write_folder(data_dir):
    for i, image in enumerate(images(16, 12, 3)[:300]):
        Image.fromarray(image).save(data_dir / f"{i}.png")


@pytest.fixture(scope="module", autouse=True)
def _ray():
    """One Ray for all searches, which then neither start nor end one."""
    with connected(Settings(), load_dataset("digits")):
        yield


@pytest.fixture
def data_dir(name, tmp_path, monkeypatch):
    """A folder with the space's data set, if it is read from one."""
    name = load_space(name).dataset
    folder = tmp_path / "data"
    folder.mkdir()
    if name == "tfd":
        write_tfd(folder)
    if name == "folder":
        write_folder(folder)
    # Their files are known to the byte; the loaders' own tests hold how they are read.
    if name == "mnist":
        monkeypatch.setitem(registry._LOADERS, name, lambda *_: stand_in(name, (28, 28, 1)))
    if name == "cifar10":
        monkeypatch.setitem(registry._LOADERS, name, lambda *_: stand_in(name, (32, 32, 3), 55.0))
    if name in ("gaussian", "grid", "ring"):
        few = fewer_points(name)
        monkeypatch.setitem(registry._LOADERS, name, lambda *_: few)
    return folder


def test_every_builtin_space_is_tried_here():
    assert sorted(TINY) == list(builtin_spaces())


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in sorted(TINY)],
)
def test_a_search_of_two_trials_ranks_what_it_found(name, data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    has_files = load_space(name).dataset not in WITHOUT_FILES
    run = search(
        name,
        overrides=[*BUDGET, *TINY[name]],
        name=name,
        results=tmp_path,
        # One process trains both: that two train at a time is seen in the other searches.
        settings=Settings(data_dir=data_dir.name if has_files else None, max_concurrent=1),
    )
    # A resume in another folder finds it too.
    assert run.read_run().settings["data_dir"] == (str(data_dir) if has_files else None)
    trials = run.trials()
    assert sorted(trials["phase"].unique()) == ["replica", "search"]
    assert set(trials["status"]) <= {"completed", "pruned"}
    assert (trials["phase"] == "search").sum() == 2
    assert np.isfinite(trials["valid_ll"]).all()
    ranking = run.ranking()
    assert np.isfinite(ranking["test_ll"]).all()
    assert 1 <= len(ranking) <= 2
    for file in ("report.html", "samples.png", "references.parquet"):
        assert (run.path / file).stat().st_size > 1000
