"""The private names of Optuna's that gansearch uses are where this release of Optuna has them."""

import ast
import importlib
import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from gansearch.tune.optuna_internals import without_constraints

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
