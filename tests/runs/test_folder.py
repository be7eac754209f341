"""A run's folder: its schema is a contract, and it survives a kill at any moment."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import ResultsError, StorageError
from gansearch.measures import MEASURES, Measure
from gansearch.network_parameters import ACTIVATIONS
from gansearch.runs import schemas
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.history import HISTORY_COLUMNS
from gansearch.runs.schemas import config_values
from gansearch.runs.tables import ResultsWarning
from gansearch.space.load import load_space
from gansearch.system.files import write_atomically
from gansearch.tune.new_run import describe_run
from gansearch.tune.settings import Settings
from tests.written_runs import (
    RANKING_COLUMNS,
    TRIALS_COLUMNS,
    described,
    run_info,
    write_run_json,
)

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parents[1] / "golden" / "run-0.1"
NOW = datetime(2026, 11, 24, 6, 12, 30, 123456, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    made = RunFolder.create(tmp_path, "run")
    made.write_run(described(name="run"))
    return made


def trial_row(trial_id="t00000", config=None, **values):
    config = config or TrialConfig()
    row = {
        "trial_id": trial_id,
        "number": 0,
        "phase": "search",
        "config_id": config.config_id,
        "seed": 7,
        "status": "running",
        "reason": "",
        "updates": 0,
    }
    return row | values | {f"config.{name}": value for name, value in config.to_dict().items()}


def report(trial_id="t00000", updates=100, **values):
    row = {
        "trial_id": trial_id,
        "number": 0,
        "phase": "search",
        "updates": updates,
        "d_updates": updates // 2,
        "g_updates": updates // 2,
        "seconds": 1.5,
        "valid_ll": 8.25,
        "sigma": 0.2,
        "sigma_at_edge": False,
        "coverage": 0.5,
        "recall": 0.25,
        "nn_ratio": 0.9,
        "d_loss": 1.386,
        "g_loss": 0.693,
        "d_real": 0.5,
        "d_fake": 0.5,
        "d_grad_norm": 0.1,
        "g_grad_norm": 0.2,
        "verdict": "sound",
        "reported_at": NOW,
    }
    return row | values


def parts(folder):
    return sorted(path.name for path in (folder.path / "history").iterdir())


def updates(folder):
    return folder.history()["updates"].tolist()


# Making and opening


def test_a_new_run_gets_a_folder_below_results_even_if_that_is_absent(tmp_path):
    folder = RunFolder.create(tmp_path / "deep" / "results", "digits-1.b_2")
    assert folder.path == tmp_path / "deep" / "results" / "digits-1.b_2"
    assert folder.path.is_dir()


@pytest.mark.parametrize("name", ["", ".", "..", "../out", "a/b", "a b", "é", "a\n", "x" * 201])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, name):
    with pytest.raises(ResultsError, match=re.escape(repr(name)) + ": can't be a run's name"):
        RunFolder.create(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_refused_with_the_way_to_go_on(folder):
    way = rf"exists.*another --name, or .*gansearch resume {folder.path}`\."
    with pytest.raises(ResultsError, match=way):
        RunFolder.create(folder.path.parent, "run")


def test_the_folder_of_a_run_that_is_just_beginning_is_offered_neither_to_resume_nor_to_remove(
    tmp_path,
):
    RunFolder.create(tmp_path, "run")
    with pytest.raises(ResultsError, match=r"just beginning\. Choose another --name\.$") as refused:
        RunFolder.create(tmp_path, "run")
    assert "remove" not in str(refused.value)


def test_runs_that_begin_in_the_same_second_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: RunFolder.create_numbered(tmp_path, "one"), range(8)))
    names = {"one", *(f"one-{n}" for n in range(2, 9))}
    assert {folder.path.name for folder in made} == names
    assert {path.name for path in tmp_path.iterdir()} == names


def test_results_below_a_name_in_no_encoding_are_refused_before_anything_is_made(tmp_path):
    results = tmp_path / os.fsdecode(b"caf\xe9")
    for create in (RunFolder.create, RunFolder.create_numbered):
        with pytest.raises(
            ResultsError, match=r"caf\\xe9/run: .* bytes that aren't UTF-8.*--results"
        ):
            create(results, "run")
    assert not results.exists()


def test_a_reason_with_a_name_in_no_encoding_is_recorded_all_the_same(folder):
    reason = os.fsdecode(b"caf\xe9") + "/größe: can't be read"
    folder.write_trials([trial_row(reason=reason)])
    assert folder.trials()["reason"].tolist() == ["caf\\udce9/größe: can't be read"]


def test_a_place_that_can_not_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"can't be made: Not a directory.*--results"):
        RunFolder.create(tmp_path / "file", "run")


def test_a_run_opens_by_its_path_and_by_its_name(folder, monkeypatch):
    by_name = RunFolder.open("run", folder.path.parent)
    monkeypatch.chdir(folder.path.parent)
    assert folder == by_name == RunFolder.open(folder.path) == RunFolder.open("run")
    assert RunFolder.open("run").path.is_absolute()


def test_an_unknown_run_is_answered_with_the_nearest_one(folder):
    with pytest.raises(ResultsError, match=r"runn: no such run\..*Did you mean run\?"):
        RunFolder.open("runn", folder.path.parent)
    with pytest.raises(ResultsError, match=r"mnist: no such run\..*Known: run\."):
        RunFolder.open("mnist", folder.path.parent)


def test_without_any_run_the_answer_says_how_to_start_one(tmp_path):
    with pytest.raises(ResultsError, match=r"There is no run in .*start one with `gansearch run`"):
        RunFolder.open("digits", tmp_path / "results")


def test_a_folder_without_run_json_is_no_run(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(ResultsError, match=r"A run is a folder with a run\.json"):
        RunFolder.open(tmp_path / "run")


@pytest.mark.parametrize("trial_id", ["../../etc/passwd", "a/b", "", ".."])
def test_a_trial_id_can_not_lead_out_of_the_run(folder, trial_id):
    with pytest.raises(ResultsError, match="can't be a trial's id"):
        folder.model_dir(trial_id)


def test_the_files_of_a_trial_lie_where_the_page_says(folder):
    assert folder.model_dir("t1") == folder.path / "models" / "t1"
    assert folder.checkpoint_path("t1") == folder.path / "checkpoints" / "t1.safetensors"


# One process at a time

HOLDER = """
import sys
from pathlib import Path
from gansearch.tune.new_run import describe_run
from gansearch.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_live_runs_in_one_folder_are_refused_and_a_dead_one_is_not(folder):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ResultsError, match=rf"process {holder.pid} on \S+ is at work"),
            folder.lock(),
        ):
            pass
        holder.kill()
        holder.wait()
        with folder.lock():
            assert (folder.path / "lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_lock_is_free_again_after_its_block_whatever_happened_there(folder):
    with pytest.raises(ZeroDivisionError), folder.lock():
        1 / 0  # noqa: B018
    with (
        folder.lock(),
        pytest.raises(ResultsError, match="is at work on this run"),
        RunFolder(folder.path).lock(),
    ):
        pass


# Writing whole or not at all


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError, match=r"file: can't be written: No space left.*[\d,]+ bytes free.*Make room"
    ):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    happened = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: happened.append("flush"))
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (happened.append("name"), replace(self, to))
    )
    write_atomically(tmp_path / "file", b"content")
    assert happened == ["flush", "name", "flush"]


# run.json


def test_run_json_gives_back_what_was_written(folder):
    info = run_info(wall_seconds=1.5)
    description = RunDescription.from_dict(info)
    folder.write_run(description)
    assert folder.read_run() == description
    written = json.loads((folder.path / "run.json").read_text())
    assert written.pop("seal").startswith("blake2b:") and written == description.to_dict()
    assert {key: written[key] for key in info} == info


def test_what_another_version_has_added_to_run_json_is_kept(folder):
    added = {"colour": "blue", "cluster": {"nodes": [1, 2]}}
    write_run_json(folder, run_info() | added)
    description = folder.read_run()
    assert {key: description.facts[key] for key in added} == added
    assert "command" in description.facts and "seed" not in description.facts
    folder.write_run(description)
    assert folder.read_run() == description
    written = json.loads((folder.path / "run.json").read_text())
    assert {key: written[key] for key in added} == added


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"seed": "three"}, "found 'three' for seed"),
        ({"started_at": "yesterday"}, "started_at: Invalid isoformat string"),
        ({"wall_seconds": -1.0}, "found -1.0 for wall_seconds"),
        ({"training_report": 9.0}, "found '9.0' for training_report"),
        ({"training_report": {"name": "training images"}}, "training_report: found 'None' for n_"),
        ({"space": run_info()["space"] | {"fixed": []}}, r"space: fixed: found '\[\]'"),
        ({"space": run_info()["space"] | {"data": 64}}, "space: data: found '64'"),
        ({"data_notes": "none"}, "found 'none' for data_notes"),
        ({"space": run_info()["space"] | {"search": {"k": 3}}}, "space: search: found k: 3"),
    ],
)
def test_a_run_json_with_a_wrong_value_is_told(folder, changes, why):
    write_run_json(folder, run_info() | changes)
    with pytest.raises(ResultsError, match=rf"run\.json: can't be read: {why}"):
        folder.read_run()


def test_a_row_without_what_it_is_found_by_is_told(folder):
    folder.write_trials([{"trial_id": "t00000", "phase": "search"}])
    with pytest.raises(ResultsError, match=r"trials\.parquet: can't be read: a row lacks its"):
        folder.trials()


@pytest.mark.parametrize("value", [1e300, -math.inf])
def test_a_test_score_that_can_be_none_is_told(folder, value):
    folder.write_test_ll("t00000", np.array([1.0, value]))
    with pytest.raises(ResultsError, match="a value that can't be a log-likelihood"):
        folder.test_ll("t00000")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]"])
def test_a_damaged_run_json_is_named(folder, content):
    for name in ("run.json", "run.json.copy"):
        (folder.path / name).write_bytes(content)
    with pytest.raises(ResultsError, match=r"run\.json: can't be read: .*changed or damaged"):
        folder.read_run()


# trials.parquet


def test_the_columns_of_trials_are_the_contract():
    assert " ".join(c for c in TRIALS_COLUMNS if not c.startswith("config.")) == (
        "trial_id number phase config_id seed status reason updates d_updates g_updates seconds "
        "device valid_ll sigma sigma_at_edge coverage recall nn_ratio d_loss g_loss "
        "test_ll test_ll_se overhead_seconds train_nn_ratio p_recovers missing_classes "
        "test_ll_raw valid_ll_raw coverage_raw "
        "valid_ll_all n_classes_effective collapsed_p precision clipped_density clipped_coverage "
        "fld copy_p kl kept_updates forked_from forked_at"
    )
    assert TRIALS_COLUMNS[20] == "config.k"
    assert [c for c in TRIALS_COLUMNS if c.startswith("config.")] == [
        f"config.{name}" for name in TrialConfig.rules()
    ]


def test_trials_are_empty_but_have_their_columns_before_any_trial(folder):
    trials = folder.trials()
    assert len(trials) == 0
    assert tuple(trials.columns) == TRIALS_COLUMNS


def test_an_all_null_column_keeps_its_type_so_that_files_concatenate(folder):
    folder.write_trials([trial_row()])
    first = pq.read_table(folder.path / "trials.parquet")
    folder.write_trials([trial_row(valid_ll=1.5, d_updates=3, sigma_at_edge=True, device="cpu")])
    second = pq.read_table(folder.path / "trials.parquet")
    assert first.schema == second.schema
    assert str(first.schema.field("valid_ll").type) == "double"
    assert str(first.schema.field("d_updates").type) == "int64"
    assert str(first.schema.field("device").type) == "string"
    assert str(first.schema.field("sigma_at_edge").type) == "bool"
    assert first.schema.field("config.generator_widths").type == pa.list_(pa.int64())
    assert pa.concat_tables([first, second])["valid_ll"].to_pylist() == [None, 1.5]


def test_a_parameter_that_does_not_apply_is_null_and_widths_are_a_list(folder):
    folder.write_trials([trial_row(config=TrialConfig(discriminator_activation="relu"))])
    table = pq.read_table(folder.path / "trials.parquet")
    assert table["config.maxout_pieces"].to_pylist() == [None]
    assert table["config.generator_widths"].to_pylist() == [[1200, 1200]]
    assert table["config.k"].to_pylist() == [1]


def test_what_pandas_read_can_be_written_again_without_change(folder):
    folder.write_trials(
        [
            trial_row("a", TrialConfig(optimizer="adam"), valid_ll=2.0, sigma_at_edge=True),
            trial_row("b", TrialConfig(discriminator_activation="relu"), d_updates=4),
        ]
    )
    before = pq.read_table(folder.path / "trials.parquet")
    folder.write_trials(folder.trials().to_dict("records"))
    assert pq.read_table(folder.path / "trials.parquet").equals(before)


def test_every_table_opens_with_plain_pandas(folder):
    folder.write_trials([trial_row("a", valid_ll=1.0)])
    folder.append_history([report()])
    folder.append_history([report(updates=200)])
    pd.testing.assert_frame_equal(pd.read_parquet(folder.path / "trials.parquet"), folder.trials())
    pd.testing.assert_frame_equal(pd.read_parquet(folder.path / "history"), folder.history())


def test_a_wrong_type_is_refused_with_the_column_named(folder):
    with pytest.raises(pa.ArrowException) as caught:
        folder.write_trials([trial_row(updates="many")])
    assert caught.value.__notes__ == ["in column updates"]
    assert not (folder.path / "trials.parquet").exists()


def test_damaged_trials_are_named(folder):
    (folder.path / "trials.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ResultsError, match=r"trials\.parquet: can't be read: "):
        folder.trials()


@st.composite
def configs(draw):
    return TrialConfig(
        k=draw(st.integers(1, 100)),
        optimizer=draw(st.sampled_from(["sgd", "adam"])),
        generator_lr=draw(st.floats(1e-6, 100)),
        generator_activation=draw(st.sampled_from(ACTIVATIONS)),
        discriminator_activation=draw(st.sampled_from(ACTIVATIONS)),
        generator_widths=tuple(draw(st.lists(st.integers(1, 65536), min_size=1, max_size=4))),
        init=draw(st.sampled_from(["uniform", "glorot"])),
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(configs(), min_size=1, max_size=4))
def test_a_configuration_comes_back_from_its_row(tmp_path_factory, configs):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    folder.write_trials([trial_row(f"t{i}", config) for i, config in enumerate(configs)])
    for row, config in zip(folder.trials().to_dict("records"), configs, strict=True):
        values = config_values(row, TrialConfig)
        assert values == config.to_dict()
        assert TrialConfig.from_dict(values).config_id == row["config_id"]


# history/


def test_the_columns_of_history_are_the_contract():
    assert " ".join(HISTORY_COLUMNS) == (
        "trial_id number phase updates d_updates g_updates seconds valid_ll sigma sigma_at_edge "
        "coverage recall nn_ratio d_loss g_loss d_real d_fake d_grad_norm g_grad_norm verdict "
        "reported_at p_recovers valid_ll_raw coverage_raw n_classes_effective collapsed_p "
        "precision clipped_density clipped_coverage d_value"
    )


def test_history_is_empty_but_has_its_columns_before_any_report(folder):
    assert tuple(folder.history().columns) == HISTORY_COLUMNS
    folder.append_history([])
    assert len(folder.history()) == 0


def test_reports_come_back_in_the_order_in_which_they_were_made(folder):
    for i in range(12):
        folder.append_history([report(updates=1200 - 100 * i), report("b", updates=i)])
    history = folder.history()
    assert history["updates"].tolist()[:4] == [1200, 0, 1100, 1]
    assert history["updates"].tolist()[-2:] == [100, 11]
    assert history["reported_at"].iloc[0].to_pydatetime() == NOW
    assert str(history["reported_at"].dtype) == "datetime64[us, UTC]"


def test_another_opener_of_the_folder_appends_and_never_overwrites(folder):
    other = RunFolder.open(folder.path)
    for i in range(3):
        folder.append_history([report(updates=2 * i)])
        other.append_history([report(updates=2 * i + 1)])
    assert updates(folder) == [0, 1, 2, 3, 4, 5]


def test_of_a_report_that_is_there_twice_the_first_counts(folder):
    folder.append_history([report(valid_ll=1.0), report("b")])
    folder.append_history([report(valid_ll=2.0), report(updates=200)])
    history = folder.history()
    assert history["trial_id"].tolist() == ["t00000", "b", "t00000"]
    assert history["valid_ll"].iloc[0] == 1.0


def test_losses_that_are_not_finite_are_kept_as_they_are(folder):
    folder.append_history([report(d_loss=np.nan, g_loss=-np.inf, d_grad_norm=None)])
    table = pq.read_table(folder.path / "history" / "part-00000000.parquet")
    assert np.isnan(table["d_loss"][0].as_py())
    assert table["d_grad_norm"].null_count == 1
    assert table["d_loss"].null_count == 0
    assert folder.history()["g_loss"].iloc[0] == -np.inf


def test_the_newest_parts_alone_are_gathered_behind_the_others(folder):
    for u in range(6):
        folder.append_history([report(updates=u)])
    before = folder.history()
    folder.compact_history(2)
    assert parts(folder) == [f"part-{i:08d}.parquet" for i in (0, 1, 2, 3, 6)]
    pd.testing.assert_frame_equal(folder.history(), before)
    folder.append_history([report(updates=6)])
    assert updates(folder) == list(range(7))


def test_a_few_columns_of_the_history_are_those_of_the_whole(folder):
    folder.append_history([report(updates=u) for u in (100, 200)])
    folder.append_history([report(updates=u) for u in (200, 300)])
    columns = ["trial_id", "updates", "valid_ll"]
    some = folder.history(columns)
    pd.testing.assert_frame_equal(some, folder.history()[columns])
    assert some["updates"].tolist() == [100, 200, 300]


def test_a_torn_part_is_left_out_with_a_warning_that_names_it(folder):
    for i in range(3):
        folder.append_history([report(updates=i)])
    torn = folder.path / "history" / "part-00000001.parquet"
    torn.write_bytes(torn.read_bytes()[:100])
    with pytest.warns(ResultsWarning, match=r"part-00000001\.parquet: left out, it can't be read"):
        assert updates(folder) == [0, 2]
    assert torn.exists()


def test_compaction_gathers_all_parts_in_one_and_keeps_every_report(folder):
    for i in range(5):
        folder.append_history([report(updates=i, d_loss=np.nan), report("b", updates=i)])
    before = folder.history()
    folder.compact_history()
    assert parts(folder) == ["part-00000005.parquet"]
    pd.testing.assert_frame_equal(folder.history(), before)
    folder.append_history([report(updates=99)])
    assert updates(folder)[-1] == 99
    assert len(folder.history()) == 11


def test_compaction_changes_no_type(folder):
    folder.append_history([report(valid_ll=None, sigma_at_edge=None)])
    folder.append_history([report(updates=2, valid_ll=None, sigma_at_edge=None)])
    schema = pq.read_schema(folder.path / "history" / "part-00000000.parquet")
    folder.compact_history()
    compacted = pq.read_table(folder.path / "history" / "part-00000002.parquet")
    assert compacted.schema.equals(schema)
    assert compacted["sigma_at_edge"].null_count == 2


def test_compaction_sets_a_torn_part_aside_and_clears_what_a_kill_left(folder):
    for i in range(3):
        folder.append_history([report(updates=i)])
    history = folder.path / "history"
    (history / "part-00000001.parquet").write_bytes(b"torn")
    (history / ".part-00000003.parquet.123-456.tmp").write_bytes(b"half")
    folder.compact_history()
    assert parts(folder) == ["_part-00000001.parquet.damaged", "part-00000003.parquet"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert updates(folder) == [0, 2]
    assert pd.read_parquet(history)["updates"].tolist() == [0, 2]


@pytest.mark.parametrize("n_done", range(4))
def test_a_kill_between_the_steps_of_compaction_neither_loses_nor_doubles(
    folder, monkeypatch, n_done
):
    for i in range(3):
        folder.append_history([report(updates=i)])
    unlink = Path.unlink
    done = []

    def die(self, **kwargs):
        if len(done) == n_done:
            raise KeyboardInterrupt
        done.append(self)
        unlink(self, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        if n_done < 3:
            with pytest.raises(KeyboardInterrupt):
                folder.compact_history()
        else:
            folder.compact_history()
    assert sorted(updates(folder)) == [0, 1, 2]
    folder.compact_history()
    assert sorted(updates(folder)) == [0, 1, 2]
    assert len(parts(folder)) == 1


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_folder import report
from gansearch.tune.new_run import describe_run
from gansearch.runs.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
start = int(sys.argv[3])
for i in range(start, start + 100000):
    folder.append_history([report(updates=i)])
    print(i, flush=True)
    if i % 7 == 0:
        folder.compact_history()
"""


def test_a_writer_killed_at_random_moments_loses_nothing_that_it_had_acknowledged(folder):
    rng = np.random.default_rng(0)
    start = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, folder.path, Path(__file__).parent, str(start)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with writer:
            # At least one compaction, then a moment within a write or another compaction.
            for i in range(start, start + 8 + rng.integers(20)):
                assert writer.stdout.readline() == f"{i}\n"
            time.sleep(rng.uniform(0, 0.02))
            writer.send_signal(signal.SIGKILL)
            later = writer.stdout.read().split()
            acknowledged = int(later[-1]) if later else i
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = sorted(updates(folder))
        # The report after the last acknowledged one may have arrived or not.
        assert found in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))
        start = found[-1] + 1


def test_a_reader_sees_every_report_once_while_parts_are_compacted(folder):
    for i in range(30):
        folder.append_history([report(updates=i)])
    over = threading.Event()

    def write():
        for i in range(30, 60):
            folder.append_history([report(updates=i)])
            folder.compact_history()
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader = RunFolder(folder.path)
    n_seen, n_reads = 30, 0
    while not over.is_set():
        found = sorted(updates(reader))
        assert found == list(range(len(found)))
        assert len(found) >= n_seen
        n_seen, n_reads = len(found), n_reads + 1
    writer.join()
    assert n_reads > 3
    assert len(updates(reader)) == 60


# ranking, references, test log-likelihoods


def test_the_columns_of_the_ranking_are_the_contract():
    assert " ".join(c for c in RANKING_COLUMNS if not c.startswith("config.")) == (
        "rank tied_with config_id n_seeds n_failed test_ll test_ll_se valid_ll coverage recall "
        "test_ll_low test_ll_high nn_ratio sigma is_paper train_nn_ratio p_works p_works_low "
        "p_works_high updates_per_success test_ll_worst test_ll_seeds test_ll_raw coverage_raw "
        "valid_ll_all n_classes_effective precision clipped_density clipped_coverage fld copy_p "
        "kl name kept_updates pareto_rank p_front"
    )
    assert RANKING_COLUMNS[10] == "config.k"


def test_a_ranking_comes_back_with_its_ties_and_its_unranked(folder):
    assert tuple(folder.ranking().columns) == RANKING_COLUMNS
    frame = pd.DataFrame(
        {
            "rank": [1, 2, np.nan],
            "tied_with": [["b"], ["a"], []],
            "config_id": ["a", "b", "c"],
            "n_seeds": [5, 1, 0],
            "n_failed": [0, 0, 5],
            "test_ll": [8.5, 8.25, np.nan],
            "is_paper": [False, True, False],
            "config.generator_widths": [np.array([64, 64]), np.array([128]), None],
        }
    )
    folder.write_ranking(frame)
    table = pq.read_table(folder.path / "ranking.parquet")
    assert table["rank"].to_pylist() == [1, 2, None]
    assert table["tied_with"].to_pylist() == [["b"], ["a"], []]
    assert table["config.generator_widths"].to_pylist() == [[64, 64], [128], None]
    assert folder.ranking()["test_ll"].tolist()[:2] == [8.5, 8.25]


def test_references_are_written_from_a_frame_or_from_rows(folder):
    assert folder.references().empty
    rows = [{"name": "training images", "test_ll": 29.0, "sigma": 0.1}]
    folder.write_references(rows)
    from_rows = folder.references()
    folder.write_references(pd.DataFrame(rows))
    pd.testing.assert_frame_equal(folder.references(), from_rows)
    assert from_rows["test_ll"].tolist() == [29.0]
    assert from_rows["coverage"].isna().all()


def test_a_curve_comes_back_row_for_row(folder):
    assert folder.curve().empty
    rows = [
        {"name": name, "n_samples": n, "test_ll": -float(n), "sigma_at_edge": n == 100}
        for name in ("winner", "training images")
        for n in (100, 200)
    ]
    folder.write_curve(rows)
    found = folder.curve()
    assert found["name"].tolist() == ["winner"] * 2 + ["training images"] * 2
    assert found["n_samples"].tolist() == [100, 200, 100, 200]
    assert found["test_ll"].tolist() == [-100.0, -200.0] * 2
    assert found["sigma_at_edge"].tolist() == [True, False] * 2
    assert found["sigma"].isna().all()


def test_where_training_dies_comes_back_with_nulls_for_what_there_is_not(folder):
    assert folder.stability().empty and folder.importances().empty
    cells = pd.DataFrame(
        [
            {"kind": "all", "n_trials": 3, "n_survived": 2, "p_survives": 2 / 3},
            {"kind": "map", "parameter": "k", "value": "5", "low": 5.0, "ratio": ">=10"},
        ]
    )
    importances = pd.DataFrame(
        [{"target": "survival", "parameter": "k", "importance": None, "reason": "too few"}]
    )
    folder.write_stability(cells.assign(n_trials=[3, 0]), importances)
    table = pq.read_table(folder.path / "stability.parquet")
    assert table["n_trials"].to_pylist() == [3, 0]
    assert table["n_survived"].to_pylist() == [2, None]
    assert table["parameter"].to_pylist() == [None, "k"]
    assert pq.read_table(folder.path / "importances.parquet")["importance"].null_count == 1
    assert folder.importances()["reason"].tolist() == ["too few"]
    assert folder.stability()["ratio"].iloc[1] == ">=10"


def test_test_log_likelihoods_come_back_bit_for_bit(folder):
    rng = np.random.default_rng(0)
    first, second = rng.normal(200, 200, 1000), rng.normal(200, 200, 1000)
    folder.write_test_ll("r-abc-0", first)
    folder.write_test_ll("r-abc-1", second)
    assert np.array_equal(folder.test_ll("r-abc-0"), first)
    found = folder.test_lls()
    assert list(found) == ["r-abc-0", "r-abc-1"]
    assert np.array_equal(found["r-abc-1"], second)


def test_absent_and_damaged_test_log_likelihoods_are_named(folder):
    assert folder.test_lls() == {}
    with pytest.raises(ResultsError, match=r"r-1\.parquet: absent\. Restore it"):
        folder.test_ll("r-1")
    folder.write_test_ll("r-1", np.zeros(3))
    folder.write_test_ll("r-2", np.ones(3))
    path = folder.path / "test_ll" / "r-1.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(ResultsWarning, match=r"left out: .*r-1\.parquet: can't be read"):
        assert list(folder.test_lls()) == ["r-2"]


# Old and new versions


def test_files_of_version_0_1_open_with_the_values_that_they_had():
    folder = RunFolder.open(GOLDEN)
    trials = folder.trials()
    assert tuple(trials.columns[: len(TRIALS_COLUMNS)]) == TRIALS_COLUMNS
    assert trials["status"].tolist() == ["completed", "collapsed"]
    assert trials["valid_ll"].tolist() == [8.25, -38.0]
    config = TrialConfig(generator_widths=(64, 64), discriminator_activation="relu")
    # Parameters that have been added since have the paper's value.
    assert TrialConfig.from_dict(config_values(trials.iloc[0], TrialConfig)) == config
    history = folder.history()
    assert history["updates"].tolist() == [100, 200]
    assert np.isnan(history["d_loss"].iloc[1])
    assert history["reported_at"].iloc[0].to_pydatetime() == NOW


def test_a_file_without_a_newer_column_reads_as_null_there(folder):
    folder.write_trials([trial_row(overhead_seconds=1.0)])
    table = pq.read_table(folder.path / "trials.parquet")
    older = table.drop_columns(["overhead_seconds", "config.leaky_slope", "reason"])
    pq.write_table(older, folder.path / "trials.parquet")
    trials = folder.trials()
    assert tuple(trials.columns) == TRIALS_COLUMNS
    assert trials["overhead_seconds"].isna().all()
    assert trials["reason"].isna().all()
    assert trials["seed"].tolist() == [7]


def test_a_column_of_a_newer_version_is_shown_at_the_end(folder):
    folder.write_trials([trial_row()])
    table = pq.read_table(folder.path / "trials.parquet")
    newer = table.add_column(0, "colour", pa.array(["blue"]))
    pq.write_table(newer, folder.path / "trials.parquet")
    assert tuple(folder.trials().columns) == (*TRIALS_COLUMNS, "colour")


STAGES = frozenset({"final", "ranking", "reference", "curve"})


@pytest.mark.parametrize("stages", [STAGES, STAGES | {"evaluation"}])
def test_a_measure_that_is_added_to_the_others_is_a_column_and_moves_none(monkeypatch, stages):
    def columns():
        tables = (schemas.trials_schema(TrialConfig), schemas.ranking_schema(TrialConfig))
        return [table.names for table in tables]

    before = columns()
    added = Measure("sharpness", "share", "higher", stages)
    monkeypatch.setattr(schemas, "MEASURES", (*MEASURES, added))
    monkeypatch.setitem(schemas._BY_NAME, "sharpness", ("sharpness", schemas.FLOAT))
    assert columns() == [[*names, "sharpness"] for names in before]


# Speed


def test_appending_a_report_costs_about_a_millisecond_beside_the_disk(folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    folder.append_history([report()])
    costs = []
    for i in range(100):
        start = time.process_time()
        folder.append_history([report(updates=i)])
        costs.append(time.process_time() - start)
    # Measured .9 ms, of the processor, so that others who use it count for nothing.
    assert np.median(costs) < 0.005


@pytest.mark.slow
def test_two_million_reports_and_100_000_trials_load_in_seconds_and_below_two_gigabytes(folder):
    n = 2_000_000
    rng = np.random.default_rng(0)
    columns = {name: pa.array(rng.normal(size=n)) for name in HISTORY_COLUMNS}
    steps = np.arange(n) % 20 * 1000
    columns |= {
        "trial_id": pa.array(np.repeat([f"t{i:05d}" for i in range(n // 20)], 20)),
        "number": pa.array(np.arange(n) // 20),
        "phase": pa.array(["search"] * n),
        **{name: pa.array(steps) for name in ("updates", "d_updates", "g_updates")},
        "sigma_at_edge": pa.array(np.zeros(n, bool)),
        "verdict": pa.array(["sound"] * n),
        "reported_at": pa.array([NOW] * n, pa.timestamp("us", tz="UTC")),
    }
    (folder.path / "history").mkdir()
    path = folder.path / "history" / "part-00000000.parquet"
    pq.write_table(pa.table(columns, schemas.HISTORY), path)
    row = trial_row()
    folder.write_trials([row | {"trial_id": f"t{i:05d}"} for i in range(100_000)])
    script = (
        "import resource, sys, time; from pathlib import Path\n"
        "from gansearch.runs.folder import RunFolder\n"
        "folder = RunFolder(Path(sys.argv[1]))\n"
        "start = time.perf_counter(); n = len(folder.history())\n"
        "middle = time.perf_counter(); m = len(folder.trials())\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(n, m, middle - start, time.perf_counter() - middle, peak / 2**20)"
    )
    command = [sys.executable, "-c", script, folder.path]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    n_reports, n_trials, history_seconds, trials_seconds, peak_gib = map(float, told.split())
    print(f"\nhistory {history_seconds:.1f} s, trials {trials_seconds:.1f} s, {peak_gib:.2f} GiB")
    assert (n_reports, n_trials) == (n, 100_000)
    assert history_seconds < 10
    assert trials_seconds < 10
    assert peak_gib < 2


# docs/files.md


def documented_columns(section):
    """Return (column, type) of the table below a heading of the page."""
    page = (ROOT / "docs" / "files.md").read_text()
    text = page.split(f"\n## `{section}`\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\S+)` \| ([^|]+) \|", text, flags=re.MULTILINE)
    return [(name, kind.strip()) for name, kind in rows]


@pytest.mark.parametrize(
    ("section", "schema"),
    [
        ("trials.parquet", schemas.trials_schema(TrialConfig)),
        ("history/part-*.parquet", schemas.HISTORY),
        ("ranking.parquet", schemas.ranking_schema(TrialConfig)),
        ("warm_start.parquet", schemas.warm_start_schema(TrialConfig)),
        ("references.parquet", schemas.REFERENCES),
        ("curve.parquet", schemas.CURVE),
        ("stability.parquet", schemas.STABILITY),
        ("importances.parquet", schemas.IMPORTANCES),
        ("test_ll/<trial_id>.parquet", schemas.TEST_LL),
    ],
)
def test_the_page_describes_every_column_with_its_type_in_order(section, schema):
    expected = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        text = re.sub(r"list<\w+: (\w+)>", r"list<\1>", str(kind))
        is_config = name.startswith("config.") and name != "config.schedule"  # which came later
        entry = ("config.<name>", "by parameter") if is_config else (name, text)
        if entry not in expected:
            expected.append(entry)
    assert documented_columns(section) == expected


def test_the_page_names_every_status():
    page = (ROOT / "docs" / "files.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| `status` "))
    assert re.findall(r"`(\w+)`", row)[1:] == list(schemas.STATUSES)


def test_the_keys_of_run_json_on_the_page_are_those_that_a_run_writes():
    training = {"name": "training images", "n_samples": 1000, "valid_ll": 29.0}
    digits = load_dataset("digits")
    described = describe_run("run", load_space("digits"), (), 0, Settings(), training, digits)
    keys = [key for key, _ in documented_columns("run.json")]
    keys.remove("seal")  # which every file has
    # Only of runs that begin with earlier ones, or whose space a resume has changed.
    keys = [key for key in keys if key not in ("warm_start", "former_spaces")]
    assert len(keys) == 23
    assert sorted(keys) == sorted(described.to_dict())
