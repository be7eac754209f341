"""Names that a package has from its modules, which are imported when somebody asks for one.

So `gansearch.data` costs nothing to whoever wants only one of its modules.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def attributes(package: str, modules: dict[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__` that takes each name from the module that `modules` says.

    Args:
        package: the package's dotted name.
        modules: the name of a module in that package, by the name that it defines.
    """

    def attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return attribute
