"""How the tests run whole searches, in this process and in others."""

import subprocess
import sys

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
