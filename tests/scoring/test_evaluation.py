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
from PIL import Image
from scipy.spatial.distance import cdist

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError, SamplesError
from gansearch.scoring.evaluation import (
    Evaluator,
    check_samples,
    evaluate_samples,
    final_score,
    load_samples,
    nearest_training,
    scores_by_count,
    train_nn_ratio,
)
from gansearch.scoring.parzen import log_likelihoods


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
    start = time.process_time()
    Evaluator(dataset)
    assert time.process_time() - start < 0.5


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


# Small and odd data


def some(digits: Dataset, n_train: int) -> Dataset:
    return Dataset(**{**digits.__dict__, "train": digits.train[:n_train]})


@pytest.mark.parametrize("n_train", [11, 39])
def test_so_few_training_images_are_too_few_to_judge_by(digits: Dataset, n_train: int) -> None:
    expected = (
        rf"data set digits: {n_train} training examples\. Health is judged by 5 neighbours within "
        r"each half of them, so there must be 40 at least\. Add examples\."
    )
    with pytest.raises(DataError, match=expected):
        Evaluator(some(digits, n_train))
    with pytest.raises(DataError, match=expected):
        evaluate_samples(some(digits, n_train), digits.to_float(digits.valid))


@pytest.mark.parametrize("n_train", [40, 100])
def test_a_constant_generator_is_told_from_real_images_by_a_few_training_images(
    digits: Dataset, n_train: int
) -> None:
    few = some(digits, n_train)
    evaluator = Evaluator(few)
    constant = np.full((1000, 64), 0.3, np.float32)
    report = evaluator.report(constant)
    assert report.coverage < 0.25 * evaluator.reference.null.coverage
    assert (report.recall, report.nn_ratio) == (0, 0)
    assert evaluate_samples(few, constant)["health"]["verdict"] == "collapsed"
    assert evaluate_samples(few, digits.to_float(digits.valid))["health"]["verdict"] == "sound"


def test_a_folder_with_the_fewest_images_allowed_can_be_judged(tmp_path: Path) -> None:
    images = load_dataset("digits").train * 15
    for split, n, start in (("train", 100, 0), ("valid", 20, 100), ("test", 20, 120)):
        (tmp_path / split).mkdir()
        for i in range(start, start + n):
            Image.fromarray(images[i].reshape(8, 8)).save(tmp_path / split / f"{i}.png")
    folder = load_dataset("folder", tmp_path)
    evaluator = Evaluator(folder)
    assert evaluator.reference.n == 50
    report = evaluator.report(np.full((1000, 64), 0.3, np.float32))
    assert (report.coverage, report.recall, report.nn_ratio) == (0, 0, 0)
    (tmp_path / "train" / "0.png").unlink()
    with pytest.raises(DataError, match=r"99 images .*There must be 100 at least"):
        load_dataset("folder", tmp_path)


def test_points_on_a_line_have_a_report() -> None:
    line = load_dataset("gaussian")
    evaluator = Evaluator(line)
    report = evaluator.report(line.test[:1000])
    assert report.coverage == pytest.approx(evaluator.reference.null.coverage, abs=0.03)
    # The entropy of N(1, .5^2) bounds it: log .5 + log(2 pi e) / 2 = .726 nats.
    assert report.valid_ll == pytest.approx(-0.726, abs=0.05)
    stuck = evaluator.report(np.ones((1000, 1), np.float32))
    assert stuck.coverage < 0.1
    assert stuck.nn_ratio == 0


def test_one_exploded_sample_makes_no_report_healthy(ring: Dataset) -> None:
    samples = np.zeros((1000, 2), np.float32)
    samples[0] = 1e8
    report = Evaluator(ring).report(samples)
    assert report.coverage == 0
    assert report.nn_ratio == 0


# Final scores


@pytest.mark.parametrize("n", [1, 19])
def test_a_score_of_too_few_samples_is_refused(digits: Dataset, n: int) -> None:
    with pytest.raises(SamplesError, match=f"samples: {n} samples. A score needs 20 at least"):
        final_score(digits, digits.to_float(digits.valid[:n]))


def test_a_final_score_uses_all_samples_and_the_whole_test_set(
    digits: Dataset, fakes: np.ndarray
) -> None:
    final = final_score(digits, fakes)
    parzen, indicators = final.parzen, final.indicators
    expected = log_likelihoods(fakes, digits.to_float(digits.test), [parzen.sigma])[0]
    np.testing.assert_allclose(parzen.per_example, expected, atol=1e-4)
    assert parzen.n_samples == 1000
    assert 0 < indicators.coverage <= 1


def test_the_authors_grid_can_be_asked_for(digits: Dataset, fakes: np.ndarray) -> None:
    parzen = final_score(digits, fakes, grid="authors").parzen
    assert parzen.sigma in np.logspace(-1, 0, 10)


def test_fewer_validation_examples_choose_sigma_on_the_first_ones(
    digits: Dataset, fakes: np.ndarray
) -> None:
    parzen = final_score(digits, fakes, n_valid=50).parzen
    valid = digits.to_float(digits.valid[:50])
    expected = log_likelihoods(fakes, valid, [parzen.sigma]).mean()
    assert parzen.valid_ll == pytest.approx(expected, abs=1e-4)


def test_a_sorted_file_is_as_healthy_as_a_shuffled_one(digits: Dataset) -> None:
    others = np.tile(digits.to_float(np.concatenate([digits.valid, digits.test])), (3, 1))
    others += np.random.default_rng(0).normal(scale=0.02, size=others.shape).astype(np.float32)
    by_ink = others[np.argsort(others.sum(axis=1))]
    assert final_score(digits, by_ink).indicators.coverage > 0.85
    # What the first ones alone would have said:
    assert final_score(digits, by_ink[:600]).indicators.coverage < 0.7


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
        "train_nn_ratio",
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


def test_scores_by_count_are_those_of_the_first_samples(digits: Dataset, fakes: np.ndarray) -> None:
    curve = scores_by_count(digits, fakes)
    assert [row["n_samples"] for row in curve] == [100, 200, 500, 1000]
    for row in curve[::3]:
        alone = final_score(digits, fakes[: row["n_samples"]]).parzen
        for name in ("test_ll", "test_ll_se", "valid_ll", "sigma", "sigma_at_edge"):
            assert row[name] == pytest.approx(getattr(alone, name), abs=1e-3), name
    assert list(np.diff([row["test_ll"] for row in curve]) > 0) == [True] * 3


@pytest.mark.parametrize(
    ("n", "counts"),
    [(20, [20]), (100, [100]), (101, [100, 101]), (2500, [100, 200, 500, 1000, 2000, 2500])],
)
def test_the_last_score_by_count_is_that_of_all_samples(
    digits: Dataset, n: int, counts: list[int]
) -> None:
    samples = np.random.default_rng(0).uniform(size=(n, 64)).astype(np.float32)
    assert [row["n_samples"] for row in scores_by_count(digits, samples)] == counts


# Copies of training examples


def test_copies_of_training_images_have_no_distance_to_them(digits: Dataset) -> None:
    assert train_nn_ratio(digits, digits.to_float(digits.train[:1000])) == 0


def test_new_real_images_are_as_far_from_training_images_as_others(digits: Dataset) -> None:
    ratio = train_nn_ratio(digits, digits.to_float(digits.valid))
    assert ratio == pytest.approx(1, abs=0.1)
    assert train_nn_ratio(digits, digits.to_float(digits.test)) == 1


def test_noise_on_copies_brings_them_away_step_by_step(digits: Dataset) -> None:
    rng = np.random.default_rng(0)
    copies = digits.to_float(digits.train[:1000])
    ratios = [
        train_nn_ratio(digits, np.clip(copies + sd * rng.normal(size=copies.shape), 0, 1))
        for sd in (0.01, 0.05, 0.2)
    ]
    assert ratios[0] < 0.1
    assert ratios[0] < ratios[1] < 0.5 < ratios[2]


def test_the_distance_to_training_examples_is_the_definition(
    digits: Dataset, fakes: np.ndarray
) -> None:
    train, test = digits.to_float(digits.train), digits.to_float(digits.test)

    def median_distance(examples: np.ndarray) -> float:
        return float(np.median(cdist(examples.astype(float), train.astype(float)).min(axis=1)))

    expected = median_distance(fakes) / median_distance(test)
    assert train_nn_ratio(digits, fakes) == pytest.approx(expected, rel=1e-6)


def test_points_that_lie_close_together_are_told_from_copies(ring: Dataset) -> None:
    # Training points of the ring lie some .0002 apart, where single-precision products see nothing.
    assert train_nn_ratio(ring, ring.valid) == pytest.approx(1, abs=0.1)
    assert train_nn_ratio(ring, ring.train[:500]) == 0
    distances = cdist(ring.valid[:50].astype(float), ring.train.astype(float))
    nearest = nearest_training(ring, ring.valid, 50)
    found = distances[np.arange(50), nearest]
    np.testing.assert_allclose(found, distances.min(axis=1), atol=1e-7)


def test_where_new_examples_are_copies_themselves_the_ratio_says_nothing(digits: Dataset) -> None:
    doubled = Dataset(**{**digits.__dict__, "test": digits.train[:300]})
    assert train_nn_ratio(doubled, doubled.to_float(doubled.train[:100])) == 1


def test_contrast_normalised_images_are_scored_as_they_are_trained_on() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, size=(900, 4, 4, 3)).repeat(2, axis=1).repeat(2, axis=2)
    stored = (coarse + rng.integers(0, 50, size=coarse.shape)).astype(np.uint8).reshape(900, -1)
    train, new, valid, test = np.split(stored, [400, 600, 700])
    images = Dataset("x", train, valid, test, shape=(8, 8, 3), scale=255.0, contrast=55.0)
    final = final_score(images, images.to_float(new))
    assert not final.parzen.sigma_at_edge
    assert final.parzen.sigma > 1
    assert final.train_nn_ratio == pytest.approx(1, abs=0.05)
    expected = log_likelihoods(
        images.to_float(new), images.to_float(test), [final.parzen.sigma]
    ).mean()
    assert final.parzen.test_ll == pytest.approx(expected, abs=1e-3)


def test_constant_samples_of_contrast_normalised_images_have_a_score_and_no_coverage(
    digits: Dataset,
) -> None:
    normalised = Dataset(**{**digits.__dict__, "contrast": 55.0})
    grey = check_samples(np.full((100, 64), 0.5, np.float32), normalised)
    assert not grey.any()
    result = evaluate_samples(normalised, grey)
    assert math.isfinite(result["test_ll"])
    assert not result["sigma_at_edge"]
    assert result["health"]["verdict"] == "collapsed"


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
    monkeypatch.setattr("gansearch.scoring.neighbours._BLOCK_BYTES", 4 * 64 * 100)
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
