"""What the dashboard answers, without a browser."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from starlette.testclient import TestClient

from gansearch.dashboard.app import make_app
from gansearch.dashboard.serve import FIRST_PORT, serve
from gansearch.errors import BadInputError
from tests.written_runs import PAPER, finished_run, searching_run, trial, write_run


def client(results, host="127.0.0.1"):
    return TestClient(make_app(results), base_url=f"http://{host}", raise_server_exceptions=False)


@pytest.fixture
def results(tmp_path):
    finished_run(tmp_path)
    (searching_run(tmp_path / "other").path).rename(tmp_path / "going on")
    (tmp_path / "other").rmdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "no run").mkdir()
    return tmp_path


def test_the_first_page_lists_the_runs_and_says_what_is_damaged(results):
    page = client(results).get("/").text
    for name in ("digits-1", "going%20on", "broken"):
        assert f'href="/runs/{name}"' in page
    assert "no run" not in page
    assert "broken/run.json: can" in page


def test_a_folder_without_runs_says_how_to_start_one(tmp_path):
    assert "gansearch run --results" in client(tmp_path).get("/").text


@pytest.mark.parametrize("name", ["digits-1", "going%20on"])
def test_a_run_has_the_page_of_its_report_which_asks_for_newer_data(results, name):
    answer = client(results).get(f"/runs/{name}")
    assert answer.status_code == 200
    assert f'data-live="/runs/{name}/data"' in answer.text
    assert "connect-src &#39;self&#39;" in answer.text


def test_data_is_given_once_for_each_state_of_the_files(results):
    page = client(results)
    first = page.get("/runs/digits-1/data").json()
    assert first["state"] == "finished"
    assert first["data"]["trials"]["trial_id"][0] == "t00000"
    assert "<h1>digits-1: finished</h1>" in first["sections"]
    again = page.get("/runs/digits-1/data", params={"version": first["version"]})
    assert (again.status_code, again.content) == (204, b"")
    trials = results / "digits-1" / "trials.parquet"
    os.utime(trials, (1, 1))
    newer = page.get("/runs/digits-1/data", params={"version": first["version"]}).json()
    assert newer["version"] != first["version"]


def test_new_evaluations_and_new_folders_of_models_are_news(tmp_path):
    folder = searching_run(tmp_path)
    page = client(tmp_path)

    def version():
        return page.get("/runs/digits-1/data").json()["version"]

    seen = {version()}
    folder.append_history([{"trial_id": "t00001", "number": 1, "phase": "search", "updates": 1000}])
    seen.add(version())
    folder.model_dir("t00001").mkdir(parents=True)
    seen.add(version())
    assert len(seen) == 3


def test_pictures_of_a_run_are_given_and_nothing_else_is(results):
    page, run = client(results), results / "digits-1"
    (run / "samples.png").write_bytes(b"samples")
    (run / "models" / "t00000").mkdir(parents=True)
    (run / "models" / "t00000" / "strip.png").write_bytes(b"strip")
    (results / "secret.png").write_bytes(b"secret")
    base = "/runs/digits-1/files"
    assert page.get(f"{base}/samples.png").content == b"samples"
    assert page.get(f"{base}/models/t00000/strip.png").content == b"strip"
    outside = ("..%2Fsecret.png", "%2Fetc%2Fpasswd", "models/../../secret.png")
    for path in ("run.json", "absent.png", *outside):
        assert page.get(f"{base}/{path}").status_code == 404, path


def test_a_damaged_run_says_what_is_damaged_and_leaves_the_others(results):
    page = client(results)
    answer = page.get("/runs/broken")
    assert answer.status_code == 503
    assert "run.json" in answer.text
    assert "broken/run.json" in page.get("/runs/broken/data").json()["error"]
    assert page.get("/runs/digits-1").status_code == 200


def test_a_half_written_table_is_an_error_until_it_is_whole(tmp_path):
    table = finished_run(tmp_path).path / "trials.parquet"
    whole, page = table.read_bytes(), client(tmp_path)
    table.write_bytes(whole[:100])
    assert page.get("/runs/digits-1/data").status_code == 503
    table.write_bytes(whole)
    assert page.get("/runs/digits-1/data").status_code == 200


def test_an_absent_run_is_not_found(results):
    for name in ("absent", "no%20run", "%2E%2E%2Fdigits-1"):
        assert client(results).get(f"/runs/{name}").status_code == 404


def test_a_page_of_another_site_cannot_ask_under_its_own_name(results):
    assert client(results, "evil.example").get("/").status_code == 400
    assert client(results, "localhost").get("/").status_code == 200


def test_markup_in_names_is_text(tmp_path):
    rows = [trial("t00000", PAPER)]
    write_run(tmp_path, rows).path.rename(tmp_path / "<b>run")
    page = client(tmp_path)
    assert "&lt;b&gt;run" in page.get("/").text
    assert page.get("/runs/%3Cb%3Erun").status_code == 200


def test_it_never_writes(results):
    def seen():
        return {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}

    before, page = seen(), client(results)
    for path in ("/", "/runs/digits-1", "/runs/digits-1/data", "/runs/broken", "/runs/going%20on"):
        page.get(path)
    assert seen() == before


def test_a_taken_port_and_an_absent_folder_are_errors(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInputError, match=f"--port {port}: taken by another program"):
            serve(tmp_path, port=port, say=print)
    with pytest.raises(BadInputError, match="there is no such folder"):
        serve(tmp_path / "absent", say=print)


def test_an_interrupt_while_it_begins_ends_it_too(tmp_path):
    def say(text):
        raise KeyboardInterrupt

    serve(tmp_path, say=say)
    assert "gansearch-dashboard" not in {thread.name for thread in threading.enumerate()}


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    finished_run(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "gansearch", "dashboard", str(tmp_path), "--open"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": "false-no-such-browser", "PYTHONUNBUFFERED": "1"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        line = process.stdout.readline()
        address = next(word for word in line.split() if word.startswith("http"))
        assert FIRST_PORT <= int(address.rstrip("/").rpartition(":")[2]) < FIRST_PORT + 20
        with direct.open(f"{address}runs/digits-1/data", timeout=60) as answer:
            assert json.loads(answer.read())["state"] == "finished"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()  # where it has not ended by itself
    assert "No browser could be opened" in out
    assert process.returncode == 0
