"""Every sampler searches as a run does, and goes on in a later session; without Ray running."""

import importlib
import importlib.util
import pickle
from dataclasses import asdict

import optuna
import pytest
from optuna.trial import TrialState

from gansearch.errors import BadInputError, RunFailedError
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import TrialSpec
from gansearch.tune import samplers
from gansearch.tune.proposals import Proposals
from gansearch.tune.rows import Outcome, new_row
from gansearch.tune.samplers import SAMPLERS, as_complete, check_sampler, make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.settings import Settings
from gansearch.tune.study import enqueue_starts, open_study, tell
from tests.traps import Trap
from tests.written_runs import step

CONDITIONAL = {
    "generator_lr": {"float": [0.01, 1.0], "log": True},
    "k": {"int": [1, 4]},
    "noise": {"choice": ["uniform", "normal"]},
    "batch_size": {"choice": [10, 20, 50], "when": {"noise": "normal"}},
}
FINITE = {name: entry for name, entry in CONDITIONAL.items() if name != "generator_lr"}
ENDS = ("completed", "pruned", "collapsed", "completed", "failed", "diverged", "completed")
PACKAGE = "github.com/optuna/optunahub-registry/main/package/samplers/auto_sampler"


def space_of(search, **sections):
    return SearchSpace.from_dict({"dataset": "digits", "search": search, **sections})


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The copies of OptunaHub's packages on this machine, with an AutoSampler among them."""
    monkeypatch.setenv("OPTUNAHUB_CACHE_HOME", str(tmp_path / "hub"))
    write_sampler(tmp_path / "hub" / PACKAGE, "AutoSampler")
    return tmp_path / "hub"


def write_sampler(folder, name, body="pass", base="TPESampler"):
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f'from .mine import {name}\n\n__all__ = ["{name}"]\n')
    (folder / "mine.py").write_text(
        f"import optuna\n\n\nclass {name}(optuna.samplers.{base}):\n    {body}\n"
    )
    return str(folder)


class Session:
    """A session of a search whose trials end at once, in turn as `ENDS` says."""

    def __init__(self, tmp_path, space, name, rows, seed):
        self.space, self.rows, self.outcomes = space, rows, {}
        self.study = open_study(tmp_path / "optuna.journal", make_sampler(name, seed))
        if not rows:
            enqueue_starts(self.study, space)
        interrupted = [row["spec"] for row in rows if row["status"] == "running"]
        self.searcher = OptunaSearcher(
            space,
            self.study,
            seed=0,
            n_new=100,
            outcomes=self.outcomes,
            interrupted=interrupted,
            rows=rows,
        )

    def begin(self):
        """Begin a trial; return its row, or None if there is no other."""
        key = f"ray-{len(self.outcomes)}"
        if (suggested := self.searcher.suggest(key)) == self.searcher.FINISHED:
            return None
        spec = TrialSpec.from_tune(suggested)
        known = [row for row in self.rows if row["trial_id"] == spec.trial_id]
        if not known:
            self.rows.append(new_row(spec, self.space.table) | {"spec": spec})
        self.outcomes[key] = None
        return (known or self.rows[-1:])[0] | {"key": key}

    def end(self, begun):
        row = next(row for row in self.rows if row["trial_id"] == begun["trial_id"])
        row["status"] = ENDS[self.rows.index(row) % len(ENDS)]
        score = -abs(row["config.k"] - 2) - abs(row["config.generator_lr"] - 0.1)
        self.searcher.on_trial_result(begun["key"], step(100, score).to_tune())
        self.outcomes[begun["key"]] = Outcome(row["status"], "because")
        self.searcher.on_trial_complete(begun["key"], step(200, score).to_tune())


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_searches_with_conditions_and_goes_on_in_a_later_session(
    tmp_path, name, capfd, recwarn
):
    presets = {"mine": {"generator_lr": 0.02, "k": 3, "noise": "normal", "batch_size": 20}}
    searched = FINITE if name == "brute_force" else CONDITIONAL
    if name == "brute_force":
        presets["mine"].pop("generator_lr")
    space = space_of(searched, presets=presets, start_from=["mine"])
    rows = []
    for seed, n in ((0, 8), (1, 7)):
        session = Session(tmp_path, space, name, rows, seed)
        others = [session.begin(), session.begin()]
        for _ in range(n):
            others.append(session.begin())
            session.end(others.pop(0))
        if seed:
            for begun in others:
                session.end(begun)
    assert rows[0]["config_id"] == space.preset("mine").config_id
    assert len(rows) == 17
    ids = [row["config_id"] for row in rows if row["status"] != "failed"]
    assert len(set(ids)) == len(ids)
    trials = session.study.get_trials()
    for row in rows:
        assert trials[row["number"]].user_attrs["status"] == row["status"]
        assert ("batch_size" in trials[row["number"]].params) == (row["config.noise"] == "normal")
    assert "optimizer" not in (tmp_path / "optuna.journal").read_text()
    said = capfd.readouterr()
    assert "[W " not in said.err + said.out
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_proposes_the_same_again_with_the_same_seed(tmp_path, name):
    found = []
    for i, seed in enumerate((7, 7, 8)):
        (tmp_path / str(i)).mkdir()
        space = space_of(FINITE if name == "brute_force" else CONDITIONAL)
        session = Session(tmp_path / str(i), space, name, [], seed)
        found.append([])
        for _ in range(14 if name == "tpe" else 3):  # more than the ten that TPE draws at random
            begun = session.begin()
            found[-1].append(begun["config_id"])
            session.end(begun)
    assert found[0] == found[1]
    # What enumerates goes by the run's seed, which a resume keeps, and not by the sampler's.
    assert (found[2] == found[0]) == (name in ("grid", "brute_force"))


@pytest.mark.parametrize("name", ["tpe", "grid", "brute_force", "random"])
def test_a_space_of_four_configurations_is_searched_four_times_also_over_two_sessions(
    tmp_path, name
):
    space = space_of({"k": {"int": [1, 2]}, "noise": {"choice": ["uniform", "normal"]}})
    rows = []
    for n in (2, 50):
        session = Session(tmp_path, space, name, rows, seed=n)
        for _ in range(n):
            if (begun := session.begin()) is not None:
                session.outcomes[begun["key"]] = Outcome("completed")
                session.searcher.on_trial_complete(begun["key"], step(200, 1.0).to_tune())
                session.rows[-1]["status"] = "completed"
    assert len({row["config_id"] for row in rows}) == len(rows) == 4
    assert session.searcher.is_exhausted


def test_a_grid_has_five_values_of_each_float_and_presets_beside_it_count_extra(tmp_path):
    searched = {"generator_lr": {"float": [0.01, 1.0], "log": True}, "k": {"int": [1, 2]}}
    presets = {"mine": {"generator_lr": 0.02, "k": 1}}
    space = space_of(searched, presets=presets, start_from=["mine"])
    rows = []
    for n in (4, 50):
        session = Session(tmp_path, space, "grid", rows, seed=n)
        while n and (begun := session.begin()) is not None:
            session.end(begun | {"status": "completed"})
            n -= 1
    assert rows[0]["config.generator_lr"] == 0.02
    tried = {(round(row["config.generator_lr"], 6), row["config.k"]) for row in rows[1:]}
    points = (0.01, 0.031623, 0.1, 0.316228, 1.0)
    assert tried == {(lr, k) for lr in points for k in (1, 2)}
    assert session.searcher.proposals.n_in_space == 10
    assert session.searcher.is_exhausted


def test_a_grid_too_large_for_a_list_is_searched_at_random(tmp_path, monkeypatch):
    monkeypatch.setattr("gansearch.tune.proposals._MAX_LISTED", 10)
    space = space_of(CONDITIONAL)
    session = Session(tmp_path, space, "grid", [], seed=0)
    rows = [session.begin() for _ in range(30)]
    assert len({row["config_id"] for row in rows}) == 30
    assert len({row["config.generator_lr"] for row in rows}) == 5


def _deaths(sampler, n):
    """Search where scores rise towards a region in which training dies; return its deaths."""
    study = optuna.create_study(sampler=sampler, direction="maximize")
    died = []
    for i in range(n):
        trial = study.ask()
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        score = x - (y - 0.5) ** 2
        died += [i] if x > 0.6 else []
        if x > 0.6:
            trial.report(score, 100)
        tell(study, trial, Outcome("collapsed" if x > 0.6 else "completed", "because"), score)
    return died


def test_gp_avoids_where_training_dies_which_optunas_own_does_not():
    n_before, n_after = (
        sum(i >= 13 for i in _deaths(sampler, 21))
        for sampler in (optuna.samplers.GPSampler(seed=2), make_sampler("gp", 2))
    )
    assert n_before >= 7
    assert n_after <= 2


def test_a_pruned_trial_counts_with_its_last_score_and_a_dead_one_as_the_lowest_of_all():
    study = optuna.create_study(direction="maximize")
    for status, scores in (
        ("completed", [5.0]),
        ("pruned", [1.0, 3.0]),
        ("pruned", [-10_000.0]),
        ("collapsed", [90.0]),
        ("diverged", []),
        ("failed", [4.0]),
    ):
        trial = study.ask()
        for i, score in enumerate(scores):
            trial.report(score, i)
        tell(study, trial, Outcome(status, "because"), scores[-1] if scores else None)
    running = study.ask()
    shown = as_complete(study.get_trials())
    assert [trial.state for trial in shown[:5]] == [TrialState.COMPLETE] * 5
    assert [trial.value for trial in shown[:5]] == [5.0, 3.0, 1.0, 1.0, 1.0]
    assert [trial.constraints["unhealthy"] for trial in shown[:5]] == [-1, -1, -1, 1, 1]
    assert [trial.state for trial in shown[5:]] == [TrialState.FAIL, TrialState.RUNNING]
    assert study.trials[1].state == study.trials[3].state == TrialState.PRUNED
    assert running.number == 6


def test_cmaes_goes_on_from_the_trials_alone_and_neither_stores_nor_reads_a_pickle(tmp_path):
    study = optuna.create_study(direction="maximize")
    trap = {"cma:optimizer:0": pickle.dumps(Trap(tmp_path / "sprung")).hex()}
    floats = dict.fromkeys("xy", optuna.distributions.FloatDistribution(-1, 1))
    params = {"x": -1.0, "y": 1.0}
    study.add_trial(
        optuna.trial.create_trial(
            value=-9.0, params=params, distributions=floats, system_attrs=trap
        )
    )
    distances = []
    for i in range(70):
        study.sampler = make_sampler("cmaes", i)  # as in a new session each time
        trial = study.ask()
        x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", -1, 1)
        distances.append(abs(x - 0.7) + abs(y + 0.6))
        tell(study, trial, Outcome("completed"), -distances[-1])
    assert sum(distances[-10:]) < 0.3 * sum(distances[:10])
    generations = [trial.system_attrs.get("cma:generation") for trial in study.trials]
    assert generations[-1] >= 9
    attrs = [key for trial in study.trials[1:] for key in trial.system_attrs]
    assert not any("optimizer" in key for key in attrs)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tpee", r"^--sampler tpee: no such sampler\. Did you mean tpe\?"),
        ("", r"^--sampler : no such sampler\. "),
        ("brute_force", r"brute_force: space: generator_lr: a float has no end .* --sampler grid"),
        ("./absent", r"absent: there is no such folder\. It takes the folder of a sampler"),
        ("./empty", r"empty: the folder has no __init__\.py\. It must export .*__all__"),
        ("./none", r"none: its __init__\.py exports no sampler: no class that derives from"),
        ("./two", r"two: it exports several samplers: A, B\. Name one: --sampler .*two:A\."),
        ("./two:C", r"two:C: it exports no sampler C\. It must be A or B|exports no sampler C"),
        ("./broken", r"broken: its code fails: ValueError: no, at .*__init__\.py:1"),
        ("./needs", r"needs: the package absent_package is not installed\. Install what it"),
        ("./wants", r"wants: its code fails: .*missing 1 required .*made without arguments"),
    ],
)
def test_a_sampler_that_cant_be_used_is_refused(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    texts = {
        "none": "x = 1",
        "two": "from optuna.samplers import RandomSampler\nclass A(RandomSampler): pass\n"
        "class B(RandomSampler): pass",
        "broken": "raise ValueError('no')",
        "needs": "import absent_package",
        "wants": "from optuna.samplers import RandomSampler\nclass A(RandomSampler):\n"
        "    def __init__(self, search_space): pass",
    }
    (tmp_path / "empty").mkdir()
    for folder, text in texts.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(text)
    with pytest.raises(BadInputError, match=message):
        check_sampler(name, space_of(CONDITIONAL))


def test_a_sampler_of_a_folder_is_found_from_any_other_folder(tmp_path, monkeypatch):
    write_sampler(tmp_path / "my_sampler", "Mine")
    monkeypatch.chdir(tmp_path)
    settings = Settings(sampler="./my_sampler")
    monkeypatch.chdir("/")
    assert settings.sampler == str(tmp_path / "my_sampler")
    assert Settings.from_dict(asdict(settings)) == settings
    for name in (settings.sampler, f"{settings.sampler}:Mine"):
        check_sampler(name, space_of(CONDITIONAL))


def test_a_sampler_that_fails_in_mid_search_ends_it_with_one_clear_error(tmp_path):
    body = "def before_trial(self, study, trial): raise KeyError('lost')"
    name = write_sampler(tmp_path / "fails", "Fails", body)
    study = open_study(tmp_path / "optuna.journal", make_sampler(name, 0))
    proposals = Proposals(space_of(CONDITIONAL), study, seed=0)
    with pytest.raises(
        RunFailedError, match=r"fails to propose .*KeyError: 'lost', at mine\.py:5: .*resume RUN"
    ):
        proposals.next()


def test_without_a_network_a_package_of_optunahub_is_refused_with_what_helps(monkeypatch, tmp_path):
    import git
    import optunahub

    monkeypatch.setenv("OPTUNAHUB_CACHE_HOME", str(tmp_path))

    def fail(**_):
        raise git.exc.GitCommandError("git fetch", 128, "fatal: Could not resolve host: github.com")

    monkeypatch.setattr(optunahub.hub, "_download_via_git", fail)
    message = (
        r"^--sampler auto: it can't be loaded from OptunaHub \(fatal: Could not resolve host: "
        r"github\.com\)\. The first use .* copy the package's folder here"
    )
    with pytest.raises(BadInputError, match=message):
        make_sampler("auto", 0)
    read_absent = (tmp_path / "absent").read_bytes
    monkeypatch.setattr(optunahub.hub, "_download_via_git", lambda **_: read_absent())
    with pytest.raises(BadInputError, match=r"OptunaHub has no package samplers/none\."):
        make_sampler("optunahub:samplers/none", 0)


@pytest.mark.parametrize(("name", "package"), [("cmaes", "cmaes"), ("auto", "optunahub")])
def test_a_sampler_whose_package_is_missing_is_refused(monkeypatch, name, package):
    find = importlib.util.find_spec
    for module in (samplers, importlib.import_module("gansearch.tune.own_sampler")):
        monkeypatch.setattr(
            module, "find_spec", lambda each: None if each == package else find(each)
        )
    with pytest.raises(BadInputError, match=rf"{package} is not .*'gansearch\[samplers\]'"):
        make_sampler(name, 0)
