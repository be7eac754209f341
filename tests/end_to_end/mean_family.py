"""A model family that is no GAN of ours: a generator that learns the mean of its data."""

import json
import time
from dataclasses import dataclass

import numpy as np

from gansearch.errors import DivergedError
from gansearch.family import Metrics, ModelFamily, Training
from gansearch.rules import Config, parameter


@dataclass(frozen=True)
class MeanConfig(Config):
    lr: float = parameter(0.01, "float", "learning rate", low=0, low_is_open=True, high=10)
    spread: float = parameter(0.5, "float", "standard deviation of the samples", low=0, high=10)


class MeanTraining(Training):
    updates = 0

    def __init__(self, config, dataset, seed):
        self.config, self.seed = config, seed
        self.data, self.mean = dataset.train, np.full(dataset.dim, -20.0)

    def advance(self, updates, *, time_limit_seconds=float("inf")):
        start = time.monotonic()
        while self.updates < updates:
            if time.monotonic() - start >= time_limit_seconds:
                return None
            rng = np.random.default_rng((self.seed, self.updates))
            batch = self.data[rng.integers(len(self.data), size=20)]
            self.mean = self.mean + self.config.lr * (batch.mean(axis=0) - self.mean)
            self.updates += 1
            time.sleep(0.0005)  # so that a kill finds it at work
        if np.abs(self.mean).max() > 1e6:
            raise DivergedError(f"the mean is {self.mean} at update {self.updates}")
        return Metrics(updates=self.updates)

    def samples(self, n_samples):
        noise = np.random.default_rng(self.seed).normal(size=(n_samples, len(self.mean)))
        return (self.mean + self.config.spread * noise).astype(np.float32)

    def save(self):
        return json.dumps([self.updates, self.mean.tolist()]).encode()

    def load(self, state):
        self.updates, mean = json.loads(state)
        self.mean = np.array(mean)


class MeanFamily(ModelFamily):
    config_type = MeanConfig

    def build(self, config, dataset, seed, device):
        return MeanTraining(config, dataset, seed)
