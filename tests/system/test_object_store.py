"""Results in an object store: the same run, the same files, and a clear error without one."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

import gansearch
from gansearch.errors import BadInputError, ResultsError, StorageError
from gansearch.report.report import build_report
from gansearch.report.sampling import write_samples
from gansearch.runs import lease
from gansearch.runs.folder import RunFolder
from gansearch.system.files import set_aside, write_atomically
from gansearch.system.object_store import RemotePath, parse_path
from gansearch.tune.repair import repair_run
from gansearch.tune.session import saving_at_the_end
from tests.written_runs import finished_run


@pytest.fixture(scope="module")
def store():
    """An S3 server on this machine, with one bucket; its path as a user would write it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-word")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        _, port = server.get_host_and_port()
        address = f"127.0.0.1:{port}"
        fs.S3FileSystem(
            endpoint_override=address, scheme="http", region="us-east-1", allow_bucket_creation=True
        ).create_dir("runs")
        yield parse_path(f"s3://runs?endpoint_override={address}&scheme=http")
        server.stop()


@pytest.fixture
def here(store, request):
    return store / request.node.name.partition("[")[0]


# Paths


@pytest.mark.parametrize("text", ["results", "/a/b", "file:///a/b", "a:b", "C:"])
def test_what_names_no_store_is_a_path_of_this_machine(text):
    assert str(parse_path(text)) == text.removeprefix("file://")


def test_a_path_in_a_store_reads_as_it_was_written():
    text = "s3://bucket/a/b?region=eu-west-1"
    path = parse_path(text)
    assert str(path) == text and parse_path(path) == path
    assert str(path / "c.txt") == "s3://bucket/a/b/c.txt?region=eu-west-1"
    assert ((path / "c.txt").name, (path / "c.txt").stem) == ("c.txt", "c")
    assert (path / "c").with_name("d") == path / "d"
    assert (path / "c").parent == path and parse_path("s3://bucket").parent == parse_path(
        "s3://bucket"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://x/y", "unknown scheme"),
        ("s3://", "found no bucket"),
        ("s3://key:word@bucket/x", "found credentials in the path"),
        ("s3://bucket/x?secret_key=word", "unknown option 'secret_key'"),
    ],
)
def test_text_that_names_no_path_in_a_store_is_refused(text, why):
    with pytest.raises(BadInputError, match=why) as raised:
        parse_path(text)
    assert "word" not in str(raised.value)


def test_an_object_does_what_a_file_does(here):
    path = here / "folder" / "part-1.txt"
    assert not path.exists() and not here.exists()
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and path.is_file() and here.is_dir()
    assert time.time() - path.stat().st_mtime < 60
    write_atomically(here / "folder" / "other", b"")
    assert {found.name for found in (here / "folder").iterdir()} == {"part-1.txt", "other"}
    assert [found.name for found in (here / "folder").glob("part-*.txt")] == ["part-1.txt"]
    assert list((here / "none").iterdir()) == []
    assert set_aside(path).name == "_part-1.txt.damaged" and not path.exists()
    path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        path.read_bytes()


# A run's folder


def test_a_run_in_a_store_reads_as_one_on_disk(here, tmp_path):
    on_disk, remote = finished_run(tmp_path), finished_run(here)
    for name in ("trials", "history", "ranking", "references", "read_run"):
        expected, found = getattr(on_disk, name)(), getattr(remote, name)()
        assert found.equals(expected) if isinstance(found, pd.DataFrame) else found == expected
    assert str(build_report(remote).winner_minus_paper) == str(
        build_report(on_disk).winner_minus_paper
    )
    assert RunFolder.open(str(remote.path)).trials().equals(on_disk.trials())
    assert RunFolder.open("digits-1", here).path == remote.path
    for named in (("digits-2", here), (str(here / "digits-2"),)):
        with pytest.raises(ResultsError, match=r"Did you mean digits-1\?"):
            RunFolder.open(*named)
    with pytest.raises(ResultsError, match=r"exists\. A new run needs a folder of its own"):
        RunFolder.create(here, "digits-1")
    secret = b"secret-word"
    assert not any(secret in path.read_bytes() for path in remote.path.iterdir() if path.is_file())


def test_parts_are_gathered_and_a_damaged_one_is_set_aside(here):
    folder = finished_run(here)
    for updates in range(4):
        row = {"trial_id": "t00000", "number": 0, "phase": "search", "updates": updates}
        folder.append_history([row])
    parts = sorted(path.name for path in (folder.path / "history").iterdir())
    (folder.path / "history" / parts[1]).write_bytes(b"torn")
    folder.compact_history()
    assert folder.history()["updates"].tolist() == [0, 2, 3]
    names = sorted(path.name for path in (folder.path / "history").iterdir())
    assert names == [f"_{parts[1]}.damaged", "part-00000004.parquet"]


# Two at once


def test_a_run_in_a_store_is_held_by_one_process_until_it_lets_go(here, monkeypatch):
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.0)
    folder = finished_run(here)
    with folder.lock():
        busy = r"process \d+ on .* is at work on this run"
        with pytest.raises(ResultsError, match=busy), RunFolder(folder.path).lock():
            pass
        assert folder.fault() is None
    assert not (folder.path / "lock").exists()


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({"host": "elsewhere"}, True),
        ({"host": "elsewhere", "renewed_at": time.time() - 3600}, False),
        ({"process": 2**22 + 1}, False),  # a dead one of this machine
    ],
)
def test_a_lease_of_the_dead_or_the_silent_does_not_hold(here, monkeypatch, changes, holds):
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.0)
    path = here / f"{len(changes)}{holds}" / "lock"
    with lease.leased(path):
        holder = json.loads(path.read_bytes()) | {"word": "other"} | changes
    write_atomically(path, json.dumps(holder).encode())
    if holds:
        with pytest.raises(ResultsError, match="on elsewhere is at work"), lease.leased(path):
            pass
    else:
        with lease.leased(path):
            pass


def test_a_holder_that_was_taken_over_learns_of_it(here, monkeypatch):
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.05)
    path = here / "lock"
    with lease.leased(path) as held:
        other = {"word": "other", "host": "elsewhere", "process": 7, "renewed_at": time.time()}
        for _ in range(100):
            write_atomically(path, json.dumps(other).encode())
            time.sleep(0.05)
            if held.fault:
                break
        assert held.fault == "process 7 on elsewhere has taken the run over"
    assert json.loads(path.read_bytes()) == other  # it is not ours to remove


def test_a_run_that_was_taken_over_is_written_no_more(here, monkeypatch):
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.0)
    folder = finished_run(here)
    before = folder.read_run()
    recorder = SimpleNamespace(flush=lambda: pytest.fail("written"), seconds=1.0)
    session = SimpleNamespace(
        folder=folder,
        recorder=recorder,
        resume_command="gansearch resume some",
        describe=lambda **_: pytest.fail("written"),
    )
    with folder.lock():
        folder._lease.fault = "process 7 on elsewhere has taken the run over"
        with pytest.raises(StorageError, match="To go on: "), saving_at_the_end(session):
            raise StorageError(folder.fault())
    assert folder.read_run() == before


def test_a_lease_that_can_not_be_given_back_hides_no_error(here, monkeypatch):
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.0)
    with pytest.raises(StorageError, match="the first"), lease.leased(here / "lock"):
        monkeypatch.setattr(RemotePath, "read_bytes", refuse)
        raise StorageError("the first")


# Errors


def refuse(*_):
    raise OSError("AWS Error NETWORK_CONNECTION")


def test_what_the_store_does_not_give_is_not_taken_for_damaged(here, monkeypatch):
    folder = finished_run(here)
    folder.append_history([{"trial_id": "t0", "number": 0, "phase": "search", "updates": 1}])
    kept = {path.name for path in folder.path.iterdir()}
    monkeypatch.setattr(folder, "restore_description", list)
    monkeypatch.setattr(RemotePath, "read_bytes", refuse)
    with pytest.raises(ResultsError, match=r"trials\.parquet.*NETWORK_CONNECTION.*Check that the"):
        repair_run(folder)
    folder.compact_history()
    monkeypatch.undo()
    assert {path.name for path in folder.path.iterdir()} == kept
    assert folder.history()["updates"].tolist() == [1]


def test_a_bucket_that_is_not_there_is_one_message(store):
    nowhere = RemotePath("s3", "no-such-bucket", store.query)
    with pytest.raises(ResultsError, match=r"NO_SUCH_BUCKET.*Check that the bucket exists"):
        RunFolder.create(nowhere, "one")
    with pytest.raises(StorageError, match=r"can't be written: .*NO_SUCH_BUCKET"):
        write_atomically(nowhere / "x", b"")


def test_a_store_that_nobody_answers_for_is_one_message_within_seconds():
    start = time.monotonic()
    with pytest.raises(ResultsError, match=r"can't be made: .*NETWORK_CONNECTION"):
        RunFolder.create(parse_path("s3://runs?endpoint_override=127.0.0.1:1&scheme=http"), "one")
    with pytest.raises(ResultsError, match=r"can't be read: .*NETWORK_CONNECTION.*Check that the"):
        RunFolder.open("s3://runs/one?endpoint_override=127.0.0.1:1&scheme=http")
    assert time.monotonic() - start < 30


# A whole search


def gansearch_process(*args):
    command = [sys.executable, "-m", "gansearch", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


SMALL = (
    *("--trials", "2", "--max-updates", "6000", "--replicas", "0", "--max-concurrent", "1"),
    *("--set", "generator_widths=[128]", "--set", "discriminator_widths=[64]"),
)


@pytest.mark.slow
def test_a_search_onto_a_store_is_killed_resumed_and_reported(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = gansearch_process("run", "--results", str(here), "--name", "one", "--quiet", *SMALL)
    run = RunFolder(here / "one")
    while process.poll() is None and len(list((run.path / "history").glob("part-*"))) < 2:
        time.sleep(0.2)
    assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    acknowledged = run.history()
    resumed = gansearch_process("resume", str(run.path), "--quiet")
    out, err = resumed.communicate(timeout=200)
    assert (resumed.returncode, out, err) == (0, "", "")
    run = gansearch.load(str(run.path))
    assert run.read_run().state == "finished"
    trials = run.trials()
    assert (trials["phase"] == "search").sum() == 2
    assert not set(trials["status"]) & {"running", "failed"}
    assert len(acknowledged.merge(run.history(), on=["trial_id", "updates"])) == len(acknowledged)
    assert len(build_report(run).leaderboard) > 0
    for name in ("report.html", "optuna.journal", "tune"):
        assert (run.path / name).exists()
    write_samples(run, tmp_path / "samples.npy")
    # Nothing of the run lies on this machine.
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npy"]
