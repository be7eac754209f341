"""The private folder of a run's own Ray."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gansearch.errors import BadInputError
from gansearch.system import temporary
from gansearch.system.temporary import private_folder, temporary_root


@pytest.fixture(autouse=True)
def _no_folder_is_named(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)


@pytest.fixture
def short(monkeypatch):
    """A folder with a short path."""
    folder = temporary.tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setenv("TMPDIR", folder)
    yield temporary.Path(folder)
    shutil.rmtree(folder)


def test_a_folder_whose_path_is_too_long_for_a_socket_is_left_aside_and_said(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    root = temporary_root()
    assert str(root.path) == "/tmp"
    assert root.note == f"TMPDIR={long}: too long a path for a socket. Ray's files go to /tmp."
    assert not list(long.iterdir())


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/nonexistent", "No such file or directory"),
        ("/proc", "No such file or directory"),
        ("here", "not an absolute path"),
    ],
)
def test_a_folder_that_cannot_be_used_is_left_aside_and_said(monkeypatch, folder, why):
    monkeypatch.setenv("TMPDIR", folder)
    assert temporary_root().note.startswith(f"TMPDIR={folder}: ")
    assert why in temporary_root().note or folder == "/proc"


def test_a_full_disk_is_left_aside(monkeypatch, short):
    usage = shutil.disk_usage
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr(
        temporary.shutil, "disk_usage", lambda path: full if path == short else usage(path)
    )
    assert temporary_root().refused == (f"TMPDIR={short}: its disk is full",)


def test_where_no_folder_can_be_used_one_message_says_why_of_each(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    monkeypatch.setattr(temporary, "_SYSTEM_FOLDERS", ("/absent",))
    with pytest.raises(BadInputError, match=r"TMPDIR=/nonexistent: .*; /absent: .*Set TMPDIR"):
        temporary_root()


def test_the_folder_is_private_and_gone_at_the_end(short):
    with private_folder() as folder:
        (folder / "session").mkdir(parents=True)
        assert folder.parents[1] == short and folder.parent.stat().st_mode & 0o777 == 0o700
    assert not list(short.iterdir())


def test_only_what_a_killed_run_left_behind_is_deleted(short):
    other = short / "gan-of-another-program"
    other.mkdir()
    code = (
        "from gansearch.system.temporary import private_folder\n"
        "import time\nwith private_folder() as folder:\n    print(folder, flush=True)\n"
        "    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    left = temporary.Path(process.stdout.readline().strip()).parent
    with private_folder():
        assert left.exists()
    process.kill()
    process.wait()
    with private_folder() as folder:
        assert set(short.iterdir()) == {other, folder.parent}
