"""Where training dies: counted by hand in small tables, and known truths found in larger ones."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from gansearch.config import TrialConfig
from gansearch.family import DEFAULT_FAMILY, load_family
from gansearch.own_measures import VALID_LL, Objective, OwnMeasure
from gansearch.ranking.stability import jeffreys, stability
from gansearch.runs.history import HISTORY_COLUMNS
from tests.written_runs import TRIALS_COLUMNS

NETS = load_family(DEFAULT_FAMILY)
RATIO = "discriminator_lr/generator_lr"

GRACE = 1000
SEARCH = {
    "k": {"int": [1, 5]},
    "optimizer": {"choice": ["sgd", "adam"]},
    "generator_lr": {"float": [1e-3, 1.0], "log": True},
    "discriminator_lr": {"float": [1e-3, 1.0], "log": True},
    "momentum": {"float": [0.0, 0.9], "when": {"optimizer": ["sgd"]}},
    "dropout_hidden": {"float": [0.0, 0.5]},
    "generator_widths": {"choice": [[64, 64], [128, 128]]},
}


def trial(number, status="completed", updates=8000, phase="search", **parameters):
    config = TrialConfig(**parameters).to_dict()
    return {
        "trial_id": f"{phase[0]}{number:05d}",
        "number": number,
        "phase": phase,
        "status": status,
        "updates": updates,
        **{f"config.{name}": value for name, value in config.items()},
    }


def report(trial, valid_ll, updates=GRACE):
    return {"trial_id": trial["trial_id"], "updates": updates, "valid_ll": valid_ll}


def found(trials, history=(), search=SEARCH, objective=VALID_LL):
    return stability(
        pd.DataFrame(trials, columns=list(TRIALS_COLUMNS)),
        pd.DataFrame(history, columns=[*dict.fromkeys([*HISTORY_COLUMNS, objective.column])]),
        family=NETS,
        search=search,
        grace_updates=GRACE,
        objective=objective,
    )


def cells_of(found, parameter):
    cells = found.cells[
        (found.cells["kind"] == "parameter") & found.cells["parameter"].eq(parameter)
    ]
    return {row["value"]: (row["n_survived"], row["n_trials"]) for row in cells.to_dict("records")}


def drawn(seed, n, dies, quality):
    """A search of `n` random configurations; `dies` and `quality` tell a configuration's fate."""
    rng = np.random.default_rng(seed)
    trials, history = [], []
    for number in range(n):
        config = {
            "k": int(rng.integers(1, 6)),
            "optimizer": ("sgd", "adam")[rng.integers(2)],
            "generator_lr": 10 ** rng.uniform(-3, 0),
            "discriminator_lr": 10 ** rng.uniform(-3, 0),
            "dropout_hidden": rng.uniform(0, 0.5),
            "momentum": rng.uniform(0, 0.9),
            "generator_widths": ((64, 64), (128, 128))[rng.integers(2)],
        }
        status = "diverged" if dies(config, rng) else ("pruned", "completed")[rng.integers(2)]
        trials.append(trial(number, status, **config))
        history.append(report(trials[-1], quality(config, rng)))
    return found(trials, history)


def importances(found, target):
    rows = found.importances[found.importances["target"] == target]
    return dict(zip(rows["parameter"], rows["importance"], strict=True))


def reason(found, target):
    rows = found.importances[found.importances["target"] == target]
    assert rows["importance"].isna().all()
    return rows["reason"].unique().item()


# Who died, who survived, who tells nothing


def test_the_dead_are_the_collapsed_and_diverged_and_pruned_ones_survived():
    statuses = ("completed", "pruned", "collapsed", "diverged", "failed", "running")
    whole = found([trial(i, status) for i, status in enumerate(statuses)])
    assert (whole.n_survived, whole.n_trials) == (2, 4)


def test_a_trial_that_was_cut_short_before_the_first_rung_tells_nothing():
    whole = found(
        [trial(0, "pruned", GRACE - 1), trial(1, "pruned", GRACE), trial(2, "diverged", 10)]
    )
    assert (whole.n_survived, whole.n_trials) == (1, 2)


def test_replicas_are_not_counted():
    whole = found([trial(0), trial(1, "collapsed", phase="replica")])
    assert (whole.n_survived, whole.n_trials) == (1, 1)


def test_without_a_trial_there_is_nothing_but_an_empty_whole():
    nothing = found([])
    assert nothing.cells["n_trials"].tolist() == [0]
    assert nothing.cells["p_survives"].isna().all()
    assert nothing.importances.empty


# Cells


def test_a_share_has_jeffreys_interval():
    # n = 7 in Table 5 of Brown, Cai and DasGupta (2001), to three decimals.
    for survived, low, high in ((0, 0, 0.292), (1, 0.016, 0.501), (2, 0.065, 0.648)):
        assert jeffreys(survived, 7) == (
            pytest.approx(low, abs=1e-3),
            pytest.approx(high, abs=1e-3),
        )
    assert jeffreys(3, 12) == pytest.approx(beta(3.5, 9.5).interval(0.95))
    assert jeffreys(7, 7)[1] == 1


def test_a_parameter_is_counted_by_value_or_between_round_numbers():
    rates = [0.002, 0.005, 0.02, 0.05, 0.2, 0.5] * 4
    trials = [
        trial(i, "diverged" if rate >= 0.2 else "pruned", generator_lr=rate, k=1 + i % 2)
        for i, rate in enumerate(rates)
    ]
    whole = found(trials)
    assert cells_of(whole, "generator_lr") == {"<0.01": (8, 8), "0.01-0.1": (8, 8), ">=0.1": (0, 8)}
    assert cells_of(whole, "k") == {"1": (8, 12), "2": (8, 12)}
    worst = whole.worst.iloc[0]
    assert (worst["parameter"], worst["low"]) == ("generator_lr", 0.1)
    assert np.isnan(worst["high"])


def test_a_parameter_without_a_logarithmic_scale_is_parted_in_equal_numbers():
    trials = [trial(i, dropout_hidden=i / 64) for i in range(32)]
    assert cells_of(found(trials), "dropout_hidden") == {
        "<0.12": (8, 8),
        "0.12-0.24": (8, 8),
        "0.24-0.36": (8, 8),
        ">=0.36": (8, 8),
    }


@pytest.mark.parametrize(
    ("lowest", "n", "edges"),
    [(0.02, 64, [0.1, 1, 10]), (0.0002, 64, [0.001, 0.01, 0.1, 1, 10]), (0.2, 64, [0.3, 1, 3, 10])],
)
def test_a_logarithmic_scale_is_as_fine_as_its_range_and_the_trials_allow(lowest, n, edges):
    rates = np.geomspace(lowest, 20, n)
    cells = found([trial(i, generator_lr=rate) for i, rate in enumerate(rates)]).cells
    lows = cells.loc[cells["parameter"] == "generator_lr", "low"]
    assert lows.dropna().tolist() == edges


def test_few_trials_are_parted_in_few_intervals():
    rates = np.geomspace(0.002, 0.5, 8)
    whole = found([trial(i, generator_lr=rate) for i, rate in enumerate(rates)])
    assert len(cells_of(whole, "generator_lr")) == 2


def test_a_conditional_parameter_counts_only_where_it_applies():
    trials = [trial(i, optimizer="sgd", momentum=i / 10) for i in range(8)]
    trials += [trial(8 + i, "diverged", optimizer="adam") for i in range(8)]
    assert sum(n for _, n in cells_of(found(trials), "momentum").values()) == 8


def test_a_condition_of_the_space_itself_counts_as_well():
    """Dropout has a value in every configuration, but here it is searched with maxout only."""
    search = {
        "discriminator_activation": {"choice": ["maxout", "relu"]},
        "dropout_hidden": {"float": [0, 0.5], "when": {"discriminator_activation": ["maxout"]}},
        "batch_size": {"int": [1, 900], "when": {"dropout_hidden": [0.2]}},
    }
    trials = [
        trial(
            i,
            discriminator_activation=("maxout", "relu")[i % 2],
            dropout_hidden=(0.1, 0.2)[i // 2 % 2],
            batch_size=i + 1,
        )
        for i in range(32)
    ]
    whole = found(trials, search=search)
    assert sum(n for _, n in cells_of(whole, "dropout_hidden").values()) == 16
    assert sum(n for _, n in cells_of(whole, "batch_size").values()) == 8


def test_what_is_not_searched_or_does_not_vary_has_no_cells():
    trials = [trial(i, batch_size=10 + i, k=2) for i in range(6)]
    assert set(found(trials).cells["kind"]) == {"all"}


def test_the_map_counts_every_trial_once_and_has_its_empty_cells():
    rows = [(1, 0.1, "pruned")] * 5 + [(1, 20, "diverged")] * 4 + [(3, 20, "pruned")] * 3
    trials = [
        trial(i, status, k=k, generator_lr=0.01, discriminator_lr=0.01 * ratio)
        for i, (k, ratio, status) in enumerate(rows)
    ]
    cells = found(trials).map
    assert [
        (c["value"], c["ratio"], c["n_survived"], c["n_trials"]) for c in cells.to_dict("records")
    ] == [
        ("1", "<10", 5, 5),
        ("1", ">=10", 0, 4),
        ("3", "<10", 0, 0),
        ("3", ">=10", 3, 3),
    ]
    assert cells["p_survives"].isna().tolist() == [False, False, True, False]


def test_a_fixed_k_leaves_a_map_of_one_row():
    trials = [trial(i, generator_lr=0.01, discriminator_lr=10.0 ** (i % 4 - 3)) for i in range(12)]
    assert found(trials).map["value"].unique().tolist() == ["1"]


# Quality


def test_quality_is_that_of_the_first_report_from_the_first_rung_on():
    trials = [trial(0), trial(1, "pruned"), trial(2, "diverged"), trial(3)]
    history = [
        *(report(trials[0], ll, updates) for ll, updates in ((9.0, 999), (2.0, 1002), (7.0, 2000))),
        report(trials[1], 4.0),
        report(trials[2], -900.0),
        report(trials[3], np.nan),
    ]
    whole = found(trials, history).cells.iloc[0]
    assert (whole["n_measured"], whole["median_valid_ll"]) == (2, 3.0)


# What decides


@pytest.fixture(scope="module")
def by_ratio():
    """The ratio kills, and what the survivors are worth is the optimizer's matter."""
    return drawn(
        0,
        80,
        lambda c, rng: abs(np.log10(c["discriminator_lr"] / c["generator_lr"])) > 1.2,
        lambda c, rng: 5.0 * (c["optimizer"] == "adam") + rng.normal(),
    )


def test_the_parameter_that_kills_is_found_and_the_others_are_near_zero(by_ratio):
    found = importances(by_ratio, "survival")
    assert found.pop(RATIO) > 0.6
    assert max(found.values()) < 0.15


def test_quality_given_survival_has_parameters_of_its_own(by_ratio):
    found = importances(by_ratio, "quality")
    assert found.pop("optimizer") > 0.6
    assert max(found.values()) < 0.15


def test_the_skill_of_the_forest_is_recorded(by_ratio):
    rows = by_ratio.importances.groupby("target")["concordance"].first()
    assert rows["survival"] > 0.85
    assert rows["quality"] > 0.65


def test_of_pure_noise_nothing_is_told():
    noise = drawn(1, 40, lambda c, rng: rng.random() < 0.3, lambda c, rng: rng.normal())
    for target in ("survival", "quality"):
        assert "% of held-out pairs in the right order, which may be chance (p " in reason(
            noise, target
        )


def test_few_dead_or_few_measured_survivors_are_too_few_to_tell():
    trials = [trial(i, "diverged" if i < 4 else "pruned", k=1 + i % 3) for i in range(13)]
    few = found(trials, [report(row, 1.0) for row in trials])
    assert reason(few, "survival") == (
        "too few trials: 4 died and 9 survived; at least 5 of each are needed"
    )
    assert reason(few, "quality") == (
        "too few trials: 9 survivors were measured at the first rung; at least 10 are needed"
    )


def test_where_all_survivors_are_alike_nothing_can_decide_their_quality():
    search = {"optimizer": {"choice": ["sgd", "adam"]}}
    fates = {"sgd": "diverged", "adam": "completed"}
    trials = [trial(i, fate, optimizer=o) for o, fate in fates.items() for i in range(12)]
    alike = found(trials, [report(row, float(i)) for i, row in enumerate(trials)], search)
    assert reason(alike, "quality") == "no searched parameter varies among these 12 trials"


def test_survivors_that_are_all_worth_the_same_tell_nothing():
    trials = [trial(i, k=1 + i % 3) for i in range(12)]
    equal = found(trials, [report(row, 1.0) for row in trials])
    assert "which may be chance" in reason(equal, "quality")


def test_a_presets_value_outside_a_logarithmic_scale_is_no_obstacle():
    search = {"generator_max_norm": {"float": [0.1, 10], "log": True}}
    trials = [trial(i, ("pruned", "collapsed")[i % 2], generator_max_norm=i % 7) for i in range(24)]
    assert len(found(trials, search=search).importances) == 2


def test_of_more_trials_a_forest_sees_some_and_still_finds_what_kills(monkeypatch):
    monkeypatch.setattr("gansearch.ranking.stability.MOST_IN_FOREST", 80)
    whole = drawn(
        0,
        160,
        lambda c, rng: abs(np.log10(c["discriminator_lr"] / c["generator_lr"])) > 1.2,
        lambda c, rng: 5.0 * (c["optimizer"] == "adam") + rng.normal(),
    )
    assert whole.n_trials == whole.cells["n_trials"].iloc[0] == 160
    assert set(whole.importances["n_trials"]) == {80}
    found = importances(whole, "survival")
    assert found.pop(RATIO) > 0.6
    assert max(found.values()) < 0.15
    found = importances(whole, "quality")
    assert max(found, key=found.get) == "optimizer"


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_under_an_objective_quality_is_its_value_and_more_of_it_is_better(direction):
    objective = Objective(OwnMeasure("fid", "m.py:fid", direction))
    trials = [trial(i, "completed", optimizer=("sgd", "adam")[i % 2]) for i in range(60)]
    sign = -1 if direction == "minimize" else 1
    history = [
        report(row, 0.0) | {"measure.fid": 50 + sign * (10 * (i % 2) + i / 60)}
        for i, row in enumerate(trials)
    ]
    whole = found(trials, history, {"optimizer": SEARCH["optimizer"]}, objective)
    assert importances(whole, "quality")["optimizer"] > 0.6
    cell = whole.cells.iloc[0]
    assert cell["median_objective"] == pytest.approx(50 + sign * 5.5, abs=0.1)
    assert cell["median_valid_ll"] == 0.0
