"""Generators that no trial has trained, saved as one would, and read without their data."""

import pytest

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.families.trained_generator import export_generator
from gansearch.family import DEFAULT_FAMILY, load_family
from gansearch.networks.models import Generator
from gansearch.runs.generators import save_generator
from gansearch.system.object_store import AnyPath


def save(
    model_dir: AnyPath, generator: Generator, config: TrialConfig, *, dataset: str, seed: int
) -> None:
    """Write `generator`, whose samples are made from `seed`, into `model_dir`."""
    save_generator(
        model_dir,
        export_generator(generator, seed),
        config,
        family=load_family(DEFAULT_FAMILY),
        dataset=dataset,
        shape=generator.shape,
    )


def no_data(name: str) -> Dataset:
    """Fail: generators of the default family are read, and sampled, without data."""
    pytest.fail(f"{name} was asked for")
