"""The private names of Optuna's that gansearch uses are where this release of Optuna has them."""

import ast
import importlib
import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from gansearch.tune.optuna_internals import (
    QueuedTrialsStorage,
    report_all,
    without_constraints,
)

PACKAGE = Path(__file__).parents[2] / "gansearch"
JOURNAL = "optuna.storages.journal._storage"
FLUSH = "to flush the journal when a trial begins or ends"
NAMES = [("CREATE_TRIAL", FLUSH), ("SET_TRIAL_STATE_VALUES", FLUSH)]


@pytest.mark.parametrize(("name", "purpose"), NAMES)
def test_optuna_still_has_the_operation_of_its_journal(name, purpose):
    lacks = f"Optuna {optuna.__version__} has no {JOURNAL}.JournalOperation"
    remedy = f".{name}, used {purpose}. See optuna_internals.py."
    try:
        module = importlib.import_module(JOURNAL)
    except ImportError:
        pytest.fail(lacks + remedy)
    assert hasattr(module, "JournalOperation"), lacks + remedy
    assert hasattr(module.JournalOperation, name), lacks + remedy


def test_optunas_journal_still_says_in_op_code_what_a_line_does(tmp_path):
    path = tmp_path / "journal"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    study = optuna.create_study(storage=optuna.storages.JournalStorage(backend))
    study.tell(study.ask(), 1.0)
    operations = importlib.import_module(JOURNAL).JournalOperation
    found = {json.loads(line)["op_code"] for line in path.read_text().splitlines()}
    assert {operations.CREATE_TRIAL, operations.SET_TRIAL_STATE_VALUES} <= found


def test_optunas_trials_still_have_the_private_id_of_their_storage():
    study = optuna.create_study()
    trial = study.ask()
    remedy = f"Optuna {optuna.__version__}: no trial._trial_id, used to open a trial again"
    assert hasattr(trial, "_trial_id") and hasattr(study.trials[0], "_trial_id"), remedy
    again = optuna.trial.Trial(study, study.trials[0]._trial_id)
    again.report(2.5, 10)
    assert trial.storage.get_trial(trial._trial_id).intermediate_values == {10: 2.5}
    study.tell(again, state=TrialState.PRUNED)
    assert [each.state for each in study.trials] == [TrialState.PRUNED]


@pytest.mark.parametrize(
    ("owner", "name", "purpose"),
    [
        (optuna.Study, "_get_trials", "to show samplers other states"),
        (optuna.storages.JournalStorage, "_sync_with_backend", "to write many reports at once"),
        (optuna.samplers.CmaEsSampler, "_restore_optimizer", "to read no pickle"),
        (optuna.samplers.CmaEsSampler, "_init_optimizer", "to compute the state again"),
        (optuna.samplers.CmaEsSampler, "_get_solution_trials", "to compute the state again"),
        (optuna.samplers.CmaEsSampler, "_split_optimizer_str", "to store no pickle"),
    ],
)
def test_optuna_still_has_the_method(owner, name, purpose):
    lacks = f"Optuna {optuna.__version__} has no {owner.__name__}.{name}, used {purpose}."
    assert hasattr(owner, name), f"{lacks} See optuna_internals.py."


def test_constraints_are_still_stored_as_system_attributes():
    study = optuna.create_study()
    trial = study.ask()
    trial.set_constraint("unhealthy", 1.0)
    attrs = study.trials[0].system_attrs
    assert attrs and not without_constraints(attrs)


def private_names_of_optuna(path):
    """Return the private modules of Optuna's that a file imports, and its uses of `_trial_id`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and node.attr == "_trial_id":
            is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
            found |= set() if is_own else {"optuna._trial_id"}
    return {name for name in found if name.split(".")[0] == "optuna" and "._" in name}


def test_no_other_module_uses_a_private_name_of_optunas():
    found = {path.name for path in PACKAGE.rglob("*.py") if private_names_of_optuna(path)}
    assert found == {"optuna_internals.py"}


def test_waiting_trials_are_found_among_many_others(tmp_path):
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
    study = optuna.create_study(storage=QueuedTrialsStorage(backend))
    plain = optuna.load_study(
        study_name=study.study_name, storage=optuna.storages.JournalStorage(backend)
    )
    waiting = (TrialState.WAITING,)

    def found():
        ours, theirs = (each.get_trials(states=waiting) for each in (study, plain))
        assert ours == theirs
        return [trial.number for trial in ours]

    assert found() == []
    study.tell(study.ask(), 1.0)
    for x in (1.0, 2.0):
        study.enqueue_trial({"x": x})
    plain.enqueue_trial({"x": 3.0})  # by another process
    assert found() == [1, 2, 3]
    begun = study.ask()
    assert begun.number == 1 and begun.suggest_float("x", 0, 9) == 1.0
    study.tell(begun, 1.0)
    study.enqueue_trial({"x": 4.0})
    assert found() == [2, 3, 4]
    assert [study.ask().number for _ in range(4)] == [2, 3, 4, 5]
    assert found() == []


@pytest.mark.parametrize("in_memory", [True, False])
def test_many_reports_in_one_write_are_what_single_ones_are(tmp_path, in_memory):
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
    storage = optuna.storages.JournalStorage(backend)
    studies = [optuna.create_study(storage=None if in_memory else storage) for _ in range(2)]
    one, all_ = ([study.ask() for _ in range(2)] for study in studies)
    reports = [(0, 10, 1.5), (1, 10, -2.0), (0, 20, 2.5)]
    for number, at, value in reports:
        one[number].report(value, at)
    report_all(studies[1], [(all_[number], at, value) for number, at, value in reports])
    single, together = ([t.intermediate_values for t in study.trials] for study in studies)
    assert single == together == [{10: 1.5, 20: 2.5}, {10: -2.0}]
