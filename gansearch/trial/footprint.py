"""The peak memory of a trial: its training, its data and the scoring of its samples.

The model family gives the part of the training; the other parts are the same for all families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gansearch.data.dataset import Dataset
from gansearch.family import ModelFamily
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.rules import Config
from gansearch.scoring.parzen import STORE_BYTES
from gansearch.system.failures import MemoryKind

# A worker with torch and Ray imported, and the smallest training.
PROCESS_BYTES = 0.75 * 2**30


@dataclass(frozen=True)
class Footprint:
    """Bytes that a trial holds at its highest.

    Attributes:
        device: that it trains on, "cpu" or "cuda".
        training: weights, moments, gradients, random numbers and activations, at the peak of an
            iteration or of making samples; 0 where its family does not know.
        data: the training examples.
        scoring: the final samples, the examples that they are scored on, and their distances.
    """

    device: str
    training: float
    data: float
    scoring: float

    def on(self, kind: MemoryKind) -> float:
        """Return the bytes on the GPU, or of the trial's process on the host."""
        trained = self.training + self.data + self.scoring
        if kind == "GPU":
            return trained
        return PROCESS_BYTES + (trained if self.device == "cpu" else self.scoring)

    def describe(self, kind: MemoryKind) -> str:
        """Return the parts of the bytes there in words."""
        scoring = f"{gib(self.scoring)} for scoring its samples"
        process = f", {gib(PROCESS_BYTES)} for its process" if kind == "host" else ""
        if kind == "host" and self.device != "cpu":
            return scoring + process
        return f"{gib(self.training)} to train, {gib(self.data)} of data, {scoring}{process}"


def footprint(
    family: ModelFamily[Any], config: Config, dataset: Dataset, device: str, *, exact: bool = True
) -> Footprint:
    """Return the bytes that one trial of `config` holds on a device; no such device is needed.

    Without `exact` it is a rough estimate within milliseconds, to compare configurations by.

    Raises:
        ConfigError: the configuration has no networks on such examples.
    """
    training = family.training_bytes(config, dataset, device, exact=exact) or 0.0
    n_valid = dataset.n_valid_for_sigma
    n_rows = N_FINAL_SAMPLES + n_valid + len(dataset.test)
    scored = 2 * 4 * n_rows * dataset.dim  # as they are, and less their mean
    distances = min(4 * N_FINAL_SAMPLES * n_valid, STORE_BYTES)
    return Footprint(device, training, float(dataset.train.nbytes), float(scored + distances))


def gib(n_bytes: float) -> str:
    """Return bytes as text, for example `2.5 GiB`; less than .1 GiB in MiB."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 0.1 * 2**30 else f"{n_bytes / 2**20:.1f} MiB"
