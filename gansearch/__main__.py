"""`python -m gansearch` and the installed script `gansearch` start here."""

import signal
import sys


def main() -> None:
    """Import the command line and run it; a Ctrl-C during the import ends without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from gansearch.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(
            f"Error: {sys.prefix}: {error}. A package that gansearch needs is absent. Install "
            "gansearch there again: `pip install gansearch`."
        )
    run()


if __name__ == "__main__":
    main()
