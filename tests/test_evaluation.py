import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.data import Dataset, load_dataset
from gansearch.errors import SamplesError
from gansearch.evaluation import (
    Evaluator,
    evaluate_samples,
    final_score,
    load_samples,
    nearest_training,
    reference_scores,
)
from gansearch.parzen import log_likelihoods


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def ring() -> Dataset:
    return load_dataset("ring")


@pytest.fixture(scope="module")
def fakes(digits: Dataset) -> np.ndarray:
    """Blurred, slightly noisy digits: what a passable generator gives."""
    rng = np.random.default_rng(0)
    images = digits.to_float(digits.train)[:1000]
    noise = rng.normal(scale=0.1, size=images.shape)
    return np.clip(0.9 * images + 0.05 + noise, 0, 1).astype(np.float32)


def save(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


# Reports


@pytest.mark.parametrize("name", ["digits", "ring"])
def test_an_evaluator_is_ready_in_a_fraction_of_a_second(name: str) -> None:
    dataset = load_dataset(name)
    start = time.perf_counter()
    Evaluator(dataset)
    assert time.perf_counter() - start < 0.5


def test_a_report_is_the_validation_likelihood_at_its_best_sigma(
    digits: Dataset, fakes: np.ndarray
) -> None:
    report = Evaluator(digits).report(fakes)
    valid = digits.to_float(digits.valid)
    at = {
        s: log_likelihoods(fakes, valid, [s]).mean() for s in report.sigma + np.r_[-1, 0, 1] / 200
    }
    assert report.valid_ll == pytest.approx(at[report.sigma], abs=1e-4)
    assert report.valid_ll == max(at.values())
    assert not report.sigma_at_edge


def test_a_report_of_real_data_is_healthy(digits: Dataset) -> None:
    evaluator = Evaluator(digits)
    others = np.concatenate([digits.test, digits.valid])
    report = evaluator.report(digits.to_float(others))
    assert report.coverage == pytest.approx(evaluator.reference.null.coverage, abs=0.03)
    assert report.recall == pytest.approx(evaluator.reference.null.recall, abs=0.03)
    assert report.nn_ratio == pytest.approx(1, abs=0.05)


def test_a_report_is_the_same_every_time_and_for_tensors(
    digits: Dataset, fakes: np.ndarray
) -> None:
    first = Evaluator(digits).report(fakes)
    assert Evaluator(digits).report(fakes) == first
    assert Evaluator(digits).report(torch.from_numpy(fakes)) == first


def test_a_report_never_sees_the_test_set(digits: Dataset, fakes: np.ndarray) -> None:
    no_test = Dataset(
        **{**digits.__dict__, "test": np.zeros((0, 64), np.uint8)}  # would fail if it were read
    )
    assert Evaluator(no_test).report(fakes) == Evaluator(digits).report(fakes)


def test_a_collapsed_generator_has_no_coverage_in_a_report(digits: Dataset) -> None:
    evaluator = Evaluator(digits)
    report = evaluator.report(np.full((evaluator.n_samples, 64), 0.3, np.float32))
    assert (report.coverage, report.recall, report.nn_ratio) == (0, 0, 0)


def test_a_report_of_samples_that_are_not_finite_is_refused(digits: Dataset) -> None:
    with pytest.raises(SamplesError, match="sample 0 "):
        Evaluator(digits).report(np.full((1000, 64), np.nan, np.float32))


# Final scores


def test_a_final_score_uses_all_samples_and_the_whole_test_set(
    digits: Dataset, fakes: np.ndarray
) -> None:
    parzen, indicators = final_score(digits, fakes)
    expected = log_likelihoods(fakes, digits.to_float(digits.test), [parzen.sigma])[0]
    np.testing.assert_allclose(parzen.per_example, expected, atol=1e-4)
    assert parzen.n_samples == 1000
    assert 0 < indicators.coverage <= 1


def test_the_authors_grid_can_be_asked_for(digits: Dataset, fakes: np.ndarray) -> None:
    parzen, _ = final_score(digits, fakes, grid="authors")
    assert parzen.sigma in np.logspace(-1, 0, 10)


def test_fewer_validation_examples_choose_sigma_on_the_first_ones(
    digits: Dataset, fakes: np.ndarray
) -> None:
    parzen, _ = final_score(digits, fakes, n_valid=50)
    valid = digits.to_float(digits.valid[:50])
    expected = log_likelihoods(fakes, valid, [parzen.sigma]).mean()
    assert parzen.valid_ll == pytest.approx(expected, abs=1e-4)


def test_a_sorted_file_is_as_healthy_as_a_shuffled_one(digits: Dataset) -> None:
    others = np.tile(digits.to_float(np.concatenate([digits.valid, digits.test])), (3, 1))
    others += np.random.default_rng(0).normal(scale=0.02, size=others.shape).astype(np.float32)
    by_ink = others[np.argsort(others.sum(axis=1))]
    _, indicators = final_score(digits, by_ink)
    assert indicators.coverage > 0.85
    # What the first ones alone would have said:
    _, head = final_score(digits, by_ink[:600])
    assert head.coverage < 0.7


def test_an_evaluation_is_one_json_object_of_the_documented_keys(
    digits: Dataset, fakes: np.ndarray
) -> None:
    result = json.loads(json.dumps(evaluate_samples(digits, fakes)))
    assert list(result) == [
        "dataset",
        "n_samples",
        "test_ll",
        "test_ll_se",
        "valid_ll",
        "sigma",
        "sigma_at_edge",
        "health",
    ]
    assert list(result["health"]) == ["coverage", "recall", "nn_ratio", "verdict", "reason"]
    assert result["dataset"] == "digits"
    assert result["n_samples"] == 1000
    assert result["health"]["verdict"] == "sound"
    assert result["health"]["reason"] == ""


def test_a_few_repeated_images_are_called_collapsed(digits: Dataset) -> None:
    ten = digits.to_float(digits.train[:10])
    health = evaluate_samples(digits, np.tile(ten, (50, 1)))["health"]
    assert isinstance(health, dict)
    assert health["verdict"] == "collapsed"
    assert health["reason"].startswith("coverage 0.")


def test_twenty_samples_can_be_evaluated(digits: Dataset) -> None:
    result = evaluate_samples(digits, digits.to_float(digits.valid[:20]))
    assert result["n_samples"] == 20
    assert isinstance(result["test_ll"], float)
    assert math.isfinite(result["test_ll"])


def test_points_are_evaluated_against_their_mixture(ring: Dataset) -> None:
    result = evaluate_samples(ring, ring.train[-2000:])
    # A perfect density of eight Gaussians, sd .01, has -log 8 - log(2 pi e) + 2 log 100 nats.
    ideal = -math.log(8) - math.log(2 * math.pi * math.e) + 2 * math.log(100)
    assert result["test_ll"] == pytest.approx(ideal, abs=0.1)
    assert isinstance(result["test_ll"], float)
    assert result["test_ll"] < ideal
    assert not result["sigma_at_edge"]
    assert isinstance(result["health"], dict)
    assert result["health"]["verdict"] == "sound"


def test_the_reference_lines_are_what_real_data_and_its_centroids_score(digits: Dataset) -> None:
    images, centroids = reference_scores(digits)
    assert list(images) == [
        "name",
        "test_ll",
        "test_ll_se",
        "valid_ll",
        "sigma",
        "coverage",
        "recall",
        "nn_ratio",
    ]
    assert images["name"] == "training images"
    assert images["test_ll"] == pytest.approx(29, abs=1)
    assert images["coverage"] == pytest.approx(0.97, abs=0.02)
    assert centroids["name"] == "k-means centroids"
    # As many real images as there are centroids, a fifth, score less.
    fifth, _ = final_score(digits, digits.to_float(digits.train[:239]))
    assert isinstance(centroids["test_ll"], float)
    assert centroids["test_ll"] > fifth.test_ll + 3


def test_points_have_real_ones_as_their_only_reference_line(ring: Dataset) -> None:
    (points,) = reference_scores(ring)
    assert points["name"] == "training points"


@pytest.mark.data
def test_centroids_of_mnist_score_far_above_real_images(mnist_dir: Path) -> None:
    images, centroids = reference_scores(load_dataset("mnist", mnist_dir))
    assert images["test_ll"] == pytest.approx(243.2, abs=0.1)
    # Measured on its own with k-means to convergence: 340.
    assert centroids["test_ll"] == pytest.approx(340, abs=2)


# The nearest training examples


def test_a_training_image_is_its_own_nearest(digits: Dataset) -> None:
    samples = digits.to_float(digits.train[[5, 77, 1100]])
    nearest = nearest_training(digits, samples, 3)
    np.testing.assert_array_equal(digits.train[nearest], digits.train[[5, 77, 1100]])


def test_the_nearest_are_those_of_every_pair(
    digits: Dataset, fakes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = digits.to_float(digits.train)
    every = ((fakes[:40, None] - train[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(nearest_training(digits, fakes, 40), every.argmin(axis=1))
    monkeypatch.setattr("gansearch.evaluation._BLOCK_BYTES", 4 * 64 * 100)
    np.testing.assert_array_equal(nearest_training(digits, fakes, 40), every.argmin(axis=1))


# Files of samples


@pytest.mark.parametrize("shape", [(30, 64), (30, 8, 8), (30, 8, 8, 1), (30, 1, 8, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_images_are_read_in_any_layout_and_type(
    tmp_path: Path, digits: Dataset, shape: tuple[int, ...], dtype: type
) -> None:
    images = digits.train[:30]
    stored = images if np.issubdtype(dtype, np.integer) else images / 16
    loaded = load_samples(save(tmp_path / "x.npy", stored.astype(dtype).reshape(shape)), digits)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, digits.to_float(images))


def test_column_order_and_big_endian_arrays_are_read(tmp_path: Path, digits: Dataset) -> None:
    images = digits.to_float(digits.train[:30])
    odd = np.asfortranarray(images.astype(">f8"))
    np.testing.assert_array_equal(load_samples(save(tmp_path / "x.npy", odd), digits), images)


def test_points_are_read_as_they_are(tmp_path: Path, ring: Dataset) -> None:
    points = ring.train[:30] * 100
    np.testing.assert_array_equal(load_samples(save(tmp_path / "x.npy", points), ring), points)


def wrong_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """What is wrong -> its file and how the message goes on after the path."""
    good = np.full((30, 64), 0.5, np.float32)
    bad = good.copy()
    bad[7, 3] = np.nan
    bad[9, 3] = np.inf
    text = folder / "text.npy"
    text.write_text("0.5 0.5\n")
    short = save(folder / "short.npy", good)
    short.write_bytes(short.read_bytes()[:-4])
    huge = folder / "huge.npy"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 64), }"
    huge.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with (folder / "archive.npy").open("wb") as file:
        np.savez(file, good)
    png = folder / "image.png"
    png.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    save(folder / "objects.npy", np.array([{}] * 30, dtype=object))
    return {
        "absent": (folder / "absent.npy", ": No such file or directory. It must be a .npy file."),
        "a folder": (folder, ": Is a directory. It must be a .npy file."),
        "text": (text, ": not a .npy file. Save an array with numpy.save"),
        "a picture": (png, ": not a .npy file."),
        "an archive": (folder / "archive.npy", ": not a .npy file."),
        "cut short": (short, ": can't be read: mmap length is greater than"),
        "a huge header": (huge, ": can't be read: mmap length is greater than"),
        "objects": (folder / "objects.npy", ": can't be read: "),
        "words": (save(folder / "words.npy", np.array(["a"] * 30)), ": dtype <U1, which isn't"),
        "complex": (save(folder / "c.npy", good.astype(complex)), ": dtype complex128, which"),
        "one axis": (save(folder / "1.npy", good[0]), ": shape [64]. Samples of digits have "),
        "another width": (
            save(folder / "w.npy", good[:, :60]),
            ": shape [30, 60]. Samples of digits have [n, 64] or [n, 8, 8] or [n, 1, 8, 8] or "
            "[n, 8, 8, 1].",
        ),
        "no samples": (save(folder / "0.npy", good[:0]), ": 0 samples. A score needs 20 at least"),
        "few samples": (save(folder / "19.npy", good[:19]), ": 19 samples. A score needs 20"),
        "nan": (
            save(folder / "n.npy", bad),
            ": 2 of 30 samples hold NaN or infinite values, sample 7",
        ),
        "0 to 255 as floats": (
            save(folder / "255.npy", good * 400),
            ": float32 values from 200 to 200. Images of digits need floating-point values in "
            "[0, 1], or whole numbers from 0 to 16. If they run from 0 to 255, save",
        ),
        "0 to 255 whole": (
            save(folder / "u.npy", (good * 400).astype(np.uint8)),
            ": uint8 values from 200 to 200. Images of digits need floating-point values in "
            "[0, 1], or whole numbers from 0 to 16. If they run from 0 to 255, save",
        ),
        "-1 to 1": (
            save(folder / "tanh.npy", np.linspace(-1, 1, 30 * 64).reshape(30, 64)),
            ": float64 values from -1 to 1. Images of digits need floating-point values in "
            "[0, 1], or whole numbers from 0 to 16. If they run from -1 to 1, save (x + 1) / 2.",
        ),
        "slightly over": (
            save(folder / "over.npy", good + np.float32(0.75)),
            ": float32 values from 1.25 to 1.25. Images of digits need floating-point values in "
            "[0, 1], or whole numbers from 0 to 16. Save numpy.clip(x, 0, 1).",
        ),
        "black and white as whole numbers": (
            save(folder / "bw.npy", np.tile([0, 1], (30, 32))),
            ": int64 values from 0 to 1. Images of digits need floating-point values in "
            "[0, 1], or whole numbers from 0 to 16. If 1 is white, save them as float32.",
        ),
    }


def test_a_wrong_file_is_answered_with_what_is_wrong(tmp_path: Path, digits: Dataset) -> None:
    for what, (path, expected) in wrong_files(tmp_path).items():
        with pytest.raises(SamplesError) as caught:
            load_samples(path, digits)
        assert str(caught.value).startswith(f"{path}{expected}"), what


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), magic=st.sampled_from([b"", b"\x93NUMPY\x01\x00"]))
def test_random_bytes_never_give_anything_but_a_samples_error(
    tmp_path_factory: pytest.TempPathFactory, digits: Dataset, content: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.npy"
    path.write_bytes(magic + content)
    with pytest.raises(SamplesError):
        load_samples(path, digits)
