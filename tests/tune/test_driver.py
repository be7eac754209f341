"""What the driver does between the phases, without Ray."""

import os
import signal
import time
from contextlib import nullcontext
from dataclasses import replace

import pandas as pd
import pytest

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import InterruptedRunError, RunFailedError
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.report.report import build_report
from gansearch.runs.folder import RunFolder
from gansearch.runs.tables import ResultsWarning
from gansearch.scoring.evaluation import final_score
from gansearch.scoring.references import References, evaluate_training_examples
from gansearch.space.load import load_space
from gansearch.training.training import AdversarialTraining
from gansearch.tune import driver, phases, preflight
from gansearch.tune.new_run import describe_run
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share
from tests import saved_generators
from tests.written_runs import trial

TRAINING = {"name": "training points", "n_samples": 1000, "valid_ll": 2.0}


@pytest.fixture
def folder(tmp_path):
    """A run that has been replicated and not yet been ranked."""
    folder = RunFolder.create(tmp_path, "trained")
    space = load_space("ring", [])
    folder.write_run(
        describe_run("trained", space, (), 0, Settings(), TRAINING, load_dataset("ring"))
    )
    return folder


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def sending(signum):
    """Return a function, of any arguments, that sends this process a signal and must not go on."""

    def send(*_, **__):
        os.kill(os.getpid(), signum)
        pytest.fail("it went on")

    return send


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_ends_the_ranking_at_once_and_in_order(folder, monkeypatch, signum):
    monkeypatch.setattr(driver, "replicate", lambda *_: None)
    monkeypatch.setattr(phases, "reference_scores", sending(signum))
    before = signal.getsignal(signum)
    with pytest.raises(InterruptedRunError, match=f"gansearch resume {folder.path}"):
        driver._execute(
            *(folder, folder.read_run(), load_space("ring", []), [], load_dataset("ring")),
            *(Settings(), None, driver._progress(None, load_space("ring", []), [], Settings())),
            started=time.monotonic(),
            search_on=False,
        )
    assert folder.read_run().state == "interrupted"
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("place", ["load_resumed_data", "shared_cluster", "_execute"])
def test_a_signal_at_any_time_of_a_resume_says_how_to_go_on(folder, monkeypatch, place, signum):
    monkeypatch.setattr(driver, "shared_cluster", lambda *_, **__: nullcontext(Share(0.0, 1)))
    monkeypatch.setattr(driver, place, sending(signum))
    with pytest.raises(InterruptedRunError, match=f"To go on: gansearch resume {folder.path}$"):
        driver.resume(folder.path)


def test_a_stop_between_the_first_write_and_the_first_trial_says_how_to_go_on(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "trial_share", lambda *_: Share(0.0, 1))
    monkeypatch.setattr(driver, "Recorder", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(InterruptedRunError, match=f"gansearch resume {tmp_path}/results/begun$"):
        driver.search("ring", name="begun", results=tmp_path / "results")


@pytest.mark.parametrize("seed", [5_000_000_000, None])
def test_a_search_begins_with_any_seed_and_a_space_of_any_name(tmp_path, monkeypatch, seed):
    class Connecting(Exception):  # noqa: N818
        pass

    def connected(_settings, _dataset):
        begun.extend(path.name for path in tmp_path.glob("results/*"))
        raise Connecting

    begun = []
    monkeypatch.setattr(preflight, "connected", connected)
    space = replace(load_space("ring", []), name="größe (1)")
    with pytest.raises(Connecting):
        driver.search(space, seed=seed, results=tmp_path / "results")
    assert begun[0].startswith("grosse-1-")
    assert list(tmp_path.glob("results/*")) == []


# Ends without a result


def ended(tmp_path, *statuses, only=False, search="completed"):
    """A run on digits of one search trial, and of replicas that ended in `statuses`."""
    folder = RunFolder.create(tmp_path, "ended")
    space = load_space("digits", ["budget.trials=1", "budget.top=1", "budget.replicas=1"])
    paper = space.baseline
    configs = [paper] if only else []
    digits = load_dataset("digits")
    training = evaluate_training_examples(digits)
    run = describe_run("ended", space, configs, 0, Settings(), training, digits)
    folder.write_run(replace(run, search_is_over=search == "completed"))
    of = {"number": 0, "reason": "coverage .01"}
    rows = [] if only else [trial("t00000", paper, search, **of)]
    rows += [
        trial(f"r-{paper.config_id}-{i}", paper, status, phase="replica", **of)
        for i, status in enumerate(statuses)
    ]
    folder.write_trials(rows)
    return folder


def resumed(folder, monkeypatch):
    """Resume a run that has nothing left to train; return how it fails."""
    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "trial_share", lambda *_: Share(0.0, 1))
    monkeypatch.setattr(phases, "run_experiment", lambda *_, **__: pytest.fail("it trained"))
    with pytest.raises(RunFailedError) as error:
        driver.resume(folder.path)
    return str(error.value)


@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize("status", ["collapsed", "diverged", "failed"])
def test_a_run_whose_only_replica_ended_badly_fails_alike_each_time(
    tmp_path, monkeypatch, status, only
):
    folder = ended(tmp_path, status, only=only)
    first = resumed(folder, monkeypatch)
    assert f"not one replica was completed (1 {status}). The commonest reason: coverage" in first
    assert f"With more seeds: `gansearch resume {folder.path} --replicas 2`." in first
    assert ("--trials 2`." in first) == (not only)
    assert resumed(folder, monkeypatch) == first
    assert folder.read_run().state == "failed"
    assert folder.ranking().empty
    warnings = build_report(folder).warnings
    assert any(f"failed: not one replica was completed (1 {status}). With" in w for w in warnings)
    assert "not one replica was completed" in (folder.path / "report.html").read_text()


def test_a_search_without_a_completed_trial_fails_alike_each_time(tmp_path, monkeypatch):
    folder = ended(tmp_path, search="collapsed")
    first = resumed(folder, monkeypatch)
    assert "not one trial of the search was completed (1 collapsed)" in first
    assert resumed(folder, monkeypatch) == first
    assert folder.read_run().state == "failed"
    assert folder.read_run().search_is_over is False


def test_a_run_without_replicas_needs_none_that_was_completed(tmp_path, monkeypatch):
    folder = ended(tmp_path)
    run = folder.read_run()
    budget = {**run.space["budget"], "replicas": 0}
    folder.write_run(replace(run, space={**run.space, "budget": budget}))
    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "trial_share", lambda *_: Share(0.0, 1))
    driver.resume(folder.path)
    assert folder.read_run().state == "finished"
    assert (folder.path / "report.html").exists() and folder.ranking().empty


def test_a_used_time_budget_leaves_the_other_replicas_out_and_the_run_ends(tmp_path, monkeypatch):
    folder = ended(tmp_path)
    run = folder.read_run()
    left_out = tuple(f"r-{load_space('digits').baseline.config_id}-{i}" for i in range(1))
    folder.write_run(
        replace(run, wall_seconds=100.0, settings=vars(Settings(time_budget_seconds=90)))
    )
    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "trial_share", lambda *_: Share(0.0, 1))
    monkeypatch.setattr(phases, "run_experiment", lambda *_, **__: pytest.fail("it trained"))
    driver.resume(folder.path)
    assert folder.read_run().state == "finished"
    assert folder.read_run().cut_replicas == left_out
    assert "left room for 0 of 1 replica" in (folder.path / "report.html").read_text()
    assert folder.ranking().empty


def test_given_configurations_without_the_time_for_any_replica_fail_and_say_so(
    tmp_path, monkeypatch
):
    folder = ended(tmp_path, only=True)
    run = folder.read_run()
    folder.write_run(
        replace(run, wall_seconds=100.0, settings=vars(Settings(time_budget_seconds=90)))
    )
    said = resumed(folder, monkeypatch)
    assert "the time budget of 90 s was over before any replica was completed" in said
    assert f"Give the run more time: gansearch resume {folder.path} --time-budget 20m" in said


# Damaged results


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """A run of one completed replica, with its generator and its scores, that was ranked."""
    digits = load_dataset("digits")
    lines = [{"name": "training images", "test_ll": 29.0, "n_samples": 1197}]
    monkeypatch.setattr(phases, "reference_scores", lambda *_, **__: References(lines, []))
    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "trial_share", lambda *_: Share(0.0, 1))
    folder = ended(tmp_path, "completed", only=True)
    (row,) = folder.trials().to_dict("records")
    config = TrialConfig(generator_widths=(8,), discriminator_widths=(8,))
    training = AdversarialTraining(config, digits, seed=5)
    saved_generators.save(
        folder.model_dir(row["trial_id"]),
        *(training.generator, config),
        dataset="digits",
        seed=training.sample_seed,
    )
    parzen = final_score(digits, training.samples(N_FINAL_SAMPLES)).parzen
    folder.write_trials([row | {"test_ll": parzen.test_ll}])
    folder.write_test_ll(row["trial_id"], parzen.per_example)
    driver.resume(folder.path)
    assert folder.read_run().state == "finished"
    return folder


def test_a_resume_makes_damaged_results_again_and_keeps_what_was_damaged(scored):
    (trial_id,) = scored.trials()["trial_id"]
    tables = [scored.path / f"{name}.parquet" for name in ("ranking", "references", "curve")]
    test_ll = scored.path / "test_ll" / f"{trial_id}.parquet"
    paths = [*tables, test_ll]
    before = {path: pd.read_parquet(path) for path in paths}
    for path in paths:
        path.write_bytes(path.read_bytes()[:100])
    driver.resume(scored.path)
    for path in paths:
        pd.testing.assert_frame_equal(pd.read_parquet(path), before[path])
        assert path.with_name(f"_{path.name}.damaged").stat().st_size == 100
    assert scored.ranking()["n_failed"].tolist() == [0]


def test_the_winners_generator_may_be_lost_and_the_run_still_ends(scored):
    (trial_id,) = scored.trials()["trial_id"]
    (scored.model_dir(trial_id) / "generator.safetensors").write_bytes(b"torn")
    (scored.path / "report.html").unlink()
    driver.resume(scored.path)
    assert scored.read_run().state == "finished"
    assert (scored.path / "report.html").exists() and len(scored.ranking()) == 1


def test_scores_of_other_samples_do_not_take_the_place_of_lost_ones(scored):
    (row,) = scored.trials().to_dict("records")
    scored.write_trials([row | {"test_ll": row["test_ll"] + 50}])
    (scored.path / "test_ll" / f"{row['trial_id']}.parquet").unlink()
    with pytest.warns(ResultsWarning, match="it has no test log-likelihoods"):
        driver.resume(scored.path)
    assert not scored.has_test_ll(row["trial_id"])


# Signals


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("where", ["check_memory", "connected", "trial_share"])
def test_a_signal_before_the_first_trial_leaves_no_folder(tmp_path, monkeypatch, signum, where):
    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, where, sending(signum))
    with pytest.raises(InterruptedRunError, match=r"Stopped before the run began; nothing"):
        driver.search("ring", name="begun", results=tmp_path / "results")
    assert not (tmp_path / "results" / "begun").exists()


def test_signals_while_the_end_is_written_lose_nothing(folder, monkeypatch):
    """The first stops the ranking; those that follow wait for the last writes."""
    flushed = []

    def flush(_recorder):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        flushed.append(True)

    monkeypatch.setattr(driver, "replicate", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(driver.Recorder, "flush", flush)
    with pytest.raises(InterruptedRunError, match="gansearch resume"):
        driver._execute(
            *(folder, folder.read_run(), load_space("ring", []), [], load_dataset("ring")),
            *(Settings(), None, driver._progress(None, load_space("ring", []), [], Settings())),
            started=time.monotonic(),
            search_on=False,
        )
    assert flushed and folder.read_run().state == "interrupted"
