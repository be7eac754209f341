import hashlib
import http.server
import pickle
import struct
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gansearch.data import cifar10
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError, SamplesError
from gansearch.scoring.samples import check_samples

NAMES = (
    *("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    "test_batch",
)
N = 20  # images in each batch here; the real ones have 10,000


@pytest.fixture
def images() -> np.ndarray:
    """The images of the batches, `[6, N, 3, 32, 32]`."""
    return np.random.default_rng(0).integers(0, 256, (6, N, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def batches(images: np.ndarray, tmp_path: Path) -> Path:
    """The folder of batches of CIFAR-10's layout."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, drawn in zip(NAMES, images, strict=True):
        (folder / name).write_bytes(python_2_pickle(drawn.reshape(N, -1)))
    return folder


def python_2_pickle(rows: np.ndarray) -> bytes:
    """What Python 2 and its NumPy wrote for {"data": rows, "labels": [...]}, as the authors did."""
    string = b"T" + struct.pack("<i", rows.size) + rows.tobytes()
    size = b"M" + struct.pack("<H", len(rows)) + b"M" + struct.pack("<H", rows.shape[1])
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN"
    dtype += 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
    state = b"(K\x01(" + size + b"t" + dtype + b"\x89" + string + b"tb"
    labels = b"U\x06labels](" + b"".join(b"K" + bytes([i % 10]) for i in range(len(rows))) + b"e"
    return b"\x80\x02}U\x04data" + made + state + b"s" + labels + b"s."


@pytest.fixture
def accepted(batches: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, whose checksums are taken for those of the real batches."""
    for name in NAMES:
        md5 = hashlib.md5((batches / name).read_bytes()).hexdigest()
        monkeypatch.setitem(cifar10._FILES, name, md5)
    return batches


def test_the_checksums_are_those_that_torchvision_publishes() -> None:
    from torchvision.datasets import CIFAR10

    published = [tuple(pair) for pair in (*CIFAR10.train_list, *CIFAR10.test_list)]
    assert list(cifar10._FILES.items()) == published
    assert CIFAR10.base_folder == "cifar-10-batches-py"


def test_cifar10_is_split_as_the_authors_did_with_channels_last(
    accepted: Path, images: np.ndarray
) -> None:
    dataset = load_dataset("cifar10", accepted.parent, download=False)
    expected = images.transpose(0, 1, 3, 4, 2).reshape(6 * N, 3072)
    np.testing.assert_array_equal(dataset.train, expected[: 4 * N])
    np.testing.assert_array_equal(dataset.valid, expected[4 * N : 5 * N])
    np.testing.assert_array_equal(dataset.test, expected[5 * N :])
    for split in (dataset.train, dataset.valid, dataset.test):
        assert split.dtype == np.uint8
        assert split.flags.c_contiguous
    assert dataset.shape == (32, 32, 3)
    assert dataset.scale == 255
    assert dataset.contrast == 55


def test_pixels_from_elsewhere_are_scored_as_the_data_is_trained_on(accepted: Path) -> None:
    dataset = load_dataset("cifar10", accepted.parent, download=False)
    expected = dataset.to_float(dataset.test)
    for samples in (dataset.test, dataset.test / 255, expected, expected.reshape(-1, 32, 32, 3)):
        np.testing.assert_allclose(check_samples(samples, dataset), expected, atol=1e-4)


def test_pixels_from_0_to_255_in_floating_point_are_refused(accepted: Path) -> None:
    dataset = load_dataset("cifar10", accepted.parent, download=False)
    with pytest.raises(SamplesError, match=r"If they run from 0 to 255, save x / 255"):
        check_samples(dataset.test.astype(np.float32), dataset)


def test_another_file_of_the_name_is_not_unpickled(batches: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Touch:
        def __reduce__(self) -> tuple[object, tuple[object]]:
            return (Path.touch, (touched,))

    path = batches / "data_batch_1"
    content = pickle.dumps(Touch())
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", tmp_path, download=False)
    assert str(caught.value) == (
        f"{path}: {len(content)} bytes with MD5 {hashlib.md5(content).hexdigest()}, where CIFAR-10 "
        "has c99cafc152244af753f735de768cd75f. Delete it, so that it is downloaded again, or put "
        "the original file there."
    )
    assert not touched.exists()
    pickle.loads(content)
    assert touched.exists()  # the file does harm where nothing prevents it


def test_a_truncated_batch_is_named(accepted: Path) -> None:
    path = accepted / "test_batch"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", accepted.parent, download=False)
    assert str(caught.value).startswith(f"{path}: 1,000 bytes with MD5 ")


def test_absent_batches_are_answered_with_the_folder_the_files_and_the_ways_out(
    batches: Path,
) -> None:
    (batches / "test_batch").unlink()
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", batches.parent, download=False)
    assert str(caught.value) == (
        f"data set cifar10: {batches} lacks test_batch; downloading is switched off. Put the "
        "batches of the Python version of CIFAR-10 there, unpacked, or name the folder that holds "
        "cifar-10-batches-py by --data-dir or GANSEARCH_DATA, or start once with a "
        "network connection: torchvision then downloads 170 MB. `--space digits` needs no download."
    )


@pytest.fixture
def server(accepted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An archive of the batches that a local server gives out in the authors' place."""
    from torchvision.datasets import CIFAR10

    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(accepted, accepted.name)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    class Patient(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of a client that asks for the size alone and hangs up."""

    running = Patient(("127.0.0.1", 0), Quiet)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{running.server_port}/{archive.name}"
    monkeypatch.setattr(CIFAR10, "url", url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    # urllib reads the variables once and keeps what it found.
    monkeypatch.setattr(urllib.request, "_opener", None)
    yield archive
    running.shutdown()
    running.server_close()


def test_absent_batches_are_downloaded_where_there_is_a_network(
    server: Path, images: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset("cifar10", tmp_path / "new")
    np.testing.assert_array_equal(dataset.test, images[5].transpose(0, 2, 3, 1).reshape(N, 3072))
    kept = sorted(path.name for path in (tmp_path / "new" / "cifar-10-batches-py").iterdir())
    assert kept == sorted(NAMES)
    assert capfd.readouterr() == ("", "")


def test_a_download_that_is_not_the_authors_leaves_nothing(server: Path, tmp_path: Path) -> None:
    server.write_bytes(server.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"lacks data_batch_1, .*; downloading failed: .*corrupted"):
        load_dataset("cifar10", tmp_path / "new")
    assert list((tmp_path / "new" / "cifar-10-batches-py").iterdir()) == []
