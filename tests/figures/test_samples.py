"""Pictures of images: every sample, in its order, as it is."""

import subprocess
import sys

import numpy as np
import pytest

from gansearch.data.dataset import Dataset
from gansearch.figures.samples import interpolation_picture, png, sample_grid
from gansearch.figures.tiles import with_label
from tests.figures.pictures import BLUE, GREY, ORANGE, dataset, has, images, opened


def test_every_sample_is_drawn_in_order_enlarged_by_a_whole_factor():
    picture = np.asarray(sample_grid(images(10), dataset(), columns=5))
    # Tiles of 48 pixels, 6 for each of the 8, and 8 between them.
    for i in range(10):
        top, left = 8 + i // 5 * 56, 8 + i % 5 * 56
        tile = picture[top : top + 48, left : left + 48]
        assert np.unique(tile).tolist() == [round(i / 9 * 255)]


def test_the_pixels_of_an_image_stay_squares_in_their_place():
    image = np.zeros((8, 8))
    image[2, 5] = 1
    picture = np.asarray(sample_grid(image.reshape(1, -1), dataset()))[8:56, 8:56]
    expected = np.zeros((48, 48, 3), np.uint8)
    expected[12:18, 30:36] = 255
    np.testing.assert_array_equal(picture, expected)


def test_the_nearest_training_image_stands_framed_to_the_right_of_its_sample():
    picture = np.asarray(sample_grid(images(3), dataset(), nearest=images(3)[::-1]))
    # A pair is two tiles of 48 pixels, each in a frame of 2; 8 pixels lie between pairs.
    for i in range(3):
        left = 8 + i * (2 * 52 + 8)
        sample, neighbour = picture[8:60, left : left + 52], picture[8:60, left + 52 : left + 104]
        assert np.unique(sample[2:-2, 2:-2]).tolist() == [round(i / 2 * 255)]
        assert np.unique(neighbour[2:-2, 2:-2]).tolist() == [round((2 - i) / 2 * 255)]
        assert tuple(neighbour[0, 0]) == ORANGE
        assert tuple(sample[0, 0]) == (255, 255, 255)


def test_colours_are_kept():
    red = np.zeros((1, 32, 32, 3))
    red[..., 0] = 1
    picture = np.asarray(sample_grid(red.reshape(1, -1), dataset(32, 32, 3)))
    assert (picture[8:72, 8:72] == (255, 0, 0)).all()


def test_values_outside_the_range_of_pixels_are_shown_as_black_or_white():
    wild = images(3)
    wild[0], wild[1], wild[2] = -5, 7, np.nan
    picture = np.asarray(sample_grid(wild, dataset()))
    assert [int(picture[30, 8 + 56 * i + 20, 0]) for i in range(3)] == [0, 255, 0]


@pytest.mark.parametrize(("height", "tile"), [(8, 48), (28, 56), (32, 64), (48, 48)])
def test_images_of_any_size_are_shown_large_enough_to_see(height, tile):
    picture = sample_grid(images(8, height, height), dataset(height, height))
    assert picture.width == 8 * (tile + 8) + 8


def test_large_images_are_shown_small_in_their_proportions():
    striped = np.tile(np.repeat([0.0, 1.0], 150), 200)  # black on the left, white on the right
    picture = np.asarray(sample_grid(striped[None], dataset(200, 300)))
    tile = picture[8 : 8 + 64, 8 : 8 + 96, 0]
    assert picture.shape[1] == 96 + 16
    assert (tile[:, :44] < 10).all()
    assert (tile[:, 52:] > 245).all()
    assert (picture[8 + 64, :, 0] == 255).all()


def test_sixty_four_pairs_fit_a_page():
    for side in (8, 28, 32, 48, 64, 200):
        some = images(64, side, side)
        picture = sample_grid(some, dataset(side, side), nearest=some)
        assert picture.width <= 1200
        assert picture.height <= 1700, side


def test_hundreds_of_samples_stand_in_more_than_eight_columns():
    assert sample_grid(images(400), dataset()).width == 20 * 56 + 8
    assert sample_grid(images(1000), dataset()).width == 21 * 56 + 8  # a page


def test_contrast_normalised_images_are_drawn_as_pixels():
    rng = np.random.default_rng(0)
    # Of one mean and one contrast, so that the normalisation can be undone exactly.
    pattern = np.stack([rng.permutation(np.repeat([64, 192], 32)) for _ in range(20)])
    stored = pattern.astype(np.uint8)
    normalised = Dataset(
        "some", stored, stored, stored, shape=(8, 8, 1), scale=255.0, contrast=55.0
    )
    trained_on = normalised.to_float(stored)
    assert trained_on.min() < -5
    picture = np.asarray(sample_grid(trained_on[:1], normalised, nearest=trained_on[1:2]))
    for i, left in enumerate((10, 62)):
        small = picture[10 : 10 + 48 : 6, left : left + 48 : 6, 0]
        np.testing.assert_allclose(small, stored[i].reshape(8, 8), atol=1)


def test_a_row_of_an_interpolation_is_a_row_of_the_picture():
    rows = np.repeat(np.linspace(0, 1, 12).reshape(3, 4, 1), 64, axis=2)
    picture = np.asarray(interpolation_picture(rows, dataset()))
    for row in range(3):
        for step in range(4):
            tile = picture[2 + 50 * row :, 2 + 50 * step :][:48, :48]
            assert np.unique(tile).tolist() == [round((4 * row + step) / 11 * 255)]


def test_a_jump_in_a_row_is_a_high_bar_beside_the_distance_between_real_images():
    rows = np.zeros((2, 4, 64))
    rows[0, 2:] = 0.5  # one step of the length 4
    rows[1] = np.linspace(0, 0.5, 4)[:, None]
    picture = np.asarray(interpolation_picture(rows, dataset(), unit=2.0))
    top, height = 50, 42 + 2  # of the bars of the first row
    grey = np.flatnonzero((picture[top : top + height, 0] == GREY).all(axis=1))
    assert len(grey) == 1

    def bars(top):
        """The height of each bar, in pixels."""
        blue = (picture[top : top + height] == BLUE).all(axis=2)
        return [int(blue[:, 50 * i + 51].sum()) for i in range(3)]

    floor = 28
    assert bars(top) == [0, 26, 0]
    assert floor - grey[0] == 13  # the step is twice as long
    assert bars(50 + 44 + 50) == [9, 9, 9]
    assert not (picture == BLUE).all(axis=2)[:, :40].any()


def test_steps_that_do_not_move_have_no_bars():
    picture = interpolation_picture(np.zeros((1, 4, 64)), dataset(), unit=2.0)
    assert not has(picture, BLUE) and has(picture, GREY)


@pytest.mark.parametrize(
    "name", ["x" * 300, "W" * 40 + " i" * 40, "\N{GRINNING FACE} größe 猫 <b>"]
)
def test_a_label_of_any_name_stands_below_a_picture_within_its_width(name):
    picture = sample_grid(images(10), dataset())
    labelled = np.asarray(with_label(picture, f"rank 1 of 3: {name}"))
    np.testing.assert_array_equal(labelled[: picture.height], np.asarray(picture))
    below = labelled[picture.height :, :, 0]
    assert (below < 128).any()
    assert (below[:, -4:] == 255).all() and (below[:, :6] == 255).all()


def test_without_a_label_a_picture_stays_as_it_is():
    picture = sample_grid(images(10), dataset())
    assert with_label(picture, "") is picture


def test_a_picture_becomes_the_bytes_of_a_png():
    picture = sample_grid(images(3), dataset())
    np.testing.assert_array_equal(np.asarray(opened(png(picture))), np.asarray(picture))


def test_workers_that_draw_strips_do_not_load_matplotlib():
    code = (
        "import sys, numpy as np\n"
        "from gansearch.data.dataset import Dataset\n"
        "from gansearch.figures.samples import sample_grid\n"
        "from gansearch.figures.strips import points_overview, strip\n"
        "x = np.zeros((4, 64), np.uint8)\n"
        "images = Dataset('some', x, x, x, shape=(8, 8, 1), scale=255.0)\n"
        "strip([x / 255.0], [1], images); sample_grid(x / 255.0, images)\n"
        "points = Dataset('some', x[:, :2], x, x, shape=(2,), scale=1.0)\n"
        "strip([x[:, :2]], [1], points); points_overview(x[:, :2], points)\n"
        "print('matplotlib' in sys.modules, 'torch' in sys.modules, 'ray' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False False\n"
