"""The scripts in `benchmarks/` as modules."""

from importlib import import_module
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def script(name):
    """Import a script by its folder and its name, such as `speed.search`."""
    return import_module(f"benchmarks.{name}")
