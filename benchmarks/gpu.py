"""What packing many trainings on one GPU is worth: checked, measured, printed as Markdown.

    python benchmarks/gpu.py --write                 # all of it, some eight minutes on a GPU
    python benchmarks/gpu.py --stages checks speed   # parts of it
    python benchmarks/gpu.py --device cpu --quick    # the same code, in less than a minute
    python benchmarks/gpu.py --device cpu --stages speed --slots 4 --widths 64 1200

It needs torch, NumPy and SciPy, but neither Ray nor Optuna. `--write` keeps the tables in
`benchmarks/gpu-<card>.md`. Ratios are medians over turns that all ways take in one process, with
the range of their middle half; an update is one of D or of G on a minibatch of 100. Without
GANSEARCH_DATA the images are noise in the shape of MNIST.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import multiprocessing
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from careful import PAPER, CarefulLoop, config_of, mnist_or_noise

from gansearch.config import TrialConfig
from gansearch.data import Dataset
from gansearch.group import Group, structure_of
from gansearch.parzen import log_likelihoods
from gansearch.training import Examples, Training

# Updates of all members a second, in times of one eager training's, by width.
GOALS = {PAPER: 15, 256: 30}
_PROCESS_GOAL = 4  # in times of eight eager processes'
_PARZEN_GOAL = 0.05  # seconds
_ROOFLINE_GOAL = 0.5
_FOREVER = 10**9  # iterations
_MIXED_KS = (1, 1, 2, 3, 5)
_WORD = 4  # bytes of a number in single precision

Step = Callable[[], object]
Place = tuple["Setting", Dataset, Examples, str]  # the last is the precision


@dataclass(frozen=True)
class Setting:
    """How much is measured, and where."""

    device: str
    widths: tuple[int, ...] = (PAPER, 256, 64)
    slots: tuple[int, ...] = (1, 4, 8, 16, 32)
    n_ticks: int = 32  # updates of D in a chunk
    turns: int = 5
    seconds: float = 0.25  # of each way in a turn
    n_processes: int = 8
    n_scored: int = 10_000
    side: int = 8192  # of the matrices that show what the card can do

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


def usual(device: str) -> Setting:
    # The engine's chunks.
    return Setting(device, n_ticks=32 if device == "cuda" else 8)


def quick(device: str) -> Setting:
    """Return a setting that runs all of the code and measures nothing well."""
    return Setting(
        device,
        (16,),
        (1, 2),
        n_ticks=4,
        turns=2,
        seconds=0.02,
        n_processes=2,
        n_scored=500,
        side=256,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cuda", "cpu"), default=default)
    parser.add_argument("--quick", action="store_true", help="run the code, measure nothing well")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--widths", type=int, nargs="+", help="of G's layers")
    parser.add_argument("--slots", type=int, nargs="+", help="of a group")
    parser.add_argument("--write", action="store_true", help="keep the tables beside this script")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    setting = quick(options.device) if options.quick else usual(options.device)
    for name in ("widths", "slots"):
        if values := getattr(options, name):
            setting = dataclasses.replace(setting, **{name: tuple(values)})
    lines: list[str] = []
    for line in report(setting, options.stages):
        lines.append(line)
        print(line, flush=True)
    if options.write:
        name = re.sub(r"\W+", "-", card(setting)).strip("-").lower()
        (Path(__file__).parent / f"gpu-{name}.md").write_text("\n".join(lines) + "\n")


def report(setting: Setting, stages: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the whole report."""
    dataset = mnist_or_noise()
    yield f"# Packing on {card(setting)}"
    yield ""
    yield f"torch {torch.__version__}, Python {platform.python_version()}, data: {dataset.name}."
    for name in stages:
        start = time.perf_counter()
        yield f"\n## {name.capitalize()}\n"
        yield from STAGES[name](setting, dataset)
        yield f"\nThis took {time.perf_counter() - start:.0f} s."


def card(setting: Setting) -> str:
    return torch.cuda.get_device_name() if setting.on_gpu else f"CPU {platform.machine()}"


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def table(*heads: str) -> str:
    """Return the head of a table."""
    return f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def needs_cuda(*cells: str, n: int = 1) -> str:
    return row(*cells, *["needs CUDA"] * n)


# Checks


def checks(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield for each guarantee of `docs/packing.md` whether it holds."""
    examples = Examples(dataset, setting.device)
    held = {
        "a member is bit for bit the same alone and beside two others": _beside_others,
        "and in another slot, having come later": _come_late,
        "and beside one that has diverged": _beside_a_diverged_one,
        "and saved on the way, loaded, and resumed in a slot that another one has left": _resumed,
        "it follows the single step for five iterations, to .1 % (fp32) or 2 %": _follows_single,
    }
    for precision in ("fp32", "tf32", "bf16"):
        for name, holds in held.items():
            found = holds((setting, dataset, examples, precision))
            yield f"- {'ok' if found else 'FAILED'}: {precision}: {name}"
    name = "a replayed chunk neither waits for the device nor allocates memory"
    if not setting.on_gpu:
        yield f"- needs CUDA: {name}"
        return
    yield f"- {'ok' if _replays_alone((setting, dataset, examples, 'fp32')) else 'FAILED'}: {name}"


def _trained(
    setting: Setting,
    examples: Examples,
    training: Training,
    n_iterations: int,
    *,
    before: Sequence[Training] = (),
    beside: Sequence[Training] = (),
) -> bytes:
    """Return the state of a training that had company, some of it a chunk earlier."""
    group = group_of(setting, training.config, examples, n_slots=4)
    for other in before:
        group.admit(other, _FOREVER)
    if before:
        group.advance()
    group.admit(training, n_iterations)
    for other in beside:
        group.admit(other, _FOREVER)
    while group.left(training):
        group.advance()
    group.release(training)
    return training.save()


def group_of(setting: Setting, config: TrialConfig, examples: Examples, *, n_slots: int) -> Group:
    structure = structure_of(config)
    assert structure is not None
    return Group(structure, (28, 28, 1), examples, n_slots=n_slots, n_ticks=setting.n_ticks)


def _start(at: Place, seed: int = 0, **values: object) -> Training:
    setting, dataset, examples, precision = at
    config = config_of(setting.widths[-1], precision=precision, **values)
    return Training(config, dataset, seed, device=setting.device, examples=examples)


def _n_checked(setting: Setting) -> int:
    return 2 * setting.n_ticks + 3


def _alone(at: Place) -> bytes:
    setting, _, examples, _ = at
    training = _start(at)
    return _trained(setting, examples, training, _n_checked(setting))


def _beside_others(at: Place) -> bool:
    setting, _, examples, _ = at
    others = [_start(at, seed, k=2, noise_dim=7) for seed in (1, 2)]
    training, n = _start(at), _n_checked(setting)
    return _trained(setting, examples, training, n, beside=others) == _alone(at)


def _come_late(at: Place) -> bool:
    setting, _, examples, _ = at
    others = [_start(at, seed, k=3) for seed in (1, 2)]
    training, n = _start(at), _n_checked(setting)
    return _trained(setting, examples, training, n, before=others) == _alone(at)


def _beside_a_diverged_one(at: Place) -> bool:
    setting, _, examples, _ = at
    broken = _start(at, 1)
    with torch.no_grad():
        broken.generator.layers[0].weight.fill_(torch.nan)
    training, n = _start(at), _n_checked(setting)
    return _trained(setting, examples, training, n, before=[broken]) == _alone(at)


def _resumed(at: Place) -> bool:
    setting, _, examples, _ = at
    first, again = (_start(at) for _ in range(2))
    again.load(_trained(setting, examples, first, 5))
    group = group_of(setting, first.config, examples, n_slots=4)
    left = _start(at, 3, noise_dim=101)
    for training, n in ((left, 5), (again, _n_checked(setting) - 5)):
        group.admit(training, n)
        while group.left(training):
            group.advance()
        group.release(training)
    return again.save() == _alone(at)


def _follows_single(at: Place) -> bool:
    setting, _, examples, precision = at
    packed, single = (_start(at) for _ in range(2))
    _trained(setting, examples, packed, 5)
    for _ in range(5):
        single.step()
    pairs = zip(packed.generator.parameters(), single.generator.parameters(), strict=True)
    # bf16 has three digits, and where a sum is rounded differs.
    limit = 1e-3 if precision == "fp32" else 2e-2
    return all(torch.linalg.vector_norm(a - b) <= limit * b.norm() for a, b in pairs)


def _replays_alone(at: Place) -> bool:
    setting, _, examples, _ = at
    training = _start(at)
    group = group_of(setting, training.config, examples, n_slots=4)
    group.admit(training, _FOREVER)
    group.advance()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    torch.cuda.set_sync_debug_mode("error")
    try:
        group._replay(group._ticks_with_g({1}))
    except RuntimeError:
        return False
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return torch.cuda.memory_stats()["allocation.all.allocated"] == before


# Speed


class Packed:
    """As many trainings as there are slots, which go on for ever; `step` does a chunk of each."""

    def __init__(
        self, setting: Setting, dataset: Dataset, examples: Examples, configs: Sequence[TrialConfig]
    ) -> None:
        self.group = group_of(setting, configs[0], examples, n_slots=len(configs))
        self.trainings = [
            Training(config, dataset, seed, device=setting.device, examples=examples)
            for seed, config in enumerate(configs)
        ]
        for training in self.trainings:
            self.group.admit(training, _FOREVER)

    def step(self) -> None:
        self.group.advance()

    @property
    def updates(self) -> int:
        """Those that a step does, of all members together."""
        ticks = self.group.n_ticks
        return sum((ticks // t.config.k) * (t.config.k + 1) for t in self.trainings)


def speed(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield updates a second of a whole group, beside those of one eager training."""
    examples = Examples(dataset, setting.device)
    yield table(
        "G's layers", "slots", "precision", "k", "updates/s", "times one eager trial of ours",
        "times a careful loop", "goal",
    )  # fmt: skip
    most = setting.slots[-1]
    for width in setting.widths:
        runs = [(n, "fp32", (1,)) for n in setting.slots]
        runs += [(most, "tf32", (1,)), (most, "bf16", (1,)), (most, "fp32", _MIXED_KS)]
        for n_slots, precision, ks in runs:
            rates = _speeds(setting, dataset, examples, width, n_slots, precision, ks)
            has_goal = setting.on_gpu and n_slots == most and len(ks) == 1
            goal = f"{GOALS[width]}" if has_goal and width in GOALS else ""
            told = "1" if len(ks) == 1 else "1 to 5, mixed"
            packed = statistics.median(rates["packed"])
            ratios = ratio(rates["packed"], rates["ours"]), ratio(rates["packed"], rates["careful"])
            yield row(f"{width}", f"{n_slots}", precision, told, f"{packed:,.0f}", *ratios, goal)
            free(setting)


def _speeds(
    setting: Setting,
    dataset: Dataset,
    examples: Examples,
    width: int,
    n_slots: int,
    precision: str,
    ks: Sequence[int],
) -> dict[str, list[float]]:
    """Return updates a second of each way, a value each turn."""
    configs = [config_of(width, precision=precision, k=ks[i % len(ks)]) for i in range(n_slots)]
    packed = Packed(setting, dataset, examples, configs)
    # The eager ways are the same in every row: k = 1, in single precision.
    base = config_of(width)
    ours = Training(base, dataset, 0, device=setting.device, examples=examples)
    ways = {
        "ours": (ours.step, 2),
        "careful": (CarefulLoop(base, dataset, setting.device).step, 2),
        "packed": (packed.step, packed.updates),
    }
    return rates_in_turns(setting, ways)


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


def ratio(over: Sequence[float], under: Sequence[float]) -> str:
    """Return the median of a ratio taken turn by turn, with its quartiles."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def free(setting: Setting) -> None:
    if setting.on_gpu:
        torch.cuda.empty_cache()


# Processes


def processes(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield updates a second of one group, beside those of eager processes on the same device."""
    examples = Examples(dataset, setting.device)
    n_slots, n = setting.slots[-1], setting.n_processes
    yield table("G's layers", f"{n} processes, updates/s", f"{n_slots} slots", "ratio", "goal")
    for width in (setting.widths[0], setting.widths[-1]):
        config = config_of(width)
        packed = Packed(setting, dataset, examples, [config] * n_slots)
        pipes, workers = _start_workers(setting, dataset, config)
        calls_a_second(packed.step, setting.seconds, setting.device)  # warm
        eager, ours = [], []
        for _ in range(setting.turns):
            eager.append(sum(_ask(pipes, 4 * setting.seconds)))
            rate = calls_a_second(packed.step, setting.seconds, setting.device)
            ours.append(packed.updates * rate)
        _ask(pipes, 0)
        for worker in workers:
            worker.join()
        middle = [f"{statistics.median(rates):,.0f}" for rates in (eager, ours)]
        yield row(f"{width}", *middle, ratio(ours, eager), f"{_PROCESS_GOAL}")
        free(setting)


def _start_workers(
    setting: Setting, dataset: Dataset, config: TrialConfig
) -> tuple[list[Connection], list[multiprocessing.process.BaseProcess]]:
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    workers: list[multiprocessing.process.BaseProcess] = []
    for _ in range(setting.n_processes):
        here, there = context.Pipe()
        worker = context.Process(target=serve, args=(there, setting.device, dataset, config))
        worker.start()
        pipes.append(here)
        workers.append(worker)
    _ask(pipes, setting.seconds)  # warm
    return pipes, workers


def serve(pipe: Connection, device: str, dataset: Dataset, config: TrialConfig) -> None:
    """Train for as long as each message says, and answer with the updates a second."""
    torch.set_num_threads(1)
    training = Training(config, dataset, seed=0, device=device)
    while seconds := pipe.recv():
        pipe.send(2 * calls_a_second(training.step, seconds, device))
    pipe.send(0.0)


def _ask(pipes: Sequence[Connection], seconds: float) -> list[float]:
    for pipe in pipes:
        pipe.send(seconds)
    return [pipe.recv() for pipe in pipes]


# Roofline


@dataclass(frozen=True)
class Product:
    """A product of `[n, inner]` and `[inner, units]`."""

    n: int
    inner: int
    units: int

    @property
    def flops(self) -> int:
        """Multiplications and additions together."""
        return 2 * self.n * self.inner * self.units

    def bytes(self, word: int) -> int:
        """Both operands read once and the result written once."""
        return word * (self.n * self.inner + self.inner * self.units + self.n * self.units)


def products(config: TrialConfig) -> list[Product]:
    """Return the matrix products of an alternating iteration with k = 1.

    A layer's product forward is `[n, in] [in, out]`; the gradient by its weights is `[in, n]
    [n, out]`, that by its input `[n, out] [out, in]`, which the lowest layer of a player takes only
    where a gradient goes on below it: for D in G's update.
    """
    m, pieces = config.batch_size, config.maxout_pieces
    g = list(pairwise((config.noise_dim, *config.generator_widths, 784)))
    ins, outs = (784, *config.discriminator_widths), (*config.discriminator_widths, 1)
    n_pieces = [pieces] * (len(outs) - 1) + [1]
    d = [(i, p * o) for i, o, p in zip(ins, outs, n_pieces, strict=True)]

    def forward(n: int, layers: Sequence[tuple[int, int]]) -> list[Product]:
        return [Product(n, i, o) for i, o in layers]

    def by_weights(n: int, layers: Sequence[tuple[int, int]]) -> list[Product]:
        return [Product(i, n, o) for i, o in layers]

    def by_inputs(n: int, layers: Sequence[tuple[int, int]]) -> list[Product]:
        return [Product(n, o, i) for i, o in layers]

    of_d = forward(m, g) + forward(2 * m, d) + by_weights(2 * m, d) + by_inputs(2 * m, d[1:])
    of_g = forward(m, g) + forward(m, d) + by_inputs(m, d)
    return of_d + of_g + by_weights(m, g) + by_inputs(m, g[1:])


def n_parameters(config: TrialConfig) -> int:
    g = pairwise((config.noise_dim, *config.generator_widths, 784))
    ins, outs = (784, *config.discriminator_widths), (*config.discriminator_widths, 1)
    n_pieces = [config.maxout_pieces] * (len(outs) - 1) + [1]
    d = [(i, p * o) for i, o, p in zip(ins, outs, n_pieces, strict=True)]
    return sum(i * o + o for i, o in (*g, *d))


def other_bytes(config: TrialConfig) -> int:
    """Return the bytes an iteration moves beside its products, at least.

    An update by momentum reads parameter, moment and gradient and writes the first two: five words
    a parameter. A dropout mask of D's three layers is written when it is drawn, copied to where
    the group reads it, and read: four words an input, of 2m rows in D's update and m in G's.
    Activations are counted with the products alone, as if all else were fused into them.
    """
    inputs = 784 + sum(config.discriminator_widths)
    masks = 4 * 3 * config.batch_size * inputs
    return _WORD * (5 * n_parameters(config) + masks)


def least_seconds(config: TrialConfig, flops: float, bandwidth: float) -> float:
    """Return what an iteration takes at least, each part at the rate that bounds it."""
    word = 2 if config.precision == "bf16" else _WORD
    bounds = [max(p.flops / flops, p.bytes(word) / bandwidth) for p in products(config)]
    return sum(bounds) + other_bytes(config) / bandwidth


def roofline(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what share of the card's possible speed a full group has."""
    examples = Examples(dataset, setting.device)
    bandwidth = copy_bandwidth(setting)
    yield f"Copies move {bandwidth / 1e9:,.0f} GB/s (read and written).\n"
    yield table(
        "G's layers", "precision", "products alone, TFLOP/s", "GFLOP an iteration",
        "least ms a member", "measured", "share", "goal",
    )  # fmt: skip
    n_slots = setting.slots[-1]
    for width in setting.widths:
        for precision in ("fp32", "tf32", "bf16"):
            config = config_of(width, precision=precision)
            flops = product_rate(setting, precision)
            packed = Packed(setting, dataset, examples, [config] * n_slots)
            calls_a_second(packed.step, setting.seconds, setting.device)  # warm
            rates = [
                calls_a_second(packed.step, setting.seconds, setting.device)
                for _ in range(setting.turns)
            ]
            took = 2 / (packed.updates * statistics.median(rates))
            least = least_seconds(config, flops, bandwidth)
            work = sum(p.flops for p in products(config)) / 1e9
            cells = f"{flops / 1e12:.1f}", f"{work:.2f}", f"{1e3 * least:.3f}", f"{1e3 * took:.3f}"
            goal = f"{_ROOFLINE_GOAL:.0%}" if width == PAPER else ""
            yield row(f"{width}", precision, *cells, f"{least / took:.0%}", goal)
            free(setting)


def copy_bandwidth(setting: Setting) -> float:
    """Return bytes a second, of a copy that fits no cache."""
    source = torch.ones(setting.side * setting.side * 2, device=setting.device)
    target = torch.empty_like(source)
    rate = calls_a_second(partial(target.copy_, source), setting.seconds, setting.device)
    return 2 * _WORD * source.numel() * rate


def product_rate(setting: Setting, precision: str) -> float:
    """Return operations a second of one large matrix product."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(setting.side, setting.side, device=setting.device).to(dtype) for _ in "ab")
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        rate = calls_a_second(partial(torch.mm, a, b), setting.seconds, setting.device)
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    return 2 * setting.side**3 * rate


# Scores


def parzen(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what the log-likelihood of test points under as many samples takes, in full fp32."""
    n, dim, sigma = setting.n_scored, math.prod(dataset.shape), 0.2
    rng = np.random.default_rng(0)
    samples, points = (rng.random((n, dim), dtype=np.float32) for _ in range(2))
    on_device = [torch.from_numpy(x).to(setting.device) for x in (samples, points)]
    yield table("distances a block", f"seconds for {n:,} x {n:,} x {dim}", "goal")
    for mebibytes in (4, 64, 512):
        score = partial(
            log_likelihoods, *on_device, [sigma], block_bytes=mebibytes * 2**20,
            device=setting.device,
        )  # fmt: skip
        score()  # warm
        times = []
        for _ in range(setting.turns):
            start = time.perf_counter()
            found = score()[0]
            times.append(time.perf_counter() - start)
        yield row(f"{mebibytes} MiB", f"{statistics.median(times):.3f}", f"{_PARZEN_GOAL}")
    few = points[:100]
    errors = np.abs(found[: len(few)] - exact_log_likelihoods(samples, few, sigma))
    told = "ok" if errors.max() < 0.02 else "FAILED"
    yield f"\n- {told}: {len(few)} points err by {errors.max():.1e} nats at most, against float64"


def exact_log_likelihoods(samples: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """Return `[n_points]` in double precision, by the formula as `gansearch.parzen` gives it."""
    s = torch.from_numpy(samples).double()
    found = []
    for x in torch.from_numpy(points).double():
        exponents = -(s - x).square().sum(1) / (2 * sigma**2)
        found.append(torch.logsumexp(exponents, 0).item() - math.log(len(s)))
    return np.array(found) - samples.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))


# Costs


def costs(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what a member, a graph, a chunk's preparation and a process cost."""
    examples = Examples(dataset, setting.device)
    yield table("G's layers", "of", "cost")
    for width in setting.widths:
        config = config_of(width)
        few, many = 1, max(2, setting.slots[-1])
        heads = f"{width}", "memory a member, MiB; while a graph is recorded"
        if setting.on_gpu:
            most, least = (_memory(setting, dataset, examples, config, n) for n in (many, few))
            each = [(a - b) / (many - few) / 2**20 for a, b in zip(most, least, strict=True)]
            yield row(*heads, f"{each[0]:.0f}; {each[1]:.0f}")
        else:
            yield needs_cuda(*heads)
        packed = Packed(setting, dataset, examples, [config] * many)
        first = _milliseconds(setting, packed.step)
        chunk = _milliseconds(setting, packed.step)
        yield row(f"{width}", "the first chunk, which records a graph, ms", f"{first:.0f}")
        yield row(f"{width}", f"a chunk of {many} members, ms", f"{chunk:.1f}")
        fill = min(_milliseconds(setting, packed.group._fill, wait=False) for _ in range(9))
        told = f"preparing it, {many} members, ms of the host"
        yield row(f"{width}", told, f"{fill:.2f}")
        member = packed.trainings[0]
        out = _milliseconds(setting, partial(packed.group.release, member))
        into = _milliseconds(setting, partial(packed.group.admit, member, _FOREVER))
        yield row(f"{width}", "letting a member go, ms", f"{out:.1f}")
        yield row(f"{width}", "taking one in, ms", f"{into:.1f}")
        free(setting)
    yield from _process_costs(setting)


def _milliseconds(setting: Setting, step: Step, *, wait: bool = True) -> float:
    """Return what a call takes, with what it leaves to the device if `wait`."""
    synchronize(setting.device)
    start = time.perf_counter()
    step()
    if wait:
        synchronize(setting.device)
    return 1000 * (time.perf_counter() - start)


def _memory(
    setting: Setting, dataset: Dataset, examples: Examples, config: TrialConfig, n_slots: int
) -> tuple[int, int]:
    """Return the bytes that a group holds on the device, and the most that it held."""
    free(setting)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    packed = Packed(setting, dataset, examples, [config] * n_slots)
    packed.step()
    torch.cuda.synchronize()
    most = torch.cuda.max_memory_reserved()
    free(setting)  # what a graph uses stays reserved
    return torch.cuda.memory_reserved() - before, most - before


def _process_costs(setting: Setting) -> Iterator[str]:
    """Yield the memory on the host of processes with and without torch."""
    programs = {
        "a process with NumPy": "import numpy",
        "one with gansearch's training, and so torch": "import gansearch.training",
        "one with a CUDA context too": (
            "import gansearch.training, torch; torch.ones(9, device='cuda').sum().item()"
        ),
    }
    tell = "\nfor line in open('/proc/self/status'):\n if 'VmRSS' in line: print(line.split()[1])"
    for name, program in programs.items():
        heads = "", f"{name}, MiB of the host"
        if "cuda" in program and not setting.on_gpu:
            yield needs_cuda(*heads)
            continue
        command = [sys.executable, "-c", program + tell]
        kibibytes = int(subprocess.run(command, check=True, capture_output=True).stdout)
        yield row(*heads, f"{kibibytes / 1024:.0f}")


STAGES: dict[str, Callable[[Setting, Dataset], Iterator[str]]] = {
    "checks": checks,
    "speed": speed,
    "processes": processes,
    "roofline": roofline,
    "parzen": parzen,
    "costs": costs,
}


if __name__ == "__main__":
    main()
