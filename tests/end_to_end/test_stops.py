"""Searches that are stopped, lose their engine, and go on: the same numbers as if undisturbed."""

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

import gansearch
from gansearch.tune.driver import search
from gansearch.tune.settings import Settings

from .searches import COMMAND, command, results

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

LONGER = [
    *("max_updates=4000", "reports=12", "replicas=0", "trials=2", "grace=0.5"),
    "generator_widths=[64]",
    "discriminator_widths=[64]",
]


# In the environment of a search: by its value the processes of its Ray are known from others'.
MARK = "GANSEARCH_TEST_HISTORY"


def started(*arguments, history):
    """Start a command as a user would, in a process of its own, and wait until it trains."""
    before = set(history.glob("*.parquet"))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {MARK: str(history)},
    )
    process.history = str(history)
    deadline = time.monotonic() + 250
    while set(history.glob("*.parquet")) <= before:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.2)
    return process


def start(results, name, *more, overrides=LONGER):
    """Start a search that trains for longer, and wait until both of its trials do.

    A trial that is stopped before its row is written is not known to the run: another follows it.
    """
    arguments = ["run", "--results", str(results), "--name", name, "--seed", "3", *more]
    for override in overrides:
        arguments += ["--set", override]
    path = Path(results) / name
    process = started(*arguments, history=path / "history")
    while len(gansearch.load(path).trials()) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    return process


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, _ray):
    return search(
        "digits", overrides=LONGER, seed=3, name="whole", results=results(tmp_path_factory)
    )


# What names another Ray, or would change what a run's own is; and a home that can't be written.
ELSEWHERE = {
    "HOME": "/proc",
    "RAY_ADDRESS": "127.0.0.1:1",
    "RAY_REDIS_ADDRESS": "127.0.0.1:1",
    "RAY_AUTH_TOKEN_PATH": "/absent",
    "RAY_USE_TLS": "1",
    "RAY_CLIENT_MODE": "1",
    "TUNE_RESULT_DIR": "/absent",
    "TUNE_MAX_PENDING_TRIALS_PG": "0",
    "RAY_RUNTIME_ENV_HOOK": "absent.hook",
    "RAY_JOB_CONFIG_JSON_ENV_VAR": '{"runtime_env": {"pip": ["absent"]}}',
}


def value_of(pid, variable):
    """Return what a variable is in the environment of a process; None if it has ended."""
    with suppress(OSError):
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return dict(e.partition(b"=")[::2] for e in entries).get(variable.encode())
    return None


def ray_processes(of):
    """Return the numbers and names of the living processes of the Ray that a search started."""
    listed = ["ps", "-ww", "-eo", "pid=,stat=,args="]
    found = subprocess.run(listed, capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in found.stdout.splitlines()]
    # A dead one stays listed, as a zombie, until the container's first process has reaped it; when
    # that is isn't for a search to say.
    alive = [(int(row[0]), row[2]) for row in rows if row[1][0] != "Z" and int(row[0]) != of.pid]
    return [(pid, name) for pid, name in alive if value_of(pid, MARK) == of.history.encode()]


def assert_equal_runs(run, reference):
    """The same trials with the same numbers, report by report."""
    columns = ["updates", "valid_ll", "coverage", "d_loss", "d_grad_norm", "verdict"]
    for trial_id in ("t00000", "t00001"):
        expected, found = (
            history[history["trial_id"] == trial_id][columns].reset_index(drop=True)
            for history in (reference.history(), run.history())
        )
        assert len(expected) >= 6
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def workers(process, kind):
    """Return the process numbers of the living actors of a class in a search."""
    return [pid for pid, name in ray_processes(process) if name.startswith(f"ray::{kind}")]


def has_torch(pid):
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def wait_for_two_trials(process):
    """Return the processes of trials when there are two; between two trials there is one."""
    for _ in range(600):
        found = workers(process, "ResourceTrainable")  # as Tune calls a trial with resources
        if len(found) == 2:
            break
        time.sleep(0.1)
    return found


def test_trials_share_an_engine_and_go_on_after_its_death_with_the_same_numbers(tmp_path, _ray):
    """As on a GPU, but on a CPU: one process trains, and those that Tune knows are thin."""
    overrides = [*LONGER, "max_updates=2400"]
    reference = search(
        "digits",
        overrides=overrides,
        seed=3,
        name="undisturbed",
        results=tmp_path,
        settings=Settings(group_trials="on"),
    )
    process = start(tmp_path, "packed", "--group-trials", "on", overrides=overrides)
    try:
        (engine,) = workers(process, "EngineProcess")
        assert has_torch(engine)
        thin = wait_for_two_trials(process)
        assert len(thin) == 2 and not any(map(has_torch, thin))
        os.kill(engine, signal.SIGKILL)
        out, err = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "lost its worker and continues from its checkpoint" in out + err
    run = gansearch.load("packed", tmp_path)
    assert_equal_runs(run, reference)
    assert not run.history().duplicated(["trial_id", "updates"]).any()
    assert not workers(process, "EngineProcess")


def family(pid):
    """The process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def listening_addresses(pid):
    """The addresses at which a process waits for connections, as hexadecimal digits."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(descriptor.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[i] for i in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in inodes:
                found.add(local.split(":")[0])
    return found


def assert_stopped(process, run, began):
    """Hold the end of a search that was told to stop to what is promised."""
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 130, err
    assert f"gansearch resume {run}" in err
    assert "Traceback" not in out + err
    assert_nothing_left(process)


def assert_nothing_left(process):
    end = time.monotonic() + 15  # an idle worker sees a moment later that its raylet has gone
    while left := ray_processes(process):
        assert time.monotonic() < end, left
        time.sleep(0.2)


def signal_all(process, stop_signal):
    """Signal every process of a search, as systemd, Slurm and containers do, the driver last."""
    for pid, _ in ray_processes(process):
        with suppress(ProcessLookupError):
            os.kill(pid, stop_signal)
    process.send_signal(stop_signal)


def test_a_run_listens_on_loopback_only_and_stops_by_signals_to_all_change_no_number(
    tmp_path, undisturbed, monkeypatch
):
    """It is stopped, resumed, stopped in another way, and resumed again."""
    path = tmp_path / "stopped"
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_TMPDIR", short := tempfile.mkdtemp(dir="/tmp"))
    process = start(tmp_path, "stopped")
    addresses = set().union(*(listening_addresses(pid) for pid in family(process.pid)))
    loopback = {"0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F"}
    assert addresses and addresses <= loopback
    (folder,) = Path(short).iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    began = time.monotonic()
    signal_all(process, signal.SIGTERM)
    assert_stopped(process, path, began)
    resumed = started("resume", str(path), history=path / "history")
    (gcs,) = (pid for pid, name in ray_processes(resumed) if "gcs_server" in name.split()[0])
    os.kill(gcs, signal.SIGKILL)
    began = time.monotonic()
    os.killpg(resumed.pid, signal.SIGHUP)
    assert_stopped(resumed, path, began)
    assert not list(Path(short).iterdir())
    before = gansearch.load(path).history()
    resumed = command("resume", "stopped", "--results", str(tmp_path), "--quiet")
    assert resumed.exit_code == 0 and resumed.output == ""
    run = gansearch.load(path)
    assert run.read_run().state == "finished"
    after = run.history()
    assert len(before.merge(after, on=["trial_id", "updates"])) == len(before)
    assert (run.trials()["phase"] == "search").sum() == 2
    assert_equal_runs(run, undisturbed)
