"""Several objectives in a space file, by `--set`, and from Python."""

import pytest
import yaml

from gansearch.errors import SpaceError
from gansearch.own_measures import stored_objective
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace

SPACE = {
    "dataset": "ring",
    "search": {"generator_lr": {"float": [0.01, 0.1]}},
    "measures": ["mine.py:fid"],
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def fid(samples, real):\n    return 1.0\n")
    monkeypatch.chdir(tmp_path)

    def load_with(overrides=(), **sections):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**SPACE, **sections}, sort_keys=False))
        return load_space(str(path), list(overrides))

    return load_with


@pytest.mark.parametrize(
    ("names", "columns", "scores"),
    [
        (["valid_ll", "coverage"], ["valid_ll", "coverage"], (3.0, 0.5)),
        (["recall", "fid", "valid_ll"], ["recall", "measure.fid", "valid_ll"], (0.2, -7.0, 3.0)),
        (["precision", "clipped_density"], ["precision", "clipped_density"], None),
    ],
)
def test_objectives_are_built_in_or_of_ones_own_in_their_order(load, names, columns, scores):
    objective = load(objectives=names).objective
    assert objective.is_several and objective.columns == columns
    assert objective.column == columns[0]
    row = {"valid_ll": 3.0, "coverage": 0.5, "recall": 0.2, "measure.fid": 7.0}
    assert objective.scores_of(row) == objective.rating_of(row) == scores


def test_one_objective_is_as_it_was(load):
    for objective in (load().objective, load(objective="fid").objective):
        assert not objective.is_several
        assert objective.all == (objective,)
        assert objective.rating_of({"valid_ll": 2.0, "measure.fid": 2.0}) in (2.0, -2.0)
    assert "objectives" not in load(objective="fid").to_dict()


def test_what_a_run_stores_is_the_same_objective(load):
    space = load(objectives=["fid", "coverage"])
    stored = space.to_dict()
    assert stored["objectives"] == ["fid", "coverage"] and "objective" not in stored
    assert SearchSpace.from_dict(stored).objective == space.objective == stored_objective(stored)
    assert yaml.safe_load(space.describe())["objectives"] == ["fid", "coverage"]


def test_set_gives_a_space_other_objectives(load):
    assert load(["objectives=[valid_ll,fid]"], objective="fid").objective.names == (
        "valid_ll and fid"
    )
    with pytest.raises(SpaceError, match=r"--set objectives=\[valid_ll\]: objectives: found"):
        load(["objectives=[valid_ll]"])


def test_from_python_an_objective_may_be_the_function_itself(load):
    def gap(samples, real):
        return 0.0

    space = SearchSpace.from_dict({**SPACE, "measures": [gap], "objectives": ["valid_ll", gap]})
    assert space.objective.columns == ["valid_ll", "measure.gap"]


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ("valid_ll", "found 'valid_ll'. It must be a list of 2 to 4 measures, such as [valid_ll, "),
        (["valid_ll"], "For one, write objective: valid_ll."),
        (
            ["valid_ll", "coverage", "recall", "precision", "fid"],
            "It must be a list of 2 to 4 measures",
        ),
        (["valid_ll", "valid_ll"], "valid_ll stands there twice. Remove one."),
        (["valid_ll", "coverag"], "no trial reports 'coverag'. Did you mean coverage?"),
        (["valid_ll", "fidd"], "no trial reports 'fidd'. Did you mean fid?"),
        (["valid_ll", 3], "no trial reports 3. Known: clipped_coverage,"),
        (["valid_ll", ["coverage"]], "no trial reports ['coverage']."),
        (
            ["coverage", "test_ll"],
            "test_ll: trials don't report it: it is measured at the end of a replica only. Did you "
            "mean valid_ll?",
        ),
        (["valid_ll", "fld"], "fld: trials don't report it"),
        (["valid_ll", "d_loss"], "d_loss: no direction of it is better."),
        (["valid_ll", "nn_ratio"], "nn_ratio: no direction of it is better."),
        (
            ["coverage", "valid_ll_raw"],
            "valid_ll_raw: not every run has it. Did you mean valid_ll?",
        ),
    ],
)
def test_what_can_be_no_objective_is_one_clear_error(load, objectives, message):
    with pytest.raises(SpaceError) as caught:
        load(objectives=objectives)
    assert message in str(caught.value)
    assert "mine.yaml:" in str(caught.value) and "objectives:" in str(caught.value)


def test_one_and_several_at_once_are_refused(load):
    with pytest.raises(SpaceError, match=r"the space has an objective too\. Keep one of"):
        load(objective="fid", objectives=["valid_ll", "coverage"])


def test_a_measure_of_the_end_only_is_refused():
    with pytest.raises(SpaceError, match="neighbour_accuracy is measured at the end of a replica"):
        load_space("digits-inference", ["objectives=[valid_ll,neighbour_accuracy]"])
    allowed = load_space("digits-inference", ["objectives=[valid_ll,z_error]"])
    assert allowed.objective.names == "valid_ll and z_error"
