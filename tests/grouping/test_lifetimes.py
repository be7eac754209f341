"""What is dropped gives its memory back at once: on a GPU nobody waits for Python's collector."""

import gc
import weakref

import pytest

from gansearch.config import TrialConfig
from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.training.training import AdversarialTraining
from tests.training.test_training import blobs, small


@pytest.fixture(autouse=True)
def _no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_dropped_training_is_gone():
    training = AdversarialTraining(small(), blobs(), 0)
    training.advance(20)
    gone = weakref.ref(training.generator)
    del training
    assert gone() is None


def test_a_dropped_group_is_gone():
    training = AdversarialTraining(small(), blobs(), 0)
    structure = structure_of(training.config)
    assert isinstance(structure, TrialConfig)
    group = Group(structure, (6,), training.examples, n_slots=2, n_ticks=2)
    group.admit(training, 4)
    group.advance()
    gone = weakref.ref(group)
    del group
    assert gone() is None
