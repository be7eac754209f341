"""What a run does beside training, measured on its data."""

import pytest

from gansearch.data.registry import load_dataset
from gansearch.scoring.collapse import CollapseTest
from gansearch.tune import costs
from gansearch.tune.costs import CONCLUSION_SECONDS, Costs, measured_costs


def test_a_final_score_is_measured_and_the_lines_count_where_they_are_not_cached(monkeypatch):
    digits = load_dataset("digits")
    monkeypatch.setattr(costs, "are_cached", lambda _: True)
    cached = measured_costs(digits, CollapseTest(digits))
    assert cached.final_score > 0 and cached.conclusion > CONCLUSION_SECONDS
    monkeypatch.setattr(costs, "are_cached", lambda _: False)
    monkeypatch.setattr(costs.time, "monotonic", iter([0.0, 1.0, 5.0, 7.0]).__next__)
    computed = measured_costs(digits, CollapseTest(digits))
    assert computed == Costs(final_score=5.0, conclusion=pytest.approx(7 + 2 * 28))


def test_a_final_score_that_takes_long_is_measured_once(monkeypatch):
    digits = load_dataset("digits")
    monkeypatch.setattr(costs.time, "monotonic", iter([0.0, 20.0]).__next__)
    assert measured_costs(digits, CollapseTest(digits)).final_score == 50.0
