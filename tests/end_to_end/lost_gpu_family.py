"""A model family whose GPU is lost in mid-training, for as long as a file `lost` lies here."""

import os
from pathlib import Path

from mean_family import MeanConfig, MeanTraining

from gansearch.errors import GpuLostError
from gansearch.family import ModelFamily
from gansearch.system.failures import GPU_LOST

LOST = Path(__file__).with_name("lost")


class LosingTraining(MeanTraining):
    def advance(self, updates, **limits):
        if self.updates and LOST.exists():
            os._exit(1)  # as `ending_with_the_gpu` does
        return super().advance(updates, **limits)


class LostGpuFamily(ModelFamily):
    config_type = MeanConfig

    def build(self, config, dataset, seed, device):
        if LOST.exists() and LOST.read_text():
            raise GpuLostError(f"{GPU_LOST}a worker can't use it: no CUDA-capable device")
        if LOST.exists():
            LOST.write_text("the first worker has begun")
        return LosingTraining(config, dataset, seed)
