"""Samplers that lie elsewhere: packages of OptunaHub, and folders of the user's own.

    optunahub:samplers/auto_sampler     a package of OptunaHub, by its name there
    ./my_sampler                        a folder with the layout of such a package
    ./my_sampler:MySampler              the class, where it has several

Such a package is a folder whose `__init__.py` exports the sampler's class.
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from optuna.samplers import BaseSampler

from gansearch.errors import BadInputError, did_you_mean
from gansearch.system.checks import first_line
from gansearch.system.user_code import describe_error
from gansearch.tune.settings import OPTUNAHUB, is_folder

AUTO = "auto"  # OptunaHub's AutoSampler, which takes one by the space and the number of trials
_AUTO_SAMPLER = f"{OPTUNAHUB}samplers/auto_sampler"


def is_named_by_place(name: str) -> bool:
    """Return whether a sampler is named by where it lies: on OptunaHub or in a folder."""
    return name.startswith(OPTUNAHUB) or is_folder(name)


def load_sampler(name: str, seed: int) -> BaseSampler:
    """Return a sampler that lies elsewhere, seeded if its class takes a `seed`.

    Its code runs, and a package of OptunaHub that this machine has never used is downloaded.

    Raises:
        BadInputError: it can't be loaded, has no such class, or needs arguments.
    """
    if find_spec("optunahub") is None:
        raise BadInputError(
            f"--sampler {name}: the package optunahub is not installed, which loads samplers of "
            "OptunaHub and of folders. pip install 'gansearch[samplers]'; or take another "
            "sampler, such as tpe."
        )
    where, wanted = _split(_AUTO_SAMPLER if name == AUTO else name)
    load = _from_folder if is_folder(name) else _from_hub
    try:
        module = load(where, name)
        cls = _sampler_class(module, name, wanted)
        accepts_seed = "seed" in inspect.signature(cls).parameters
        made: BaseSampler = cls(seed=seed) if accepts_seed else cls()
    except BadInputError:
        raise
    except ModuleNotFoundError as error:
        lacks = f"the package {error.name} is not installed" if error.name else first_line(error)
        raise BadInputError(
            f"--sampler {name}: {lacks}. Install what it needs with pip, or take another sampler, "
            "such as tpe."
        ) from error
    except Exception as error:
        raise BadInputError(
            f"--sampler {name}: its code fails: {describe_error(error)}. A sampler is made "
            "without arguments but `seed`. Mend it, or take another sampler, such as tpe."
        ) from error
    return made


def _split(name: str) -> tuple[str, str]:
    """Return where a sampler lies, and the name of its class; empty if none is given."""
    rest = name.removeprefix(OPTUNAHUB)
    where, colon, cls = rest.rpartition(":")
    if colon and cls.isidentifier() and not Path(rest).exists():
        return where, cls
    return rest, ""


def _from_hub(package: str, name: str) -> ModuleType:
    import optunahub

    try:
        return optunahub.load_module(package)
    except ImportError:
        raise
    except FileNotFoundError as error:
        raise BadInputError(
            f"--sampler {name}: OptunaHub has no package {package}. hub.optuna.org lists them, "
            f"such as {_AUTO_SAMPLER}."
        ) from error
    except Exception as error:
        if not _is_of_transfer(error):
            raise
        raise BadInputError(
            f"--sampler {name}: it can't be loaded from OptunaHub ({_reason(error)}). The first "
            "use of a package needs the network, and git or GitHub's interface; later ones use "
            "the copy in ~/.cache/optunahub. Without a network, copy the package's folder here "
            "and name that, or take another sampler, such as tpe."
        ) from error


def _is_of_transfer(error: Exception) -> bool:
    """Return whether an error is of git, GitHub or the network, and not of the sampler's code."""
    packages = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    return isinstance(error, OSError) or bool(packages & {"git", "github", "requests", "urllib3"})


def _reason(error: Exception) -> str:
    """Return the line of an error that says what failed: of git's, the last one."""
    stderr = str(getattr(error, "stderr", "") or "").strip().removeprefix("stderr: '").rstrip("'")
    return stderr.splitlines()[-1].strip() if stderr else first_line(error).removesuffix(".")


def _from_folder(where: str, name: str) -> ModuleType:
    import optunahub

    folder = Path(where)
    if not folder.is_dir():
        raise BadInputError(
            f"--sampler {name}: there is no such folder. It takes the folder of a sampler, "
            f"a package such as {_AUTO_SAMPLER}, or a name such as tpe."
        )
    if not (folder / "__init__.py").is_file():
        raise BadInputError(
            f"--sampler {name}: the folder has no __init__.py. It must export the sampler's "
            'class, as OptunaHub\'s packages do: __all__ = ["MySampler"].'
        )
    return optunahub.load_local_module(folder.name, registry_root=str(folder.parent))


def _sampler_class(module: ModuleType, name: str, wanted: str) -> Any:
    """Return the class of a sampler that a package exports, the one that is wanted.

    Raises:
        BadInputError: it has none, or several and none is wanted.
    """
    exported = getattr(module, "__all__", None) or vars(module)
    found = {each: getattr(module, each, None) for each in exported}
    classes = {
        each: value
        for each, value in found.items()
        if inspect.isclass(value)
        and issubclass(value, BaseSampler)
        and not inspect.isabstract(value)
        and not value.__module__.startswith(("optuna.", "optunahub."))
    }
    if wanted in classes:
        return classes[wanted]
    if wanted:
        hint = did_you_mean(wanted, classes) if classes else "It exports no sampler."
        raise BadInputError(f"--sampler {name}: it exports no sampler {wanted}. {hint}")
    if not classes:
        raise BadInputError(
            f"--sampler {name}: its __init__.py exports no sampler: no class that derives from "
            'optuna.samplers.BaseSampler. Name one: __all__ = ["MySampler"].'
        )
    if len(classes) > 1:
        raise BadInputError(
            f"--sampler {name}: it exports several samplers: {', '.join(sorted(classes))}. Name "
            f"one: --sampler {name}:{min(classes)}."
        )
    return next(iter(classes.values()))
