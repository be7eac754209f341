"""`python -m gansearch` and the installed script `gansearch` start here."""

import os
import signal
import sys


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


if __name__ == "__main__":
    main()
