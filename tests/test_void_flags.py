"""No flag is ignored in silence: one that can't take effect is refused, with what would help."""

import pytest
from click.testing import CliRunner

from gansearch.cli import cli
from gansearch.runs.folder import RunFolder
from tests.written_runs import finished_run


@pytest.fixture(autouse=True)
def _scratch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    monkeypatch.setattr("gansearch.tune.preflight.resources_here", lambda: {"CPU": 2.0})


def invoke(*words):
    result = CliRunner().invoke(cli, words)
    said = result.output if result.exception is None else f"{result.output}{result.exception}"
    return result, " ".join(said.split())


REFUSED = {
    "run --data-dir X": "the data set is digits, which has no files",
    "run --space ring --data-dir X": "the data set is ring, which has no files",
    "run --only paper --trials 5": "--trials, --only: --only compares given configurations",
    "run --only paper --top 5": "--top, --only:",
    "run --only paper --sampler tpe": "--sampler, --only:",
    "run --only paper --set trials=5": "trials 5: --only compares",
    "run --only paper --set budget.top=5": "top 5: --only compares",
    "run --only paper --set start_from=[paper]": "start_from [paper]: --only compares",
    "run --trials 5 --set budget.trials=7": "--set budget.trials=7 and --trials 5: both set trials",
    "run --trials 5 --set trials=7": "both set trials",
    "run --trials 5 --trials 7": "--trials: given 2 times",
    "run --space ring --space=digits": "--space: given 2 times",
    "run --group-trials on --packing off": "--group-trials: given 2 times",
    "run --name=": "found nothing",
    "run --address=": "found nothing",
    "run --results=": "found nothing",
    "run --space folder --data-dir=": "found nothing",
    "run --time-budget 5": "'5' has no unit. Write 5s, 5m or 5h.",
    "evaluate x.npy --dataset digits --data-dir X": "which has no files",
    "evaluate x.npy --dataset digits --dataset ring": "--dataset: given 2 times",
    "report results/digits-1 --results other": "RUN is a path, results/digits-1, which does not",
    "sample results/digits-1 --results other": "RUN is a path",
    "resume results/digits-1 --results other": "RUN is a path",
    "sample digits-1 --trial=": "found nothing",
    "resume digits-1 --trials 2 --trials 3": "--trials: given 2 times",
    "resume digits-1 --time-budget 90": "'90' has no unit",
    "doctor --address=": "found nothing",
}


@pytest.mark.parametrize("line", REFUSED)
@pytest.mark.parametrize("dry", [True, False])
def test_a_flag_without_effect_is_refused(line, dry, tmp_path):
    words = line.split()
    if dry and words[0] != "run":
        pytest.skip("only a run can be dry")
    result, said = invoke(*words, *(["--dry-run"] if dry else []))
    assert getattr(result.exception, "exit_code", result.exit_code) == 2, said
    assert REFUSED[line] in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        "run --only paper --max-updates 500 --replicas 2 --seed 3 --set k=2",
        "run --only paper --time-budget 1h",
        "run --trials 5 --set budget.trials=5",
        "run --space ring --max-concurrent 1 --cpus-per-trial 2 --sampler random",
        "run --address local --name mine --results elsewhere",
    ],
)
def test_a_flag_with_effect_is_not(line, tmp_path):
    result, said = invoke(*line.split(), "--dry-run")
    assert result.exit_code == 0, said
    assert list(tmp_path.iterdir()) == []


def test_the_variable_of_the_data_is_no_flag(monkeypatch):
    monkeypatch.setenv("GANSEARCH_DATA", "/nowhere")
    assert invoke("run", "--dry-run")[0].exit_code == 0


def test_a_quiet_dry_run_only_checks():
    result, _ = invoke("run", "--dry-run", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_results_that_are_named_are_where_a_name_is_looked_up(tmp_path):
    finished_run(tmp_path, name="one")
    other = finished_run(tmp_path / "other", name="one")
    RunFolder(other.path).write_trials([])
    for run in ("one", "other/one", str(other.path)):
        result, said = invoke("report", run, "--results", "other", "--format", "json")
        assert result.exit_code == 0, said
        assert '"completed": 0' in result.output or '"counts": {}' in result.output, said


def test_the_last_of_two_values_of_a_parameter_counts_which_is_said():
    result, said = invoke("run", "--dry-run", "--set", "k=2", "--set", "trials=4", "--set", "k=3")
    assert result.exit_code == 0, said
    assert "Note: --set k=2: --set k=3 follows, and counts." in said
