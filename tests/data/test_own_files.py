"""Data that a space names by a file or a function, and data that lies in a run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gansearch.data.fingerprint import Fingerprint
from gansearch.data.own import as_dataset
from gansearch.data.own_files import DATA_FILE, load_saved, save_dataset
from gansearch.data.own_names import GIVEN, is_own, located, short_name
from gansearch.data.registry import (
    check_data_dir,
    data_folder,
    load_again,
    load_dataset,
    open_dataset,
)
from gansearch.errors import BadInputError, DataError, SpaceError
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace

ROWS = np.random.default_rng(0).normal(size=(300, 3)) * [1, 10, 100]
CLASSES = np.arange(300) % 3
LOADER = """
import numpy as np

def rows():
    return np.random.default_rng(0).normal(size=(300, 3))

def nothing():
    rows()

def wrong():
    table = {}
    return table["x"]

def of_folder(data_dir):
    return np.load(data_dir / "rows.npy")

def missing(data_dir=None):
    return np.load("nosuch.npy")

TABLE = rows()
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_data.py").write_text(LOADER)
    np.save(tmp_path / "rows.npy", ROWS)


def refused(name: str, data_dir: Path | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        load_dataset(name, data_dir)
    return str(caught.value)


def test_files_and_functions_are_data_of_ones_own():
    assert [*map(is_own, ("rows.npz", "a/rows.npy", "my_data.py:load", "module:load"))] == [
        True
    ] * 4
    assert [*map(is_own, ("mnist", "tfd-2", "given", "rows.csv"))] == [False] * 4


def test_paths_become_absolute_and_short_names_are_those_of_the_file(tmp_path):
    assert located("../rows.npz", tmp_path / "a") == str(tmp_path / "rows.npz")
    assert located("my_data.py:load", tmp_path) == f"{tmp_path}/my_data.py:load"
    assert located("module:load", tmp_path) == "module:load"
    assert located("mnist", tmp_path) == "mnist"
    assert short_name(f"{tmp_path}/my_data.py:load") == "my_data.py:load"
    assert short_name(f"{tmp_path}/rows.npz") == "rows.npz"


def test_a_function_returns_the_data_and_so_may_a_name_that_is_no_function():
    dataset = load_dataset("my_data.py:rows")
    assert dataset.name == "my_data.py:rows" and dataset.shape == (3,)
    assert Fingerprint.of(load_dataset("my_data.py:TABLE")) == Fingerprint.of(dataset)


def test_a_function_gets_the_folder_of_the_data_if_it_takes_it(tmp_path):
    dataset = load_dataset("my_data.py:of_folder", tmp_path)
    assert Fingerprint.of(dataset) == Fingerprint.of(as_dataset(ROWS))
    assert data_folder("my_data.py:of_folder", tmp_path) == tmp_path
    assert data_folder("my_data.py:rows", None) is None
    check_data_dir("my_data.py:of_folder", tmp_path)
    with pytest.raises(DataError) as caught:
        check_data_dir("my_data.py:rows", tmp_path)
    assert "my_data.py:rows, which takes no argument data_dir" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_data.py:nothing", "my_data.py:nothing: returned None. It must return an array"),
        ("my_data.py:wrong", "my_data.py:wrong: raised KeyError: 'x', at my_data.py:12: return"),
        ("my_data.py:missing", "missing: raised FileNotFoundError"),
        ("my_data.py:rowz", "my_data.py has no rowz. Did you mean rows?"),
        ("nosuch.py:load", "there is no file"),
        ("nosuch.npz", "nosuch.npz: No such file or directory. A data set is a .npz or .npy"),
    ],
)
def test_a_file_or_function_that_gives_no_data_is_answered_with_its_place(name, message):
    assert message in refused(name)


def test_an_archive_has_the_splits_and_the_labels(tmp_path):
    np.savez(
        "split.npz", train=ROWS, test=ROWS[:50] + 1, train_labels=CLASSES, test_labels=CLASSES[:50]
    )
    dataset = load_dataset("split.npz")
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [270, 30, 50]
    assert dataset.labels is not None and dataset.name == "split.npz"
    np.savez("one.npz", ROWS)
    assert Fingerprint.of(load_dataset("one.npz")) == Fingerprint.of(load_dataset("rows.npy"))
    np.savez_compressed("labels.npz", train=ROWS, labels=CLASSES)
    assert load_dataset(str(tmp_path / "labels.npz")).labels is not None


def test_a_file_that_cannot_be_read_is_said():
    Path("text.npz").write_text("hello")
    assert "not a file of numpy.savez" in refused("text.npz")
    Path("text.npy").write_text("hello")
    assert "not a file of numpy.savez" in refused("text.npy")
    np.savez("objects.npz", train=np.array([None, 1], object))
    assert "holds Python objects, which aren't read" in refused("objects.npz")
    np.savez("other.npz", rows=ROWS)
    assert "found 'rows' among rows." in refused("other.npz")
    content = Path("rows.npy").read_bytes()
    Path("cut.npy").write_bytes(content[:500])
    assert "cut.npy: can't be read" in refused("cut.npy")


@pytest.mark.parametrize(
    "dataset",
    [
        as_dataset((ROWS, CLASSES)),
        as_dataset(np.random.default_rng(0).random((300, 1, 4, 5))),
        load_dataset("digits"),
        load_dataset("gaussian"),
    ],
)
def test_data_in_a_runs_folder_comes_back_as_it_was(dataset, tmp_path):
    save_dataset(tmp_path / DATA_FILE, dataset)
    found, folder = load_again(GIVEN, None, run=tmp_path)
    assert folder is None
    assert Fingerprint.of(found) == Fingerprint.of(dataset)
    for field in ("name", "notes", "scale", "shape", "mode_sd"):
        assert getattr(found, field) == getattr(dataset, field)
    if dataset.units is not None:
        np.testing.assert_array_equal(found.units.unit, dataset.units.unit)
        np.testing.assert_array_equal(found.units.offset, dataset.units.offset)
    if dataset.labels is not None:
        assert found.labels.names == dataset.labels.names
        np.testing.assert_array_equal(found.labels.test, dataset.labels.test)
    # Anybody's samples can be scored on it by the path of the file.
    assert Fingerprint.of(load_dataset(str(tmp_path / DATA_FILE))) == Fingerprint.of(dataset)


def test_damaged_data_of_a_run_is_found_and_its_absence_too(tmp_path):
    path = tmp_path / DATA_FILE
    with pytest.raises(DataError) as caught:
        load_saved(path)
    assert "data that was given to this run from Python. Restore it from a copy" in str(
        caught.value
    )
    save_dataset(path, as_dataset(ROWS))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_saved(path)
    assert f"{path}: damaged" in str(caught.value)


def test_data_that_was_given_is_no_data_set_by_its_name():
    assert "data set given: the name of data that a run was given from Python." in refused(GIVEN)


def test_a_data_set_is_opened_by_its_name_its_path_or_itself(tmp_path):
    by_path = open_dataset(tmp_path / "rows.npy")
    assert Fingerprint.of(open_dataset(ROWS)) == Fingerprint.of(by_path)
    assert open_dataset("digits").name == "digits"
    with pytest.raises(DataError) as caught:
        open_dataset(ROWS, tmp_path)
    assert "the data itself is given, and none is read there." in str(caught.value)


def test_the_paths_of_a_space_are_relative_to_the_folder_of_its_file(tmp_path, monkeypatch):
    (tmp_path / "spaces").mkdir()
    for name, expected in (
        ("../my_data.py:rows", f"{tmp_path}/my_data.py:rows"),
        ("rows.npz", f"{tmp_path}/spaces/rows.npz"),
        ("module:load", "module:load"),
    ):
        file = tmp_path / "spaces" / "mine.yaml"
        file.write_text(json.dumps({"dataset": name, "search": {"k": {"int": [1, 3]}}}))
        monkeypatch.chdir("/")
        space = load_space(str(file))
        assert space.dataset == expected
        assert SearchSpace.from_dict(space.to_dict()).dataset == expected


def test_a_space_may_not_name_a_file_of_another_kind(tmp_path):
    (tmp_path / "mine.yaml").write_text("dataset: rows.csv\nsearch: {k: {int: [1, 3]}}")
    with pytest.raises(SpaceError) as caught:
        load_space("./mine.yaml")
    assert "mine.yaml:1: dataset: no data set is called 'rows.csv'." in str(caught.value)
