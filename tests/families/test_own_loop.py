"""A training loop of the user's own trains as it does alone, and is stopped, saved and resumed."""

import functools
import threading

import numpy as np
import pytest
import torch
from torch import nn

import gansearch
from gansearch.data.registry import load_dataset
from gansearch.errors import (
    BadInputError,
    ConfigError,
    DivergedError,
    OutsideError,
    ResultsError,
)
from gansearch.families import loop_state
from gansearch.family import family_of
from gansearch.space.search_space import SearchSpace
from gansearch.system.user_code import reference_of

DIGITS, RING = load_dataset("digits"), load_dataset("ring")


def networks(config):
    torch.manual_seed(0)
    g = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
    d = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))
    return g, d, *(torch.optim.Adam(net.parameters(), config["lr"]) for net in (g, d))


def step_of(g, d, g_opt, d_opt, real):
    fake = g(torch.randn(len(real), 8))
    d_loss = nn.functional.softplus(-d(real)).mean() + nn.functional.softplus(d(fake)).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = nn.functional.softplus(-d(g(torch.randn(len(real), 8)))).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def alone(n_steps):
    """Return G after the plain loop, which knows nothing of gansearch."""
    nets = networks({"lr": 0.01})
    data = torch.from_numpy(RING.train)
    for _ in range(n_steps):
        step_of(*nets, data[torch.randint(len(data), (32,))])
    return nets[0]


@gansearch.trainable(lr=0.01)
def train(config, data, trial):
    nets = networks(config)
    state = dict(zip(("g", "d", "g_opt", "d_opt"), nets, strict=True))
    for step in range(trial.restore(state), trial.max_updates):
        losses = step_of(*nets, data.train[torch.randint(len(data), (32,))])
        trial.report(
            step,
            sample=lambda n: nets[0](torch.randn(n, 8)),
            state=state,
            d_loss=losses[0],
            g_loss=losses[1],
        )


def built(function, *, dataset=RING, max_updates=60, **config):
    """Return the training of a function, as a trial has it."""
    space = SearchSpace.from_dict(
        {
            "trainable": function,
            "dataset": dataset.name,
            "search": {"lr": {"float": [0.001, 0.1]}},
        }
    )
    table = space.family.config_type
    training = space.family.build(table(**config), dataset, 3, "cpu")
    training.max_updates = max_updates
    return training


@pytest.fixture
def closing():
    trainings = []
    yield lambda training: (trainings.append(training), training)[1]
    for training in trainings:
        training.close()
    assert not [t for t in threading.enumerate() if t.name == "gansearch-loop"]


def weights(training):
    return {key: value.clone() for key, value in training.state["g"].state_dict().items()}


def equal(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_a_loop_ends_with_the_weights_that_it_has_alone(closing):
    training = closing(built(train))
    for updates in (7, 20, 33, 60):
        metrics = training.advance(updates)
        assert metrics.updates == training.counts.updates == updates
        training.samples(150)
        training.save()
        torch.rand(5)  # what an evaluation may draw
    assert equal(weights(training), alone(60).state_dict())
    assert 0 < metrics.d_loss < 3 and metrics.d_real is None


def test_a_loop_goes_on_from_any_report_to_the_same_weights(closing):
    whole = closing(built(train))
    whole.advance(40)
    for first in (1, 13, 39):
        before = closing(built(train))
        before.advance(first)
        after = closing(built(train))
        after.load(before.save())
        assert after.updates == first
        assert after.advance(40).updates == 40
        assert equal(weights(after), weights(whole))


def test_a_loop_without_a_state_trains_again_up_to_where_it_was(closing):
    def forgetful(config, data, trial):
        g, *others = networks(config)
        for step in range(trial.max_updates):
            step_of(g, *others, data.train[torch.randint(len(data), (32,))])
            trial.report(step, lambda n: g.eval()(torch.randn(n, 8)))

    before = closing(built(forgetful))
    before.advance(20)
    after = closing(built(forgetful))
    after.load(before.save())
    assert after.updates == 20
    before.advance(30), after.advance(30)
    np.testing.assert_array_equal(after.samples(40), before.samples(40))


def test_a_loop_that_yields_reports_what_it_yields(closing):
    def yields(config, data, trial):
        nets = networks(config)
        for step in range(trial.max_updates):
            step_of(*nets, data.train[torch.randint(len(data), (32,))])
            yield {"step": step, "sample": lambda n: torch.ones(n, 2)}

    training = closing(built(yields))
    assert training.advance(5).updates == 5
    assert (training.samples(3) == 1).all()


def test_the_first_samples_are_the_same_for_any_number(closing):
    training = closing(built(train))
    training.advance(10)
    many = training.samples(1500)
    np.testing.assert_array_equal(training.samples(100), many[:100])
    assert many.dtype == np.float32 and not (many[0] == many[1000]).all()


def test_modules_of_the_state_are_sampled_in_eval_mode_and_left_as_they_were(closing):
    training = closing(built(train))
    training.advance(10)
    before = weights(training)
    training.samples(100)
    assert equal(before, weights(training)) and training.state["g"].training


def test_a_time_limit_returns_between_two_reports(closing):
    training = closing(built(train))
    assert training.advance(50, time_limit_seconds=0) is None
    assert training.updates == 1
    assert training.advance(50).updates == 50


def test_images_are_seen_channels_first_in_the_declared_range(closing):
    seen = {}

    @gansearch.trainable(output_range=(-1, 1), lr=0.01)
    def looks(config, data, trial):
        seen.update(shape=tuple(data.train.shape), low=data.train.min(), high=data.train.max())
        seen["label"] = data[3][1]
        for step in range(trial.max_updates):
            trial.report(step, lambda n: data.train[:n])

    training = closing(built(looks, dataset=DIGITS))
    training.advance(1)
    assert seen["shape"] == (1197, 1, 8, 8) and (seen["low"], seen["high"]) == (-1, 1)
    assert seen["label"] == DIGITS.labels.train[3]
    np.testing.assert_allclose(training.samples(50), DIGITS.to_float(DIGITS.train[:50]), atol=1e-6)


def test_batches_are_the_same_from_any_step_on(closing):
    found = {}

    def looks(config, data, trial):
        found["all"] = [batch for batch, _ in zip(data.batches(4), range(6), strict=False)]
        found["late"] = next(data.batches(4, first=5))
        trial.report(0, lambda n: data.train[:n])

    closing(built(looks)).advance(1)
    assert torch.equal(found["all"][5], found["late"])
    assert not torch.equal(found["all"][0], found["all"][1])


def test_a_generator_is_stored_as_its_samples_and_weights(closing):
    training = closing(built(train))
    training.advance(10)
    family = family_of({"trainable": reference_of(train), "parameters": {"lr": {"float": 0.01}}})
    export = family.export(training, 3)
    assert {"g.0.weight", "d.3.bias", "samples"} <= set(export.arrays)
    generator = family.generator(export, family.config_type(), lambda: RING)
    np.testing.assert_array_equal(generator.samples(20), training.samples(2000)[:20])
    with pytest.raises(ResultsError, match=r"--n 20000: 10,000 samples of this trial were kept"):
        generator.samples(20000)


# What is wrong is said in one sentence


def message_of(function, updates=5, kind=ConfigError, **options):
    training = built(function, **options)
    training.patience_seconds = 1.0
    try:
        with pytest.raises(kind) as caught:
            while training.advance(updates) is None:
                pass
            training.samples(4)
            training.save()
    finally:
        training.close()
    assert "\n" not in str(caught.value)
    return str(caught.value).partition(": ")[2]


def test_a_loop_that_never_reports_is_told_to(closing):
    assert message_of(lambda config, data, trial: None) == (
        "it returned without a report. Call trial.report(step, sample) after every step."
    )


def test_a_loop_that_computes_without_a_report_is_ended(closing):
    def endless(config, data, trial):
        while True:
            pass

    told = message_of(endless, kind=OutsideError)  # it may be a hang of what it waits for
    assert told.startswith("no report for 1 seconds. A trial can be evaluated")


def test_a_loop_that_ends_early_is_told_how_far_it_came(closing):
    def short(config, data, trial):
        for step in range(2):
            trial.report(step, lambda n: torch.ones(n, 2))

    assert message_of(short).startswith("it ended after 2 steps, of 60. Go on until")


def test_reports_that_go_backwards_are_refused(closing):
    def backwards(config, data, trial):
        for step in (0, 1, 1):
            trial.report(step, lambda n: torch.ones(n, 2))

    assert message_of(backwards).startswith("report: step 1 after step 1. Steps must increase")


def test_a_step_that_is_no_number_is_refused(closing):
    def named(config, data, trial):
        trial.report("first", lambda n: torch.ones(n, 2))

    assert message_of(named).startswith("report: step: found 'first'. It must be a whole number")


def test_an_unknown_measurement_is_answered_by_the_nearest(closing):
    def measured(config, data, trial):
        trial.report(0, lambda n: torch.ones(n, 2), d_los=1.0)

    assert message_of(measured) == ("report: d_los: no such measurement. Did you mean d_loss?")


def test_samples_of_a_wrong_shape_are_told_with_the_right_one(closing):
    def misshapen(config, data, trial):
        trial.report(0, lambda n: torch.ones(n, 8, 8))

    assert message_of(misshapen, updates=1, dataset=DIGITS) == (
        "sample: sample(4) returned shape [4, 8, 8]. It must be [4, 1, 8, 8], channels first."
    )


def test_an_error_is_told_with_the_users_own_line(closing):
    def broken(config, data, trial):
        torch.zeros(2, 3) @ torch.zeros(4, 5)

    message = message_of(broken)
    assert message.startswith("it failed: RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert message.endswith("torch.zeros(2, 3) @ torch.zeros(4, 5)")
    assert "test_own_loop.py:" in message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("odd"), ConfigError),
        (SystemExit(3), ConfigError),
        (FileNotFoundError(2, "no such file"), OutsideError),
        (MemoryError(), MemoryError),
        (DivergedError("by hand"), DivergedError),
    ],
)
def test_an_error_says_whether_the_loop_is_at_fault(closing, error, kind):
    def fails(config, data, trial):
        trial.report(0, lambda n: torch.ones(n, 2))
        raise error

    training = closing(built(fails))
    training.advance(1)
    with pytest.raises(kind) as caught:
        training.advance(2)
    assert type(caught.value) is kind
    if issubclass(kind, ConfigError):
        told = str(caught.value).partition(": it failed: ")[2]
        assert told.startswith(type(error).__name__) and told.endswith(": raise error")


def test_a_lack_of_memory_in_sample_is_one_of_the_trial(closing):
    def sample(n):
        raise MemoryError

    training = closing(built(lambda config, data, trial: trial.report(0, sample)))
    training.advance(1)
    with pytest.raises(MemoryError):
        training.samples(4)


def test_an_unknown_parameter_of_the_configuration_is_answered_by_the_nearest(closing):
    def asks(config, data, trial):
        return config.lrr

    assert "config has no parameter lrr. Did you mean lr?" in message_of(asks)


def test_a_state_that_can_not_be_saved_is_named(closing):
    def stateful(config, data, trial):
        state = {"opt": {"gen": (x for x in range(3))}}
        trial.report(0, lambda n: torch.ones(n, 2), state=state)

    assert message_of(stateful, updates=1).startswith(
        "state['opt']['gen']: an object of the type generator can't be saved. State has, each "
    )


def test_a_restore_of_another_state_is_refused(closing):
    before = closing(built(train))
    before.advance(3)

    def other(config, data, trial):
        trial.restore({"g": nn.Linear(8, 2)})

    after = closing(built(other))
    after.load(before.save())
    with pytest.raises(ConfigError, match="restore: found g, where the last report's state has d,"):
        after.advance(5)


def test_a_state_of_other_shapes_is_refused_in_one_line():
    saved = {"g": nn.Linear(8, 3).state_dict()}
    with pytest.raises(ConfigError) as caught:
        loop_state.restore({"g": nn.Linear(8, 2)}, saved)
    assert (
        "can't take what was saved (Error(s) in loading state_dict for Linear: size mismatch "
        in (str(caught.value))
    )
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_has_diverged(closing):
    def diverges(config, data, trial):
        for step in range(trial.max_updates):
            trial.report(step, lambda n: torch.ones(n, 2), g_loss=torch.tensor(float("nan")))

    training = closing(built(diverges))
    with pytest.raises(DivergedError, match="g_loss is nan by update 5"):
        training.advance(5)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (lambda n: torch.full((n, 1, 8, 8), float("nan")), "sample returned NaN"),
        (
            lambda n: torch.linspace(-1, 1, 64 * n).view(n, 1, 8, 8),
            "sample returned values from -1 to 1, outside [0, 1]. Declare the range of G's output",
        ),
    ],
)
def test_a_dry_call_finds_samples_that_can_not_be_right(closing, sample, message):
    def makes(config, data, trial):
        trial.report(0, sample)

    space = SearchSpace.from_dict(
        {"trainable": makes, "dataset": "digits", "search": {"lr": {"float": [0.001, 0.1]}}}
    )
    with pytest.raises(ConfigError) as caught:
        space.family.check(space.table(), DIGITS)
    assert message in str(caught.value)


def test_a_dry_call_of_a_sound_loop_says_nothing_and_ends_it(closing):
    space = SearchSpace.from_dict(
        {"trainable": train, "dataset": "ring", "search": {"lr": {"float": [0.001, 0.1]}}}
    )
    space.family.check(space.table(), RING)


def fault_of(function, dataset="ring"):
    """Return what a dry call says of a function."""
    space = SearchSpace.from_dict(
        {"trainable": function, "dataset": dataset, "search": {"lr": {"float": [0.001, 0.1]}}}
    )
    with pytest.raises(ConfigError) as caught:
        space.family.check(space.table(), load_dataset(dataset))
    return str(caught.value).partition(": ")[2]


def test_a_dry_call_finds_a_second_report_that_goes_backwards():
    def backwards(config, data, trial):
        for step in reversed(range(trial.max_updates)):
            trial.report(step // 2, lambda n: torch.ones(n, 2))

    assert fault_of(backwards).startswith("report: step 499 after step 499.")


def test_a_dry_call_finds_a_state_that_can_not_be_restored():
    def counts(config, data, trial):
        epoch = 0
        for step in range(trial.restore({"epoch": epoch}), trial.max_updates):
            trial.report(step, lambda n: torch.ones(n, 2), state={"epoch": epoch})

    assert fault_of(counts) == (
        "restore: state['epoch']: found 0, which can't be changed in place. Put it into a dict or "
        'a list, from which the loop reads it after restore: state={"counts": {"epoch": '
        "epoch}}, say."
    )

    def forgets(config, data, trial):
        g, d = nn.Linear(1, 1), nn.Linear(1, 1)
        for step in range(trial.restore({"g": g}), trial.max_updates):
            trial.report(step, lambda n: torch.ones(n, 2), state={"g": g, "d": d})

    assert fault_of(forgets).startswith("restore: found g, where the last report's state has d, g")


@pytest.fixture
def released(monkeypatch):
    """An event for loops that go on after their stop: they wait for it, and then end."""
    monkeypatch.setattr("gansearch.families.loop_thread._STOP_SECONDS", 0.1)
    event = threading.Event()
    yield event
    left = [t for t in threading.enumerate() if t.name == "gansearch-loop"]
    event.set()
    for thread in left:
        thread.join(10)


def test_a_dry_call_of_a_loop_that_hangs_says_that_it_has_not_reported(monkeypatch, released):
    monkeypatch.setattr("gansearch.families.own_loop._DRY_PATIENCE_SECONDS", 0.1)

    def hangs(config, data, trial):
        trial.report(0, lambda n: torch.ones(n, 2))
        released.wait()

    assert fault_of(hangs).startswith("no report for 0.1 seconds. A trial can be evaluated")


def test_a_loop_that_catches_its_stop_trains_no_further(monkeypatch):
    monkeypatch.setattr("gansearch.families.loop_thread._STOP_SECONDS", 0.1)
    steps = []

    def stubborn(config, data, trial):
        for step in range(trial.max_updates):
            steps.append(step)
            try:
                trial.report(step, lambda n: torch.ones(n, 2))
            except BaseException:
                continue

    training = built(stubborn)
    training.advance(5)
    assert not training.stop()
    assert steps == [0, 1, 2, 3, 4, 5]
    # The thread waits for good; one more turn lets it end.
    training._thread._go.release(100)
    training._thread._thread.join(10)
    assert training._thread.has_ended


def test_a_dry_call_finds_a_loop_that_can_not_be_stopped(released):
    def stubborn(config, data, trial):
        try:
            trial.report(0, lambda n: torch.ones(n, 2))
        except BaseException:
            released.wait()

    assert fault_of(stubborn).startswith("it doesn't end when its trial is stopped.")


def test_a_loop_that_begins_with_its_last_step_is_sound():
    def at_once(config, data, trial):
        trial.restore({})
        trial.report(trial.max_updates - 1, lambda n: torch.ones(n, 2), state={})

    space = SearchSpace.from_dict(
        {"trainable": at_once, "dataset": "ring", "search": {"lr": {"float": [0.001, 0.1]}}}
    )
    space.family.check(space.table(), RING)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample": None}, "report: sample: found None. It must be a function that returns n"),
        ({"sample": torch.ones(4, 2)}, "report: sample: found tensor("),
        ({"d_loss": "high"}, "report: d_loss: found 'high'. It must be a number, or a tensor of"),
        ({"d_loss": torch.ones(3)}, "report: d_loss: found tensor([1., 1., 1.]). It must be"),
        ({"state": [nn.Linear(1, 1)]}, "report: state: found a list. It must be a mapping of"),
    ],
)
def test_what_can_not_be_reported_is_answered(given, message):
    def reports(config, data, trial):
        trial.report(**{"step": 0, "sample": lambda n: torch.ones(n, 2)} | given)

    assert message_of(reports).startswith(message)


def test_a_measurement_that_is_none_is_left_out(closing):
    def measures(config, data, trial):
        for step in range(trial.max_updates):
            loss = np.array([2.0]) if step else None
            trial.report(step, lambda n: torch.ones(n, 2), d_loss=loss, g_loss=None)

    metrics = closing(built(measures)).advance(5)
    assert (metrics.d_loss, metrics.g_loss) == (2.0, None)


def test_a_report_in_another_thread_is_refused_even_if_the_loop_goes_on(closing):
    caught = []

    def delegates(config, data, trial):
        def reports():
            try:
                trial.report(0, lambda n: torch.ones(n, 2))
            except ConfigError as error:
                caught.append(error)

        thread = threading.Thread(target=reports)
        thread.start()
        thread.join()

    assert message_of(delegates).startswith("report: it was called in another thread.")
    assert len(caught) == 1


def test_parts_of_a_module_that_are_frozen_stay_so(closing):
    modes = []

    def frozen(config, data, trial):
        g = nn.Sequential(nn.Linear(8, 2), nn.BatchNorm1d(2))
        g[1].eval()
        for step in range(trial.max_updates):
            trial.report(step, lambda n: g(torch.randn(n, 8)), state={"g": g})
            modes.append([part.training for part in g.modules()])

    training = closing(built(frozen))
    training.advance(1)
    training.samples(5)
    training.advance(2)
    assert modes[0] == [True, True, False]


def test_defaults_of_torch_that_a_loop_changes_are_its_own(closing):
    seen = []

    def changes(config, data, trial):
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        assert next(data.batches(3)).shape == (3, 2)

        def sample(n):
            seen.append((torch.get_default_dtype(), torch.get_default_device().type))
            return torch.ones(n, 2, device="cpu")

        for step in range(trial.max_updates):
            trial.report(step, sample)
            seen.append((torch.get_default_dtype(), torch.get_default_device().type))

    training = closing(built(changes))
    for updates in (1, 2):
        training.advance(updates)
        training.samples(5)
        assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_device().type == "cpu"
    training.close()
    assert torch.get_default_dtype() == torch.float32
    assert set(seen) == {(torch.float64, "meta")}


def test_a_default_that_can_not_be_searched_reaches_the_loop_as_it_is(closing):
    found = []

    @gansearch.trainable(lr=0.01, betas=(0.5, 0.9))
    def takes(config, data, trial):
        found.append(config.betas)

    with pytest.raises(ConfigError, match="returned without a report"):
        closing(built(takes)).advance(1)
    assert found == [(0.5, 0.9)]


def test_a_partial_of_a_loop_keeps_what_was_declared(closing):
    space = SearchSpace.from_dict(
        {"trainable": functools.partial(train), "dataset": "ring", "start_from": ["defaults"]}
    )
    assert space.table.defaults() == {"lr": 0.01}


@pytest.mark.parametrize("output_range", [(1, -1), 1, ("a", "b")])
def test_an_output_range_that_is_none_is_refused_where_it_is_declared(output_range):
    with pytest.raises(BadInputError, match="trainable: output_range: found"):
        gansearch.trainable(output_range=output_range)(train)


class Loop:
    def __call__(self, config, data, trial):
        return train(config, data, trial)

    def fit(self, config, data, trial):
        return train(config, data, trial)

    async def later(self, config, data, trial):
        pass

    def short(self, config, data):
        pass


def test_any_object_that_is_called_like_a_loop_is_one(closing):
    for function in (Loop(), Loop().fit, functools.partial(train), lambda *given: train(*given)):
        assert closing(built(function, lr=0.01)).advance(2).updates == 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (Loop, "found a class, whose objects train nothing by being made. trainable must be a"),
        (Loop().later, "found a function that is async, which nothing awaits. trainable must"),
        (Loop().short, "it takes (config, data). trainable must be a function (config, data, "),
    ],
)
def test_what_can_not_be_a_loop_is_told_before_it_is_called(function, message):
    with pytest.raises(BadInputError) as caught:
        built(function)
    assert message in str(caught.value)


def test_a_loop_goes_back_to_an_earlier_state(closing):
    training = closing(built(train))
    training.advance(5)
    state, before = training.save(), training.samples(2000)
    training.advance(9)
    assert not np.array_equal(before, training.samples(2000))
    training.rewind(state)
    np.testing.assert_array_equal(before, training.samples(2000))


def stateless(config, data, trial):
    for step in range(trial.max_updates):
        trial.report(step, sample=lambda n: torch.rand(n, 2))


def moving(config, data, trial):
    g, shift = nn.Linear(8, 2), torch.zeros(2)
    for step in range(trial.restore({"g": g}), trial.max_updates):
        shift.add_(1)
        trial.report(step, lambda n: g(torch.randn(n, 8)) + shift, state={"g": g})


@pytest.mark.parametrize(
    ("loop", "message"),
    [(stateless, "this loop reports none"), (moving, "other samples than at that report")],
)
def test_a_dry_call_finds_a_loop_that_can_not_go_back(loop, message):
    space = SearchSpace.from_dict(
        {
            "trainable": loop,
            "dataset": "ring",
            "search": {"lr": {"float": [0.001, 0.1]}},
            "keep": "best",
        }
    )
    with pytest.raises(ConfigError, match=f"keep: best goes back to an earlier state.*{message}"):
        space.family.check_rewind(next(space.variants()), RING)
    assert not [t for t in threading.enumerate() if t.name == "gansearch-loop"]


def test_a_dry_call_of_a_loop_that_can_go_back_says_nothing():
    space = SearchSpace.from_dict(
        {"trainable": train, "dataset": "ring", "search": {"lr": {"float": [0.001, 0.1]}}}
    )
    space.family.check_rewind(next(space.variants()), RING)


def test_a_training_that_is_saved_before_its_loop_has_restored_loses_nothing(closing):
    whole = closing(built(train))
    whole.advance(60)
    first = closing(built(train))
    first.advance(20)
    second = closing(built(train))
    second.load(first.save())
    third = closing(built(train))
    third.load(second.save())  # the second was stopped at once
    assert third.advance(60).updates == 60
    assert equal(weights(third), weights(whole))
