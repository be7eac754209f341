"""What a search gains from where it starts: whole runs of `gansearch run`, in pairs of a seed.

    python benchmarks/studies/starting_points.py                  # digits, ten seeds: half an hour
    python benchmarks/studies/starting_points.py --table          # the table alone

Each arm is a list of presets for `start_from`; all else is as in the space. What a run found is the
test log-likelihood of its first in the ranking, the mean over replicas on fresh seeds; what it
spent are the updates of its search. Runs that are in the data are not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.studies.curves import DATA
from benchmarks.studies.recovery import print_table
from benchmarks.studies.search_efficiency import difference, ratio
from gansearch.system.files import write_atomically

# The first is what the others are compared with.
ARMS = {"paper": "[paper]", "paper, found": "[paper, found]"}
# The first seeds belong to the long searches that made the presets.
FIRST_SEED = 101


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="digits")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--table", action="store_true", help="print the kept runs only")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    path = arguments.data / f"starting-points-{arguments.space}.parquet"
    if not arguments.table:
        _run_all(arguments.space, arguments.seeds, path)
    print_arms(arguments.space, pd.read_parquet(path))


def _run_all(space: str, n_seeds: int, path: Path) -> None:
    rows = pd.read_parquet(path).to_dict("records") if path.exists() else []
    done = {(row["arm"], row["seed"]) for row in rows}
    # The arms of a seed one after the other, so that the table can be printed at any time.
    for seed in range(FIRST_SEED, FIRST_SEED + n_seeds):
        for arm, start_from in ARMS.items():
            if (arm, seed) not in done:
                rows.append({"arm": arm, "seed": seed, **_run(space, seed, start_from)})
                write_atomically(path, pd.DataFrame(rows).to_parquet(index=False))
                print(rows[-1], flush=True)


def _run(space: str, seed: int, start_from: str) -> dict[str, Any]:
    """Make one run, and return what it spent and found."""
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", "gansearch", "run", "--space", space, "--seed", str(seed)]
        command += ["--set", f"start_from={start_from}", "--results", results, "--name", "run"]
        subprocess.run([*command, "--quiet"], check=True)
        trials = pd.read_parquet(Path(results, "run", "trials.parquet")).query("phase == 'search'")
        winner = (
            pd.read_parquet(Path(results, "run", "ranking.parquet")).sort_values("rank").iloc[0]
        )
    number = trials.loc[trials.config_id == winner.config_id, "number"].min()
    return {
        "updates": int(trials.updates.sum()),
        "completed": int((trials.status == "completed").sum()),
        "winner": winner.config_id,
        "winner_trial": int(number),
        "test_ll": float(winner.test_ll),
        "coverage": float(winner.coverage),
    }


def print_arms(space: str, runs: pd.DataFrame) -> None:
    """Print what each arm spent and found beside the first."""
    first = next(iter(ARMS))
    base = runs[runs.arm == first].set_index("seed")
    rows = []
    for arm, of in runs.groupby("arm", sort=False):
        own, beside = of.set_index("seed").align(base, join="inner", axis=0)
        gains = (own.test_ll - beside.test_ll).tolist()
        rows.append(
            {
                "start_from": arm,
                "runs": len(own),
                "updates of the search": ratio((own.updates / beside.updates).tolist()),
                "winner's test_ll, nats": f"{own.test_ll.mean():.2f}",
                "difference": difference(gains),
                "better": "" if arm == first else f"{sum(gain > 0 for gain in gains)}/{len(own)}",
            }
        )
    print_table(f"{space}: runs from other starting points", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
