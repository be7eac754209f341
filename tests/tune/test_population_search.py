"""A search by a population as Tune runs it, without Ray: what Optuna hears, and what forks are."""

import dataclasses
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

from gansearch.config import TrialConfig
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import Origin, TrialSpec
from gansearch.tune.population import EarlierMember, Population
from gansearch.tune.population_search import PopulationScheduler, PopulationSearcher
from gansearch.tune.rows import new_row
from gansearch.tune.samplers import make_sampler
from gansearch.tune.study import open_study
from tests.written_runs import step

MARKS = [100 * i for i in range(1, 11)]


@pytest.fixture(scope="module")
def space():
    return load_space(
        "digits", ("max_updates=1000", "reports=10", "grace=0.2", "trials=12", "scheduler=pbt")
    )


class Search:
    """A search on one worker. The score of a trial is the logarithm of its first D rate."""

    def __init__(self, space, path, *, earlier=(), open_trials=(), reports=None, ends=None):
        self.space, self.reports, self.ends = space, reports or {}, ends or {}
        self.study = open_study(path, make_sampler("random", 0))
        members = {
            spec.trial_id: EarlierMember(
                self.reports.get(spec.trial_id, ()), None, spec.origin is not None
            )
            for spec in earlier
        }
        self.population = Population(space.budget, earlier=members)
        self.scheduler = PopulationScheduler(space.budget, population=self.population)
        self.needed = []
        self.specs = {spec.trial_id: spec for spec in earlier}
        self.searcher = PopulationSearcher(
            space,
            self.study,
            seed=1,
            n_new=space.budget.trials - sum(spec.origin is None for spec in earlier),
            outcomes=self.scheduler.outcomes,
            interrupted=[self.specs[name] for name in open_trials],
            rows=[new_row(spec, space.table) for spec in earlier if spec.origin is None],
            earlier=earlier,
            population=self.population,
            end=lambda name, outcome: self.ends.update({name: outcome}),
            drop_states=self.needed.append,
        )
        self.n_begun = 0

    def train_one(self, dying=()):
        """Let the worker train a trial until it waits or ends; return what it was."""
        tune_id = f"ray-{self.n_begun}"
        self.n_begun += 1
        config = self.searcher.suggest(tune_id)
        if not isinstance(config, dict):
            return config
        spec = TrialSpec.from_tune(config)
        self.specs[spec.trial_id] = spec
        trial = SimpleNamespace(trial_id=tune_id, config=config, status="RUNNING")
        self.scheduler.on_trial_add(None, trial)
        own = self.reports.setdefault(spec.trial_id, [])
        score = spec.config["discriminator_lr"]
        for updates in [
            mark for mark in MARKS if mark > max([spec.begins_at, *(u for u, *_ in own)])
        ]:
            if (spec.trial_id, updates) in dying:
                result = step(updates, verdict="diverged", reason="not finite").to_tune()
            else:
                result = step(updates, score, done=updates == 1000).to_tune()
                own.append((updates, score, True))
            if result["done"]:
                self.scheduler.on_trial_complete(None, trial, result)
                break
            if self.scheduler.on_trial_result(None, trial, result) == PopulationScheduler.STOP:
                self.scheduler.on_trial_complete(None, trial, {**result, "done": True})
                break
            self.searcher.on_trial_result(tune_id, result)
        if tune_id in self.scheduler.outcomes:
            self.ends[spec.trial_id] = self.scheduler.outcomes[tune_id]
        self.searcher.on_trial_complete(tune_id, result)
        return spec

    def run(self, most=1000, dying=()):
        for _ in range(most):
            found = self.train_one(dying)
            if not isinstance(found, TrialSpec):
                assert found == self.searcher.FINISHED
                break
        return self

    @property
    def forks(self):
        return {name: spec for name, spec in self.specs.items() if spec.origin is not None}


def test_a_fork_has_its_donor_s_seed_and_configuration_with_a_point_more(space, tmp_path):
    search = Search(space, tmp_path / "journal").run()
    assert search.forks
    for name, fork in search.forks.items():
        donor = search.specs[fork.origin.trial_id]
        assert name.startswith(f"{donor.trial_id}-{fork.origin.updates}")
        assert (fork.seed, fork.number) == (donor.seed, donor.number)
        config, before = (TrialConfig.from_dict(each.config) for each in (fork, donor))
        assert config.schedule[-1].at == fork.origin.updates
        assert config.until(fork.origin.updates - 1).config_id == before.config_id
    assert {outcome.status for outcome in search.ends.values()} == {"completed", "pruned"}
    assert set(search.ends) == set(search.specs)
    assert search.searcher.is_over


def test_optuna_hears_of_the_trainings_from_scratch_alone(space, tmp_path):
    search = Search(space, tmp_path / "journal").run()
    trials = search.study.get_trials()
    assert len(trials) == 12
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        name = f"t{trial.number:05d}"
        assert trial.user_attrs["status"] == search.ends[name].status
        assert list(trial.intermediate_values) == [updates for updates, *_ in search.reports[name]]


def test_a_trial_that_diverges_is_rescued_and_stays_diverged(space, tmp_path):
    search = Search(space, tmp_path / "journal").run(dying={("t00000", 200), ("t00000-r", 200)})
    first, second = search.specs["t00000-r"], search.specs["t00000-r-r"]
    assert search.ends["t00000"].status == search.ends["t00000-r"].status == "diverged"
    assert first.origin == Origin("t00000", 100)
    assert second.origin == Origin("t00000", 100)  # it had no state of its own
    rates = [
        TrialConfig.from_dict(spec.config).at(900).discriminator_lr for spec in (first, second)
    ]
    assert first.config["discriminator_lr"] > rates[0] > rates[1]


def test_states_are_needed_of_the_living_and_of_those_that_they_began_from(space, tmp_path):
    search = Search(space, tmp_path / "journal").run()
    begun = [name for name, fork in search.forks.items() if fork.origin.updates == 200]
    for name in begun:
        assert {name, search.specs[name].origin.trial_id} <= search.needed[0]
    ended = {name for name, end in search.ends.items() if "after 200 updates" in end.reason}
    assert ended
    assert not ended & search.needed[0]


@pytest.mark.parametrize("most", [12, 14, 19, 26])
def test_an_interrupted_search_goes_on_to_the_same_trials(space, tmp_path, most):
    whole = Search(space, tmp_path / "whole").run()
    first = Search(space, tmp_path / "cut").run(most)
    earlier = list(first.specs.values())
    left = [spec.trial_id for spec in earlier if spec.trial_id not in first.ends]
    second = Search(
        space,
        tmp_path / "cut",
        earlier=earlier,
        open_trials=left,
        reports=first.reports,
        ends=first.ends,
    ).run()
    assert second.specs == whole.specs
    assert second.ends == whole.ends
    assert second.reports == whole.reports
    states = {trial.number: trial.state for trial in second.study.get_trials()}
    assert states == {trial.number: trial.state for trial in whole.study.get_trials()}


def test_a_search_that_has_tried_all_configurations_is_over_when_it_is_resumed(tmp_path):
    space = SearchSpace.from_dict(
        {
            "dataset": "ring",
            "search": {"discriminator_lr": {"choice": [0.01, 0.02, 0.04, 0.06, 0.08, 0.1]}},
            "budget": {"scheduler": "pbt", "trials": 12, "max_updates": 1000, "reports": 10},
            "baseline": "none",
        }
    )
    first = Search(space, tmp_path / "journal").run()
    assert sum(spec.origin is None for spec in first.specs.values()) == 6
    again = Search(
        space, tmp_path / "journal", earlier=list(first.specs.values()), reports=first.reports
    )
    assert again.searcher.is_over


def test_a_fork_that_no_report_leads_to_any_more_ends_and_says_why(space, tmp_path):
    first = Search(space, tmp_path / "journal").run(most=12)
    earlier = [*first.specs.values()]
    lost = dataclasses.replace(earlier[0], trial_id="t00000-700", origin=Origin("t00000", 700))
    left = [spec.trial_id for spec in (*earlier, lost)]
    second = Search(
        space,
        tmp_path / "journal",
        earlier=[*earlier, lost],
        open_trials=left,
        reports=first.reports,
    ).run()
    assert second.ends["t00000-700"].status == "pruned"
    assert "no longer in the history" in second.ends["t00000-700"].reason
