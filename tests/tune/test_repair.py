"""Damaged files are reported, set aside and, if the others suffice, rebuilt."""

import dataclasses
import random
import shutil
import warnings

import optuna
import pandas as pd
import pytest

from gansearch.errors import ResultsError
from gansearch.report.report import build_report
from gansearch.runs.folder import RunFolder
from gansearch.runs.tables import ResultsWarning
from gansearch.space.load import load_space
from gansearch.trial.messages import TrialSpec
from gansearch.tune.repair import open_or_rebuild_study, repair_run
from gansearch.tune.rows import Outcome, new_row
from gansearch.tune.samplers import make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import open_study
from tests.written_runs import described, step

SEED = 1
SCORES = {"valid_ll": 5.0, "coverage": 0.7, "sigma": 0.1, "sigma_at_edge": False}
ENDS = ["completed", "pruned", "collapsed", "diverged", "completed", "failed", None]


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


SEVERAL = ["objectives=[valid_ll,coverage]"]
one_and_several = pytest.mark.parametrize("space", [[], SEVERAL], indirect=True)


@pytest.fixture
def space(request):
    return load_space("digits", ["start_from=[paper]", *getattr(request, "param", [])])


@pytest.fixture
def folder(tmp_path, space):
    """A search as the driver leaves it: six trials that ended, each its own way, and one open."""
    folder = RunFolder.create(tmp_path, "digits-1")
    folder.write_run(described(space=space.to_dict(), seed=SEED, state="interrupted", settings={}))
    rows = []
    study = open_study(
        folder.path / "optuna.journal",
        make_sampler("random", 0),
        n_objectives=len(space.objective.all),
    )
    study.enqueue_trial(space.encode(space.preset("paper")))
    outcomes = {}
    searcher = OptunaSearcher(space, study, seed=SEED, n_new=99, outcomes=outcomes)
    for i, status in enumerate(ENDS):
        row = new_row(TrialSpec.from_tune(searcher.suggest(f"ray-{i}")), space.table)
        reports = [
            {**row, **SCORES, "updates": u, "valid_ll": 5.0 + i + u / 1000} for u in (1000, 2000)
        ]
        steps = [step(r["updates"], r["valid_ll"]).to_tune() for r in reports]
        for result in steps:
            searcher.on_trial_result(f"ray-{i}", result)
        searcher.write_reports()
        folder.append_history([r | {"verdict": "sound"} for r in reports])
        row |= {key: reports[-1][key] for key in (*SCORES, "updates")}
        if status:
            outcomes[f"ray-{i}"] = Outcome(status, f"because of {i}")
            searcher.on_trial_complete(f"ray-{i}", steps[-1])
            row |= {"status": status, "reason": outcomes[f"ray-{i}"].reason}
        if status == "completed":
            row["kept_updates"] = row["updates"]
        rows.append(row)
    folder.write_trials(rows)
    return folder


def reopened(folder, space):
    rows = folder.trials().to_dict("records")
    return open_or_rebuild_study(folder, space, make_sampler("random", 0), rows, faults=[])


def trials_of(study):
    """What the sampler learns from a study."""
    return [
        (
            t.number,
            t.state,
            t.values,  # noqa: PD011  # not of pandas
            t.params,
            t.distributions,
            t.intermediate_values,
            t.constraints,
        )
        for t in study.trials
    ]


def aside(folder):
    return sorted(path.name for path in folder.path.rglob("_*.damaged*"))


# Optuna's journal


@one_and_several
def test_a_sound_journal_is_left_as_it_is(folder, space):
    before = (folder.path / "optuna.journal").read_bytes()
    study, found = reopened(folder, space)
    assert found == [] and aside(folder) == []
    assert len(study.trials) == len(ENDS)
    assert (folder.path / "optuna.journal").read_bytes().startswith(before)


def with_another_learning_rate(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    i = next(i for i, line in enumerate(lines) if b'"trial_id":1,' in line and b"_lr" in line)
    lines[i] = lines[i].replace(b'"param_value_internal":0.', b'"param_value_internal":0.0')
    return b"".join(lines)


DAMAGE = {
    "garbage within": (
        lambda j: j.read_bytes().replace(b'{"op_code":6', b'{"op_code":x', 1),
        "damaged",
    ),
    "another value": (
        with_another_learning_rate,
        "damaged: trial 1 has another configuration than in the results",
    ),
    "another score": (
        lambda j: j.read_bytes().replace(b'"intermediate_value":6.0', b'"intermediate_value":9.0'),
        "damaged: trial 0 has another score than in the results",
    ),
    "an older one": (
        lambda j: j.read_bytes()[: j.read_bytes().index(b'{"op_code":4', 4000)],
        "older than the run: it has no trial",
    ),
    "empty": (lambda j: b"", "older than the run: it has no trial 0"),
}


@pytest.mark.parametrize(
    ("space", "how"),
    [*(([], how) for how in DAMAGE), *((SEVERAL, how) for how in DAMAGE if how != "another score")],
    indirect=["space"],
)
def test_a_journal_that_does_not_fit_the_results_is_rebuilt_from_them(folder, space, how):
    journal = folder.path / "optuna.journal"
    before = trials_of(open_study(journal, make_sampler("random", 0)))
    spoil, why = DAMAGE[how]
    content = spoil(journal)
    assert content != journal.read_bytes()
    journal.write_bytes(content)
    study, (found,) = reopened(folder, space)
    assert why in found and "set aside as _optuna.journal.damaged" in found
    assert "rebuilt from trials.parquet and the history" in found
    assert aside(folder) == ["_optuna.journal.damaged"]
    assert trials_of(study) == before
    assert reopened(folder, space)[1] == []


def test_a_trial_with_another_score_by_one_of_several_objectives_is_found(folder):
    space = load_space("digits", ["start_from=[paper]", *SEVERAL])
    rows = folder.trials()
    rows.loc[0, "coverage"] = 0.5
    folder.write_run(dataclasses.replace(folder.read_run(), space=space.to_dict()))
    folder.write_trials(rows.to_dict("records"))
    assert "damaged" in reopened(folder, space)[1][0]
    study = reopened(folder, space)[0]
    assert study.trials[0].values == [7.0, 0.5]  # noqa: PD011  # not of pandas


@one_and_several
def test_an_absent_journal_is_rebuilt_and_the_search_goes_on_with_the_same_proposals(folder, space):
    def proposals():
        study, _ = open_or_rebuild_study(
            folder, space, make_sampler("tpe", 5), folder.trials().to_dict("records"), faults=[]
        )
        return [space.suggest(study.ask()) for _ in range(3)]

    journal = folder.path / "optuna.journal"
    whole = journal.read_bytes()
    before = proposals()
    assert journal.read_bytes() != whole  # what was asked for is in it
    journal.unlink()
    assert proposals() == before


def test_presets_that_were_not_tried_yet_wait_in_the_rebuilt_journal(folder, space):
    first = folder.trials().head(1)
    folder.write_trials(first.to_dict("records"))
    (folder.path / "optuna.journal").unlink()
    paper = space.presets["paper"]
    presets = {"paper": paper, "two": {**paper, "k": 2}, "three": {**paper, "k": 3}}
    starts = {"presets": presets, "start_from": tuple(presets)}
    study, _ = reopened(folder, space.__class__(**vars(space) | starts))
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "WAITING", "WAITING"]


# trials.parquet


@one_and_several
@pytest.mark.parametrize("is_absent", [False, True])
def test_damaged_trials_are_read_from_the_journal_and_the_history(folder, space, is_absent):
    path = folder.path / "trials.parquet"
    before = folder.trials()
    if is_absent:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ResultsError, match=r"trials\.parquet: .*resume .*` rebuild it"):
            build_report(folder)
    (found,) = repair_run(folder)
    assert "7 trials of the search were read from optuna.journal and the history" in found
    assert aside(folder) == ([] if is_absent else ["_trials.parquet.damaged"])
    after = folder.trials()
    pd.testing.assert_frame_equal(after, before)
    assert repair_run(folder) == []
    assert reopened(folder, space)[1] == []


def test_a_rebuilt_trial_has_the_scores_of_its_best_state_where_that_is_kept(folder, space):
    space = dataclasses.replace(space, keep="best")
    folder.write_run(dataclasses.replace(folder.read_run(), space=space.to_dict()))
    first = folder.history().query("trial_id == 't00000'").iloc[-1].to_dict()
    # The verdict at the end is on the stored state.
    later = [(2100, 99.0, "undetermined"), (2200, 50.0, "sound"), (2300, 70.0, "sound")]
    folder.append_history(
        [first | {"updates": u, "valid_ll": ll, "verdict": verdict} for u, ll, verdict in later]
    )
    rows = folder.trials()
    rows.loc[0, ["valid_ll", "kept_updates", "updates"]] = 50.0, 2200, 2300
    folder.write_trials(rows.to_dict("records"))
    (folder.path / "optuna.journal").unlink()  # rebuilt with the value of the stored state
    reopened(folder, space)
    (folder.path / "trials.parquet").unlink()
    repair_run(folder)
    row = folder.trials().set_index("trial_id").loc["t00000"]
    assert (row["status"], row["updates"]) == ("completed", 2300)
    assert (row["kept_updates"], row["valid_ll"]) == (2200, 50.0)
    assert reopened(folder, space)[1] == []


def test_trials_that_no_other_file_has_are_one_clear_error(folder):
    (folder.path / "trials.parquet").write_bytes(b"PAR1")
    (folder.path / "optuna.journal").unlink()
    with pytest.raises(ResultsError, match=r"trials\.parquet: .*can't be rebuilt.*Restore one"):
        repair_run(folder)


# run.json and the history


def test_a_damaged_description_is_read_from_its_copy_and_restored(folder):
    info = folder.read_run()
    path = folder.path / "run.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 3'))
    report = build_report(folder)
    assert report.run == info
    assert any("its checksum doesn't fit" in warning for warning in report.warnings)
    assert aside(folder) == []  # a report changes nothing
    (found,) = repair_run(folder)
    assert found.endswith("damaged; set aside as _run.json.damaged. It was read from its copy")
    assert folder.read_run() == info and repair_run(folder) == []


def test_a_folder_in_the_place_of_the_copy_is_set_aside(folder):
    copy = folder.path / "run.json.copy"
    copy.unlink()
    copy.mkdir()
    (found,) = repair_run(folder)
    assert found.endswith("run.json.copy: a folder; set aside as _run.json.copy.damaged")
    folder.write_run(folder.read_run())
    assert copy.is_file()


def test_a_run_is_found_by_the_copy_of_its_description(folder):
    (folder.path / "run.json").unlink()
    with pytest.warns(
        ResultsWarning,
        match=r"run\.json: absent\. run\.json\.copy was read instead\. `gansearch resume ",
    ):
        assert RunFolder.open(folder.path).read_run().seed == SEED


def test_a_damaged_part_of_the_history_is_set_aside_and_the_others_are_kept(folder):
    part = folder.path / "history" / "part-00000002.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    (found,) = repair_run(folder)
    assert found == f"{part}: damaged; set aside as _part-00000002.parquet.damaged"
    assert set(folder.history()["trial_id"]) == {f"t{i:05d}" for i in range(7)} - {"t00002"}


def test_one_flipped_bit_is_found_wherever_it_is_or_changes_nothing(folder, space):
    """No flip in any file of a run is a traceback, or passes for what was written."""
    sound = folder.trials(), folder.history(), folder.read_run()
    study = trials_of(reopened(folder, space)[0])
    rng = random.Random(0)
    files = sorted(path for path in folder.path.rglob("*") if path.is_file())
    for _ in range(40):
        path = rng.choice(files)
        content = path.read_bytes()
        if not content:
            continue
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        shutil.copytree(folder.path, copied := folder.path.with_name("flipped"))
        copy = RunFolder(copied)
        (copied / path.relative_to(folder.path)).write_bytes(damaged)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            try:
                build_report(copy)
            except ResultsError:
                assert path.name == "trials.parquet"
            found = repair_run(copy)
            flipped_study, also_found = reopened(copy, space)
        expected = sound[1]
        if path.parent.name == "history" and found:
            lost = int(path.stem[-1])
            expected = expected[expected["number"] != lost].reset_index(drop=True)
        pd.testing.assert_frame_equal(copy.history(), expected, check_exact=True)
        assert copy.read_run() == sound[2]
        trials = copy.trials()
        assert trials["config_id"].equals(sound[0]["config_id"])
        assert trials["valid_ll"].equals(sound[0]["valid_ll"])
        if not (found or also_found):
            assert trials_of(flipped_study) == study, path
        shutil.rmtree(copied)


def test_damage_to_what_was_taken_of_earlier_runs_is_set_aside_and_the_search_goes_on(folder):
    folder.write_warm_start([])
    path = folder.path / "warm_start.parquet"
    assert repair_run(folder) == []
    path.write_bytes(path.read_bytes()[:-9])
    (repair,) = repair_run(folder)
    assert repair.startswith(f"{path}: damaged; set aside as _warm_start.parquet.damaged")
    assert repair.endswith(". The search goes on without earlier runs")
    assert folder.warm_start().empty
