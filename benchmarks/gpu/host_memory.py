"""Host memory of a process, above all of a trial's; a part of `gpu.py`.

If Ray is installed, trials are started as a search starts them, in a group and alone, and measured
after a step. Otherwise a process that imports the same modules, except Ray, is measured instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu.packed import row

_PROGRAMS = {
    "a process that imports what a thin trial does, but Ray": (
        "import gansearch.data.registry, gansearch.trial.plan"
    ),
    "one with gansearch's training, and so torch": "import gansearch.training.training",
    "one with a CUDA context too": (
        "import gansearch.training.training, torch; torch.ones(9, device='cuda').sum().item()"
    ),
}


def host_memory(*, on_gpu: bool, with_trials: bool = True) -> Iterator[str]:
    """Yield a row a kind of process: what it holds, and what of that no file backs.

    Trials are those of Ray, which takes some ten seconds to start.
    """
    heads = "MiB of the host; of it no file's"
    for name, program in _PROGRAMS.items():
        needs_a_gpu = "cuda" in program and not on_gpu
        cost = "needs CUDA" if needs_a_gpu else _of_process(program)
        yield row("", f"{name}: {heads}", cost)
    if not with_trials:
        return
    names = "a trial of a search in a group", "a trial of a search alone"
    found = _of_trials() if find_spec("ray") else ["needs Ray"] * 2
    for name, cost in zip(names, found, strict=True):
        yield row("", f"{name}: {heads}", cost)


def _of_process(program: str) -> str:
    command = [sys.executable, "-c", program + "\nprint(flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        told = _held(process.pid)
        process.communicate("\n")
    return told


def _held(pid: int) -> str:
    """Return a process's resident memory, and what of it no file backs, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return "; ".join(f"{int(found[name].split()[0]) // 1024}" for name in ("VmRSS", "RssAnon"))


def _of_trials() -> Iterator[str]:
    """Yield what a trial's process holds on a CPU, in a group and alone."""
    import ray

    from gansearch.data.registry import load_dataset
    from gansearch.scoring.collapse import CollapseTest
    from gansearch.tune.cluster import connected
    from gansearch.tune.settings import Settings

    dataset = load_dataset("digits")
    with TemporaryDirectory() as folder, connected(Settings(), dataset):
        reference = ray.put((dataset, CollapseTest(dataset)))
        for n_slots in (2, 0):
            yield _of_trial(reference, Path(folder), n_slots)


def _of_trial(data: object, folder: Path, n_slots: int) -> str:
    import ray
    from ray import tune

    from gansearch.budget import Budget
    from gansearch.config import TrialConfig
    from gansearch.trial.messages import TrialSpec
    from gansearch.trial.plan import TrialPlan
    from gansearch.tune.engine_actor import end_engines
    from gansearch.tune.trainable import GanTrial

    budget = Budget(max_updates=10**6)
    plan = TrialPlan(folder, {}, budget, slice_seconds=0.5, n_slots=n_slots)
    config = TrialConfig(generator_widths=(64,), discriminator_widths=(16,))
    spec = TrialSpec("0", 0, "search", seed=0, config=config.to_dict())
    trainable = tune.with_parameters(GanTrial, data=[data], plan=plan)
    actor = ray.remote(num_cpus=1)(trainable).remote(config=spec.to_tune())
    ray.get(actor.train.remote())
    # A lambda goes there whole; what this module defines by name would be imported there.
    ask = actor.__ray_call__.remote(lambda _: (os.getpid(), "torch" in sys.modules))
    pid, has_torch = ray.get(ask)
    told = _held(pid)
    ray.kill(actor)
    end_engines(plan)
    if has_torch is bool(n_slots):
        raise AssertionError(f"{n_slots} slots: torch is {'' if has_torch else 'not '}imported")
    return told
