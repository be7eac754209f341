"""The dashboard's pages in a real browser, while the files of runs change below them."""

import os
import signal
import socket
import threading

import pytest
import uvicorn

from gansearch.dashboard.app import make_app
from tests.browser.conftest import until
from tests.browser.pages import draw_pictures, evaluations, played_run, searched_trials
from tests.end_to_end.searches import gansearch, output, wait_for_reports
from tests.written_runs import finished_run, run_info, write_run

pytestmark = pytest.mark.browser

N_TRIALS = "() => window.gansearch.store.trials.length"


@pytest.fixture
def serve():
    """Serve a folder of runs; return the address."""
    stops = []

    def start(results):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(make_app(results), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        stops.append((server, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for server, thread in stops:
        server.should_exit = True
        thread.join(30)


def state(page):
    return page.locator(".live").inner_text()


def own(look, address):
    """Ask of a looker that all requests went to the dashboard; forget them."""
    assert all(asked.startswith(address) for asked in look.asked)
    look.asked.clear()


def test_a_page_follows_the_files_and_keeps_what_the_reader_has_chosen(look, serve, tmp_path):
    rows = searched_trials(20, n_running=2)
    space = {**run_info()["space"], "search": {"k": {"int": [1, 3]}}}
    folder = write_run(tmp_path, rows[:10], state="searching", space=space)
    folder.append_history(evaluations(rows[:10]))
    address = serve(tmp_path)
    with look.at(f"{address}/runs/digits-1") as page:
        assert page.evaluate(N_TRIALS) == 10
        page.locator("button[data-status=collapsed]").click()
        until(page, "() => document.querySelectorAll('table.trials tbody tr').length === 1")
        page.evaluate("() => { window.isSame = true; }")
        folder.write_trials(rows)
        folder.append_history(evaluations(rows[10:]))
        draw_pictures(folder, ["t00019"])
        until(page, f"() => ({N_TRIALS})() === 20")
        until(page, "() => document.querySelectorAll('table.trials tbody tr').length === 3")
        assert page.evaluate("window.isSame")  # the page was not loaded anew
        look.keep(page, "followed")
    own(look, address)


def test_the_panel_of_a_trial_is_refreshed_while_it_trains(look, serve, tmp_path):
    rows = searched_trials(3, n_running=1)
    rows[2].update(updates=0, valid_ll=0.0)
    folder = write_run(tmp_path, rows, state="searching")
    folder.append_history(evaluations(rows[:2]))
    address = serve(tmp_path)
    with look.at(f"{address}/runs/digits-1#trial=t00002") as page:
        page.wait_for_selector("dialog[open] >> text=No report yet.")
        rows[2].update(updates=1000, valid_ll=1.5)
        folder.append_history(evaluations(rows)[-4:])
        folder.write_trials(rows)
        draw_pictures(folder, ["t00002"])
        page.wait_for_selector("dialog[open] figure[data-title='Curve of t00002']")
        page.wait_for_selector("dialog[open] canvas.frame")
        assert "1,000 updates" in page.locator("dialog").inner_text()
        look.keep(page, "panel")
    own(look, address)


def test_a_damaged_file_is_said_and_the_last_state_stays(look, serve, tmp_path):
    table = played_run(tmp_path).path / "trials.parquet"
    whole = table.read_bytes()
    address = serve(tmp_path)
    with look.at(f"{address}/runs/digits-1") as page:
        table.write_bytes(whole[:200])
        until(page, "() => document.querySelector('.live').textContent.includes('trials.parquet')")
        assert page.evaluate(N_TRIALS) == 54
        look.keep(page, "damaged")
        table.write_bytes(whole)
        until(page, "() => document.querySelector('.live').textContent.startsWith('finished')")
    own(look, address)
    # The browser itself notes the answer.
    look.faults = [fault for fault in look.faults if "503" not in fault]


def test_runs_are_compared_side_by_side(look, serve, tmp_path):
    played_run(tmp_path)
    finished_run(tmp_path, name="digits-2")
    address = serve(tmp_path)
    with look.at(f"{address}/", script=False) as page:
        page.get_by_label("compare digits-1").check()
        page.get_by_label("compare digits-2").check()
        page.get_by_role("button", name="Compare the chosen").click()
        page.wait_for_url("**/compare?run=digits-1&run=digits-2")
        until(page, "() => [...window.gansearch.plots].every((plot) => plot.chart)")
        assert "2 runs: digits-1, digits-2" in page.locator("h2").first.inner_text()
        assert page.locator("text=What differs in their spaces and budgets").count() == 1
        look.keep(page, "compared", full_page=True)
    own(look, address)


@pytest.mark.ray
def test_a_real_run_is_followed_killed_and_resumed(look, serve, tmp_path):
    small = ["max_updates=1500", "reports=5", "top=1", "replicas=2", "trials=6"]
    sets = [word for change in small for word in ("--set", change)]
    here = ("--quiet", "--results", str(tmp_path))
    address, path = serve(tmp_path), tmp_path / "a"
    process = gansearch("run", "--space", "digits", "--name", "a", *sets, *here, folder=tmp_path)
    wait_for_reports(path, 1, process)
    with look.at(f"{address}/runs/a") as page:
        until(page, f"() => ({N_TRIALS})() >= 1")
        assert state(page).startswith("running")
        look.keep(page, "running")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        until(page, "() => document.querySelector('.live').textContent.startsWith('interrupted')")
        look.keep(page, "killed")
        output("resume", "a", *here, folder=tmp_path)
        until(page, "() => document.querySelector('.live').textContent.startsWith('finished')")
        until(page, "() => document.querySelector('#answer h2').textContent.startsWith('Winner')")
        look.keep(page, "finished", full_page=True)
        page.evaluate("() => { location.hash = `#trial=${window.gansearch.store.run.winner}`; }")
        page.wait_for_selector("dialog[open] canvas.frame")
        look.keep(page, "winner")
    own(look, address)


def test_a_page_opened_before_the_first_report_gets_its_curves_later(look, serve, tmp_path):
    rows = searched_trials(4, n_running=4)
    folder = write_run(tmp_path, [{**row, "valid_ll": None} for row in rows], state="searching")
    address = serve(tmp_path)
    with look.at(f"{address}/runs/digits-1") as page:
        folder.append_history(evaluations(rows))
        folder.write_trials(rows)
        curves = page.locator("figure[data-title='Learning curves']")
        curves.locator("option >> text=valid_ll").wait_for(state="attached")
        until(
            page,
            """() => [...window.gansearch.plots].find((plot) => plot.title === "Learning curves")
                .chart?.getOption().series.length === 4""",
        )
    own(look, address)
