"""The pictures that a trial draws of its samples: `strip.png` as it trains, then `nearest.png`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.figures.samples import png, sample_grid
from gansearch.figures.strips import points_overview, strip, strip_size
from gansearch.scoring.neighbours import nearest_training
from gansearch.system.files import write_atomically
from gansearch.system.object_store import AnyPath
from gansearch.system.pacing import Pacing

# A strip is drawn again when this many times as long has passed since the last one as that one
# took, so that they cost less than 1 % of the time.
_PAYS_AFTER = 200
_N_PAIRS, _N_POINTS = 16, 1000
# Of the training images that are compared with samples: half a second's work, all of CIFAR-10.
_MAX_VALUES = 160_000_000


@dataclass
class TrialPictures:
    """What a trial keeps of its evaluations' samples, and draws; that never fails a trial.

    Attributes:
        folder: of the trial's generator and pictures.
        dataset: that it learns.
        pace: of the strips of its process, whose trials share it: in an engine they train at the
            same time.
        samples: the first ones of each evaluation, `[n, dim]` each.
        updates: of each evaluation.
        notes: what could not be drawn and why, for the user.
    """

    folder: AnyPath
    dataset: Dataset
    pace: Pacing
    samples: list[np.ndarray] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _n_drawn: int = 0
    _has_failed: bool = False

    def restore(self, samples: Iterable[np.ndarray], updates: Sequence[int]) -> None:
        """Go on from the evaluations of a checkpoint."""
        known = list(zip(samples, updates, strict=False))
        self.samples = [each for each, _ in known]
        self.updates = [n for _, n in known]

    def add(self, samples: np.ndarray, updates: int) -> None:
        """Keep what a strip shows of an evaluation's samples `[n, dim]`; draw it if that is due."""
        # As many as before: an older version kept fewer.
        n = len(self.samples[0]) if self.samples else strip_size(self.dataset)
        self.samples.append(samples[:n])
        self.updates.append(updates)
        if self._n_drawn == 0 or self.pace.is_due(_PAYS_AFTER):
            self.draw_strip()

    def draw_strip(self) -> None:
        """Write `strip.png`, unless it shows all evaluations already."""
        if self._n_drawn == len(self.samples) or self._has_failed:
            return
        start = time.monotonic()
        self._n_drawn = len(self.samples)
        self._write("strip.png", lambda: strip(self.samples, self.updates, self.dataset))
        self.pace.note(start)

    def draw_nearest(self, samples: np.ndarray) -> None:
        """Write `nearest.png`: samples beside their nearest training images, or over the points."""
        self._write("nearest.png", lambda: _beside_training(samples, self.dataset))

    def take_notes(self) -> list[str]:
        """Return the notes since the last call."""
        taken, self.notes = self.notes, []
        return taken

    def _write(self, name: str, draw: Callable[[], Image.Image]) -> None:
        try:
            write_atomically(self.folder / name, png(draw()))
        except Exception as error:  # whatever it is, the training is worth more
            self._has_failed = True
            self.notes.append(f"{self.folder.name}: {name} was not drawn: {error}")


def _beside_training(samples: np.ndarray, dataset: Dataset) -> Image.Image:
    """Draw unpicked samples `[n, d]`, images beside their nearest training images.

    Of very many or very large training images evenly spaced ones are compared.
    """
    if not dataset.is_image:
        return points_overview(samples[:_N_POINTS], dataset)
    pairs = samples[:_N_PAIRS]
    step = math.ceil(dataset.train.size / _MAX_VALUES)
    some = replace(dataset, train=dataset.train[::step])
    nearest = some.to_float(some.train[nearest_training(some, pairs, len(pairs))])
    n_compared = None if step == 1 else len(some.train)
    return sample_grid(pairs, dataset, nearest=nearest, n_compared=n_compared)
