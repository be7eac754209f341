"""What training trials in groups on one GPU gains: checked, measured, printed as Markdown.

    python benchmarks/gpu/gpu.py --write                # all of it: eighteen minutes at most
    python benchmarks/gpu/gpu.py --stages checks speed  # parts of it
    python benchmarks/gpu/gpu.py --stages scores --space mnist --seeds 8 --limit 500
    python benchmarks/gpu/gpu.py --device cpu --quick   # the same code, a minute
    python benchmarks/gpu/gpu.py --device cpu --stages speed --slots 4 --widths 64 1200 --limit 600

On a card that nobody has used yet, `first_contact.py` comes first. It needs torch, NumPy, SciPy,
safetensors and, for the scores, scikit-learn, but neither Ray nor Optuna nor an installed
gansearch. Each stage has a process of its own, and a limit after which it is ended; its lines are
printed, and with `--write [FOLDER]` appended to `gpu-<card>.md`, as they come. It exits with 1
where a check has failed or a stage has not completed.

Goals stand beside what `gansearch run` delivers: groups of as many slots as the engine makes.
Ratios are medians over turns that all ways take in one process, with the range of their middle
half; an update is one of D or of G on a minibatch of 100. Without GANSEARCH_DATA the images are
noise in the shape of MNIST.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

if __package__ in (None, ""):  # as a script it needs no installed gansearch
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.gpu.host_memory import host_memory
from benchmarks.gpu.packed import (
    DEFAULT_SLOTS,
    FOREVER,
    PRECISIONS,
    Packed,
    Setting,
    calls_a_second,
    free,
    is_of_replicas,
    milliseconds,
    quick,
    rates_in_turns,
    ratios,
    row,
    synchronize,
    table,
    told_ratio,
    told_slots,
)
from benchmarks.gpu.packed_checks import checks
from benchmarks.gpu.roofline import least_seconds, products
from benchmarks.gpu.stages import RESULTS, Stage, heading, in_time, publish
from benchmarks.speed.careful import PAPER, CarefulLoop
from benchmarks.studies.scores import PAPERS, scores_together, told_difference
from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.grouping.engine import Engine
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.parzen import log_likelihoods
from gansearch.system.features import triton_module
from gansearch.system.precision import full_precision
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining
from gansearch.trial.plan import MAX_SLOTS

# Updates of all members a second, in times of one eager training's, by width.
GOALS = {PAPER: 15, 256: 60}
_PROCESS_GOAL = 4  # in times of eight eager processes'
_PARZEN_GOAL = 0.05  # seconds
_ROOFLINE_GOAL = 0.5
_INDICATORS_GOAL = 0.03  # of the training between two evaluations
_MIXED_KS = (1, 1, 2, 3, 5)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cuda", "cpu"), default=default)
    parser.add_argument(
        "--quick", action="store_true", help="only run the code; the numbers mean nothing"
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--widths", type=int, nargs="+", help="widths of G's layers")
    parser.add_argument(
        "--slots", type=int, nargs="+", help="slots of the groups in the stage `speed`"
    )
    parser.add_argument("--space", choices=PAPERS, help="space whose scores are compared")
    parser.add_argument("--seeds", dest="n_seeds", type=int, help="number of seeds of the scores")
    parser.add_argument("--limit", type=float, help="time limit of each stage, in seconds")
    parser.add_argument(
        "--write", type=Path, nargs="?", const=RESULTS, help="folder to append the tables to"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    setting = quick(options.device) if options.quick else Setting(options.device)
    for name in ("widths", "slots", "space", "n_seeds"):
        if value := getattr(options, name):
            value = tuple(value) if isinstance(value, list) else value
            setting = dataclasses.replace(setting, **{name: value})
    lines = report(setting, options.stages, options.limit)
    if not publish(lines, setting, options.write):
        sys.exit(1)


def report(setting: Setting, stages: Sequence[str], limit: float | None = None) -> Iterator[str]:
    """Yield the lines of the whole report, as they come."""
    yield from heading(setting)
    has_kernels = triton_module("gansearch.training.member_kernels") is not None
    yield f"Triton's kernels are {'used' if has_kernels else 'not used'}."
    for name in stages:
        stage, seconds = STAGES[name]
        yield f"\n## {name.capitalize()}\n"
        yield from in_time(setting, stage, limit or seconds)


def verdict(setting: Setting, goal: str, *, is_met: bool) -> str:
    """Return a goal, and whether it is met: it is one for a GPU."""
    return f"{goal}: {'met' if is_met else 'missed'}" if setting.on_gpu else goal


# Speed


def speed(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield updates a second of a whole group, beside those of one eager training."""
    yield f"Data: {dataset.name}.\n"
    examples = Examples(dataset, setting.device)
    yield table(
        "G's layers", "slots", "precision", "k", "updates/s", "times one eager trial of ours",
        "times a careful loop", "goal",
    )  # fmt: skip
    for width in setting.widths:
        runs = [(n, "fp32", (1,)) for n in setting.slots]
        kinds = [("tf32", (1,)), ("bf16", (1,)), ("fp32", _MIXED_KS)]
        most = max(filter(is_of_replicas, setting.slots), default=setting.slots[-1])
        runs += [(most, *kind) for kind in kinds]
        for n_slots, precision, ks in runs:
            rates = _speeds(setting, dataset, examples, width, n_slots, precision, ks)
            goal = ""
            if is_of_replicas(n_slots) and len(ks) == 1 and width in GOALS:
                median = ratios(rates["packed"], rates["ours"])[1]
                goal = verdict(setting, f"{GOALS[width]}", is_met=median >= GOALS[width])
            told = "1" if len(ks) == 1 else "1 to 5, mixed"
            packed = statistics.median(rates["packed"])
            yield row(
                f"{width}", told_slots(n_slots), precision, told, f"{packed:,.0f}",
                *(told_ratio(rates["packed"], rates[way]) for way in ("ours", "careful")), goal,
            )  # fmt: skip
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
    configs = [
        setting.config(width, precision=precision, k=ks[i % len(ks)]) for i in range(n_slots)
    ]
    packed = Packed(setting, dataset, examples, configs)
    # The eager ways are the same in every row: k = 1, in single precision.
    base = setting.config(width)
    ours = AdversarialTraining(base, dataset, 0, device=setting.device, examples=examples)
    ways = {
        "ours": (ours.step, 2),
        "careful": (CarefulLoop(base, dataset, setting.device).step, 2),
        "packed": (packed.step, packed.updates),
    }
    return rates_in_turns(setting, ways)


# Processes


def processes(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield updates a second of one group, beside those of eager processes on the same device."""
    examples = Examples(dataset, setting.device)
    n = setting.n_processes
    yield table("G's layers", "slots", f"{n} processes, updates/s", "one group", "ratio", "goal")
    for width in dict.fromkeys((setting.widths[0], setting.widths[-1])):
        config = setting.config(width)
        pipes, workers = _start_workers(setting, dataset, config)
        for n_slots in dict.fromkeys((DEFAULT_SLOTS, MAX_SLOTS, setting.slots[-1])):
            packed = Packed(setting, dataset, examples, [config] * n_slots)
            eager, ours = _beside_processes(setting, packed, pipes)
            middle = [f"{statistics.median(rates):,.0f}" for rates in (eager, ours)]
            goal = ""
            if is_of_replicas(n_slots):
                is_met = ratios(ours, eager)[1] >= _PROCESS_GOAL
                goal = verdict(setting, f"{_PROCESS_GOAL}", is_met=is_met)
            cells = f"{width}", told_slots(n_slots), *middle, told_ratio(ours, eager), goal
            yield row(*cells)
        _ask(pipes, 0)
        for worker in workers:
            worker.join()
        free(setting)


def _beside_processes(
    setting: Setting, packed: Packed, pipes: Sequence[Connection]
) -> tuple[list[float], list[float]]:
    """Return updates a second of all processes together, and of the group, a value each turn."""
    calls_a_second(packed.step, setting.seconds, setting.device)  # warm
    eager, ours = [], []
    for _ in range(setting.turns):
        eager.append(sum(_ask(pipes, 4 * setting.seconds)))
        rate = calls_a_second(packed.step, setting.seconds, setting.device)
        ours.append(packed.updates * rate)
    return eager, ours


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
    training = AdversarialTraining(config, dataset, seed=0, device=device)
    with suppress(EOFError):  # the stage was ended
        while seconds := pipe.recv():
            pipe.send(2 * calls_a_second(training.step, seconds, device))
        pipe.send(0.0)


def _ask(pipes: Sequence[Connection], seconds: float) -> list[float]:
    for pipe in pipes:
        pipe.send(seconds)
    return [pipe.recv() for pipe in pipes]


# Roofline


def roofline(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what share of the card's possible speed a full group has."""
    examples = Examples(dataset, setting.device)
    bandwidth = copy_bandwidth(setting)
    flops = {precision: product_rate(setting, precision) for precision in PRECISIONS}
    free(setting)
    yield f"Copies move {bandwidth / 1e9:,.0f} GB/s (read and written).\n"
    yield table(
        "G's layers", "slots", "precision", "products alone, TFLOP/s", "GFLOP an iteration",
        "least ms a member", "measured", "share", "goal",
    )  # fmt: skip
    for width in setting.widths:
        for n_slots in dict.fromkeys((MAX_SLOTS, setting.slots[-1])):
            for precision in PRECISIONS:
                config = setting.config(width, precision=precision)
                took = _seconds_an_iteration(setting, dataset, examples, config, n_slots)
                least = least_seconds(config, flops[precision], bandwidth)
                share, goal = least / took, ""
                if width == PAPER and is_of_replicas(n_slots):
                    goal = verdict(setting, f"{_ROOFLINE_GOAL:.0%}", is_met=share >= _ROOFLINE_GOAL)
                work = sum(p.flops for p in products(config)) / 1e9
                yield row(
                    f"{width}", told_slots(n_slots), precision, f"{flops[precision] / 1e12:.1f}",
                    f"{work:.2f}", f"{1e3 * least:.3f}", f"{1e3 * took:.3f}", f"{share:.0%}", goal,
                )  # fmt: skip
                free(setting)


def _seconds_an_iteration(
    setting: Setting, dataset: Dataset, examples: Examples, config: TrialConfig, n_slots: int
) -> float:
    """Return what an iteration of one member takes in a full group, the others at the same time."""
    packed = Packed(setting, dataset, examples, [config] * n_slots)
    calls_a_second(packed.step, setting.seconds, setting.device)  # warm
    rates = [
        calls_a_second(packed.step, setting.seconds, setting.device) for _ in range(setting.turns)
    ]
    return 2 / (packed.updates * statistics.median(rates))


def copy_bandwidth(setting: Setting) -> float:
    """Return bytes a second, of a copy that fits no cache."""
    source = torch.ones(setting.side * setting.side * 2, device=setting.device)
    target = torch.empty_like(source)
    rate = calls_a_second(partial(target.copy_, source), setting.seconds, setting.device)
    return 2 * source.nbytes * rate


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


# Evaluations and scores


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
        seconds, is_default = statistics.median(times), mebibytes == 4
        goal = (
            verdict(setting, f"{_PARZEN_GOAL}", is_met=seconds < _PARZEN_GOAL) if is_default else ""
        )
        told = f"{mebibytes} MiB{', as in a search' if is_default else ''}"
        yield row(told, f"{seconds:.3f}", goal)
    few = points[:100]
    errors = np.abs(found[: len(few)] - exact_log_likelihoods(samples, few, sigma))
    told = "ok" if errors.max() < 0.02 else "FAILED"
    yield f"\n- {told}: {len(few)} points err by {errors.max():.1e} nats at most, against float64"


def exact_log_likelihoods(samples: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """Return `[n_points]` in double precision, by the formula of `gansearch.scoring.parzen`."""
    s = torch.from_numpy(samples).double()
    found = []
    for x in torch.from_numpy(points).double():
        exponents = -(s - x).square().sum(1) / (2 * sigma**2)
        found.append(torch.logsumexp(exponents, 0).item() - math.log(len(s)))
    return np.array(found) - samples.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))


def reports(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what an evaluation costs beside the training before it, in a full group.

    All members train at once and are evaluated one after another, so that an evaluation has a
    member's share of the time between two evaluations: an interval's updates at the group's rate.
    """
    every = setting.report_every
    evaluator = Evaluator(dataset, device=setting.device)
    engine = Engine(dataset, setting.device, n_slots=MAX_SLOTS)
    yield f"Evaluations every {every:,} updates, {MAX_SLOTS} slots; medians.\n"
    yield table(
        "G's layers", "training between two, a member's share, ms", "samples, ms",
        "indicators, ms", "Parzen and indicators, ms", "share of the indicators", "goal",
        "updates/s through the engine", "with evaluations",
    )  # fmt: skip
    for width in setting.widths:
        config = setting.config(width)
        trainings = [
            AdversarialTraining(
                config, dataset, seed, device=setting.device, examples=engine.examples
            )
            for seed in range(MAX_SLOTS)
        ]
        _train(setting, engine, trainings, None)  # warm
        bare = _train(setting, engine, trainings, None)
        whole = _train(setting, engine, trainings, evaluator)
        samples = trainings[0].samples(evaluator.n_samples)
        with full_precision(setting.device):
            steps = {
                "samples": partial(trainings[0].samples, evaluator.n_samples),
                "indicators": partial(evaluator.reference.indicators, samples),
                "all": partial(evaluator.evaluate, samples),
            }
            took = {
                name: statistics.median(milliseconds(setting, step) for _ in range(9))
                for name, step in steps.items()
            }
        between = 1000 * every / bare
        share = took["indicators"] / between
        told = verdict(setting, f"{_INDICATORS_GOAL:.0%}", is_met=share < _INDICATORS_GOAL)
        yield row(
            f"{width}", f"{between:.0f}", *(f"{ms:.1f}" for ms in took.values()), f"{share:.1%}",
            told, f"{bare:,.0f}", f"{whole:,.0f}",
        )  # fmt: skip
    engine.close()


def _train(
    setting: Setting,
    engine: Engine,
    trainings: Sequence[AdversarialTraining],
    evaluator: Evaluator | None,
) -> float:
    """Return the updates a second of trainings up to their next few evaluations."""

    def go_on(training: AdversarialTraining) -> int:
        before = training.updates
        for i in range(setting.n_reports):
            engine.advance(training, before + (i + 1) * setting.report_every)
            if evaluator is not None:
                samples = training.samples(evaluator.n_samples)
                with full_precision(setting.device):
                    evaluator.evaluate(samples)
        return training.updates - before

    start = time.perf_counter()
    with ThreadPoolExecutor(len(trainings)) as pool:
        n_updates = sum(pool.map(go_on, trainings))
    synchronize(setting.device)
    return n_updates / (time.perf_counter() - start)


def scores(setting: Setting, _: Dataset) -> Iterator[str]:
    """Yield what each precision does to the final score of whole trainings."""
    full = PAPERS[setting.space]
    if setting.max_updates:
        full = dataclasses.replace(full, max_updates=setting.max_updates)
    folder = os.environ.get("GANSEARCH_DATA")
    dataset = load_dataset(setting.space, Path(folder) if folder else None)
    seeds = range(setting.n_seeds)
    yield (
        f"`{setting.space}`, preset `paper`, {full.max_updates:,} updates, the same "
        f"{len(seeds)} seeds each, in groups of {MAX_SLOTS}.\n"
    )
    yield table("precision", "mean valid_ll, nats", "sd over seeds", "seconds for all")
    found: dict[str, list[float]] = {}
    for precision in PRECISIONS:
        config = dataclasses.replace(full.config, precision=precision)
        start = time.perf_counter()
        found[precision] = scores_together(
            dataclasses.replace(full, config=config), dataset, seeds, setting.device
        )
        seconds = time.perf_counter() - start
        mean, sd = np.nanmean(found[precision]), np.nanstd(found[precision], ddof=1)
        yield row(precision, f"{mean:.2f}", f"{sd:.2f}", f"{seconds:.0f}")
    yield ""
    for precision in PRECISIONS[1:]:
        told = told_difference(f"{precision} less fp32", found[precision], found["fp32"])
        yield f"- {told}"
    if not setting.on_gpu:
        yield "- tf32 is fp32 on a CPU"


# Costs


def costs(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield what a member, a graph, a chunk's preparation and a process cost."""
    examples = Examples(dataset, setting.device)
    yield table("G's layers", "of", "cost")
    for width in setting.widths:
        config = setting.config(width)
        few, many = 1, MAX_SLOTS
        heads = f"{width}", "memory a member, MiB; while a graph is recorded"
        if setting.on_gpu:
            most, least = (_memory(setting, dataset, examples, config, n) for n in (many, few))
            each = [(a - b) / (many - few) / 2**20 for a, b in zip(most, least, strict=True)]
            yield row(*heads, f"{each[0]:.0f}; {each[1]:.0f}")
        else:
            yield row(*heads, "needs CUDA")
        packed = Packed(setting, dataset, examples, [config] * many)
        first = milliseconds(setting, packed.step)
        chunk = milliseconds(setting, packed.step)
        yield row(f"{width}", "the first chunk, which records a graph, ms", f"{first:.0f}")
        yield row(f"{width}", f"a chunk of {many} members, ms", f"{chunk:.1f}")
        fill = min(milliseconds(setting, packed.group._fill, wait=False) for _ in range(9))
        told = f"preparing it, {many} members, ms of the host"
        yield row(f"{width}", told, f"{fill:.2f}")
        member = packed.trainings[0]
        out = milliseconds(setting, partial(packed.group.release, member))
        into = milliseconds(setting, partial(packed.group.admit, member, FOREVER))
        yield row(f"{width}", "letting a member go, ms", f"{out:.1f}")
        yield row(f"{width}", "taking one in, ms", f"{into:.1f}")
        free(setting)
    yield from host_memory(on_gpu=setting.on_gpu, with_trials=not setting.is_quick)


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


# What is run, and for how many seconds at most: about twice what was needed where it was measured.
STAGES: dict[str, tuple[Stage, int]] = {
    "checks": (checks, 150),
    "speed": (speed, 220),
    "processes": (processes, 200),
    "parzen": (parzen, 40),
    "reports": (reports, 140),
    "roofline": (roofline, 150),
    "costs": (costs, 80),
    "scores": (scores, 90),
}


if __name__ == "__main__":
    main()
