import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansearch.data import image_folder
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError


def draw(n: int, *, size: tuple[int, int] = (6, 4), channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random images `[n, height, width, channels]`; `size` is width and height."""
    width, height = size
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def save(images: np.ndarray, folder: Path, ending: str = "png") -> list[Path]:
    """Write images as 0000.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04}.{ending}" for i in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).save(path)
    return paths


def rows(*splits: np.ndarray) -> list[bytes]:
    """The images of some splits, in an order that does not depend on theirs."""
    return sorted(bytes(row) for split in splits for row in split.reshape(len(split), -1))


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset("folder", folder)
    return str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_without_splits_is_split_at_random(tmp_path: Path, channels: int) -> None:
    images = draw(300, channels=channels)
    save(images, tmp_path)
    dataset = load_dataset("folder", tmp_path)
    splits = (dataset.train, dataset.valid, dataset.test)
    assert [len(split) for split in splits] == [240, 30, 30]
    assert rows(*splits) == rows(images)
    assert dataset.shape == (4, 6, channels)
    assert dataset.dim == 24 * channels
    for split in splits:
        assert split.dtype == np.uint8
        assert split.flags.c_contiguous
    assert dataset.is_bounded
    assert dataset.scale == 255


def test_the_split_is_the_same_every_time_and_not_by_name(tmp_path: Path) -> None:
    images = draw(300)
    save(images, tmp_path)
    first, second = load_dataset("folder", tmp_path), load_dataset("folder", tmp_path)
    np.testing.assert_array_equal(first.train, second.train)
    np.testing.assert_array_equal(first.test, second.test)
    assert rows(first.test) != rows(images[:30])


def test_the_folders_train_valid_and_test_are_the_splits(tmp_path: Path) -> None:
    images = draw(160)
    save(images[:100], tmp_path / "train")
    save(images[100:120], tmp_path / "valid")
    save(images[120:], tmp_path / "test")
    dataset = load_dataset("folder", tmp_path)
    assert rows(dataset.train) == rows(images[:100])
    assert rows(dataset.valid) == rows(images[100:120])
    assert rows(dataset.test) == rows(images[120:])


def test_without_valid_a_tenth_of_train_validates(tmp_path: Path) -> None:
    images = draw(250)
    save(images[:200], tmp_path / "train")
    save(images[200:], tmp_path / "test")
    dataset = load_dataset("folder", tmp_path)
    assert len(dataset.valid) == 20
    assert rows(dataset.train, dataset.valid) == rows(images[:200])
    assert rows(dataset.test) == rows(images[200:])


def test_class_folders_are_walked_and_mixed(tmp_path: Path) -> None:
    cats, dogs = draw(150), draw(150, seed=1)
    save(cats, tmp_path / "cats")
    save(dogs, tmp_path / "dogs" / "small")
    dataset = load_dataset("folder", tmp_path)
    assert rows(dataset.train, dataset.valid, dataset.test) == rows(cats, dogs)
    first = set(map(bytes, dataset.train[:20]))
    assert first & set(rows(cats))
    assert first & set(rows(dogs))


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    images = draw(300)
    save(images, tmp_path)
    (tmp_path / "labels.csv").write_text("0000.png,cat\n")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".thumbnails").mkdir()
    dataset = load_dataset("folder", tmp_path)
    assert rows(dataset.train, dataset.valid, dataset.test) == rows(images)


def test_links_to_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    save(draw(300), tmp_path / "elsewhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "class").symlink_to(tmp_path / "elsewhere")
    assert len(load_dataset("folder", tmp_path / "data").train) == 240


@pytest.mark.parametrize(("link", "target"), [("cats/all", "."), ("same", "cats")])
def test_a_link_to_a_folder_that_is_walked_anyway_is_refused(
    tmp_path: Path, link: str, target: str
) -> None:
    save(draw(300), tmp_path / "cats")
    (tmp_path / link).symlink_to(tmp_path / target)
    first = tmp_path / target
    assert refused(tmp_path) == (
        f"{tmp_path}/{link}: the same folder as {first}, by a link. Each image must occur once. "
        "Remove one of the two."
    )


def test_a_test_folder_that_is_a_link_to_that_of_training_is_refused(tmp_path: Path) -> None:
    save(draw(300), tmp_path / "train")
    (tmp_path / "test").symlink_to(tmp_path / "train")
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}/test: the same folder as {tmp_path}/train, by a link.")


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "gif", "tif", "PPM", "jpg", "JPEG"])
def test_the_usual_formats_are_read(tmp_path: Path, ending: str) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = [250, 20, 20]
    path = tmp_path / f"a.{ending}"
    Image.fromarray(image).save(path)
    assert image_folder._is_image(path.name)
    np.testing.assert_allclose(image_folder._read(path).astype(int), image, atol=60)  # colours run


def read(image: Image.Image, path: Path) -> np.ndarray:
    image.save(path)
    return image_folder._read(path)


def test_each_colour_mode_becomes_grey_or_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    grey = Image.fromarray(draw(1, channels=1)[0, :, :, 0])
    colour = Image.fromarray(draw(1)[0])
    np.testing.assert_array_equal(read(grey, path)[:, :, 0], np.asarray(grey))
    np.testing.assert_array_equal(read(colour, path), np.asarray(colour))
    black_and_white = grey.point(lambda value: 255 * (value > 100)).convert("1")
    np.testing.assert_array_equal(
        read(black_and_white, path)[:, :, 0], 255 * np.asarray(black_and_white)
    )
    palette = colour.quantize(8)
    np.testing.assert_array_equal(read(palette, path), np.asarray(palette.convert("RGB")))
    cmyk = read(colour.convert("CMYK"), tmp_path / "a.tif")
    np.testing.assert_allclose(cmyk, np.asarray(colour), atol=1)


def test_what_is_transparent_is_seen_on_white(tmp_path: Path) -> None:
    pixels = np.full((2, 3, 4), [200, 100, 0, 255], np.uint8)
    pixels[:, 0, 3] = 0
    pixels[:, 1, 3] = 51  # a fifth opaque
    found = read(Image.fromarray(pixels), tmp_path / "a.png")
    assert found[0].tolist() == [[255, 255, 255], [244, 224, 204], [200, 100, 0]]
    grey = read(Image.fromarray(pixels[:, :, [0, 3]], "LA"), tmp_path / "b.png")
    assert grey[0].tolist() == [[255], [244], [200]]


def test_a_photograph_is_turned_the_way_the_camera_was_held(tmp_path: Path) -> None:
    image = Image.fromarray(draw(1, size=(6, 4))[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    found = image_folder._read(tmp_path / "a.png")
    np.testing.assert_array_equal(found, np.rot90(np.asarray(image), -1))


# Faults


def test_without_a_folder_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    with pytest.raises(DataError) as caught:
        load_dataset("folder")
    message = "data set folder: no folder is given. Name the folder of images by --data-dir."
    assert str(caught.value) == message


def test_an_absent_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    remedy = "Name a folder of images by --data-dir."
    assert refused(tmp_path / "x") == f"data set folder: {tmp_path}/x does not exist. {remedy}"
    (tmp_path / "y").write_text("")
    assert refused(tmp_path / "y") == f"data set folder: {tmp_path}/y is not a folder. {remedy}"


def test_a_folder_without_images_is_answered_with_the_known_endings(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no image")
    (tmp_path / "deeper").mkdir()
    assert refused(tmp_path) == (
        f"{tmp_path}: found no images in it or below. Their names must end in .bmp, .gif, "
        ".jpeg, .jpg, .pbm, .pgm, .png, .pnm, .ppm, .tif, .tiff, .webp. Name another folder by "
        "--data-dir."
    )


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    save(draw(300), tmp_path / "cats")
    (tmp_path / "dogs").mkdir()
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}/dogs: found no images. ")
    assert message.endswith("Add images, or remove the folder.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_folder_that_may_not_be_opened_is_named(tmp_path: Path) -> None:
    save(draw(300), tmp_path)
    (tmp_path / "secret").mkdir(mode=0)
    assert refused(tmp_path).startswith(f"{tmp_path}/secret: Permission denied.")


def test_a_folder_that_cannot_be_walked_is_named(tmp_path: Path) -> None:
    error = OSError(13, "Permission denied", f"{tmp_path}/secret")
    with pytest.raises(DataError, match=rf"^{tmp_path}/secret: Permission denied\. Images can't"):
        image_folder._refuse(error)


def test_too_few_images_are_counted(tmp_path: Path) -> None:
    save(draw(80), tmp_path)
    assert refused(tmp_path) == (
        f"{tmp_path}: found 64 images to train on, of 80. There must be at least 100. Add images."
    )
    save(draw(150), tmp_path)
    assert refused(tmp_path) == (
        f"{tmp_path}: found 15 images to validate on, of 150. There must be at least 20. Add "
        "images."
    )


def test_train_without_test_is_refused_and_so_is_test_without_train(tmp_path: Path) -> None:
    remedy = (
        "Create both train/ and test/, or put all images into one folder, which is then split at "
        "random."
    )
    save(draw(150), tmp_path / "a" / "train")
    assert refused(tmp_path / "a") == f"{tmp_path}/a: found train/ but no test/. {remedy}"
    save(draw(150), tmp_path / "b" / "test")
    assert refused(tmp_path / "b") == f"{tmp_path}/b: found test/ but no train/. {remedy}"


def test_a_folder_beside_the_splits_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    for name in ("train", "test", "val"):
        save(draw(120), tmp_path / name)
    assert refused(tmp_path) == (
        f"{tmp_path}: found val/ beside train/ and test/. Only train/, valid/ and test/ are read. "
        "Rename it, or move it elsewhere."
    )


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = save(draw(300), tmp_path)[123]
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    message = refused(tmp_path)
    assert message.startswith(f"{path}: can't be read as an image (")
    assert message.endswith("). Replace or remove it.")


def test_two_files_of_different_sizes_are_named(tmp_path: Path) -> None:
    paths = save(draw(300), tmp_path)
    Image.fromarray(draw(1, size=(7, 4))[0]).save(paths[123])
    message = refused(tmp_path)
    sizes = {f"{paths[123]}: 7x4, where ", f"{paths[123]} is 7x4. "}
    assert sum(words in message for words in sizes) == 1
    assert "6x4" in message
    assert message.endswith(
        "All must have the same size: crop or resize them, for example with ImageMagick: "
        "mogrify -resize 6x4! FILES."
    )


def test_two_files_of_grey_and_colour_are_named(tmp_path: Path) -> None:
    paths = save(draw(300), tmp_path)
    Image.fromarray(draw(1, channels=1)[0, :, :, 0]).save(paths[123])
    message = refused(tmp_path)
    assert message.startswith(f"{paths[123]}: grey, where {tmp_path}/")
    assert message.endswith(
        ".png is colour. All must be the same: convert them, for example with ImageMagick: "
        "mogrify -colorspace Gray FILES."
    )


@pytest.mark.parametrize(("dtype", "mode"), [(np.uint16, "I;16"), (np.float32, "F")])
def test_sixteen_bits_are_refused_with_the_way_to_eight(
    tmp_path: Path, dtype: type, mode: str
) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.zeros((4, 6), dtype)).save(path)
    with pytest.raises(DataError) as caught:
        image_folder._read(path)
    assert str(caught.value) == (
        f"{path}: found mode {mode}, with more than 8 bits a channel. Convert all images to "
        "8 bits, "
        "for example with ImageMagick: mogrify -depth 8 FILES."
    )


def test_images_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    save(np.repeat(draw(1), 300, axis=0), tmp_path)
    assert refused(tmp_path) == (
        f"{tmp_path}: all 240 images are identical. There is nothing to learn from them. Use "
        "other images."
    )


@pytest.mark.parametrize("split", ["valid", "test"])
def test_black_images_to_be_scored_by_are_refused(tmp_path: Path, split: str) -> None:
    for name in ("train", "valid", "test"):
        images = draw(120)
        save(images * 0 if name == split else images, tmp_path / name)
    purpose = {"valid": "validate on", "test": "test on"}[split]
    assert refused(tmp_path) == (
        f"{tmp_path}/{split}: images to {purpose}: all 120 images are identical. A score would be "
        "meaningless. Use other images."
    )


def test_images_that_chance_has_made_all_alike_in_a_split_are_refused(tmp_path: Path) -> None:
    images = draw(300)
    images[np.random.default_rng(0).permutation(300)[:30]] = 0
    save(images, tmp_path)
    assert refused(tmp_path).startswith(f"{tmp_path}: images to test on: all 30 images are ")


def test_images_of_one_colour_each_are_refused(tmp_path: Path) -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1)
    save(np.broadcast_to(greys, (256, 4, 6, 3)), tmp_path)
    assert refused(tmp_path).startswith(f"{tmp_path}: each of the 204 images has a single value. ")


def test_more_images_than_memory_can_hold_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(draw(300), tmp_path)
    monkeypatch.setattr(image_folder, "limit_bytes", lambda: 4 * 300 * 72)
    assert len(load_dataset("folder", tmp_path).train) == 240
    monkeypatch.setattr(image_folder, "limit_bytes", lambda: 4 * 300 * 72 - 4)
    assert refused(tmp_path) == (
        f"{tmp_path}: 300 images of 6x4 need 0.0 GiB. The limit is 25% of the memory here, 0.0 "
        "GiB, since all are held in memory. Make them smaller, or use fewer."
    )
