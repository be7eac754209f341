"""Common parts of the stages of `gpu.py`: settings, whole groups, timing, tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.speed.careful import PAPER, config_of
from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.grouping.engine import TICKS
from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining
from gansearch.trial.plan import MAX_SLOTS

# What `gansearch run` has by default for replicas; searches of many structures have one slot each.
DEFAULT_SLOTS = Budget().replicas
FOREVER = 10**9  # iterations
PRECISIONS = ("fp32", "tf32", "bf16")

Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """How much is measured, and where."""

    device: str
    widths: tuple[int, ...] = (PAPER, 256, 64)
    slots: tuple[int, ...] = (1, DEFAULT_SLOTS, MAX_SLOTS, 2 * MAX_SLOTS, 4 * MAX_SLOTS)
    batch_size: int = 100
    ticks: int | None = None  # of a chunk; None for the engine's
    turns: int = 5
    seconds: float = 0.2  # of each way in a turn
    n_processes: int = 8
    n_scored: int = 10_000
    side: int = 8192  # of the matrices that show what the card can do
    report_every: int = 3000  # updates: of the space `mnist`
    n_reports: int = 2
    space: str = "digits"  # whose scores are compared
    n_seeds: int = 20
    max_updates: int | None = None  # of a scored training; None for the space's budget
    is_quick: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @property
    def n_ticks(self) -> int:
        return self.ticks or TICKS[self.device]

    def config(self, width: int, **values: object) -> TrialConfig:
        return config_of(width, batch_size=self.batch_size, **values)


def quick(device: str) -> Setting:
    """Return a setting that runs all of the code and whose numbers mean nothing."""
    return Setting(
        device,
        (16,),
        (2, MAX_SLOTS),
        batch_size=10,
        ticks=4,
        turns=2,
        seconds=0.01,
        n_processes=2,
        n_scored=500,
        side=256,
        report_every=30,
        n_reports=1,
        n_seeds=2,
        max_updates=30,
        is_quick=True,
    )


def group_of(setting: Setting, config: TrialConfig, examples: Examples, *, n_slots: int) -> Group:
    structure = structure_of(config)
    assert structure is not None
    return Group(structure, (28, 28, 1), examples, n_slots=n_slots, n_ticks=setting.n_ticks)


class Packed:
    """As many trainings as there are slots, which go on for ever; `step` does a chunk of each."""

    def __init__(
        self, setting: Setting, dataset: Dataset, examples: Examples, configs: Sequence[TrialConfig]
    ) -> None:
        self.group = group_of(setting, configs[0], examples, n_slots=len(configs))
        self.trainings = [
            AdversarialTraining(config, dataset, seed, device=setting.device, examples=examples)
            for seed, config in enumerate(configs)
        ]
        for training in self.trainings:
            self.group.admit(training, FOREVER)

    def step(self) -> None:
        self.group.advance()

    @property
    def updates(self) -> int:
        """Those that a step does, of all members together."""
        ticks = self.group.n_ticks
        return sum((ticks // t.config.k) * (t.config.k + 1) for t in self.trainings)


def is_of_replicas(n_slots: int) -> bool:
    """Return whether replicas can have groups of that number of slots in `gansearch run`."""
    return 2 <= n_slots <= MAX_SLOTS


def told_slots(n_slots: int) -> str:
    """Return the number with what it takes to get it."""
    if n_slots == 1:
        return "1, as in most searches"
    if n_slots == DEFAULT_SLOTS:
        return f"{n_slots}, as of replicas by default"
    if is_of_replicas(n_slots):
        return f"{n_slots}, by `--replicas {n_slots}`"
    return f"{n_slots}, not of `gansearch run`"


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def free(setting: Setting) -> None:
    if setting.on_gpu:
        torch.cuda.empty_cache()


def rates_in_turns(setting: Setting, ways: dict[str, tuple[Step, int]]) -> dict[str, list[float]]:
    """Return updates a second of each way, a value each turn; every other turn goes back."""
    for step, _ in ways.values():
        calls_a_second(step, setting.seconds, setting.device)  # warm
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(setting.turns):
        for name in sorted(ways, reverse=turn % 2 == 1):
            step, updates = ways[name]
            rate = updates * calls_a_second(step, setting.seconds, setting.device)
            found[name].append(rate)
    return found


def calls_a_second(step: Step, at_least: float, device: str) -> float:
    synchronize(device)
    start, n = time.perf_counter(), 0
    while n < 2 or time.perf_counter() - start < at_least:
        step()
        n += 1
    synchronize(device)
    return n / (time.perf_counter() - start)


def milliseconds(setting: Setting, step: Step, *, wait: bool = True) -> float:
    """Return what a call takes, with what it leaves to the device if `wait`."""
    synchronize(setting.device)
    start = time.perf_counter()
    step()
    if wait:
        synchronize(setting.device)
    return 1000 * (time.perf_counter() - start)


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the quartiles of a ratio taken turn by turn."""
    taken = [a / b for a, b in zip(over, under, strict=True)]
    quartiles: list[float] = np.quantile(taken, [0.25, 0.5, 0.75]).tolist()
    return quartiles


def told_ratio(over: Sequence[float], under: Sequence[float]) -> str:
    low, median, high = ratios(over, under)
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def table(*heads: str) -> str:
    """Return the head of a table."""
    return f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
