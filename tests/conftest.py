"""What all tests share."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# One thread a process, in the tests as in the trials: the same bits, and cores left for Ray's.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the reference lines of the tests' data out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
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
