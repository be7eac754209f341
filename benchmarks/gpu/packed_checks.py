"""Whether the guarantees of `docs/groups.md` hold on this device; a stage of `gpu.py`.

At the engine's number of slots, all of them taken, and at the widest and the narrowest networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from benchmarks.gpu.packed import FOREVER, PRECISIONS, Setting, free, group_of
from gansearch.data.dataset import Dataset
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining
from gansearch.trial.plan import MAX_SLOTS

N_OTHERS = MAX_SLOTS - 1
_N_FOLLOWED = 5  # iterations


@dataclass(frozen=True)
class Place:
    """Where, and how wide and how precise, a guarantee is looked at."""

    setting: Setting
    dataset: Dataset
    examples: Examples
    width: int
    precision: str

    @property
    def n_iterations(self) -> int:
        return 2 * self.setting.n_ticks + 3

    def start(self, seed: int = 0, **values: object) -> AdversarialTraining:
        config = self.setting.config(self.width, precision=self.precision, **values)
        device = self.setting.device
        return AdversarialTraining(
            config, self.dataset, seed, device=device, examples=self.examples
        )

    def others(self, **values: object) -> list[AdversarialTraining]:
        return [self.start(1 + i, **values) for i in range(N_OTHERS)]

    def trained(
        self,
        training: AdversarialTraining,
        n_iterations: int,
        *,
        before: Sequence[AdversarialTraining] = (),
        beside: Sequence[AdversarialTraining] = (),
    ) -> bytes:
        """Return the state of a training that had company, some of it a chunk earlier."""
        group = group_of(self.setting, training.config, self.examples, n_slots=MAX_SLOTS)
        for other in before:
            group.admit(other, FOREVER)
        if before:
            group.advance()
        group.admit(training, n_iterations)
        for other in beside:
            group.admit(other, FOREVER)
        while group.left(training):
            group.advance()
        group.release(training)
        return training.save()

    @cached_property
    def alone(self) -> bytes:
        return self.trained(self.start(), self.n_iterations)


def checks(setting: Setting, dataset: Dataset) -> Iterator[str]:
    """Yield for each guarantee whether it holds."""
    examples = Examples(dataset, setting.device)
    yield f"{MAX_SLOTS} slots, all taken but where a training is alone.\n"
    for width in dict.fromkeys((setting.widths[0], setting.widths[-1])):
        for precision in PRECISIONS:
            place = Place(setting, dataset, examples, width, precision)
            for name, holds in _HELD.items():
                told = "ok" if holds(place) else "FAILED"
                yield f"- {told}: {width}, {precision}: {name}"
            free(setting)
        name = "a replayed chunk neither waits for the device nor allocates memory"
        if setting.on_gpu:
            told = (
                "ok"
                if replays_alone(Place(setting, dataset, examples, width, "fp32"))
                else "FAILED"
            )
        else:
            told = "needs CUDA"
        yield f"- {told}: {width}, fp32: {name}"


def beside_others(at: Place) -> bool:
    others = at.others(k=2, noise_dim=7)
    return at.trained(at.start(), at.n_iterations, beside=others) == at.alone


def come_late(at: Place) -> bool:
    return at.trained(at.start(), at.n_iterations, before=at.others(k=3)) == at.alone


def beside_a_diverged_one(at: Place) -> bool:
    broken = at.start(1)
    with torch.no_grad():
        broken.generator.layers[0].weight.fill_(torch.nan)
    return at.trained(at.start(), at.n_iterations, before=[broken]) == at.alone


def resumed(at: Place) -> bool:
    again = at.start()
    again.load(at.trained(at.start(), _N_FOLLOWED))
    group = group_of(at.setting, again.config, at.examples, n_slots=MAX_SLOTS)
    left = at.start(3, noise_dim=101)
    for training, n in ((left, _N_FOLLOWED), (again, at.n_iterations - _N_FOLLOWED)):
        group.admit(training, n)
        while group.left(training):
            group.advance()
        group.release(training)
    return again.save() == at.alone


def follows_single(at: Place) -> bool:
    packed, single, exact = at.start(), at.start(), replace(at, precision="fp32").start()
    at.trained(packed, _N_FOLLOWED)
    for _ in range(_N_FOLLOWED):
        single.step()
        exact.step()
    # Where a sum is rounded differs, so that a short number format errs in two ways.
    return all(
        torch.linalg.vector_norm(a - c)
        <= max(1e-3 * c.norm(), 1.5 * torch.linalg.vector_norm(b - c))
        for a, b, c in zip(
            *(training.generator.parameters() for training in (packed, single, exact)), strict=True
        )
    )


def replays_alone(at: Place) -> bool:
    training = at.start()
    group = group_of(at.setting, training.config, at.examples, n_slots=MAX_SLOTS)
    group.admit(training, FOREVER)
    group.advance()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    torch.cuda.set_sync_debug_mode("error")
    try:
        group._chunks.run(group.run_ticks, group._ticks_with_g({1}))
    except RuntimeError:
        return False
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return torch.cuda.memory_stats()["allocation.all.allocated"] == before


_HELD: dict[str, Callable[[Place], bool]] = {
    f"a member is bit for bit the same alone and beside {N_OTHERS} others": beside_others,
    "and in the last slot, having come later": come_late,
    "and beside one that has diverged": beside_a_diverged_one,
    "and saved on the way, loaded, and resumed in a slot that another one has left": resumed,
    "after five iterations it errs about as much as the single step, against that in fp32": (
        follows_single
    ),
}
