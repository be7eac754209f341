"""How a run uses the machine or cluster: the settings that `run.json` stores."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, get_type_hints

from gansearch.errors import BadInputError, did_you_mean
from gansearch.tracking.names import tracker_names

GROUP_TRIALS = ("auto", "on", "off")
AUTO = "auto"  # a number that is found from the machine and the space; stored as None
_FOUND = ("gpus_per_trial", "cpus_per_trial")
_LEAST_SHARE = 0.0001  # of a GPU or a core that Ray accounts for
OPTUNAHUB = "optunahub:"  # before the name of a package there
_OLD_NAMES = {"packing": "group_trials"}  # in a `run.json` of version 0.1


@dataclass(frozen=True)
class Settings:
    """How a run uses the machine; stored in `run.json` so that `resume` does the same.

    Attributes:
        sampler: name of the Optuna sampler; or `optunahub:PACKAGE`, or the path of a folder, which
            is made absolute.
        address: of a Ray cluster to join, or None to start Ray on this machine, as "local" does.
        gpus_per_trial: fraction of a GPU, or a whole number; None or "auto": up to 16 trials share
            a GPU, fewer if its memory or the cores don't suffice; 0 if there is none.
        cpus_per_trial: cores reserved for a trial; on a CPU it computes with one thread. None or
            "auto": a quarter if an engine of a GPU trains it, else 1.
        group_trials: train the trials of a device together in one process: "on", "off", or "auto":
            only if several share a GPU.
        max_concurrent: trials at a time; None: as many as the cores, the GPUs and the memory hold.
        data_dir: folder of the data sets.
        time_budget_seconds: time for the whole run, from its start to the report, over all
            sessions, or None. If not all replicas fit into it, each finalist gets fewer.
        keep_discriminator: store the discriminator beside each generator that is stored.
        deterministic: let the seed decide the whole search, with any number of workers, which then
            wait for each other: at most 8 trials train at a time.
        track: trackers to which trials are exported: "tensorboard", "mlflow", "wandb", "trackio"; a
            name or several. "none" is none.

    Raises:
        BadInputError: a value has a wrong type or is out of its range.
    """

    sampler: str = "tpe"
    address: str | None = None
    gpus_per_trial: float | None = None
    cpus_per_trial: float | None = None
    group_trials: str = "auto"
    max_concurrent: int | None = None
    data_dir: str | None = None
    time_budget_seconds: float | None = None
    keep_discriminator: bool = False
    deterministic: bool = False
    track: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            object.__setattr__(self, name, _converted(name, getattr(self, name), kind))
        object.__setattr__(self, "track", tracker_names(self.track))
        if is_folder(self.sampler):  # which a resume finds from any folder
            absolute = os.path.abspath(os.path.expanduser(self.sampler))  # noqa: PTH100, PTH111
            object.__setattr__(self, "sampler", absolute)
        if self.address == "local":  # as for `ray.init`; a resume may so leave a cluster
            object.__setattr__(self, "address", None)
        if self.group_trials not in GROUP_TRIALS:
            nearest = did_you_mean(self.group_trials, GROUP_TRIALS)
            raise BadInputError(
                f"group_trials={self.group_trials} (--group-trials): no such choice. {nearest}"
            )
        gpus = self.gpus_per_trial
        if gpus and not (_LEAST_SHARE <= gpus <= 1 or (gpus > 1 and float(gpus).is_integer())):
            raise _out_of_range(
                "gpus_per_trial", gpus, f"0, a fraction from {_LEAST_SHARE} to 1, or a whole number"
            )
        cpus = self.cpus_per_trial
        if cpus is not None and not _LEAST_SHARE <= cpus < math.inf:
            raise _out_of_range("cpus_per_trial", cpus, f"a number, {_LEAST_SHARE} at least")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise _out_of_range("max_concurrent", self.max_concurrent, "1 at least")
        seconds = self.time_budget_seconds
        if seconds is not None and not 0 < seconds < math.inf:
            raise _out_of_range("time_budget_seconds", seconds, "a positive number of seconds")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Return the settings stored in a `run.json`, of this version or of 0.1.

        Raises:
            ValueError: a name is unknown, or a value has the wrong type or is out of its range.
        """
        types = get_type_hints(cls)
        values = {_OLD_NAMES.get(name, name): value for name, value in values.items()}
        for name, value in values.items():
            if name not in types:
                raise ValueError(f"{name} is no setting")
            # JSON may have made a whole number of a float.
            kind = types[name] | int if types[name] in (float, float | None) else types[name]
            kind = list | tuple if name == "track" else kind
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise ValueError(f"found {value!r} for {name}")
        try:
            return cls(**values)
        except BadInputError as error:
            raise ValueError(str(error)) from error


def is_folder(sampler: str) -> bool:
    """Return whether a sampler is named by a folder.

    >>> [is_folder(name) for name in ("./mine", "tpe", "optunahub:samplers/tpe")]
    [True, False, False]
    """
    has_separator = "/" in sampler or os.sep in sampler or sampler in (".", "..")
    return has_separator and not sampler.startswith(OPTUNAHUB)


def flag_of(name: str) -> str:
    """Return the flag of a setting, or of a number of the budget.

    >>> flag_of("time_budget_seconds")
    '--time-budget'
    """
    return "--" + name.removesuffix("_seconds").replace("_", "-")


def _out_of_range(name: str, value: float, rule: str) -> BadInputError:
    return BadInputError(f"{name}={value:g} ({flag_of(name)}): it must be {rule}.")


def _converted(name: str, value: Any, kind: Any) -> Any:
    """Return a value as a plain bool, str, int or float, as JSON stores it.

    Raises:
        BadInputError: it is of another type.
    """
    if name == "track":
        names = (value,) if isinstance(value, str) else value
        if isinstance(names, list | tuple) and all(isinstance(each, str) for each in names):
            return tuple(names)
        found = reprlib.repr(value)
        raise BadInputError(
            f"track: found {found}. It must be a tracker's name, or a list of them."
        )
    is_found = name in _FOUND
    if (value is None and isinstance(None, kind)) or (is_found and value == AUTO):
        return None
    is_number = not isinstance(value, bool)
    if kind is bool:
        rule = "true or false"
        if isinstance(value, bool):
            return value
    elif isinstance("", kind):
        rule = "text"
        if isinstance(value, str | os.PathLike):
            return os.fsdecode(value)
    elif isinstance(0.5, kind):
        rule = "a number"
        if is_number and isinstance(value, Real):
            return float(value)
    else:
        rule = "a whole number"
        if is_number and isinstance(value, Integral):
            return int(value)
    unless = ", or auto" if is_found else ", or None" if isinstance(None, kind) else ""
    raise BadInputError(f"{name}: found {reprlib.repr(value)}. It must be {rule}{unless}.")
