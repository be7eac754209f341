"""Measures of the user's own: what a space says of them, and what they are called with."""

import dataclasses
import random

import numpy as np
import pandas as pd
import pytest
import torch

import gansearch
from gansearch.budget import Budget
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError, OutsideError, SpaceError
from gansearch.own_measures import VALID_LL, Objective, OwnMeasure, stored_objective
from gansearch.ranking.intervals import seeds_interval
from gansearch.ranking.ranking import rank
from gansearch.runs.folder import RunFolder
from gansearch.scoring.own import OwnEvaluator, as_seen
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system import user_code
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from gansearch.tune.halving import SuccessiveHalving

HEAD = "dataset: ring\nsearch: {generator_lr: {float: [0.01, 0.1]}}\n"
CODE = """
import gansearch

@gansearch.measure(direction="maximize", unit="share", features="mine.py:first", n_samples=50)
def near(samples, real):
    return float(samples.shape == real.shape == (len(samples), 1))

def first(examples):
    return examples[:, :1]

def gap(samples, real):
    return abs(samples.mean() - real.mean())

def broken(samples, real):
    return samples.no_such_thing

def infinite(samples, real):
    return 1 / 0.0 if False else float("inf")

def text(samples, real):
    return "good"

not_callable = 3
"""


@pytest.fixture
def load(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)

    def _load(measures):
        (tmp_path / "space.yaml").write_text(f"{HEAD}measures: {measures}\n")
        return load_space(str(tmp_path / "space.yaml"))

    return _load


def given(function, **said):
    return OwnMeasure("f", user_code.reference_of(function), **said)


def test_a_space_lists_built_in_measures_and_functions_of_the_users_own(load, tmp_path):
    near, gap = load("[coverage, mine.py:near, mine.py:gap]").measures
    assert near == OwnMeasure(
        "near", f"{tmp_path}/mine.py:near", "maximize", "share", f"{tmp_path}/mine.py:first", 50
    )
    assert gap == OwnMeasure("gap", f"{tmp_path}/mine.py:gap")
    assert (near.column, gap.test_column) == ("measure.near", "measure.gap_test")


def test_an_entry_of_a_space_says_more_than_the_function_does(load, tmp_path):
    (near,) = load("[{function: mine.py:near, name: fid, features: net.pt, unit: m}]").measures
    assert (near.name, near.direction, near.unit, near.n_samples) == ("fid", "maximize", "m", 50)
    assert near.features == f"{tmp_path}/net.pt"


def test_what_a_run_stores_of_its_measures_is_read_without_their_code(load, tmp_path):
    space = load("[mine.py:near]")
    assert set(space.references) == {f"{tmp_path}/mine.py:near", f"{tmp_path}/mine.py:first"}
    (tmp_path / "mine.py").unlink()
    assert SearchSpace.from_dict(space.to_dict()).measures == space.measures
    assert "measures" not in load_space("ring").to_dict()  # as in every run of before


def test_functions_that_lie_in_no_file_are_told_apart_by_the_names_that_a_space_gives_them():
    def given(*measures):
        search = {"generator_lr": {"float": [0.1, 1]}}
        values = {"dataset": "ring", "search": search, "measures": list(measures)}
        return SearchSpace.from_dict(values).measures

    of_means, of_spreads = (lambda samples, real: 0.0), (lambda samples, real: 1.0)
    with pytest.raises(SpaceError, match=r"two are called _lambda_.*\{function: _lambda_, name: "):
        given(of_means, of_spreads)
    found = given(of_means, {"function": of_spreads, "name": "spreads"})
    assert [each.column for each in found] == ["measure._lambda_", "measure.spreads"]
    assert [user_code.load(each.function) for each in found] == [of_means, of_spreads]


FAULTS = {
    "mine.py:gap": "measures: found 'mine.py:gap'. It must be a list.",
    "[covrage]": "measures: no measure is called covrage. Did you mean coverage?",
    "[mine.py:gap, mine.py:gap]": "two are called gap. Give one another name: "
    "{function: mine.py:gap, name: gap_2}.",
    "[{function: mine.py:gap, name: recall}]": "recall is a built-in measure.",
    "[{function: mine.py:gap, name: gap_test}]": "name: found 'gap_test'.",
    "[{function: mine.py:gap, direction: up}]": "direction: found 'up'. It must be minimize or",
    "[{function: mine.py:gap, n_samples: 3}]": "n_samples: found 3. It must be a whole number in",
    "[{function: mine.py:gap, features: net.onnx}]": "features: found 'net.onnx'. It must be",
    "[{function: mine.py:gap, feature: net.pt}]": "measures: feature: unknown. Did you mean feat",
    "[{name: gap}]": "measures: function: missing.",
    "[mine.py:gapp]": "has no gapp. Did you mean gap?",
    "[mine.py:not_callable]": "mine.py:not_callable: a int, which can't be called.",
    "[3]": "measures: found 3.",
    "[{function: mine.py:gap, features: mine.py:gap}]": "the extractor has the name of the measure",
}


@pytest.mark.parametrize("measures", FAULTS)
def test_a_faulty_list_of_measures_is_answered_with_line_rule_and_remedy(load, measures):
    with pytest.raises(SpaceError) as error:
        load(measures)
    assert "space.yaml:3" in str(error.value)
    assert FAULTS[measures] in str(error.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("broken", "mine.py:broken: AttributeError: 'numpy.ndarray' object has no attribute"),
        ("infinite", "mine.py:infinite: it returned inf. It must return a finite number."),
        ("text", "mine.py:text: it returned a str. It must return a finite number."),
    ],
)
def test_a_measure_that_fails_on_real_examples_is_refused_before_a_search(load, name, what):
    space = load(f"[mine.py:gap, mine.py:{name}]")
    with pytest.raises(BadInputError) as error:
        OwnEvaluator(space.measures, load_dataset("ring")).check()
    assert what in str(error.value)
    assert "a call on 20 real examples" in str(error.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConnectionError("no answer"), OutsideError), (ValueError("odd"), ConfigError)],
)
def test_a_failed_objective_says_whether_its_code_is_at_fault(error, kind):
    def f(samples, real):
        raise error

    ring, measure = load_dataset("ring"), given(f)
    with pytest.raises(ConfigError, match=f"{type(error).__name__}: .*: raise error") as caught:
        OwnEvaluator([measure], ring, objectives=[measure]).evaluate(ring.valid[:40], 40)
    assert type(caught.value) is kind


def test_a_measure_sees_images_as_channels_of_pixels_and_points_in_their_own_units(monkeypatch):
    digits = load_dataset("digits")
    seen = as_seen(digits, digits.to_float(digits.train[:3]))
    assert seen.shape == (3, 1, 8, 8)
    assert seen.dtype == np.float32
    assert (seen[1, 0].ravel() * 16 == digits.train[1]).all()
    ring = load_dataset("ring")
    monkeypatch.setattr(type(ring), "in_own_units", lambda _, points: points + 100)
    assert (as_seen(ring, ring.valid[:3]) == ring.valid[:3] + 100).all()


def test_features_of_real_examples_are_computed_once_by_functions_and_by_torchscript(tmp_path):
    digits, calls = load_dataset("digits"), []

    def extract(images):
        calls.append(len(images))
        return torch.from_numpy(images).flatten(1)[:, :3]

    def f(samples, real):
        assert samples.shape == (30, 3)
        return gansearch.frechet_distance(samples, real)

    torch.jit.script(torch.nn.Flatten()).save(str(tmp_path / "net.pt"))
    by_function = given(f, features=user_code.reference_of(extract))
    flat = dataclasses.replace(
        by_function,
        name="g",
        features=str(tmp_path / "net.pt"),
        function=user_code.reference_of(lambda samples, _: samples.shape[1]),
    )
    own = OwnEvaluator([by_function, flat], digits)
    samples = digits.to_float(digits.test[:30])
    first, notes = own.evaluate(samples, 30)
    assert own.evaluate(samples, 30)[0] == first
    assert not notes
    assert first["measure.g"] == 64
    assert calls == [30, 30, 30]  # samples, real ones, samples


def unchanged(images):
    return images


def first_two(images):
    return images[:2, 0, 0]


@pytest.mark.parametrize("extract", ["no.pt", unchanged, first_two])
def test_a_wrong_extractor_is_refused(tmp_path, extract):
    name = str(tmp_path / extract) if isinstance(extract, str) else user_code.reference_of(extract)
    own = OwnEvaluator([given(lambda a, b: 0.0, features=name)], load_dataset("digits"))
    with pytest.raises(BadInputError, match=r"there is no such file|\[n, k\], a row for each") as e:
        own.check()
    # Other nodes may have the file.
    assert isinstance(e.value.__cause__, OutsideError) == isinstance(extract, str)


def test_a_measure_changes_neither_the_random_numbers_of_a_training_nor_its_examples():
    def f(samples, real):
        samples += 1
        real += 1
        return float(torch.rand(1)) + random.random() + float(np.random.rand())  # noqa: NPY002

    ring = load_dataset("ring")
    samples = ring.valid[:40].copy()
    own = OwnEvaluator([given(f)], ring)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    first = own.evaluate(samples, 40)
    drawn = torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    assert drawn == (torch.rand(1), np.random.rand(), random.random())  # noqa: NPY002
    assert own.evaluate(samples, 40) == first
    assert (samples == ring.valid[:40]).all()


def test_a_measure_that_fails_in_a_search_is_null_with_one_note_and_the_trial_goes_on(tmp_path):
    sizes = []

    def f(samples, real):
        sizes.append((len(samples), len(real)))
        return 1.5 if len(sizes) == 1 else np.nan

    measures = (given(f, n_samples=1200),)
    folder = RunFolder.create(tmp_path, "run")
    budget = Budget(max_updates=400, reports=4, grace=0.25)
    ring = load_dataset("ring")
    process = TrialProcess.prepare(ring, TrialPlan(folder.path, {}, budget, measures=measures))
    config = {"generator_widths": [16], "discriminator_widths": [16], "batch_size": 20}
    runner = TrialRunner(TrialSpec("r-0", 0, "replica", seed=3, config=config), process)
    steps = []
    while not (steps and steps[-1].done):
        steps.append(runner.step())
    evaluations = [step for step in steps if step.is_evaluation]
    assert [step.measured["measure.f"] for step in evaluations] == [1.5, None, None, None]
    assert "own" not in evaluations[0].measured
    notes = [step.note for step in steps if step.note]
    assert len(notes) == 1
    assert "it returned nan" in notes[0]
    assert sizes[0] == (1200, min(1200, len(ring.valid)))
    again = StepResult.from_dict(evaluations[0].to_dict())
    assert again.evaluation == evaluations[0].evaluation


def test_the_interval_of_a_measure_over_seeds_allows_for_a_seed_that_is_worse():
    low, high = seeds_interval(np.array([1.0, 2.0, 3.0]))
    assert low < 2 - (high - 2) < high
    assert np.isnan(seeds_interval(np.array([1.0]))).all()


def replicas_with(**measured):
    """Four replicas of one configuration, of which the last has no score."""
    return pd.DataFrame(
        {
            "trial_id": ["a", "b", "c", "d"],
            "number": range(4),
            "phase": "replica",
            "config_id": "x",
            "status": ["completed", "completed", "completed", "collapsed"],
            "updates": 10,
            "valid_ll": 1.0,
            **measured,
        }
    )


LLS = {name: np.arange(5.0) for name in "abc"}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_ranking_has_the_mean_of_a_measure_over_the_seeds_that_work(direction):
    replicas = replicas_with(
        **{"measure.fid": [1.0, 2.0, 3.0, 90.0], "measure.fid_test": [np.nan] * 4}
    )
    measure = OwnMeasure("fid", "m.py:fid", direction)
    (row,) = rank(replicas, LLS, paper_config_id=None, measures=[measure]).to_dict("records")
    assert row["measure.fid"] == 2
    reach = 2 - row["measure.fid_low"], row["measure.fid_high"] - 2
    assert (reach[1] > reach[0]) == (direction == "minimize")
    assert np.isnan(row["measure.fid_test"])


def test_the_interval_of_a_share_stays_within_0_and_1():
    replicas = replicas_with(**{"measure.hits": [0.97, 0.98, 0.99, 0.1]})
    for unit, is_within in (("share", True), ("nats", False)):
        measures = [OwnMeasure.of_family("hits", "maximize", unit)]
        (row,) = rank(replicas, LLS, paper_config_id=None, measures=measures).to_dict("records")
        assert row["measure.hits_low"] < 0.97
        assert (row["measure.hits_high"] == 1) == is_within


def test_the_frechet_distance_is_that_of_gaussians_with_the_same_moments():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20_000, 2)) * [1, 2]
    b = rng.normal(size=(20_000, 2)) * [3, 2] + [1, 0]
    assert gansearch.frechet_distance(a, b) == pytest.approx(1 + (3 - 1) ** 2, rel=0.05)
    few = rng.normal(size=(5, 30))  # fewer than features
    assert gansearch.frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="one k"):
        gansearch.frechet_distance(a, few)


def test_a_space_names_one_of_its_measures_as_the_objective(load, tmp_path):
    for named in ("gap", "mine.py:gap"):
        space = load(f"[mine.py:near, mine.py:gap]\nobjective: {named}")
        assert space.objective.measure == space.measures[1]
        assert SearchSpace.from_dict(space.to_dict()).objective == space.objective
        assert stored_objective(space.to_dict()) == space.objective
    assert load("[mine.py:gap]\nobjective: valid_ll").objective == VALID_LL
    assert stored_objective(load_space("ring").to_dict()) == VALID_LL
    with pytest.raises(SpaceError, match=r"space.yaml:4: objective: found 'gapp'.*mean gap\?"):
        load("[mine.py:gap]\nobjective: gapp")


def test_a_trial_fails_with_the_reason_where_its_objective_does(load):
    ring = load_dataset("ring")
    broken = OwnMeasure("broken", load("[mine.py:gap]").measures[0].function + "pp")
    own = OwnEvaluator([broken], ring, objectives=[broken])
    with pytest.raises(BadInputError, match=r"mine\.py has no gappp"):
        own.evaluate(ring.valid[:40], 40)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_halving_stops_the_trials_that_are_worse_by_the_objective(direction):
    objective = Objective(OwnMeasure("fid", "m.py:fid", direction))
    halving = SuccessiveHalving(Budget(max_updates=100, grace=0.5, reduction_factor=2), objective)
    values = {"a": 3.0, "b": 2.0, "c": 1.0, "d": 5.0}
    stopped = {
        name: halving.add_score(name, 50, objective.score_of({"measure.fid": value}))
        for name, value in values.items()
    }
    assert (stopped["c"] is None) == (direction == "minimize")
    assert (stopped["d"] is None) == (direction == "maximize")
    if direction == "minimize":
        assert stopped["d"].startswith("fid 5 at rung 50, above 2: not in the best 1/2 of 3")


def replicas_of(values):
    """Return replicas of configurations, by id, with these values on both sets, and their lls."""
    rows = [
        {
            "trial_id": f"{name}{i}",
            "number": i,
            "phase": "replica",
            "config_id": name,
            "status": "completed",
            "updates": 10,
            "valid_ll": 1.0,
            "measure.fid": value,
            "measure.fid_test": value,
        }
        for name, of in values.items()
        for i, value in enumerate(of)
    ]
    lls = {row["trial_id"]: np.arange(5.0) - ord(row["config_id"]) for row in rows}
    return pd.DataFrame(rows), lls


@pytest.mark.parametrize(("direction", "order"), [("minimize", "abc"), ("maximize", "cba")])
def test_the_objective_orders_a_ranking_and_finds_its_ties(direction, order):
    measure = OwnMeasure("fid", "m.py:fid", direction)
    near = np.array([0, 0.01, 0.02, 0.03])
    replicas, lls = replicas_of({"c": 9 + near, "a": 1 + near, "b": 1.01 + near})
    ranking = rank(
        replicas, lls, paper_config_id=None, measures=[measure], objective=Objective(measure)
    )
    assert "".join(ranking["config_id"]) == order
    ties = dict(zip(ranking["config_id"], ranking["tied_with"], strict=True))
    assert ties == {"a": ["b"], "b": ["a"], "c": []}


def test_equal_validation_values_of_an_objective_leave_the_order_to_those_of_the_test_set():
    fid = OwnMeasure("fid", "m.py:fid")
    replicas, lls = replicas_of({"b": [2, 2.1], "a": [1, 1.1]})
    replicas["measure.fid"] = 5.0
    lls |= {name: np.arange(5.0) + 99 for name in lls if name.startswith("b")}
    ranking = rank(replicas, lls, paper_config_id=None, measures=[fid], objective=Objective(fid))
    assert ranking["config_id"].tolist() == ["a", "b"]
