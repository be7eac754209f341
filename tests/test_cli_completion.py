"""What a shell completes, and that it never fails and loads nothing slow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from gansearch.cli import cli
from gansearch.cli_completion import MASKS, SAMPLERS
from gansearch.runs.location import LATEST
from gansearch.scoring.masks import KINDS
from gansearch.space.load import load_space
from gansearch.tune import samplers
from tests.written_runs import finished_run, write_run

ROOT = Path(__file__).parents[1]


def completed(line):
    """Return what is offered at the end of a line, as names, or as the kind of paths."""
    *words, incomplete = line.split(" ")
    items = ShellComplete(cli, {}, "gansearch", "_GANSEARCH_COMPLETE").get_completions(
        words, incomplete
    )
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with two runs, one of which has generators of two trials."""
    monkeypatch.chdir(tmp_path)
    folder = finished_run(tmp_path / "results", name="digits-1")
    for trial_id in ("t00001", "r-abc-0"):
        (folder.path / "models" / trial_id).mkdir(parents=True)
    write_run(tmp_path / "results", name="mnist-2", started_at="2026-11-01T06:00:00+00:00")
    return tmp_path


def test_commands_and_choices_are_completed():
    assert completed("co") == ["compare"]
    assert completed("report x --format j") == ["json"]
    assert completed("export x --to ") == ["safetensors", "torchscript", "onnx"]


def test_spaces_are_completed_by_name_and_else_as_files(here):
    assert "mnist" in completed("run --space ")
    assert completed("run --space mni") == ["mnist", "mnist-conditional"]
    assert completed("run --space ./my") == completed("spaces ./my") == ["<file>"]
    assert completed("spaces gauss") == ["gaussian"]


@pytest.mark.parametrize("space", ["digits", "ring", "mnist"])
def test_presets_are_those_of_the_space(here, space):
    assert set(completed(f"run --space {space} --only ")) == load_space(space).preset_names
    assert completed("run --only pap") == ["paper"]
    assert completed("run --space ring --only paper van") == ["vanilla"]
    assert completed("run --only ./x") == ["<file>"]


def test_presets_are_read_from_a_space_file_without_its_code(here):
    (here / "mine.yaml").write_text(
        "trainable: absent.py:train\npresets: {one: {}, two: {}}\nbaseline: none\n"
    )
    assert completed("run --space mine.yaml --only ") == ["one", "two"]


@pytest.mark.parametrize("command", ["report", "resume", "sample", "export", "compare"])
def test_runs_are_completed_with_the_word_for_the_newest(here, command):
    assert completed(f"{command} ") == ["digits-1", "mnist-2", "latest"]
    assert completed(f"{command} mn") == ["mnist-2"]
    assert completed(f"{command} ./r") == ["<dir>"]


def test_runs_of_another_folder_are_completed_and_none_of_an_object_store(here, tmp_path):
    write_run(tmp_path / "other", name="ring-9")
    assert completed("report --results other ") == ["ring-9", "latest"]
    assert completed("compare ring-9 --results other l") == ["latest"]
    assert completed("report --results s3://bucket/runs ") == ["<dir>"]


@pytest.mark.parametrize("run", ["digits-1", "results/digits-1", "latest"])
def test_trials_are_those_of_the_run_that_have_a_generator(here, run):
    assert completed(f"sample {run} --trial ") == ["r-abc-0", "t00001"]
    assert completed(f"export {run} --trial t") == ["t00001"]


def test_words_that_an_option_takes_are_those_of_the_code():
    assert completed("run --sampler ") == list(SAMPLERS) == list(samplers.SAMPLERS)
    assert completed("sample x --complete ") == list(MASKS) == list(KINDS)
    assert completed("run --group-trials o") == ["on", "off"]
    assert completed("run --track t") == ["tensorboard", "trackio"]
    assert completed("list --results x") == ["<dir>"]
    assert LATEST == "latest"


@pytest.mark.parametrize(
    "line",
    [
        "sample absent --trial ",
        "sample mnist-2 --trial ",
        "run --space absent.yaml --only ",
        "run --space broken.yaml --only ",
        "run --space list.yaml --only ",
        "run --space results --only ",
        "report --results broken.yaml ",
        "report --results /root/nowhere ",
        "sample latest --results broken.yaml --trial ",
    ],
)
def test_what_is_broken_or_absent_completes_to_nothing_and_raises_nothing(here, line):
    (here / "broken.yaml").write_bytes(b"presets: [\xff")
    (here / "list.yaml").write_text("- presets\n")
    assert completed(line) in ([], ["<file>"], ["<dir>"])


def test_a_shell_gets_its_completions_at_once_and_without_slow_packages(here):
    code = (
        "import sys\nfrom gansearch.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "_GANSEARCH_COMPLETE": "bash_complete",
        "COMP_CWORD": "4",
    }
    for words, expected in (
        ("gansearch sample digits-1 --trial ", "plain,r-abc-0"),
        ("gansearch run --space ring --only v", "plain,vanilla"),
        ("gansearch report --results results d", "plain,digits-1"),
    ):
        n = len(words.split(" ")) - 1
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.argv = ['gansearch']\n{code}"],
            env=env | {"COMP_WORDS": words, "COMP_CWORD": str(n)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert expected in done.stdout.splitlines()
        slow = {"torch", "ray", "optuna", "pandas", "pyarrow", "scipy", "numpy"}
        assert not slow & set(done.stderr.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell):
    env = os.environ | {"PYTHONPATH": str(ROOT), "_GANSEARCH_COMPLETE": f"{shell}_source"}
    script = "import sys; sys.argv = ['gansearch']; from gansearch.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60
    )
    # click asks bash for its version, and says on stderr that it is too old or absent.
    assert "Traceback" not in done.stderr
    assert f"_GANSEARCH_COMPLETE={shell}_complete" in done.stdout
