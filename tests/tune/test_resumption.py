"""What a resume may change of a run, what it refuses, and where it looks for the data."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gansearch.api_keywords import give_again
from gansearch.errors import BadInputError, DataError
from gansearch.own_measures import OwnMeasure
from gansearch.runs.folder import RunFolder
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system import user_code
from gansearch.system.user_code import UserCode, load
from gansearch.tune.resumption import load_resumed_data, own_code, resumption
from gansearch.tune.rows import OUT_OF_TIME
from gansearch.tune.settings import Settings
from tests.written_runs import PAPER, described, trial


def gap(samples, real):
    return 1.0


gap.features = gap  # which has the type of an extractor


def run_of(tmp_path, n_tried=6, n_replicas=0, status="completed", **changes):
    """A run of six trials asked for, of which some were tried and some replicas were trained."""
    folder = RunFolder.create(tmp_path, "some")
    space = load_space("digits", ["trials=6", "replicas=2"]).to_dict()
    defaults = {"space": space, "search_is_over": n_tried == 6, "settings": vars(Settings())}
    folder.write_run(described(name="some", **(defaults | changes)))
    folder.write_trials(
        [trial(f"t{i:05d}", PAPER, status) for i in range(n_tried)]
        + [trial(f"r-{PAPER.config_id}-{i}", PAPER, phase="replica") for i in range(n_replicas)]
    )
    return folder


def resumed(folder, **given):
    return resumption(folder, folder.read_run(), given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 5}, r"^--trials 5: the run has 6 trials of the search already"),
        ({"replicas": 3}, r"^--replicas 3: the run has 4 replicas of a configuration already"),
        ({"replicas": 0}, r"^--replicas 0: the run has 4"),
        ({"time_budget_seconds": 181.0}, r"^--time-budget 181s: the run has taken 3 min so far"),
        ({"sampler": "tpee"}, r"^--sampler tpee: no such sampler"),
        ({"group_trials": "of"}, r"^group_trials=of \(--group-trials\): no such choice"),
        ({"gpus_per_trial": 1.5}, r"^gpus_per_trial=1.5 \(--gpus-per-trial\): it must be 0, a"),
        ({"cpus_per_trial": 1e-5}, r"^cpus_per_trial=1e-05 \(--cpus-per-trial\): it must be a"),
        ({"max_concurrent": 0}, r"^max_concurrent=0 \(--max-concurrent\)"),
    ],
)
def test_what_can_not_be_changed_is_refused(tmp_path, given, message):
    folder = run_of(tmp_path, n_replicas=4)
    before = folder.read_run()
    with pytest.raises(BadInputError, match=message):
        resumed(folder, **given)
    assert folder.read_run() == before


@pytest.mark.parametrize(
    "given", [{"trials": 8}, {"space": load_space("digits", ["k={int: [1, 2]}"])}]
)
def test_a_population_keeps_its_number_and_its_space(tmp_path, given):
    space = load_space("digits", ["trials=6", "replicas=2", "scheduler=pbt"])
    folder = run_of(tmp_path, space=space.to_dict())
    with pytest.raises(BadInputError, match=r"^--(trials 8|space digits): .*a population of 6 "):
        resumed(folder, **given)
    assert resumed(folder, trials=6, replicas=5).space.budget.replicas == 5


@pytest.mark.parametrize("name", ["trials", "sampler", "replicas"])
def test_a_run_without_a_search_takes_nothing_that_is_for_one(tmp_path, name):
    folder = run_of(tmp_path, n_tried=0, only=[PAPER.to_dict()])
    value = {"trials": 9, "sampler": "random", "replicas": 0}[name]
    with pytest.raises(BadInputError, match=r"\(--only\)"):
        resumed(folder, **{name: value})
    assert not resumed(folder, replicas=5).search_on


def test_more_is_taken_and_starts_the_search_again_if_it_must(tmp_path):
    folder = run_of(tmp_path, n_replicas=2)
    more = resumed(folder, trials=9, replicas=4)
    assert (more.space.budget.trials, more.space.budget.replicas) == (9, 4)
    assert more.search_on and more.notes == []
    replicas = resumed(folder, replicas=4)
    assert not replicas.search_on and replicas.notes == []


def test_fewer_trials_than_asked_for_but_all_that_there_are_end_the_search(tmp_path):
    assert resumed(run_of(tmp_path, n_tried=3), trials=3).space.budget.trials == 3


def test_what_changes_nothing_is_said_and_not_refused(tmp_path):
    folder = run_of(tmp_path, n_replicas=2)
    for given, note in (
        ({"trials": 6}, "--trials 6: the search is over after 6 trials"),
        ({"time_budget_seconds": 1e6}, "--time-budget: the search is over after 6"),
        ({"sampler": "random"}, "--sampler: the search is over after 6"),
        ({"replicas": 2}, "--replicas 2: the run has this number already"),
        ({"max_concurrent": 1}, "--max-concurrent: the run is finished"),
        ({"max_concurrent": 1, "cpus_per_trial": 2}, "--cpus-per-trial, --max-concurrent: the"),
    ):
        (said,) = resumed(folder, **given).notes
        assert said.startswith(note)
    assert resumed(folder).notes == []


def test_more_trials_without_the_time_for_them_are_refused(tmp_path):
    settings = vars(Settings(time_budget_seconds=60))
    folder = run_of(tmp_path, settings=settings)
    with pytest.raises(BadInputError, match=r"^--trials 9: the run's time budget of 60 s is used"):
        resumed(folder, trials=9)
    assert resumed(folder, trials=9, time_budget_seconds=1e6).notes == []


def test_a_search_that_has_tried_its_whole_space_was_not_cut_short_by_time(tmp_path):
    settings = vars(Settings(time_budget_seconds=1e6))
    folder = run_of(tmp_path, n_tried=1, settings=settings, search_is_over=True, n_configurations=1)
    assert resumed(folder, trials=9).space.budget.trials == 9


def test_a_sampler_for_a_search_that_ended_before_its_trials_has_no_effect(tmp_path):
    folder = run_of(tmp_path, n_tried=3, search_is_over=True)
    (said,) = resumed(folder, sampler="random").notes
    assert said.startswith("--sampler: the search is over after 3 trials, so it proposes none")


def test_trials_that_the_time_budget_cut_short_are_something_to_do(tmp_path):
    folder = run_of(tmp_path)
    rows = folder.trials().to_dict("records")
    folder.write_trials([row | {"reason": OUT_OF_TIME.reason} for row in rows])
    assert resumed(folder, time_budget_seconds=1e6).notes == []


def cut_short(tmp_path, **changes):
    """A run of two replicas each, of which the time budget had no room for the second."""
    return run_of(
        tmp_path,
        n_replicas=1,
        settings=vars(Settings(time_budget_seconds=90.0)),
        cut_replicas=[f"r-{PAPER.config_id}-1"],
        **changes,
    )


def test_more_time_trains_the_replicas_that_were_cut(tmp_path):
    found = resumed(cut_short(tmp_path), time_budget_seconds=1e6)
    assert found.notes == [] and found.settings.time_budget_seconds == 1e6


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_asked_for_after_the_time_is_used_up_are_not_bounded_by_it(tmp_path, replicas):
    found = resumed(cut_short(tmp_path), replicas=replicas)
    assert found.settings.time_budget_seconds is None
    (said,) = found.notes
    assert said.startswith(f"--replicas {replicas}: the time budget of 90 s is used up, and")


def test_given_configurations_take_more_time_if_some_of_their_replicas_were_cut(tmp_path):
    of = {"n_tried": 0, "only": [PAPER.to_dict()]}
    assert resumed(cut_short(tmp_path, **of), time_budget_seconds=1e6).notes == []
    with pytest.raises(BadInputError, match=r"has taken 3 min so far, .* all its sessions. Give m"):
        resumed(RunFolder(tmp_path / "some"), time_budget_seconds=91)


def test_more_time_for_given_configurations_that_are_all_trained_is_said_to_do_nothing(tmp_path):
    folder = run_of(tmp_path, n_tried=0, n_replicas=2, only=[PAPER.to_dict()])
    (said,) = resumed(folder, time_budget_seconds=1e6).notes
    assert said == "--time-budget: all replicas are trained. --replicas adds some."


def test_settings_change_to_suit_another_machine_and_the_rest_stays(tmp_path):
    stored = Settings(address="10.0.0.1:6379", gpus_per_trial=0.25, sampler="random")
    folder = run_of(tmp_path, settings=vars(stored), state="interrupted")
    found = resumed(folder, address="local", gpus_per_trial=0.0, cpus_per_trial=2.0)
    assert found.settings == replace(stored, address=None, gpus_per_trial=0.0, cpus_per_trial=2.0)
    found = resumed(folder, gpus_per_trial="auto")
    assert found.settings == replace(stored, gpus_per_trial=None)
    assert found.notes == []


# Where the data lies


def write_images(folder, side=8):
    folder.mkdir()
    rng = np.random.default_rng(side)
    for i in range(220):
        pixels = rng.integers(0, 256, (side, side), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    return {side: write_images(tmp_path / f"images{side}", side) for side in (8, 9, 10)}


def read_from(stored, given=None):
    settings = Settings(data_dir=str(stored) if stored else None)
    dataset, settings = load_resumed_data(load_space("folder"), settings, given)
    return dataset.shape[0], settings.data_dir


def test_the_folder_that_is_named_counts_most_and_is_stored(folders, monkeypatch):
    monkeypatch.setenv("GANSEARCH_DATA", str(folders[9]))
    assert read_from(folders[8], folders[10]) == (10, str(folders[10]))


def test_a_variable_for_other_data_does_not_outrank_the_folder_that_the_run_has_read(
    folders, monkeypatch
):
    monkeypatch.setenv("GANSEARCH_DATA", str(folders[9]))
    assert read_from(folders[8]) == (8, str(folders[8]))


def test_data_that_has_moved_is_found_by_the_variable(folders, monkeypatch, tmp_path):
    monkeypatch.setenv("GANSEARCH_DATA", str(folders[9]))
    assert read_from(tmp_path / "gone") == (9, str(folders[9]))
    assert read_from(None) == (9, str(folders[9]))


def test_damage_in_the_folder_of_the_run_is_not_avoided(folders, monkeypatch):
    monkeypatch.setenv("GANSEARCH_DATA", str(folders[9]))
    (folders[8] / "050.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="images8"):
        read_from(folders[8])


def test_data_that_is_nowhere_is_missed_where_the_run_has_read_it(folders, tmp_path):
    with pytest.raises(DataError, match="gone"):
        read_from(tmp_path / "gone")


def test_a_folder_for_data_without_files_is_refused_and_a_stored_one_is_not():
    with pytest.raises(DataError, match=r"^--data-dir /images: the data set is digits, which has"):
        load_resumed_data(load_space("digits"), Settings(), "/images")
    with pytest.raises(BadInputError, match=r"digits, which has no files.* leave --data-dir out.$"):
        load_resumed_data(load_space("digits"), Settings(), "/images")
    _, settings = load_resumed_data(load_space("digits"), Settings(data_dir="/images"), None)
    assert settings.data_dir is None


def test_files_that_were_changed_or_removed_since_are_told_and_read_as_they_were(tmp_path):
    paths = {name: tmp_path / f"{name}.py" for name in ("same", "changed", "gone")}
    texts = {str(path): b"VALUE = 1\n" for path in paths.values()}
    folder = run_of(tmp_path)
    places = folder.write_code(UserCode(texts))
    folder.write_run(replace(folder.read_run(), code=places))
    paths["same"].write_bytes(b"VALUE = 1\n")
    paths["changed"].write_bytes(b"VALUE = 2\n")
    with own_code(folder) as notes:
        assert [load(f"{path}:VALUE") for path in paths.values()] == [1, 1, 1]
    kept = f"The run continues with the code that it began with, {folder.path / 'code'}"
    assert notes == [
        f"{paths['changed']} has changed since the run began. {kept}; for the new code, start a "
        "new run",
        f"{paths['gone']} is no longer there. {kept}",
    ]
    assert load(f"{paths['changed']}:VALUE") == 2


def test_a_run_whose_code_lies_in_no_file_needs_it_again_before_anything_is_begun(
    tmp_path, monkeypatch
):
    def train(config, data, trial):
        pass

    monkeypatch.setattr(user_code, "_objects", {})
    space = {"trainable": train, "dataset": "ring", "search": {"lr": {"float": [0.1, 1]}}}
    folder = run_of(tmp_path, space=SearchSpace.from_dict(space).to_dict(), state="finished")
    assert [load(each) for each in resumed(folder, trials=70).space.references] == [train]
    user_code._objects.clear()
    with pytest.raises(BadInputError, match=r"^train: the run was started from Python with this"):
        resumed(folder, trials=70)
    assert resumed(folder).notes == []


def test_measures_that_lie_in_no_file_are_given_again_by_their_names(tmp_path, monkeypatch):
    def first(examples):
        return examples[:, :1]

    def distance(samples, real):
        return 1.0

    def near(samples, real):
        return 2.0

    def in_file(samples, real):
        return 3.0

    monkeypatch.setattr(user_code, "_objects", {})
    (tmp_path / "mine.py").write_text("def filed(samples, real):\n    return 3.0\n")
    near.features = first
    measures = [
        distance,
        near,
        f"{tmp_path}/mine.py:filed",
        {"function": lambda s, r: 4.0, "name": "four"},
    ]
    space = {"dataset": "ring", "search": {"generator_lr": {"float": [0.1, 1]}}}
    space = SearchSpace.from_dict(space | {"measures": measures, "objective": distance})
    folder = run_of(tmp_path, space=space.to_dict(), state="finished")
    stored = folder.read_run().space
    user_code._objects.clear()
    with pytest.raises(BadInputError) as lacking:
        resumed(folder, trials=70)
    assert str(lacking.value) == (
        "measures: the run was started from Python with distance, near, four, of which a "
        "function lies in no file. Give what it was started with again, from Python: "
        "gansearch.resume(run, measures=[distance, near, four])."
    )
    give_again(stored, {"measures": [near, {"function": in_file, "name": "four"}]})
    with pytest.raises(
        BadInputError, match=r"with distance, of .* measures=\[distance, near, four\]\)\.$"
    ):
        resumed(folder, trials=70)
    options = {"measures": [distance], "trials": 70}
    give_again(stored, options)
    assert options == {"trials": 70}
    found = resumed(folder, trials=70).space
    assert load(found.objective.measure.function) is distance
    assert [each.name for each in found.measures] == ["distance", "near", "filed", "four"]
    near_again = found.measures[1]
    assert [load(near_again.function), load(near_again.features)] == [near, first]


def inks():
    """Two functions of one name."""

    def of(value):
        def ink(samples, real):
            return value

        return ink

    return of(1.0), of(2.0)


def space_with(function):
    space = {"dataset": "ring", "search": {"generator_lr": {"float": [0.1, 1]}}}
    return SearchSpace.from_dict(space | {"measures": [function], "objective": function})


def test_a_run_takes_no_function_of_another_run_that_has_the_name_of_its_own(tmp_path, monkeypatch):
    mine, of_other = inks()
    monkeypatch.setattr(user_code, "_objects", {})
    folder = run_of(tmp_path, space=space_with(mine).to_dict(), state="finished")
    user_code._objects.clear()  # as in a new process
    other = space_with(of_other)
    assert other.objective.column == "measure.ink"
    with pytest.raises(BadInputError, match=r"with ink, .*resume\(run, measures=\[ink\]\)\.$"):
        resumed(folder, trials=70)
    give_again(folder.read_run().space, {"measures": [mine]})
    assert load(resumed(folder, trials=70).space.objective.measure.function) is mine
    assert load(other.objective.measure.function) is of_other


def test_a_function_given_again_to_a_run_reaches_no_other_run_of_the_same(monkeypatch):
    ink, again = inks()
    monkeypatch.setattr(user_code, "_objects", {})
    first, second = space_with(ink), space_with(ink)
    give_again(first.to_dict(), {"measures": [again]})
    assert [load(each.objective.measure.function) for each in (first, second)] == [again, ink]


def test_a_run_of_a_version_without_unique_references_is_given_its_functions_again(
    tmp_path, monkeypatch
):
    ink, again = inks()
    monkeypatch.setattr(user_code, "_objects", {})
    space = space_with(ink).to_dict()
    space["measures"][0]["function"] = "given:ink"
    folder = run_of(tmp_path, space=space, state="finished")
    with pytest.raises(BadInputError, match=r"with ink, of which"):
        resumed(folder, trials=70)
    give_again(space, {"measures": [again]})
    assert load(resumed(folder, trials=70).space.objective.measure.function) is again


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["gap"], "measures: found 'gap'. It must be a function"),
        (len, "measures: found <built-in function len>. It must be a list"),
        ([len], "measures: the run needs no len again; it needs gap. Leave it out."),
        ([gap, gap], "measures: gap is given twice."),
        ([{"function": gap, "features": None}], "measures: gap: its extractor, first, lies in no"),
    ],
)
def test_measures_that_a_resume_can_not_take_are_named(monkeypatch, given, message):
    monkeypatch.setattr(user_code, "_objects", {})
    lost = OwnMeasure("gap", "given:gap", features="given:first")
    filed = OwnMeasure("filed", "/mine.py:filed")
    with pytest.raises(BadInputError, match=f"^{re.escape(message)}"):
        give_again({"measures": [lost.to_dict(), filed.to_dict()]}, {"measures": given})
    with pytest.raises(BadInputError, match="needs none again"):
        give_again({"measures": [filed.to_dict()]}, {"measures": [gap]})


def test_a_resumed_search_is_told_again_what_goes_badly_with_a_fixed_order(tmp_path):
    settings = vars(Settings(deterministic=True, time_budget_seconds=900.0))
    (note,) = resumed(run_of(tmp_path, n_tried=3, settings=settings)).notes
    assert note.startswith("--deterministic: how many trials a time budget leaves depends on")
    (tmp_path / "over").mkdir()
    assert resumed(run_of(tmp_path / "over", settings=settings)).notes == []
