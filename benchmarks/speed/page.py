"""Measures the page of a large run: its size, how long it takes to make, and to open in Chromium.

The run is written without a training: a thousand trials, repeated under new names. The time to open
ends when the page's scripts have drawn it.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import sync_playwright

from gansearch.report.render import render
from gansearch.report.report import build_report
from gansearch.runs.folder import RunFolder
from tests.browser.pages import SEARCH, evaluations, searched_trials
from tests.written_runs import MEANS, PAPER, SECOND, WINNER, replicas, run_info, write_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000, help="a multiple of 1,000")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = large_run(Path(place), options.trials)
        start = time.monotonic()
        text = render(build_report(folder), "html")
        made = time.monotonic() - start
        page = Path(place, "report.html")
        page.write_text(text)
        opened = seconds_to_open(page, options.chromium)
    print(
        f"{options.trials:,} trials: {len(text.encode()) / 1e6:.1f} MB, made in {made:.1f} s, "
        f"opened in {opened:.1f} s"
    )


def large_run(place: Path, n: int) -> RunFolder:
    """Write a run of so many trials, with four evaluations each."""
    base = searched_trials(1000)
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    rows = [
        {**row, "trial_id": f"t{number:06d}", "number": number}
        for number, row in (
            (1000 * i + row["number"], row) for i in range(n // 1000) for row in base
        )
    ]
    space = {**run_info()["space"], "search": SEARCH}
    folder = write_run(place, rows, replicated, MEANS, reference_ll=29.12, space=space)
    history = pd.DataFrame(evaluations(base))
    for i in range(n // 1000):
        numbers = history["number"] + 1000 * i
        names = [f"t{number:06d}" for number in numbers]
        folder.append_history(history.assign(number=numbers, trial_id=names).to_dict("records"))
    folder.compact_history()
    return folder


def seconds_to_open(page: Path, chromium: str) -> float:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        start = time.monotonic()
        tab.goto(page.as_uri())
        while not tab.evaluate("window.gansearch !== undefined"):
            tab.wait_for_timeout(10)
        seconds = time.monotonic() - start
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
