"""What a search costs beside training: overhead of a trial, and the recorder's share of the time.

Runs a real search of `digits` with short trainings, so that starts, reports, stops and records
weigh as much as they ever will:

    python benchmarks/overhead.py [--trials 24]
"""

from __future__ import annotations

import argparse
import tempfile

import gansearch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    trials = parser.parse_args().trials
    workers = 2
    with tempfile.TemporaryDirectory() as results:
        run = gansearch.search(
            "digits",
            results=results,
            settings=gansearch.Settings(max_concurrent=workers),
            overrides=[
                *(f"budget.trials={trials}", "budget.max_updates=800", "budget.reports=8"),
                *("budget.top=1", "budget.replicas=3"),
            ],
        )
        info, table = run.read_run(), run.trials()
    overhead = table["overhead_seconds"]
    share = info["recorder_seconds"] / info["wall_seconds"]
    rest = (workers * info["wall_seconds"] - table["seconds"].sum()) / len(table)
    print(f"trials                          {len(table)} in two phases, on {workers} workers")
    print(f"overhead of a trial, median     {overhead.median():.3f} s   (goal: below 0.6 s)")
    print(f"overhead of a trial, maximum    {overhead.max():.3f} s")
    print(f"all but training, a trial       {rest:.2f} s   (with evaluations and worker starts)")
    print(f"recorder's share of wall time   {100 * share:.2f} %   (goal: at most 1 %)")


if __name__ == "__main__":
    main()
