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
CONTEXT_BYTES = 1.0 * 2**30  # that a process takes of a GPU, with the workspaces of libraries
# A trial's own process where an engine trains it, without torch (docs/groups.md has measurements).
THIN_PROCESS_BYTES = 0.25 * 2**30


@dataclass(frozen=True)
class Footprint:
    """Bytes that a trial holds at its highest.

    Attributes:
        device: that it trains on: "cpu", "cuda", or "mps", whose memory is the host's.
        training: weights, moments, gradients, random numbers and activations, at the peak of an
            iteration or of making samples; 0 where its family does not know.
        data: the training examples.
        scoring: the final samples, the examples that they are scored on, and their distances.
        in_engine: whether an engine of a GPU trains it, which has the data once for all trials.
    """

    device: str
    training: float
    data: float
    scoring: float
    in_engine: bool = False

    def on(self, kind: MemoryKind) -> float:
        """Return the bytes of the trial's process, on the GPU or on the host.

        Of a process that an engine trains with others, the trial's part.
        """
        if self._only_scores_on(kind):
            return self._process_bytes(kind) + self.scoring
        data = 0.0 if self.in_engine else self.data
        return self._process_bytes(kind) + self.training + self.scoring + data

    def describe(self, kind: MemoryKind) -> str:
        """Return the parts of the bytes there in words."""
        scoring = f"{gib(self.scoring)} for scoring its samples"
        n_bytes = self._process_bytes(kind)
        process = f", {gib(n_bytes)} for its process" if n_bytes else ""
        if self._only_scores_on(kind):
            return scoring + process
        data = "" if self.in_engine else f", {gib(self.data)} of data"
        return f"{gib(self.training)} to train{data}, {scoring}{process}"

    def _only_scores_on(self, kind: MemoryKind) -> bool:
        """Return whether the training itself is elsewhere."""
        return kind == "host" and self.device == "cuda"

    def _process_bytes(self, kind: MemoryKind) -> float:
        """Return what the process takes there before it trains or scores."""
        if kind == "GPU":
            return 0.0 if self.in_engine else CONTEXT_BYTES
        return THIN_PROCESS_BYTES if self.in_engine else PROCESS_BYTES


def footprint(
    family: ModelFamily[Any],
    config: Config,
    dataset: Dataset,
    device: str,
    *,
    exact: bool = True,
    in_engine: bool = False,
) -> Footprint:
    """Return the bytes that one trial of `config` holds on a device; no such device is needed.

    Without `exact` it is a rough estimate within milliseconds, to compare configurations by. With
    `in_engine` an engine of a GPU trains it.

    Raises:
        ConfigError: the configuration has no networks on such examples.
    """
    count = family.engine_bytes if in_engine else family.training_bytes
    training = count(config, dataset, device, exact=exact) or 0.0
    n_valid = dataset.n_valid_for_sigma
    n_rows = N_FINAL_SAMPLES + n_valid + len(dataset.test)
    scored = 2 * 4 * n_rows * dataset.dim  # as they are, and less their mean
    distances = min(4 * N_FINAL_SAMPLES * n_valid, STORE_BYTES)
    data = float(dataset.train.nbytes)
    return Footprint(device, training, data, float(scored + distances), in_engine)


def gib(n_bytes: float) -> str:
    """Return bytes as text, for example `2.5 GiB`; less than .1 GiB in MiB."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 0.1 * 2**30 else f"{n_bytes / 2**20:.1f} MiB"
