"""The options of the data set `folder`, from a space file or `--set` to what is scored."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gansearch
from gansearch.data.image_options import ImageOptions
from gansearch.data.registry import load_again
from gansearch.errors import SpaceError
from gansearch.space.load import load_space
from gansearch.space.overrides import data_options
from gansearch.space.search_space import SearchSpace
from gansearch.tune.dry_run import plan
from gansearch.tune.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two sizes, some grey, one of them twice."""
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    for i in range(300):
        shape = (8, 8 + i % 2, 3) if i % 3 else (8, 8 + i % 2)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / f"{i:03}.png")
    (root / "copy.png").write_bytes((root / "004.png").read_bytes())
    return root


def test_a_space_keeps_its_options() -> None:
    space = load_space("folder", ["data.image_size=32", "data.channels=1", "data.unreadable=skip"])
    assert space.data == ImageOptions(image_size=32, channels=1, unreadable="skip")
    assert space.to_dict()["data"] == {"image_size": 32, "channels": 1, "unreadable": "skip"}
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert "data: {image_size: 32, channels: 1, unreadable: skip}" in space.describe()
    assert "data" not in load_space("folder").to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.channels=2", "data.channels: found 2. It must be one of 0, 1, 3."),
        ("data.channels=true", "data.channels: found true. It must be one of 0, 1, 3."),
        ("data.image_size=x", "data.image_size: found 'x'. It must be a whole number in"),
        ("data.imagesize=8", "data.imagesize: unknown. Did you mean image_size?"),
        ("data={image_size: 8}", "data: a whole section can't be set."),
        ("image_size=8", "image_size: unknown parameter. Did you mean data.image_size?"),
    ],
)
def test_wrong_options_are_answered_with_the_rule(change: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        load_space("folder", [change])
    assert message in str(caught.value)


def test_other_data_sets_are_refused_options() -> None:
    with pytest.raises(SpaceError, match=r"data set digits: found data\.image_size\. Only the"):
        load_space("digits", ["data.image_size=8"])
    with pytest.raises(SpaceError, match="samples belong to no space"):
        data_options("folder", ["k=3"])


def test_a_plan_reads_the_data_as_the_space_says_and_gives_its_notes(folder: Path) -> None:
    settings = Settings(data_dir=str(folder))
    options = ["data.image_size=8", "data.channels=3"]
    text = plan("folder", overrides=options, settings=settings, only=["dcgan"])
    assert "examples of 8x8x3" in text
    (note,) = [line for line in text.splitlines() if line.startswith("note ")]
    assert note == (
        "note         1 of 241 images to train on are copies of others there. Each counts like any "
        "other image."
    )


def test_samples_are_scored_against_the_data_as_the_options_make_it(folder: Path) -> None:
    samples = np.random.default_rng(0).random((200, 8 * 8), dtype=np.float32)
    options = ["data.image_size=8", "data.channels=1"]
    found = gansearch.evaluate(samples, "folder", data_dir=folder, overrides=options)
    assert found["n_samples"] == 200
    assert found["warnings"][0].startswith("1 of 241 images to train on are copies of others")


def test_images_that_were_moved_are_read_with_the_options(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = folder.rename(tmp_path / "moved")
    monkeypatch.setenv("GANSEARCH_DATA", str(moved))
    dataset, found = load_again("folder", folder, options=ImageOptions(image_size=8, channels=1))
    assert (dataset.shape, found) == ((8, 8, 1), moved)
