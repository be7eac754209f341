"""Which configurations of a search are trained again, without Ray."""

from types import SimpleNamespace

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.space.load import load_space
from gansearch.trial.messages import TrialSpec
from gansearch.tune.phases import finalists
from gansearch.tune.rows import new_row

SOUND = {"coverage": 0.9, "recall": 0.9, "nn_ratio": 1.0}
COLLAPSED = {"coverage": 0.05, "recall": 0.0, "nn_ratio": 0.3}


def row(number, valid_ll, indicators=SOUND, phase="search", updates=5000):
    config = TrialConfig(k=1 + number)
    spec = TrialSpec(f"{phase}{number}", number, phase, 0, config.to_dict())
    ended = {"status": "completed", "updates": updates, "valid_ll": valid_ll}
    return new_row(spec, TrialConfig) | ended | indicators


def finalists_of(*rows, top=2, baseline="paper"):
    space = load_space("ring", [f"budget.top={top}", f"baseline={baseline}"])
    session = SimpleNamespace(
        space=space,
        budget=space.budget,
        dataset=load_dataset("ring"),
        description=SimpleNamespace(n_evaluation_samples=1000),
        rows=lambda phase: [row for row in rows if row["phase"] == phase],
    )
    found = finalists(session)
    best = found[: len(found) - len(space.baselines)]
    assert found[len(best) :] == space.baselines
    return [config.k - 1 for config in best]


def test_the_best_completed_configurations_become_finalists():
    assert finalists_of(row(0, 1.0), row(1, 3.0), row(2, 2.0)) == [1, 2]


def test_a_space_without_a_baseline_has_the_best_alone_as_finalists():
    assert finalists_of(row(0, 1.0), row(1, 3.0), row(2, 2.0), baseline="none") == [1, 2]
    assert finalists_of(row(0, 1.0), top=0, baseline="none") == []


def test_a_trial_that_an_older_version_completed_with_collapsed_samples_is_no_finalist():
    assert finalists_of(row(0, 1.0), row(1, 3.0, COLLAPSED), row(2, 2.0)) == [2, 0]


def test_a_trial_that_the_test_has_judged_at_its_end_is_not_judged_again():
    judged = row(1, 3.0, COLLAPSED | {"collapsed_p": 0.01})
    assert finalists_of(row(0, 1.0), judged, row(2, 2.0)) == [1, 2]


def test_a_collapsed_finalist_whose_replicas_have_begun_keeps_its_place():
    begun = row(1, 3.0, COLLAPSED, "replica")
    assert finalists_of(row(0, 1.0), row(1, 3.0, COLLAPSED), row(2, 2.0), begun) == [1, 2]


def test_trials_that_are_too_young_to_be_judged_may_become_finalists():
    assert finalists_of(row(0, 1.0), row(1, 3.0, COLLAPSED, updates=900)) == [1, 0]
