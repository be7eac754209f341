"""Whether a change of the code leaves the results of runs the same, to the bit.

    python benchmarks/studies/same_results.py run OUT      # a fixed set of six small runs
    python benchmarks/studies/same_results.py run OUT --only ring killed
    python benchmarks/studies/same_results.py compare A B  # exit code 1 where anything differs

`run` uses the gansearch that `python -m gansearch` finds: that of the working directory, or else of
PYTHONPATH. Make A in a checkout of the old code and B in one of the new, on one machine with one
Python: other libraries or another processor round otherwise.

Compared are the tables, weights, descriptions and pictures of docs/files.md, without values that
depend on time and machine. Columns and keys that only B has are listed, and are no
difference; nor is up to 1 % of the pixels of a `game.png`, for Matplotlib's constrained layout may
move an axis by a pixel though it draws the same numbers. Left out are `report.html`,
`optuna.journal` and `tune/`.

The run `killed` is killed once its second trial has a checkpoint, and resumed. The sampler's seed
then depends on the number of trials, so `run` fails where the kill came too late.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import load_file

_SEARCH = "--max-concurrent 1 --set budget.reports=6 --set budget.grace"
_ONLY = "--space digits --only paper --only dcgan --max-updates 240 --replicas 2"
# Flags of `gansearch run`, by the run's name. Two trials at a time are for a run without a search
# alone: which of two comes to a rung first is chance.
RUNS = {
    "digits": f"{_SEARCH}=0.3 --space digits --trials 6 --max-updates 900 --top 2 --replicas 2 "
    "--seed 1",
    "ring": f"{_SEARCH}=0.3 --space ring --trials 4 --max-updates 900 --top 1 --replicas 2 "
    "--seed 2",
    "gaussian": f"{_SEARCH}=0.2 --space gaussian --trials 4 --max-updates 1200 --top 1 "
    "--replicas 2 --seed 3",
    "convolutional": f"{_ONLY} --max-concurrent 1 --seed 4 --set budget.reports=3 "
    "--set generator_network=convolutional --set generator_channels=[8] "
    "--set discriminator_network=convolutional --set discriminator_channels=[8,8] --set "
    "discriminator_kernels=[3] --set discriminator_paddings=[1] --set discriminator_pools=[2]",
    "packed": f"{_ONLY} --max-concurrent 2 --seed 5 --set budget.reports=3 --group-trials on "
    "--cpus-per-trial 0.5",
    # Every trial takes ten seconds or more: the first checkpoint comes after five.
    "killed": f"{_SEARCH}=0.6 --space gaussian --trials 3 --max-updates 9000 --top 0 "
    "--replicas 1 --seed 6 --set k=1 --set discriminator_activation=maxout --set maxout_pieces=5 "
    "--set generator_widths=[128,128] --set discriminator_widths=[128,128]",
}
_KILLED_TRIAL = "t00001"
_TIMEOUT_SECONDS = 1800.0
# What no two runs have in common.
_COLUMNS_LEFT_OUT = {"seconds", "overhead_seconds", "reported_at", "device"}
_KEYS_LEFT_OUT = ["command", "versions", "git_commit", "machine", "started_at", "seal"]
_KEYS_LEFT_OUT += ["wall_seconds", "recorder_seconds"]
_LAYOUT_SHARE = 0.01  # of a game.png's pixels
_SHOWN = 60  # characters of a value that differs
# What a file holds by column, key or tensor: a list of texts, which preserve every bit.
Content = dict[str, list[str]]


def run_all(out: Path, names: list[str]) -> None:
    """Make the runs, each in a folder of its name below `out`, with what it printed beside it."""
    out.mkdir(parents=True, exist_ok=True)
    # In a folder of its own Ray finds no cluster to join that was started on this machine.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray_folder:
        run_in(out, names, ray_folder)


def run_in(out: Path, names: list[str], ray_folder: str) -> None:
    """Make the runs with Ray's files in `ray_folder`."""
    # The code in question shall compute the references itself. Sums depend on the threads' number.
    env = {**os.environ, "XDG_CACHE_HOME": str(out / "cache"), "OMP_NUM_THREADS": "1"}
    env["RAY_TMPDIR"] = ray_folder
    env.pop("GANSEARCH_DATA", None)  # none is needed, and run.json would record it
    found = "import gansearch; print(gansearch.__file__)"
    subprocess.run([sys.executable, "-c", found], env=env, check=True)
    for name in names:
        start = time.monotonic()
        with (out / f"{name}.log").open("wb") as log:
            flags = [*shlex.split(RUNS[name]), "--name", name, "--results", str(out)]
            process = gansearch(["run", *flags], env, log)
            if name == "killed":
                kill_at_checkpoint(process, out / name)
                process = gansearch(["resume", str(out / name)], env, log)
            if code := process.wait(_TIMEOUT_SECONDS):
                sys.exit(f"{name}: gansearch ended with {code}; {log.name} has what it printed.")
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


def gansearch(arguments: list[str], env: dict[str, str], log: Any) -> subprocess.Popen[bytes]:
    """Start a command of gansearch in a process group of its own."""
    command = [sys.executable, "-m", "gansearch", *arguments]
    return subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)


def kill_at_checkpoint(process: subprocess.Popen[bytes], run: Path) -> None:
    """Kill a run and its Ray once its second trial has a checkpoint and an evaluation on disk."""
    end = time.monotonic() + _TIMEOUT_SECONDS
    checkpoint = run / "checkpoints" / f"{_KILLED_TRIAL}.safetensors"
    while not (checkpoint.exists() and _KILLED_TRIAL in set(history(run)["trial_id"])):
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"{run}: {_KILLED_TRIAL} had no checkpoint: give the run more updates.")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    last = pd.read_parquet(run / "trials.parquet").iloc[-1]
    if (last["trial_id"], last["status"]) != (_KILLED_TRIAL, "running"):
        sys.exit(f"{run}: killed after the end of {_KILLED_TRIAL}: give the run more updates.")


def history(run: Path) -> pd.DataFrame:
    """Return the evaluations of a run, which may be going on, each once."""
    frames = [_frame(path) for path in sorted(run.glob("history/part-*.parquet"))]
    none = pd.DataFrame(columns=["trial_id", "updates"])
    return pd.concat(frames or [none]).drop_duplicates(["trial_id", "updates"])


def _frame(path: Path) -> pd.DataFrame:
    # Arrow's types distinguish null from NaN.
    return pq.ParquetFile(path).read().to_pandas(types_mapper=pd.ArrowDtype)


def compare(a: Path, b: Path) -> tuple[list[str], list[str], int]:
    """Return what differs between two folders of runs, what is only noted, and how many files."""
    ours, theirs = files_of(a), files_of(b)
    differences = [f"{name}: only in {a}" for name in sorted(ours.keys() - theirs.keys())]
    differences += [f"{name}: only in {b}" for name in sorted(theirs.keys() - ours.keys())]
    notes = []
    for name in sorted(ours.keys() & theirs.keys()):
        before, after = ours[name](), theirs[name]()
        for key in before.keys() | after.keys():
            if key not in before and not name.endswith(".safetensors"):
                notes.append(f"added: {name}: {key}")
            elif before.get(key) != after.get(key):
                if name.endswith("/game.png") and _is_layout(before[key], after[key]):
                    notes.append(f"laid out otherwise: {name}")
                    continue
                what = _described(before.get(key, []), after.get(key, []))
                differences.append(f"{name}: {key}: {what}")
    return sorted(differences), sorted(notes), len(ours)


def files_of(folder: Path) -> dict[str, Callable[[], Content]]:
    """Return how each file that is compared is read, by its place below `folder`."""
    found: dict[str, Callable[[], Content]] = {}
    for run in [path.parent for path in folder.glob("*/run.json")]:
        found[f"{run.name}/history"] = lambda run=run: columns(history(run))
        for path in run.rglob("*"):
            within = path.relative_to(run)
            if path.suffix in _READERS and within.parts[0] not in ("history", "tune"):
                found[f"{run.name}/{within}"] = partial(_READERS[path.suffix], path)
    return found


def columns(frame: pd.DataFrame) -> Content:
    """Return each column's type and values in the order of the trials and their evaluations."""
    frame = frame.sort_values([name for name in ("trial_id", "updates") if name in frame])
    rows = frame["trial_id"] if "trial_id" in frame else [f"row {i}" for i in range(len(frame))]
    return {
        name: [str(column.dtype), *map("{}: {!r}".format, rows, column)]
        for name, column in frame.items()
        if name not in _COLUMNS_LEFT_OUT
    }


def description(path: Path) -> Content:
    """Return the values of a JSON file, those of an object in it by `key.key`."""
    flat = pd.json_normalize(json.loads(path.read_bytes())).astype(object).iloc[0]
    return {key: [repr(flat[key])] for key in flat.index if key.split(".")[0] not in _KEYS_LEFT_OUT}


def tensors(path: Path) -> Content:
    """Return type, shape and bytes of each tensor."""
    arrays = load_file(path).items()
    return {name: [f"{array.dtype} {array.shape}", array.tobytes().hex()] for name, array in arrays}


def pixels(path: Path) -> Content:
    """Return a picture's mode, size and values, however they are compressed."""
    with Image.open(path) as image:
        return {"pixels": [f"{image.mode} {image.size}", image.tobytes().hex()]}


_READERS: dict[str, Callable[[Path], Content]] = {
    ".parquet": lambda path: columns(_frame(path)),
    ".json": description,
    ".safetensors": tensors,
    ".png": pixels,
}


def _is_layout(before: list[str], after: list[str]) -> bool:
    if before[0] != after[0]:
        return False
    one, other = (np.frombuffer(bytes.fromhex(texts[1]), np.uint8) for texts in (before, after))
    return bool((one != other).mean() <= _LAYOUT_SHARE)


def _described(before: list[str], after: list[str]) -> str:
    pairs = [pair for pair in zip_longest(before, after, fillvalue="none") if len(set(pair)) > 1]
    one, other = (text[:_SHOWN] for text in pairs[0])
    return f"{len(pairs)} of {len(before)} differ, first {one} -> {other}"


def main() -> None:
    """Make the runs, or compare two folders of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("out", type=Path)
    running.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    comparison = commands.add_parser("compare")
    comparison.add_argument("a", type=Path, help="runs of the code as it was")
    comparison.add_argument("b", type=Path, help="runs of the changed code")
    arguments = parser.parse_args()
    if arguments.command == "run":
        run_all(arguments.out.resolve(), arguments.only)
        return
    differences, notes, n_files = compare(arguments.a, arguments.b)
    if not n_files:
        parser.error(f"{arguments.a} holds no runs.")
    for line in [*notes, *(f"differs: {what}" for what in differences)]:
        print(line)
    print(f"{n_files} files compared, {len(differences)} differences")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
