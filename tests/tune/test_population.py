"""Who goes on, who ends, and which forks begin, by names and scores alone."""

import hashlib
import random
from dataclasses import dataclass, field, replace

import pytest

from gansearch.budget import Budget
from gansearch.tune.freeze_thaw import Next
from gansearch.tune.population import EarlierMember, Population, levels_of, planned_updates
from gansearch.tune.rescue import MAX_ATTEMPTS

BUDGET = Budget(trials=16, max_updates=1000, reports=10, grace=0.2)
MARKS = BUDGET.report_updates()


def chance(*of):
    """Return a number in [0, 1) that follows from the arguments."""
    return int(hashlib.sha256(repr(of).encode()).hexdigest()[:8], 16) / 2**32


@dataclass
class Search:
    """A search as the searcher and the scheduler make it, with scores that follow from names."""

    earlier: dict = field(default_factory=dict)
    open: tuple = ()  # of the earlier ones, those that go on
    death: float = 0.0  # the probability at each report
    unsound: float = 0.0  # of a report that looks collapsed
    order: int = 0
    n_workers: int = 3
    budget: Budget = BUDGET

    def __post_init__(self):
        self.population = Population(self.budget, earlier=self.earlier)
        roots = [name for name, member in self.earlier.items() if not member.is_fork]
        self.n_begun = len(roots)
        self.population.n_new -= len(roots)
        self.reports = {name: list(member.reports) for name, member in self.earlier.items()}
        ends = {name: member.end for name, member in self.earlier.items()}
        self.ends = {name: end for name, end in ends.items() if end in ("unsound", "failed")}
        self.forks, self.reasons, self.completed = {}, {}, []
        self.running = []
        self.random = random.Random(self.order)
        for name in self.open:
            self.population.wait(name)

    def choose(self):
        self.reasons |= (ended := self.population.give_up())
        for name in ended:
            self.population.end(name)
        for fork in self.population.new_forks:
            self.forks[fork.name] = fork
            if fork.name not in self.earlier:
                self.population.wait(fork.name)
        self.population.new_forks.clear()
        return self.population.choose()

    def begin(self):
        name = self.choose()
        if name is Next.NEW:
            name = f"t{self.n_begun}"
            self.n_begun += 1
            self.population.n_new -= 1
        if isinstance(name, Next):
            return False
        self.population.begin(name)
        self.reports.setdefault(name, [])
        self.running.append(name)
        return True

    def step(self):
        """Let one worker train its trial up to the next report."""
        name = self.running.pop(self.random.randrange(len(self.running)))
        start = self.forks[name].updates if name in self.forks else 0
        reports = self.reports[name]
        done = reports[-1][0] if reports else start
        updates = next(mark for mark in MARKS if mark > done)
        if chance("death", name, updates) < self.death:
            self.ends[name] = "unsound"
            self.population.withdraw(name)
            return
        is_sound = chance("sound", name, updates) >= self.unsound
        reports.append((updates, chance("score", name, updates), is_sound))
        self.population.add_score(name, *reports[-1][:2], is_sound=is_sound)
        if updates == MARKS[-1]:
            self.population.end(name)
            self.completed.append(name)
        elif not self.population.pauses(name):
            self.running.append(name)

    def run(self, most=10**6):
        for _ in range(most):
            while len(self.running) < self.n_workers and self.begin():
                pass
            if not self.running:
                assert self.choose() is Next.NOTHING
                return self
            self.step()
        return self

    def resumed(self):
        """Return the search as a later session goes on with it."""
        # Whether a kill has lost the end of a trial makes no difference.
        pruned = sorted(self.reasons)[::2]
        ends = dict.fromkeys(pruned, "pruned") | self.ends
        earlier = {
            name: EarlierMember(reports, ends.get(name), name in self.forks)
            for name, reports in self.reports.items()
        }
        completed = [name for name, of in self.reports.items() if of and of[-1][0] == MARKS[-1]]
        over = {*self.ends, *completed, *pruned}
        rest = tuple(name for name in earlier if name not in over)
        return Search(earlier, rest, self.death, self.unsound, self.order + 1, self.n_workers)

    @property
    def spent(self):
        ends = {name: reports[-1][0] for name, reports in self.reports.items() if reports}
        starts = {name: fork.updates for name, fork in self.forks.items() if name in ends}
        return sum(ends.values()) - sum(starts.values())

    @property
    def outcome(self):
        return self.forks, self.reasons, sorted(self.completed), self.reports, self.ends


def test_the_levels_are_evaluations_the_first_of_them_after_the_grace():
    assert levels_of(BUDGET) == [200, 300, 500, 700, 1000]
    assert levels_of(Budget(max_updates=10, reports=1, grace=0.1)) == [10]


def test_forks_of_the_best_take_the_places_of_the_lowest():
    search = Search().run()
    first = [fork for fork in search.forks.values() if fork.updates == 200]
    roots = [name for name in search.reports if "-" not in name]
    scores = {name: score for name in roots for u, score, _ in search.reports[name] if u == 200}
    ranked = sorted(scores, key=scores.get, reverse=True)
    assert [fork.donor for fork in first] == ranked[: len(first)]
    ended = [name for name in ranked if "after 200 updates" in search.reasons.get(name, "")]
    assert ended == ranked[-len(ended) :]
    for fork, name in zip(first, reversed(ended), strict=False):
        assert search.reasons[name].endswith(f"; {fork.name} takes its place")
    assert len(search.completed) >= 2


@pytest.mark.parametrize("death", [0.0, 0.05])
def test_the_updates_are_those_of_as_many_trials_with_successive_halving(death):
    search = Search(death=death, unsound=0.1).run()
    total = BUDGET.trials * BUDGET.expected_updates
    rescued = sum(1000 - fork.updates for fork in search.forks.values() if fork.rescue)
    assert 0.8 * total < search.spent < 1.1 * total + rescued


@pytest.mark.parametrize(("trials", "top"), [(16, 1), (16, 3), (6, 3), (4, 4)])
def test_as_many_are_trained_to_the_end_as_become_finalists_by_the_planned_updates(trials, top):
    search = Search(budget=replace(BUDGET, trials=trials, top=top)).run()
    assert len(search.completed) >= top
    assert search.spent == planned_updates(search.budget)
    least = trials * search.budget.expected_updates
    assert search.spent > 0.9 * least
    assert search.spent < 1.1 * least or trials < 16


def test_what_is_decided_does_not_depend_on_which_worker_is_faster():
    expected = Search(death=0.05, unsound=0.1).run().outcome
    for order in range(1, 6):
        search = Search(death=0.05, unsound=0.1, order=order, n_workers=order)
        assert search.run().outcome == expected


def test_no_fork_begins_from_a_state_that_looked_collapsed():
    search = Search(unsound=0.5, death=0.05).run()
    assert search.forks
    for fork in search.forks.values():
        verdicts = {updates: is_sound for updates, _, is_sound in search.reports[fork.donor]}
        assert verdicts[fork.updates]


def test_without_a_sound_member_no_fork_begins_and_the_best_go_on():
    search = Search(unsound=1.0).run()
    assert not search.forks
    assert search.completed


def test_a_dying_trial_begins_again_from_its_last_sound_state_and_not_for_ever():
    search = Search(death=0.25).run()
    rescues = [fork for fork in search.forks.values() if fork.rescue]
    assert {fork.rescue for fork in rescues} == set(range(1, MAX_ATTEMPTS + 1))
    for fork in rescues:
        assert fork.model in search.ends
        own = [updates for updates, *_ in search.reports[fork.model]]
        assert fork.updates == (own[-1] if own else search.forks[fork.model].updates)
    for name in search.ends:
        again = f"{name}-r" in search.forks
        had_state = bool(search.reports[name]) or name in search.forks
        n_before = name.count("-r")
        assert again == (had_state and n_before < MAX_ATTEMPTS)


def test_a_failed_trial_leaves_its_place_without_a_rescue():
    search = Search()
    search.run(most=40)
    name = search.running.pop()
    search.ends[name] = "failed"
    search.population.withdraw(name, is_unsound=False)
    search.run()
    assert f"{name}-r" not in search.forks
    assert search.completed


def test_a_member_that_fails_before_its_next_report_is_replayed_as_it_was_counted():
    search = Search().run(most=34)  # the first level is decided, and its best go on
    name = next(name for name in search.running if name not in search.forks)
    search.running.remove(name)
    search.ends[name] = "failed"
    search.population.withdraw(name, is_unsound=False)
    again = search.resumed().run()
    search.run()
    assert (again.forks, again.reports) == (search.forks, search.reports)


def test_a_member_that_was_pruned_holds_nobody_up_even_if_its_reports_are_lost():
    search = Search().run(most=60)
    later = search.resumed()
    for name in sorted(search.reasons)[::2]:
        later.earlier[name] = later.earlier[name]._replace(reports=search.reports[name][:1])
    again = Search(later.earlier, later.open).run()
    assert again.completed


@pytest.mark.parametrize("most", [0, 5, 31, 40, 47, 60, 75])
def test_a_search_that_is_cut_anywhere_decides_as_if_it_had_not_been(most):
    whole = Search(death=0.05, unsound=0.1).run()
    search = Search(death=0.05, unsound=0.1).run(most)
    again = search.resumed().run()
    assert again.outcome[:2] == whole.outcome[:2]
    assert again.reports == whole.reports
    over = again.resumed().run()
    assert over.reports == whole.reports
    assert over.reasons == whole.reasons


def test_a_search_of_fewer_configurations_than_trials_goes_on_with_those_that_there_are():
    search = Search()
    search.population.n_new = 5
    search.run()
    assert len([name for name in search.reports if "-" not in name]) == 5
    assert search.completed
