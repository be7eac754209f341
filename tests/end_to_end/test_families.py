"""Each family of the paper's section 7 is searched, killed, resumed, ranked and reported."""

import pandas as pd
import pytest

from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space

from .searches import command, killed, output

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

COORDINATED = """
family: coordinated_nets
dataset: digits
budget: {max_updates: 400, reports: 4}
search:
  coordination: {choice: [none, optimistic, lookahead]}
  prior: {choice: [plain, spherical, mixture]}
fixed: {lookahead_iterations: 10, generator_widths: [32], discriminator_widths: [16]}
"""
SPACES = [name for name in builtin_spaces() if name.startswith("digits-")]
TINY = [
    *("max_updates=400", "reports=4", "top=1", "replicas=1", "start_from=[]"),
    "init=glorot",
]


def words(space, cluster):
    """The words of a command that searches a space on the nodes of a cluster."""
    sets = [part for change in TINY for part in ("--set", change)]
    return "run", "--space", space, "--name", "r", "--trials", "3", "--address", cluster, *sets


@pytest.mark.parametrize("space", SPACES)
def test_a_family_is_searched_killed_resumed_ranked_and_reported(space, tmp_path, cluster):
    run = tmp_path / "results" / "r"
    killed(run, 2, *words(space, cluster), folder=tmp_path)
    told = output("resume", "r", "--address", cluster, folder=tmp_path)
    assert "Search: 3 of 3 configurations tried" in told
    trials = pd.read_parquet(run / "trials.parquet")
    assert set(trials["status"]) <= {"completed", "pruned", "diverged"}
    history = pd.concat(map(pd.read_parquet, run.glob("history/*")))
    assert not history.duplicated(["trial_id", "updates"]).any()
    family = load_space(space).family
    ranking = pd.read_parquet(run / "ranking.parquet")
    assert ranking["test_ll"].notna().all()
    for measure in family.measures:
        assert ranking[list(measure.final_columns)].notna().all(axis=None), measure.name
        assert history[measure.column].notna().all() == (not measure.at_end), measure.name
    (winner, *_) = trials.query("phase == 'replica'")["trial_id"]
    page = (run / "report.html").read_text()
    for name, caption in family.captions.items():
        assert (run / "models" / winner / name).stat().st_size > 200
        assert caption in page
    for line in (["report", str(run)], ["sample", str(run), "--out", str(tmp_path / "x.png")]):
        done = command(*line)
        assert done.exit_code == 0, done.output


def test_ways_to_coordinate_are_searched_and_ranked(tmp_path, cluster):
    (tmp_path / "coordinated.yaml").write_text(COORDINATED)
    told = output(*words("coordinated.yaml", cluster), folder=tmp_path)
    assert "Search: 3 of 3 configurations tried" in told
    assert (tmp_path / "results" / "r" / "ranking.parquet").exists()
