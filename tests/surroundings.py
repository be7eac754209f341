"""Commands in odd surroundings: whatever lies around a process, it ends in an answer, soon.

Each case is a process of its own: a command, with an odd environment, other people's modules in its
working folder, descriptors that are closed or full, and a signal at some moment. A few of them are
whole searches on Ray. `make fuzz` makes some dozens of them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from tests.written_runs import finished_run

SECONDS = 300.0  # of a case, on a busy machine
COMMAND = str(Path(sysconfig.get_path("scripts"), "gansearch"))
MARK = "FUZZED"  # a file that is made by code that must not be run

SEARCH = [
    *("run", "--space=ring", "--name=small", "--results=results", "--max-concurrent=1"),
    *("--set", "max_updates=40", "--set", "reports=2", "--trials=2", "--top=1", "--replicas=1"),
]
COMMANDS = {
    "spaces": ["spaces"],
    "space": ["spaces", "mnist"],
    "report": ["report", "digits-1"],
    "json": ["report", "digits-1", "--format=json"],
    "evaluate": ["evaluate", "samples.npy", "--dataset=digits", "--json"],
    "plan": ["run", "--dry-run", "--trials=3"],
    "doctor": ["doctor"],
    "resume": ["resume", "nosuch"],
    "search": SEARCH,
}
ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None},
    "home that cannot be made": {"HOME": "{here}/file/home"},
    "home that is a device": {"HOME": "/dev/null"},
    "temporary folder that is absent": {"TMPDIR": "{here}/file/tmp"},
    "temporary folder with a long path": {"TMPDIR": "{here}/" + "t" * 90},
    "cluster that is gone": {"RAY_ADDRESS": "127.0.0.1:1"},
    "cluster to be found": {"RAY_ADDRESS": "auto"},
    "cluster by http": {"RAY_ADDRESS": "http://127.0.0.1:8265"},
    "cluster of another kind": {"RAY_ADDRESS": "ray://127.0.0.1:10001"},
    "namespace": {"RAY_NAMESPACE": "another"},
    "plain locale": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    "narrow terminal": {"COLUMNS": "1", "LINES": "1"},
    "terminal without columns": {"COLUMNS": "0", "LINES": "0"},
    "old settings of Tune": {"TUNE_RESULT_DIR": "/absent", "RAY_AIR_LOCAL_CACHE_DIR": "/absent"},
    "no docstrings": {"PYTHONOPTIMIZE": "2"},
    "warnings that are errors": {"PYTHONWARNINGS": "error"},
    "strange terminal": {"TERM": "nosuch", "FORCE_COLOR": "1"},
    "empty entry in the import path": {"PYTHONPATH": ":"},
    "cache that is a file": {"XDG_CACHE_HOME": "{here}/file"},
    "data folder that is absent": {"GANSEARCH_DATA": "~/nosuch"},
    "no search path": {"PATH": ""},
}
MODULES = ("gansearch", "torch", "numpy", "random", "ray", "optuna", "pandas", "digits", "signal")
DESCRIPTORS = {
    "closed input": "<&-",
    "closed output": ">&-",
    "closed error": "2>&-",
    "all closed": "<&- >&- 2>&-",
    "full output": ">/dev/full",
    "full error": "2>/dev/full",
    "reader that leaves": "| head -c 1 >/dev/null",
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Surroundings:
    """What lies around a process.

    Attributes:
        command: its name in `COMMANDS`.
        environments: names in `ENVIRONMENTS`.
        modules: that lie in the working folder, and leave a mark when they are run.
        descriptors: name in `DESCRIPTORS`, or "" for ordinary ones.
        signal: that the process's group is sent, or None.
        delay: after which it is sent, in seconds.
    """

    command: str
    environments: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    descriptors: str = ""
    signal: signal.Signals | None = None
    delay: float = 0.0


@dataclass
class End:
    """How a process ended."""

    code: int
    out: str
    err: str
    seconds: float


@st.composite
def surroundings(draw: st.DrawFn, *, searches: bool) -> Surroundings:
    names = ["search"] if searches else sorted(set(COMMANDS) - {"search"})
    found = Surroundings(
        draw(st.sampled_from(names)),
        draw(st.lists(st.sampled_from(sorted(ENVIRONMENTS)), max_size=2, unique=True)),
        draw(st.lists(st.sampled_from(MODULES), max_size=2, unique=True)),
        draw(st.sampled_from(["", "", *DESCRIPTORS])),
    )
    if "empty entry in the import path" in found.environments:
        # It names the working folder, from which Python then takes `gansearch` itself.
        found.modules = [name for name in found.modules if name != "gansearch"]
    if draw(st.booleans()):
        found.signal = draw(st.sampled_from(SIGNALS))
        found.delay = draw(st.floats(0.1, 15.0 if searches else 4.0))
    return found


def furnish(folder: Path, modules: list[str]) -> None:
    """Write what the commands read, and the modules that nobody may run."""
    finished_run(folder / "results")
    samples = np.random.default_rng(0).random((60, 64), dtype=np.float32)
    np.save(folder / "samples.npy", samples)
    (folder / "file").write_bytes(b"not a folder")
    (folder / ("t" * 90)).mkdir()
    for name in modules:
        trap = f"open({str(folder / MARK)!r}, 'a').write({name!r})\n"
        (folder / f"{name}.py").write_text(trap)
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(trap)


def run(case: Surroundings, folder: Path) -> End:
    """Run a case in a folder that `furnish` has filled, to its end."""
    environment = dict(os.environ)
    environment.pop("GANSEARCH_TRACEBACK", None)
    for name in case.environments:
        for key, value in ENVIRONMENTS[name].items():
            environment.pop(key, None)
            if value is not None:
                environment[key] = value.format(here=folder)
    line = shlex.join([COMMAND, *COMMANDS[case.command]])
    shape = DESCRIPTORS.get(case.descriptors, "")
    # The shell is replaced, so that the process's end is the command's; a pipe has two ends.
    script = f"{line} {shape}" if shape.startswith("|") else f"exec {line} {shape}"
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [shutil.which("bash") or "sh", "-c", f"set -o pipefail; {script}"],
            stdout=out,
            stderr=err,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        start = time.monotonic()
        try:
            if case.signal is not None:
                time.sleep(case.delay)
                if process.poll() is None:
                    os.killpg(process.pid, case.signal)
            code = process.wait(SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        out.seek(0)
        err.seek(0)
        return End(code, out.read(), err.read(), time.monotonic() - start)


def check(case: Surroundings, end: End, folder: Path) -> None:
    """Hold a case's end to what is promised."""
    told = f"{case}: {end.code}\n{end.out[-2000:]}\n{end.err[-4000:]}"
    codes = {0, 1, 2}
    if case.signal is not None:
        codes.add(130)
        if end.code == -case.signal and case.delay < 2.0:
            return  # before Python had begun to run the command
    assert end.code in codes, told
    assert "Traceback" not in end.out + end.err, told
    assert "bug in gansearch" not in end.err, told
    assert end.err.count("Error: ") <= 1, told
    assert not (folder / MARK).exists(), f"{(folder / MARK).read_text()} was run: {told}"
    if case.command == "search" and end.code == 130 and (folder / "results" / "small").exists():
        assert (folder / "results" / "small" / "run.json").exists(), told
    if case.command == "search" and case.signal is None and not case.environments:
        assert end.code == 0, told


def try_one(case: Surroundings) -> End:
    """Run a case and hold its end to what is promised."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        furnish(folder, case.modules)
        end = run(case, folder)
        check(case, end, folder)
        return end
