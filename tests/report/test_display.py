"""A display that goes away, whatever the way: the work that it shows goes on."""

import errno
import io
import os
import pty
import re
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from gansearch.budget import Budget
from gansearch.errors import BadInputError, InterruptedRunError
from gansearch.report import display as module
from gansearch.report.display import ExpendableFile, activities, expendable
from gansearch.report.frame import Score
from gansearch.report.progress import Progress

BUDGET = Budget(trials=2, max_updates=100, top=1, replicas=1)


class Failing(io.StringIO):
    """A file that fails from the n-th write on."""

    def __init__(self, error, n=0):
        super().__init__()
        self.error, self.left = error, n

    def write(self, text):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().write(text)


class FailingConsole(Console):
    """A console that fails by itself, as by a bug in what draws."""

    def print(self, *_args, **_kwargs):
        raise RuntimeError("no such style")


def shown(console, error=None, n_steps=20):
    """Show a whole run; return the number of its steps that were made."""
    n = 0
    progress = Progress(console, budget=BUDGET, n_replicas=2, time_budget_seconds=None)
    with progress:
        progress.activity("loading")
        progress.phase("search", 2)
        for i in range(n_steps):
            progress.trial_started(f"t{i}", "k=2")
            progress.trial_reported(f"t{i}", 100, Score(1.0, 1000), 0.5)
            progress._display.tick_safely()
            progress.trial_ended(f"t{i}", "completed", "", Score(1.0, 1000))
            progress.note("a note")
            n += 1
        if error is not None:
            raise error
    return n


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        ValueError("I/O operation on closed file."),
        RuntimeError("whatever"),
    ],
)
def test_a_file_that_fails_silences_the_display_and_the_work_goes_on(capsys, error, n, terminal):
    file = Failing(error, n)
    console = Console(file=file, force_terminal=terminal, width=80)
    stdout, stderr = sys.stdout, sys.stderr
    assert shown(console) == 20
    assert (sys.stdout, sys.stderr) == (stdout, stderr)
    assert console.file is file
    found = capsys.readouterr()
    assert found.out == ""
    why = getattr(error, "strerror", None) or error
    assert found.err == f"Progress can't be shown any more ({why}). The run goes on.\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_console_that_fails_by_itself_is_dropped_too(capsys, terminal):
    assert shown(FailingConsole(file=io.StringIO(), force_terminal=terminal)) == 20
    assert "no such style" in capsys.readouterr().err


def test_a_display_that_fails_where_stderr_fails_too_is_dropped_in_silence(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Failing(BrokenPipeError()))
    assert shown(Console(file=Failing(BrokenPipeError()))) == 20


def test_a_reader_that_is_slow_misses_a_line_and_gets_the_next():
    file = Failing(BlockingIOError(errno.EAGAIN, "unavailable"))
    with expendable(Console(file=file)) as expended:
        expended.write("lost")
        file.left = 1
        expended.write("seen")
    assert file.getvalue() == "seen"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_character_that_the_encoding_lacks_becomes_a_question_mark(encoding):
    raw = io.BytesIO()
    file = ExpendableFile(io.TextIOWrapper(raw, encoding=encoding, errors="strict"))
    file.write("größe \U0001f600 \udcff\n")
    file.flush()
    assert raw.getvalue() == "größe ? ?\n".encode(encoding, "replace")
    assert file.failure is None


def test_a_console_that_follows_stdout_does_so_again_afterwards(monkeypatch):
    console = Console()
    with expendable(console):
        pass
    other = io.StringIO()
    monkeypatch.setattr(sys, "stdout", other)
    console.print("seen")
    assert other.getvalue() == "seen\n"


class Screen:
    """What a terminal of so many columns and lines shows of the bytes it gets."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.lines, self.row, self.column = [""], 0, 0

    def feed(self, data):
        text = data.decode(errors="replace")
        for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[^\x1b]", text):
            self._take(part)

    def _take(self, part):
        if part == "\r":
            self.column = 0
        elif part == "\n":
            self._down()
        elif part.startswith("\x1b"):
            if part[-1] == "A":
                top = max(0, len(self.lines) - self.height)
                self.row = max(top, self.row - int(part[2:-1] or 1))
            elif part == "\x1b[2K":
                self.lines[self.row] = ""
        else:
            if self.column == self.width:
                self.column = 0
                self._down()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + part + line[self.column + 1 :]
            self.column += 1

    def _down(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")


@pytest.fixture
def terminal(monkeypatch):
    """A pseudo-terminal: its slave as a text file, and what was written to it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "_TICK_SECONDS", 3600)
    master, slave = pty.openpty()
    file = os.fdopen(slave, "w", encoding="utf-8", newline="")
    yield master, file
    with suppress(OSError):  # one test has closed the other end
        file.close()
    with suppress(OSError):
        os.close(master)


def read(master, marker):
    """Return what the terminal gets until it has got `marker`: the kernel takes its time."""
    found = b""
    while marker not in found:
        assert select.select([master], [], [], 30)[0], found
        found += os.read(master, 65536)
    return found


SHOW_CURSOR = b"\x1b[?25h"


@pytest.mark.parametrize("height", [4, 5, 8, 24])
@pytest.mark.parametrize("error", [None, InterruptedRunError("stop"), RuntimeError("no")])
def test_ctrl_c_and_the_end_leave_no_stale_lines_on_a_terminal(terminal, height, error):
    master, file = terminal
    screen = Screen(80, height)
    console = Console(file=file, width=80, height=height, force_terminal=True)
    progress = Progress(console, budget=BUDGET, n_replicas=2, time_budget_seconds=None)
    stopped = threading.Event()
    progress.is_stopping = stopped.is_set
    try:
        with progress:
            progress.phase("search", 60)
            for i in range(4):
                progress.trial_started(f"t{i}", "discriminator_activation=leaky_relu " * 4)
                progress._display.tick()
            screen.feed(read(master, b"4 running"))
            for _ in range(2):
                os.write(master, b"\x03")  # echoed as ^C where the cursor stands
                screen.feed(read(master, b"^C"))
            stopped.set()
            progress._display.tick()
            screen.feed(read(master, b"stopping"))
            heads = [line for line in screen.lines if line.startswith(("search", "stopping"))]
            assert heads == ["stopping: 4 trials save their state; Ctrl-C again stops at once"]
            if error is not None:
                raise error
    except (InterruptedRunError, RuntimeError):
        pass
    screen.feed(read(master, SHOW_CURSOR))
    outcome = {None: "finished", InterruptedRunError: "interrupted"}.get(
        None if error is None else type(error), "failed"
    )
    assert [line.rstrip() for line in screen.lines if line.strip()] == [
        f"{outcome}: search 0/60",
        "no score yet",
        "0 s in all",
    ]


def test_a_terminal_that_is_closed_is_done_without(terminal):
    master, file = terminal
    console = Console(file=file, width=80, force_terminal=True)
    os.close(master)
    assert shown(console) == 20


def test_bad_input_leaves_nothing_of_the_display_on_a_terminal(terminal):
    master, file = terminal
    screen = Screen(80, 24)
    console = Console(file=file, width=80, height=24, force_terminal=True)
    with pytest.raises(BadInputError):
        shown(console, BadInputError("no such space"), n_steps=3)  # what the kernel's buffer holds
    screen.feed(read(master, SHOW_CURSOR))
    assert not [line for line in screen.lines if "finished" in line or "in all" in line]


def test_a_command_that_is_soon_over_says_nothing_of_what_it_does(monkeypatch):
    monkeypatch.setattr(module, "FIRST_LINE_SECONDS", 3600)
    to = io.StringIO()
    with activities(Console(file=to)) as begin:
        begin("scoring")
    assert to.getvalue() == ""


def test_a_command_that_takes_its_time_says_what_it_does(monkeypatch):
    monkeypatch.setattr(module, "FIRST_LINE_SECONDS", 0)
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.01)
    said = threading.Event()

    class Watched(io.StringIO):
        def flush(self):
            said.set()

    to = Watched()
    with activities(Console(file=to)) as begin:
        begin("scoring")
        assert said.wait(30)
    assert to.getvalue().startswith("scoring; 0 s so far\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_silences_the_display(capsys):
    full = Path("/dev/full").open("w")  # noqa: SIM115
    assert shown(Console(file=full)) == 20
    with suppress(OSError):  # what it holds can't be written at the end either
        full.close()
    assert "No space left on device" in capsys.readouterr().err
