"""What `run.json` says of a run's data and software, and what changes between sessions do."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError
from gansearch.report.report import build_report
from gansearch.runs.folder import RunFolder
from gansearch.scoring.references import evaluate_training_examples
from gansearch.space.load import load_space
from gansearch.tune import driver, environment, preflight
from gansearch.tune.environment import continued
from gansearch.tune.new_run import describe_run
from gansearch.tune.settings import Settings
from tests.written_runs import PAPER, trial


def write_images(folder, n=400, side=8, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (side, side), np.uint8)).save(folder / f"{i:03}.png")


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images")
    return tmp_path / "images"


def begun(tmp_path, dataset, *, space="folder", data_dir=None):
    """A run of two completed replicas that was stopped."""
    folder = RunFolder.create(tmp_path, "mine")
    settings = Settings(data_dir=str(data_dir) if data_dir else None)
    training = evaluate_training_examples(dataset)
    run = describe_run("mine", load_space(space), (), 0, settings, training, dataset)
    folder.write_run(replace(run, state="interrupted"))
    rows = [trial(f"r-{PAPER.config_id}-{i}", PAPER, phase="replica") for i in range(2)]
    folder.write_trials(rows)
    for row in rows:
        folder.write_test_ll(row["trial_id"], np.full(len(dataset.test), 3.0))
    return folder


@pytest.fixture
def folder(tmp_path, images):
    return begun(tmp_path, load_dataset("folder", images), data_dir=images)


def contents(folder):
    return {
        path: path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def resized(images):
    write_images(images, side=10)


def one_added(images):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(images / "new.png")


def one_replaced(images):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(images / "007.png")


def in_another_order(images):
    (images / "000.png").rename(images / "zzz.png")


CHANGES = {
    resized: "train: 320 examples of 8x8x1 then, 320 of 10x10x1 now; valid: 40 examples of 8x8x1",
    one_added: "train: 320 examples of 8x8x1 then, 321 now",
    one_replaced: "examples as then, but others, or in another order",
    in_another_order: "examples as then, but others, or in another order",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_run_does_not_go_on_with_other_data_and_nothing_is_written(
    folder, images, monkeypatch, change
):
    monkeypatch.setattr(preflight, "connected", lambda *_: pytest.fail("it went on"))
    before = contents(folder)
    change(images)
    with pytest.raises(DataError) as error:
        driver.resume(folder.path)
    message = str(error.value)
    assert CHANGES[change] in message
    assert f"say where it lies: `gansearch resume {folder.path} --data-dir DIR`" in message
    assert contents(folder) == before


@pytest.mark.parametrize("change", [resized, one_replaced], ids=lambda change: change.__name__)
def test_other_data_is_told_too_where_an_older_run_recorded_only_scores(folder, images, change):
    run = replace(folder.read_run(), data=None, environments=())
    change(images)
    if change is one_replaced:  # far more than one image, so that the scores differ
        write_images(images, seed=1)
        for path in sorted(images.glob("*.png"))[:200]:
            Image.fromarray(np.full((8, 8), 7, np.uint8) + np.eye(8, dtype=np.uint8)).save(path)
    with pytest.raises(DataError, match=r"training images scored .* nats then"):
        continued(folder, run, load_dataset("folder", images))


def test_replicas_of_an_older_run_were_scored_on_as_many_test_examples(folder, images):
    run = replace(folder.read_run(), data=None, training_report=None)
    write_images(images, n=500)
    with pytest.raises(DataError, match="-0 was scored on 40 test examples; now there are 50"):
        continued(folder, run, load_dataset("folder", images))


def test_an_older_run_on_the_same_data_goes_on_and_records_it(folder, images):
    recorded = folder.read_run()
    older = replace(recorded, data=None, environments=())
    run, notes = continued(folder, older, load_dataset("folder", images))
    assert run.data == recorded.data
    assert "did not record what this run learned from" in notes[0] and len(notes) == 1


def test_moved_data_that_is_the_same_is_the_same(folder, images, tmp_path):
    shutil.move(images, tmp_path / "elsewhere")
    run, notes = continued(
        folder, folder.read_run(), load_dataset("folder", tmp_path / "elsewhere")
    )
    assert notes == [] and run == folder.read_run()


# Software


@pytest.fixture
def digits_run(tmp_path):
    return begun(tmp_path, load_dataset("digits"), space="digits")


def test_sessions_of_other_versions_are_recorded_and_told_at_once_and_in_the_report(
    digits_run, monkeypatch
):
    first = digits_run.read_run()
    versions = first.environments[0]["versions"] | {"torch": "9.0"}
    monkeypatch.setattr(environment, "_versions", lambda: versions)
    monkeypatch.setattr(environment, "_git_commit", lambda: "f" * 40)
    run, notes = continued(digits_run, first, load_dataset("digits"))
    assert [entry["versions"]["torch"] for entry in run.environments][1] == "9.0"
    assert "torch " in notes[0] and ", then 9.0" in notes[0]
    digits_run.write_run(run)
    assert digits_run.read_run() == run
    (told,) = [text for text in build_report(digits_run).warnings if "same software" in text]
    assert told in notes[0]
    again, notes = continued(digits_run, run, load_dataset("digits"))
    assert again == run and notes == []


def test_an_older_runs_first_session_is_known_by_its_facts(digits_run, monkeypatch):
    older = replace(digits_run.read_run(), environments=())
    versions = older.facts["versions"] | {"gansearch": "9.0"}
    monkeypatch.setattr(environment, "_versions", lambda: versions)
    run, _ = continued(digits_run, older, load_dataset("digits"))
    assert len(run.environments) == 2


def test_a_changed_file_of_ones_own_family_is_told(digits_run):
    was = digits_run.read_run()
    entries = [was.environments[0] | {"family_sha256": code} for code in ("a", "b")]
    digits_run.write_run(replace(was, environments=entries))
    assert any(
        "same software: the code of the model family" in text
        for text in build_report(digits_run).warnings
    )


def test_the_code_of_ones_own_family_is_the_file_that_defines_it():
    from gansearch.family import load_family

    own = load_family("tests.end_to_end.mean_family:MeanFamily")
    assert len(environment.environment(own)["family_sha256"]) == 64
    assert environment.environment(load_family("adversarial_nets"))["family_sha256"] is None


# What an earlier version let happen


def test_replicas_on_other_test_sets_and_devices_are_told_in_the_report(digits_run):
    rows = [trial(f"r-{PAPER.config_id}-{i}", PAPER, phase="replica") for i in range(2)]
    rows[1]["device"] = "NVIDIA H100"
    digits_run.write_trials(rows)
    digits_run.write_test_ll(rows[1]["trial_id"], np.zeros(44))
    told = build_report(digits_run).warnings
    assert any("(1 on 300, 1 on 44): the data changed while" in text for text in told)
    assert any("1 trials trained on a CPU, 1 on NVIDIA H100." in text for text in told)


def test_a_data_set_is_told_from_another_by_its_examples_alone(digits_run):
    digits = load_dataset("digits")
    other = Dataset(**{**vars(digits), "name": "other"})
    assert continued(digits_run, digits_run.read_run(), other)[1] == []
