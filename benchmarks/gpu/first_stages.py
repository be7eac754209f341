"""What a card shows at first: each part of training in groups by itself, the plainest first.

Stages of `first_contact.py`; where one fails, the parts after it are done without what it tried.
"""

from __future__ import annotations

import dataclasses
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.packed import (
    PRECISIONS,
    Packed,
    Setting,
    calls_a_second,
    free,
    rates_in_turns,
    row,
    table,
    told_ratio,
)
from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.system.features import GRAPHS, TRITON, Feature
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining

ROOT = Path(__file__).resolve().parents[2]
_N_COMPARED = 3  # chunks
# Of the way from the initial parameters, after six iterations: what rounding may do.
_ROUNDING = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
_N_NAMES = 20  # kernels in the table
_NEEDS_CUDA = "- needs CUDA"
# Kinds of groups whose kernels differ.
KINDS: dict[str, Mapping[str, object]] = {
    "the paper's": {},
    "Adam, sigmoid": {
        "optimizer": "adam",
        "generator_lr": 1e-3,
        "discriminator_lr": 1e-3,
        "discriminator_activation": "sigmoid",
        "generator_activation": "tanh",
    },
    "averaged, leaky": {
        "generator_ema": 0.99,
        "discriminator_activation": "leaky_relu",
        "generator_activation": "elu",
        "generator_loss": "minimax",
    },
    "simultaneous, no dropout": {
        "update": "simultaneous",
        "dropout_input": 0,
        "dropout_hidden": 0,
    },
}
TESTS = (
    "tests/networks/test_dense_kernels.py",
    "tests/training/test_loss_kernels.py",
    "tests/training/test_member_kernels.py",
    "tests/training/test_own_networks.py",
    "tests/grouping",
    "tests/training/test_training.py",
    "tests/scoring/test_indicators.py",
    "tests/scoring/test_parzen.py",
)


def eager(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield the losses and the time of a training by itself, operation by operation."""
    examples = Examples(dataset, setting.device)
    for precision in PRECISIONS:
        config = setting.config(setting.widths[0], precision=precision)
        training = training_of(setting, dataset, examples, config, 0)
        metrics = training.advance(2 * setting.n_ticks)
        assert metrics is not None
        ms = 1000 / calls_a_second(training.step, setting.seconds, setting.device)
        told = f"losses {metrics.d_loss:.3f} and {metrics.g_loss:.3f}"
        yield f"- ok: {setting.widths[0]}, {precision}: {told} by update {training.updates:,}"
        yield f"- {setting.widths[0]}, {precision}: {ms:.3f} ms a step"


def replay(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield whether a group that is replayed as a graph is that run eagerly, to the bit."""
    with without(TRITON):
        yield from replay_with_triton(setting, dataset)


def replay_with_triton(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield the same with Triton's kernels, as runs use them."""
    if not setting.on_gpu:
        yield _NEEDS_CUDA
        return
    examples = Examples(dataset, setting.device)
    for name, values in KINDS.items():
        for precision in PRECISIONS:
            configs = [
                setting.config(setting.widths[-1], precision=precision, k=k, **values)
                for k in (1, 2, 3)
            ]
            replayed = trained(setting, dataset, examples, configs)
            with without(GRAPHS):
                expected = trained(setting, dataset, examples, configs)
            is_same = [t.save() for t in replayed] == [t.save() for t in expected]
            told = "ok" if is_same else "FAILED"
            yield f"- {told}: {name}, {precision}: a graph gives the bits of the eager chunk"


def triton(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield whether Triton's kernels do what elementary operations do, to rounding."""
    if not setting.on_gpu:
        yield _NEEDS_CUDA
        return
    examples = Examples(dataset, setting.device)
    # Few iterations: rounding errors grow into another training.
    setting = dataclasses.replace(setting, ticks=2)
    with without(GRAPHS):
        for name, values in KINDS.items():
            for precision in PRECISIONS:
                configs = [
                    setting.config(setting.widths[-1], precision=precision, k=k, **values)
                    for k in (1, 2)
                ]
                ours = trained(setting, dataset, examples, configs)
                with without(TRITON):
                    theirs = trained(setting, dataset, examples, configs)
                starts = [
                    training_of(setting, dataset, examples, config, seed)
                    for seed, config in enumerate(configs)
                ]
                error = max(map(difference, ours, theirs, starts))
                told = "ok" if error < _ROUNDING[precision] else "FAILED"
                yield f"- {told}: {name}, {precision}: Triton differs by {error:.1e} of the way"


def milliseconds(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what an iteration of a whole group takes beside an eager step."""
    examples = Examples(dataset, setting.device)
    yield table(
        "G's layers", "slots", "ms an iteration of all", "ms an iteration of one", "an eager step",
        "times as fast",
    )  # fmt: skip
    for width in setting.widths:
        for n_slots in dict.fromkeys((1, *setting.slots[-3:])):
            config = setting.config(width)
            packed = Packed(setting, dataset, examples, [config] * n_slots)
            alone = training_of(setting, dataset, examples, config, 0)
            rates = rates_in_turns(
                setting, {"group": (packed.step, packed.updates), "eager": (alone.step, 2)}
            )
            group, single = (2000 / statistics.median(rates[way]) for way in ("group", "eager"))
            ratio = told_ratio(rates["group"], rates["eager"])
            cells = f"{n_slots * group:.3f}", f"{group:.3f}", f"{single:.3f}", ratio
            yield row(f"{width}", f"{n_slots}", *cells)
            free(setting)


def streams(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what groups of one slot do on streams of their own, beside a full group."""
    examples = Examples(dataset, setting.device)
    yield table(
        "G's layers", "trainings", "one group, updates/s", "groups of one slot", "of the group"
    )
    for width in setting.widths:
        for n in (4, 8):
            configs = [setting.config(width)] * n
            full = Packed(setting, dataset, examples, configs)
            ones = [Packed(setting, dataset, examples, [config]) for config in configs]
            ways = {
                "full": (full.step, full.updates),
                "ones": (partial(step_all, ones), sum(one.updates for one in ones)),
            }
            rates = rates_in_turns(setting, ways)
            cells = [f"{statistics.median(rates[way]):,.0f}" for way in ("full", "ones")]
            yield row(f"{width}", f"{n}", *cells, told_ratio(rates["ones"], rates["full"]))
            free(setting)


def kernels(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield the kernels of a full group by their time, as the profiler names them."""
    examples = Examples(dataset, setting.device)
    packed = Packed(setting, dataset, examples, [setting.config(setting.widths[0])] * 8)
    for _ in range(2):
        packed.step()
    activities = [ProfilerActivity.CUDA] if setting.on_gpu else [ProfilerActivity.CPU]
    with profile(activities=activities) as seen:
        packed.step()
        if setting.on_gpu:
            torch.cuda.synchronize()
    kind = "self_device_time_total" if setting.on_gpu else "self_cpu_time_total"
    events = [(e.key, e.count, getattr(e, kind)) for e in seen.key_averages()]
    total = sum(us for *_, us in events)
    if not total:
        yield "- FAILED: the profiler saw no kernel"
        return
    n_ticks = packed.group.n_ticks
    word = "kernel" if setting.on_gpu else "operation"
    n_calls = sum(n for _, n, us in events if us) / n_ticks
    yield f"{n_calls:.0f} {word}s an iteration, which take {total / n_ticks:.0f} us.\n"
    yield table(word, "calls an iteration", "us an iteration", "share")
    for name, n, us in sorted(events, key=lambda event: -event[2])[:_N_NAMES]:
        told = re.sub(r"[|`]", " ", name)[:100]
        yield row(f"`{told}`", f"{n / n_ticks:.2f}", f"{us / n_ticks:.2f}", f"{us / total:.1%}")


def tests(setting: Setting, _: Dataset) -> Iterator[str]:
    """Yield what the tests that need a GPU say."""
    if find_spec("pytest") is None:
        raise ModuleNotFoundError(name="pytest")
    which = "gpu and not slow" if setting.on_gpu else "not slow"
    few = ["-k", "a_diverging_member"] if setting.is_quick else []
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", which]
    process = subprocess.Popen(
        [*command, *few, *TESTS],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    last = ""
    for line in map(str.rstrip, process.stdout):  # as they come: the stage may be ended
        if re.search(r"::.* (PASSED|FAILED|ERROR)", line):
            yield f"- {line}"
        last = line or last
    yield f"- {last.strip('= ')}"
    if code := process.wait():
        yield f"- FAILED: pytest ended with {code}"


# Common parts


@contextmanager
def without(feature: Feature) -> Iterator[None]:
    """Do without a feature for a while."""
    before = os.environ.get(feature.variable)
    os.environ[feature.variable] = "0"
    try:
        yield
    finally:
        del os.environ[feature.variable]
        if before is not None:
            os.environ[feature.variable] = before


def training_of(
    setting: Setting, dataset: Dataset, examples: Examples, config: TrialConfig, seed: int
) -> AdversarialTraining:
    return AdversarialTraining(config, dataset, seed, device=setting.device, examples=examples)


def trained(
    setting: Setting, dataset: Dataset, examples: Examples, configs: Sequence[TrialConfig]
) -> list[AdversarialTraining]:
    """Return trainings after some chunks in a full group."""
    packed = Packed(setting, dataset, examples, configs)
    for _ in range(_N_COMPARED):
        packed.step()
    for training in packed.trainings:
        packed.group.release(training)
    return packed.trainings


def difference(
    ours: AdversarialTraining, theirs: AdversarialTraining, start: AdversarialTraining
) -> float:
    """Return how far two trainings are apart, relative to the way that the second has gone."""
    parameters = [
        torch.cat([p.detach().flatten() for net in nets for p in net.parameters()])
        for nets in ((t.generator, t.discriminator) for t in (ours, theirs, start))
    ]
    apart, way = (
        torch.linalg.vector_norm(other - parameters[1]).item()
        for other in (parameters[0], parameters[2])
    )
    return apart / way if way else apart


def step_all(groups: Sequence[Packed]) -> None:
    for packed in groups:
        packed.step()
