"""What a process does at the signals that ask it to stop: Ctrl-C, SIGTERM and a closed terminal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled_by(handle: Callable[[int, Any], None]) -> Iterator[None]:
    """Let a function handle the signals of `STOP_SIGNALS`, but those that the caller ignores.

    `nohup` ignores SIGHUP. A shell's `&` ignores SIGINT, which is handled nevertheless: nothing
    else but a Ctrl-C or somebody who means this process sends it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    handled = [s for s in STOP_SIGNALS if s == signal.SIGINT or before[s] is not signal.SIG_IGN]
    for signum in handled:
        signal.signal(signum, handle)
    try:
        yield
    finally:
        for signum in handled:
            signal.signal(signum, before[signum] or signal.SIG_DFL)


_raised: list[int] = []  # the signals that `raised` has raised, for `raise_again`


@contextmanager
def raised() -> Iterator[None]:
    """Let each of the signals raise KeyboardInterrupt, as Ctrl-C does."""
    _raised.clear()

    def handle(signum: int, _frame: Any) -> None:
        _raised.append(signum)
        raise KeyboardInterrupt

    try:
        with handled_by(handle):
            yield
    finally:
        _raised.clear()


def is_raised() -> bool:
    """Return whether `raised`, which is still at work, has raised KeyboardInterrupt."""
    return bool(_raised)


def raise_again() -> None:
    """Raise KeyboardInterrupt if `raised` has done so and it was lost.

    Python prints and drops what is raised in a callback of its own, such as that of a weak
    reference. A long piece of foreign code should be followed by this.
    """
    if _raised:
        raise KeyboardInterrupt


@contextmanager
def deferred() -> Iterator[None]:
    """Let the signals wait for the end of a block that ends soon, such as the last writes.

    Raises:
        KeyboardInterrupt: at the end, if there was a signal, the block raised nothing, and it isn't
            what is done after another error, which ends the process anyway.
    """
    received: list[int] = []
    is_ending = sys.exception() is not None

    def handle(signum: int, _frame: Any) -> None:
        received.append(signum)

    with handled_by(handle):
        yield
    if received and not is_ending:
        raise KeyboardInterrupt
