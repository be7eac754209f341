"""Lazy attributes of a package: a module is imported when one of its names is first used.

So a user of one module of `gansearch.data` does not pay for importing the others.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def attributes(package: str, modules: dict[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package, which imports a name's module when the name is used.

    Args:
        package: the package's dotted name.
        modules: for each public name, the module of the package that defines it.
    """

    def attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return attribute
