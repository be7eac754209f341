"""What is refused before a trial starts, by a dry run as by a run."""

import re
import socket
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
import ray
from optuna.samplers import CmaEsSampler

from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError, GansearchError
from gansearch.scoring.cost import EvaluationSize
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.memory_check import require_disk
from gansearch.tune import driver, preflight
from gansearch.tune.driver import search
from gansearch.tune.dry_run import _evaluation_line, plan
from gansearch.tune.samplers import SAMPLERS
from gansearch.tune.settings import Settings


@pytest.mark.parametrize(
    "change", ["generator_network=convolutional",
               "discriminator_network={choice: [dense, convolutional]}"],
)  # fmt: skip
def test_a_space_of_points_that_may_choose_convolutions_is_refused_before_a_trial(change):
    with pytest.raises(ConfigError, match="convolutional, on the points of ring"):
        plan("ring", overrides=[change])
    assert "data set     digits" in plan("digits", overrides=[change, "trials=2"])


def test_a_configuration_with_convolutions_is_refused_for_points(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("discriminator_network: convolutional")
    with pytest.raises(ConfigError, match="ring: discriminator_network"):
        plan("ring", only=[str(path)])


def test_the_discriminator_of_a_family_without_one_is_refused(monkeypatch):
    settings = Settings(keep_discriminator=True)
    assert "data set     digits" in plan("digits", settings=settings)
    monkeypatch.setattr(type(load_space("digits").family), "has_discriminator", False)
    with pytest.raises(BadInputError, match=r"^--keep-discriminator: the model family adv"):
        plan("digits", settings=settings)
    space = {"trainable": lambda config, data, trial: None, "dataset": "ring"}
    loop = SearchSpace.from_dict(space | {"search": {"lr": {"float": [0.1, 1]}}})
    with pytest.raises(BadInputError, match="the model family _lambda_ offers no discriminator"):
        plan(loop, settings=settings)


def _ends_python(config, data, trial):
    trial.report(0, lambda n: sys.exit(3))


def _lacks_memory(config, data, trial):
    raise MemoryError


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (
            _ends_python,
            r"your code ends Python \(SystemExit: 3, at test_preflight.py:\d+: .*\), and",
        ),
        (_lacks_memory, "out of memory: host: this process held"),
    ],
)
def test_what_a_loop_does_to_the_process_that_tries_it_is_told(loop, message):
    sections = {"dataset": "ring", "trainable": loop, "search": {"lr": {"float": [0.1, 0.2]}}}
    space = SearchSpace.from_dict({"name": "mine", **sections})
    with pytest.raises(ConfigError, match=f"^mine: {message}"):
        plan(space)


def test_a_plan_names_the_baseline_only_where_there_is_one(small_space):
    def replicas(*overrides):
        lines = plan(small_space, overrides=overrides).splitlines()
        return next(line for line in lines if line.startswith("replicas"))

    ending = ", each on 5 fresh seeds"
    best = "replicas     the best 3"
    assert replicas() == f"{best} and the paper's configuration{ending}"
    assert replicas("baseline=none") == best + ending
    assert replicas("baseline=other") == f"{best} and the preset other{ending}"
    assert replicas("baseline=none", "top=0") == "replicas     none, and so no ranking"


@pytest.fixture
def small_space(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(
        "dataset: digits\n"
        "budget: {trials: 40}\n"
        "search:\n"
        "  k: {int: [1, 2]}\n"
        "  noise: {choice: [uniform, normal]}\n"
        "presets: {same: {noise: uniform}, other: {k: 2}}\n"
        "start_from: [paper, same, other]\n"
    )
    return str(path)


def test_a_dry_run_says_how_many_configurations_a_space_has_and_proposes_each_once(small_space):
    said = plan(small_space).splitlines()
    assert (
        "space        4 configurations; the search ends when all have been tried, before its 40 "
        "trials"
    ) in said
    proposals = [line.split(maxsplit=2)[2] for line in said if line.startswith("proposal")]
    assert proposals[:2] == ["k=1 noise=uniform", "k=2 noise=uniform"]
    assert len(proposals) == len(set(proposals)) == 4
    assert "note         paper and same are the same configuration; it counts once" in said


def test_a_space_of_as_many_configurations_as_trials_is_only_counted(small_space):
    assert "space        4 configurations\n" in plan(small_space, overrides=["budget.trials=4"])


def test_a_dry_run_counts_no_space_with_a_float():
    assert not any(line.startswith("space ") for line in plan("digits").splitlines())


def test_a_dry_run_says_how_many_samples_an_evaluation_uses(small_space):
    assert "evaluations  1,000 samples each\n" in plan(small_space)


def test_a_dry_run_says_that_best_states_are_kept(tmp_path):
    space = "dataset: ring\nsearch: {generator_lr: {float: [0.01, 0.1]}}\n"
    for name, section, n in (("last", "", 0), ("best", "keep: best\n", 1)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(space + section)
        assert plan(str(path)).count("keep         the best state of each training") == n


def test_a_dry_run_names_several_objectives_and_proposes_as_the_run_does():
    said = plan("ring", overrides=["objectives=[valid_ll,coverage]"])
    assert "objectives   valid_ll and coverage: ranks by Pareto fronts\n" in said
    assert "proposal 0 " in said


@pytest.mark.parametrize(
    ("overrides", "settings", "message"),
    [
        ([], Settings(sampler="cmaes"), "--sampler cmaes: it searches by one objective"),
        (["budget.scheduler=freeze_thaw"], Settings(), "freeze_thaw predicts one score, and the"),
        (["budget.scheduler=pbt"], Settings(), "pbt compares trials by one score, and the"),
    ],
)
def test_what_goes_by_one_score_is_refused_for_several_objectives(
    monkeypatch, overrides, settings, message
):
    monkeypatch.setitem(SAMPLERS, "cmaes", lambda seed: CmaEsSampler(seed=seed))
    several = ["objectives=[valid_ll,coverage]", *overrides]
    with pytest.raises(BadInputError, match=message):
        plan("ring", overrides=several, settings=settings)
    assert "replicas" in plan("ring", overrides=several[:1], only=["paper"])


def test_a_dry_run_names_an_objective_and_which_way_is_better(tmp_path):
    (tmp_path / "mine.py").write_text("def gap(samples, real):\n    return 1.0\n")
    path = tmp_path / "mine.yaml"
    path.write_text(
        "dataset: ring\nsearch: {generator_lr: {float: [0.01, 0.1]}}\nobjective: gap\n"
        "measures: [{function: mine.py:gap, n_samples: 5000}]\n"
    )
    assert "objective    gap, from 5,000 samples: lower is better\n" in plan(str(path))


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (EvaluationSize(1000, 0.004), "1,000 samples each: less than 1 % of a trial's time"),
        (
            EvaluationSize(300, 0.06),
            "300 samples each: about 6 % of a trial's time, at most; 1,000",
        ),
        (EvaluationSize(100, 0.3), "Fewer would say too little; --set budget.reports=N"),
    ],
)
def test_what_scoring_costs_is_said_where_it_matters(size, said):
    assert said in _evaluation_line(size)


def test_one_configuration_under_two_names_is_said_to_count_once(small_space, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("k: 2")
    said = plan(small_space, only=["other", str(path), "paper"])
    assert f"note         other and {path} are the same configuration; it counts once" in said
    assert "replicas     2 given" in said


@pytest.fixture
def no_start(monkeypatch, tmp_path):
    """Work in an empty folder on a machine of two cores, where a start of Ray fails the test."""

    def started(*_args, **_named):
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(preflight, "resources_here", lambda: {"CPU": 2.0})
    monkeypatch.setattr("gansearch.tune.cluster.init_on_loopback", started)
    monkeypatch.setattr(driver, "_execute", started)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)


def free_port():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def refusal(call, **request):
    with pytest.raises(GansearchError) as refused:
        call(request.pop("space", "digits"), **request)
    return type(refused.value), str(refused.value)


BAD = {
    "no GPU": {"settings": Settings(gpus_per_trial=0.25)},
    "half of no GPU": {"settings": Settings(gpus_per_trial=0.5, max_concurrent=1)},
    "too many cores": {"settings": Settings(cpus_per_trial=3)},
    "no cluster": {"settings": Settings(address="127.0.0.1:{port}")},
    "a cluster by a wrong address": {"settings": Settings(address="nowhere.invalid:6379")},
    "a name that leads out": {"name": "../x"},
    "a name that is taken": {"name": "taken"},
    "results in a file": {"results": "file", "name": "one"},
    "results below a file": {"results": "file/below", "name": "one"},
    "results where none can be made": {"results": "/proc/results", "name": "one"},
    "an unknown sampler": {"settings": Settings(sampler="tpee")},
    "an unknown space": {"space": "digts"},
    "data without files": {"settings": Settings(data_dir="images")},
    "no images": {"space": "folder", "settings": Settings(data_dir="nowhere")},
    "replicas of nothing": {"only": ["paper"], "overrides": ["replicas=0"]},
    "trials without a search": {"only": ["paper"], "overrides": ["budget.trials=5"]},
    "a group of an engine that is none": {"settings": Settings(group_trials="on")},
    "too little memory": {"overrides": ["batch_size=1000000", "generator_widths=[20000]"]},
    "a seed that is none": {"seed": -1},
}


@pytest.mark.parametrize("request_", BAD.values(), ids=BAD)
def test_a_dry_run_refuses_what_the_run_refuses_with_the_same_words(
    tmp_path, monkeypatch, no_start, request_
):
    (tmp_path / "file").write_text("")
    (tmp_path / "results" / "taken").mkdir(parents=True)
    settings = request_.get("settings")
    if settings and settings.address and "{port}" in settings.address:
        settings = Settings(address=f"127.0.0.1:{free_port()}")
        request_ = request_ | {"settings": settings}
    if settings and settings.group_trials == "on":
        family = load_space("digits").family
        monkeypatch.setattr(type(family), "has_engine", False)
    before = sorted(tmp_path.rglob("*"))
    kind, message = refusal(plan, **request_)
    assert sorted(tmp_path.rglob("*")) == before
    assert refusal(search, **request_) == (kind, message)
    assert sorted(tmp_path.rglob("*")) == before
    assert issubclass(kind, BadInputError)


@pytest.mark.usefixtures("no_start")
def test_a_dry_run_of_what_can_run_shows_the_plan_and_leaves_nothing(tmp_path):
    settings = Settings(time_budget_seconds=7200, cpus_per_trial=0.5)
    text = plan("ring", results="new/results", name="mine", settings=settings)
    assert "4 trials at a time, each on 0.5 cores, without a GPU" in text
    assert (
        "time budget  2 h 0 min for the whole run; the search ends when the replicas need" in text
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_start")
def test_a_dry_run_shows_the_groups_of_each_phase(monkeypatch):
    monkeypatch.setattr(preflight, "resources_here", lambda: {"CPU": 9.0})
    said = plan("ring", settings=Settings(group_trials="on", max_concurrent=8))
    assert (
        "groups       one process trains 8 trials; search: 8 trials at a time, each by itself; "
        "replicas: 5 trials at a time, in groups of 5\n"
    ) in said
    assert "groups " not in plan("ring", settings=Settings(max_concurrent=8))


@pytest.mark.usefixtures("no_start")
def test_a_dry_run_says_how_many_configurations_a_space_or_its_grid_has():
    few = {"dataset": "ring", "search": {"k": {"int": [1, 4]}}, "budget": {"trials": 3000}}
    said = "4 configurations; the search ends when all have been tried, before its 3,000"
    for name in ("tpe", "grid", "brute_force"):
        found = plan(SearchSpace.from_dict(few), settings=Settings(sampler=name))
        assert said in found
        assert "proposal 3 " in found and "proposal 4 " not in found
    floats = few | {"search": {"generator_lr": {"float": [0.01, 0.1]}}}
    found = plan(SearchSpace.from_dict(floats), settings=Settings(sampler="grid"))
    assert (
        "space        5 configurations on a grid with 5 values of each float; the search" in found
    )


@pytest.mark.usefixtures("no_start")
@pytest.mark.parametrize(
    ("sections", "only"),
    [
        ({"search": {"k": {"choice": [2]}}}, "CONFIG.yaml, a file with its parameters"),
        ({"start_from": ["paper"]}, "paper"),
        ({"search": {"k": {"int": [1, 3]}}, "overrides": ["k=1"]}, "paper"),
    ],
)
def test_a_space_with_a_single_configuration_is_refused_with_what_trains_it(sections, only):
    overrides = sections.get("overrides", ())
    space = {"dataset": "ring", "start_from": ["paper"], "search": {}} | sections
    space["start_from"] = [] if "choice" in str(sections) else ["paper"]
    space.pop("overrides", None)
    with pytest.raises(BadInputError, match=rf"single configuration, since .* --only {only}\.$"):
        plan(SearchSpace.from_dict(space), overrides=overrides)


@pytest.mark.usefixtures("no_start")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["generator_lr=0.1", "discriminator_lr=0.1"],
            "searches none that can change then. Search",
        ),
        (["budget.trials=4"], "4 trials, whose updates don't suffice for a fork"),
        (["budget.grace=1"], "and there is none: grace 1, reports 10"),
    ],
)
def test_a_population_that_could_change_nothing_is_refused(overrides, message):
    with pytest.raises(BadInputError, match=rf"^digits: budget: scheduler: pbt.*{message}"):
        plan("digits", overrides=["budget.scheduler=pbt", *overrides])


@pytest.mark.usefixtures("no_start")
def test_a_population_whose_forks_could_not_have_a_schedule_is_refused():
    space = {
        "family": "coordinated_nets",
        "dataset": "ring",
        "search": {"generator_lr": {"float": [0.1, 1]}, "d_target": {"choice": [0, 0.5]}},
        "budget": {"scheduler": "pbt", "trials": 24},
    }
    with pytest.raises(ConfigError, match=r"pbt gives forks a schedule.*not go with d_target"):
        plan(SearchSpace.from_dict(space))
    space["search"].pop("d_target")
    assert "replicas" in plan(SearchSpace.from_dict(space))


@pytest.mark.usefixtures("no_start")
def test_a_population_with_a_time_budget_is_told_that_its_members_are_completed_late():
    settings = Settings(time_budget_seconds=60.0)
    notes = "members wait for each other"
    assert notes in plan("digits", overrides=["budget.scheduler=pbt"], settings=settings)
    assert notes not in plan("digits", settings=settings)


@pytest.mark.usefixtures("no_start")
def test_a_family_of_which_nothing_can_change_in_mid_training_has_no_population():
    space = {
        "trainable": lambda config, data, trial: None,
        "dataset": "ring",
        "search": {"lr": {"float": [0.1, 1]}},
        "budget": {"scheduler": "pbt"},
    }
    with pytest.raises(BadInputError, match=r"_lambda_ can't change then\. Take budget\.sched"):
        plan(SearchSpace.from_dict(space))


@pytest.mark.usefixtures("no_start")
def test_a_population_that_does_not_fit_on_the_disk_is_refused_with_how_many_do(monkeypatch):
    population = ["budget.scheduler=pbt"]
    assert "replicas" in plan("digits", overrides=population)
    disk = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=30 * 2**20))
    monkeypatch.setattr("gansearch.trial.memory_check.shutil", disk)
    with pytest.raises(
        BadInputError, match=r"24 members .* are free\. Give a folder .* --trials \d+\.$"
    ):
        plan("digits", overrides=population)
    assert "replicas" in plan("digits")


def test_members_that_keep_their_best_state_take_twice_the_disk(tmp_path, monkeypatch):
    disk = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=2**30))
    monkeypatch.setattr("gansearch.trial.memory_check.shutil", disk)
    fit = []
    for keep in ("last", "best"):
        space = load_space("digits", [f"keep={keep}", "trials=100000"])
        with pytest.raises(ConfigError) as refused:
            require_disk(space, space.preset("paper"), load_dataset("digits"), tmp_path)
        fit.append(int(re.search(r"--trials (\d+)", str(refused.value))[1]))
    assert fit[0] == pytest.approx(2 * fit[1], abs=1)


@pytest.mark.usefixtures("no_start")
def test_a_fixed_order_of_decisions_is_refused_where_there_is_none_and_its_limits_are_noted():
    settings = Settings(deterministic=True, max_concurrent=9, time_budget_seconds=60.0)
    with pytest.raises(BadInputError, match=r"^--deterministic: ring: budget: scheduler: freeze_"):
        plan("ring", overrides=["budget.scheduler=freeze_thaw"], settings=settings)
    said = plan("ring", settings=settings)
    assert "--max-concurrent 9: with --deterministic, at most 8 trials" in said
    assert "--deterministic: how many trials a time budget leaves depends on the machine" in said


@pytest.mark.usefixtures("no_start")
def test_a_dry_run_counts_one_of_each_in_the_singular():
    one = ["trials=1", "replicas=1", "reports=1", "max_updates=1"]
    said = plan("ring", overrides=one, settings=Settings(max_concurrent=1))
    assert "1 trial of at most 1 update, 1 report each" in said
    assert "each on 1 fresh seed\n" in said
    assert "1 trial at a time, each on 1 core, without a GPU" in said
    assert "replicas     none, and so no ranking" in plan("ring", overrides=["replicas=0"])


@pytest.mark.usefixtures("no_start")
@pytest.mark.parametrize(
    ("overrides", "note"),
    [
        (["top=3", "budget.replicas=0"], "top 3: with replicas 0 nothing is trained again"),
        (["budget.top=5", "trials=1"], "top 5: the search tries only 1 configuration."),
        (["trials=1"], None),
        (["top=0", "replicas=0"], None),
    ],
)
def test_a_top_that_has_less_effect_than_it_says_is_noted(overrides, note):
    said = plan("ring", overrides=overrides)
    assert (note in said) if note else ("top " not in said.replace("stop", ""))


@pytest.mark.usefixtures("no_start")
def test_a_dry_run_leaves_the_runs_that_there_are(tmp_path):
    (tmp_path / "results" / "other").mkdir(parents=True)
    plan("ring")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["other"]


@pytest.mark.usefixtures("no_start")
def test_a_space_of_python_takes_overrides_like_a_named_one():
    space = load_space("ring")
    assert "7 trials of at most" in plan(space, overrides=["trials=7"])
    with pytest.raises(BadInputError, match="unknown parameter"):
        search(space, overrides=["trails=7"])


@pytest.mark.parametrize(
    ("overrides", "settings", "message"),
    [
        (["trials=5"], {}, r"^trials 5: --only compares given configurations without a search"),
        (["budget.top=5"], {}, r"^top 5: --only"),
        (["grace=0.5"], {}, r"^grace 0.5: --only"),
        (["start_from=[paper]"], {}, r"^start_from \[paper\]: --only"),
        (["k={int: [1, 3]}"], {}, r"^k .*there is no range to search"),
        (["k=5"], {}, r"^k=5: a file of --only has k=2, which counts"),
        (["maxout_pieces=3"], {}, r"^maxout_pieces=3: .* applies to none"),
        ([], {"sampler": "random"}, r"^--sampler random: --only"),
        ([], {"deterministic": True}, r"^--deterministic: --only .*each seed trains the same"),
    ],
)
@pytest.mark.usefixtures("no_start")
def test_what_has_no_effect_without_a_search_is_refused(tmp_path, overrides, settings, message):
    (tmp_path / "mine.yaml").write_text("k: 2\ndiscriminator_activation: relu\n")
    for call in (plan, search):
        with pytest.raises(BadInputError, match=message):
            call("digits", only=["mine.yaml"], overrides=overrides, settings=Settings(**settings))
    seeds = ["replicas=3", "max_updates=100", "reports=2", "k=2"]
    assert "1 given, each on 3 fresh seeds" in plan("digits", only=["mine.yaml"], overrides=seeds)


def test_the_resources_of_this_machine_are_those_that_ray_would_find():
    assert preflight.resources_here()["CPU"] >= 1
