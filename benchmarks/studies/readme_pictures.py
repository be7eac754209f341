"""Make the pictures of the README from a run, each below 60 kB.

    python benchmarks/studies/readme_pictures.py results/readme-digits   # or `make pictures`

Of another run:

    gansearch run --space digits --results runs --name readme-digits     # five minutes
    python benchmarks/studies/readme_pictures.py runs/readme-digits --keep results/readme-digits

`samples.png` is that of the run. `report.png` is the top of its report, written anew from tables
and pictures, as Chromium shows it. Colours are reduced where a picture would be too large.

`--keep` first copies of a run what its report reads, without weights, and works from the copy.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from gansearch.errors import GansearchError
from gansearch.report.render import render
from gansearch.report.report import build_report, winning_replica
from gansearch.runs.folder import RunFolder
from gansearch.system.files import write_atomically

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MAX_BYTES = 60_000
_WINDOW = (1040, 1250)
_SETTLING_MS = 5000  # of the page's own time, for its figures
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_COLOURS = (256, 128, 64, 32, 16)
# Of a run: what its report reads.
_KEPT = ("run.json", "run.json.copy", "*.parquet", "history/*", "test_ll/*", "*.png")


def main() -> None:
    """Make the pictures of the run that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="its folder, or its name below results/")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the copy; must be new")
    parser.add_argument("--browser", help="Chromium, if it is not on the PATH")
    parser.add_argument("--out", type=Path, default=IMAGES, metavar="FOLDER", help="docs/images")
    args = parser.parse_args()
    try:
        folder = RunFolder.open(args.run)
        if args.keep is not None:
            folder = keep(folder, args.keep)
        make(folder, args.out, args.browser or find_browser())
    except (GansearchError, OSError, ValueError) as error:
        sys.exit(f"readme_pictures.py: {error}")


def make(folder: RunFolder, out: Path, browser: str) -> None:
    """Write all pictures of the README into `out`, and print their sizes."""
    pictures = {
        "samples.png": Image.open(Path(folder.path) / "samples.png"),
        "report.png": screenshot(folder, browser),
    }
    for name, picture in pictures.items():
        content = small_png(picture)
        write_atomically(out / name, content)
        print(f"{out / name}: {picture.width} x {picture.height}, {len(content):,} bytes")


def keep(folder: RunFolder, copy: Path) -> RunFolder:
    """Copy what a report reads of a run, and the pictures of the winning trial, to a new folder."""
    if copy.exists():
        raise FileExistsError(f"{copy}: is there already. Name a new folder, or remove it.")
    top = Path(folder.path)
    paths = [path for pattern in _KEPT for path in top.glob(pattern)]
    if winner := winning_replica(build_report(folder)):
        model = top / "models" / winner
        paths += [*model.glob("*.png"), *model.glob("discriminator_outputs.npy")]
    for path in paths:
        target = copy / path.relative_to(top)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return RunFolder.open(copy)


def find_browser() -> str:
    """Return the path of Chromium, or of a browser with its flags.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in _BROWSERS:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        "no Chromium on the PATH, which draws the report. Install it (Debian: apt-get install "
        "chromium), or name its program: --browser PATH."
    )


def screenshot(folder: RunFolder, browser: str) -> Image.Image:
    """Return the top of a run's report as a browser shows it on a light page.

    Raises:
        OSError: the browser fails, or draws nothing.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        page, shot = Path(scratch, "report.html"), Path(scratch, "report.png")
        html = render(build_report(folder), "html")
        # Commands as a reader would type them, not with the path of this machine.
        page.write_text(html.replace(str(folder.path), f"results/{folder.path.name}"))
        width, height = _WINDOW
        flags = [
            *(
                "--headless",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={scratch}/user",
            ),
            *(f"--window-size={width},{height}", f"--virtual-time-budget={_SETTLING_MS}"),
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            f"--screenshot={shot}",
        ]
        done = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True)
        if done.returncode or not shot.exists():
            raise OSError(
                f"{browser}: drew no report (code {done.returncode}): {done.stderr[-500:]}"
            )
        return Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")


def small_png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file below 60 kB, with as many colours as fit.

    Raises:
        ValueError: with 16 colours it is still larger.
    """
    rgb = picture.convert("RGB")
    for version in [rgb, *(rgb.quantize(n, dither=Image.Dither.NONE) for n in _COLOURS)]:
        buffer = io.BytesIO()
        version.save(buffer, format="PNG", optimize=True)
        if buffer.tell() < MAX_BYTES:
            return buffer.getvalue()
    raise ValueError(
        f"a picture of {picture.width} x {picture.height} pixels has {buffer.tell():,} bytes with "
        f"{_COLOURS[-1]} colours. The README's have less than {MAX_BYTES:,}. Make it smaller."
    )


if __name__ == "__main__":
    main()
