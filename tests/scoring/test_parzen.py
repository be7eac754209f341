import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.neighbors import KernelDensity

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, SamplesError
from gansearch.scoring.parzen import choose_sigma, log_likelihoods, score, score_curve, sigma_grid

FINE = sigma_grid("fine", is_image=True)
AUTHORS = sigma_grid("authors", is_image=True)


def brute_force(samples: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """The definition, in float64: `[n_points]`."""
    squared = cdist(points.astype(np.float64), samples.astype(np.float64), "sqeuclidean")
    d = samples.shape[1]
    density = logsumexp(-squared / (2 * sigma**2), axis=1) - math.log(len(samples))
    return density - d * math.log(sigma * math.sqrt(2 * math.pi))


def digits(n_samples: int = 1000, n_points: int = 300) -> tuple[np.ndarray, np.ndarray]:
    dataset = load_dataset("digits")
    samples, points = dataset.train[:n_samples], dataset.valid[:n_points]
    return dataset.to_float(samples), dataset.to_float(points)


@pytest.mark.parametrize("sigma", [0.1, 0.14, 0.3, 1.0, 50.0])
def test_log_likelihoods_agree_with_the_definition_in_double_precision(sigma: float) -> None:
    samples, points = digits()
    ours = log_likelihoods(samples, points, [sigma])[0]
    np.testing.assert_allclose(ours, brute_force(samples, points, sigma), atol=0.001)


def smooth_colour_images(n: int) -> np.ndarray:
    """Images of 32x32x3 whose neighbouring pixels agree, normalised as CIFAR-10 in the paper."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(n, 4, 4, 3)) + 0.3 * rng.normal(size=(n, 1, 1, 3))
    pixels = coarse.repeat(8, axis=1).repeat(8, axis=2) + 0.1 * rng.normal(size=(n, 32, 32, 3))
    stored = (128 + 40 * pixels).clip(0, 255).astype(np.uint8).reshape(n, -1)
    images = Dataset("x", stored, stored, stored, shape=(32, 32, 3), scale=255.0, contrast=55.0)
    return images.to_float(stored)


@pytest.mark.parametrize("sigma", [0.4, 0.8, 2.0, 10.0])
def test_contrast_normalised_images_agree_with_the_definition(sigma: float) -> None:
    images = smooth_colour_images(600)
    assert np.linalg.norm(images, axis=1) == pytest.approx(55, abs=0.01)
    ours = log_likelihoods(images[:500], images[500:], [sigma])[0]
    np.testing.assert_allclose(ours, brute_force(images[:500], images[500:], sigma), atol=0.01)


@pytest.mark.parametrize("name", ["ring", "grid", "gaussian"])
def test_points_agree_with_the_definition_at_their_sigma(name: str) -> None:
    points = load_dataset(name)
    grid = sigma_grid("fine", is_image=False)
    sigma, _, _ = choose_sigma(points.train[:2000], points.valid[:500], grid)
    ours = log_likelihoods(points.train[:2000], points.test[:500], [sigma])[0]
    expected = brute_force(points.train[:2000], points.test[:500], sigma)
    np.testing.assert_allclose(ours, expected, atol=0.001)


@pytest.mark.data
def test_mnist_agrees_with_the_definition_on_every_image(mnist_dir: Path) -> None:
    mnist = load_dataset("mnist", mnist_dir)
    samples, points = mnist.to_float(mnist.train[:3000]), mnist.to_float(mnist.test[:500])
    for sigma in (0.1, 0.17, 0.5):
        ours = log_likelihoods(samples, points, [sigma])[0]
        np.testing.assert_allclose(ours, brute_force(samples, points, sigma), atol=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize("tf32", [False, True])
def test_a_gpu_computes_in_full_single_precision_whatever_the_process_allows(tf32: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rng = np.random.default_rng(0)
    samples, points = rng.uniform(size=(2000, 784)), rng.uniform(size=(300, 784))
    expected = brute_force(samples, points, 0.2)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        ours = log_likelihoods(samples, points, [0.2], device="cuda")[0]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    np.testing.assert_allclose(ours, expected, atol=0.01)


def test_log_likelihoods_agree_with_scikit_learn() -> None:
    samples, points = digits()
    # One leaf: with smaller ones its tree errs by up to 12 nats on single digits.
    theirs = KernelDensity(bandwidth=0.2, leaf_size=1000).fit(samples).score_samples(points)
    np.testing.assert_allclose(log_likelihoods(samples, points, [0.2])[0], theirs, atol=0.001)


@pytest.mark.parametrize("dim", [1, 2, 4, 5, 784])
@pytest.mark.parametrize("n_samples", [1, 2, 300])
def test_any_dimension_and_number_of_samples_agrees_with_the_definition(
    dim: int, n_samples: int
) -> None:
    rng = np.random.default_rng(dim)
    samples, points = rng.normal(size=(n_samples, dim)), rng.normal(size=(50, dim))
    sigma = 0.3 * math.sqrt(dim)
    ours = log_likelihoods(samples, points, [sigma])[0]
    np.testing.assert_allclose(ours, brute_force(samples, points, sigma), atol=0.002)


def test_points_far_from_the_origin_lose_nothing_to_cancellation() -> None:
    rng = np.random.default_rng(0)
    samples, points = rng.normal(size=(500, 20)), rng.normal(size=(50, 20))
    expected = log_likelihoods(samples, points, [0.5])
    moved = log_likelihoods(samples + 1e6, points + 1e6, [0.5])
    np.testing.assert_allclose(moved, expected, atol=0.002)


@pytest.mark.parametrize("sigma", [1e-30, 1e-6, 1e-3, 1e3, 1e12])
def test_tiny_and_huge_sigmas_agree_with_the_definition(sigma: float) -> None:
    rng = np.random.default_rng(0)
    samples, points = rng.normal(size=(100, 3)), rng.normal(size=(20, 3))
    ours = log_likelihoods(samples, points, [sigma])[0]
    np.testing.assert_allclose(ours, brute_force(samples, points, sigma), rtol=1e-5)


def test_a_sample_on_the_point_gives_the_gaussians_peak() -> None:
    samples = np.zeros((1, 2))
    expected = -2 * math.log(1e-5 * math.sqrt(2 * math.pi))
    assert log_likelihoods(samples, samples, [1e-5])[0, 0] == pytest.approx(expected)


def test_duplicated_samples_change_nothing() -> None:
    samples, points = digits(200, 50)
    once = log_likelihoods(samples, points, [0.2])
    twice = log_likelihoods(np.repeat(samples, 3, axis=0), points, [0.2])
    np.testing.assert_allclose(twice, once, atol=1e-4)


def test_all_sigmas_at_once_are_the_sigmas_one_by_one() -> None:
    samples, points = digits(100, 40)
    at_once = log_likelihoods(samples, points, [0.1, 0.5, 0.2])
    assert at_once.shape == (3, 40)
    for row, sigma in zip(at_once, [0.1, 0.5, 0.2], strict=True):
        np.testing.assert_array_equal(row, log_likelihoods(samples, points, [sigma])[0])


@pytest.mark.parametrize("dim", [2, 64])
def test_the_block_size_changes_nothing(dim: int) -> None:
    rng = np.random.default_rng(0)
    samples, points = rng.normal(size=(300, dim)), rng.normal(size=(500, dim))
    whole = log_likelihoods(samples, points, [1.0], block_bytes=2**30)
    for block_bytes in (1, 100_000, 200_001):
        blocks = log_likelihoods(samples, points, [1.0], block_bytes=block_bytes)
        np.testing.assert_allclose(blocks, whole, atol=1e-5)


def test_read_only_arrays_tensors_and_half_precision_are_taken() -> None:
    samples, points = digits(100, 40)
    expected = log_likelihoods(samples, points, [0.2])
    samples.flags.writeable = False
    np.testing.assert_array_equal(log_likelihoods(samples, points, [0.2]), expected)
    tensor = torch.from_numpy(samples.copy()).requires_grad_()
    np.testing.assert_array_equal(log_likelihoods(tensor, points, [0.2]), expected)
    # The digits have 17 grey levels, which half precision holds exactly.
    half = log_likelihoods(samples.astype(np.float16), points, [0.2])
    np.testing.assert_allclose(half, expected, atol=0.05)


def test_a_lowered_matrix_precision_is_set_aside_and_restored() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        samples, points = digits()
        ours = log_likelihoods(samples, points, [0.1])[0]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    np.testing.assert_allclose(ours, brute_force(samples, points, 0.1), atol=0.001)


def test_the_authors_grid_is_theirs() -> None:
    np.testing.assert_allclose(AUTHORS[[0, 1, 2, 9]], [0.1, 0.129155, 0.16681, 1.0], rtol=1e-5)


def test_the_fine_grids_steps_are_as_documented() -> None:
    np.testing.assert_allclose(np.diff(FINE), 0.005)
    assert (FINE[0], FINE[-1]) == (0.005, 1.0)
    points = sigma_grid("fine", is_image=False)
    np.testing.assert_allclose(points[1:] / points[:-1], 1.05)
    assert points[0] == 0.001
    assert 10 < points[-1] < 10.5
    normalised = sigma_grid("fine", is_image=True, is_bounded=False)
    np.testing.assert_allclose(normalised[1:] / normalised[:-1], 1.02)
    assert normalised[0] == 0.01
    assert 10 < normalised[-1] < 10.5


def test_contrast_normalised_images_find_a_sigma_inside_their_grid() -> None:
    images = smooth_colour_images(600)
    grid = sigma_grid("fine", is_image=True, is_bounded=False)
    sigma, at_edge, _ = choose_sigma(images[:500], images[500:], grid)
    every = log_likelihoods(images[:500], images[500:], grid).mean(axis=1)
    assert sigma == grid[every.argmax()]
    assert not at_edge
    # What the untrained generator gives, far from all data, has one too.
    noise = np.random.default_rng(0).normal(scale=5, size=(500, 3072))
    assert not choose_sigma(noise, images[500:], grid)[1]


def test_an_unknown_grid_is_refused() -> None:
    with pytest.raises(
        BadInputError, match=r"--sigma-grid 'coarse': unknown\. Known: authors, fine\."
    ):
        sigma_grid("coarse", is_image=True)


def generator_like(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples as a kind of generator gives them, real points, and the grid for them."""
    samples, points = digits()
    if kind == "digits":
        return samples, points, FINE
    if kind == "one image":
        return np.repeat(points[:1], 200, axis=0), points, FINE
    if kind == "memorised":
        return samples, samples[:300], FINE
    if kind == "half memorised":
        return samples, np.concatenate([samples[:150], points[:150]]), FINE
    ring = load_dataset("ring")
    train = ring.train if kind == "ring" else ring.train[ring.train[:, 0] > 0.5]
    return train[:1000], ring.valid[:500], sigma_grid("fine", is_image=False)


@pytest.mark.parametrize(
    "kind",
    ["digits", "one image", "memorised", "half memorised", "ring", "three modes of the ring"],
)
def test_the_search_for_sigma_finds_the_whole_grids_best(kind: str) -> None:
    samples, points, grid = generator_like(kind)
    every = log_likelihoods(samples, points, grid).mean(axis=1)
    sigma, at_edge, valid_ll = choose_sigma(samples, points, grid)
    assert valid_ll == pytest.approx(every.max(), abs=1e-4)
    assert sigma == grid[every.argmax()]
    assert at_edge == (every.argmax() in (0, len(grid) - 1))


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_data_of_two_scales_still_gets_the_whole_grids_best(dim: int) -> None:
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(250, dim)) * 0.01, rng.normal(size=(250, dim)) * 3
    samples, points = np.concatenate([near, far]), np.concatenate([near + 0.001, far + 0.5])
    grid = sigma_grid("fine", is_image=False)
    every = log_likelihoods(samples, points, grid).mean(axis=1)
    assert choose_sigma(samples, points, grid)[2] == pytest.approx(every.max(), abs=1e-4)


def test_sigma_is_the_same_where_the_distances_do_not_fit() -> None:
    samples, points = digits()
    stored = choose_sigma(samples, points, FINE)
    computed = choose_sigma(samples, points, FINE, store_bytes=0, block_bytes=100_000)
    assert computed[:2] == stored[:2]
    assert computed[2] == pytest.approx(stored[2], abs=1e-5)


def test_the_sigma_of_one_gaussian_is_the_one_that_calculus_gives() -> None:
    # All samples at 0: the mean of -|x|^2 / (2 s^2) - d log s is highest at s^2 = mean |x|^2 / d.
    points = np.random.default_rng(0).normal(scale=0.4, size=(5000, 6))
    sigma, at_edge, _ = choose_sigma(np.zeros((10, 6)), points, FINE)
    assert sigma == pytest.approx(np.sqrt(np.mean(points**2)), abs=0.0025)
    assert not at_edge


def test_a_sigma_at_the_edge_is_flagged() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(50, 3))
    assert choose_sigma(samples, samples, AUTHORS)[:2] == (pytest.approx(0.1), True)
    assert choose_sigma(samples, samples + 100, AUTHORS)[:2] == (pytest.approx(1.0), True)


def test_a_score_is_the_mean_over_test_points_with_its_standard_error() -> None:
    dataset = load_dataset("digits")
    train, valid, test = (dataset.to_float(s) for s in (dataset.train, dataset.valid, dataset.test))
    result = score(train, valid, test, FINE)
    expected = brute_force(train, test, result.sigma)
    np.testing.assert_allclose(result.per_example, expected, atol=0.001)
    assert result.test_ll == pytest.approx(expected.mean(), abs=0.001)
    assert result.test_ll_se == pytest.approx(expected.std(ddof=1) / math.sqrt(300), abs=0.001)
    assert result.valid_ll == pytest.approx(
        brute_force(train, valid, result.sigma).mean(), abs=0.01
    )
    assert result.n_samples == 1197
    assert not result.sigma_at_edge
    # Training images as samples score about 29 nats on the digits.
    assert result.test_ll == pytest.approx(29, abs=1)


def test_a_curve_has_the_score_of_the_first_samples_at_each_number() -> None:
    samples, points = digits(1000, 300)
    curve = score_curve(samples, points[:100], points[100:], FINE, [1, 50, 300, 1000])
    assert [each.n_samples for each in curve] == [1, 50, 300, 1000]
    for each in curve:
        alone = score(samples[: each.n_samples], points[:100], points[100:], FINE)
        assert (each.sigma, each.sigma_at_edge) == (alone.sigma, alone.sigma_at_edge)
        np.testing.assert_allclose(each.per_example, alone.per_example, atol=0.001)
        assert each.test_ll == pytest.approx(alone.test_ll, abs=1e-4)
        assert each.test_ll_se == pytest.approx(alone.test_ll_se, abs=1e-4)
        assert each.valid_ll == pytest.approx(alone.valid_ll, abs=1e-4)


@pytest.mark.parametrize("counts", [[100, 50], [0, 50], [50, 1001], [50, 50]])
def test_a_curve_of_impossible_numbers_is_refused(counts: list[int]) -> None:
    samples, points = digits()
    with pytest.raises(ValueError, match=r"of 1000 samples: must ascend"):
        score_curve(samples, points, points, FINE, counts)


@pytest.mark.slow
@pytest.mark.data
def test_a_hundred_thousand_samples_of_mnist_fit_into_four_gigabytes(mnist_dir: Path) -> None:
    code = (
        "import json, resource, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from gansearch.data.registry import load_dataset\n"
        "from gansearch.scoring.evaluation import evaluate_samples\n"
        "mnist = load_dataset('mnist', Path(sys.argv[1]))\n"
        "samples = np.tile(mnist.to_float(mnist.train), (2, 1))\n"
        "rng = np.random.default_rng(0)\n"
        "for block in np.split(samples, 100):\n"
        "    block += 0.05 * rng.standard_normal(block.shape, dtype=np.float32)\n"
        "    block.clip(0, 1, out=block)\n"
        "found = evaluate_samples(mnist, samples)\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(json.dumps([found['n_samples'], found['test_ll'], peak]))\n"
    )
    command = [sys.executable, "-c", code, str(mnist_dir)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    n_samples, test_ll, peak = json.loads(found.stdout)
    peak_gigabytes = peak / (1e9 if sys.platform == "darwin" else 1e6)
    print(f"\n{n_samples:,} samples: {test_ll:.1f} nats, {peak_gigabytes:.2f} GB at peak")
    assert n_samples == 100_000
    assert 300 < test_ll < 400
    assert peak_gigabytes < 4


def test_the_likelihood_of_a_known_density_is_its_entropy() -> None:
    # With many samples the window's density nears N(0, 1), whose mean log-likelihood is known.
    rng = np.random.default_rng(0)
    samples, valid, test = rng.normal(size=(3, 5000, 1))
    result = score(samples, valid[:1000], test, sigma_grid("fine", is_image=False))
    assert result.test_ll == pytest.approx(-0.5 * math.log(2 * math.pi * math.e), abs=0.03)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20])
def test_values_that_are_not_finite_are_refused_with_the_first_sample(bad: float) -> None:
    samples, points = digits(100, 40)
    samples[[17, 30], 5] = bad
    expected = (
        "samples: 2 of 100 hold a NaN, an infinite value or one beyond 1e+15, "
        "sample 17 (from 0) first. Values must be finite."
    )
    with pytest.raises(SamplesError) as caught:
        log_likelihoods(samples, points, [0.2])
    assert str(caught.value) == expected


def test_samples_of_another_shape_are_refused() -> None:
    samples, points = digits(100, 40)
    with pytest.raises(SamplesError, match=r"samples: 63 values each, where the data has shape"):
        log_likelihoods(samples[:, :63], points, [0.2])
    with pytest.raises(SamplesError, match=r"samples: shape \[100, 8, 8\]\. It must be \[n, d\]"):
        choose_sigma(samples.reshape(100, 8, 8), points, FINE)
    with pytest.raises(SamplesError, match=r"samples: shape \[0, 64\]"):
        log_likelihoods(samples[:0], points, [0.2])


def test_the_largest_finite_samples_have_a_finite_likelihood() -> None:
    samples = np.full((30, 784), 9e14, dtype=np.float32)
    samples[::2] *= -1
    lls = log_likelihoods(samples, np.zeros((5, 784)), [0.001, 1.0])
    assert np.isfinite(lls).all()


@pytest.mark.data
@pytest.mark.parametrize(("grid", "expected"), [("fine", 243.2), ("authors", 241.2)])
def test_mnist_training_images_score_as_published(
    mnist_dir: Path, grid: str, expected: float
) -> None:
    # Theis et al. (2016), "A note on the evaluation of generative models", section 3.4, for 243.
    mnist = load_dataset("mnist", mnist_dir)
    result = score(
        mnist.to_float(mnist.train[:10_000]),
        mnist.to_float(mnist.valid[:1000]),
        mnist.to_float(mnist.test),
        sigma_grid(grid, is_image=True),
    )
    assert result.test_ll == pytest.approx(expected, abs=0.1)
    assert result.test_ll_se == pytest.approx(2, abs=0.2)
    assert not result.sigma_at_edge
