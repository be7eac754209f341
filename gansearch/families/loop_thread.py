"""Runs a function in a thread, in turns with its caller: one of the two waits at any time."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import torch

_STOP_SECONDS = 10.0


class LoopStopped(BaseException):
    """Raised within a loop that reports after its trial has been stopped; no `Exception`."""


class LoopThread:
    """A function that runs while its caller waits in `resume`, until it calls `pause`.

    Args:
        function: what is run.
        patience_seconds: how long `resume` waits for a `pause`.

    Attributes:
        error: what the function has raised, if it has.
        has_ended: whether it has returned or raised.
        is_stopped: whether `stop` was called.
    """

    def __init__(self, function: Callable[[], None], patience_seconds: float) -> None:
        self._function = function
        self._patience_seconds = patience_seconds
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self.is_stopped = False
        self._thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.has_ended = False

    @property
    def is_current(self) -> bool:
        """Whether it is called by the function, in its thread."""
        return threading.current_thread() is self._thread

    def resume(self) -> bool:
        """Let the function run until it pauses or ends; return False where that takes too long."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gansearch-loop", daemon=True)
            self._thread.start()
        else:
            self._go.release()
        return self._paused.acquire(timeout=self._patience_seconds)

    def pause(self) -> None:
        """Wait for the caller's next `resume`; called by the function.

        It waits for good in a function that has caught LoopStopped and goes on.

        Raises:
            LoopStopped: `stop` was called.
        """
        self._paused.release()
        self._go.acquire()
        if self.is_stopped:
            raise LoopStopped

    def stop(self) -> bool:
        """End the function by `LoopStopped`; return False if it doesn't end."""
        thread = self._thread
        if thread is None or self.has_ended:
            return True
        if self.is_stopped:
            return not thread.is_alive()
        self.is_stopped = True
        self._go.release()
        thread.join(_STOP_SECONDS)
        if thread.is_alive() and thread.ident is not None:
            # It computes, or has swallowed the exception.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(LoopStopped)
            )
            thread.join(_STOP_SECONDS)
        return not thread.is_alive()

    def _run(self) -> None:
        torch.set_num_threads(1)  # of this thread
        try:
            self._function()
        except LoopStopped:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.has_ended = True
            self._paused.release()
