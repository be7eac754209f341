"""The working directory and the import path of a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAPS = ("torch", "numpy", "random", "pathlib", "click", "yaml", "json", "optuna")


@pytest.fixture
def trap(tmp_path):
    """A folder with modules named as those that gansearch imports; each leaves a mark if run."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(f"open('ran-{name}', 'w')\nraise SystemExit(7)")
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "gansearch").write_text("from gansearch.cli import main\nmain()")
    return tmp_path


@pytest.mark.parametrize("more", ["", ":"])
@pytest.mark.parametrize("command", [("-m", "gansearch"), ("script/gansearch",)])
def test_no_module_of_the_working_directory_hides_one_that_gansearch_imports(trap, command, more):
    if more:  # PYTHONPATH with an empty entry; Python's own modules are loaded from there at once
        for name in set(TRAPS) - {"torch", "numpy", "optuna", "click", "yaml"}:
            (trap / f"{name}.py").unlink()
    done = subprocess.run(
        [sys.executable, *command, "run", "--space", "ring", "--dry-run"],
        cwd=trap,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{more}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not list(trap.glob("ran-*"))
    assert done.returncode == 0, done.stderr


def test_a_module_of_the_working_directory_is_found_if_pythonpath_names_it(tmp_path):
    (tmp_path / "own.py").write_text("raise SystemExit(7)")
    (tmp_path / "own.yaml").write_text("family: own:Family\ndataset: ring\nsearch: {}\n")
    said = [
        subprocess.run(
            [sys.executable, "-m", "gansearch", "spaces", "own.yaml"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        ).stderr
        for path in (f".{os.pathsep}{ROOT}", str(ROOT))
    ]
    assert "SystemExit: 7" in said[0] and "No module named 'own'" in said[1]
