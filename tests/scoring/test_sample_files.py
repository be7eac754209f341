"""Samples from archives, tensors and folders of images are those of the array itself."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.errors import SamplesError
from gansearch.scoring.samples import check_samples, load_samples

LEVELS = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def colour(digits: Dataset) -> Dataset:
    wide = np.tile(digits.train, (1, 3))
    return replace(digits, train=wide, valid=wide, test=wide, shape=(8, 8, 3))


def refused(path: Path, dataset: Dataset) -> str:
    with pytest.raises(SamplesError) as caught:
        load_samples(path, dataset)
    return str(caught.value)


def write(path: Path, content: Any) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **content) if isinstance(content, dict) else np.savez(path, content)
    elif path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path


def test_archives_and_tensors_hold_the_samples_alone_or_by_their_name(tmp_path, colour):
    images = LEVELS.astype(np.float32) / 255
    expected = check_samples(images, colour)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    for i, (name, content) in enumerate(
        [
            ("x.npz", images),
            ("x.npz", {"anything": images}),
            ("x.npz", {"samples": images, "steps": np.arange(3)}),
            ("x.npz", {"arr_0": images, "arr_1": np.arange(3)}),  # images and labels of others
            ("x.pt", tensor),
            ("x.pth", tensor.requires_grad_()),
            ("x.pt", {"samples": tensor.detach(), "step": 5}),
            ("x.pt", list(tensor.detach())),
            ("x.safetensors", {"x": tensor.detach()}),
        ]
    ):
        (tmp_path / str(i)).mkdir()
        path = write(tmp_path / str(i) / name, content)
        np.testing.assert_array_equal(load_samples(path, colour), expected)


def save_images(folder: Path, images: np.ndarray) -> Path:
    for i, image in enumerate(images):
        below = folder / f"class{i % 2}"
        below.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(below / f"{i:03}.png")
    return folder


def test_a_folder_of_images_is_read_on_the_scale_of_its_data(tmp_path, digits, colour):
    found = load_samples(save_images(tmp_path / "colour", LEVELS), colour)
    order = [*range(0, 30, 2), *range(1, 30, 2)]
    np.testing.assert_allclose(found, LEVELS[order].reshape(30, -1) / np.float32(255), rtol=1e-6)
    grey = save_images(tmp_path / "grey", LEVELS[..., 0])
    found = load_samples(grey, digits)  # whose white is 16
    np.testing.assert_allclose(found, LEVELS[order, ..., 0].reshape(30, -1) / 255, rtol=1e-6)
    assert (np.ptp(load_samples(grey, colour).reshape(30, 64, 3), axis=2) == 0).all()


def test_a_folder_whose_images_do_not_fit_is_answered_with_all_that_is_wrong(
    tmp_path, digits, ring
):
    folder = save_images(tmp_path / "x", LEVELS)
    Image.fromarray(LEVELS[0, :5]).save(folder / "small.png")
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    message = refused(folder, digits)
    assert "of 32 images 1 can't be read: torn.png (" in message
    assert "1 aren't of 8x8 pixels: small.png" in message
    assert "31 are in colour: class0/000.png" in message
    assert "Samples of digits are grey images of 8x8 pixels." in message
    assert "a folder, of images. ring has vectors of 2." in refused(folder, ring)


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch evil",)


def test_files_that_hold_no_samples_are_refused_and_run_no_code(tmp_path, digits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    two = {"a": LEVELS, "b": LEVELS}
    assert "holds a, b. The samples must be the only array" in refused(
        write(tmp_path / "two.npz", two), digits
    )
    objects = write(tmp_path / "objects.npz", {"samples": np.array([None, 1], object)})
    assert "it holds Python objects, which aren't read" in refused(objects, digits)
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    torch.save(Evil(), tmp_path / "evil2.pt")
    for name in ("evil.pt", "evil2.pt"):
        assert "can't be read as tensors alone" in refused(tmp_path / name, digits)
    assert not (tmp_path / "evil").exists()
    for name in ("text.npz", "text.pt", "text.safetensors"):
        (tmp_path / name).write_text("hello")
        assert refused(tmp_path / name, digits).startswith(f"{tmp_path / name}: ")
    assert refused(tmp_path / "no.npz", digits).endswith("or a folder of images such as PNG files.")
    assert "holds nothing" in refused(write(tmp_path / "none.pt", {}), digits)
