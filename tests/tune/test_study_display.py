"""What the studies of a run say to optuna-dashboard: facts, pictures, replicas, in one journal."""

import json
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from PIL import Image

from gansearch.config import TrialConfig
from gansearch.own_measures import Objective
from gansearch.runs.folder import RunFolder
from gansearch.space.load import load_space
from gansearch.trial.messages import TrialSpec
from gansearch.tune.rows import Outcome, history_row, new_row
from gansearch.tune.samplers import make_sampler
from gansearch.tune.study import load_study, open_study, tell
from gansearch.tune.study_display import ReplicaStudy, attach_pictures, describe_study
from tests.written_runs import described, spec, step

HOSTILE = "<b>\U0001f600" + "x" * 300


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "ring-7")


@pytest.fixture
def space():
    return load_space("ring")


@pytest.fixture
def description(space):
    return described(space=space.to_dict(), command="gansearch run --space ring")


def studies(folder):
    storage = JournalStorage(JournalFileBackend(str(folder.path / "optuna.journal")))
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def picture(folder, trial_id):
    model = folder.model_dir(trial_id)
    model.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(model / "strip.png")
    return (model / "strip.png").read_bytes()


def search_study(folder):
    return open_study(folder.journal(), make_sampler("random", 0))


def test_a_study_has_the_name_of_its_run_and_says_what_it_is(folder, description, space):
    describe_study(search_study(folder), description)
    before = folder.journal().read_bytes()
    describe_study(search_study(folder), description)  # at a resume
    assert folder.journal().read_bytes() == before
    ((name, study),) = studies(folder).items()
    assert name == "ring-7" and study.metric_names == ["valid_ll"]
    facts = study.user_attrs
    assert (facts["dataset"], facts["objective"], facts["unit"]) == ("ring", "valid_ll", "nats")
    assert facts["command"] == "gansearch run --space ring"
    assert facts["budget"] == space.to_dict()["budget"] and "generator_lr" in facts["search"]


def test_the_study_of_an_older_version_is_found_whatever_its_name(folder):
    storage = JournalStorage(JournalFileBackend(str(folder.path / "optuna.journal")))
    old = optuna.create_study(storage=storage, study_name="gansearch", direction="maximize")
    old.add_trial(optuna.trial.create_trial(value=1.0))
    assert search_study(folder).study_name == "gansearch"
    assert len(load_study(folder.journal()).trials) == 1


def test_pictures_are_attached_to_a_trial_before_it_ends(folder, space):
    study = search_study(folder)
    content = picture(folder, "t00000")
    trial, faults = study.ask(), []
    attach_pictures(folder, faults, trial, "t00000")
    tell(study, trial, Outcome("completed"), 1.5)
    (stored,) = studies(folder)["ring-7"].trials
    storage = JournalStorage(JournalFileBackend(str(folder.path / "optuna.journal")))
    (meta,) = get_all_artifact_meta(stored, storage=storage)
    assert (meta.filename, meta.mimetype, faults) == ("strip.png", "image/png", [])
    assert (folder.path / "artifacts" / meta.artifact_id).read_bytes() == content


def test_a_picture_that_can_not_be_stored_ends_the_run_and_not_the_trial(folder):
    picture(folder, "t00000")
    (folder.path / "artifacts").write_text("in the way of a folder")
    study, faults = search_study(folder), []
    attach_pictures(folder, faults, study.ask(), "t00000")
    (fault,) = faults
    assert "artifacts: can't be written" in str(fault)


class Replicas:
    """A study of replicas that are played, and what the recorder has of them."""

    def __init__(self, folder, description, space, rows=()):
        self.space = space
        self.recorder = SimpleNamespace(rows={row["trial_id"]: row for row in rows}, faults=[])
        self.study = ReplicaStudy(folder, description, space, self.recorder)

    def play(self, trial_id, config, status, **ended):
        of = spec(0, config, trial_id=trial_id, phase="replica")
        trial = SimpleNamespace(config=of.to_tune(), trial_id="ray")
        self.recorder.rows[trial_id] = new_row(of, TrialConfig)
        for updates in (100, 200):
            self.study.on_trial_result(0, [], trial, step(updates, updates / 100).to_tune())
        self.recorder.rows[trial_id].update(status=status, reason="because", **ended)
        self.study.on_trial_complete(0, [], trial)


def test_replicas_are_a_second_study_with_their_final_scores(folder, description, space):
    search_study(folder)
    picture(folder, "r-a-0")
    inside = space.preset("paper")
    replicas = Replicas(folder, description, space)
    replicas.play("r-a-0", inside, "completed", test_ll=7.5, valid_ll=7.0)
    replicas.play("r-a-1", inside, "collapsed", valid_ll=1.0)
    replicas.play("r-b-0", TrialConfig(k=77), "diverged")  # outside the space
    replicas.play("r-b-1", TrialConfig(k=77), "failed")
    assert list(studies(folder)) == ["ring-7", "ring-7-replicas"]
    study = studies(folder)["ring-7-replicas"]
    assert study.metric_names == ["test_ll"] and study.user_attrs["phase"] == "replicas"
    first, collapsed, diverged, _ = study.trials
    assert first.value == 7.5 and first.intermediate_values == {100: 1.0, 200: 2.0}
    assert first.params["k"] == inside.k and first.user_attrs["name"] == "paper"
    assert any(name.startswith("artifacts:") for name in first.system_attrs)
    assert [t.user_attrs["status"] for t in study.trials] == [
        *("completed", "collapsed", "diverged", "failed")
    ]
    assert collapsed.user_attrs["reason"] == "because" and collapsed.constraints["unhealthy"] == 1
    assert diverged.params == {} and diverged.user_attrs["config"]["k"] == 77
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED", "PRUNED", "FAIL"]
    # The study of the search is the one that a resume opens.
    assert search_study(folder).study_name == "ring-7"


def test_a_study_of_several_objectives_names_all_and_has_their_values(folder):
    space = load_space("ring", ["objectives=[valid_ll,coverage]"])
    description = described(space=space.to_dict())
    study = open_study(folder.journal(), make_sampler("random", 0), n_objectives=2)
    describe_study(study, description)
    assert study.metric_names == ["valid_ll", "coverage"]
    assert study.user_attrs["objective"] == "valid_ll, coverage"
    replicas = Replicas(folder, description, space)
    replicas.play("r-a-0", space.preset("paper"), "completed", test_ll=7.5, coverage=0.5)
    replicas.play("r-a-1", space.preset("paper"), "completed", test_ll=7.5)
    assert replicas.study._study.metric_names == ["test_ll", "coverage"]
    first, lacking = replicas.study._study.trials
    assert first.values == [7.5, 0.5] and lacking.state.name == "FAIL"


def test_replicas_that_a_kill_has_left_out_are_added_once(folder, description, space):
    config = space.preset("paper")
    of = TrialSpec("r-a-0", 0, "replica", 3, config.to_dict())
    row = new_row(of, TrialConfig)
    folder.append_history([history_row(row, step(u, float(u))) for u in (100, 200)])
    row |= {"status": "completed", "test_ll": 4.0}
    for _ in range(2):
        Replicas(folder, description, space, [row])
    ((name, study),) = studies(folder).items()  # of --only, which has no search
    assert name == "ring-7-replicas" and load_study(folder.journal()) is None
    (trial,) = study.trials
    assert trial.value == 4.0 and trial.intermediate_values == {100: 100.0, 200: 200.0}


def test_a_replica_without_a_score_of_its_own_objective_has_no_value(folder, description, space):
    replicas = Replicas(folder, description, space)
    replicas.play("r-a-0", space.preset("paper"), "completed")
    (trial,) = studies(folder)["ring-7-replicas"].trials
    assert trial.state.name == "FAIL" and trial.user_attrs["status"] == "completed"


def test_a_journal_that_can_not_be_written_ends_the_run_and_raises_nothing(
    folder, description, space, monkeypatch
):
    replicas = Replicas(folder, description, space)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gansearch.tune.journal.os.fsync", full)
    replicas.play("r-a-0", space.preset("paper"), "completed", test_ll=1.0)
    assert "No space left" in str(replicas.recorder.faults[0])


def test_the_attributes_are_plain_json(folder, description):
    study = search_study(folder)
    describe_study(study, description)
    assert json.loads(json.dumps(study.user_attrs)) == study.user_attrs
    assert Objective().column == study.user_attrs["objective"]


def test_optuna_dashboard_shows_both_studies_with_reasons_and_pictures(folder, description, space):
    dashboard = pytest.importorskip("optuna_dashboard")
    client = pytest.importorskip("werkzeug.test").Client
    study = search_study(folder)
    describe_study(study, description)
    content = picture(folder, "t00000")
    trial = study.ask()
    attach_pictures(folder, [], trial, "t00000")
    tell(study, trial, Outcome("collapsed", HOSTILE))
    Replicas(folder, description, space).play(
        "r-a-0", space.preset("paper"), "completed", test_ll=7.5
    )
    app = client(
        dashboard.wsgi(
            storage=JournalStorage(JournalFileBackend(str(folder.path / "optuna.journal"))),
            artifact_store=FileSystemArtifactStore(folder.path / "artifacts"),
        )
    )
    summaries = app.get("/api/studies").json["study_summaries"]
    assert [each["study_name"] for each in summaries] == ["ring-7", "ring-7-replicas"]
    assert {"key": "dataset", "value": "ring"} in summaries[0]["user_attrs"]
    searched, replicas = (app.get(f"/api/studies/{n}").json for n in (0, 1))
    assert (searched["objective_names"], replicas["objective_names"]) == (["valid_ll"], ["test_ll"])
    (shown,) = searched["trials"]
    assert shown["user_attrs"] == [
        {"key": "status", "value": "collapsed"},
        {"key": "reason", "value": HOSTILE},
    ]
    (artifact,) = shown["artifacts"]
    where = f"/artifacts/0/{shown['trial_id']}/{artifact['artifact_id']}"
    assert app.get(where).data == content
    assert replicas["trials"][0]["values"] == [7.5]
