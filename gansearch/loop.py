"""A training loop of the user's own: `trainable` marks its function, which gets a `Trial`.

    import gansearch

    @gansearch.trainable(lr=2e-4)
    def train(config, data, trial):
        ...                                        # G, D and their optimizers, of config.lr
        state = {"g": g, "d": d, "g_opt": g_opt, "d_opt": d_opt}
        for step in range(trial.restore(state), trial.max_updates):
            ...                                    # one update of both
            trial.report(step, sample=lambda n: g(noise(n)), state=state, d_loss=d_loss)

The loop must report often, every second or so: a trial is evaluated, saved and stopped where it
reports. A report costs microseconds, unless an evaluation is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from gansearch.errors import BadInputError

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
_OPTIONS = "gansearch_options"


@dataclass(frozen=True)
class LoopOptions:
    """What `trainable` says of a function.

    Attributes:
        output_range: of the images that the function sees and makes.
        defaults: of its parameters; where there are none, it takes those that a space names.
    """

    output_range: tuple[float, float] = (0.0, 1.0)
    defaults: Mapping[str, Any] = field(default_factory=dict)


class Trial(Protocol):
    """One trial, as a training loop of the user's own sees it.

    Attributes:
        max_updates: how many steps the training has.
        seed: of the trial; torch, NumPy and `random` have been seeded with it.
        device: "cpu", "cuda" or "mps".
    """

    max_updates: int
    seed: int
    device: str

    def restore(self, state: Mapping[str, Any]) -> int:
        """Load what the last report of an interrupted trial stored, into these objects.

        Args:
            state: modules, optimizers and whatever else has `state_dict` and `load_state_dict`,
                and tensors, which are filled in place, by name.

        Returns:
            The step to go on with; 0 in a new trial, whose state is left alone. The random numbers
            of torch, NumPy and `random` continue too.
        """
        ...

    def report(
        self,
        step: int,
        sample: Callable[[int], Any],
        *,
        state: Mapping[str, Any] | None = None,
        **measured: Any,
    ) -> None:
        """Report that a step is done. Does not return where the trial is stopped.

        Args:
            step: its number, from 0, in `range(trial.max_updates)`.
            sample: returns n generated examples: images `[n, channels, height, width]` in the
                range that `trainable` names, or points `[n, d]`. It is called without gradients,
                with the modules of `state` in eval mode, and changes no random numbers of the
                loop.
            state: what `restore` needs to go on after a kill. Without it, an interrupted trial
                starts again.
            measured: `d_loss` and `g_loss` in nats, `d_real` and `d_fake`: D's mean outputs in
                [0, 1]; numbers or tensors. The guard does without those that are left out.
        """
        ...


@overload
def trainable(function: FunctionT, /) -> FunctionT: ...
@overload
def trainable(
    *, output_range: tuple[float, float] = (0.0, 1.0), **defaults: Any
) -> Callable[[FunctionT], FunctionT]: ...
def trainable(
    function: Any = None,
    /,
    *,
    output_range: tuple[float, float] = (0.0, 1.0),
    **defaults: Any,
) -> Any:
    """Mark a function `(config, data, trial)` as a training loop that can be searched.

    The function itself is unchanged. It may also yield what `Trial.report` takes, as a mapping.

    Args:
        function: the loop.
        output_range: of the images that it sees and makes, such as (-1, 1).
        defaults: its parameters. A space may search these alone; with none it takes all that the
            space names.
    """

    def mark(marked: Any) -> Any:
        if not callable(marked):
            raise BadInputError(
                f"trainable: found {marked!r}. It marks a function: write @gansearch.trainable "
                "above `def train(config, data, trial):`."
            )
        setattr(marked, _OPTIONS, LoopOptions(_checked_range(output_range), defaults))
        return marked

    return mark if function is None else mark(function)


def _checked_range(value: Any) -> tuple[float, float]:
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        low = high = 0.0
    if low >= high:
        raise BadInputError(
            f"trainable: output_range: found {value!r}. It must be the lowest and the highest "
            "value of a pixel, such as (-1, 1)."
        )
    return low, high


def options_of(function: Any) -> LoopOptions:
    """Return what `trainable` says of a function; the defaults of one that isn't marked."""
    while isinstance(function, partial):
        function = function.func
    options: LoopOptions = getattr(function, _OPTIONS, LoopOptions())
    return options
