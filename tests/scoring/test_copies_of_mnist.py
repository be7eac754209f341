"""On the real MNIST: copies are found, and new images are no copies."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring.copying import copy_p_value, copying
from gansearch.scoring.fld import dataset_fld
from gansearch.scoring.neighbours import distances_to_training

pytestmark = pytest.mark.data


@pytest.fixture
def mnist(mnist_dir: Path) -> Dataset:
    """Return MNIST with 10,000 training images, so that a search of them takes little time."""
    whole = load_dataset("mnist", mnist_dir)
    return Dataset("mnist", whole.train[:10_000], whole.valid, whole.test, whole.shape, whole.scale)


def test_copies_half_copies_and_near_copies_are_found_and_new_images_are_not(
    mnist: Dataset,
) -> None:
    rng = np.random.default_rng(0)
    copies, new = mnist.to_float(mnist.train[:300]), mnist.to_float(mnist.valid[1000:1300])
    noise = rng.normal(size=copies.shape)
    p = {
        "copies": copying(mnist, copies).copy_p,
        "half": copying(mnist, np.concatenate([copies[:150], new[150:]])).copy_p,
        "tenth": copying(mnist, np.concatenate([copies[:30], new[30:]])).copy_p,
        "noisy": copying(mnist, np.clip(copies + 0.05 * noise, 0, 1)).copy_p,
        "darker": copying(mnist, 0.85 * copies).copy_p,
        "new": copying(mnist, new).copy_p,
        "blends": copying(mnist, 0.5 * (new + new[::-1])).copy_p,
    }
    found = [name for name in p if p[name] < 1e-6]
    assert found == ["copies", "half", "tenth", "noisy", "darker"]
    assert min(p["new"], p["blends"]) > 0.01


def test_the_p_value_of_new_images_by_the_same_writers_raises_no_false_alarms(
    mnist: Dataset,
) -> None:
    distances = distances_to_training(mnist, mnist.to_float(mnist.valid[:2000]))
    rng = np.random.default_rng(0)
    draws = [np.split(distances[rng.permutation(2000)[:600]], 2) for _ in range(100)]
    one_cell = np.zeros(300, int)
    p = np.array([copy_p_value(ours, new, one_cell, one_cell) for ours, new in draws])
    assert (p < 0.05).mean() <= 0.09
    assert (p < 0.01).mean() <= 0.04
    # By Bonferroni they are larger than uniform ones, never smaller.
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 0.01
    by_others = copying(mnist, mnist.to_float(mnist.test[:500]))
    assert by_others.copy_p > 0.1


def test_fld_is_highest_for_copies_and_rises_with_their_share(mnist: Dataset) -> None:
    copies, new = mnist.to_float(mnist.train[:300]), mnist.to_float(mnist.valid[:300])
    shares = [dataset_fld(mnist, np.concatenate([copies[:n], new[n:]])) for n in (0, 150, 270, 300)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0, abs=4)
    assert 15 < shares[-1] < 40
