"""The pictures of the README, made from a run."""

import io
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansearch.runs.folder import RunFolder
from tests.benchmark_scripts import script
from tests.written_runs import WINNER, finished_run

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    return script("studies.readme_pictures")


@pytest.fixture
def run(tmp_path):
    run = finished_run(tmp_path)
    Image.new("RGB", (300, 200), "navy").save(run.path / "samples.png")
    model = run.model_dir(f"r-{WINNER.config_id}-0")
    model.mkdir(parents=True)
    Image.new("RGB", (30, 20), "navy").save(model / "strip.png")
    (model / "generator.safetensors").write_bytes(b"weights")
    return run


@pytest.fixture
def browser(tmp_path):
    """A browser that draws a grey page if it gets a report and a place for its picture."""
    path = tmp_path / "browser"
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys\nfrom urllib.request import urlopen\nfrom PIL import Image\n"
        "flags = dict(word[2:].split('=', 1) for word in sys.argv if '=' in word)\n"
        "if b'Ranking' not in urlopen(sys.argv[-1]).read(): sys.exit('no report')\n"
        "size = tuple(map(int, flags['window-size'].split(',')))\n"
        "Image.new('RGB', size, 'grey').save(flags['screenshot'])\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_every_picture_of_the_readme_is_made_from_the_run(tool, run, browser, tmp_path, capsys):
    tool.make(run, tmp_path / "images", browser)
    made = {path.name for path in (tmp_path / "images").iterdir()}
    assert made == set(re.findall(r"docs/images/(\S+?\.png)", (TOP / "README.md").read_text()))
    assert "report.png: 1040 x 1250" in capsys.readouterr().out
    with Image.open(tmp_path / "images" / "samples.png") as picture:
        assert picture.convert("RGB").getpixel((5, 5)) == (0, 0, 128)


def test_the_pictures_of_the_readme_are_small():
    for name in re.findall(r"docs/images/\S+?\.png", (TOP / "README.md").read_text()):
        assert (TOP / name).stat().st_size < 60_000, name


def test_the_run_that_is_kept_gives_the_pictures_of_the_readme(tool, browser, tmp_path):
    tool.make(RunFolder.open(TOP / "results" / "readme-digits"), tmp_path, browser)
    images = [
        np.asarray(Image.open(folder / "samples.png").convert("RGB"))
        for folder in (tmp_path, TOP / "docs" / "images")
    ]
    np.testing.assert_array_equal(*images)


def test_a_copy_without_weights_is_enough(tool, run, browser, tmp_path):
    kept = tool.keep(run, tmp_path / "kept")
    tool.make(kept, tmp_path / "images", browser)
    copied = {path.name for path in kept.path.rglob("*")}
    assert {"run.json", "trials.parquet", "samples.png", "strip.png"} <= copied
    assert "generator.safetensors" not in copied
    with pytest.raises(FileExistsError, match="kept: is there already"):
        tool.keep(run, tmp_path / "kept")


def test_a_picture_of_many_colours_gets_fewer_until_it_is_small(tool):
    rng = np.random.default_rng(0)
    busy = Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8))
    content = tool.small_png(busy)
    assert len(content) < 60_000
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (200, 200) and picture.mode == "P"
    huge = Image.fromarray(rng.integers(0, 256, (900, 900, 3), np.uint8))
    with pytest.raises(ValueError, match=r"900 x 900 pixels has .* bytes with 16 colours"):
        tool.small_png(huge)


def test_without_a_browser_it_is_said_what_is_missing(tool, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no Chromium on the PATH"):
        tool.find_browser()


def test_a_browser_that_fails_is_told(tool, run):
    with pytest.raises(OSError, match="drew no report"):
        tool.screenshot(run, "/bin/false")
