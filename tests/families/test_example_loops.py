"""Plain training loops train under gansearch as they do alone; few of their lines are changed."""

import difflib
import sys
import time
from pathlib import Path

import pytest
import torch

from gansearch.data.registry import load_dataset
from gansearch.families.loop_data import LoopData
from gansearch.space.search_space import SearchSpace
from gansearch.system import user_code
from gansearch.system.global_random import seed_everything

LOOPS = Path(__file__).parents[2] / "examples" / "loops"
NAMES = ("dcgan", "wgan_gp", "hinge", "relativistic")
DIGITS = load_dataset("digits")
N_STEPS = 25


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def training_of(name, max_updates=N_STEPS):
    space = SearchSpace.from_dict(
        {
            "trainable": f"{LOOPS}/{name}.py:train",
            "dataset": "digits",
            "search": {"lr": {"float": [1e-4, 1e-2], "log": True}},
        }
    )
    training = space.family.build(space.table(), DIGITS, 7, "cpu")
    training.max_updates = max_updates
    return training


def alone(name, monkeypatch, n_steps=N_STEPS):
    monkeypatch.syspath_prepend(str(LOOPS))
    plain = user_code.load(f"{LOOPS}/plain/{name}.py:train")
    seed_everything(7)
    images = LoopData(DIGITS, (-1, 1), 7).train
    start = time.process_time()
    g = plain(images, n_steps=n_steps)
    sys.modules.pop("nets", None)
    return g.state_dict(), time.process_time() - start


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_has_the_same_weights_alone_and_under_gansearch(name, monkeypatch):
    expected, _ = alone(name, monkeypatch)
    training = training_of(name)
    for updates in (3, 10, N_STEPS):
        training.advance(updates)
        training.samples(100)
        training.save()
    found = training.state["g"].state_dict()
    training.close()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", NAMES)
def test_at_most_ten_lines_of_a_loop_are_changed(name):
    plain, ours = ((LOOPS / folder / f"{name}.py").read_text() for folder in ("plain", ""))
    changes = difflib.ndiff(plain.splitlines(), ours.splitlines())
    assert sum(line.startswith("+ ") and line != "+ " for line in changes) <= 10
