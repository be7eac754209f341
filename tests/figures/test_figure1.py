"""Figure 1: densities, the optimal discriminator, and what a trial keeps for the picture."""

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.stats import gaussian_kde, norm

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.figures.figure1 import (
    Moment,
    bandwidth,
    data_density,
    estimated_density,
    from_arrays,
    grid_of,
    is_line,
    kept,
    optimal_discriminator,
    to_arrays,
)


def moment(updates, n_arrows=3):
    rng = np.random.default_rng(updates)
    return Moment(updates, rng.random(200), rng.random(1000), rng.random(n_arrows))


def line(train):
    train = np.asarray(train, np.float32).reshape(-1, 1)
    return Dataset("line", train, train, train, shape=(1,), scale=1.0)


def test_only_points_of_one_dimension_make_a_line():
    assert is_line(load_dataset("gaussian"))
    assert not is_line(load_dataset("ring"))
    assert not is_line(load_dataset("digits"))


def test_the_density_of_a_known_mixture_is_exact_and_smoothed_exactly():
    gaussian = load_dataset("gaussian")
    x = grid_of(gaussian)
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
    x = grid_of(line([*np.linspace(0, 1, 5000), 100.0]))
    np.testing.assert_allclose([x[0], x[-1]], [-0.333, 1.333], atol=0.01)
    constant = grid_of(line(np.full(10, 2.0)))
    np.testing.assert_allclose([constant[0], constant[-1]], [1, 3])


def run_of(reports, marks):
    """Return the updates that are kept of a trial, as a worker keeps them: one by one."""
    moments = []
    for updates in (0, *reports):
        moments = kept([*moments, moment(updates)], marks)
    return [m.updates for m in moments]


def test_six_moments_are_kept_evenly_from_the_start_to_the_last_report():
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
def test_moments_outlive_a_checkpoint(n_arrows):
    moments = [moment(0, n_arrows), moment(10**9 + 7, n_arrows)]
    found = from_arrays(load(save(to_arrays(moments))))
    assert [m.updates for m in found] == [0, 10**9 + 7]
    for before, after in zip(moments, found, strict=True):
        np.testing.assert_array_equal(after.d, before.d)
        np.testing.assert_array_equal(after.samples, before.samples)
        np.testing.assert_array_equal(after.arrows, before.arrows)


def test_a_checkpoint_without_a_game_has_no_moments():
    assert to_arrays([]) == {}
    assert from_arrays({"strip": np.zeros(3)}) == []
