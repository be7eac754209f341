import gzip
import hashlib
import http.server
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import MNIST  # here, so that no time limit counts its import

from gansearch.data import downloads
from gansearch.data.registry import DATASETS, data_folder, load_dataset
from gansearch.errors import DataError
from gansearch.scoring.published import published_lines

PIXELS = bytes(i % 251 for i in range(784 * 251))  # 251 images, each of them different
RAW_BYTES = {
    "train-images-idx3-ubyte": b"\0\0\x08\x03\0\0\xea\x60\0\0\0\x1c\0\0\0\x1c"
    + (PIXELS * 240)[:47_040_000],
    "train-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\xea\x60" + bytes(60_000),
    "t10k-images-idx3-ubyte": b"\0\0\x08\x03\0\0\x27\x10\0\0\0\x1c\0\0\0\x1c"
    + (PIXELS * 240)[:7_840_000],
    "t10k-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\x27\x10" + bytes(10_000),
}


@pytest.fixture
def false_mnist(tmp_path: Path) -> Path:
    """A folder with files of MNIST's form, with stripes for digits and every label 0."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in RAW_BYTES.items():
        (raw / name).write_bytes(content)
    return tmp_path


def use_proxy(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    """Send all requests to `url`, or, with None, straight to their hosts."""
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    if url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("https_proxy", url)
    # urllib reads the variables once and keeps what it found.
    monkeypatch.setattr(urllib.request, "_opener", None)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    use_proxy(monkeypatch, "http://127.0.0.1:9")  # refuses at once


@pytest.mark.parametrize("name", ["digits", "ring", "grid", "gaussian"])
def test_an_embedded_data_set_is_contiguous_and_of_its_declared_size(name: str) -> None:
    dataset = load_dataset(name)
    for split in (dataset.train, dataset.valid, dataset.test):
        assert split.flags.c_contiguous
        assert split.shape[1] == dataset.dim
        assert split.dtype == (np.uint8 if dataset.is_image else np.float32)


def test_digits_are_split_once_and_for_all() -> None:
    digits = load_dataset("digits")
    assert [len(s) for s in (digits.train, digits.valid, digits.test)] == [1197, 300, 300]
    assert digits.shape == (8, 8, 1)
    assert digits.dim == 64
    assert digits.is_image
    content = b"".join(s.tobytes() for s in (digits.train, digits.valid, digits.test))
    assert hashlib.sha256(content).hexdigest()[:16] == "41f1cde3d1230a38"


def test_the_splits_of_digits_hold_every_image_once() -> None:
    from sklearn.datasets import load_digits

    digits = load_dataset("digits")
    ours = np.concatenate([digits.train, digits.valid, digits.test])
    theirs = load_digits().data.astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_images_become_numbers_from_0_to_1() -> None:
    digits = load_dataset("digits")
    images = digits.to_float(digits.train)
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1
    np.testing.assert_array_equal(images * 16, digits.train)


def test_points_stay_as_they_are() -> None:
    ring = load_dataset("ring")
    np.testing.assert_array_equal(ring.to_float(ring.test), ring.test)
    assert not ring.is_image


def test_the_ring_has_eight_modes_an_eighth_of_a_turn_apart() -> None:
    ring = load_dataset("ring")
    assert ring.modes is not None
    angles = np.sort(np.degrees(np.arctan2(ring.modes[:, 1], ring.modes[:, 0])) % 360)
    np.testing.assert_allclose(angles, np.arange(0, 360, 45), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(ring.modes, axis=1), 1)
    assert ring.mode_sd == 0.01


def test_the_grid_has_twenty_five_modes_two_apart() -> None:
    grid = load_dataset("grid")
    assert grid.modes is not None
    expected = {(float(x), float(y)) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {(x, y) for x, y in grid.modes.tolist()} == expected
    assert grid.mode_sd == 0.05


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_a_mixture_draws_its_modes_evenly_with_their_spread(name: str) -> None:
    dataset = load_dataset(name)
    assert [len(s) for s in (dataset.train, dataset.valid, dataset.test)] == [
        100_000,
        10_000,
        10_000,
    ]
    assert dataset.modes is not None
    offsets = dataset.train[:, None] - dataset.modes[None].astype(np.float32)
    distances = np.linalg.norm(offsets, axis=2)
    shares = np.bincount(distances.argmin(axis=1)) / 100_000
    np.testing.assert_allclose(shares, 1 / len(dataset.modes), rtol=0.06)
    # Of a 2-d Gaussian, 1 - exp(-9/2) lies within three standard deviations.
    assert dataset.mode_sd is not None
    high_quality = np.mean(distances.min(axis=1) < 3 * dataset.mode_sd)
    assert high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.0015)


def test_the_gaussian_is_one_mode_on_the_line() -> None:
    gaussian = load_dataset("gaussian")
    assert gaussian.shape == (1,)
    assert not gaussian.is_image
    assert gaussian.modes is not None
    assert gaussian.modes.tolist() == [[1.0]]
    assert gaussian.mode_sd == 0.5
    # Standard errors of 100,000 draws: .0016 of the mean, .0011 of the standard deviation.
    assert gaussian.train.mean() == pytest.approx(1, abs=0.006)
    assert gaussian.train.std() == pytest.approx(0.5, abs=0.005)


def test_the_splits_of_a_mixture_are_different_draws_and_the_same_every_time() -> None:
    first, second = load_dataset("ring"), load_dataset("ring")
    np.testing.assert_array_equal(first.train, second.train)
    assert not np.array_equal(first.valid, first.test)
    assert not np.array_equal(first.train[:10_000], first.valid)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"^data set 'minst': unknown\. Did you mean mnist\?$"):
        load_dataset("minst")
    with pytest.raises(DataError, match=rf"Known: {', '.join(sorted(DATASETS))}\."):
        load_dataset("xyzzy")


@pytest.mark.data
def test_mnist_is_split_as_the_authors_did(mnist_dir: Path) -> None:
    mnist = load_dataset("mnist", mnist_dir, download=False)
    assert [s.shape for s in (mnist.train, mnist.valid, mnist.test)] == [
        (50_000, 784),
        (10_000, 784),
        (10_000, 784),
    ]
    raw = (mnist_dir / "MNIST" / "raw" / "train-images-idx3-ubyte").read_bytes()[16:]
    assert mnist.train.tobytes() + mnist.valid.tobytes() == raw
    assert mnist.train.dtype == np.uint8
    assert mnist.train.flags.c_contiguous
    # The published mean of MNIST's 60,000 training images is .1307.
    assert np.concatenate([mnist.train, mnist.valid]).mean() / 255 == pytest.approx(
        0.1307, abs=5e-5
    )


def test_the_environment_names_the_data_folder(
    false_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSEARCH_DATA", str(false_mnist))
    assert load_dataset("mnist", download=False).test.shape == (10_000, 784)


def test_images_of_ones_own_are_looked_for_nowhere_but_where_they_are_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    assert data_folder("folder") is None
    with pytest.raises(DataError, match=r"^data set folder: no folder is given\."):
        load_dataset("folder")


def test_absent_mnist_is_answered_with_the_folder_the_files_and_the_ways_out(
    tmp_path: Path, no_network: None, capfd: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", tmp_path)
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert message.startswith(
        f"data set mnist: {tmp_path}/MNIST/raw lacks train-images-idx3-ubyte,"
    )
    assert "downloading failed: no answer from" in message
    assert "GANSEARCH_DATA" in message
    assert "torchvision then downloads" in message
    assert message.endswith("`--space digits` needs no download.")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_other_images_in_the_form_of_mnist_are_read_and_said(false_mnist: Path) -> None:
    mnist = load_dataset("mnist", false_mnist, download=False)
    (note,) = mnist.notes
    assert note.startswith("The files of mnist are not the original: other images, or the same in")
    assert published_lines(mnist) == []


def test_only_the_files_that_lack_are_named(false_mnist: Path) -> None:
    (false_mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        DataError, match=r"raw lacks t10k-labels-idx1-ubyte; downloading is switched off\. "
    ):
        load_dataset("mnist", false_mnist, download=False)


@pytest.mark.parametrize("name", list(RAW_BYTES))
def test_a_truncated_file_is_named(false_mnist: Path, name: str) -> None:
    path = false_mnist / "MNIST" / "raw" / name
    path.write_bytes(RAW_BYTES[name][:-1])
    n_bytes = len(RAW_BYTES[name])
    expected = f"{path}: {n_bytes - 1:,} bytes, where MNIST has {n_bytes:,}. Delete it"
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", false_mnist, download=False)
    assert str(caught.value).startswith(expected)


def test_a_file_with_another_header_is_named(false_mnist: Path) -> None:
    path = false_mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(b"\x1f\x8b\x08\0" + RAW_BYTES[path.name][4:])
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", false_mnist, download=False)
    assert str(caught.value).startswith(
        f"{path}: the header is 1f8b0800 0000ea60, where MNIST has 00000801 0000ea60."
    )


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"])
def test_images_that_are_all_black_are_refused(false_mnist: Path, name: str) -> None:
    path = false_mnist / "MNIST" / "raw" / name
    content = RAW_BYTES[name]
    path.write_bytes(content[:16] + bytes(len(content) - 16))
    n = (len(content) - 16) // 784
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", false_mnist, download=False)
    assert str(caught.value).startswith(f"{path}: all {n:,} images are identical. Delete it")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A local server that stands for torchvision's mirrors; its folder, still empty."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    files = {f"{name}.gz": gzip.compress(raw, 1) for name, raw in RAW_BYTES.items()}
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    monkeypatch.setattr(MNIST, "resources", sums)
    use_proxy(monkeypatch, None)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    yield folder
    server.shutdown()
    server.server_close()


def test_absent_mnist_is_downloaded_where_there_is_a_network(
    tmp_path: Path, mirror: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mnist = load_dataset("mnist", tmp_path / "data")
    assert mnist.train.shape == (50_000, 784)
    assert sorted(p.name for p in (tmp_path / "data/MNIST/raw").iterdir()) == sorted(RAW_BYTES)
    assert capfd.readouterr() == ("", "")
    assert socket.getdefaulttimeout() is None


def test_a_download_that_breaks_off_leaves_no_half_file(tmp_path: Path, mirror: Path) -> None:
    broken = mirror / "t10k-images-idx3-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"downloading failed: .*t10k-images-idx3-ubyte\.gz"):
        load_dataset("mnist", tmp_path / "data")
    assert list((tmp_path / "data/MNIST/raw").iterdir()) == []


def test_a_server_that_never_answers_costs_no_more_than_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_proxy(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(DataError, match="no answer from"):
            load_dataset("mnist", tmp_path)
    assert time.monotonic() - start < 5
