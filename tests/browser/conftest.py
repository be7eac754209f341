"""A real browser, driven from Python, that looks at pages and keeps pictures of them."""

import os
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from gansearch.report.render import render
from gansearch.report.report import build_report
from tests.browser.pages import played_run

SCREENSHOTS = Path(os.environ.get("GANSEARCH_SCREENSHOTS", "build/screenshots"))


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; without one the test skips."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium: `make test-browser` installs it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def until(page, condition, argument=None, seconds=30):
    """Wait until an expression is true; Playwright's own wait needs `eval`, which pages forbid."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, argument):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


class Looker:
    """Opens pages, and notes what none of them may do: ask for something, complain, fail."""

    def __init__(self, browser, name):
        self.browser = browser
        self.name = re.sub(r"\W+", "-", name)
        self.faults = []
        self.asked = []

    @contextmanager
    def at(self, url, *, width=1400, scheme="light", script=True):
        """Yield the page at an address; `script` if it has plots."""
        page = self.browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self._note(request.url, url))
        try:
            page.goto(url)
            if script:
                until(page, "window.gansearch !== undefined")
            yield page
        finally:
            page.close()

    def _note(self, asked, url):
        if asked != url.partition("#")[0] and not asked.startswith("data:"):
            self.asked.append(asked)

    def keep(self, page, what, *, full_page=False):
        """Keep a picture of what the page shows, to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{self.name}-{what}.png", full_page=full_page)


@pytest.fixture
def look(chromium, request):
    looker = Looker(chromium, request.node.name)
    yield looker
    assert looker.faults == []
    assert looker.asked == []


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Write a run's page; return its address."""

    def write(folder):
        path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(render(build_report(folder), "html"))
        return path.as_uri()

    return write


@pytest.fixture(scope="session")
def run_with_everything(tmp_path_factory):
    return played_run(tmp_path_factory.mktemp("played"))


@pytest.fixture(scope="session")
def url(run_with_everything, written):
    return written(run_with_everything)
