"""Names of folders that mean splits, and names that only look like them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansearch.data.registry import load_dataset
from gansearch.data.split_names import similar_split
from gansearch.errors import DataError


def fill(root: Path, numbers: dict[str, int]) -> Path:
    """Write random images into folders."""
    rng = np.random.default_rng(0)
    for name, n in numbers.items():
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (4, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.bmp")
    return root


def refused(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset("folder", root)
    return str(caught.value)


@pytest.mark.parametrize("change", [str.title, str.upper])
def test_names_of_splits_match_whatever_their_case(tmp_path: Path, change) -> None:
    numbers = {change("train"): 110, change("valid"): 21, change("test"): 22}
    dataset = load_dataset("folder", fill(tmp_path, numbers))
    assert [len(s) for s in (dataset.train, dataset.valid, dataset.test)] == [110, 21, 22]
    assert not dataset.notes


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"Train": 1, "train": 1, "test": 1})
    assert refused(tmp_path).startswith(f"{tmp_path}: found Train/ and train/. Each split has one ")


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (("training", "testing"), "train/ and test/"),
        (("train_set", "test-set"), "train/ and test/"),
        (("seg_train", "seg_test"), "train/ and test/"),
        (("trainA", "trainB"), "train/"),
        (("train2017", "val2017"), "train/ and valid/"),
        (("images", "holdout"), "test/"),
        (("images", "hold-out"), "test/"),
        (("a", "dev"), "valid/"),
        (("a", "eval"), "valid/"),
        (("a", "Validation"), "valid/"),
        (("tset", "trian"), "train/ and test/"),
    ],
)
def test_names_that_look_like_splits_are_refused_with_the_right_ones(
    tmp_path: Path, names: tuple[str, str], meant: str
) -> None:
    fill(tmp_path, dict.fromkeys(names, 1))
    assert f"Did you mean {meant}? Splits are read from train/, test/ and" in refused(tmp_path)


@pytest.mark.parametrize(
    "names", [("cat", "dog"), ("brain", "chest"), ("rain", "snow"), ("contest", "detrain")]
)
def test_classes_are_no_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    assert not load_dataset("folder", fill(tmp_path, dict.fromkeys(names, 150))).notes


def test_one_name_that_may_be_a_class_is_said(tmp_path: Path) -> None:
    fill(tmp_path, {"bullet_train": 150, "vehicles/train": 1, "car": 150})
    (note,) = load_dataset("folder", tmp_path).notes
    assert note.startswith("bullet_train, vehicles/train: read like any other folder. ")


@pytest.mark.parametrize(
    ("folders", "remedy"),
    [
        (
            ("data/train", "data/test"),
            "Name ROOT/data by --data-dir, or put train/ and test/ there",
        ),
        (("data/images/Training", "data/images/val"), "Name ROOT/data/images by --data-dir, or"),
        (("cats/train", "cats/test", "dogs/train", "dogs/test"), "Name ROOT/cats by --data-dir"),
        (("cats/train", "dogs/test"), "Put train/ and test/ there"),
        (("train/train", "train/val", "test"), "Put train/ and test/ there"),
    ],
)
def test_splits_in_subfolders_are_refused_rather_than_mixed(
    tmp_path: Path, folders: tuple[str, ...], remedy: str
) -> None:
    fill(tmp_path, dict.fromkeys(folders, 1))
    message = refused(tmp_path)
    if folders[-1] != "test":
        assert message.startswith(f"{tmp_path}: found ")
        assert "whose images would be mixed. " in message
        assert remedy.replace("ROOT", str(tmp_path)) in message
    else:  # within a split, a folder of its own name is nothing special
        assert "images to train on" in message


def test_a_folder_of_its_own_name_in_a_split_is_nothing_special(tmp_path: Path) -> None:
    fill(tmp_path, {"train/train": 220, "test/test_images": 30})
    assert not load_dataset("folder", tmp_path).notes


def test_files_that_are_named_after_splits_are_said(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 200, "b": 60})
    for folder, split in (("a", "train"), ("b", "test")):
        for path in (tmp_path / folder).iterdir():
            path.rename(path.with_name(f"{split}_{path.name}"))
    (note,) = load_dataset("folder", tmp_path).notes
    assert "are not taken for splits: the images are split at random." in note


def test_images_beside_the_splits_are_said(tmp_path: Path) -> None:
    fill(tmp_path, {"train": 221, "test": 30})
    (tmp_path / "train" / "0.bmp").rename(tmp_path / "left.bmp")
    (note,) = load_dataset("folder", tmp_path).notes
    assert note == "Images beside train/, test/ are not read: left.bmp."


@pytest.mark.parametrize("name", ["train", "TEST ", "test.", "val_images", "Test Set", "trainset"])
def test_similar_names(name: str) -> None:
    assert similar_split(name)


@pytest.mark.parametrize("name", ["trains", "testament", "attest", "1", "", "validity", "latest"])
def test_other_names(name: str) -> None:
    assert similar_split(name) is None


@pytest.mark.parametrize("below", ["", "train/"])
def test_classes_of_different_things_are_said_and_read(tmp_path: Path, below: str) -> None:
    numbers = {f"{below}toy_train": 150, f"{below}test_tube": 150}
    dataset = load_dataset("folder", fill(tmp_path, numbers | ({"test": 30} if below else {})))
    toys, tubes = sorted(dataset.notes, reverse=True)
    assert toys.startswith(f"{below}toy_train: read like any other folder. ")
    assert tubes.startswith(f"{below}test_tube: read like any other folder. ")


@pytest.mark.parametrize("name", ["train", "test"])
def test_the_remedy_for_a_single_split_reads_its_images(tmp_path: Path, name: str) -> None:
    message = refused(fill(tmp_path, {name: 200}))
    assert f"or name {tmp_path / name} by --data-dir, whose images are then split" in message
    assert len(load_dataset("folder", tmp_path / name).train) == 160
