"""How the tests run whole searches, in this process and in others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from click.testing import CliRunner

from gansearch.cli import cli
from gansearch.tune.settings import Settings

SMALL = [
    *("max_updates=600", "reports=4", "grace=0.2", "top=1", "replicas=2", "trials=6"),
    "generator_widths=[32]",
    "discriminator_widths=[32]",
]
COMMAND = [sys.executable, "-m", "gansearch"]
ONE_AT_A_TIME = Settings(max_concurrent=1)

SECRET = "hunter2-5f1c"
HOLDERS = ("AWS_SECRET_ACCESS_KEY", "GOOGLE_API_KEY", "MY_PASSWORD")


def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def in_process(*arguments):
    """Run a command line in a process of its own, as a user would."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=250, check=False
    )


def command(*arguments):
    """Run a command line in this process, on the Ray that it has; return what it printed."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def gansearch(*args, folder, path=Path(__file__).parent, **options):
    """Run the command line in a process group of its own, as a user of `mean_family.py` would."""
    paths = filter(None, [str(path), os.environ.get("PYTHONPATH")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, "-m", "gansearch", *args],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **options,
    )


def output(*args, folder):
    """Return what a command line that succeeds prints."""
    process = gansearch(*args, folder=folder)
    told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told
    return told


def wait_for_reports(path, n, process):
    """Wait until the history has at least n reports."""
    for _ in range(1200):
        parts = list((path / "history").glob("part-*.parquet"))
        if sum(len(pd.read_parquet(part)) for part in parts) >= n:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError(f"no {n} reports within two minutes")


def killed(path, n, *args, folder):
    """Start a search that writes to `path`, and kill it and its Ray after n reports."""
    searching = gansearch(*args, folder=folder)
    wait_for_reports(path, n, searching)
    os.killpg(searching.pid, signal.SIGKILL)
    searching.communicate()
