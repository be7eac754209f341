"""A feature that fails is done without, and its user is told once."""

import pytest

from gansearch.system.features import Feature


@pytest.fixture
def feature():
    return Feature("Wings", "GANSEARCH_WINGS", "it walks")


def test_a_failure_turns_a_feature_off_and_is_told_once(feature):
    assert feature.is_on
    feature.turn_off(RuntimeError("no feathers\nat line 3"))
    feature.turn_off(RuntimeError("no feathers again"))
    assert not feature.is_on
    assert feature.take_notes() == ["Wings fail here (no feathers): it walks"]
    assert feature.take_notes() == []


def test_the_environment_turns_a_feature_off(feature, monkeypatch):
    monkeypatch.setenv("GANSEARCH_WINGS", "0")
    assert not feature.is_on
    monkeypatch.setenv("GANSEARCH_WINGS", "1")
    assert feature.is_on
    assert feature.take_notes() == []
