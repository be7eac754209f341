"""The scripts in `benchmarks/`, which are no package, as modules."""

import sys
from importlib import import_module
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def script(name):
    """Import a script by its name, with those beside it in reach."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        return import_module(name)
    finally:
        sys.path.pop(0)
