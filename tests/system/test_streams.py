"""Commands whose standard streams are closed, full, in another encoding, or don't block."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the descriptors are when a command's work begins, and what it prints.
SCRIPT = """
import os, sys
from gansearch.system.streams import prepare_standard_streams
prepare_standard_streams()
with open("out.parquet", "w") as file:
    os.system("echo from a child; echo from a child >&2")
    os.write(1, b"from C")
    os.write(2, b"from C")
    print("from Python")
    print("from Python", file=sys.stderr, flush=True)
    sys.stdin.read()
assert open("out.parquet").read() == ""
with open("done", "w") as file:
    file.write(str(file.fileno()))
"""


def run(shell, folder, **more):
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHON": sys.executable} | more
    return subprocess.run(
        ["bash", "-c", shell], cwd=folder, env=env, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "closed", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"]
)
def test_a_closed_descriptor_is_never_that_of_another_file(tmp_path, closed):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run(f'"$PYTHON" script.py </dev/null {closed}', tmp_path)
    assert done.returncode == 0, done.stderr
    assert int((tmp_path / "done").read_text()) > 2


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_without_streams_ends_as_it_would_with_them(tmp_path, closed):
    assert run(f'"$PYTHON" -m gansearch spaces {closed}', tmp_path).returncode == 0
    done = run(f'"$PYTHON" -m gansearch report nowhere {closed}', tmp_path)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_a_full_device_is_one_clear_error(tmp_path):
    done = run('"$PYTHON" -m gansearch spaces mnist >/dev/full', tmp_path)
    assert done.returncode == 1
    assert done.stderr == b"Error: standard output: No space left on device\n"
    assert run('"$PYTHON" -m gansearch report nowhere 2>/dev/full', tmp_path).returncode == 2


def test_a_closed_pipe_is_quiet_on_either_stream(tmp_path):
    quiet = 'set -o pipefail; "$PYTHON" -m gansearch spaces 2>errors | true; echo ${PIPESTATUS[0]}'
    done = run(quiet, tmp_path)
    assert done.stdout.strip() in (b"0", b"1")  # 0 if all was written before the pipe closed
    assert (tmp_path / "errors").read_bytes() == b""
    both = '"$PYTHON" -m gansearch report nowhere 2>&1 >&- | true; echo ${PIPESTATUS[0]}'
    assert run(both, tmp_path).stdout.strip() == b"2"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp037"])
def test_a_name_that_the_encoding_lacks_is_printed_somehow(tmp_path, encoding):
    (tmp_path / "größe – π.yaml").write_text("dataset: nosuch")
    done = run('"$PYTHON" -m gansearch spaces *.yaml; echo $?', tmp_path, PYTHONIOENCODING=encoding)
    assert done.stdout.strip() == b"2"
    error = done.stderr.decode(encoding, "replace")  # Click takes ASCII for UTF-8
    assert "nosuch" in error
    assert "Traceback" not in error


def test_a_pipe_that_does_not_block_gets_all_of_a_long_output(tmp_path):
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "from gansearch.system.streams import prepare_standard_streams\n"
        "prepare_standard_streams()\n"
        "for i in range(50_000): print(i)\n"
    )
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env=env, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    with os.fdopen(reader) as file:
        lines = file.read().split()
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, b"")
    assert lines == [str(i) for i in range(50_000)]


@pytest.mark.parametrize("columns", ["0", "²", "-5", "1e3", "", "garbage"])
def test_a_width_that_is_no_width_is_ignored(tmp_path, columns):
    done = run('"$PYTHON" -m gansearch spaces', tmp_path, COLUMNS=columns, LINES=columns)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"digits" in done.stdout
