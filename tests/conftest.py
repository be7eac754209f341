"""What all tests share."""

import os
import signal
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import gansearch  # noqa: F401  # before Ray, whichever test imports that: it sets what Ray reads

# One thread a process, in the tests as in the trials: the same bits, and cores left for Ray's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# On some processors MKL's last bits depend on where in memory a matrix begins (docs/groups.md).
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")


# Tests send it; under `nohup`, which ignores it, they and their processes would ignore it too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files with searches on real Ray come first, the longest before all others.

    Where several processes share the tests, file by file, one of them would else begin the longest
    when the others have nothing left to do.
    """
    n_searches = Counter(item.path for item in items if item.get_closest_marker("ray"))
    items.sort(key=lambda item: -n_searches[item.path])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long the tests of each folder took, or of each file in the topmost."""
    seconds, tests = Counter[str](), Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                where = _folder(report.location[0])
                seconds[where] += report.duration
                tests[where] += report.when == "call"
    if len(seconds) < 2:
        return
    terminalreporter.section("seconds of tests, summed over processes")
    for where, took in [*seconds.most_common(), ("all", seconds.total())]:
        n = tests.total() if where == "all" else tests[where]
        terminalreporter.write_line(f"{took:8.1f} s {n:6,} tests  {where}")


def _folder(file: str) -> str:
    parts = PurePosixPath(file).parts
    return "/".join(parts[: max(2, len(parts) - 1)])


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the reference lines of the tests' data out of the user's cache.

    Processes that share the tests share the cache too: what is slow is computed once.
    """
    top = tmp_path_factory.getbasetemp()
    folder = (top.parent if "PYTEST_XDIST_WORKER" in os.environ else top) / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_dry_runs() -> Iterator[None]:
    """Let dry runs measure no trainings: each would take some seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gansearch.tune.time_plan.MEASURED_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Return the folder of the real MNIST; without it the test skips."""
    folder = os.environ.get("GANSEARCH_DATA")
    if not folder or not (Path(folder) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real MNIST: set GANSEARCH_DATA to the folder that holds MNIST/raw")
    return Path(folder)


@pytest.fixture(scope="session")
def cifar10_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of real photographs, `train/` and `test/`; without them the test skips."""
    archive = Path(os.environ.get("GANSEARCH_DATA", ""), "cifar10-sample.tar.gz")
    if not archive.is_file():
        pytest.skip("needs real photographs: set GANSEARCH_DATA to where cifar10-sample.tar.gz is")
    folder = tmp_path_factory.mktemp("photographs")
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile() and int(Path(member.name).stem) < 60]
        tar.extractall(folder, members, filter="data")
    return folder / "cifar10-sample"


@pytest.fixture(scope="session")
def fake_gpu(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the stand-in for CUDA, a `StandIn`; where it cannot be built the test skips."""
    from tests.fake_gpu import stand_in

    if reason := stand_in.why_not():
        pytest.skip(reason)
    return stand_in.build(tmp_path_factory.mktemp("fake_gpu"))
