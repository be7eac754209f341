"""Which failed attempts are retried, how often, and whether alone; without Ray running."""

import pytest

from gansearch.system.failures import Failure
from gansearch.trial.messages import TrialSpec
from gansearch.tune.retries import MAX_FAILURES, Retries
from tests.written_runs import spec

EXCLUSIVE = {"GPU": {"cpu": 1.0, "gpu": 1.0}, "host": {"cpu": 8.0, "gpu": 0.25}}


class PlayedTrial:
    """What Tune keeps of a trial, with its way of counting failures."""

    def __init__(self):
        self.trial_id, self.config = "ray-0", spec(0).to_tune()
        self.num_failures, self.max_failures = 0, MAX_FAILURES
        self.resources = None

    @property
    def is_alone(self):
        return TrialSpec.from_tune(self.config).is_alone

    def update_resources(self, resources):
        self.resources = resources

    def fails(self, retries, failure):
        """Fail; return whether Tune makes another attempt."""
        self.num_failures += 1
        if again := self.num_failures <= self.max_failures:
            retries.prepare(self, failure)
        return again


@pytest.mark.parametrize("place", ["GPU", "host"])
def test_lack_of_memory_is_tried_once_more_alone_where_it_was_short(place):
    trial, retries = PlayedTrial(), Retries(EXCLUSIVE)
    lack = Failure("memory", "out of memory: ...", place)
    assert trial.fails(retries, lack)
    assert trial.is_alone
    assert trial.resources == EXCLUSIVE[place]
    assert not trial.fails(retries, lack)


def test_a_lost_worker_is_tried_twice_more_where_there_is_room():
    trial, retries = PlayedTrial(), Retries(EXCLUSIVE)
    lost = Failure("worker", "lost")
    assert [trial.fails(retries, lost) for _ in range(3)] == [True, True, False]
    assert trial.resources is None and not trial.is_alone


def test_the_loss_of_an_engine_uses_up_no_attempt_of_those_who_shared_it():
    trial, retries = PlayedTrial(), Retries(EXCLUSIVE)
    engine = Failure("engine", "lost")
    assert trial.fails(retries, engine)
    assert not trial.is_alone
    assert trial.fails(retries, engine)
    assert trial.is_alone and trial.resources == EXCLUSIVE["GPU"]
    # What ends an engine that it has to itself is its own.
    attempts = [trial.fails(retries, engine) for _ in range(MAX_FAILURES + 1)]
    assert attempts == [True] * MAX_FAILURES + [False]


def test_without_gpus_an_engines_trial_goes_on_alone_on_its_node():
    trial, retries = PlayedTrial(), Retries({"host": {"cpu": 8.0, "gpu": 0}})
    for _ in range(2):
        trial.fails(retries, Failure("engine", "lost"))
    assert trial.resources == {"cpu": 8.0, "gpu": 0}
