"""Figure 1: densities, the optimal discriminator, and what a trial keeps for the picture."""

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.stats import gaussian_kde, norm

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.figures.figure1 import (
    Snapshot,
    bandwidth,
    data_density,
    estimated_density,
    figure1_picture,
    from_arrays,
    optimal_discriminator,
    select_snapshots,
    to_arrays,
    x_grid,
)
from tests.figures.pictures import BLUE, GREEN, VERMILION, has, opened, pixels_of


def snapshot(updates, n_arrows=3):
    rng = np.random.default_rng(updates)
    return Snapshot(updates, rng.random(200), rng.random(1000), rng.random(n_arrows))


def line(train):
    train = np.asarray(train, np.float32).reshape(-1, 1)
    return Dataset("line", train, train, train, shape=(1,), scale=1.0)


def test_the_density_of_a_known_mixture_is_exact_and_smoothed_exactly():
    gaussian = load_dataset("gaussian")
    x = x_grid(gaussian)
    np.testing.assert_allclose(data_density(gaussian, x), norm(1, 0.5).pdf(x), rtol=1e-6)
    smoothed = norm(1, np.hypot(0.5, 0.3)).pdf(x)
    np.testing.assert_allclose(data_density(gaussian, x, 0.3), smoothed, rtol=1e-6)


def test_an_unknown_density_is_estimated_from_training_points():
    points = np.random.default_rng(0).exponential(size=5000)
    unknown = line(points)
    x = np.linspace(0.6, 4, 200)
    np.testing.assert_allclose(data_density(unknown, x), np.exp(-x), atol=0.05)


def test_an_estimated_density_agrees_with_scipys():
    points = np.random.default_rng(0).normal(size=300)
    x = np.linspace(-3, 3, 50)
    expected = gaussian_kde(points, bw_method=0.2 / points.std(ddof=1))(x)
    np.testing.assert_allclose(estimated_density(points, x, 0.2), expected, rtol=1e-9)


def test_the_bandwidth_is_silvermans_and_never_below_the_spacing_of_the_grid():
    points = np.random.default_rng(0).normal(size=1000)
    x = np.linspace(-3, 3, 200)
    assert bandwidth(points, x) == pytest.approx(0.9 * 1000**-0.2, rel=0.05)
    assert bandwidth(np.ones(1000), x) == x[1] - x[0]


def test_the_optimal_discriminator_says_a_half_where_the_densities_agree():
    p_data, p_g = np.array([0.2, 0.3, 0.4]), np.array([0.2, 0.1, 0.0])
    np.testing.assert_allclose(optimal_discriminator(p_data, p_g), [0.5, 0.75, 1.0])


def test_the_range_of_the_picture_holds_the_data_but_for_outliers():
    x = x_grid(line([*np.linspace(0, 1, 5000), 100.0]))
    np.testing.assert_allclose([x[0], x[-1]], [-0.333, 1.333], atol=0.01)
    constant = x_grid(line(np.full(10, 2.0)))
    np.testing.assert_allclose([constant[0], constant[-1]], [1, 3])


def run_of(reports, marks):
    """Return the updates that are kept of a trial, as a worker keeps them: one by one."""
    snapshots = []
    for updates in (0, *reports):
        snapshots = select_snapshots([*snapshots, snapshot(updates)], marks)
    return [s.updates for s in snapshots]


def test_six_snapshots_are_kept_evenly_from_the_start_to_the_last_report():
    marks = [500 * i for i in range(1, 21)]
    assert run_of(marks, marks) == [0, 2000, 4000, 6000, 8000, 10000]


def test_a_trial_that_ends_early_keeps_its_last_report_as_well():
    marks = [500 * i for i in range(1, 21)]
    assert run_of(marks[:7], marks) == [0, 2000, 3500]


def test_few_reports_are_all_kept():
    assert run_of([10, 20], [10, 20]) == [0, 10, 20]


def test_a_report_that_passes_several_marks_is_kept_once():
    assert run_of([7, 14], [2, 4, 6, 8, 10, 12]) == [0, 7, 14]


@pytest.mark.parametrize("n_arrows", [0, 25])
def test_snapshots_outlive_a_checkpoint(n_arrows):
    snapshots = [snapshot(0, n_arrows), snapshot(10**9 + 7, n_arrows)]
    found = from_arrays(load(save(to_arrays(snapshots))))
    assert [s.updates for s in found] == [0, 10**9 + 7]
    for before, after in zip(snapshots, found, strict=True):
        np.testing.assert_array_equal(after.d, before.d)
        np.testing.assert_array_equal(after.samples, before.samples)
        np.testing.assert_array_equal(after.arrows, before.arrows)


def test_a_checkpoint_without_figure1_has_no_snapshots():
    assert to_arrays([]) == {}
    assert from_arrays({"strip": np.zeros(3)}) == []


def on_a_line(n_modes=1):
    modes = np.linspace(0, 1, n_modes)[:, None]
    train = (np.random.default_rng(0).choice(modes[:, 0], 4000) + 0.3 * normal(4000))[:, None]
    train = train.astype(np.float32)
    return Dataset("line", train, train, train, shape=(1,), scale=1.0, modes=modes, mode_sd=0.3)


def normal(n):
    return np.random.default_rng(1).standard_normal(n)


def snapshots(line, n, n_arrows=25):
    d = np.full(len(x_grid(line)), 0.5)
    arrows = np.linspace(-0.5, 0.5, n_arrows)
    return [Snapshot(100 * i, d, 0.3 * normal(1000) + i, arrows) for i in range(n)]


@pytest.mark.parametrize(("n", "rows"), [(1, 1), (3, 1), (4, 2)])
def test_figure1_has_a_panel_for_each_snapshot_three_in_a_row(n, rows):
    line = on_a_line()
    picture = opened(figure1_picture(snapshots(line, n), line, np.linspace(-1, 1, 25)))
    assert picture.width == round(120 * (0.6 + 3.1 * min(n, 3)))
    assert picture.height == round(120 * (0.7 + 3.2 * rows))
    for colour in ((0, 0, 0), GREEN, BLUE, VERMILION):
        assert has(picture, colour)


def test_figure1_shows_where_the_samples_are_and_that_d_is_a_half():
    line = on_a_line()
    far, near = (
        opened(figure1_picture([snapshot], line, np.empty(0)))
        for snapshot in snapshots(line, 2, 0)[::-1]
    )
    # Below the legend; the samples' density moves, the blue line of D stays where it is.
    green = [pixels_of(p, GREEN) for p in (near, far)]
    tops = [g[(g[:, 0] > 60) & (g[:, 0] < 300)][:, 1].mean() for g in green]
    assert tops[1] > tops[0] + 50
    blue = [pixels_of(p, BLUE) for p in (near, far)]
    heights = [b[b[:, 0] > 60][:, 0].mean() for b in blue]
    assert heights[0] == pytest.approx(heights[1], abs=1)


def test_the_optimal_d_is_a_half_where_samples_are_as_the_data():
    line = on_a_line()
    same = Snapshot(1, np.full(len(x_grid(line)), 0.5), line.train[:, 0], np.empty(0))
    few = Snapshot(1, same.d, same.samples / 3, np.empty(0))  # twice as dense and more at 0
    optimum, below = (
        pixels_of(opened(figure1_picture([snapshot], line, np.empty(0))), VERMILION)
        for snapshot in (same, few)
    )
    d = pixels_of(opened(figure1_picture([same], line, np.empty(0))), BLUE)
    height = np.median(d[d[:, 0] > 60][:, 0])
    assert np.median(optimum[optimum[:, 0] > 60][:, 0]) == pytest.approx(height, abs=4)
    assert below[:, 0].max() > height + 40


def test_a_collapsed_generator_can_be_drawn():
    line = on_a_line()
    d = np.full(len(x_grid(line)), 0.5)
    needle = Snapshot(5, d, np.full(1000, 0.2), np.full(25, np.nan))
    gone = Snapshot(6, d, np.full(1000, 1e6), np.full(25, 1e6))
    assert has(opened(figure1_picture([needle, gone], line, np.linspace(-1, 1, 25))), GREEN)
