import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansearch.data import decoding, image_files, image_folder
from gansearch.data.image_faults import ImageFile, check_files
from gansearch.data.image_options import ImageOptions
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
    assert path.suffix.lower() in decoding.ENDINGS
    np.testing.assert_allclose(
        decoding.decode(path).pixels.astype(int), image, atol=60
    )  # colours run


def read(image: Image.Image, path: Path) -> np.ndarray:
    image.save(path)
    return decoding.decode(path).pixels


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
    found = decoding.decode(tmp_path / "a.png").pixels
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
        f"{tmp_path}: found no images in it or below. Their names must end in "
        f"{', '.join(decoding.ENDINGS)}. Name another folder by --data-dir."
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
        image_files._refuse(error)


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
    remedy = "Create both train/ and test/, or "
    save(draw(150), tmp_path / "a" / "train")
    assert refused(tmp_path / "a") == (
        f"{tmp_path}/a: found train/ but no test/. {remedy}name {tmp_path}/a/train by --data-dir, "
        "whose images are then split at random."
    )
    save(draw(150), tmp_path / "b" / "test")
    save(draw(150), tmp_path / "b" / "more")
    assert refused(tmp_path / "b") == (
        f"{tmp_path}/b: found test/ but no train/. {remedy}put all images into one folder, which "
        "is then split at random."
    )


def test_a_folder_beside_the_splits_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    for name in ("train", "test", "val"):
        save(draw(120), tmp_path / name)
    assert refused(tmp_path) == (
        f"{tmp_path}: found val/ beside train/ and test/. Did you mean valid/? Only train/, valid/ "
        "and test/ are read. Rename it, or move it elsewhere."
    )


def test_all_faults_are_listed_at_once_with_the_choices_that_mend_them(tmp_path: Path) -> None:
    paths = save(draw(300), tmp_path)
    paths[5].write_bytes(b"")
    paths[6].write_bytes(b"no image at all")
    paths[7].write_bytes(paths[7].read_bytes()[:60])
    paths[8].unlink()
    os.mkfifo(paths[8])
    for path in paths[10:13]:
        Image.fromarray(draw(1, size=(9, 4), seed=int(path.stem))[0]).save(path)
    Image.fromarray(draw(1, size=(1, 1))[0]).save(paths[13])
    for path in paths[20:25]:
        Image.fromarray(draw(1, channels=1, seed=int(path.stem))[0, :, :, 0]).save(path)
    head, unreadable, sizes, colours, remedies = refused(tmp_path).split("\n")
    assert head == f"{tmp_path}: the 300 images can't be used as they are."
    assert unreadable.startswith("  4 can't be read: ")
    assert unreadable.endswith(" and 1 more")
    assert sizes.startswith("  sizes: 292 of 6x4 (0")
    assert ", 3 of 9x4 (001" in sizes
    assert sizes.endswith(", 1 of 1x1 (0013.png)")
    assert colours.startswith("  colours: 291 in colour, 5 grey; grey: 002")
    for option in ("data.unreadable=skip", "data.image_size=4", "data.channels=1"):
        assert f"--set {option}" in remedies


def test_the_choices_that_are_named_mend_the_folder(tmp_path: Path) -> None:
    paths = save(draw(300), tmp_path)
    paths[5].write_bytes(b"")
    Image.fromarray(draw(1, size=(9, 12))[0]).save(paths[6])
    Image.fromarray(draw(1, channels=1)[0, :, :, 0]).save(paths[7])
    options = ImageOptions(image_size=5, channels=1, unreadable="skip")
    dataset = load_dataset("folder", tmp_path, options=options)
    assert dataset.shape == (5, 5, 1)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [239, 30, 30]
    left_out, enlarged = dataset.notes
    assert left_out == ("1 of 300 images can't be read and is left out: 0005.png (an empty file).")
    assert enlarged.startswith("299 of 300 images are smaller") is False
    assert " images are smaller than 5 pixels, and are enlarged: " in enlarged


def test_images_are_read_however_many_files_before_them_cannot_be(tmp_path: Path) -> None:
    images = draw(300)
    paths = save(images, tmp_path)
    broken = np.random.default_rng(0).permutation(300)[:60]  # the first ones that are read
    for i in broken:
        paths[i].write_bytes(b"")
    dataset = load_dataset("folder", tmp_path, options=ImageOptions(unreadable="skip"))
    assert dataset.shape == (4, 6, 3)
    assert rows(dataset.train, dataset.valid, dataset.test) == rows(np.delete(images, broken, 0))


def test_resizing_keeps_the_centre_and_the_proportions() -> None:
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 4:8] = 255
    assert (ImageOptions(image_size=4).apply(image) == 255).all()


def test_other_data_sets_take_no_options() -> None:
    with pytest.raises(DataError, match=r"^data set digits: found data\.image_size\. Only"):
        load_dataset("digits", options=ImageOptions(image_size=4))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.png", "an empty file"),
        ("text.png", "no image of a known format"),
        ("pipe.png", "not a file"),
        ("gone.png", "No such file or directory"),
        ("short.png", "image file is truncated"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, reason: str) -> None:
    path = save(draw(1), tmp_path)[0].rename(tmp_path / name)
    if name == "empty.png":
        path.write_bytes(b"")
    if name == "text.png":
        path.write_text("text")
    if name == "short.png":
        path.write_bytes(path.read_bytes()[:60])
    if name in ("pipe.png", "gone.png"):
        path.unlink()
    if name == "pipe.png":
        os.mkfifo(path)
    with pytest.raises(decoding.UnreadableImageError, match=reason):
        decoding.decode(path)


def test_names_of_any_bytes_are_shown_and_many_faults_stay_short(tmp_path: Path) -> None:
    save(draw(300), tmp_path)
    for i in range(200):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n%d.png" % i)).write_bytes(b"")
    message = refused(tmp_path)
    assert message.encode().isascii()
    assert len(message.splitlines()) == 3
    assert len(message) < 1000
    assert "\\udcff\\n" in message


@pytest.mark.parametrize(("dtype", "mode"), [(np.float32, "F"), (np.int32, "I")])
def test_more_than_sixteen_bits_are_refused_with_the_way_to_eight(
    tmp_path: Path, dtype: type, mode: str
) -> None:
    save(draw(300), tmp_path)
    Image.fromarray(np.zeros((4, 6), dtype)).save(tmp_path / "deep.tif")
    message = refused(tmp_path)
    assert f"  1 can't be read: deep.tif (more than 16 bits a pixel, mode {mode})\n" in message
    assert message.endswith("mogrify -depth 8 FILES.")


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_sixteen_bits_become_eight_by_their_full_range(tmp_path: Path, ending: str) -> None:
    deep = np.uint16([[0, 128, 129], [257, 32896, 65535]])
    Image.fromarray(deep).save(tmp_path / f"x.{ending}")
    image = decoding.decode(tmp_path / f"x.{ending}")
    assert image.kind == "grey" and image.is_deep
    assert image.pixels[..., 0].tolist() == [[0, 0, 1], [1, 128, 255]]


def test_a_folder_of_sixteen_bits_is_read_and_that_is_said(tmp_path: Path) -> None:
    save(draw(299, channels=1), tmp_path)
    Image.fromarray(np.full((4, 6), 40000, np.uint16)).save(tmp_path / "deep.png")
    dataset = load_dataset("folder", tmp_path)
    assert dataset.shape == (4, 6, 1)
    assert (
        "1 of 300 images has 16 bits a pixel, which are reduced to 8: 65,535 is white: deep.png."
    ) in dataset.notes


def test_transparent_pixels_of_sixteen_bits_are_white(tmp_path: Path) -> None:
    deep = Image.fromarray(np.uint16([[0, 500, 65535]]))
    deep.save(tmp_path / "x.png", transparency=500)
    assert decoding.decode(tmp_path / "x.png").pixels.ravel().tolist() == [0, 255, 255]


def test_grey_with_alpha_of_sixteen_bits_is_read_as_grey_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 4, 0, 0, 0), (bytes(9),)))
    image = decoding.decode(path)
    assert image.kind == "grey" and image.is_deep
    assert image.pixels.ravel().tolist() == [255, 255]  # transparent


def test_images_may_be_padded_with_white_to_a_square(tmp_path: Path) -> None:
    dark = np.zeros((300, 4, 8, 3), np.uint8)
    dark[:, 0, 0, 0] = np.arange(300) % 256
    dark[:, 1, 1, 0] = np.arange(300) // 256
    save(dark, tmp_path)
    dataset = load_dataset("folder", tmp_path, options=ImageOptions(image_size=8, fit="pad"))
    images = dataset.train.reshape(-1, 8, 8, 3)
    assert (images[:, :2] == 255).all() and (images[:, 6:] == 255).all()
    assert (images[:, 4:6] == 0).all()
    with pytest.raises(DataError, match=r"^data\.fit: pad has no effect without a size\."):
        load_dataset("folder", tmp_path, options=ImageOptions(fit="pad"))


def png(kind: bytes, header: bytes, rows: tuple[bytes, ...], *extra: bytes) -> bytes:
    """A PNG file with chunks between its header and its pixels."""
    parts = [chunk(kind, header), *extra, chunk(b"IDAT", zlib.compress(b"".join(rows)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    found = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", found)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"eXIf", b"garbage!"),
        chunk(b"tEXt", b"Title\0x", checksum=0),
        chunk(b"iCCP", b"name\0\0garbage"),
        chunk(b"zTXt", b"name\0\0garbage"),
    ],
)
def test_a_png_with_damaged_metadata_keeps_its_pixels(tmp_path: Path, extra: bytes) -> None:
    path = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)
    path.write_bytes(png(b"IHDR", header, (b"\0\x07\x09",), extra))
    assert decoding.decode(path).pixels.tolist() == [[[7], [9]]]


@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
def test_images_with_broken_exif_data_are_read_and_said(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(draw(1)[0]).save(path, exif=b"Exif\0\0garbage!")
    image = decoding.decode(path)
    assert image.pixels.shape == (4, 6, 3)
    assert image.lost_metadata == (ending != "jpg")  # Pillow itself passes over a JPEG's


@pytest.mark.parametrize("ending", ["png", "gif", "bmp"])
def test_grey_images_of_any_storage_have_one_channel(tmp_path: Path, ending: str) -> None:
    images = draw(300, channels=1)
    for i, image in enumerate(images):
        grey = Image.fromarray(image[:, :, 0])
        # What a palette holds besides the colours that are used does not count.
        stored = grey.convert("RGB").quantize(256) if i % 2 else grey.convert("RGB")
        stored.save(tmp_path / f"{i:04}.{ending}")
    dataset = load_dataset("folder", tmp_path)
    assert dataset.shape == (4, 6, 1)
    assert rows(dataset.train, dataset.valid, dataset.test) == rows(images)
    assert "one channel is used" in dataset.notes[0]
    in_colour = load_dataset("folder", tmp_path, options=ImageOptions(channels=3))
    assert in_colour.shape == (4, 6, 3)


def test_a_photograph_without_colours_among_others_is_one_in_colour(tmp_path: Path) -> None:
    paths = save(draw(300), tmp_path)
    Image.fromarray(draw(1, channels=1)[0, :, :, 0]).convert("RGB").save(paths[4])
    dataset = load_dataset("folder", tmp_path)
    assert dataset.shape == (4, 6, 3)
    assert not dataset.notes


def test_the_first_frame_is_used_and_said(tmp_path: Path) -> None:
    save(draw(300), tmp_path)
    frames = [Image.fromarray(draw(1, seed=seed)[0]) for seed in (1, 2)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    dataset = load_dataset("folder", tmp_path)
    assert dataset.notes == (
        "1 of 301 images has several frames or pages: the first is used: a.tif.",
    )


def test_files_that_are_images_but_not_read_are_said(tmp_path: Path) -> None:
    paths = save(draw(302), tmp_path)
    paths[0].rename(tmp_path / "a.png.")
    paths[1].rename(tmp_path / "b")
    (tmp_path / "c.HEIC").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("a,b\n")
    (note,) = load_dataset("folder", tmp_path).notes
    assert note.startswith(
        "Images that are not read, by their endings: 2 without an ending, 1 .heic. Convert them,"
    )


def test_jfif_is_read(tmp_path: Path) -> None:
    for path in save(draw(300, size=(8, 8)), tmp_path, "jpg"):
        path.rename(path.with_suffix(".jfif"))
    assert len(load_dataset("folder", tmp_path).train) == 240


# Identical images


def test_copies_stay_on_one_side_of_a_random_split(tmp_path: Path) -> None:
    images = draw(300)
    for i, name in enumerate(("a", "b", "c")):
        save(images, tmp_path / name, ("png", "bmp", "tif")[i])
    dataset = load_dataset("folder", tmp_path)
    splits = [set(rows(part)) for part in (dataset.train, dataset.valid, dataset.test)]
    assert [len(split) for split in splits] == [240, 30, 30]
    assert len(set.union(*splits)) == 300
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [720, 90, 90]
    assert dataset.notes == (
        "480 of 720 images to train on, 60 of 90 images to validate on, 60 of 90 images to test "
        "on are copies of others there. Each counts like any other image.",
    )


def test_copies_stay_on_one_side_where_only_the_validation_set_is_drawn(tmp_path: Path) -> None:
    images = draw(250)
    save(np.concatenate([images, images]), tmp_path / "train")
    save(draw(30, seed=1), tmp_path / "test")
    dataset = load_dataset("folder", tmp_path)
    train, valid = set(rows(dataset.train)), set(rows(dataset.valid))
    assert (len(train), len(valid), train & valid) == (225, 25, set())


def test_an_image_with_many_copies_is_trained_on_and_the_held_out_sets_keep_their_size(
    tmp_path: Path,
) -> None:
    images = draw(400)
    images[np.random.default_rng(1).permutation(400)[:150]] = 7
    save(images, tmp_path)
    dataset = load_dataset("folder", tmp_path)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [320, 40, 40]
    assert (dataset.train == 7).all(axis=1).sum() == 150


def test_a_few_distinct_images_in_many_files_are_too_few(tmp_path: Path) -> None:
    save(draw(3)[np.arange(300) % 3], tmp_path)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}: found ")
    assert " distinct images to train on, of 3 in 300 files, the others being copies. " in message


@pytest.mark.parametrize(("source", "target"), [("train", "test"), ("train", "valid")])
@pytest.mark.parametrize("how", ["copied", "linked", "hard linked", "another format"])
def test_copies_in_another_split_are_refused_with_their_names(
    tmp_path: Path, source: str, target: str, how: str
) -> None:
    folders = {}
    for seed, name in enumerate(("train", "valid", "test")):
        folders[name] = save(draw(120, seed=seed), tmp_path / name)
    for i in range(5):
        path, copy = folders[source][i], tmp_path / target / f"copy{i}.png"
        if how == "copied":
            copy.write_bytes(path.read_bytes())
        elif how == "linked":
            copy.symlink_to(path)
        elif how == "hard linked":
            copy.hardlink_to(path)
        else:
            Image.open(path).save(copy.with_suffix(".bmp"))
    purpose = {"valid": "validate on", "test": "test on"}[target]
    message = refused(tmp_path)
    assert message.startswith(
        f"{tmp_path}: 5 of 125 images to {purpose} are also images to train on ({target}/copy"
    )
    assert f" = {source}/000" in message
    assert "Remove them from one of the two" in message


def test_a_few_copies_in_another_split_are_said(tmp_path: Path) -> None:
    train = draw(220)
    save(train, tmp_path / "train")
    save(np.concatenate([train[:1], draw(149, seed=1)]), tmp_path / "test")
    (note,) = load_dataset("folder", tmp_path).notes
    assert note == (
        "1 of 150 images to test on is also an image to train on (test/0000.png = train/0000.png). "
        "Scores slightly reward generators that copy them."
    )


def test_images_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    save(np.repeat(draw(1), 300, axis=0), tmp_path)
    assert " distinct image to train on, of 1 in 300 files" in refused(tmp_path)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_black_images_to_be_scored_by_are_refused(tmp_path: Path, split: str) -> None:
    for seed, name in enumerate(("train", "valid", "test")):
        images = draw(120, seed=seed)
        save(images * 0 if name == split else images, tmp_path / name)
    purpose = {"valid": "validate on", "test": "test on"}[split]
    assert refused(tmp_path).startswith(f"{tmp_path}: found 1 distinct image to {purpose}, of ")


def test_images_of_one_colour_each_are_refused(tmp_path: Path) -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1)
    save(np.broadcast_to(greys, (256, 4, 6, 3)), tmp_path)
    where = f"{tmp_path}: images to train on"
    assert refused(tmp_path).startswith(f"{where}: each of the 204 images has a single value. ")


def test_more_images_than_memory_can_hold_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(draw(300), tmp_path)
    monkeypatch.setattr(image_folder, "limit_bytes", lambda: 4 * 300 * 72)
    assert len(load_dataset("folder", tmp_path).train) == 240
    monkeypatch.setattr(image_folder, "limit_bytes", lambda: 4 * 300 * 72 - 4)
    assert refused(tmp_path) == (
        f"{tmp_path}: 300 images of 6x4 need 0.0 GiB. The limit is 25% of the memory here, 0.0 "
        "GiB, since all are held in memory. Make them smaller, such as by --set "
        "data.image_size=64, or use fewer."
    )


def test_leaving_out_is_no_remedy_where_no_file_can_be_read(tmp_path: Path) -> None:
    for i in range(150):
        (tmp_path / f"{i}.png").write_bytes(b"junk")
    assert refused(tmp_path).endswith("\nReplace or remove what can't be read.")


def test_the_size_that_is_suggested_is_one_that_the_option_takes(tmp_path: Path) -> None:
    files = [ImageFile(tmp_path / f"{side}.png", size=(side, side)) for side in (5000, 6000)]
    with pytest.raises(DataError, match=r"choose --set data\.image_size=4096, which"):
        check_files(tmp_path, files, ImageOptions())
