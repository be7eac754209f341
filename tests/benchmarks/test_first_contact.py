"""The script for the first call on a lent GPU: it runs anywhere, and goes on whatever fails."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import first_contact, first_stages, packed
from benchmarks.speed.careful import mnist_or_noise
from gansearch.training.examples import Examples
from tests.benchmark_scripts import SCRIPTS

ROOT = SCRIPTS.parent
QUICK = packed.quick("cpu")
# What Python runs at its start: here neither Ray nor Optuna nor gansearch is installed.
SITE = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.path[:] = [p for p in sys.path if not Path(p, "gansearch", "__init__.py").exists()]
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def bare(tmp_path):
    """Return the environment of a machine with torch, but neither Ray, Optuna nor gansearch."""
    (tmp_path / "sitecustomize.py").write_text(SITE)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "GANSEARCH_DATA")}
    return kept | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}


def run(script, *options, environment, code=0):
    done = subprocess.run(
        [sys.executable, f"benchmarks/gpu/{script}", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert code in (None, done.returncode), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["ray", "optuna", "gansearch.config"])
def test_such_a_machine_has_neither_ray_nor_optuna_nor_gansearch(bare, name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import {name}"],
        cwd=tmp_path,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"No module named '{name}'" in done.stderr


def test_the_benchmark_starts_where_gansearch_is_not_installed(bare):
    assert "--stages" in run("gpu.py", "--help", environment=bare)


def test_stages_run_where_gansearch_is_not_installed(bare, tmp_path):
    options = [
        "--device",
        "cpu",
        "--quick",
        "--stages",
        "eager",
        "replay",
        "--write",
        str(tmp_path),
    ]
    told = run("first_contact.py", *options, environment=bare)
    assert "- ok: 16, bf16: losses " in told
    assert "## Replay\n\n- needs CUDA" in told
    (kept,) = tmp_path.glob("gpu-cpu-*.md")
    assert kept.read_text() == told


@pytest.mark.slow
@pytest.mark.parametrize("call", [[], ["--second"]])
def test_each_call_runs_to_its_end_on_a_cpu(bare, call, tmp_path):
    options = ["--device", "cpu", "--quick", "--write", str(tmp_path), *call]
    told = run("first_contact.py", *options, environment=bare)
    stages = first_contact.SECOND if call else first_contact.FIRST
    assert [line[3:].lower() for line in told.splitlines() if line.startswith("## ")] == list(
        stages
    )
    assert told.count("This took") == len(stages)


def test_a_graph_is_compared_with_the_eager_chunk_on_the_stand_in(fake_gpu):
    options = ["--device", "cuda", "--quick", "--stages", "replay"]
    # No kernel has computed anything, so that the bits are whatever was in the memory.
    told = run("first_contact.py", *options, environment=fake_gpu.environment, code=None)
    assert told.count(": a graph gives the bits of the eager chunk") == 12
    assert "Error" not in told and "fail here" not in told


@pytest.mark.slow
def test_the_first_call_runs_to_its_end_on_the_stand_in(fake_gpu, tmp_path):
    options = ["--device", "cuda", "--quick", "--write", str(tmp_path)]
    told = run("first_contact.py", *options, environment=fake_gpu.environment, code=1)
    failed = [line for line in told.splitlines() if "FAILED" in line]
    # No kernel has computed anything, and the profiler sees none.
    for reason in (
        "not finite by update",
        "saw no kernel",
        "gives the bits",
        "of the way",
        "neither waits",  # without graphs, after bits that differed
        "errs about as much",
        "pytest",
        "tests/",
    ):
        failed = [line for line in failed if reason not in line]
    assert failed == []
    assert told.count("This took") == len(first_contact.FIRST)
    assert "fail here" not in told


@pytest.fixture
def features_on(monkeypatch):
    for variable in ("GANSEARCH_GRAPHS", "GANSEARCH_TRITON"):
        monkeypatch.setenv(variable, "1")


def lines_of(monkeypatch, found, within=400):
    """Return the report of stages that yield what `found` says, and what was on in each."""
    features = {}

    def in_time(setting, stage, seconds):
        features[stage] = [os.environ[f"GANSEARCH_{name}"] for name in ("GRAPHS", "TRITON")]
        yield from found[stage]

    monkeypatch.setattr(first_contact, "in_time", in_time)
    stages = {name: (name, 10) for name in found}
    return list(first_contact.report(QUICK, stages, within)), features


def test_what_fails_is_not_used_by_the_stages_after_it(monkeypatch, features_on):
    found = {
        "eager": ["- FAILED: no luck"],
        "replay": ["- ok", "- FAILED: other bits"],
        "speed": ["\n- FAILED: Triton's kernels fail here (no compiler): slower"],
        "tests": ["- ok"],
    }
    told, features = lines_of(monkeypatch, found)
    assert features == {
        "eager": ["1", "1"], "replay": ["1", "1"], "speed": ["0", "1"], "tests": ["0", "0"],
    }  # fmt: skip
    assert any(line.startswith("\nFrom here on GANSEARCH_GRAPHS=0: groups") for line in told)
    assert told[-1] == "- ok"


def test_a_stage_for_which_no_time_is_left_is_named_and_not_begun(monkeypatch, features_on):
    told, features = lines_of(monkeypatch, {"eager": ["- ok"]}, within=1)
    assert told[-1] == "- FAILED: not begun, because the 1 s of this call are over"
    assert features == {}


def test_a_call_ends_before_the_shell_script_ends_it():
    shell = Path(SCRIPTS, "gpu", "first_contact.sh").read_text()
    assert "timeout --kill-after=5 420" in shell
    assert first_contact.WITHIN <= 400
    assert (
        max(seconds for _, seconds in (first_contact.FIRST | first_contact.SECOND).values()) < 400
    )


def test_kernels_that_do_nothing_are_told_from_rounding():
    dataset, config = mnist_or_noise(), QUICK.config(16)
    examples = Examples(dataset, "cpu")
    (ours,) = first_stages.trained(QUICK, dataset, examples, [config])
    theirs, start = (
        first_stages.training_of(QUICK, dataset, examples, config, 0) for _ in range(2)
    )
    for _ in range(ours.iteration):
        theirs.step()
    assert 0 < first_stages.difference(ours, theirs, start) < 1e-4
    assert first_stages.difference(start, theirs, start) == pytest.approx(1)


def test_the_tests_that_need_a_gpu_are_all_run():
    texts = {str(f.relative_to(ROOT)): f.read_text() for f in (ROOT / "tests").rglob("test_*.py")}
    need_a_gpu = [f for f, text in texts.items() if re.search(r"pytest\.mark\.gpu|DEVICES\)", text)]
    assert len(need_a_gpu) > 5
    assert [f for f in need_a_gpu if not f.startswith(first_stages.TESTS)] == []


def test_the_tests_that_need_a_gpu_need_neither_ray_nor_optuna(bare):
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    done = subprocess.run(
        [*pytest_, "-m", "gpu and not slow", *first_stages.TESTS],
        cwd=ROOT,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_documentation_has_the_limits_of_the_stages():
    text = (ROOT / "docs" / "groups.md").read_text()
    for name, (_, seconds) in list(first_contact.FIRST.items())[:6]:
        assert f"| `{name}` | {seconds} |" in text
    together = ("checks", "speed", "roofline", "costs")
    limits = ", ".join(str(first_contact.FIRST[name][1]) for name in together)
    assert f"| {', '.join(f'`{name}`' for name in together)} | {limits} |" in text
    for name, (_, seconds) in first_contact.gpu.STAGES.items():
        assert f"| `{name}` | {seconds} |" in text
