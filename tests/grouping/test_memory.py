"""What a training is said to take in an engine, beside what was measured and what a group holds."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from torch import Tensor

from benchmarks.speed.careful import config_of
from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.grouping.engine import TICKS
from gansearch.grouping.group import Group
from gansearch.grouping.memory import member_bytes, rough_member_bytes
from gansearch.grouping.stacking import both
from gansearch.grouping.structure import structure_of
from gansearch.training.examples import Examples
from gansearch.training.peak_memory import peak_bytes, rough_bytes

MIB = 2**20
DIGITS = load_dataset("digits")


@pytest.mark.parametrize(("width", "measured", "stated"), [(1200, 177, 131), (256, 83, 53)])
def test_a_member_takes_about_what_was_measured_on_a_gpu(width, measured, stated):
    """The measurements are those of `docs/groups.md`, of each of eight members on an H200.

    Dropout took two bytes more for each input then, as drawn and as a chunk reads it.
    """
    pixels = np.zeros((200, 784), np.uint8)
    mnist = Dataset("mnist", pixels, pixels, pixels, shape=(28, 28, 1), scale=255.0)
    config = config_of(width, batch_size=100)
    n_inputs = 3 * 100 * (784 + sum(config.discriminator_widths)) * TICKS["cuda"]
    measured -= 2 * 2 * n_inputs / MIB
    counted = member_bytes(config, mnist, "cuda") / MIB
    assert measured < counted < 1.15 * measured
    assert counted == pytest.approx(stated, abs=2)  # in `docs/groups.md`


@pytest.mark.parametrize("how", [{}, {"optimizer": "adam", "generator_ema": 0.99}])
def test_a_slot_holds_what_a_group_of_many_holds_for_each(how):
    config = TrialConfig(noise_dim=30, generator_widths=(100,), **how)
    structure = structure_of(config)
    group = Group(structure, (8, 8, 1), Examples(DIGITS, "cpu"), n_slots=8, n_ticks=TICKS["cuda"])
    buffers = [getattr(group._buffers, f.name) for f in fields(group._buffers)]
    held = [t for value in buffers for t in (value if isinstance(value, list) else [value])]
    held += [t for player in both(group._players) for kind in player.tensors for t in kind]
    held = [getattr(t, "bits", t) for t in held]  # of a mask
    each = sum(t.nbytes for t in held if isinstance(t, Tensor)) / 8
    counted = member_bytes(config, DIGITS, "cuda")
    assert counted > peak_bytes(config, DIGITS, "cuda") + 0.9 * each
    roughly = rough_member_bytes(config, DIGITS, "cuda")
    assert counted / 2 < roughly < 2 * counted
    assert each / 2 < roughly - rough_bytes(config, DIGITS, "cuda") < 2 * each


def test_a_training_that_shares_no_group_has_no_slot():
    config = TrialConfig(unrolled_steps=2)
    assert member_bytes(config, DIGITS, "cuda") == peak_bytes(config, DIGITS, "cuda")
