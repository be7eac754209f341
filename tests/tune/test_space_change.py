"""A run that goes on with another space: what changes, what is kept, and what is refused."""

import dataclasses
from types import SimpleNamespace

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from gansearch.errors import BadInputError
from gansearch.report.report import build_report
from gansearch.report.sections import sections
from gansearch.runs.folder import RunFolder
from gansearch.runs.tables import rows_of
from gansearch.space.load import load_space
from gansearch.trial.messages import TrialSpec
from gansearch.tune.phases import finalists
from gansearch.tune.repair import open_or_rebuild_study, repair_run
from gansearch.tune.resumption import resumption
from gansearch.tune.rows import Outcome, new_row, spec_of_row
from gansearch.tune.samplers import make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.settings import Settings
from gansearch.tune.space_change import is_inside, with_changed_space
from gansearch.tune.study import N_CHANGES, begin_study, open_study
from tests.written_runs import described, step

SEED = 1
OLD = """
dataset: digits
budget: {trials: 12, max_updates: 2000, reports: 2, top: 2, replicas: 2}
search:
  k: {int: [1, 4]}
  noise: {choice: [uniform, normal]}
  generator_activation: {choice: [relu, elu]}
fixed: {generator_widths: [32], discriminator_widths: [32], dropout_input: 0.1}
presets: {deep: {generator_widths: [32]}}
start_from: [deep]
"""
# k and noise are narrower, an activation is new, and dropout_input is searched from now on.
NEW = """
dataset: digits
search:
  k: {int: [2, 8]}
  generator_activation: {choice: [elu, relu, tanh]}
  dropout_input: {float: [0.0, 0.5]}
fixed: {generator_widths: [32], discriminator_widths: [32]}
presets: {late: {k: 5}}
start_from: [late]
"""
N = 9
ENDS = [
    "completed",
    "pruned",
    "collapsed",
    "completed",
    "failed",
    "completed",
    "pruned",
    None,
    None,
]


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def files(tmp_path):
    for name, text in {"old": OLD, "new": NEW}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return {name: str(tmp_path / f"{name}.yaml") for name in ("old", "new")}


@pytest.fixture
def folder(tmp_path, files):
    """An interrupted search: seven trials that ended, each its own way, and two open ones."""
    space = load_space(files["old"])
    folder = RunFolder.create(tmp_path, "mine")
    description = described(
        name="mine",
        space=space.to_dict(),
        seed=SEED,
        state="interrupted",
        settings=vars(Settings()),
    )
    folder.write_run(description)
    study = open_study(folder.path / "optuna.journal", make_sampler("random", 3))
    outcomes, rows = {}, []
    searcher = OptunaSearcher(space, study, seed=SEED, n_new=99, outcomes=outcomes)
    for i, status in enumerate(ENDS):
        row = new_row(TrialSpec.from_tune(searcher.suggest(f"ray-{i}")), space.table)
        results = [step(u, 5.0 + i + u / 1000) for u in (1000, 2000)]
        for result in results:
            searcher.on_trial_result(f"ray-{i}", result.to_tune())
        reports = [{**row, **each.measured, "verdict": "sound"} for each in results]
        searcher.write_reports()
        folder.append_history(reports)
        row |= {key: value for key, value in reports[-1].items() if key in row}
        if status is not None:
            outcomes[f"ray-{i}"] = Outcome(status, f"because of {i}")
            searcher.on_trial_complete(f"ray-{i}", results[-1].to_tune())
            row |= {"status": status, "reason": f"because of {i}"}
        if status == "completed":
            row["kept_updates"] = row["updates"]
        rows.append(row)
    folder.write_trials(rows)
    return folder


def planned(folder, space, **more):
    return resumption(folder, folder.read_run(), {"space": space, **more})


def changed(folder, space, **more):
    """Change the space of a run as a resume does; return its new space."""
    plan = planned(folder, space, **more)
    description = folder.read_run()
    rows = rows_of(folder.trials())
    folder.write_run(with_changed_space(description, plan.space, plan.former, rows))
    return plan.space


def reopened(folder, space, sampler="random"):
    rows = rows_of(folder.trials())
    return open_or_rebuild_study(
        folder, space, make_sampler(sampler, 5), rows, faults=[],
        n_changes=len(folder.read_run().former_spaces),
    )  # fmt: skip


def outside(folder, space):
    return {row["number"] for row in rows_of(folder.trials()) if not is_inside(space, row)}


def test_trials_keep_their_numbers_and_the_sampler_learns_from_those_that_fit(folder, files):
    before = open_study(folder.path / "optuna.journal", RandomSampler()).trials
    space = changed(folder, files["new"])
    study, repairs = reopened(folder, space)
    assert repairs == []
    left_out = outside(folder, space)
    assert 0 < len(left_out) < N
    *trials, queued = study.trials
    assert [trial.number for trial in trials] == [*range(N)]
    assert queued.state == TrialState.WAITING  # of the new start_from
    for old, new in zip(before, trials, strict=True):
        if old.number in left_out:
            assert new.state == TrialState.FAIL and new.user_attrs["config"]["k"] == old.params["k"]
            continue
        assert (new.state, new.value) == (old.state, old.value)
        assert new.intermediate_values == old.intermediate_values
        assert new.constraints == old.constraints
        assert new.params["dropout_input"] == 0.1  # what it was fixed to
        assert "noise" not in new.params
        assert new.distributions["generator_activation"].choices == ("elu", "relu", "tanh")


def test_the_study_of_a_run_whose_name_ends_like_a_changed_ones_stays(tmp_path):
    journal = tmp_path / "optuna.journal"
    former = open_study(journal, RandomSampler(), name="x-space-2")
    begun = begin_study(former, journal, RandomSampler(), [], 1)
    assert begun.study_name == "x-space-2-space-2"
    begun.set_user_attr(N_CHANGES, 1)
    assert begin_study(begun, journal, RandomSampler(), [], 2).study_name == "x-space-2-space-3"


def test_the_former_study_stays_in_the_journal_and_the_new_one_is_opened_from_then_on(
    folder, files
):
    space = changed(folder, files["new"])
    reopened(folder, space)
    storage = open_study(folder.path / "optuna.journal", RandomSampler())._storage
    names = optuna.get_all_study_names(storage)
    assert names == ["mine", "mine-space-2"]
    former = optuna.load_study(study_name="mine", storage=storage)
    assert [trial.params["k"] for trial in former.trials] == [
        row["config.k"] for row in rows_of(folder.trials())
    ]
    assert TrialState.RUNNING not in {trial.state for trial in former.trials}
    study, repairs = reopened(folder, space)
    assert repairs == [] and study.study_name == "mine-space-2"
    assert optuna.get_all_study_names(storage) == names


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_new_trials_are_of_the_new_space_and_those_that_fitted_are_not_repeated(
    folder, files, sampler
):
    space = changed(folder, files["new"])
    study, _ = reopened(folder, space, sampler)
    inside = [row for row in rows_of(folder.trials()) if is_inside(space, row)]
    searcher = OptunaSearcher(space, study, seed=SEED, n_new=12, outcomes={}, rows=inside)
    specs = [TrialSpec.from_tune(searcher.suggest(f"ray-{i}")) for i in range(12)]
    assert [spec.number for spec in specs] == [*range(N, N + 12)]
    assert specs[0].config["k"] == 5 and len({spec.config["k"] for spec in specs}) > 2
    assert all(2 <= spec.config["k"] <= 8 for spec in specs)


def test_interrupted_trials_go_on_with_their_configuration_inside_the_space_or_not(folder, files):
    space = changed(folder, files["new"])
    study, _ = reopened(folder, space)
    rows = rows_of(folder.trials())
    specs = [spec_of_row(row, space.table) for row in rows if row["status"] == "running"]
    outcomes = {f"ray-{i}": Outcome("completed") for i in range(2)}
    searcher = OptunaSearcher(
        space, study, seed=SEED, n_new=0, outcomes=outcomes, interrupted=specs
    )
    for i, spec in enumerate(specs):
        assert TrialSpec.from_tune(searcher.suggest(f"ray-{i}")) == spec
        searcher.on_trial_complete(f"ray-{i}", step(2000, 9.0).to_tune())
    states = {
        spec.number: "FAIL" if spec.number in outside(folder, space) else "COMPLETE"
        for spec in specs
    }
    assert {n: study.trials[n].state.name for n in states} == states


@pytest.mark.parametrize("lost", ["optuna.journal", "trials.parquet"])
def test_a_changed_run_is_rebuilt_from_its_other_files(folder, files, lost):
    space = changed(folder, files["new"])
    study, _ = reopened(folder, space)
    trials, rows = study.trials[:N], rows_of(folder.trials())
    (folder.path / lost).unlink()
    repair_run(folder)
    again, repairs = reopened(folder, space)
    assert len(repairs) == (lost == "optuna.journal")
    names = ("number", "state", "value", "params", "distributions", "constraints")
    for old, new in zip(trials, again.trials[:N], strict=True):
        assert [getattr(new, name) for name in names] == [getattr(old, name) for name in names]
    kept = ("trial_id", "config_id", "status", "seed", "valid_ll")
    # A failed trial inside the space has reported, and so is known to the history.
    assert [[row[n] for n in kept] for row in rows_of(folder.trials())] == [
        [row[n] for n in kept] for row in rows
    ]


def test_a_kill_while_the_study_is_made_anew_loses_nothing(folder, files, monkeypatch):
    space = changed(folder, files["new"])
    with monkeypatch.context() as patch:
        patch.setattr("gansearch.tune.repair._attributes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_or_rebuild_study(
                folder, space, make_sampler("random", 5), rows_of(folder.trials()), faults=[],
                n_changes=1,
            )  # fmt: skip
    study, _ = reopened(folder, space)
    assert [trial.number for trial in study.trials[:N]] == [*range(N)]
    assert study.study_name == "mine-space-2" and len(study.trials) == N + 1


def test_a_space_can_change_again_and_back(folder, files):
    changed(folder, files["new"])
    reopened(folder, load_space(files["new"]))
    space = changed(folder, files["old"])
    study, _ = reopened(folder, space)
    assert study.study_name == "mine-space-3"
    assert outside(folder, space) == set()
    assert TrialState.WAITING not in {trial.state for trial in study.trials}  # deep was tried
    assert [each["n_trials"] for each in folder.read_run().former_spaces] == [N, N]


def test_the_description_keeps_the_former_space_and_the_report_says_so_in_a_line(folder, files):
    space = changed(folder, files["new"])
    run = folder.read_run()
    (former,) = run.former_spaces
    assert former["space"]["search"] == load_space(files["old"]).to_dict()["search"]
    assert run.space["search"] == space.to_dict()["search"]
    assert run.space["budget"] == load_space(files["old"]).budget.to_dict()
    names = [f"t{number:05d}" for number in sorted(outside(folder, space))]
    assert former["outside"] == names
    lines = sections(build_report(folder))[0].text
    assert (
        f"The space was changed after {N} trials; {len(names)} of them lie outside of it now: "
        f"{', '.join(names)}."
    ) in lines


def test_a_resume_says_what_changes_and_what_is_kept(folder, files):
    *_, note = planned(folder, files["new"]).notes
    n = len(outside(folder, planned(folder, files["new"]).space))
    assert note == (
        f"--space new: the space changes after {N} trials; {n} trials of them outside of it: kept "
        "in the tables and the report, but nothing is learned from them"
    )


def test_the_same_space_changes_nothing(folder, files):
    plan = planned(folder, files["old"])
    assert plan.former is None
    assert "--space: it is the space that the run has, and changes nothing" in plan.notes


def with_line(line, old="", new=NEW):
    return (new.replace(old, line) if old else new + line + "\n").strip() + "\n"


REFUSED = {
    with_line(
        "dataset: ring", "dataset: digits"
    ): "dataset: found 'ring', and the run has 'digits'",
    with_line("budget: {max_updates: 500}"): r"budget.max_updates: found 500, and the run has 2000",
    with_line(
        "budget: {max_updates: 9000}"
    ): r"budget.max_updates: found 9000, and the run has 2000",
    with_line("budget: {reports: 1}"): r"budget.reports: found 1, and the run has 2",
    with_line("budget: {trials: 10}"): (
        r"budget.trials: found 10, and the run has 12. A new space does not lower a budget. Leave "
        r"it out, or give more. To end earlier on purpose: --trials 10."
    ),
    with_line("budget: {replicas: 1}"): r"budget.replicas: found 1, and the run has 2",
    with_line("budget: {top: 1}"): r"budget.top: found 1, and the run has 2",
    with_line("keep: best"): r"keep: found 'best', and the run has none",
    with_line(
        "family: coordinated_nets"
    ): r"family: found 'coordinated_nets', and the run has none",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_a_new_space_may_not_change_is_refused(folder, tmp_path, text):
    path = tmp_path / "other.yaml"
    path.write_text(text)
    before = folder.read_run()
    with pytest.raises(BadInputError) as caught:
        planned(folder, str(path))
    assert str(caught.value).startswith(f"--space other: {REFUSED[text]}")
    assert folder.read_run() == before


def test_a_search_that_is_over_needs_more_trials_for_a_new_space(folder, files, tmp_path):
    folder.write_run(dataclasses.replace(folder.read_run(), search_is_over=True, state="finished"))
    folder.write_trials([{**row, "status": "pruned"} for row in rows_of(folder.trials())])
    with pytest.raises(BadInputError, match=r"^--space new: the search has begun all its 9 trials"):
        planned(folder, files["new"], trials=9)
    assert planned(folder, files["new"], trials=14).search_on
    path = tmp_path / "more.yaml"
    path.write_text(with_line("budget: {trials: 20, top: 3}"))
    plan = planned(folder, str(path))
    assert plan.search_on and (plan.space.budget.trials, plan.space.budget.top) == (20, 3)
    assert plan.space.budget.max_updates == 2000


def test_a_comparison_of_given_configurations_has_no_space_to_change(folder, files):
    description = folder.read_run()
    config = load_space(files["old"]).preset("deep").to_dict()
    folder.write_run(dataclasses.replace(description, only=[config]))
    with pytest.raises(BadInputError, match=r"^--space: this run compares given configurations"):
        planned(folder, files["new"])


@pytest.mark.parametrize(("name", "value"), [("trials", 10), ("replicas", 1)])
def test_a_flag_that_lowers_the_budget_is_not_silent(folder, name, value):
    plan = resumption(folder, folder.read_run(), {name: value})
    before = {"trials": 12, "replicas": 2}[name]
    assert f"--{name} {value}: fewer than the {before} that the run was to have" in plan.notes


def finalists_of(folder, space, rows):
    session = SimpleNamespace(
        space=space,
        budget=space.budget,
        description=folder.read_run(),
        rows=lambda phase: [row for row in rows if row["phase"] == phase],
    )
    return {config.config_id for config in finalists(session)}


def test_finalists_are_of_the_present_space_unless_none_is(folder, files):
    space = changed(folder, files["new"])
    rows = [{**row, "collapsed_p": 1.0} for row in rows_of(folder.trials())]
    completed = [row for row in rows if row["status"] == "completed"]
    within = [row for row in completed if is_inside(space, row)]
    assert 0 < len(within) < len(completed)
    baselines = {config.config_id for config in space.baselines}
    best = {row["config_id"] for row in within[-2:]}
    assert finalists_of(folder, space, rows) == best | baselines
    without = [row for row in rows if row not in within]
    best = {row["config_id"] for row in completed if row not in within}
    assert finalists_of(folder, space, without) == best | baselines


@pytest.mark.parametrize("has_journal", [True, False])
def test_a_run_without_a_trial_begins_with_the_new_space(folder, files, has_journal):
    folder.write_trials([])
    if not has_journal:
        (folder.path / "optuna.journal").unlink()
    space = changed(folder, files["new"])
    for _ in range(2):  # the second time it is there
        study, repairs = reopened(folder, space)
        assert (repairs, study.trials) == ([], [])
        assert study.study_name == ("mine-space-2" if has_journal else "mine")
