"""What `--deterministic` costs: how long workers wait, in simulated searches.

    python benchmarks/studies/fixed_order.py

Searches of 60 trials without training: scores that grow with the updates and have noise, and trials
whose speeds differ as those of networks of several widths do. Successive halving decides as in a
run. Times are ratios, of the workers' time in all.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import statistics

from gansearch.budget import Budget
from gansearch.tune.fixed_order import WINDOW, FixedOrder
from gansearch.tune.halving import SuccessiveHalving

BUDGET = Budget(trials=60, max_updates=6000, reports=20, grace=0.15, reduction_factor=3)
SPREAD = 0.5  # sd of the logarithm of a trial's speed


class Trial:
    """A training that is imagined: its speed, its scores, and where it stands."""

    def __init__(self, number: int, seed: int) -> None:
        rng = random.Random(f"{seed}/{number}")
        self.number = number
        self.seconds = math.exp(rng.gauss(0, SPREAD)) * BUDGET.max_updates / BUDGET.reports
        self.best, self.noise = rng.gauss(0, 1), [rng.gauss(0, 0.3) for _ in range(BUDGET.reports)]
        self.marks = BUDGET.report_updates()
        self.n_done = 0

    def advance(self) -> tuple[int, float, bool]:
        """Train to the next report; return the updates, the score, and whether it is the last."""
        updates, noise = self.marks[self.n_done], self.noise[self.n_done]
        self.n_done += 1
        score = self.best - 3 * math.exp(-4 * updates / BUDGET.max_updates) + noise
        return updates, score, self.n_done == len(self.marks)


def search(n_workers: int, seed: int, window: int | None) -> tuple[float, float, float]:
    """Return the time until the end, the time in which workers train, and the updates in all.

    `window` is that of a fixed order; None for a search that decides at once.
    """
    order = FixedOrder(BUDGET, window=window) if window else None
    halving = SuccessiveHalving(BUDGET)
    now, busy, updates_in_all, n_begun, n_free = 0.0, 0.0, 0.0, 0, n_workers
    waiting: dict[int, Trial] = {}
    events: list[tuple[float, int, Trial]] = []

    def train(trial: Trial) -> None:
        nonlocal busy
        busy += trial.seconds
        heapq.heappush(events, (now + trial.seconds, trial.number, trial))

    def settle() -> None:
        nonlocal n_begun, n_free
        changed = True
        while changed:
            changed = False
            for number in sorted(waiting):
                assert order is not None
                if order.must_wait(number):
                    continue
                trial, changed = waiting.pop(number), True
                if order.decide(number) is None:
                    train(trial)
                else:
                    order.end(number, "completed")
                    n_free += 1
            if n_free and n_begun < BUDGET.trials and (order is None or order.may_propose):
                if order is not None:
                    order.begin(n_begun)
                train(Trial(n_begun, seed))
                n_begun, n_free, changed = n_begun + 1, n_free - 1, True

    settle()
    while events:
        now, number, trial = heapq.heappop(events)
        updates, score, is_last = trial.advance()
        updates_in_all += BUDGET.max_updates / BUDGET.reports
        if order is not None:
            order.report(number, updates, score)
            if is_last:
                order.end(number, "completed")
            else:
                waiting[number] = trial
            n_free += is_last
        elif halving.add_score(str(number), updates, score) is not None or is_last:
            n_free += 1
        else:
            train(trial)
        settle()
    return now, busy, updates_in_all


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--windows", type=int, nargs="+", default=[WINDOW])
    given = parser.parse_args()
    print("| workers | window | waiting | waiting, without | updates | time |")
    print("|---|---|---|---|---|---|")
    for window in given.windows:
        for n in (1, 2, 4, 8):
            fixed = [search(n, seed, window) for seed in range(given.seeds)]
            free = [search(n, seed, None) for seed in range(given.seeds)]
            waits = [
                statistics.mean(1 - busy / (n * time) for time, busy, _ in runs)
                for runs in (fixed, free)
            ]
            ratios = [
                statistics.mean(one[i] / other[i] for one, other in zip(fixed, free, strict=True))
                for i in (2, 0)
            ]
            cells = [f"{100 * wait:.0f} %" for wait in waits] + [f"{ratio:.2f}" for ratio in ratios]
            print(f"| {n} | {window} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
