"""What to run first on a new GPU, in seven minutes at most, or less by `--within`.

    benchmarks/gpu/first_contact.sh FOLDER              # the first call
    benchmarks/gpu/first_contact.sh FOLDER --second     # what is left
    python benchmarks/gpu/first_contact.py --device cpu --quick    # the same code, no numbers

Each stage has a process of its own, and a limit after which it is ended. Each line is printed and
appended to `gpu-<card>.md` as it comes. What fails is not used by the stages after it: CUDA graphs
(GANSEARCH_GRAPHS=0) or Triton's kernels (GANSEARCH_TRITON=0). Where no time is left the remaining
stages are named and not begun.

It needs torch, NumPy, SciPy and safetensors; scikit-learn for the scores, pytest for the tests; but
neither Ray nor Optuna nor an installed gansearch.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

if __package__ in (None, ""):  # as a script it needs no installed gansearch
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
if missing := [n for n in ("torch", "numpy", "scipy", "safetensors") if find_spec(n) is None]:
    sys.exit(f"first_contact.py: no stage runs without {' and '.join(missing)}: install them first")

import torch

from benchmarks.gpu import first_stages as first
from benchmarks.gpu import gpu
from benchmarks.gpu.packed import Setting, quick
from benchmarks.gpu.packed_checks import checks
from benchmarks.gpu.stages import FAILED, RESULTS, Stage, heading, in_time, publish
from gansearch.system.features import GRAPHS, TRITON, Feature

WITHIN = 400  # seconds that a call takes at most; the shell script ends it after 420
_LEAST = 8  # seconds: what a stage takes to import and to start
# What is run, and for how many seconds at most, if that many are left.
FIRST: dict[str, tuple[Stage, int]] = {
    "eager": (first.eager, 40),
    "replay": (first.replay, 60),
    "triton": (first.triton, 60),
    "replay-triton": (first.replay_with_triton, 60),
    "milliseconds": (first.milliseconds, 60),
    "streams": (first.streams, 70),
    "kernels": (first.kernels, 40),
    "checks": (checks, 90),
    "speed": (gpu.speed, 120),
    "roofline": (gpu.roofline, 100),
    "costs": (gpu.costs, 60),
    "tests": (first.tests, 120),
}
SECOND: dict[str, tuple[Stage, int]] = {
    "parzen": (gpu.parzen, 40),
    "reports": (gpu.reports, 120),
    "processes": (gpu.processes, 180),
    "scores": (gpu.scores, 90),
}
# What a stage tries alone.
TRIED: dict[str, Feature] = {"replay": GRAPHS, "triton": TRITON, "replay-triton": TRITON}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cuda", "cpu"), default=default)
    parser.add_argument(
        "--quick", action="store_true", help="only run the code; the numbers mean nothing"
    )
    parser.add_argument("--second", action="store_true", help="run what the first call leaves")
    parser.add_argument("--stages", nargs="+", choices=[*FIRST, *SECOND], help="run only these")
    parser.add_argument(
        "--within", type=float, default=WITHIN, help="seconds that all stages have (default: 400)"
    )
    parser.add_argument(
        "--write", type=Path, nargs="?", const=RESULTS, help="folder to append the tables to"
    )
    options = parser.parse_args(arguments)
    setting = quick(options.device) if options.quick else Setting(options.device)
    setting = dataclasses.replace(setting, widths=setting.widths[:2])
    stages = FIRST | SECOND if options.stages else SECOND if options.second else FIRST
    chosen = {name: stages[name] for name in options.stages or stages}
    if not publish(report(setting, chosen, options.within), setting, options.write):
        sys.exit(1)


def report(setting: Setting, stages: dict[str, tuple[Stage, int]], within: float) -> Iterator[str]:
    """Yield the lines of all stages, the later ones without what has failed before."""
    end = time.perf_counter() + within
    yield from heading(setting)
    for name, (stage, limit) in stages.items():
        yield f"\n## {name.capitalize()}\n"
        seconds = min(limit, end - time.perf_counter())
        if seconds < _LEAST:
            yield f"- {FAILED}: not begun, because the {within:g} s of this call are over"
            continue
        failures = []
        for line in in_time(setting, stage, round(seconds)):
            failures += [line] if FAILED in line else []
            yield line
        for feature in (GRAPHS, TRITON):
            is_tried = failures and TRIED.get(name) is feature
            if is_tried or any(f"{feature.name} fail here" in line for line in failures):
                os.environ[feature.variable] = "0"
                yield f"\nFrom here on {feature.variable}=0: {feature.without}."


if __name__ == "__main__":
    main()
