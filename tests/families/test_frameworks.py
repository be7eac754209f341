"""Loops that other libraries run: Lightning's trainer, Accelerate, and CTGAN's own `fit`."""

from pathlib import Path

import pytest
import torch

from gansearch.data.registry import load_dataset
from gansearch.space.load import load_space

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = load_dataset("digits")


def training_of(name, dataset, max_updates=40):
    space = load_space(str(EXAMPLES / f"{name}.yaml"))
    training = space.family.build(space.table(), dataset, 7, "cpu")
    training.max_updates = max_updates
    return training


@pytest.mark.parametrize("name", ["lightning_gan", "accelerate_gan"])
def test_a_framework_trains_reports_and_goes_on_after_a_stop(name):
    whole, first, second = (training_of(name, DIGITS) for _ in range(3))
    try:
        metrics = whole.advance(40)
        assert metrics.updates == 40 and 0.5 < metrics.d_loss < 2 and metrics.g_loss > 0
        assert whole.samples(20).shape == (20, 64)
        first.advance(13)
        before = {k: v.clone() for k, v in next(iter(first.state.values())).state_dict().items()}
        second.load(first.save())
        assert second.updates == 13
        second.advance(14)
        after = next(iter(second.state.values())).state_dict()
        changes = [float((after[key] - before[key]).abs().max()) for key in before]
        assert 0 < max(changes) < 0.01  # a step of Adam from where it was
        assert second.advance(40).updates == 40
    finally:
        for training in (whole, first, second):
            training.close()


def test_a_gan_of_tables_that_others_wrote_is_trained_and_reports_its_epochs():
    dataset = load_dataset(f"{EXAMPLES}/tabular.py:load")
    training = training_of("tabular", dataset, max_updates=3)
    try:
        assert training.advance(2).updates == 2
        first = training.samples(30)
        assert first.shape == (30, 10)
        assert training.advance(3).updates == 3
        assert torch.isfinite(torch.from_numpy(training.samples(30))).all()
    finally:
        training.close()
