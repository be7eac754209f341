"""The journal of the study: when it is flushed, and what a torn line costs."""

import optuna
import pytest
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.trial import TrialState

from gansearch.space.load import load_space
from gansearch.tune.journal import journal_batch
from gansearch.tune.optuna_internals import backend_of
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import open_study
from tests.written_runs import step


@pytest.fixture
def space():
    return load_space("digits")


def searcher_of(space, study, outcomes, **more):
    return OptunaSearcher(space, study, seed=1, outcomes=outcomes, **({"n_new": 3} | more))


def test_the_journal_is_flushed_where_a_trial_begins_or_ends_and_read_by_optunas_own(
    space, tmp_path, monkeypatch
):
    journal = tmp_path / "optuna.journal"
    study = open_study(journal, make_sampler("random", 0))
    flushed = []
    monkeypatch.setattr("os.fsync", lambda _: flushed.append(journal.read_bytes().splitlines()[-1]))
    searcher = searcher_of(space, study, {"ray-0": Outcome("completed")})
    searcher.suggest("ray-0")
    assert len(flushed) == 1
    for updates in (100, 200, 300):
        searcher.on_trial_result("ray-0", step(updates, 1.5).to_tune())
    searcher.write_reports()
    assert len(flushed) == 1
    # Not flushed is not unwritten: a kill loses nothing.
    assert b'"step":300' in journal.read_bytes()
    searcher.on_trial_complete("ray-0", step(400, 2.5).to_tune())
    assert len(flushed) == 2
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    read = optuna.load_study(
        study_name=study.study_name, storage=optuna.storages.JournalStorage(backend)
    )
    assert read.trials == study.trials
    assert read.trials[0].value == 2.5


def test_the_lock_of_a_killed_process_is_not_waited_for(space, tmp_path):
    journal = tmp_path / "optuna.journal"
    open_study(journal, make_sampler("random", 0))
    JournalFileSymlinkLock(str(journal)).acquire()
    study = open_study(journal, make_sampler("random", 0))
    assert [path.name for path in tmp_path.iterdir()] == ["optuna.journal"]
    assert searcher_of(space, study, {}).suggest("ray-0") is not None


@pytest.mark.parametrize("n_torn", [1, 30])
def test_a_journal_that_ends_within_a_line_loses_no_more_than_that_line(space, tmp_path, n_torn):
    journal = tmp_path / "optuna.journal"
    before = searcher_of(space, open_study(journal, make_sampler("random", 0)), {})
    before.suggest("ray-0")
    before.suggest("ray-1")
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-n_torn])
    study = open_study(journal, make_sampler("random", 0))
    assert [trial.number for trial in study.trials] == [0, 1]
    study.tell(0, 1.0)
    study.tell(1, state=TrialState.FAIL)
    again = open_study(journal, make_sampler("random", 0))
    assert [t.state for t in again.trials] == [TrialState.COMPLETE, TrialState.FAIL]


def test_a_proposal_takes_the_lock_twice_and_an_end_once(space, tmp_path, monkeypatch):
    study = open_study(tmp_path / "optuna.journal", make_sampler("random", 0))
    outcomes = {"ray-0": Outcome("completed")}
    searcher = searcher_of(space, study, outcomes)
    taken = []
    acquire = JournalFileSymlinkLock.acquire
    monkeypatch.setattr(
        JournalFileSymlinkLock, "acquire", lambda self: taken.append(self) or acquire(self)
    )
    searcher.suggest("ray-0")
    assert len(taken) == 2  # the trial begins; then all its parameters
    searcher.on_trial_complete("ray-0", step(100, 1.0).to_tune())
    assert len(taken) == 4  # the report; then how the trial ended
    assert not list(tmp_path.glob("*.lock*"))  # and it was released each time


def test_a_journal_that_is_held_is_readable_and_released_after_an_error(space, tmp_path):
    journal = tmp_path / "optuna.journal"
    study = open_study(journal, make_sampler("random", 0))
    with pytest.raises(ZeroDivisionError), journal_batch(study):
        study.set_user_attr("within", 1)
        assert b"within" in journal.read_bytes()  # a kill at this moment loses nothing
        raise ZeroDivisionError
    study.set_user_attr("after", 2)
    again = open_study(journal, make_sampler("random", 0))
    assert again.user_attrs == {"within": 1, "after": 2}


def test_lines_of_another_process_are_read_beside_our_own(tmp_path):
    journal = tmp_path / "optuna.journal"
    study = open_study(journal, make_sampler("random", 0))
    other = open_study(journal, make_sampler("random", 0))
    for number in range(3):
        study.tell(study.ask(), 1.0)
        other.set_user_attr(f"note {number}", number)
    assert study.user_attrs == {f"note {number}": number for number in range(3)}
    assert len(other.trials) == 3
    # The memory of where lines begin doesn't grow with the journal.
    assert len(backend_of(study)._log_number_offset) <= 2
