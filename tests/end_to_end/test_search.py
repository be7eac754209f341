"""Whole searches on real Ray, through the Python API and through the command line."""

import json
import os

import numpy as np
import optuna
import pandas as pd
import pytest
import ray
import yaml
from optuna.artifacts import get_all_artifact_meta
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import gansearch
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, RunFailedError
from gansearch.report.report import build_report
from gansearch.runs.history import HISTORY_COLUMNS
from gansearch.runs.schemas import STATUSES, config_values
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.references import evaluate_training_examples
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.training.training import AdversarialTraining
from gansearch.tune import driver, experiment, phases
from gansearch.tune.driver import search
from gansearch.tune.dry_run import plan
from gansearch.tune.rows import OUT_OF_TIME, REPLICA_OUT_OF_TIME
from gansearch.tune.samplers import UNHEALTHY
from gansearch.tune.settings import Settings
from gansearch.tune.study import open_study
from tests.failing_trials import BrokenTrial, GreedyTrial
from tests.written_runs import TRIALS_COLUMNS

from .searches import HOLDERS, ONE_AT_A_TIME, SECRET, SMALL, command, results

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, _ray):
    """A small search of digits that ran to its end, with secrets in its environment."""
    assert all(os.environ[name] == SECRET for name in HOLDERS)
    return search(
        "digits",
        overrides=SMALL,
        seed=3,
        name="small",
        results=results(tmp_path_factory),
        settings=Settings(track=("tensorboard",)),
    )


def test_no_secret_of_the_environment_is_in_any_file_of_a_run(finished):
    files = [path for path in finished.path.rglob("*") if path.is_file()]
    assert any("tune" in path.parts for path in files)  # Ray's own are among them
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_every_trial_asked_for_is_there_once_with_a_final_status(finished):
    trials = finished.trials()
    searched = trials[trials["phase"] == "search"]
    assert sorted(searched["number"]) == list(range(6))
    assert set(trials["status"]) <= set(STATUSES) - {"running"}
    assert trials["trial_id"].is_unique
    stopped = trials[trials["status"] != "completed"]
    assert (stopped["reason"].str.len() > 10).all()
    assert (trials.loc[trials["status"] == "completed", "updates"] >= 600).all()


def test_the_files_are_those_of_the_contract_and_open_in_pandas(finished):
    path = finished.path
    assert list(pd.read_parquet(path / "trials.parquet").columns) == list(TRIALS_COLUMNS)
    history = pd.concat(pd.read_parquet(p) for p in sorted((path / "history").glob("*.parquet")))
    assert list(history.columns) == list(HISTORY_COLUMNS)
    assert not history.duplicated(["trial_id", "updates"]).any()
    assert not pd.read_parquet(path / "ranking.parquet").empty
    info = json.loads((path / "run.json").read_text())
    assert info["state"] == "finished" and info["seed"] == 3
    assert info["training_report"] == evaluate_training_examples(load_dataset("digits"))
    assert info["versions"]["torch"] and info["space"]["budget"]["max_updates"] == 600
    for name in ("optuna.journal", "samples.png", "finalists.png", "report.html", "tune"):
        assert (path / name).exists(), name


def test_where_training_dies_is_in_the_folder_as_the_report_tells_it(finished):
    found = build_report(finished).stability
    pd.testing.assert_frame_equal(finished.stability(), found.cells, check_dtype=False)
    assert found.importances["target"].unique().tolist() == ["survival", "quality"]
    assert finished.importances()["parameter"].tolist() == found.importances["parameter"].tolist()
    statuses = finished.trials().query("phase == 'search'")["status"]
    assert found.n_trials - found.n_survived == statuses.isin(["collapsed", "diverged"]).sum()


def test_the_winners_score_by_its_number_of_samples_ends_at_its_own(finished):
    curve = finished.curve()
    winner = curve[curve["name"] == "winner"]
    assert winner["n_samples"].tolist() == [100, 200, 500, 1000, 2000, 5000, 10_000]
    ranking, trials = finished.ranking(), finished.trials()
    of_winner = trials["config_id"] == ranking["config_id"][0]
    completed = (trials["phase"] == "replica") & (trials["status"] == "completed")
    replica = trials[of_winner & completed].sort_values("number").iloc[0]
    assert winner["test_ll"].iloc[-1] == pytest.approx(replica["test_ll"], abs=0.01)
    training = curve[curve["name"] == "training images"]
    reference = finished.references().iloc[0]
    assert training["test_ll"].iloc[-1] == pytest.approx(reference["test_ll"], abs=0.01)


def test_the_papers_configuration_is_tried_first_and_replicated(finished):
    trials = finished.trials()
    paper = finished.read_run().paper_config_id
    assert trials.loc[trials["number"] == 0, "config_id"].iloc[0] == paper
    replicas = trials[(trials["phase"] == "replica") & (trials["config_id"] == paper)]
    assert len(replicas) == 2
    assert replicas["seed"].nunique() == 2
    assert not set(replicas["seed"]) & set(trials.loc[trials["phase"] == "search", "seed"])


def test_replicas_keep_their_test_scores_example_by_example(finished):
    trials = finished.trials()
    replicas = trials[(trials["phase"] == "replica") & (trials["status"] == "completed")]
    per_example = finished.test_lls()
    assert set(per_example) == set(replicas["trial_id"])
    for _, row in replicas.iterrows():
        assert per_example[row["trial_id"]].shape == (300,)
        assert per_example[row["trial_id"]].mean() == pytest.approx(row["test_ll"], abs=1e-6)
    assert trials.loc[trials["phase"] == "search", "test_ll"].isna().all()


def test_a_trials_result_depends_on_its_configuration_and_seed_alone(finished):
    """The trial is trained once more here, without Ray; the numbers are the same to the bit."""
    trials = finished.trials()
    row = trials[(trials["phase"] == "search") & (trials["status"] == "completed")].iloc[0]
    dataset = load_dataset("digits")
    config = TrialConfig.from_dict(config_values(row, TrialConfig))
    training = AdversarialTraining(config, dataset, int(row["seed"]))
    evaluator = Evaluator(dataset)
    metrics = None
    for mark in load_space("digits", SMALL).budget.report_updates():
        metrics = training.advance(mark)
    evaluation = evaluator.evaluate(training.samples(evaluator.n_samples))
    assert metrics.d_loss == row["d_loss"]
    assert evaluation.valid_ll == row["valid_ll"]
    assert evaluation.coverage == row["coverage"]


def test_runs_with_the_same_seed_propose_the_same_first_configurations(finished):
    proposals = plan("digits", overrides=SMALL, seed=3).splitlines()[-5:]
    assert proposals == plan("digits", overrides=SMALL, seed=3).splitlines()[-5:]
    assert proposals[1:] != plan("digits", overrides=SMALL, seed=4).splitlines()[-4:]
    second = finished.trials().query("phase == 'search'").set_index("number").loc[1]
    assert f"noise_dim={second['config.noise_dim']} " in proposals[1]
    assert f"k={second['config.k']} " in proposals[1]


def test_optuna_is_told_how_every_trial_ended(finished):
    study = open_study(finished.path / "optuna.journal", optuna.samplers.RandomSampler())
    trials = finished.trials().set_index("number")
    trials = trials[trials["phase"] == "search"]
    assert len(study.trials) == 6
    for told in study.trials:
        row = trials.loc[told.number]
        expected = TrialState.COMPLETE if row["status"] == "completed" else TrialState.PRUNED
        assert told.state == expected
        assert told.user_attrs["status"] == row["status"]
        assert (told.constraints[UNHEALTHY] > 0) == (row["status"] in ("collapsed", "diverged"))
        if row["status"] == "completed":
            assert told.value == row["valid_ll"]
        if row["status"] == "pruned":
            assert max(told.intermediate_values) == row["updates"]


def test_replicas_are_a_second_study_and_trials_have_their_pictures(finished):
    storage = JournalStorage(JournalFileBackend(str(finished.path / "optuna.journal")))
    assert optuna.get_all_study_names(storage) == ["small", "small-replicas"]
    study = optuna.load_study(study_name="small-replicas", storage=storage)
    replicas = finished.trials().query("phase == 'replica'").set_index("trial_id")
    assert {t.user_attrs["trial_id"]: t.value for t in study.trials if t.value is not None} == {
        name: row["test_ll"] for name, row in replicas.iterrows() if row["status"] == "completed"
    }
    stored = [t for t in study.trials if (finished.model_dir(t.user_attrs["trial_id"])).exists()]
    for trial in stored:
        pictures = get_all_artifact_meta(trial, storage=storage)
        assert {picture.filename for picture in pictures} >= {"strip.png"}
        assert all((finished.path / "artifacts" / p.artifact_id).is_file() for p in pictures)
    assert stored


def test_every_trial_reaches_the_tracker(finished):
    exported = finished.path / "tracking"
    names = set(finished.trials()["trial_id"])
    assert set((exported / "tensorboard.txt").read_text().split()) == names
    assert {path.name for path in (exported / "tensorboard").iterdir()} == names


def test_the_report_and_samples_come_from_the_files_alone(finished, tmp_path):
    report = command("report", str(finished.path), "--format", "json")
    assert report.exit_code == 0, report.stderr
    ranking = json.loads(report.stdout)["ranking"]
    assert [row["rank"] for row in ranking] == [1, 2]
    out = tmp_path / "samples.npy"
    sample = command("sample", str(finished.path), "--n", "50", "--out", str(out))
    assert sample.exit_code == 0, sample.stderr
    samples = np.load(out, allow_pickle=False)
    assert samples.shape == (50, 64) and samples.dtype == np.float32
    scores = gansearch.evaluate(samples, "digits")
    assert np.isfinite(scores["test_ll"]) and scores["n_samples"] == 50


def test_a_name_that_is_taken_is_refused_before_anything_starts(finished):
    with pytest.raises(BadInputError, match=f"gansearch resume {finished.path}"):
        command("run", "--results", str(finished.path.parent), "--name", "small", "--trials", "1")


def test_a_deterministic_search_is_the_same_to_the_bit_with_one_worker_and_with_three(
    tmp_path, _ray
):
    space = {
        "dataset": "digits",
        "budget": {"trials": 8, "max_updates": 400, "reports": 5, "grace": 0.4, "replicas": 0},
        "search": {
            "generator_lr": {"float": [0.001, 0.5], "log": True},
            "k": {"int": [1, 3]},
            "batch_size": {"choice": [20, 200]},  # trials of unequal speed
        },
        "fixed": {"generator_widths": [32], "discriminator_widths": [32]},
    }
    found = []
    for n in (1, 3):
        settings = Settings(deterministic=True, max_concurrent=n, cpus_per_trial=0.4)
        run = search(SearchSpace.from_dict(space), results=tmp_path, name=f"{n}", settings=settings)
        assert run.read_run().settings["deterministic"] is True
        found.append(run.trials().sort_values("number").reset_index(drop=True))
    untimed = [name for name in found[0] if not name.endswith("seconds")]
    pd.testing.assert_frame_equal(found[0][untimed], found[1][untimed], check_exact=True)
    assert len(found[0]) == 8 and {"completed", "pruned"} <= set(found[0]["status"])


def test_dying_trials_end_as_what_they_are_and_are_infeasible_to_optuna(tmp_path, _ray):
    space = tmp_path / "wild.yaml"
    space.write_text(
        "dataset: digits\n"
        "budget: {trials: 4, max_updates: 2000, reports: 20, grace: 0.1, top: 1, replicas: 1,\n"
        "         reduction_factor: 50}\n"
        "search:\n"
        "  generator_lr: {choice: [0.05, 90.0]}\n"
        "fixed: {init: glorot, generator_widths: [32], discriminator_widths: [32],\n"
        "        discriminator_activation: relu, momentum: 0.9, final_momentum: 0.99}\n"
    )
    run = search(
        str(space),
        results=tmp_path,
        name="wild",
        settings=Settings(sampler="qmc", max_concurrent=1),
    )
    trials = run.trials()
    searched = trials[trials["phase"] == "search"].set_index("number")
    dead = searched[searched["config.generator_lr"] == 90.0]
    assert len(dead) and set(dead["status"]) <= {"collapsed", "diverged"}
    assert (dead["updates"] < 2000).all()
    assert (dead["reason"].str.len() > 20).all()
    study = open_study(run.path / "optuna.journal", optuna.samplers.RandomSampler())
    for number in dead.index:
        assert study.trials[number].state == TrialState.PRUNED
        assert study.trials[number].constraints[UNHEALTHY] == 1
    assert not set(dead["config_id"]) & set(run.ranking()["config_id"])


def test_a_search_of_which_every_trial_dies_is_one_clear_error(tmp_path, _ray):
    overrides = [
        *SMALL,
        "generator_lr=100.0",
        "discriminator_lr=100.0",
        "momentum=0.99",
        "trials=2",
    ]
    with pytest.raises(RunFailedError, match=r"not one trial of the search was completed \(2 "):
        search("digits", overrides=overrides, results=tmp_path, name="dead", settings=ONE_AT_A_TIME)
    run = gansearch.load("dead", tmp_path)
    assert run.read_run().state == "failed"
    whole = run.stability().iloc[0]
    assert (whole["n_survived"], whole["n_trials"]) == (0, 2)
    report = command("report", "dead", "--results", str(tmp_path))
    assert report.exit_code == 0
    assert "Traceback" not in report.stdout + report.stderr


OF_A_SEARCH = ("grace", "top", "trials")  # of a budget: refused where there is no search


def test_only_compares_given_configurations_without_a_search(tmp_path, _ray):
    config = tmp_path / "mine.yaml"
    config.write_text("k: 2\ngenerator_lr: 0.05\ninit: glorot\n")
    run = search(
        "digits",
        overrides=[change for change in SMALL if change.split("=")[0] not in OF_A_SEARCH],
        only=["paper", str(config), "paper"],  # what is given twice is trained once
        results=tmp_path,
        name="only",
        settings=ONE_AT_A_TIME,
    )
    trials = run.trials()
    assert set(trials["phase"]) == {"replica"} and len(trials) == 4
    assert len(run.ranking()) == 2
    assert sorted(trials["config.k"].unique()) == [1, 2]


def test_what_the_machine_can_not_give_is_refused_and_the_name_stays_free(tmp_path, _ray):
    with pytest.raises(BadInputError, match="--cpus-per-trial 1000: this machine has"):
        command("run", "--results", str(tmp_path), "--name", "big", "--cpus-per-trial", "1000")
    assert not (tmp_path / "big").exists()


def test_an_address_where_no_cluster_is_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # whichever this process has
    with pytest.raises(BadInputError, match=r"--address 127.0.0.1:1: no Ray cluster accepted"):
        command("run", "--address", "127.0.0.1:1", "--results", str(tmp_path))


def test_a_trial_without_memory_is_tried_once_more_alone_and_teaches_nothing(
    tmp_path, monkeypatch, _ray
):
    monkeypatch.setattr(experiment, "GanTrial", GreedyTrial)
    overrides = [*SMALL, "trials=2", "max_updates=200", "replicas=0"]
    run = search("digits", overrides=overrides, results=tmp_path, name="greedy")
    trials = run.trials().set_index("trial_id")
    assert trials.loc["t00001", "status"] == "failed"
    reason = trials.loc["t00001", "reason"]
    assert reason.startswith("out of memory: host: no room for ")
    assert reason.endswith("Alone there, it ran out too.")
    assert (run.path / "attempts.txt").read_text() == f"1 {os.cpu_count()} "
    assert not set(trials["status"].drop("t00001")) & {"failed", "running"}
    study = open_study(run.path / "optuna.journal", optuna.samplers.RandomSampler())
    assert study.trials[1].state == TrialState.FAIL
    assert not study.trials[1].constraints


def test_workers_that_never_start_end_as_failed_with_their_reason(tmp_path, monkeypatch, _ray):
    monkeypatch.setattr(experiment, "GanTrial", BrokenTrial)
    with pytest.raises(RunFailedError, match=r"\(1 failed\)"):
        search("digits", overrides=[*SMALL, "trials=1"], results=tmp_path, name="broken")
    trials = gansearch.load("broken", tmp_path).trials()
    assert set(trials["status"]) == {"failed"}


def test_a_time_budget_ends_the_search_which_goes_on_where_it_was_when_there_is_more(
    tmp_path, finished, monkeypatch
):
    time_is_up = phases.search_is_out_of_time

    def up_while_a_trial_trains(session):
        # Trials this short may all be between two of theirs when the time is up: then a moment on.
        rows = session.rows("search")
        return time_is_up(session) and any(r["status"] == "running" and r["updates"] for r in rows)

    monkeypatch.setattr(phases, "search_is_out_of_time", up_while_a_trial_trains)
    # For one of its trials at least, on a busy machine too: that run had more, and longer ones.
    enough = max(20.0, finished.read_run().wall_seconds)
    run = search(
        "digits",
        # More trials than any machine makes in that time.
        overrides=[*SMALL, "trials=100000", "max_updates=300", "reports=3", "replicas=12"],
        results=tmp_path,
        name="timed",
        settings=Settings(time_budget_seconds=enough),
    )
    trials = run.trials()
    assert 0 < (trials["phase"] == "search").sum() < 100_000
    assert "running" not in set(trials["status"])
    check_what_was_cut(run)
    took = run.read_run().wall_seconds
    cut = trials[trials["reason"] == OUT_OF_TIME.reason]
    assert set(cut["status"]) == {"pruned"}
    assert all(run.checkpoint_path(trial_id).exists() for trial_id in cut["trial_id"])
    n_tried = int((trials["phase"] == "search").sum())
    driver.resume(run.path, trials=n_tried, time_budget_seconds=took + 3000)
    after = run.trials()
    check_what_was_cut(run)
    assert run.read_run().cut_replicas == ()
    assert after["trial_id"].tolist()[: len(trials)] == trials["trial_id"].tolist()
    ended = after[after["trial_id"].isin(cut["trial_id"])]
    assert OUT_OF_TIME.reason not in set(ended["reason"])
    assert not run.history().duplicated(["trial_id", "updates"]).any()
    assert not any(run.checkpoint_path(trial_id).exists() for trial_id in after["trial_id"])
    assert run.read_run().wall_seconds > took


def check_what_was_cut(run):
    """Check that the replicas are those planned but for those cut, and that this is said."""
    budget, cut = run.read_run().budget, set(run.read_run().cut_replicas)
    replicas = run.trials().query("phase == 'replica'")
    ended = set(replicas.loc[replicas["reason"] != REPLICA_OUT_OF_TIME.reason, "trial_id"])
    configs = {trial_id.rpartition("-")[0] for trial_id in ended | cut}
    assert ended | cut == {f"{name}-{i}" for name in configs for i in range(budget.replicas)}
    assert not ended & cut
    n, n_planned = len(ended), len(configs) * budget.replicas
    said = [each for each in build_report(run).warnings if "left room for" in each]
    assert len(said) == bool(cut)
    if cut:
        assert f"left room for {n} of {n_planned} replicas" in said[0]
        assert f"gansearch resume {run.path} --replicas {budget.replicas}" in said[0]
    assert (run.path / "report.html").exists()
    assert run.ranking()["n_seeds"].sum() + run.ranking()["n_failed"].sum() == n


def test_a_time_budget_that_ends_before_a_trial_names_itself_and_the_way_on(tmp_path, _ray):
    with pytest.raises(RunFailedError, match=r"the time budget of 0 s was over before any trial"):
        search(
            "digits",
            overrides=[*SMALL, "max_updates=1000000000"],
            results=tmp_path,
            name="late",
            settings=Settings(time_budget_seconds=0.1),
        )
    assert gansearch.load("late", tmp_path).trials().empty  # no workers were started
    assert gansearch.load("late", tmp_path).read_run().state == "failed"


def test_more_trials_of_another_space_can_be_asked_of_a_finished_run(finished, tmp_path):
    before = finished.trials().query("phase == 'search'").set_index("number")
    narrower = ("k={int: [1, 2]}", "init={choice: [normal]}")
    sections = load_space("digits", [*SMALL, "start_from=[]", *narrower])
    new = tmp_path / "new.yaml"
    new.write_text(yaml.safe_dump({**sections.to_dict(), "name": None}).replace("name: null\n", ""))
    more = ("--trials", "8", "--replicas", "3", "--max-concurrent", "1", "--space", str(new))
    resumed = command("resume", str(finished.path), *more)
    assert resumed.exit_code == 0
    assert "The space was changed after 6 trials; 6 of them lie outside of it now" in " ".join(
        resumed.output.split()
    )
    trials = finished.trials()
    searched = trials[trials["phase"] == "search"]
    assert len(searched) == 8
    by_number = searched.set_index("number").sort_index()
    pd.testing.assert_frame_equal(by_number.loc[0:5], before.sort_index())
    assert set(by_number.loc[6:, "config.init"]) == {"normal"}
    assert by_number.loc[6:, "config.k"].isin([1, 2]).all()
    assert searched["config_id"].nunique() == 8
    run = finished.read_run()
    assert (run.space["budget"]["trials"], run.space["budget"]["replicas"]) == (8, 3)
    assert run.settings["max_concurrent"] == 1
    replicas = trials[trials["phase"] == "replica"].groupby("config_id").size()
    assert replicas.max() == 3
    again = command("resume", str(finished.path))
    assert again.exit_code == 0
    pd.testing.assert_frame_equal(finished.trials(), trials)


def test_a_run_begins_with_the_best_of_an_earlier_one_and_counts_its_own_trials_alone(
    finished, tmp_path
):
    changes = [*SMALL, "trials=5", "replicas=0", "max_updates=60", "start_from=[]", "init=glorot"]
    run = search(
        "digits", overrides=changes, warm_start=[finished.path], results=tmp_path, name="warm"
    )
    trials = run.trials().set_index("number").sort_index()
    assert list(trials.index) == [0, 1, 2, 3, 4]
    best = finished.ranking().iloc[0]
    same = ["config.k", "config.generator_lr", "config.noise_dim"]
    assert trials.loc[0, same].tolist() == best[same].tolist()
    assert trials.loc[0, "config.init"] == "glorot"
    (source,) = run.read_run().warm_start
    assert source["path"] == str(finished.path) and 0.5 < source["weight"] < 1
    taken = run.warm_start()
    n_searched = (finished.trials()["phase"] == "search").sum()
    assert taken["place"].notna().sum() == source["n_trials"] == n_searched
    study = open_study(run.path / "optuna.journal", optuna.samplers.RandomSampler())
    assert len(study.trials) == 5
