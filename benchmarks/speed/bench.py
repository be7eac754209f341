"""All benchmarks that fit ten minutes on two idle cores, one after the other: `make bench`.

    python benchmarks/speed/bench.py

Ends with what each took, and the commands of those that are longer or need a GPU. A benchmark that
fails does not prevent the others from running.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = (
    ("training.py", "--turns", "10"),
    ("startup.py",),
    ("overhead.py", "--evaluations"),
    ("overhead.py",),
    ("parzen.py",),
    ("search.py",),
)
LONGER = """\
python benchmarks/speed/search.py --driver --trials 5000  growth of a search, with Ray: 6 minutes
python benchmarks/speed/search.py --proposals             TPE, after up to 5,000 trials
python benchmarks/speed/search.py --scale --trials 60     what one driver can feed
python benchmarks/speed/training.py --scores 10           what bf16 does to the final score
python benchmarks/speed/checkpoints.py                    what checkpoints cost: 4 minutes
python benchmarks/studies/chaos.py                        what kills cost: half an hour
bash benchmarks/gpu/first_contact.sh FOLDER               groups, on a GPU that is new: 7 minutes
python benchmarks/gpu/gpu.py --write                      groups, on a GPU: 18 minutes at most
make bench-collapse                                       detectors of collapse and divergence: 25 s
python benchmarks/studies/remedies.py --table             remedies; to train them takes hours
python benchmarks/studies/told.py --table                 a sampler that learns of failed trials"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    taken = [run(command) for command in COMMANDS]
    print(f"\n{'':40}{'seconds':>9}{'of processor, without Ray':>27}")
    for command, (_, wall, processor) in zip(COMMANDS, taken, strict=True):
        print(f"{' '.join(command):40}{wall:9.0f}{processor:27.0f}")
    wall, processor = (sum(row[i] for row in taken) for i in (1, 2))
    print(f"{'in all (goal: below 600 s)':40}{wall:9.0f}{processor:27.0f}")
    print(f"\nNot run here, since they are longer, need a GPU, or print stored results:\n{LONGER}")
    failed = [
        " ".join(command) for command, (code, *_) in zip(COMMANDS, taken, strict=True) if code
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(command: tuple[str, ...]) -> tuple[int, float, float]:
    """Run a script; return its exit code, its seconds, and those of the processor."""
    print(f"\n== python benchmarks/speed/{' '.join(command)}", flush=True)
    start, before = time.perf_counter(), _processor()
    code = subprocess.run([sys.executable, HERE / command[0], *command[1:]], check=False).returncode
    return code, time.perf_counter() - start, _processor() - before


def _processor() -> float:
    """Return the processor's seconds of all children that have ended; Ray's workers are none."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
