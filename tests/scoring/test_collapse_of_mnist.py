"""The verdict on samples of MNIST whose truth is known, and the column of the docs about it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.samples_bench import Bench, cases
from gansearch.data.registry import load_dataset

DOCS = Path(__file__).parents[2] / "docs" / "scores.md"
N = 1000

pytestmark = pytest.mark.data
CLEAR = ("2 classes", "5 classes", "9 classes", "100 images", "100 images, shifted", "noise .05")


@pytest.fixture(scope="module")
def bench(mnist_dir: Path) -> Bench:
    return Bench(load_dataset("mnist", mnist_dir), "fresh")


@pytest.mark.parametrize("name", CLEAR)
def test_clear_cases_of_mnist_get_the_right_verdict(bench: Bench, name: str) -> None:
    (case,) = (case for case in cases(10) if case.name == name)
    found = bench.judge(case.make(bench.source, 500, np.random.default_rng(0)))
    assert found.verdict.status in case.right, found


def verdicts_in_docs() -> dict[str, str]:
    """Return the last column of the table of indicators, by its first."""
    rows = DOCS.read_text().split("| verdict of `gansearch evaluate` |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows.splitlines()[2:]]
    return {row[0]: row[-1] for row in cells}


def test_the_docs_state_the_verdicts_on_mnist(bench: Bench) -> None:
    source, rng = bench.source, np.random.default_rng(0)

    def of(*classes: int) -> Callable[[], np.ndarray]:
        return lambda: source.draw(N, rng, np.array(classes))

    samples = {
        "real images": of(*range(10)),
        "without digit 9": of(*range(9)),
        "5 digits only": of(*range(5)),
        "only 3s": of(3),
        "only 1s": of(1),
        "100 different images": lambda: source.draw(100, rng)[rng.integers(100, size=N)],
        "10 different images": lambda: source.draw(10, rng)[rng.integers(10, size=N)],
        "blends of two images": lambda: (source.draw(N, rng) + source.draw(N, rng)) / 2,
    }
    found = {name: bench.judge(make()).verdict.status for name, make in samples.items()}
    assert found == verdicts_in_docs()
