from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import SamplesError
from gansearch.scoring.samples import check_samples, load_samples


def save(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


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


def test_a_home_in_the_path_of_samples_is_expanded(
    tmp_path: Path, ring: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", ring.train[:30])
    assert load_samples("~/x.npy", ring).shape == (30, 2)


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
    beyond = folder / "beyond.npy"
    beyond.write_bytes(huge.read_bytes().replace(b"99999999999, 64", b"-1, 99999999999"))
    with (folder / "archive.npy").open("wb") as file:
        np.savez(file, good)
    png = folder / "image.png"
    png.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    save(folder / "objects.npy", np.array([{}] * 30, dtype=object))
    (folder / "empty.npy").touch()
    header = folder / "header.npy"
    header.write_bytes(short.read_bytes()[:60])
    return {
        "empty": (folder / "empty.npy", ": an empty file. Save an array"),
        "cut within its header": (header, ": cut off within its header, after 60 bytes. Save"),
        "absent": (folder / "absent.npy", ": No such file or directory. It must be a .npy file."),
        "a folder": (folder, ": of 1 image 1 can't be read: image.png ("),
        "text": (text, ": not a .npy file. Save an array with numpy.save"),
        "a picture": (png, ": not a .npy file."),
        "an archive": (folder / "archive.npy", ": not a .npy file. It is a zip archive"),
        "cut short": (short, f": cut off after {short.stat().st_size:,} bytes: its header"),
        "a huge header": (huge, f": cut off after {huge.stat().st_size:,} bytes: its header"),
        "a header beyond all memory": (beyond, ": can't be read: memory mapped length must be"),
        "objects": (folder / "objects.npy", ": it holds Python objects, which"),
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
            "[0, 1], or whole numbers from 0 to 16. If they run from 0 to 1 and overshoot, save "
            "numpy.clip(x, 0, 1).",
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


def appended(path: Path, *arrays: np.ndarray, then: bytes = b"") -> Path:
    with path.open("wb") as file:
        for array in arrays:
            np.save(file, array)
        file.write(then)
    return path


def test_a_file_with_more_than_one_array_is_refused(tmp_path: Path, digits: Dataset) -> None:
    half = digits.to_float(digits.train[:50])
    with pytest.raises(SamplesError, match=r"another array follows .* save numpy\.concatenate"):
        load_samples(appended(tmp_path / "two.npy", half, half), digits)
    with pytest.raises(SamplesError, match=r"another array follows .* \[0, 64\]"):
        load_samples(appended(tmp_path / "empty.npy", half[:0], half), digits)
    with pytest.raises(SamplesError, match="3 bytes follow the array, of shape"):
        load_samples(appended(tmp_path / "three.npy", half, then=b"abc"), digits)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda x: x * 16, "If they run from 0 to 16, save x / 16."),
        (lambda x: x * 100, "If they run from 0 to 100, save x / 100."),
        (lambda x: x * 255, "If they run from 0 to 255, save x / 255."),
        (lambda x: x * 65535, "If they run from 0 to 65535, save x / 65535."),
        (lambda x: (x * 65535).astype(np.uint16), "save x / 65535."),
        (lambda x: (x * 100).astype(int), "If they run from 0 to 100, save x / 100"),
        (lambda x: x * 2, "If they run from 0 to 16, save x / 16."),
        (lambda x: x * 1e6, "Save x / white, where white is the value of"),
        (lambda x: x - 0.5, "If they run from -0.5 to 0.5, save x + 0.5."),
        (lambda x: (2 * x - 1) * 0.4, "If they run from -1 to 1, save (x + 1) / 2."),
        (lambda x: (x - x.mean()) / x.std(), "save x * sd + mean, here about 0.38 and 0.3."),
        (lambda x: (x * 255 - 128).astype(np.int8), "save (x + 128.0) / 255."),
        (lambda x: x * 1.2 - 0.1, "If they run from 0 to 1 and overshoot, save numpy.clip"),
        (lambda x: x * 50 - 7, "Save (x - black) / (white - black)"),
    ],
)
def test_the_remedy_for_a_wrong_range_is_the_one_that_helps(
    digits: Dataset, change: Any, remedy: str
) -> None:
    with pytest.raises(SamplesError) as caught:
        check_samples(change(digits.train[:300] / 16), digits)
    assert remedy in str(caught.value)


def test_rounding_beyond_the_range_is_clipped(digits: Dataset) -> None:
    images = digits.train[:30] / 16
    for rounded in (images * 1.0000001, images - 1e-8, images.astype(np.float16) * 1.0009):
        found = check_samples(rounded, digits)
        assert found.min() == 0 and found.max() == 1
        np.testing.assert_allclose(found, images, atol=2e-3)


@pytest.fixture
def normalised(digits: Dataset) -> Dataset:
    """The digits, contrast normalised: 64 values with a root mean square of 1."""
    return replace(digits, contrast=8.0)


def test_normalised_images_and_pixels_are_both_read(normalised: Dataset) -> None:
    pixels = normalised.train[:300] / 16
    expected = normalised.to_float(normalised.train[:300])
    for samples in (pixels, pixels - 1e-8, normalised.train[:300], expected, pixels / 2):
        np.testing.assert_allclose(check_samples(samples, normalised), expected, atol=1e-4)
    # A generator that was trained on them hits their norm only roughly; it is scored as it is.
    noise = np.random.default_rng(0).normal(0, 0.2, expected.shape)
    for roughly in (expected * 0.8 + noise, expected * 5 + noise, expected * 0.3 + noise):
        np.testing.assert_array_equal(
            check_samples(roughly, normalised), roughly.astype(np.float32), strict=True
        )


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda x: 2 * x - 1, "If they run from -1 to 1, save (x + 1) / 2, which is then"),
        (lambda x: (2 * x - 1) * 0.4, "save (x + 1) / 2, which is then normalised here."),
        (lambda x: x * 3 - 1.5, "(x - x.min()) / (x.max() - x.min())."),
        (lambda x: centred(x) / np.linalg.norm(centred(x), axis=1, keepdims=True), "save x * 8."),
        (lambda x: centred(x) / centred(x).std(1, ddof=1, keepdims=True), "save x * 1.00791."),
        (lambda x: x * 255 - 100, "Save pixels in [0, 1], which are then normalised here"),
    ],
)
def test_what_cannot_be_contrast_normalised_is_refused(
    normalised: Dataset, change: Any, remedy: str
) -> None:
    with pytest.raises(SamplesError) as caught:
        check_samples(change(normalised.train[:300] / 16), normalised)
    assert "contrast normalisation: mean 0 and norm 8 each. These have norms of" in str(
        caught.value
    )
    assert remedy in str(caught.value)


def centred(images: np.ndarray) -> np.ndarray:
    return images - images.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((8, 9, 3, 40), "Transpose it: numpy.transpose(x, (3, 0, 1, 2))."),
        ((3, 8, 9, 40), "Transpose it: numpy.transpose(x, (3, 1, 2, 0))."),
        ((40, 9, 8, 3), "Transpose it: numpy.transpose(x, (0, 2, 1, 3))."),
        ((216, 40), "Transpose it: numpy.transpose(x, (1, 0))."),
        ((8, 9, 3), "This is a single sample"),
        ((40, 10, 8, 9, 3), "Merge the axes before an example: x.reshape(-1, 8, 9, 3)."),
        ((40, 8, 9, 4), "The data has no alpha channel. Save x[..., :3]."),
        ((40, 3, 9, 3), "shape [40, 3, 9, 3]. Samples of digits have [n, 216] or [n, 8, 9, 3]."),
    ],
)
def test_an_array_in_another_order_is_answered_with_the_line_that_mends_it(
    digits: Dataset, shape: tuple[int, ...], remedy: str
) -> None:
    colour = np.tile(digits.train, (1, 4))[:, :216]
    wide = replace(digits, train=colour, valid=colour, test=colour, shape=(8, 9, 3))
    with pytest.raises(SamplesError) as caught:
        check_samples(np.zeros(shape), wide)
    assert remedy in str(caught.value)


def test_images_of_torch_have_their_channels_first(digits: Dataset) -> None:
    colour = np.tile(digits.train, (1, 4))[:, :216]
    wide = replace(digits, train=colour, valid=colour, test=colour, shape=(8, 9, 3))
    images = np.random.default_rng(0).random((40, 8, 9, 3), np.float32)
    expected = images.reshape(40, -1)
    np.testing.assert_array_equal(check_samples(images, wide), expected)
    np.testing.assert_array_equal(check_samples(np.moveaxis(images, 3, 1), wide), expected)


def test_points_on_the_line_need_no_second_axis() -> None:
    line = load_dataset("gaussian")
    np.testing.assert_array_equal(check_samples(line.train[:30, 0], line), line.train[:30])


def arrays_like(images: np.ndarray) -> dict[str, Any]:
    tensor = torch.from_numpy(images.copy())
    padded = np.zeros((len(images), 128), np.float32)
    padded[:, ::2] = images
    frozen = images.copy()
    frozen.setflags(write=False)
    return {
        "a tensor": tensor,
        "one with a gradient": tensor.clone().requires_grad_(),
        "one that was computed": tensor.clone().requires_grad_() * 1,
        "bfloat16": tensor.bfloat16(),
        "a sparse tensor": tensor.to_sparse(),
        "a list of tensors": list(tensor.requires_grad_()),
        "nested lists": images.tolist(),
        "a tuple of arrays": tuple(images),
        "a frame": pd.DataFrame(images),
        "read-only": frozen,
        "Fortran": np.asfortranarray(images),
        "every other value": padded[:, ::2],
        "negative strides": images[::-1].copy()[::-1],
        "masked, nothing of it": np.ma.masked_less(images, 0),
        "float16": images.astype(np.float16),
        "longdouble": images.astype(np.longdouble),
        "big-endian": images.astype(">f8"),
        "whole": (images * 16).astype(np.uint16),
    }


def test_samples_are_taken_from_whatever_holds_them(digits: Dataset) -> None:
    images = digits.to_float(digits.train[:30])
    for what, samples in arrays_like(images).items():
        found = check_samples(samples, digits)
        assert found.dtype == np.float32, what
        np.testing.assert_array_equal(found, images, err_msg=what)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (None, "samples: found None. Samples are an array of numbers"),
        (7, "samples: found a int, 7."),
        ({"a": 1}, "samples: found a dict, {'a': 1}."),
        ((x for x in ()), "samples: found a generator"),
        ([[1, 2], [3]], "samples: a list that can't be made an array (setting an array element"),
        ([], "samples: shape [0]. Samples of digits have"),
        (np.array([{}] * 30), "samples: dtype object, which isn't numeric."),
        (pd.DataFrame({"a": ["x"] * 30}), "samples: dtype"),
        (np.zeros((30, 64), [("a", "f4")]), "samples: dtype [('a', '<f4')], which isn't numeric."),
        (torch.zeros(30, 64, dtype=torch.complex64), "samples: dtype complex64, which isn't"),
        (torch.zeros(30, 64, device="meta"), "samples: a Tensor that can't be made an array ("),
        (np.ma.masked_equal(np.eye(64), 1), "samples: 64 of 4,096 values are masked."),
        (np.float32(3), "samples: shape []."),
    ],
)
def test_what_holds_no_samples_is_answered(digits: Dataset, samples: Any, message: str) -> None:
    with pytest.raises(SamplesError) as caught:
        check_samples(samples, digits)
    assert str(caught.value).startswith(message)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), magic=st.sampled_from([b"", b"\x93NUMPY\x01\x00"]))
def test_random_bytes_never_give_anything_but_a_samples_error(
    tmp_path_factory: pytest.TempPathFactory, digits: Dataset, content: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.npy"
    path.write_bytes(magic + content)
    with pytest.raises(SamplesError):
        load_samples(path, digits)
