"""What a training step costs, beside other ways to take it and beside its bare matrix products.

    python benchmarks/speed/training.py              # the tables of docs/speed.md, three minutes
    python benchmarks/speed/training.py --digits     # the same for the preset `paper` of digits
    python benchmarks/speed/training.py --scores 10  # what precision bf16 does to the final score

All ways take their turns in one process with one thread; a ratio is the median over turns, with the
range of its middle half. An iteration is one update of D and one of G on minibatches of 100:

- `ours`: `gansearch.training.AdversarialTraining.step`.
- `autograd`: the same with the gradients by autograd, as for networks that need it.
- `simultaneous`, `bf16`: ours with that parameter.
- `careful`: nn.Module and torch.optim, written for speed: the data a tensor,
  one pass of D over real and generated examples, no gradient that isn't needed, fused optimizers.
- `tutorial`: as tutorials show it: a DataLoader, a pass for each of real and generated examples,
  BCELoss, losses read at every step. It uses the generated batch of D's update for G's too, which
  spares it one pass of G.
- `products`: nothing but the matrix products of our step, which no fp32 step that makes them one by
  one can beat.

Without GANSEARCH_DATA the images are noise in the shape of MNIST.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.speed.careful import (
    PAPER,
    CarefulLoop,
    config_of,
    mnist_or_noise,
    torch_discriminator,
    torch_generator,
)
from benchmarks.studies.scores import PAPERS, score_alone, told_difference
from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.networks.models import draw_noise
from gansearch.training import dense_gradients
from gansearch.training.training import AdversarialTraining

WIDTHS = (64, 256, PAPER)  # of G's hidden layers
# What a way is to take at least, in times of ours, by width.
GOALS = {
    ("careful", 64): 1.4,
    ("tutorial", 64): 3.0,
    ("tutorial", PAPER): 1.3,
    ("products", PAPER): 0.85,
}

Step = Callable[[], object]
Product = tuple[Tensor, Tensor, Tensor]  # left, right, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--widths", type=int, nargs="+", default=WIDTHS, help="widths of G's layers"
    )
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2, help="seconds of each way in a turn")
    parser.add_argument(
        "--digits", action="store_true", help="measure the preset `paper` of the space digits alone"
    )
    parser.add_argument("--scores", type=int, metavar="SEEDS", help="compare precisions instead")
    arguments = parser.parse_args()
    if arguments.scores:
        compare_scores(arguments.scores)
        return
    torch.set_num_threads(1)
    if arguments.digits:
        dataset, config = load_dataset("digits", None), PAPERS["digits"].config
        print_costs(config, dataset.dim, time_in_turns(ways(config, dataset), arguments))
        return
    dataset = mnist_or_noise()
    for width in arguments.widths:
        config = config_of(width)
        print_costs(config, dataset.dim, time_in_turns(ways(config, dataset), arguments))
    for width in sorted({min(arguments.widths), max(arguments.widths)}):
        print_two_trials(config_of(width), dataset, arguments)


def ways(config: TrialConfig, dataset: Dataset) -> dict[str, Step]:
    """Return one iteration of each way to train `config`."""
    simultaneous = dataclasses.replace(config, update="simultaneous")
    bf16 = dataclasses.replace(config, precision="bf16")
    return {
        "ours": AdversarialTraining(config, dataset, 0).step,
        "autograd": partial(step_by_autograd, AdversarialTraining(config, dataset, 0)),
        "careful": CarefulLoop(config, dataset).step,
        "tutorial": tutorial_loop(config, dataset).__next__,
        "products": multiply_all(products(config, math.prod(dataset.shape))),
        "simultaneous": AdversarialTraining(simultaneous, dataset, 0).step,
        "bf16": AdversarialTraining(bf16, dataset, 0).step,
    }


def step_by_autograd(training: AdversarialTraining) -> None:
    """Do an iteration without the explicit products of dense networks."""
    with mock.patch.object(dense_gradients, "covers", lambda _: False):
        training.step()


# The tutorials' way


def tutorial_loop(config: TrialConfig, dataset: Dataset) -> Iterator[tuple[float, ...]]:
    """Yield, an iteration each, the losses and D's outputs that tutorials log."""
    images = torch.from_numpy(dataset.to_float(dataset.train))
    loader = DataLoader(
        TensorDataset(images), batch_size=config.batch_size, shuffle=True, drop_last=True
    )
    dim = math.prod(dataset.shape)
    generator = torch_generator(config, dim)
    discriminator = nn.Sequential(*torch_discriminator(config, dim), nn.Sigmoid())
    criterion = nn.BCELoss()
    g_optimizer = torch.optim.SGD(generator.parameters(), config.generator_lr, config.momentum)
    d_optimizer = torch.optim.SGD(
        discriminator.parameters(), config.discriminator_lr, config.momentum
    )
    while True:
        for (real,) in loader:
            m = len(real)
            discriminator.zero_grad()
            real_output = discriminator(real)
            real_loss = criterion(real_output, torch.ones(m, 1))
            real_loss.backward()
            fake = generator(draw_noise(config, (m, config.noise_dim), torch.default_generator))
            fake_output = discriminator(fake.detach())
            fake_loss = criterion(fake_output, torch.zeros(m, 1))
            fake_loss.backward()
            d_optimizer.step()

            generator.zero_grad()
            judged = discriminator(fake)
            g_loss = criterion(judged, torch.ones(m, 1))
            g_loss.backward()
            g_optimizer.step()
            yield (
                real_loss.item() + fake_loss.item(),
                g_loss.item(),
                real_output.mean().item(),
                fake_output.mean().item(),
                judged.mean().item(),
            )


# The ceiling


def products(config: TrialConfig, dim: int) -> list[Product]:
    """Return the operands of all matrix products of one alternating iteration with k = 1."""
    m = config.batch_size
    g_widths = [config.noise_dim, *config.generator_widths, dim]
    generator = [torch.randn(n_in, n_out) for n_in, n_out in pairwise(g_widths)]
    d_widths = [dim, *config.discriminator_widths]
    outputs = [config.maxout_pieces * units for units in config.discriminator_widths] + [1]
    discriminator = [
        torch.randn(n_in, n_out) for n_in, n_out in zip(d_widths, outputs, strict=True)
    ]
    return [
        *_forward(m, generator),
        *_forward(2 * m, discriminator),
        *_backward(2 * m, discriminator, for_weights=True, for_input=False),
        *_forward(m, generator),
        *_forward(m, discriminator),
        *_backward(m, discriminator, for_weights=False, for_input=True),
        *_backward(m, generator, for_weights=True, for_input=False),
    ]


def _forward(n: int, weights: Sequence[Tensor]) -> list[Product]:
    return [(torch.randn(n, len(w)), w, torch.empty(n, w.shape[1])) for w in weights]


def _backward(
    n: int, weights: Sequence[Tensor], *, for_weights: bool, for_input: bool
) -> list[Product]:
    found: list[Product] = []
    for i, w in reversed(list(enumerate(weights))):
        gradient = torch.randn(n, w.shape[1])
        if for_weights:
            found.append((torch.randn(n, len(w)).t(), gradient, torch.empty_like(w)))
        if i > 0 or for_input:
            found.append((gradient, w.t(), torch.empty(n, len(w))))
    return found


def multiply_all(operands: Sequence[Product]) -> Step:
    def step() -> None:
        for left, right, result in operands:
            torch.mm(left, right, out=result)

    return step


def n_operations(operands: Sequence[Product]) -> int:
    """Return multiplications and additions together."""
    return sum(2 * left.numel() * right.shape[1] for left, right, _ in operands)


# Timing


def time_in_turns(steps: dict[str, Step], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return seconds an iteration of each way, a value each turn; every other turn goes back."""
    for step in steps.values():
        _seconds_a_call(step, arguments.seconds)  # warm
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(arguments.turns):
        for name in sorted(steps, reverse=turn % 2 == 1):
            found[name].append(_seconds_a_call(steps[name], arguments.seconds))
    return found


def _seconds_a_call(step: Step, at_least: float) -> float:
    start, n = time.perf_counter(), 0
    while n < 2 or time.perf_counter() - start < at_least:
        step()
        n += 1
    return (time.perf_counter() - start) / n


def ratio(over: Sequence[float], under: Sequence[float]) -> str:
    """Return the median of a ratio taken turn by turn, with its quartiles."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def print_costs(config: TrialConfig, dim: int, times: dict[str, list[float]]) -> None:
    ours = times["ours"]
    widths = "-".join(map(str, config.generator_widths))
    units = config.discriminator_widths[0]
    print(f"\nG {config.noise_dim}-{widths}-{dim}, D maxout {units} x {config.maxout_pieces} twice")
    for name, seconds in times.items():
        cost = f"{1000 * statistics.median(seconds):8.2f} ms"
        told = "" if name == "ours" else f"   {ratio(seconds, ours)} times ours"
        goal = GOALS.get((name, config.generator_widths[0]))
        print(f"  {name:13}{cost}{told}" + (f" (goal: {goal})" if goal else ""), flush=True)
    n = n_operations(products(config, dim))
    gflops = n / statistics.median(times["products"]) / 1e9
    print(f"  {n / 1e9:.2f} GFLOP of products an iteration, {gflops:.0f} GFLOP/s alone")


def print_two_trials(config: TrialConfig, dataset: Dataset, arguments: argparse.Namespace) -> None:
    """Print how many times the iterations of one process two of them make on two cores."""
    alone, together = time_two_trials(config, dataset, arguments)
    print(
        f"\ntwo trials on {os.cpu_count()} cores, width {config.generator_widths[0]}: "
        f"{ratio(together, alone)} times one (goal: 1.80)"
    )


def time_two_trials(
    config: TrialConfig, dataset: Dataset, arguments: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Return iterations a second of one process alone and of two together, a value each turn."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(2):
        here, there = context.Pipe()
        processes.append(context.Process(target=serve, args=(there, config, dataset)))
        processes[-1].start()
        pipes.append(here)
    alone, together = [], []
    _ask(pipes, arguments.seconds)  # warm
    for turn in range(max(1, arguments.turns // 2)):
        alone += _ask([pipes[turn % 2]], 4 * arguments.seconds)
        together.append(sum(_ask(pipes, 4 * arguments.seconds)))
    _ask(pipes, 0)
    for process in processes:
        process.join()
    return alone, together


def serve(pipe: Connection, config: TrialConfig, dataset: Dataset) -> None:
    """Train for as long as each message says, and answer with the iterations a second."""
    torch.set_num_threads(1)
    training = AdversarialTraining(config, dataset, seed=0)
    while seconds := pipe.recv():
        pipe.send(1 / _seconds_a_call(training.step, seconds))
    pipe.send(0.0)


def _ask(pipes: Sequence[Connection], seconds: float) -> list[float]:
    for pipe in pipes:
        pipe.send(seconds)
    return [pipe.recv() for pipe in pipes]


# Scores


def compare_scores(n_seeds: int) -> None:
    """Train the paper's preset on `digits` in fp32 and in bf16, and print what each seed scores."""
    seeds = range(n_seeds)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        fp32 = list(pool.map(score_of, ["fp32"] * n_seeds, seeds))
        bf16 = list(pool.map(score_of, ["bf16"] * n_seeds, seeds))
    print_scores(fp32, bf16)


def print_scores(fp32: Sequence[float], bf16: Sequence[float]) -> None:
    for seed, (a, b) in enumerate(zip(fp32, bf16, strict=True)):
        print(f"seed {seed}: fp32 {a:.2f}, bf16 {b:.2f}, difference {b - a:+.2f} nats")
    print(told_difference("bf16 less fp32", bf16, fp32))


def score_of(precision: str, seed: int) -> float:
    """Train the paper's preset on `digits` in full, and return its valid_ll in nats."""
    torch.set_num_threads(1)
    full = PAPERS["digits"]
    config = dataclasses.replace(full.config, precision=precision)
    return score_alone(dataclasses.replace(full, config=config), load_dataset("digits"), seed)


if __name__ == "__main__":
    main()
