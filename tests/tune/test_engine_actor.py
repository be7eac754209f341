"""The engine's actor, without Ray running."""

import os
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from gansearch.budget import Budget
from gansearch.trial.plan import TrialPlan
from gansearch.tune import engine_actor
from tests.written_runs import spec


class Remote:
    """Stands in for `ray.remote(...)`, and notes how the actor is made."""

    def options(self, **options):
        self.made = options
        return self

    def remote(self, *arguments):
        self.arguments = arguments
        return self


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("variable", ["1", None])
def test_an_engine_gets_the_gpu_that_ray_gave_its_trial_though_no_variable_says_so(
    tmp_path, monkeypatch, device, variable
):
    remote = Remote()
    monkeypatch.setattr(engine_actor.ray, "remote", lambda _: remote)
    monkeypatch.setattr(engine_actor.ray, "get_gpu_ids", lambda: [1])
    context = type("Context", (), {"get_node_id": lambda _: "ab" * 28})
    monkeypatch.setattr(engine_actor.ray, "get_runtime_context", context)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    plan = TrialPlan(tmp_path, {}, Budget(), device=device, n_slots=1)
    assert engine_actor._engine_here([], plan) is remote
    gpu = "1" if device == "cuda" else ""
    assert remote.arguments[0] == gpu and remote.made["name"].endswith(f"-{gpu}")


def test_an_engine_sees_no_gpu_but_its_trials(tmp_path, monkeypatch):
    seen = []

    def prepare(*_, **__):
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])

    monkeypatch.setattr(engine_actor.ray, "get", lambda _: (None, None))
    monkeypatch.setattr(engine_actor.EngineProcess, "_end_when_idle", lambda _: None)
    monkeypatch.setattr("gansearch.trial.process.TrialProcess.prepare", prepare)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    plan = TrialPlan(tmp_path, {}, Budget(), device="cuda", n_slots=1)
    engine_actor.EngineProcess("GPU-3f2a", [None], plan)
    assert seen == ["GPU-3f2a"]


def test_a_trial_that_another_replaces_in_an_engine_is_closed(tmp_path, monkeypatch):
    """So that a pruned one draws what it has not drawn yet."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    process = SimpleNamespace(guarded=nullcontext)
    begun, closed = [], []

    def runner(spec, _):
        begun.append(spec.trial_id)
        return SimpleNamespace(close=lambda: closed.append(spec.trial_id))

    monkeypatch.setattr(engine_actor.ray, "get", lambda _: (None, None))
    monkeypatch.setattr(engine_actor.EngineProcess, "_end_when_idle", lambda _: None)
    monkeypatch.setattr("gansearch.trial.process.TrialProcess.prepare", lambda *_, **__: process)
    monkeypatch.setattr("gansearch.trial.runner.TrialRunner", runner)
    engine = engine_actor.EngineProcess("", [None], TrialPlan(tmp_path, {}, Budget(), n_slots=1))
    engine.begin("a", spec(0))
    engine.begin("a", spec(1))
    engine.begin("b", spec(1))  # which was paused, and goes on with another client
    assert (begun, closed) == (["t00000", "t00001", "t00001"], ["t00000"])
    engine.begin("a", spec(2))
    assert closed == ["t00000", "t00001"] and set(engine._runners) == {"a", "b"}


def test_a_trial_in_a_process_of_its_own_sees_no_gpu_but_its_own(monkeypatch):
    monkeypatch.setattr(engine_actor.ray, "get_gpu_ids", lambda: ["GPU-3f2a", "GPU-77b1"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    engine_actor.use_own_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-3f2a,GPU-77b1"
