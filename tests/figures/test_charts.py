import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.figures.charts import (
    game_picture,
    interpolation_picture,
    learning_curves,
    png,
    ranking_figure,
    sample_grid,
    score_curves,
    stability_figure,
    strip,
)
from gansearch.figures.figure1 import Moment, grid_of

ORANGE = (0xE6, 0x9F, 0x00)
BLUE = (0x00, 0x72, 0xB2)
GREEN = (0x00, 0x9E, 0x73)
VERMILION = (0xD5, 0x5E, 0x00)
GREY = (0x99, 0x99, 0x99)


def images(n, height=8, width=8, channels=1):
    """Images in [0, 1], each of one grey of its own, from black to white."""
    return np.repeat(np.linspace(0, 1, n)[:, None], height * width * channels, axis=1)


def dataset(height=8, width=8, channels=1):
    train = np.zeros((4, height * width * channels), np.uint8)
    return Dataset("some", train, train, train, shape=(height, width, channels), scale=255.0)


def points(modes, n=400, sd=0.02):
    rng = np.random.default_rng(0)
    centres = np.asarray(modes, float)[rng.integers(len(modes), size=n)]
    train = (centres + sd * rng.standard_normal(centres.shape)).astype(np.float32)
    return Dataset(
        "ring", train, train, train, shape=(train.shape[1],), scale=1.0, modes=np.asarray(modes)
    )


def has(picture, colour):
    return bool((np.asarray(picture.convert("RGB")) == colour).all(axis=2).any())


def opened(png):
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return picture


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


def on_a_line(n_modes=1):
    modes = np.linspace(0, 1, n_modes)[:, None]
    train = (np.random.default_rng(0).choice(modes[:, 0], 4000) + 0.3 * normal(4000))[:, None]
    train = train.astype(np.float32)
    return Dataset("line", train, train, train, shape=(1,), scale=1.0, modes=modes, mode_sd=0.3)


def normal(n):
    return np.random.default_rng(1).standard_normal(n)


def moments(line, n, n_arrows=25):
    d = np.full(len(grid_of(line)), 0.5)
    arrows = np.linspace(-0.5, 0.5, n_arrows)
    return [Moment(100 * i, d, 0.3 * normal(1000) + i, arrows) for i in range(n)]


@pytest.mark.parametrize(("n", "rows"), [(1, 1), (3, 1), (4, 2)])
def test_the_game_has_a_panel_a_moment_three_in_a_row(n, rows):
    line = on_a_line()
    picture = opened(game_picture(moments(line, n), line, np.linspace(-1, 1, 25)))
    assert picture.width == round(120 * (0.6 + 3.1 * min(n, 3)))
    assert picture.height == round(120 * (0.7 + 3.2 * rows))
    for colour in ((0, 0, 0), GREEN, BLUE, VERMILION):
        assert has(picture, colour)


def test_the_game_shows_where_the_samples_are_and_that_d_is_a_half():
    line = on_a_line()
    far, near = (
        opened(game_picture([moment], line, np.empty(0))) for moment in moments(line, 2, 0)[::-1]
    )
    # Below the legend; the samples' density moves, the blue line of D stays where it is.
    green = [rows_of(p, GREEN) for p in (near, far)]
    tops = [g[(g[:, 0] > 60) & (g[:, 0] < 300)][:, 1].mean() for g in green]
    assert tops[1] > tops[0] + 50
    blue = [rows_of(p, BLUE) for p in (near, far)]
    heights = [b[b[:, 0] > 60][:, 0].mean() for b in blue]
    assert heights[0] == pytest.approx(heights[1], abs=1)


def test_the_optimal_d_is_a_half_where_samples_are_as_the_data():
    line = on_a_line()
    same = Moment(1, np.full(len(grid_of(line)), 0.5), line.train[:, 0], np.empty(0))
    few = Moment(1, same.d, same.samples / 3, np.empty(0))  # twice as dense and more at 0
    optimum, below = (
        rows_of(opened(game_picture([moment], line, np.empty(0))), VERMILION)
        for moment in (same, few)
    )
    d = rows_of(opened(game_picture([same], line, np.empty(0))), BLUE)
    height = np.median(d[d[:, 0] > 60][:, 0])
    assert np.median(optimum[optimum[:, 0] > 60][:, 0]) == pytest.approx(height, abs=4)
    assert below[:, 0].max() > height + 40


def test_a_collapsed_generator_can_be_drawn():
    line = on_a_line()
    d = np.full(len(grid_of(line)), 0.5)
    needle = Moment(5, d, np.full(1000, 0.2), np.full(25, np.nan))
    gone = Moment(6, d, np.full(1000, 1e6), np.full(25, 1e6))
    assert has(opened(game_picture([needle, gone], line, np.linspace(-1, 1, 25))), GREEN)


def test_a_picture_becomes_the_bytes_of_a_png():
    picture = sample_grid(images(3), dataset())
    np.testing.assert_array_equal(np.asarray(opened(png(picture))), np.asarray(picture))


def test_points_are_drawn_over_the_modes_and_those_outside_are_counted():
    ring = points([[0, 1], [1, 0], [0, -1], [-1, 0]])
    picture = sample_grid(ring.train[:100], ring)
    assert has(picture, VERMILION)
    assert picture.size == (720, 720)
    # Samples at no place in the frame leave a picture without them, but not without a word.
    far = sample_grid(np.full((100, 2), 50.0), ring)
    assert not np.array_equal(np.asarray(far)[:40], np.asarray(picture)[:40])


def test_points_on_a_line_become_a_histogram():
    line = points([[0.0], [1.0]])
    low, high = (sample_grid(np.full((100, 1), x, np.float32), line) for x in (0.0, 1.0))
    assert low.size == high.size == (720, 480)
    # The blue outline of the samples stands where they lie.
    blue = [np.asarray(p)[..., 2].astype(int) - np.asarray(p)[..., 0] > 60 for p in (low, high)]
    places = [np.argwhere(b)[:, 1].mean() for b in blue]
    assert places[1] > places[0] + 200


def test_a_strip_runs_from_the_first_report_to_the_last_a_row_a_noise():
    reports = [np.stack([np.full(64, t / 5), np.full(64, 1 - t / 5)]) for t in range(6)]
    picture = np.asarray(strip(reports, dataset()))
    for t in range(6):
        left = 2 + t * 50
        assert np.unique(picture[2:50, left : left + 48]).tolist() == [51 * t]
        assert np.unique(picture[52:100, left : left + 48]).tolist() == [255 - 51 * t]


def test_a_long_strip_shows_twenty_reports_the_first_and_the_last_among_them():
    reports = [np.full((1, 64), t / 999) for t in range(1000)]
    picture = np.asarray(strip(reports, dataset()))
    assert picture.shape[1] == 20 * 50 + 2
    assert picture[20, 20, 0] == 0
    assert picture[20, -20, 0] == 255


def test_a_strip_of_points_follows_them_to_the_modes():
    ring = points([[0, 1], [1, 0], [0, -1], [-1, 0]])
    picture = np.asarray(strip([np.zeros((1, 2)), np.array([[1.0, 0.0]])], ring))
    blue = np.argwhere((picture == BLUE).all(axis=2))
    first, last = blue[blue[:, 1] < 98], blue[blue[:, 1] > 98]
    # The frame is the training data's box, widened by a fifth of its size on every side.
    low, high = ring.train[:, 0].min(), ring.train[:, 0].max()
    share = (1 - (low - 0.2 * (high - low))) / (1.4 * (high - low))
    np.testing.assert_allclose(first.mean(axis=0), [2 + 48, 2 + 48], atol=1.5)
    np.testing.assert_allclose(last.mean(axis=0), [2 + 48, 100 + 96 * share], atol=1.5)


def history(**curves):
    return pd.DataFrame(
        [
            {"trial_id": trial_id, "updates": 1000 * (i + 1), "valid_ll": value}
            for trial_id, values in curves.items()
            for i, value in enumerate(values)
        ]
    )


def trials(**statuses):
    return pd.DataFrame({"trial_id": list(statuses), "status": list(statuses.values())})


def test_learning_curves_show_each_status_in_its_colour():
    statuses = trials(a="completed", b="pruned", c="collapsed", d="diverged", e="running")
    curves = history(a=[1, 5, 9], b=[1, 2], c=[0, -1, -2], d=[0, -3], e=[4])
    picture = opened(learning_curves(curves, statuses))
    for colour in ((0x00, 0x9E, 0x73), (0x56, 0xB4, 0xE9), (0xCC, 0x79, 0xA7), (0xE6, 0x9F, 0x00)):
        assert has(picture, colour)
    without = opened(learning_curves(curves[curves["trial_id"] != "a"], statuses))
    assert not has(without, (0x00, 0x9E, 0x73))


def test_a_trial_thousands_of_nats_below_does_not_flatten_the_curves_of_the_others():
    good = {f"t{i}": [0.0, 5.0 + i, 9.0 + i] for i in range(6)}
    statuses = trials(**dict.fromkeys(good, "completed"), bad="diverged")
    picture = opened(learning_curves(history(**good, bad=[-1e5, -2e5]), statuses))
    green = np.argwhere((np.asarray(picture.convert("RGB")) == (0x00, 0x9E, 0x73)).all(axis=2))
    assert np.ptp(green[:, 0]) > picture.height / 3


@pytest.mark.parametrize("valid_ll", [5.0, 200.0, -200.0])
def test_learning_curves_have_a_line_of_training_images_wherever_it_lies(valid_ll):
    vermilion = (0xD5, 0x5E, 0x00)
    curves, statuses = history(a=[1, 5, 9]), trials(a="completed")
    assert not has(opened(learning_curves(curves, statuses)), vermilion)
    training = {"name": "training images", "n_samples": 1000, "valid_ll": valid_ll}
    picture = np.asarray(opened(learning_curves(curves, statuses, training)).convert("RGB"))
    _, columns = np.nonzero((picture == vermilion).all(axis=2))
    assert np.ptp(columns) > 0.8 * picture.shape[1]  # across the axes, not in the legend alone


def test_infinite_scores_are_left_out_of_the_curves():
    picture = learning_curves(
        history(a=[1, np.nan, 3], b=[-np.inf]), trials(a="completed", b="diverged")
    )
    assert has(opened(picture), (0x00, 0x9E, 0x73))


def test_thousands_of_trials_are_drawn_as_five_hundred():
    names = [f"t{i:05d}" for i in range(2000)]
    curves = pd.DataFrame({"trial_id": names, "updates": 1000, "valid_ll": np.arange(2000.0)})
    statuses = pd.DataFrame({"trial_id": names, "status": "pruned"})
    assert has(opened(learning_curves(curves, statuses)), (0x56, 0xB4, 0xE9))


def ranking(scores, half=1.0):
    return pd.DataFrame(
        {
            "config_id": [f"c{i}" for i in range(len(scores))],
            "test_ll": scores,
            "test_ll_low": np.array(scores, float) - half,
            "test_ll_high": np.array(scores, float) + half,
            "is_paper": [i == 0 for i in range(len(scores))],
        }
    )


NO_REFERENCES = pd.DataFrame({"name": [], "test_ll": [], "n_samples": [], "source": []})


def rows_of(picture, colour):
    pixels = np.asarray(picture.convert("RGB"))
    return np.argwhere((pixels == colour).all(axis=2))


def test_the_ranking_has_the_best_on_top_and_to_the_right():
    picture = opened(ranking_figure(ranking([24.0, 12.0], half=0.1), NO_REFERENCES))
    blue = rows_of(picture, BLUE)
    middle = (blue[:, 0].min() + blue[:, 0].max()) / 2
    top, bottom = blue[blue[:, 0] < middle], blue[blue[:, 0] > middle]
    assert top[:, 1].mean() > bottom[:, 1].mean() + picture.width / 3


def test_the_ranking_shows_a_line_for_real_data():
    reference = pd.DataFrame({"name": ["training $images"], "test_ll": [29.0], "source": [None]})
    with_line = opened(ranking_figure(ranking([24.0, 12.0]), reference))
    without = opened(ranking_figure(ranking([24.0, 12.0]), NO_REFERENCES))
    assert has(with_line, VERMILION)
    assert not has(without, VERMILION)
    line = rows_of(with_line, VERMILION)[:, 1].max()
    assert line > rows_of(with_line, BLUE)[:, 1].max()


def published(*scores):
    names = [f"net {i} of $" for i, _ in enumerate(scores)]
    origin = {"n_samples": 10_000, "source": "Somebody 2014"}
    return pd.DataFrame({"name": names, "test_ll": scores} | origin)


def test_published_figures_are_thin_grey_lines_apart_from_what_was_computed():
    grey = rows_of(opened(ranking_figure(ranking([24.0, 12.0]), published(18.0))), GREY)
    # Smoothed letters have the odd pixel of any grey.
    assert len(grey) > 100
    without = opened(ranking_figure(ranking([24.0, 12.0]), NO_REFERENCES))
    assert len(rows_of(without, GREY)) < 30
    # One line, through the axes from top to bottom.
    _, n_pixels = np.unique(grey[:, 1], return_counts=True)
    assert n_pixels.max() > 100


def curves(*names):
    counts = [100, 1000, 10_000]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "name": name,
                    "n_samples": counts,
                    "test_ll": np.log10(counts) * 10 + 20 * i,
                    "test_ll_se": 0.5,
                }
            )
            for i, name in enumerate(names)
        ]
    )


def test_a_curve_rises_from_the_left_below_that_of_training_images():
    picture = opened(score_curves(curves("winner", "training images"), NO_REFERENCES))
    blue, vermilion = rows_of(picture, BLUE), rows_of(picture, VERMILION)
    # Below the legend, where a row further down is a lower score.
    blue, vermilion = (x[x[:, 0] > 0.15 * picture.height] for x in (blue, vermilion))
    left, right = blue[blue[:, 1] == blue[:, 1].min()], blue[blue[:, 1] == blue[:, 1].max()]
    assert left[:, 0].mean() > right[:, 0].mean() + picture.height / 10
    assert vermilion[:, 0].mean() < blue[:, 0].mean()


def test_a_curve_stands_beside_the_other_reference_lines():
    def grey_in(references):
        return len(rows_of(opened(score_curves(curves("samples"), references)), GREY))

    assert grey_in(NO_REFERENCES) < 30
    assert grey_in(published(25.0, 35.0)) > grey_in(published(25.0)) + 20 > 50
    centroids = published(35.0).assign(source=None)
    assert not has(opened(score_curves(curves("samples"), NO_REFERENCES)), VERMILION)
    assert has(opened(score_curves(curves("samples"), centroids)), VERMILION)


def mapped(*counts):
    """A map of k = 1 and 2 and two ratios, from (n_survived, n_trials) of each cell."""
    survived, trials = np.array(counts, float).T
    return pd.DataFrame(
        {
            "value": ["1", "1", "2", "2"],
            "ratio": ["<1", ">=1"] * 2,
            "n_survived": survived.astype(int),
            "n_trials": trials.astype(int),
            "p_survives": np.where(trials > 0, survived / np.maximum(trials, 1), np.nan),
        }
    )


def decisive(survival, quality):
    return pd.DataFrame(
        {
            "target": ["survival"] * 2 + ["quality"] * 2,
            "parameter": ["k", "generator_lr"] * 2,
            "importance": [*survival, *quality],
        }
    )


NOTHING_DECIDES = decisive([np.nan] * 2, [np.nan] * 2)
# The ends of cividis.
DEADLY, SAFE = (0, 34, 77), (253, 231, 55)


def test_the_map_has_large_k_on_top_and_a_blank_where_nothing_was_tried():
    picture = opened(stability_figure(mapped((0, 9), (9, 9), (0, 0), (9, 9)), NOTHING_DECIDES))
    # Left of the colour bar.
    deadly, safe = (rows_of(picture.crop((0, 0, 400, picture.height)), c) for c in (DEADLY, SAFE))
    assert deadly[:, 0].min() > picture.height / 3
    assert deadly[:, 1].max() < safe[:, 1].min()
    assert safe[:, 0].min() < picture.height / 3
    # The cell above the deadly one has no colour but the page's.
    above = picture.convert("RGB").getpixel((int(deadly[:, 1].mean()), int(safe[:, 0].min()) + 20))
    assert above == (255, 255, 255)


def test_what_decides_is_drawn_beside_the_map_survival_and_quality_apart():
    cells = mapped((0, 9), (9, 9), (3, 4), (9, 9))
    alone = opened(stability_figure(cells, NOTHING_DECIDES))
    both = opened(stability_figure(cells, decisive([0.9, 0.0], [0.1, 0.4])))
    assert both.width > 1.8 * alone.width
    survival, quality = rows_of(both, VERMILION), rows_of(both, BLUE)
    # The axis ends at 1, and .9 is more than twice as long as .4; the most decisive is on top.
    longest = np.ptp(survival[survival[:, 0] > 0.15 * both.height][:, 1])
    shorter = np.ptp(quality[quality[:, 0] > 0.15 * both.height][:, 1])
    assert longest == pytest.approx(0.9 / 0.4 * shorter, rel=0.05)
    assert np.median(survival[:, 0]) < np.median(quality[:, 0])


def test_without_a_map_what_decides_is_drawn_alone():
    bars = opened(
        stability_figure(mapped(*[(1, 1)] * 4).iloc[:0], decisive([0.9, 0.1], [np.nan] * 2))
    )
    assert has(bars, VERMILION)
    assert not has(bars, SAFE)


def test_a_configuration_without_an_interval_is_drawn_as_a_dot():
    alone = ranking([24.0, 12.0])
    alone.loc[0, ["test_ll_low", "test_ll_high"]] = np.nan
    picture = opened(ranking_figure(alone, NO_REFERENCES))
    blue = rows_of(picture, BLUE)
    middle = (blue[:, 0].min() + blue[:, 0].max()) / 2
    top, bottom = blue[blue[:, 0] < middle], blue[blue[:, 0] > middle]
    assert np.ptp(top[:, 1]) < 15
    assert np.ptp(bottom[:, 1]) > 40


def test_a_configuration_without_a_score_is_left_out_of_the_figure():
    some = ranking([24.0, 12.0, np.nan])
    assert opened(ranking_figure(some, NO_REFERENCES)).size == (
        opened(ranking_figure(some.iloc[:2], NO_REFERENCES)).size
    )


def test_workers_that_draw_strips_do_not_load_matplotlib():
    code = (
        "import sys, numpy as np\n"
        "from gansearch.data.dataset import Dataset\n"
        "from gansearch.figures.charts import sample_grid, strip\n"
        "x = np.zeros((4, 64), np.uint8)\n"
        "images = Dataset('some', x, x, x, shape=(8, 8, 1), scale=255.0)\n"
        "strip([x / 255.0], images); sample_grid(x / 255.0, images)\n"
        "print('matplotlib' in sys.modules, 'torch' in sys.modules, 'ray' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False False\n"
