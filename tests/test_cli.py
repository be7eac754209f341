"""The command line: its output, its messages for bad input, and what it imports."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp

import gansearch
from gansearch.cli import cli, main
from gansearch.cli_errors import is_bug
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.networks.models import Generator
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space
from tests.saved_generators import save
from tests.traps import Trap
from tests.written_runs import finished_run, searched, write_run

ROOT = Path(__file__).resolve().parent.parent
DATA = os.environ.get("GANSEARCH_DATA", "")
TINY = TrialConfig(noise_dim=2, generator_widths=(4,), discriminator_widths=(4,))

Outcome = tuple[int, str, str]
Call = Callable[..., Outcome]
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder without data, where starting a search fails the test."""

    def started(*_args: object, **_named: object) -> None:
        raise AssertionError("a search was started")

    torch.set_num_threads(1)
    for module in ("display", "progress"):  # what is said of slow work doesn't depend on speed
        monkeypatch.setattr(f"gansearch.report.{module}.FIRST_LINE_SECONDS", math.inf)
    monkeypatch.setattr("gansearch.tune.driver._execute", started)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    monkeypatch.delenv("GANSEARCH_TRACEBACK", raising=False)
    return tmp_path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command in this process: its exit code and output."""

    def run(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["gansearch", *map(str, args)])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        code = exited.value.code or 0
        assert isinstance(code, int)
        return code, out, err

    return run


@pytest.fixture
def refused(call: Call) -> Refused:
    """Return a function that runs a command with bad input and returns its one error message."""

    def run(*args: object) -> str:
        code, out, err = call(*args)
        assert code == 2, err
        assert out == ""
        assert "Traceback" not in err
        assert err.count("Error: ") == 1
        return err.partition("Error: ")[2].strip()

    return run


@pytest.fixture
def stopped_run(scratch: Path) -> str:
    """Return the name of a run whose one trial left a generator."""
    folder = scratch / "results" / "digits-1"
    folder.mkdir(parents=True)
    space = load_space("digits")
    info = {
        "name": folder.name,
        "space": space.to_dict(),
        "seed": 0,
        "only": None,
        "paper_config_id": space.preset("paper").config_id,
        "settings": {},
        "command": "gansearch run",
        "versions": {"gansearch": gansearch.__version__},
        "git_commit": None,
        "machine": "here",
        "started_at": "2026-11-24T06:00:00+00:00",
        "state": "interrupted",
        "wall_seconds": 1.0,
    }
    (folder / "run.json").write_text(json.dumps(info))
    generator = Generator(TINY, (8, 8, 1))
    save(folder / "models" / "t00000", generator, TINY, dataset="digits", seed=3)
    return folder.name


def as_process(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gansearch", *args]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, env=env, text=True, timeout=60, check=False, **options)


# Names that don't exist


def test_an_unknown_command_is_answered_with_the_nearest(refused: Refused) -> None:
    assert refused("rnu") == "No such command 'rnu'. Did you mean 'run'?"


def test_an_unknown_flag_is_answered_with_the_nearest(refused: Refused) -> None:
    message = refused("run", "--max-udpates", "3")
    assert message == "No such option '--max-udpates'. Did you mean '--max-updates'?"


@pytest.mark.parametrize("command", [["run", "--space"], ["spaces"]])
def test_an_unknown_space_is_answered_with_the_nearest(
    refused: Refused, command: list[str]
) -> None:
    assert refused(*command, "digts") == (
        "space digts: no built-in space has this name. Did you mean digits? "
        "A path must have a slash or end in .yaml."
    )


def test_a_space_called_nothing_is_answered_with_all_of_them(refused: Refused) -> None:
    known = ", ".join(sorted(builtin_spaces()))
    assert f"Known: {known}." in refused("run", "--space", "")


def test_an_unknown_data_set_is_answered_with_the_nearest(refused: Refused) -> None:
    message = refused("evaluate", "samples.npy", "--dataset", "digts")
    assert message == "data set 'digts': unknown. Did you mean digits?"


def test_an_unknown_sampler_is_answered_with_the_nearest(refused: Refused) -> None:
    assert refused("run", "--sampler", "tpee") == (
        "--sampler tpee: no such sampler. Did you mean tpe?"
    )


@pytest.mark.parametrize("flag", ["--group-trials", "--packing"])
def test_the_former_name_of_group_trials_is_accepted_and_not_shown(
    call: Call, refused: Refused, flag: str
) -> None:
    assert refused("run", flag, "of") == (
        "group_trials=of (--group-trials): no such choice. Did you mean off?"
    )
    assert call("run", flag, "off", "--dry-run")[0] == 0
    assert "--packing" not in call("run", "--help")[1]


def test_an_unknown_format_is_answered_with_all_of_them(refused: Refused) -> None:
    message = refused("report", "digits-1", "--format", "jsn")
    assert "'jsn' is not one of 'table', 'json', 'csv', 'markdown', 'html'." in message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "generater_lr=1",
            "--set generater_lr=1: generater_lr: unknown parameter. Did you mean generator_lr?",
        ),
        ("k", "--set k: it must be key=value, such as --set k=3."),
        ("", "--set : it must be key=value, such as --set k=3."),
        ("k=0", "--set k=0: k: found 0. It must be a whole number in [1, 100]."),
        (
            "generator_lr=nan",
            "--set generator_lr=nan: generator_lr: found 'nan'. It must be a number in (0, 100].",
        ),
        ("budget.trails=1", "--set budget.trails=1: budget.trails: unknown. Did you mean trials?"),
        (
            "k={int: [5, 1]}",
            "--set k={int: [5, 1]}: k: low=5 and high=1. low must be below high. Swap or widen "
            "them; a single value belongs under fixed: {k: 5}.",
        ),
    ],
)
def test_a_mistyped_setting_is_answered_with_the_rule(
    refused: Refused, setting: str, message: str
) -> None:
    assert refused("run", "--set", setting) == message


# Numbers that can't be


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--trials", "0", "found 0. It must be a whole number in [1, 10000000]."),
        ("--trials", "1000000000", "found 1000000000. It must be a whole number in [1, 10000000]."),
        ("--trials", "ten", "found ten. It must be a whole number in [1, 10000000]."),
        ("--max-updates", "0", "found 0. It must be a whole number in [1, 1000000000000]."),
        ("--replicas", "-1", "found -1. It must be a whole number in [0, 10000]."),
        ("--top", "-1", "found -1. It must be a whole number in [0, 10000]."),
        ("--gpus-per-trial", "-1", "-1.0 is not in the range x>=0."),
        ("--gpus-per-trial", "nan", "nan is not a finite number."),
        ("--gpus-per-trial", "atuo", "'atuo' is neither a number nor auto."),
        ("--gpus-per-trial", "", "'' is neither a number nor auto."),
        ("--cpus-per-trial", "0", "0.0 is not in the range x>0."),
        ("--cpus-per-trial", "inf", "inf is not a finite number."),
        ("--max-concurrent", "0", "0 is not in the range x>=1."),
        ("--seed", "-1", "-1 is not in the range x>=0."),
        ("--time-budget", "0", "'0': a time budget must be positive."),
        ("--time-budget", "0h", "'0h': a time budget must be positive."),
        ("--time-budget", "5", "'5' has no unit. Write 5s, 5m or 5h."),
        ("--time-budget", "0.5", "'0.5' has no unit. Write 0.5s, 0.5m or 0.5h."),
        ("--time-budget", "-1", "'-1' is not a time. Write 2h, 90m, 1h30m or 45s."),
        ("--time-budget", "2x", "'2x' is not a time. Write 2h, 90m, 1h30m or 45s."),
        ("--time-budget", "", "'' is not a time. Write 2h, 90m, 1h30m or 45s."),
    ],
)
def test_an_impossible_number_is_answered_with_its_flag_and_rule(
    refused: Refused, flag: str, value: str, message: str
) -> None:
    assert refused("run", flag, value) == f"Invalid value for '{flag}': {message}"


def test_a_time_beyond_all_bounds_is_no_time_budget(refused: Refused) -> None:
    message = refused("run", "--time-budget", "9" * 400 + "s")
    assert message.endswith("leave the flag out for a run without a limit.")


@pytest.mark.parametrize(
    ("flag", "command"), [("--trials", "resume"), ("--top", "report"), ("--n", "sample")]
)
def test_nothing_can_be_asked_of_a_run_no_times(refused: Refused, flag: str, command: str) -> None:
    assert f"Invalid value for '{flag}'" in refused(command, "digits-1", flag, "0")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200.0),
        ("90m", 5400.0),
        ("1h30m", 5400.0),
        ("45s", 45.0),
        ("1.5D", 129600.0),
    ],
)
def test_a_time_budget_is_read_as_people_write_it(text: str, seconds: float) -> None:
    option = next(p for p in cli.commands["run"].params if p.name == "time_budget_seconds")
    assert option.type.convert(text, option, None) == seconds


def test_a_seed_may_have_any_size(call: Call) -> None:
    code, out, _ = call("run", "--dry-run", "--seed", str(10**30))
    assert code == 0
    assert out.count("proposal") == 5


# Space and configuration files


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "generator_lr: {float: [0.3, 0.003]}",
            "bad.yaml:3: generator_lr: low=0.3 and high=0.003. low must be below high. Swap or "
            "widen them; a single value belongs under fixed: {generator_lr: 0.3}.",
        ),
        (
            "generator_lr: {float: [0.0, 0.3], log: true}",
            "bad.yaml:3: generator_lr: low=0.0 with log: true. A log scale needs low > 0. "
            "Use low: 1e-5, or drop log.",
        ),
        ("k: {int: [1, 500]}", "bad.yaml:3: k: found 500. It must be a whole number in [1, 100]."),
    ],
)
@pytest.mark.parametrize("command", [["run", "--space"], ["spaces"]])
def test_an_impossible_range_in_a_space_file_is_answered_with_its_line(
    scratch: Path, refused: Refused, command: list[str], entry: str, message: str
) -> None:
    (scratch / "bad.yaml").write_text(f"dataset: digits\nsearch:\n  {entry}\n")
    assert refused(*command, "bad.yaml") == message


def test_a_folder_is_no_space(scratch: Path, refused: Refused) -> None:
    (scratch / "mine").mkdir()
    assert refused("run", "--space", "./mine") == "mine: a folder. Name a file in it."


def test_an_absent_configuration_is_named(refused: Refused) -> None:
    assert refused("run", "--space", "digits", "--only", "nothere.yaml") == (
        "--only nothere.yaml: there is no such file. It takes a preset of the space "
        "(dcgan, found, paper), the path of a YAML or JSON file with a configuration's parameters, "
        "or RUN/TRIAL for the configuration of a trial."
    )
    assert refused("run", "--only", "").startswith("--only : there is no such file. ")


def test_configurations_on_no_seeds_are_refused(refused: Refused) -> None:
    assert refused("run", "--only", "paper", "--replicas", 0) == (
        "--only with replicas: 0 trains nothing: `replicas` is the number of seeds that each "
        "configuration is trained on. Give --replicas 1 or more."
    )


def test_a_configuration_without_only_is_refused(call: Call) -> None:
    code, _, err = call("run", "mine.yaml", "--dry-run")
    assert code == 2
    assert (
        "(mine.yaml). A space is named by --space; configurations to compare follow --only, and "
        "earlier runs --warm-start" in err
    )


def test_an_unknown_parameter_of_a_configuration_is_answered_with_the_nearest(
    scratch: Path, refused: Refused
) -> None:
    (scratch / "mine.yaml").write_text("k: 2\nnoise_dims: 3\n")
    assert refused("run", "--only", "mine.yaml") == (
        "mine.yaml:2: config.noise_dims: unknown parameter. Did you mean noise_dim?"
    )


# Data that is not there


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # refuses at once
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "command", [["run", "--space", "mnist"], ["evaluate", "samples.npy", "--dataset", "mnist"]]
)
def test_without_mnist_and_network_the_message_says_where_the_files_go(
    scratch: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    no_network: None,
    command: list[str],
) -> None:
    (scratch / "data").mkdir()
    monkeypatch.setenv("GANSEARCH_DATA", str(scratch / "data"))
    started = time.monotonic()
    message = refused(*command)
    assert time.monotonic() - started < 20
    assert message.startswith(f"data set mnist: {scratch}/data/MNIST/raw lacks train-images-idx3-")
    assert "Put MNIST's files there" in message
    assert "--data-dir or GANSEARCH_DATA" in message
    assert message.endswith("`--space digits` needs no download.")
    assert not (scratch / "results").exists()


def test_a_file_in_the_place_of_the_data_folder_is_answered_alike(
    scratch: Path, refused: Refused, no_network: None
) -> None:
    (scratch / "data").write_text("")
    message = refused("run", "--space", "mnist", "--data-dir", "data")
    assert message.startswith(f"data set mnist: {scratch}/data/MNIST/raw lacks ")


# Results that can't be written or aren't there


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "..", "ü", "a b", "x" * 201])
def test_a_name_that_is_no_plain_name_makes_no_folder(
    scratch: Path, refused: Refused, name: str
) -> None:
    assert refused("run", "--name", name) == (
        f"{name!r}: can't be a run's name. It must have 1 to 200 letters, digits, dots, dashes or "
        "underscores, such as mnist-2. Choose another."
    )
    assert list(scratch.iterdir()) == []


def test_a_name_that_is_taken_is_answered_with_the_two_ways_on(
    scratch: Path, refused: Refused, stopped_run: str
) -> None:
    assert refused("run", "--name", stopped_run) == (
        f"{scratch}/results/digits-1: exists. A new run needs a folder of its own. "
        "Choose another --name, or go on with it: `gansearch resume "
        f"{scratch}/results/digits-1`."
    )


def test_results_can_not_lie_in_a_file(scratch: Path, refused: Refused) -> None:
    (scratch / "taken").write_text("")
    assert refused("run", "--results", "taken", "--name", "one") == (
        f"{scratch}/taken/one: can't be made: Not a directory. Results need a folder that can be "
        "written. Choose another with --results."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_can_not_lie_where_nothing_may_be_written(scratch: Path, refused: Refused) -> None:
    (scratch / "sealed").mkdir(mode=0o500)
    message = refused("run", "--results", "sealed", "--name", "one")
    assert message.startswith(f"{scratch}/sealed/one: can't be made: Permission denied.")


@pytest.mark.parametrize("command", ["report", "resume", "sample"])
def test_where_there_are_no_runs_the_message_says_how_to_start_one(
    refused: Refused, command: str
) -> None:
    assert refused(command, "digits-1") == (
        "digits-1: no such run. A run is a folder with a run.json. There is no run in results yet: "
        "start one with `gansearch run`, or say where it is with --results."
    )


@pytest.mark.parametrize("command", ["report", "resume", "sample"])
def test_a_mistyped_run_is_answered_with_the_nearest(
    refused: Refused, stopped_run: str, command: str
) -> None:
    assert refused(command, "digit-1") == (
        "digit-1: no such run. A run is a folder with a run.json. Did you mean digits-1?"
    )


def test_runs_are_listed_as_a_table_or_as_json(call: Call, stopped_run: str) -> None:
    code, out, _ = call("list")
    assert code == 0
    assert re.search(r"^digits-1 +interrupted +digits +2026-11-24", out, re.MULTILINE)
    code, out, _ = call("list", "--json", "--results", "results")
    (run,) = json.loads(out)
    assert (code, run["name"], run["state"], run["best"]) == (0, "digits-1", "interrupted", None)


def test_a_list_of_no_runs_says_how_to_start_one(scratch: Path, call: Call) -> None:
    code, out, _ = call("list")
    assert (code, "start one with `gansearch run`" in out) == (0, True)
    assert call("list", "--json")[:2] == (0, "[]\n")


@pytest.mark.parametrize("more", [(), ("--results", "results")])
def test_the_newest_run_is_called_latest(call: Call, stopped_run: str, more: tuple[str]) -> None:
    code, out, _ = call("report", "latest", *more)
    assert (code, out.splitlines()[0]) == (0, "digits-1: interrupted")
    code, out, _ = call("report", "results/latest")
    assert (code, out.splitlines()[0]) == (0, "digits-1: interrupted")


def test_runs_are_compared_as_tables_or_as_json(
    scratch: Path, call: Call, stopped_run: str
) -> None:
    shutil.copytree(scratch / "results" / stopped_run, scratch / "results" / "other")
    code, out, _ = call("compare", "digits-1", "other")
    assert (code, out.splitlines()[0]) == (0, "2 runs: digits-1, other")
    code, out, _ = call("compare", "digits-1", "results/other", "--json")
    assert (code, [run["name"] for run in json.loads(out)["runs"]]) == (0, ["digits-1", "other"])


def test_one_run_alone_is_not_compared(refused: Refused, stopped_run: str) -> None:
    assert refused("compare", "digits-1").startswith("One run alone can't be compared.")
    assert "given twice" in refused("compare", "digits-1", "latest")
    assert "no such run" in refused("compare", "digits-1", "absent")


def test_samples_are_written_as_a_picture_or_an_array_only(
    refused: Refused, stopped_run: str
) -> None:
    assert refused("sample", stopped_run, "--trial", "t00000", "--out", "x.gif") == (
        "--out x.gif: the ending .gif is not known. Samples are written as a .png picture or a "
        ".npy array."
    )


def test_an_unknown_trial_is_answered_with_the_nearest(
    scratch: Path, refused: Refused, stopped_run: str
) -> None:
    assert refused("sample", stopped_run, "--trial", "t0000") == (
        f"--trial t0000: no such trial in {scratch}/results/digits-1. Did you mean t00000?"
    )


def test_rows_between_samples_are_eight_of_ten_unless_asked_for_otherwise(
    scratch: Path, call: Call, stopped_run: str
) -> None:
    to = ("sample", stopped_run, "--trial", "t00000", "--out", "x.npy", "--interpolate")
    assert call(*to) == (0, "x.npy: 8 rows between unpicked samples of t00000\n", "")
    assert np.load(scratch / "x.npy").shape == (8, 10, 64)
    assert call(*to, 5, "--n", 3) == (0, "x.npy: 3 rows between unpicked samples of t00000\n", "")
    assert np.load(scratch / "x.npy").shape == (3, 5, 64)


def test_a_row_of_two_has_nothing_between(refused: Refused, stopped_run: str) -> None:
    message = refused("sample", stopped_run, "--interpolate", 2)
    assert message == "Invalid value for '--interpolate': 2 is not in the range x>=3."


def test_a_run_without_a_completed_trial_has_no_samples(refused: Refused, stopped_run: str) -> None:
    assert "no trial has been completed" in refused("sample", stopped_run)


def test_every_command_makes_the_folder_of_its_file(
    scratch: Path, call: Call, stopped_run: str
) -> None:
    commands: list[tuple[str, ...]] = [
        ("sample", stopped_run, "--trial", "t00000", "--out", "new/one/x.npy"),
        ("sample", stopped_run, "--trial", "t00000", "--n", "2", "--out", "new/two/X.PNG"),
        ("report", stopped_run, "--out", "new/three/report.txt"),
    ]
    for command in commands:
        assert call(*command)[0] == 0
        assert (scratch / command[-1]).is_file()
    assert not list(scratch.glob("new/*/.*")), "nothing else is left there"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder.npy", "Is a directory. Name a file in it."),
        ("file/x.npy", "Not a directory. A part of the path is a file. Name another folder."),
        ("file/new/x.npy", "Not a directory. A part of the path is a file. Name another folder."),
        ("x" * 300 + ".npy", "File name too long. Choose a shorter name."),
        ("loop.npy", "Too many levels of symbolic links. Name another file or folder."),
    ],
)
@pytest.mark.parametrize("command", ["sample", "report", "evaluate"])
def test_a_place_that_can_not_be_written_is_told_before_the_work(
    scratch: Path, refused: Refused, command: str, name: str, message: str
) -> None:
    (scratch / "folder.npy").mkdir()
    (scratch / "file").write_text("")
    (scratch / "loop.npy").symlink_to("loop.npy")
    flag, given = ("--out", [f"--out={name}"])
    if command == "evaluate":
        name = name.replace(".npy", ".csv")
        (scratch / "folder.csv").mkdir()
        (scratch / "loop.csv").symlink_to("loop.csv")
        flag, given = ("--curve", ["--dataset", "digits", f"--curve={name}"])
    elif command == "report":
        given += ["--format", "csv"]
    # There is neither a run nor an array, which would be read first.
    assert refused(command, "nothere", *given) == f"{flag} {name}: can't be written: {message}"


@pytest.mark.parametrize(
    "given",
    [("report", "--out"), ("sample", "--out"), ("evaluate", "--dataset=digits", "--curve")],
)
def test_standard_output_is_no_file_to_write(
    scratch: Path, refused: Refused, given: tuple[str, ...]
) -> None:
    command, *flags = given
    assert refused(command, "nothere", *flags, "-").startswith(
        f"{flags[-1]} -: this is not standard output."
    )
    assert list(scratch.iterdir()) == []


def test_a_full_disk_under_a_file_is_no_raw_error(refused: Refused, stopped_run: str) -> None:
    message = refused("report", stopped_run, "--format", "json", "--out", "/dev/full")
    assert message == (
        "--out /dev/full: can't be written: No space left on device. What was there before is "
        "kept. Make room."
    )


def test_a_device_is_written_to_and_not_replaced(call: Call, stopped_run: str) -> None:
    assert call("report", stopped_run, "--format", "json", "--out", "/dev/null")[0] == 0
    assert not Path("/dev/null").is_file()


def test_a_link_is_written_where_it_leads(scratch: Path, call: Call, stopped_run: str) -> None:
    (scratch / "link.csv").symlink_to("deep/real.csv")
    assert call("report", stopped_run, "--out", "link.csv")[0] == 0
    assert (scratch / "link.csv").is_symlink()
    assert (scratch / "deep" / "real.csv").is_file()


def test_a_home_is_expanded_where_the_shell_does_not(
    scratch: Path, call: Call, refused: Refused, stopped_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = scratch / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / "mine.yaml").write_text("dataset: digits\nsearch: {k: {int: [1, 3]}}\n")
    (home / "config.yaml").write_text("k: 2\n")
    (scratch / "results").rename(home / "runs")
    assert call("spaces", "~/mine.yaml")[0] == 0
    code, out, _ = call("run", "--space=~/mine.yaml", "--only=~/config.yaml", "--dry-run")
    assert code == 0
    assert "1 given" in out
    to = (stopped_run, "--results=~/runs")
    assert call("report", *to, "--out=~/report.html")[0] == 0
    assert call("sample", f"~/runs/{stopped_run}", "--trial=t00000", "--out=~/x.npy")[0] == 0
    assert {"report.html", "x.npy"} <= {path.name for path in home.iterdir()}
    np.save(home / "few.npy", uniform(3, dim=60))
    assert refused("evaluate", "~/few.npy", "--dataset", "digits").startswith(f"{home}/few.npy: ")
    message = refused("run", "--space", "folder", "--data-dir=~/nothere")
    assert str(home / "nothere") in message
    monkeypatch.setenv("GANSEARCH_DATA", "~/there")
    assert str(home / "there") in refused("run", "--space", "folder")
    assert refused("spaces", "~nobody-of-this-name/x.yaml").startswith("~nobody-of-this-name/x")
    assert not (scratch / "~").exists()


def test_samples_are_as_many_as_asked_for(scratch: Path, call: Call, stopped_run: str) -> None:
    code, out, _ = call("sample", stopped_run, "--trial", "t00000", "--n", 5, "--out", "x.npy")
    assert (code, out) == (0, "x.npy: 5 unpicked samples of t00000\n")
    assert np.load(scratch / "x.npy").shape == (5, 64)


@pytest.mark.parametrize(
    ("ending", "start"),
    [("json", "{"), ("csv", "trial_id"), ("md", "# digits-1"), ("html", "<!"), ("txt", "digits-1")],
)
def test_the_ending_of_its_file_decides_the_format_of_a_report(
    scratch: Path, call: Call, stopped_run: str, ending: str, start: str
) -> None:
    assert call("report", stopped_run, "--out", f"report.{ending}") == (0, "", "")
    assert (scratch / f"report.{ending}").read_text().startswith(start)


def test_an_ending_that_is_not_the_formats_is_refused(refused: Refused, stopped_run: str) -> None:
    assert refused("report", stopped_run, "--out", "x.jpg") == (
        "--out x.jpg: the ending .jpg is not known. A report is written as .txt, .json, .csv, .md "
        "or .html, or as --format says."
    )
    assert refused("report", stopped_run, "--format", "csv", "--out", "x.json") == (
        "--format csv, --out x.json: they contradict each other. Leave --format out, or change "
        "the ending."
    )


def test_a_table_is_written_to_a_file_as_it_is_printed(
    scratch: Path, call: Call, stopped_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    _, printed, _ = call("report", stopped_run)
    assert call("report", stopped_run, "--out", "report.txt") == (0, "", "")
    assert "digits" in printed
    assert (scratch / "report.txt").read_text() == printed


# Samples that can't be scored


@pytest.fixture
def mnist_images(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the real MNIST, which `scratch` hides; without it the test skips."""
    monkeypatch.setenv("GANSEARCH_DATA", DATA)
    folder: Path = request.getfixturevalue("mnist_dir")
    return folder


def saved(path: Path, array: Any) -> str:
    np.save(path, array, allow_pickle=True)
    return path.name


def uniform(n: int = 100, dim: int = 64) -> np.ndarray:
    return np.random.default_rng(0).random((n, dim), dtype=np.float32)


@pytest.fixture
def unscorable(scratch: Path, refused: Refused) -> Callable[[Any], str]:
    """Return a function that evaluates an array and returns the message that refuses it."""

    def evaluate(array: Any) -> str:
        name = saved(scratch / "samples.npy", array)
        return refused("evaluate", name, "--dataset", "digits")

    return evaluate


def test_absent_samples_are_named(refused: Refused) -> None:
    assert refused("evaluate", "nothere.npy", "--dataset", "digits") == (
        "nothere.npy: No such file or directory. It must be a .npy file."
    )


def test_a_folder_without_images_holds_no_samples(scratch: Path, refused: Refused) -> None:
    (scratch / "samples").mkdir()
    assert refused("evaluate", "samples", "--dataset", "digits").startswith(
        "samples: found no images in it or below. Their names must end in"
    )


def test_a_text_file_holds_no_samples(scratch: Path, refused: Refused) -> None:
    (scratch / "samples.npy").write_text("0.1, 0.2\n")
    assert refused("evaluate", "samples.npy", "--dataset", "digits") == (
        "samples.npy: not a .npy file. Save an array with numpy.save: float32 in [0, 1] or uint8 "
        "for images."
    )


def test_pickled_samples_are_refused_and_nothing_in_them_is_run(
    scratch: Path, unscorable: Callable[[Any], str]
) -> None:
    sprung = scratch / "sprung"
    traps = np.array([Trap(sprung)], dtype=object)
    assert unscorable(traps).startswith("samples.npy: it holds Python objects, which aren't read.")
    assert not sprung.exists()
    np.load(scratch / "samples.npy", allow_pickle=True)
    assert sprung.exists(), "the trap was none"


def test_samples_with_nan_are_counted(unscorable: Callable[[Any], str]) -> None:
    samples = uniform()
    samples[7, 3] = np.nan
    samples[9, 0] = np.inf
    assert unscorable(samples) == (
        "samples.npy: 2 of 100 samples hold NaN or infinite values, sample 7 (from 0) first. "
        "Leave such samples out."
    )


def test_samples_of_another_shape_are_answered_with_the_right_ones(
    unscorable: Callable[[Any], str],
) -> None:
    assert unscorable(uniform(dim=60)) == (
        "samples.npy: shape [100, 60]. Samples of digits have [n, 64] or [n, 8, 8] or "
        "[n, 1, 8, 8] or [n, 8, 8, 1]."
    )


def test_samples_from_minus_one_to_one_are_answered_with_the_conversion(
    unscorable: Callable[[Any], str],
) -> None:
    assert unscorable(2 * uniform() - 1).endswith("If they run from -1 to 1, save (x + 1) / 2.")


def test_samples_from_0_to_255_are_answered_with_the_conversion(
    unscorable: Callable[[Any], str],
) -> None:
    assert unscorable(255 * uniform()).endswith("If they run from 0 to 255, save x / 255.")


def test_too_few_samples_have_no_score(unscorable: Callable[[Any], str]) -> None:
    assert unscorable(uniform(n=19)) == (
        "samples.npy: 19 samples. A score needs 20 at least; the protocol asks for 10,000."
    )


def test_evaluate_prints_the_same_object_for_bytes_and_floats(
    scratch: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(scratch / "cache"))
    digits = load_dataset("digits")
    stored = digits.train[:500]
    samples = stored.astype(np.float64) / 16
    scores = []
    for name, array in (("bytes.npy", stored), ("floats.npy", samples.astype(np.float32))):
        saved(scratch / name, array)
        code, out, err = call("evaluate", name, "--dataset", "digits", "--json")
        assert (code, err) == (0, "")
        scores.append(json.loads(out))
    assert scores[0] == scores[1]
    found = scores[0]
    assert list(found) == [
        *("dataset", "n_samples", "test_ll", "test_ll_se", "valid_ll", "sigma", "sigma_at_edge"),
        *("health", "train_nn_ratio", "copy_p", "fld", "kl"),
        *("precision", "clipped_density", "clipped_coverage", "references", "warnings"),
    ]
    assert list(found["health"]) == [
        *("coverage", "recall", "nn_ratio"),
        *("n_classes_effective", "missing_classes", "collapsed_p"),
        *("verdict", "reason"),
    ]
    assert (found["dataset"], found["n_samples"], found["sigma_at_edge"]) == ("digits", 500, False)
    assert found["health"]["verdict"] == "sound"
    # The cache is empty, and JSON waits for nothing; this must not pass in silence.
    few, not_compared, _copies = found["warnings"]
    assert few.startswith("The score comes from 500 samples, where the protocol takes 10,000.")
    assert not_compared.startswith("The score was not compared with that of the training examples")
    log_likelihoods = parzen(samples, digits.test / 16, found["sigma"])
    assert found["test_ll"] == pytest.approx(log_likelihoods.mean(), abs=1e-3)
    assert found["test_ll_se"] == pytest.approx(log_likelihoods.std(ddof=1) / 300**0.5, rel=1e-3)
    valid = parzen(samples, digits.valid / 16, found["sigma"]).mean()
    assert found["valid_ll"] == pytest.approx(valid, abs=1e-3)


def test_evaluate_shows_the_reference_lines_and_warns_of_copies(scratch: Path, call: Call) -> None:
    saved(scratch / "samples.npy", load_dataset("digits").train[:500])
    code, out, err = call("evaluate", "samples.npy", "--dataset", "digits")
    assert (code, err) == (0, "")
    # Reversed: the first of the tables is the one that is kept.
    lines = {line.split("  ")[0]: line.split() for line in reversed(out.splitlines())}
    assert lines["verdict"][1] == "sound"
    assert lines["train_nn_ratio"][1] == "0"
    assert lines["training images"][2:4] == ["1,197", "29.5"]
    assert lines["k-means centroids"][2:4] == ["239", "26.9"]
    assert lines["fitted Gaussian"][2:4] == ["10,000", "10.9"]
    assert "they may be copies" in " ".join(out.split())
    assert "Published" not in out


def test_points_are_evaluated_beside_lines_of_their_own(scratch: Path, call: Call) -> None:
    points = load_dataset("gaussian").train[:200]
    saved(scratch / "samples.npy", points)
    call("evaluate", "samples.npy", "--dataset", "gaussian")
    code, out, _ = call("evaluate", "samples.npy", "--dataset", "gaussian", "--json")
    assert code == 0
    found = json.loads(out)
    assert [line["name"] for line in found["references"]] == ["training points", "fitted Gaussian"]
    assert found["test_ll"] == pytest.approx(found["references"][0]["test_ll"], abs=0.1)


@pytest.mark.parametrize("ending", ["csv", "parquet", "png"])
def test_a_curve_is_written_as_its_ending_says(scratch: Path, call: Call, ending: str) -> None:
    saved(scratch / "samples.npy", uniform(300))
    out = scratch / f"curve.{ending}"
    code, _, err = call("evaluate", "samples.npy", "--dataset", "digits", "--curve", out)
    assert (code, err) == (0, "")
    if ending == "png":
        assert out.read_bytes().startswith(b"\x89PNG")
        return
    curve = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    assert [*curve] == [
        *("name", "n_samples", "test_ll", "test_ll_se", "valid_ll", "sigma", "sigma_at_edge"),
    ]
    assert curve["name"].tolist() == ["samples"] * 3 + ["training images"] * 5
    assert curve["n_samples"].tolist() == [100, 200, 300, 100, 200, 500, 1000, 1197]


@pytest.mark.parametrize(
    ("out", "rule"),
    [
        (
            "curve.pdf",
            "the ending .pdf is not known. A curve is written as a .png picture, or a .csv or "
            ".parquet table.",
        ),
        ("curve", "the ending (none) is not known. A curve is written as a .png picture, or a"),
    ],
)
def test_a_curve_that_can_not_be_written_is_answered_before_it_is_computed(
    scratch: Path, refused: Refused, out: str, rule: str
) -> None:
    message = refused("evaluate", "nothere.npy", "--dataset", "digits", "--curve", out)
    assert message.startswith(f"--curve {out}: {rule}")


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.full((100, 2), np.nan), "100 of 100 samples hold NaN or infinite values, sample 0"),
        (np.zeros((19, 2)), "19 samples. A score needs 20 at least"),
        (np.zeros((100, 3)), "shape [100, 3]. Samples of ring have [n, 2]."),
    ],
)
def test_points_that_have_no_score_are_answered_like_images(
    scratch: Path, refused: Refused, array: np.ndarray, problem: str
) -> None:
    saved(scratch / "samples.npy", array.astype(np.float32))
    message = refused("evaluate", "samples.npy", "--dataset", "ring")
    assert message.startswith(f"samples.npy: {problem}")


@pytest.mark.data
def test_mnist_training_images_score_as_published_through_the_command_line(
    scratch: Path, call: Call, mnist_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The lines beside the score take minutes, and have tests of their own.
    line = {"name": "training images", "n_samples": 10_000, "test_ll": 243.2, "source": None}
    measures = ("coverage", "recall", "nn_ratio", "train_nn_ratio", "test_ll_se")
    line |= dict.fromkeys(measures, 1.0)
    monkeypatch.setattr("gansearch.scoring.references._computed_lines", lambda *_: [line])
    monkeypatch.setattr("gansearch.scoring.references._training_curve", lambda *_: [line])
    monkeypatch.setenv("XDG_CACHE_HOME", str(scratch / "cache"))
    saved(scratch / "samples.npy", load_dataset("mnist", mnist_images).train[:10_000])
    flags = ("--dataset", "mnist", "--data-dir", mnist_images)
    code, out, err = call("evaluate", "samples.npy", *flags, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["test_ll"] == pytest.approx(243.2, abs=0.1)
    assert found["health"]["verdict"] == "sound"
    assert found["train_nn_ratio"] == 0
    published = {line["name"]: line["test_ll"] for line in found["references"]}
    assert published["adversarial nets"] == 225
    assert "training images" not in published  # not computed yet, and not waited for
    _, table, _ = call("evaluate", "samples.npy", *flags)
    assert "Goodfellow et al. 2014, Table 1" in table
    _, out, _ = call("evaluate", "samples.npy", *flags, "--json")
    assert json.loads(out)["references"][0] == line


def parzen(samples: np.ndarray, data: np.ndarray, sigma: float) -> np.ndarray:
    """Log-likelihood of each example under a Gaussian of width sigma on every sample, `[n]`."""
    squared = ((data[:, None] - samples[None]) ** 2).sum(axis=-1)
    dim = data.shape[1]
    norm = np.log(len(samples)) + dim / 2 * np.log(2 * np.pi * sigma**2)
    return np.asarray(logsumexp(-squared / (2 * sigma**2), axis=1) - norm)


# Commands that print what there is


def test_spaces_lists_all_that_are_built_in(call: Call) -> None:
    code, out, _ = call("spaces")
    assert code == 0
    listed = {line.split()[0] for line in out.splitlines() if line[1:2].isalpha()}
    assert {*builtin_spaces()} <= listed
    assert {"digits", "mnist", "ring", "grid"} <= listed


@pytest.mark.parametrize("name", ["digits", "grid", "mnist", "ring"])
def test_a_space_is_shown_as_a_file_that_means_the_same(
    scratch: Path, call: Call, name: str
) -> None:
    code, out, _ = call("spaces", name)
    assert code == 0
    (scratch / f"{name}.yaml").write_text(out)
    assert load_space(f"./{name}.yaml") == load_space(name)


def test_a_dry_run_shows_the_plan_and_writes_nothing(scratch: Path, call: Call) -> None:
    code, out, err = call("run", "--dry-run", "--trials", 7, "--max-updates", 1234, "--top", 1)
    assert (code, "Error" in err) == (0, False)
    assert "digits: 1,197 train, 300 valid, 300 test; examples of 8x8x1" in out
    assert "7 trials of at most 1,234 updates" in out
    assert "the best 1 and the paper's configuration, each on 4 fresh seeds" in out
    assert list(scratch.iterdir()) == []


def test_a_dry_run_estimates_how_long_the_run_takes(
    scratch: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansearch.tune.time_plan.MEASURED_SECONDS", 0.05)
    _, out, _ = call("run", "--dry-run", "--only", "paper", "--max-updates", 100)
    assert "updates      replicas: 400\ntime         about " in out
    assert list(scratch.iterdir()) == []


def test_only_takes_several_presets_and_files(scratch: Path, call: Call) -> None:
    (scratch / "space.yaml").write_text(
        "dataset: digits\nsearch: {k: {int: [1, 3]}}\npresets: {wide: {noise_dim: 256}}\n"
    )
    (scratch / "mine.yaml").write_text("k: 3\n")
    code, out, _ = call(
        *("run", "--space", "space.yaml", "--dry-run", "--replicas", 2),
        *("--only", "paper", "wide", "mine.yaml", "--only", "wide"),
    )
    assert code == 0
    assert "3 given, each on 2 fresh seeds" in out


def test_a_warm_start_takes_several_runs_and_tries_their_best_first(
    scratch: Path, call: Call
) -> None:
    for name in ("one", "two"):
        write_run(scratch / "results", searched(), name=name)
    code, out, _ = call("run", "--dry-run", "--warm-start", "one", "two")
    assert code == 0
    for name in ("one", "two"):
        assert f"note         warm start from {name}: 2 trials of it, weighted" in out
    assert "4 trials left out: generator_widths outside the choices [64, 64], [128, 128] (4)" in out
    # After the preset that the space starts from; that of both runs once, the paper's not again.
    assert "noise_dim=32" in next(line for line in out.splitlines() if "proposal 1" in line)
    assert out.count("generator_lr=0.31") == 1
    code, _, err = call("run", "--dry-run", "--warm-start", "one", "--only", "paper")
    assert code == 2
    assert "--warm-start, --only: --only compares given configurations without a search" in err


def test_a_dry_run_of_the_paper_alone_searches_nothing(scratch: Path, call: Call) -> None:
    code, out, _ = call("run", "--only", "paper", "--dry-run")
    assert code == 0
    assert "1 given, each on 4 fresh seeds" in out
    assert "search " not in out
    assert list(scratch.iterdir()) == []


def test_the_version_is_the_packages(call: Call) -> None:
    assert call("--version") == (0, f"gansearch, version {gansearch.__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", [None, *cli.commands])
def test_every_command_has_help_on_every_flag(call: Call, name: str | None, flag: str) -> None:
    code, out, err = call(*([name] if name else []), flag)
    assert (code, err) == (0, "")
    assert out.startswith("Usage: ")
    assert f"gansearch {name or '[OPTIONS] COMMAND'}" in out.splitlines()[0]
    params = (cli.commands[name] if name else cli).params
    options = [flag for p in params if isinstance(p, click.Option) for flag in p.opts]
    for option in [*options, "-h", "--help"]:
        assert option in out
    if name:
        for param in cli.commands[name].params:
            assert isinstance(param, click.Argument) or getattr(param, "help", None), param.name


def test_the_doctor_cuts_and_breaks_no_path(
    scratch: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    folder = scratch / ("a-long-folder/" * 6)
    out = call("doctor", "--data-dir", folder)[1]
    line = next(line for line in out.splitlines() if "data set mnist" in line)
    assert f"{folder}/MNIST/raw lacks train-images-idx3-ubyte" in line
    assert "name the folder that holds MNIST/raw by --data-dir or GANSEARCH_DATA" in out


def test_the_doctor_examines_this_machine(call: Call) -> None:
    code, out, err = call("doctor")
    assert code in (0, 1)
    assert code == ("problem" in out)
    assert "python" in out
    assert "bug in gansearch" not in err


# Exit codes and messages of errors


def test_ctrl_c_before_the_search_begins_leaves_no_folder(
    scratch: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gansearch.tune.preflight.load_dataset", interrupted)
    code, out, err = call("run")
    assert (code, out) == (130, "")
    assert err.endswith("Stopped before the run began; nothing of it is kept.\n")
    assert list(scratch.iterdir()) == []


def test_an_unexpected_error_is_called_a_bug(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("gansearch.tune.preflight.load_dataset", broken)
    code, out, err = call("run")
    assert (code, out) == (1, "")
    assert err.startswith(
        "Error: KeyError: 'oops'\nThis is a bug in gansearch, not a mistake of yours."
    )
    assert "Set GANSEARCH_TRACEBACK=1" in err


def test_of_a_traceback_in_an_error_only_the_end_is_shown(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        try:
            raise KeyError("t00001")
        except KeyError:
            raise RuntimeError(traceback.format_exc()) from None

    monkeypatch.setattr("gansearch.tune.preflight.load_dataset", broken)
    code, _, err = call("run")
    assert code == 1
    assert err.startswith("Error: RuntimeError: KeyError: 't00001'\nThis is a bug in gansearch")


def test_a_process_answers_bad_input_with_2_and_one_line(scratch: Path) -> None:
    done = as_process("spaces", "digts", cwd=scratch)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: space digts: no built-in space has this name.")
    assert done.stderr.count("\n") == 1


def test_a_name_in_no_encoding_is_answered_like_any_other(scratch: Path) -> None:
    done = as_process("spaces", os.fsdecode(b"caf\xe9.yaml"), cwd=scratch)
    assert done.returncode == 2
    assert done.stderr == (
        "Error: caf\\udce9.yaml: can't be read (No such file or directory). Check the path.\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_not_called_a_bug(scratch: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = as_process("spaces", stdout=full, cwd=scratch)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: standard output: No space left on device")
    assert "bug in gansearch" not in done.stderr


def test_a_closed_pipe_prints_no_error(scratch: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = as_process("spaces", "digits", stdout=writing, cwd=scratch)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_deleted_working_folder_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f'rmdir "$PWD"; "{sys.executable}" -m gansearch doctor'],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: the current folder can't be used (No such file or directory). It may have been "
        "deleted. Change to another, such as `cd ~`.\n"
    )


def test_python_without_docstrings_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "gansearch", "spaces"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "without them Ray can't be loaded" in done.stderr


def test_an_absent_package_is_named_and_no_bug() -> None:
    for package, program in [("PIL", "gansearch.cli"), ("click", "gansearch.__main__")]:
        code = (
            f"import sys; sys.modules[{package!r}] = None; sys.argv = ['gansearch', 'doctor']\n"
            f"from {program} import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 1
        error = done.stderr.splitlines()[-1]
        assert error.startswith(f"Error: {sys.prefix}: import of {package} halted")
        assert error.endswith("Install gansearch there again: `pip install gansearch`.")
        assert "bug" not in done.stderr and "Traceback" not in done.stderr


def test_an_absent_module_of_gansearch_is_a_bug() -> None:
    assert is_bug(ModuleNotFoundError("No module named 'gansearch.x'", name="gansearch.x"))
    assert not is_bug(ModuleNotFoundError("No module named 'PIL'", name="PIL"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports_ends_as_later_ones_do(tmp_path: Path, signum: int) -> None:
    (tmp_path / "click.py").write_text(
        f"import os\nos.kill(os.getpid(), {int(signum)})\nos.kill(os.getpid(), 9)"
    )
    for start in (["-m", "gansearch"], ["-c", "from gansearch.__main__ import main; main()"]):
        done = subprocess.run(
            [sys.executable, *start, "spaces"],
            env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


_LEFT_RUNNING = """
import concurrent.futures, multiprocessing, sys, threading, time

class Slow:
    def __call__(self):
        time.sleep(1000)

threading.Thread(target=Slow()).start()
concurrent.futures.ThreadPoolExecutor().submit(Slow())
multiprocessing.get_context("fork").Process(target=Slow()).start()
sys.argv = ["gansearch", "--version"]
from gansearch.__main__ import main
main()
"""


def test_a_command_ends_though_code_of_the_users_own_has_left_something_running() -> None:
    # The process that is left would hold the pipe of its output.
    done = subprocess.run([sys.executable, "-c", _LEFT_RUNNING], capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(b"gansearch, version")


# What a command imports

_SLOW = (
    *("numpy", "pandas", "pyarrow", "scipy", "sklearn", "torch", "ray", "optuna"),
    *("matplotlib", "PIL", "jinja2"),
)


def imported_by(*args: str) -> set[str]:
    """Return which slow packages a fresh process has imported when the command line ends."""
    code = (
        "import sys\nfrom gansearch.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('|' + ' '.join(sys.modules))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, *args],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    loaded = set(out.rpartition("|")[2].split())
    assert "gansearch.cli" in loaded
    return loaded & set(_SLOW)


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("run", "--help")])
def test_help_imports_no_slow_package(args: tuple[str, ...]) -> None:
    assert imported_by(*args) == set()


def test_a_report_imports_neither_torch_nor_ray_nor_packages_for_pictures(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    loaded = imported_by("report", str(folder.path))
    assert "pandas" in loaded
    assert not loaded & {"torch", "ray", "optuna", "matplotlib", "PIL", "jinja2"}


def test_spaces_are_listed_without_torch_and_ray() -> None:
    assert not imported_by("spaces") & {"torch", "ray", "matplotlib"}


def processor_seconds(*args: str) -> float:
    """Return the CPU seconds of a fresh Python process."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, *args], env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_takes_little_time() -> None:
    # .1 s on an idle core, of which Python, click and rich are two thirds; the goal is .3 s. NumPy
    # alone takes as much again, torch twenty times as much. A busy machine lengthens both alike.
    needed, ours = [], []
    for _ in range(5):
        needed.append(processor_seconds("-c", "import click, rich.console"))
        ours.append(processor_seconds("-m", "gansearch", "--help"))
    assert min(ours) < 2 * min(needed)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_any_command_with_130_and_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signum: int
) -> None:
    monkeypatch.setattr("gansearch.cli.cli", lambda **_: os.kill(os.getpid(), signum))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr() == ("", "Stopped.\n")
