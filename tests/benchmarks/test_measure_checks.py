"""Which checks of Räisä et al. (2025) the measures pass today, and that the docs say so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies import measure_checks as checks

PAGE = Path(__file__).parents[2] / "docs" / "scores.md"


def test_no_measure_changes_sides() -> None:
    found, kept = checks.margins(*checks.SIZES["small"]), checks.kept("small")
    assert list(found.index) == list(kept.index)
    # Closer to a limit rounding may decide.
    sides = pd.DataFrame({"found": found, "kept": kept})[kept.abs() > 0.01]
    assert len(sides) > 0.85 * len(kept)
    changed = sides[(sides["found"] >= 0) != (sides["kept"] >= 0)]
    assert changed.empty, f"`measure_checks.py --write` if this is meant:\n{changed}"


def test_the_page_has_the_table_of_passes_and_failures() -> None:
    assert checks.markdown(checks.kept("study")) in PAGE.read_text()


def curve(*values: float) -> pd.Series:
    return pd.Series(values, index=np.arange(len(values)) - len(values) // 2, dtype=float)


@pytest.mark.parametrize(
    ("criterion", "right", "wrong"),
    [
        (checks.peak(0), (0, 0.5, 1, 0.5, 0), (0, 0.5, 1, 1, 1)),
        (checks.peak(0), (0, 0.5, 1, 0.5, 0.1), (0, 1, 0.5, 1, 0)),
        (checks.falling, (1, 1, 0.9, 0.2, 0.1), (1, 1.2, 0.9, 0.2, 0.1)),
        (checks.rising, (0.1, 0.5, 1), (1, 0.5, 0.1)),
        (checks.falling_by(0), (1, 0.8, 0.7, 0.2, 0), (1, 1, 1, 1, 0)),
        (checks.flat, (1, 0.98, 1.01), (1, 0.9, 1)),
        (checks.settled, (0, 0.5, 0.97, 1, 1), (0, 0.5, 0.8, 1, 1)),
        (checks.at(checks.LAST, 0), (1, 1, 0.04), (0, 0, 0.06)),
        (checks.at(checks.FIRST, 1), (1.04, 0), (0.9, 1)),
    ],
)
def test_a_criterion_tells_right_curves_from_wrong_ones(criterion, right, wrong) -> None:
    assert criterion(curve(*right)) >= 0 > criterion(curve(*wrong))


def test_a_measure_of_diversity_may_stay_high_around_the_data() -> None:
    rule = checks.Rule(diversity=(checks.falling,), high=(checks.flat,))
    assert rule.margin("diversity", curve(1, 1, 1)) >= 0
    assert rule.margin("diversity", curve(1, 0.5, 0)) >= 0
    assert rule.margin("diversity", curve(0, 0.5, 1)) < 0
    assert rule.margin("fidelity", curve(0, 0.5, 1)) is None
