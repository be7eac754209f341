"""How the stages of `gpu.py` and `first_contact.py` are run, and how what they yield is kept."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from benchmarks.gpu.packed import Setting
from benchmarks.speed.careful import mnist_or_noise
from gansearch.data.dataset import Dataset
from gansearch.system.features import take_notes

RESULTS = Path(__file__).parent / "results"
FAILED = "FAILED"

Stage = Callable[[Setting, Dataset], Iterator[str]]


def in_time(setting: Setting, stage: Stage, seconds: float) -> Iterator[str]:
    """Yield a stage's lines, from a process of its own that is ended when its time is up."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=send_lines, args=(there, setting, stage))
    start = time.perf_counter()
    process.start()
    there.close()
    try:
        while here.poll(max(0.0, start + seconds - time.perf_counter())):
            if (line := here.recv()) is None:
                break
            yield line
        else:
            yield f"\n- {FAILED}: not done within {seconds:g} s"
    except EOFError:
        process.join()
        yield f"\n- {FAILED}: the process ended with {process.exitcode}"
    finally:
        _end(process)
    yield f"\nThis took {time.perf_counter() - start:.0f} s, of {seconds:g} at most."


def send_lines(pipe: Connection, setting: Setting, stage: Stage) -> None:
    """Send a stage's lines, why it failed if it has, and None at the end."""
    torch.set_num_threads(1)
    if multiprocessing.parent_process() is not None:
        os.setsid()  # so that what the stage starts ends with it
    try:
        for line in stage(setting, mnist_or_noise()):
            pipe.send(line)
    except ModuleNotFoundError as error:
        pipe.send(f"\n- not run: it needs {error.name}, which is not installed here")
    except Exception as error:
        traceback.print_exc()
        pipe.send(f"\n- {FAILED}: {type(error).__name__}: {error}")
    for note in take_notes():
        pipe.send(f"\n- {FAILED}: {note}")
    pipe.send(None)


def _end(process: BaseProcess) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    except ProcessLookupError:  # it has ended, or has not begun
        process.kill()
    process.join()


def heading(setting: Setting) -> Iterator[str]:
    """Yield what a call is, when, and on what."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield f"# Training in groups on {card_of(setting)}, {now}"
    yield ""
    yield f"torch {torch.__version__}, Python {platform.python_version()}."
    yield f"`{shlex.join(['python', *sys.orig_argv[1:]])}`"
    if setting.is_quick:
        yield "A quick run of the code: the numbers mean nothing."


def card_of(setting: Setting) -> str:
    return torch.cuda.get_device_name() if setting.on_gpu else f"CPU {platform.machine()}"


def publish(lines: Iterable[str], setting: Setting, folder: Path | None) -> bool:
    """Print lines as they come, and append them to the folder's file of the card.

    Return whether none says that something has failed.
    """
    file = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", card_of(setting)).strip("-").lower()
        file = (folder / f"gpu-{name}.md").open("a")
        if file.tell():
            print(file=file)  # between two calls
    with file or nullcontext():
        is_whole = True
        for line in lines:
            is_whole = is_whole and FAILED not in line
            print(line, flush=True)
            if file is not None:
                print(line, file=file, flush=True)
    return is_whole
