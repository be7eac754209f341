"""Strips: samples of the same noise over a training, their axis, and their layout in the file."""

import json

import numpy as np
import pytest
from PIL import Image

from gansearch.figures.samples import png
from gansearch.figures.strip_layout import StripLayout, strip_layout
from gansearch.figures.strips import points_overview, strip, strip_size
from gansearch.figures.style import short_count
from gansearch.figures.tiles import with_axis
from tests.figures.pictures import BLUE, GREY, dataset, images, opened, pixels_of, points

RING = points([[0, 1], [1, 0], [0, -1], [-1, 0]])


def bluest(panel):
    """Where a panel `[h, w, 3]` is bluer than grey, `[n, 2]`."""
    return np.argwhere(panel[..., 2].astype(int) - panel[..., 0] > 60)


def in_frames(content):
    """The pixels of each frame of a strip's file."""
    picture, layout = np.asarray(opened(content)), strip_layout(content)
    assert layout.size == picture.shape[1::-1]
    return [picture[top : top + h, left : left + w] for left, top, w, h in layout.frames]


def test_a_strip_runs_from_the_first_evaluation_to_the_last_a_row_a_noise():
    evaluations = [np.stack([np.full(64, t / 5), np.full(64, 1 - t / 5)]) for t in range(6)]
    picture = np.asarray(strip(evaluations, range(6), dataset()))
    for t in range(6):
        left = 2 + t * 50
        assert np.unique(picture[2:50, left : left + 48]).tolist() == [51 * t]
        assert np.unique(picture[52:100, left : left + 48]).tolist() == [255 - 51 * t]


def test_a_long_strip_shows_twenty_evaluations_the_first_and_the_last_among_them():
    evaluations = [np.full((1, 64), t / 999) for t in range(1000)]
    picture = strip(evaluations, range(100, 100_100, 100), dataset())
    assert picture.width == 20 * 50 + 2
    assert np.asarray(picture)[20, 20, 0] == 0
    assert np.asarray(picture)[20, -20, 0] == 255
    layout = strip_layout(png(picture))
    assert (layout.updates[0], layout.updates[-1], len(layout.updates)) == (100, 100_000, 20)


def test_the_file_says_where_each_evaluation_stands():
    evaluations = [np.repeat(images(8)[t : t + 1], 3, axis=0) for t in range(8)]
    content = png(strip(evaluations, range(50, 450, 50), dataset()))
    assert strip_layout(content).updates == tuple(range(50, 450, 50))
    frames = in_frames(content)
    for t, frame in enumerate(frames):
        assert frame.shape == (3 * 50 - 2, 48, 3)
        assert set(np.unique(frame)) == {round(t / 7 * 255), 255}  # and what is between the rows


def test_every_evaluation_of_points_has_a_panel_in_which_they_stand_where_they_are():
    centres = np.stack([np.linspace(-1, 1, 20), np.zeros(20)], axis=1)
    evaluations = [np.repeat(centre[None], 300, axis=0) for centre in centres]
    content = png(strip(evaluations, range(1, 21), RING))
    frames = in_frames(content)
    assert [frame.shape for frame in frames] == [(144, 144, 3)] * 20
    # The frame is the training data's box, widened by a fifth of its size on every side.
    low, high = RING.train[:, 0].min(), RING.train[:, 0].max()
    for (x, _), frame in zip(centres, frames, strict=True):
        share = (x - (low - 0.2 * (high - low))) / (1.4 * (high - low))
        np.testing.assert_allclose(bluest(frame).mean(axis=0), [72, 144 * share], atol=2)
    assert opened(content).width < 1200


def test_dense_places_are_darker_than_single_points():
    evaluation = np.concatenate([np.zeros((200, 2)), [[0.5, 0.5]]])
    (frame,) = in_frames(png(strip([evaluation], [1], RING)))
    assert (frame[72, 72] == BLUE).all()
    found = bluest(frame)
    alone = found[(np.abs(found - 72) > 10).all(axis=1)]
    assert len(alone) == 9
    assert (frame[tuple(alone.T)][:, 0] > 100).all()


def test_points_on_a_line_are_densities_over_that_of_the_training_points():
    line = points([[0.0]], sd=1.0)
    rng = np.random.default_rng(0)
    evaluations = [rng.normal(mean, 1, (400, 1)) for mean in (-1, 1)]
    first, last = in_frames(png(strip(evaluations, [1, 2], line)))
    assert bluest(first)[:, 1].mean() < bluest(last)[:, 1].mean() - 15
    # All in one place: a bar of the panel's whole height.
    (peak,) = in_frames(png(strip([np.zeros((400, 1))], [1], line)))
    assert np.ptp(bluest(peak)[:, 0]) > 140
    assert np.ptp(bluest(peak)[:, 1]) < 6


@pytest.mark.parametrize(("pitch", "labelled"), [(60, [0, 1, 2, 3, 4, 5]), (30, [1, 3, 5])])
def test_as_many_ticks_have_labels_as_fit_the_last_always_among_them(pitch, labelled):
    centres = [pitch * (i + 0.5) for i in range(6)]
    blank = np.full((10, 6 * pitch, 3), 255, np.uint8)
    picture = with_axis(blank, centres, ["00000"] * 6)
    assert (picture[10:13, [int(x) for x in centres]] == GREY).all()
    ink = np.flatnonzero((picture[14:, :, 0] < 128).any(axis=0))
    groups = np.split(ink, np.flatnonzero(np.diff(ink) > 6) + 1)
    assert [round(group.mean() / pitch - 0.5) for group in groups] == labelled


@pytest.mark.parametrize(
    ("n", "text"),
    [
        *((0, "0"), (500, "500"), (999, "999"), (1000, "1k"), (1500, "1.5k"), (12_345, "12.3k")),
        *((100_000, "100k"), (999_999, "1M"), (2_000_000, "2M")),
    ],
)
def test_updates_are_written_in_three_digits(n, text):
    assert short_count(n) == text


@pytest.mark.parametrize(("d", "n"), [(1, 400), (2, 400), (64, 400), (1000, 32), (10**6, 8)])
def test_a_strip_keeps_hundreds_of_points_where_they_are_small(d, n):
    assert strip_size(points(np.zeros((1, d)), n=2)) == n
    assert strip_size(dataset()) == 8


def test_one_panel_shows_points_over_the_training_points():
    overview = points_overview(np.array([[0.0, 1.0]] * 50), RING)
    assert overview.width == 364
    found = pixels_of(overview, BLUE)
    low, high = RING.train[:, 1].min(), RING.train[:, 1].max()
    share = (high + 0.2 * (high - low) - 1) / (1.4 * (high - low))
    np.testing.assert_allclose(found.mean(axis=0), [2 + 360 * share, 2 + 180], atol=2)


def with_text(text):
    """A picture of 10 by 10 pixels whose file carries a text of this kind."""
    picture = Image.new("RGB", (10, 10))
    picture.info["gansearch"] = text
    return png(picture)


LAYOUT = {"updates": [5], "frames": [[0, 0, 10, 10]]}


def test_a_strip_that_is_cut_off_or_damaged_has_its_layout_or_none():
    whole = png(strip([images(2)], [7], dataset()))
    layout = strip_layout(whole)
    assert (layout.updates, layout.frames) == ((7,), ((2, 2, 48, 98),))
    rng = np.random.default_rng(0)
    damaged = [whole[:n] for n in range(300)]
    for _ in range(300):
        content = bytearray(whole)
        content[rng.integers(300)] = rng.integers(256)
        damaged.append(bytes(content))
    found = [strip_layout(content) for content in damaged]
    assert found[0] is None and found[30] is None
    assert all(each is None or isinstance(each, StripLayout) for each in found)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", "\N{GRINNING FACE}"]
    + [
        json.dumps(LAYOUT | change)
        for change in (
            *({"updates": []}, {"updates": [5, 6]}, {"updates": ["5"]}, {"updates": [-1]}),
            *({"frames": None}, {"frames": [5]}, {"frames": [[0, 0, 10]]}),
            *({"frames": [[0, 0, 11, 10]]}, {"frames": [[0, 5, 10, 6]]}),
            *({"frames": [[0, 0, 0, 10]]}, {"frames": [[0.5, 0, 5, 5]]}, {"updates": [True]}),
        )
    ],
)
def test_a_text_that_is_no_layout_is_none(text):
    assert strip_layout(with_text(text)) is None


def test_a_picture_without_text_has_no_layout():
    assert strip_layout(png(Image.new("RGB", (10, 10)))) is None
    assert strip_layout(with_text(json.dumps(LAYOUT))) is not None
    assert strip_layout(with_text(json.dumps(LAYOUT)).replace(b"PNG", b"GIF")) is None
