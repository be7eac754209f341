import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from gansearch.data import originals, tfd
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError
from gansearch.scoring.evaluation import evaluate_samples

N_UNLABELLED, N_LABELLED = 60, 50
N = N_UNLABELLED + N_LABELLED
REMEDY = "Put the original file there again."


def layout() -> dict[str, np.ndarray]:
    """Fields of the Toronto Face Database's layout, with random images."""
    rng = np.random.default_rng(0)
    folds = np.zeros((N, 5), np.uint8)
    for fold in range(5):
        folds[N_UNLABELLED:, fold] = rng.permutation([1] * 25 + [2] * 10 + [3] * 15)
    return {
        "images": rng.integers(0, 256, (N, 48, 48), dtype=np.uint8),
        "folds": folds,
        "labs_id": np.arange(N)[:, None],
    }


def saved(data_dir: Path, fields: dict[str, Any], **options: Any) -> Path:
    path = data_dir / "TFD_48x48.mat"
    savemat(path, fields, **options)
    return path


# In tests of what is made of the fields, no other process reads them from a file.
@pytest.fixture
def fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The fields that are found in a file, to be changed by the test."""
    (tmp_path / "TFD_48x48.mat").touch()
    fields = layout()
    monkeypatch.setattr("gansearch.data.tfd._fields", lambda _path: fields)
    return fields


@pytest.mark.parametrize("compressed", [False, True])
def test_the_fields_are_read_from_a_matlab_file(tmp_path: Path, compressed: bool) -> None:
    fields = layout()
    path = saved(tmp_path, fields, do_compression=compressed)
    found = tfd._fields(path)
    assert list(found) == ["images", "folds"]
    for name, array in found.items():
        np.testing.assert_array_equal(array, fields[name], strict=True)


def test_no_code_in_the_working_directory_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, layout())
    (tmp_path / "numpy.py").write_text("raise SystemExit('this was run')")
    monkeypatch.chdir(tmp_path)
    assert len(tfd._fields(path)) == 2


def test_the_unlabelled_train_and_each_fold_has_its_own_validation_and_test(
    tmp_path: Path, fields: dict[str, np.ndarray]
) -> None:
    flat, folds = fields["images"].reshape(N, -1), fields["folds"]
    for fold, name in enumerate(["tfd", "tfd-2", "tfd-3", "tfd-4", "tfd-5"]):
        dataset = load_dataset(name, tmp_path)
        assert dataset.name == name
        assert sorted(map(bytes, dataset.train)) == sorted(map(bytes, flat[:N_UNLABELLED]))
        np.testing.assert_array_equal(dataset.valid, flat[folds[:, fold] == 2])
        np.testing.assert_array_equal(dataset.test, flat[folds[:, fold] == 3])


def test_the_splits_are_contiguous_images_in_0_to_1_and_sigma_sees_the_whole_fold(
    tmp_path: Path,
) -> None:
    saved(tmp_path, layout())
    dataset = load_dataset("tfd", tmp_path)
    for split in (dataset.train, dataset.valid, dataset.test):
        assert split.flags.c_contiguous
        assert split.dtype == np.uint8
    assert dataset.shape == (48, 48, 1)
    assert dataset.scale == 255
    assert dataset.is_bounded
    assert dataset.n_valid_for_sigma == len(dataset.valid) == 10


def test_sigma_is_chosen_on_as_many_validation_examples_as_the_data_set_says() -> None:
    digits = load_dataset("digits")
    samples = digits.to_float(digits.train[:200])
    few = dataclasses.replace(digits, n_valid_for_sigma=50)
    first = dataclasses.replace(digits, valid=digits.valid[:50], labels=None)
    scores = [evaluate_samples(data, samples)["valid_ll"] for data in (few, first, digits)]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]


def test_training_images_are_shuffled_alike_for_every_fold(
    tmp_path: Path, fields: dict[str, np.ndarray]
) -> None:
    first, second = load_dataset("tfd", tmp_path).train, load_dataset("tfd-2", tmp_path).train
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, fields["images"].reshape(N, -1)[:N_UNLABELLED])


def test_an_absent_file_is_answered_with_its_name_its_place_and_its_owners(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset("tfd-3", tmp_path)
    message = str(caught.value)
    assert message.startswith(f"data set tfd: {tmp_path}/TFD_48x48.mat is absent. ")
    assert "its owners, at the University of Toronto, provide it on request" in message
    assert "--data-dir or GANSEARCH_DATA" in message


def with_entry(row: int, column: int, value: int) -> Any:
    def change(array: np.ndarray) -> np.ndarray:
        array[row, column] = value
        return array

    return change


FAULTY = [
    (
        "images",
        lambda a: a[:, :40],
        f"images: shape [{N}, 40, 48]. It must have [{N}, 48, 48] where there are {N} images.",
    ),
    ("images", lambda a: a.astype(np.float32), "images: float32. It must be uint8."),
    (
        "images",
        lambda a: a[:-1],
        f"folds: shape [{N}, 5]. It must have [{N - 1}, 5] where there are {N - 1} images.",
    ),
    (
        "folds",
        lambda a: a[:, :4],
        f"folds: shape [{N}, 4]. It must have [{N}, 5] where there are {N} images.",
    ),
    (
        "folds",
        with_entry(70, 2, 4),
        "folds: found 4. It must be 0 (unlabelled), 1 (to train), 2 (to validate) or 3 (to test).",
    ),
    (
        "folds",
        with_entry(70, 2, 0),
        "folds: an image is unlabelled in one fold and labelled in another. It must be the same "
        "in all.",
    ),
    (
        "folds",
        lambda a: np.where(a == 2, 1, a),
        "folds: no validation images. Each fold must have some.",
    ),
    (
        "folds",
        lambda a: np.where(a == 3, 1, a),
        "folds: no test images. Each fold must have some.",
    ),
    (
        "folds",
        lambda a: np.where(a == 0, 1, a),
        "folds: no unlabelled images. Each fold must have some.",
    ),
    (
        "images",
        lambda a: np.full_like(a, 9),
        f"images: all {N_UNLABELLED} images are identical.",
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), FAULTY)
def test_a_faulty_field_is_named_with_its_rule(
    tmp_path: Path, fields: dict[str, np.ndarray], name: str, change: Any, message: str
) -> None:
    fields[name] = change(fields[name])
    with pytest.raises(DataError) as caught:
        load_dataset("tfd", tmp_path)
    assert str(caught.value) == f"{tmp_path}/TFD_48x48.mat: {message} {REMEDY}"


@pytest.mark.parametrize(("kind", "n", "purpose"), [(2, 10, "validate"), (3, 15, "test")])
def test_black_images_to_be_scored_by_are_refused_by_their_fold(
    tmp_path: Path, fields: dict[str, np.ndarray], kind: int, n: int, purpose: str
) -> None:
    fields["images"][fields["folds"][:, 2] == kind] = 0
    assert len(load_dataset("tfd", tmp_path).test) == 15
    with pytest.raises(DataError) as caught:
        load_dataset("tfd-3", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/TFD_48x48.mat: images: to {purpose} in fold 3: all {n} images are identical. "
        f"{REMEDY}"
    )


@pytest.mark.parametrize("name", ["images", "folds"])
def test_a_missing_field_is_named(tmp_path: Path, fields: dict[str, np.ndarray], name: str) -> None:
    del fields[name]
    with pytest.raises(DataError) as caught:
        load_dataset("tfd", tmp_path)
    path = tmp_path / "TFD_48x48.mat"
    assert str(caught.value) == f"{path}: found no field {name}. TFD has this field. {REMEDY}"


def test_a_field_that_the_file_lacks_is_missing_among_those_read(tmp_path: Path) -> None:
    fields = layout()
    del fields["folds"]
    assert list(tfd._fields(saved(tmp_path, fields))) == ["images"]


def test_a_field_without_numbers_is_reported(tmp_path: Path) -> None:
    path = saved(tmp_path, layout())
    savemat(path, layout() | {"folds": {"first": np.zeros(3)}})
    assert "a field does not contain numbers" in reason_of_damage(path, path.read_bytes())


def reason_of_damage(path: Path, content: bytes) -> str:
    """Return the part of the message between the file's name and the remedy."""
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_dataset("tfd", path.parent)
    before, after = f"{path}: can't be read as a MATLAB file: ", f". {REMEDY}"
    message = str(caught.value)
    assert message.startswith(before)
    assert message.endswith(after)
    assert "\n" not in message
    return message.removeprefix(before).removesuffix(after)


def test_damaged_files_are_reported(tmp_path: Path) -> None:
    path = saved(tmp_path, layout())
    content = path.read_bytes()
    assert reason_of_damage(path, b"")
    assert reason_of_damage(path, b"\x89PNG\r\n\x1a\n" + bytes(200))
    assert reason_of_damage(path, content[: len(content) // 2])


def test_a_damaged_compressed_variable_is_reported(tmp_path: Path) -> None:
    path = saved(tmp_path, layout(), do_compression=True)
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    assert "decompress" in reason_of_damage(path, bytes(content))


def test_a_file_on_which_the_reader_crashes_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, layout())
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr("gansearch.data.tfd._READER", crash)
    assert reason_of_damage(path, path.read_bytes()) == "SciPy's reader crashes on it"


def test_the_file_is_found_in_a_folder_of_its_own_too(tmp_path: Path) -> None:
    path = saved(tmp_path, layout())
    (tmp_path / "TFD").mkdir()
    path.rename(tmp_path / "TFD" / path.name)
    assert len(load_dataset("tfd", tmp_path).train) == N_UNLABELLED


def test_a_file_of_version_7_3_is_answered_with_the_way_to_save_it(tmp_path: Path) -> None:
    path = saved(tmp_path, layout())
    content = bytearray(path.read_bytes())
    content[124:126] = b"\x00\x02"
    reason = "it is of version 7.3; in MATLAB, load it and save it again with -v7"
    assert reason_of_damage(path, bytes(content)) == reason


def test_images_of_two_splits_and_copies_are_said(
    tmp_path: Path, fields: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    (note,) = load_dataset("tfd", tmp_path).notes
    assert note.startswith("The files of tfd are not the original: 60 unlabelled images, where it")
    monkeypatch.setattr(originals, "_N_TRAIN", {"tfd": 60})
    assert not load_dataset("tfd", tmp_path).notes
    test = np.flatnonzero(fields["folds"][:, 0] == 3)
    fields["images"][test[:2]] = fields["images"][0]
    assert load_dataset("tfd", tmp_path).notes == (
        "2 of 15 images to test on are also images to train on. Scores slightly reward generators "
        "that copy them.",
        "1 of 15 images to test on are copies of others there. Each counts like any other image.",
    )
