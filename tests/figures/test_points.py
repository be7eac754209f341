"""Pictures of points."""

import numpy as np

from gansearch.figures import points as points_module
from gansearch.figures import style
from gansearch.figures.samples import interpolation_picture, sample_grid
from tests.figures.pictures import VERMILION, has, points


def test_paths_of_points_are_drawn_in_the_plane_between_their_ends():
    ring = points([[0, 1], [1, 0], [0, -1], [-1, 0]])
    path = np.linspace([-1.0, 0.0], [1.0, 0.0], 50)[None]
    picture = np.asarray(interpolation_picture(path, ring))
    sky = np.argwhere((picture == (0x56, 0xB4, 0xE9)).all(axis=2))
    sky = sky[sky[:, 0] > 200]  # below the legend
    assert np.ptp(sky[:, 1]) > 350
    assert np.ptp(sky[:, 0]) < 10


def test_paths_on_a_line_are_curves_over_the_way_between_the_samples():
    line = points([[0.0], [1.0]])
    rising = interpolation_picture(np.linspace(0, 1, 20).reshape(1, 20, 1), line)
    marks = np.argwhere((np.asarray(rising) == VERMILION).all(axis=2))
    left, right = marks[marks[:, 1] < 200], marks[(marks[:, 1] > 600) & (marks[:, 0] > 100)]
    assert left[:, 0].mean() > right[:, 0].mean() + 100


def test_points_are_drawn_over_the_modes_and_those_outside_are_counted():
    ring = points([[0, 1], [1, 0], [0, -1], [-1, 0]])
    picture = sample_grid(ring.train[:100], ring)
    assert has(picture, VERMILION)
    assert picture.size == (720, 720)
    # Samples at no place in the frame leave a picture without them, but not without a word.
    far = sample_grid(np.full((100, 2), 50.0), ring)
    assert not np.array_equal(np.asarray(far)[:40], np.asarray(picture)[:40])


def test_of_points_with_more_columns_the_first_two_are_named(monkeypatch):
    named = []

    def figure_png(figure):
        named.append((figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()))
        return style.figure_png(figure)

    monkeypatch.setattr(points_module, "figure_png", figure_png)
    for d in (2, 3):
        data = points(np.eye(4)[:, :d])
        sample_grid(data.train[:100], data)
        interpolation_picture(data.train[None], data)
    assert named == [("", "")] * 2 + [("first of 3 columns", "second column")] * 2


def test_points_on_a_line_become_a_histogram():
    line = points([[0.0], [1.0]])
    low, high = (sample_grid(np.full((100, 1), x, np.float32), line) for x in (0.0, 1.0))
    assert low.size == high.size == (720, 480)
    # The blue outline of the samples stands where they lie.
    blue = [np.asarray(p)[..., 2].astype(int) - np.asarray(p)[..., 0] > 60 for p in (low, high)]
    places = [np.argwhere(b)[:, 1].mean() for b in blue]
    assert places[1] > places[0] + 200
