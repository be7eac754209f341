"""A folder that takes no more ends a run in order, with everything before it readable."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gansearch
from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import StorageError
from gansearch.runs.folder import RunFolder
from gansearch.system.files import BLANK_SEAL, fault_of_seal, sealed, set_aside
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from gansearch.tune.session import saving_at_the_end
from tests.written_runs import spec

TINY = TrialConfig(generator_widths=(8,), discriminator_widths=(8,), noise_dim=4)


# Seals


def test_every_flipped_bit_of_a_sealed_file_is_told_but_in_the_seals_own_name():
    data = sealed(json.dumps({"seal": BLANK_SEAL, "text": "x" * 60}).encode())
    assert fault_of_seal(data) is None
    start = data.index(b"blake2b:")
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            is_mark = start <= at < start + len(b"blake2b:")
            assert (fault_of_seal(bytes(damaged)) is None) == is_mark


def test_a_file_without_a_seal_is_of_an_older_version_and_believed():
    assert fault_of_seal(b"{}") is None


def test_what_is_set_aside_takes_nobodys_place(tmp_path):
    names = []
    for content in (b"a", b"b", b"c"):
        (tmp_path / "file").write_bytes(content)
        names.append(set_aside(tmp_path / "file").name)
    assert names == ["_file.damaged", "_file.damaged-2", "_file.damaged-3"]
    assert (tmp_path / "_file.damaged").read_bytes() == b"a"


# Checkpoints


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("digits")


@pytest.fixture
def process(dataset, tmp_path):
    budget = Budget(max_updates=400, reports=4)
    plan = TrialPlan(tmp_path / "run", {}, budget, slice_seconds=60)
    return TrialProcess.prepare(dataset, plan)


def trial(seed=3):
    return spec(0, TINY, seed=seed)


def checkpointed(process):
    runner = TrialRunner(trial(), process)
    first = runner.step()
    runner.stop()
    return first, process.plan.folder / "checkpoints" / "t00000.safetensors"


@pytest.mark.parametrize("how", ["flipped", "torn", "empty", "another's"])
def test_a_damaged_checkpoint_is_set_aside_and_its_trial_begins_again(process, how):
    first, path = checkpointed(process)
    content = path.read_bytes()
    seed = 3
    if how == "flipped":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
    elif how == "torn":
        path.write_bytes(content[:1000])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        seed = 4
    again = TrialRunner(trial(seed), process).step()
    assert again.updates == first.updates == 100
    if seed == 3:
        assert again.valid_ll == first.valid_ll
    assert again.note.startswith(f"{path}: damaged (")
    assert again.note.endswith(
        "set aside as _t00000.safetensors.damaged. t00000 begins again from its start"
    )
    assert (path.parent / "_t00000.safetensors.damaged").exists()


def test_a_sound_checkpoint_is_gone_on_from_and_nothing_is_noted(process):
    checkpointed(process)
    runner = TrialRunner(trial(), process)
    results = [runner.step(), runner.step()]
    assert [result.updates for result in results] == [100, 200]
    assert all(result.note is None for result in results)


def test_what_a_worker_can_not_write_ends_no_trial_but_is_told(process):
    runner = TrialRunner(trial(), process)
    while runner.step().updates < 300:
        pass
    models = process.plan.folder / "models"
    shutil.rmtree(models)
    models.write_bytes(b"")  # where a folder is to be made
    result = runner.step()
    assert result.unwritable.startswith(f"{models}/t00000/") and not result.done
    assert result.verdict is None


# The whole run


def test_a_disk_that_answers_nothing_hides_not_what_it_took_no_more(process, monkeypatch):
    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "is_file", stale)
    session = SimpleNamespace(
        folder=RunFolder(process.plan.folder), resume_command="gansearch resume some"
    )
    with (
        pytest.raises(StorageError, match="the first To go on: gansearch resume some"),
        saving_at_the_end(session),
    ):
        raise StorageError("the first")


FULL = """
mount -t tmpfs -o size=1m tmpfs "$DISK" || exit 99
"$PYTHON" -m gansearch run --results "$DISK" --name full --quiet \\
    --trials 2 --max-updates 8000 --top 1 --replicas 1 --set 'generator_widths=[512,512]'
code=$?
cp -r "$DISK"/full "$KEPT"
exit $code
"""


@pytest.mark.ray
def test_a_full_disk_ends_the_run_with_one_message_and_everything_before_it_readable(tmp_path):
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root: a small disk is mounted")
    (tmp_path / "disk").mkdir()
    places = {"DISK": tmp_path / "disk", "KEPT": tmp_path / "kept", "PYTHON": sys.executable}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", FULL],
        env=os.environ | {name: str(process) for name, place in places.items()},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    if done.returncode == 99:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"Error: {tmp_path}/disk/full/")
    assert "can't be written: No space left on device. The file system at" in done.stderr
    assert "bytes free." in done.stderr
    assert done.stderr.endswith(f"To go on: gansearch resume {tmp_path}/disk/full\n")
    run = gansearch.load(tmp_path / "kept")
    assert run.read_run().state in ("searching", "interrupted")
    assert len(run.trials()) > 0
