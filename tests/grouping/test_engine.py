"""The engine: many threads ask, one trains, and each gets what it would have got alone."""

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from gansearch.errors import DivergedError, GansearchError
from gansearch.grouping.engine import Engine
from gansearch.grouping.group import Group
from gansearch.training.training import AdversarialTraining
from tests.grouping.test_group import DEVICES, same, state_of
from tests.training.test_training import CONVOLUTIONAL, blobs, small

CONFIGS = [
    small(),
    small(k=3, discriminator_lr=0.02),
    small(optimizer="adam", generator_lr=0.01),
    small(unrolled_steps=1),  # shares no group
    small(**CONVOLUTIONAL),
    small(k=40),  # has more updates in an iteration than a chunk
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture
def engine(device):
    engine = Engine(blobs(), device, n_slots=3)
    yield engine
    engine.close()


def training_for(engine, config, seed):
    device = engine.examples.device
    return AdversarialTraining(config, blobs(), seed, device=device, examples=engine.examples)


def test_each_caller_gets_its_own_reports(engine):
    jobs = [(config, seed) for config in CONFIGS for seed in (1, 2)]

    def train(job):
        config, seed = job
        training = training_for(engine, config, seed)
        return [engine.advance(training, updates) for updates in (41, 82)]

    with ThreadPoolExecutor(len(jobs)) as pool:
        found = list(pool.map(train, jobs))
    for (config, seed), metrics in zip(jobs, found, strict=True):
        alone = training_for(engine, config, seed)
        for updates, ours in zip((41, 82), metrics, strict=True):
            theirs = alone.advance(updates)
            assert (ours.updates, ours.g_updates) == (theirs.updates, theirs.g_updates)
            for name in ("d_loss", "g_loss", "d_real"):
                assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=2e-2), name


def test_a_time_limit_ends_the_wait_and_nothing_is_lost(engine):
    config = small()
    whole, in_parts = training_for(engine, config, 1), training_for(engine, config, 1)
    expected = engine.advance(whole, 600)
    n_waits = 0
    while (metrics := engine.advance(in_parts, 600, time_limit_seconds=0.02)) is None:
        n_waits += 1
    assert n_waits > 0
    assert metrics.d_loss == expected.d_loss
    assert same(state_of(whole), state_of(in_parts))


def test_one_that_diverges_is_told_so_and_the_others_train_on(engine):
    sound = training_for(engine, small(), 1)
    config = small(generator_lr=100, discriminator_lr=100, generator_output="linear", momentum=0.99)
    broken = training_for(engine, config, 1)
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(engine.advance, sound, 600)
        bad = pool.submit(engine.advance, broken, 600)
        with pytest.raises(DivergedError, match="not finite by update 600"):
            bad.result()
        assert good.result().updates == 600
    alone = training_for(engine, small(), 1)
    engine.advance(alone, 600)
    assert same(state_of(sound), state_of(alone))


def test_groups_go_on_between_the_turns_of_trainings_that_share_none(engine, monkeypatch):
    alone = [training_for(engine, small(unrolled_steps=1), seed) for seed in range(4)]
    shared = training_for(engine, small(), 0)
    taken, turn = [], engine._take_turn

    def noted(request):
        taken.append((request.training, shared.iteration))
        turn(request)

    monkeypatch.setattr(engine, "_take_turn", noted)
    monkeypatch.setattr("gansearch.grouping.engine._TURN_SECONDS", 0.001)
    with ThreadPoolExecutor(5) as pool:
        waiting = [
            pool.submit(engine.advance, training, 10**9, time_limit_seconds=3)
            for training in (*alone, shared)
        ]
        assert [future.result() for future in waiting] == [None] * 5
    both = [i for i, (_, done) in enumerate(taken) if done > 0][:-1]
    assert len(both) >= 13
    # One chunk of eight iterations after each turn, and each training has its turn in four.
    for i in both[4:-8]:
        assert taken[i + 1][1] - taken[i][1] in (0, 8)
        assert len({id(training) for training, _ in taken[i : i + 4]}) == 4


def test_what_goes_wrong_in_a_group_is_told_to_those_in_it(engine, monkeypatch):
    def fail(self):
        raise torch.OutOfMemoryError("no memory for this")

    training = training_for(engine, small(), 1)
    with monkeypatch.context() as patched:
        patched.setattr("gansearch.grouping.group.Group.advance", fail)
        with pytest.raises(torch.OutOfMemoryError, match="no memory for this"):
            engine.advance(training, 100)
    assert engine.advance(training_for(engine, small(), 1), 100).updates == 100


def test_what_goes_wrong_between_the_groups_is_told_to_all_and_the_engine_goes_on(
    engine, monkeypatch
):
    is_ready = Group.is_ready
    lost = torch.AcceleratorError("CUDA error: device lost")

    def fail(_):
        raise lost

    trainings = [training_for(engine, small(generator_widths=(n,)), 0) for n in (8, 24)]
    trainings.append(training_for(engine, small(unrolled_steps=1), 0))
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(engine.advance, training, 10**9) for training in trainings]
        while not all(training.iteration for training in trainings):
            time.sleep(0.01)
        monkeypatch.setattr(Group, "is_ready", property(fail))
        assert [future.exception() for future in waiting] == [lost] * 3
    monkeypatch.setattr(Group, "is_ready", is_ready)
    assert engine.advance(training_for(engine, small(), 1), 100).updates == 100


def test_idle_groups_make_room_where_memory_runs_out(engine, monkeypatch):
    for units in (8, 16, 24):
        engine.advance(training_for(engine, small(generator_widths=(units,)), 0), 20)
    make, calls, halves = engine._make_group, [], []

    def short_of_memory(structure):
        calls.append(sum(map(len, engine._groups.values())))
        if len(calls) == 1:
            half_made = torch.ones(1)
            halves.append(weakref.ref(half_made))
            raise torch.OutOfMemoryError("no memory for this")
        # No handler's traceback holds what the first attempt had made.
        assert halves[0]() is None
        return make(structure)

    monkeypatch.setattr(engine, "_make_group", short_of_memory)
    config = small(generator_widths=(32,))
    assert engine.advance(training_for(engine, config, 0), 20).updates == 20
    assert calls == [3, 0]


def test_groups_that_nobody_uses_are_given_back(engine):
    for n_layers in range(1, 22):
        config = small(generator_widths=(4,) * n_layers)
        engine.advance(training_for(engine, config, 0), 4)
    assert sum(map(len, engine._groups.values())) == 17


def test_a_closed_engine_says_so():
    others = set(threading.enumerate())
    engine = Engine(blobs(), "cpu", n_slots=2)
    training = training_for(engine, small(unrolled_steps=1), 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.advance, training, 10**9)
        while training.iteration == 0:
            time.sleep(0.01)
        engine.close()
        with pytest.raises(GansearchError, match="engine: it was closed"):
            waiting.result()
    with pytest.raises(GansearchError, match="engine: it is closed"):
        engine.advance(training, 10**9)
    assert set(threading.enumerate()) - others == set()
