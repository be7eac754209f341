"""`python -m gansearch` and the installed script `gansearch` start here."""

import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

_END_SECONDS = 3.0


def main() -> None:
    """Import the command line and run it; a signal to stop in the meantime ends with code 130."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, lambda *_: os._exit(130))
    try:
        from gansearch.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(
            f"Error: {sys.prefix}: {error}. A package that gansearch needs is absent. Install "
            "gansearch there again: `pip install gansearch`."
        )
    try:
        run()
    except KeyboardInterrupt:  # raised where the command line is about to end
        sys.exit(130)
    except SystemExit as end:
        _end_anyway(end.code)
        raise


def _end_anyway(code: Any) -> None:
    """End within seconds, whatever threads and processes the user's own code has left running.

    Python itself waits for them, of some as long as they run.
    """

    def end() -> None:
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(code if isinstance(code, int) else int(code is not None))

    timer = threading.Timer(_END_SECONDS, end)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
