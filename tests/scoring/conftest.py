"""Data sets, samples and reference lines that the tests of scores share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring.references import References, reference_scores


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the lines are kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gansearch" / "references"


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="session")
def ring() -> Dataset:
    return load_dataset("ring")


@pytest.fixture(scope="session")
def fakes(digits: Dataset) -> np.ndarray:
    """Blurred, slightly noisy digits: what a passable generator gives."""
    rng = np.random.default_rng(0)
    images = digits.to_float(digits.train)[:1000]
    noise = rng.normal(scale=0.1, size=images.shape)
    return np.clip(0.9 * images + 0.05 + noise, 0, 1).astype(np.float32)


@pytest.fixture(scope="session")
def digits_lines(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> References:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return reference_scores(digits)
