from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.data.dataset import Dataset
from gansearch.errors import SamplesError
from gansearch.scoring.samples import load_samples


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
