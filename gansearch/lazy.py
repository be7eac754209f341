"""Lazy attributes of a package: a module is imported when one of its names is first used.

So a user of one module of `gansearch.data` does not pay for importing the others.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def attributes(
    package: str, modules: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a `__getattr__` and a `__dir__` for a package.

    The first imports a name's module when the name is used. The second lists the names, for tab
    completion, and imports nothing.

    Args:
        package: the package's dotted name.
        modules: for each public name, the module of the package that defines it.
    """

    def attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return attribute, names
