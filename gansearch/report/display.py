"""Where progress is shown: lines that are redrawn on a terminal, lines that follow each other
elsewhere. It may go away (a closed pipe or terminal, a full device): the run then goes on without.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from gansearch.report.formatting import duration, printable
from gansearch.system.checks import first_line

_TICK_SECONDS = 0.25
# Where lines follow each other: between two signs of life, and before one says what is done now.
HEARTBEAT_SECONDS = 15.0
FIRST_LINE_SECONDS = 1.0


class ExpendableFile:
    """The file of a console, which falls silent for good when a write to it fails.

    A character that the file's encoding lacks becomes a question mark.

    Attributes:
        failure: why it is silent; None while it works.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.failure: BaseException | None = None

    def write(self, text: str) -> int:
        """Write a text, or nothing."""
        if self.failure is None:
            encoding = getattr(self._file, "encoding", None) or "utf-8"
            with self._falling_silent():
                self._file.write(text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush what was written."""
        if self.failure is None:
            with self._falling_silent():
                self._file.flush()

    def fail(self, error: BaseException) -> None:
        """Fall silent, and say so on stderr, if that is another file and works."""
        if self.failure is None:
            self.failure = error
            why = getattr(error, "strerror", None) or first_line(error)
            stderr = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
            with suppress(Exception):
                stderr.write(f"Progress can't be shown any more ({why}). The run goes on.\n")

    @contextmanager
    def _falling_silent(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            pass  # the reader is slow: it misses this, and gets the next
        except Exception as error:
            self.fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def expendable(console: Console) -> Iterator[ExpendableFile]:
    """Let a console fall silent, instead of raising, when its file fails."""
    before = console.file
    if isinstance(before, ExpendableFile):
        yield before
        return
    file = ExpendableFile(before)
    console.file = file  # type: ignore[assignment]  # it has what rich uses of a file
    try:
        yield file
    finally:
        # None is what a console has that follows `sys.stdout`.
        is_standard = before is sys.stdout
        console.file = None if is_standard else before  # type: ignore[assignment]


class Display:
    """Shows lines, and how a work goes on, until it is stopped; safe to call from any thread.

    Args:
        console: where to draw; its file is expendable.
        frame: returns what a terminal shows at this moment.
        due_line: returns the line that is due elsewhere at this moment, or None.
    """

    def __init__(
        self,
        console: Console,
        *,
        frame: Callable[[], RenderableType],
        due_line: Callable[[], str | None],
    ) -> None:
        self._console = console
        self._frame = frame
        self._due_line = due_line
        self._file: ExpendableFile | None = None
        self._live: Live | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, daemon=True)

    @property
    def is_live(self) -> bool:
        """Whether lines are redrawn."""
        return self._live is not None

    def start(self, file: ExpendableFile) -> None:
        """Begin to draw on the console, whose file is `file`."""
        self._file = file
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                get_renderable=self._frame,
            )
            self._show(self._live.start)
        self._thread.start()

    def stop(self, *, erase: bool = False) -> None:
        """Draw the last frame, or erase what was drawn."""
        self._done.set()
        try:
            self._thread.join()
        finally:  # a second Ctrl-C must not leave the terminal without a cursor
            if self._live is not None:
                self._live.transient = erase
                self._show(self._live.stop)
                self._live = None

    def print(self, text: str) -> None:
        """Print a line, on a terminal above those that are redrawn."""
        if self._file is None or self._file.failure is not None:
            return
        line = Text(printable(text))
        self._show(lambda: self._console.print(line, soft_wrap=True))

    def tick_safely(self) -> None:
        """Do what `tick` does; if it fails, fall silent."""
        self._show(self.tick)

    def tick(self) -> None:
        """Redraw, or print the line that is due."""
        if self._live is not None:
            self._live.refresh()
        elif (line := self._due_line()) is not None:
            self.print(line)

    def _keep_up(self) -> None:
        while not self._done.wait(_TICK_SECONDS):
            self.tick_safely()
            if self._file is not None and self._file.failure is not None:
                return

    def _show(self, action: Callable[[], None]) -> None:
        """Call what draws; whatever it raises concerns the display alone."""
        assert self._file is not None
        try:
            action()
        except (Exception, SystemExit) as error:  # rich ends the process if a pipe is closed
            self._file.fail(error)


@contextmanager
def activities(console: Console) -> Iterator[Callable[[str], None]]:
    """Show what a command does, from its second second on; yield what to tell it by."""
    what, began = "", time.monotonic()
    said: float | None = None

    def begin(text: str) -> None:
        nonlocal what
        what = text

    def sentence() -> str:
        return f"{what}; {duration(time.monotonic() - began)} so far" if what else ""

    def due_line() -> str | None:
        nonlocal said
        wait = FIRST_LINE_SECONDS if said is None else HEARTBEAT_SECONDS
        if not what or time.monotonic() - (said or began) < wait:
            return None
        said = time.monotonic()
        return sentence()

    with expendable(console) as file:
        display = Display(console, frame=lambda: Text(sentence()), due_line=due_line)
        display.start(file)
        try:
            yield begin
        finally:
            display.stop(erase=True)
