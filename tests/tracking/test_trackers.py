"""What each tracker holds of a trial, read back by its own API, also after a kill and a resume."""

import json
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from gansearch.system.object_store import RemotePath
from gansearch.tracking.names import maker
from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    TrackerError,
    TrialEnd,
)

HOSTILE = "<b>\U0001f600 :%?/" + "x" * 300


def report(updates, **values):
    values = {"valid_ll": float(updates), "seconds": 1.0, **values}
    return TrackedEvaluation(
        updates, values, datetime(2026, 1, 1, second=updates // 100, tzinfo=UTC)
    )


def trial_of(*, earlier=(), trial_id="t00000"):
    config = {"k": 2, "noise": "normal", "generator_widths": "[64, 64]", "generator_lr": 0.1}
    tags = {"phase": "search", "config_id": "abcd1234", "seed": "7"}
    return TrackedTrial(trial_id, config, tags, earlier)


@pytest.fixture
def end(tmp_path):
    picture = tmp_path / "strip.png"
    Image.new("L", (40, 20)).save(picture)
    return TrialEnd("collapsed", HOSTILE, 300, {"test_ll": 4.5}, [picture])


@pytest.fixture
def run(tmp_path):
    """A run whose name is as bad as a folder's can be."""
    name = HOSTILE.replace("/", "")[:200]
    return TrackedRun.of(tmp_path / name, "origin", {"space": HOSTILE})


def killed_and_resumed(name, run, end):
    """Let a tracker be killed after two reports, of which it has one, and then end the trial."""
    killed = maker(name)(run)
    killed.begin(trial_of())
    killed.report("t00000", [report(100)])
    killed.close()
    resumed = maker(name)(run)
    resumed.begin(trial_of(earlier=[report(100), report(200)]))
    resumed.report("t00000", [report(300)])
    resumed.end("t00000", end)
    resumed.begin(trial_of(trial_id="t00001"))
    resumed.close()


def test_tensorboard_has_curves_pictures_and_a_row_of_hparams(run, end):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator
    hparams = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2").HParamsPluginData
    killed_and_resumed("tensorboard", run, end)
    folder = Path(run.path) / "tracking" / "tensorboard" / "t00000"
    (file,) = folder.glob("*")
    found = accumulator(str(file)).Reload()
    assert [(s.step, s.value) for s in found.Scalars("valid_ll")] == [
        (100, 100.0),
        (200, 200.0),
        (300, 300.0),
    ]
    assert found.Scalars("valid_ll")[0].wall_time == report(100).at.timestamp()
    assert [(s.step, s.value) for s in found.Scalars("final/test_ll")] == [(300, 4.5)]
    (image,) = found.Images("samples/strip")
    assert (image.width, image.height) == (40, 20)
    contents = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    values = hparams.FromString(contents).session_start_info.hparams
    assert values["k"].number_value == 2 and values["generator_widths"].string_value == "[64, 64]"
    assert values["status"].string_value == "collapsed"
    (text,) = found.Tensors("end/text_summary")
    assert "&lt;b&gt;" in text.tensor_proto.string_val[0].decode()


def test_mlflow_has_a_run_for_each_trial_and_continues_it(run, end, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    killed_and_resumed("mlflow", run, end)
    folder = Path(run.path) / "tracking" / "mlflow"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(run.name)
    running, ended = client.search_runs([experiment.experiment_id])
    assert (ended.info.run_name, ended.info.status) == ("t00000", "FAILED")
    assert (running.info.run_name, running.info.status) == ("t00001", "RUNNING")
    points = client.get_metric_history(ended.info.run_id, "valid_ll")
    assert [(point.step, point.value) for point in points] == [
        (100, 100.0),
        (200, 200.0),
        (300, 300.0),
    ]
    assert ended.data.params["k"] == "2" and ended.data.params["noise"] == "normal"
    assert ended.data.metrics["final/test_ll"] == 4.5
    assert ended.data.tags["status"] == "collapsed" and ended.data.tags["reason"] == HOSTILE
    assert (ended.data.tags["phase"], ended.data.tags["seed"]) == ("search", "7")
    (artifact,) = client.list_artifacts(ended.info.run_id, "samples")
    assert artifact.path == "samples/strip.png"
    assert experiment.artifact_location.startswith("file:")


def test_mlflow_uses_the_server_that_the_environment_names(run, end, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    maker("mlflow")(run).begin(trial_of())
    assert mlflow.MlflowClient(tracking_uri=uri).get_experiment_by_name(run.name) is not None
    assert not (Path(run.path) / "tracking").exists()


def wandb_records(folder):
    """Yield the records in W&B's files of offline runs, a log of blocks as LevelDB's."""
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        data, at, parts = file.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if (left := 32768 - at % 32768) < 7:
                at += left
                continue
            _, size, kind = struct.unpack("<IHB", data[at : at + 7])
            parts += data[at + 7 : at + 7 + size]
            at += 7 + size
            if kind in (1, 4):
                yield file.name, proto.Record.FromString(parts)
                parts = b""


def test_wandb_has_offline_files_of_one_run_id_for_a_trial(run, end, monkeypatch):
    wandb = pytest.importorskip("wandb")
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    killed_and_resumed("wandb", run, end)
    wandb.teardown()  # which waits for the files
    records = list(wandb_records(Path(run.path) / "tracking" / "wandb"))
    ids = {record.run.run_id for _, record in records if record.HasField("run")}
    assert ids == {f"{run.identity}-t00000", f"{run.identity}-t00001"}
    runs = [r.run for _, r in records if r.HasField("run") and r.run.display_name == "t00000"]
    assert len(runs[-1].project) <= 128 and not set(runs[-1].project) & set("/\\#?%:")
    assert list(runs[-1].tags) == ["search", "collapsed"]
    config = {each.key: json.loads(each.value_json) for each in runs[0].config.update}
    assert (config["k"], config["noise"], config["phase"]) == (2, "normal", "search")
    steps = [r.history.step.num for name, r in records if r.HasField("history")]
    assert steps == [100, 200, 300]
    summary = {
        "/".join([each.key, *each.nested_key]).strip("/"): each.value_json
        for _, record in records
        for each in record.summary.update
    }
    assert json.loads(summary["status"]) == "collapsed"
    assert json.loads(summary["reason"]) == HOSTILE
    assert json.loads(summary["final/test_ll"]) == 4.5
    assert any(name.startswith("samples/strip") for name in summary)


def test_wandb_without_a_login_asks_nothing_and_says_what_to_do(run, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    wandb.teardown()  # which else goes by the environment of the first test
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(TrackerError, match=r"not logged in. Type wandb login, or .*offline"):
        maker("wandb")(run)


class FakeTrackio(ModuleType):
    """As much of trackio 0.43 as is used; its packages don't go with those of the tests."""

    class Image:
        def __init__(self, value):
            assert Path(value).is_file()

    def __init__(self):
        super().__init__("trackio")
        self.stored, self.open = {}, []

    def init(self, project, name, *, group, config, resume, embed, auto_log_gpu, auto_log_cpu):
        assert resume == "allow" and not (embed or auto_log_gpu or auto_log_cpu)
        logs = self.stored.setdefault((project, name), [])
        run = SimpleNamespace(name=name, _next_step=max([s for _, s in logs], default=-1) + 1)
        run.log = lambda metrics, step: logs.append((metrics, step))
        run.finish = lambda: self.open.remove(run)
        self.open.append(run)
        return run


@pytest.fixture
def trackio(monkeypatch):
    fake = FakeTrackio()
    monkeypatch.setitem(sys.modules, "trackio", fake)
    return fake


def test_trackio_has_a_run_for_each_trial_and_continues_it(run, end, trackio):
    killed_and_resumed("trackio", run, end)
    ((project, name), logs), *_ = trackio.stored.items()
    assert name == "t00000" and project.endswith(run.identity) and len(project) <= 128
    assert [step for _, step in logs] == [100, 200, 300, 300]
    assert logs[1][0]["valid_ll"] == 200.0
    last = logs[-1][0]
    assert (last["status"], last["final/test_ll"]) == ("collapsed", 4.5)
    assert isinstance(last["samples/strip"], FakeTrackio.Image)
    assert trackio.open == []


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_files_beside_a_run_need_one_on_this_machine(name, monkeypatch):
    if name == "mlflow":
        pytest.importorskip("mlflow")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackerError, match=r"in an object store, s3://bucket/run. Keep"):
        maker(name)(TrackedRun.of(RemotePath("s3", "bucket/run"), "one", {}))
