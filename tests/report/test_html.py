"""The HTML page as text; what a browser makes of it is tested in tests/browser."""

import base64
import hashlib
import json
import re
from importlib import resources

from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.render import render
from gansearch.report.report import build_report
from tests.report.conftest import HOSTILE
from tests.report.printed_reports import curves
from tests.written_runs import WINNER, curve

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def html_of(report):
    """The page without its scripts, and the scripts."""
    page = render(report, "html")
    return SCRIPT.sub("", page), SCRIPT.findall(page)


def test_markup_from_files_is_text_in_html(hostile):
    html, _ = html_of(hostile)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | [x](http://evil)" in html
    (data,) = DATA.findall(html)
    assert "<" not in data
    assert json.loads(data)["trials"]["reason"][1] == HOSTILE


def test_html_is_one_file_that_asks_for_nothing(finished):
    html, scripts = html_of(build_report(finished))
    assert not re.search(r"<(iframe|object)\b", html)
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", html) == []
    assert "url(" not in html
    assert "@import" not in html
    assert len(scripts) == 2
    assert not any(re.search(r"\bfetch\(|XMLHttpRequest", script) for script in scripts[:1])


def test_only_the_two_scripts_of_the_page_may_run(finished):
    html, scripts = html_of(build_report(finished))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#39;", "'").split("; "))
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert rules == {
        "base-uri": "'none'",
        "form-action": "'none'",
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": " ".join(f"'sha256-{each}'" for each in hashes),
    }


def test_html_tables_name_their_headers_and_pictures_say_what_they_show(finished):
    finished.append_history(curves(finished))
    finished.write_curve(curve())
    (finished.path / "samples.png").write_bytes(b"samples")
    html, _ = html_of(build_report(finished))
    assert html.count("<table") == 8
    assert "<td>" not in html
    assert html.count('<th scope="col"') == 10 + 5 + 7 + 3 + 6 + 2 + 8 + 3
    assert html.count('<th scope="row"') == 3 + 3 + 1 + 1 + 4 + 3 + 4 + 5
    assert re.findall(r"<img(?![^>]*alt=\"[^\"]+\")", html) == []
    assert html.count("<img") == 1
    assert '<meta name="viewport"' in html
    assert "prefers-color-scheme: dark" in html


def test_html_shows_the_winners_pictures_that_the_run_has_left(finished):
    model = finished.model_dir(f"r-{WINNER.config_id}-0")
    model.mkdir(parents=True)
    (model / "strip.png").write_bytes(b"strip")
    (model / "game.png").write_bytes(b"game")
    (finished.path / "samples.png").write_bytes(b"samples")
    (finished.path / "interpolation.png").write_bytes(b"between")
    html, _ = html_of(build_report(finished))
    # In this order: samples, between them, strip, game.
    shown = re.findall(r'src="data:image/png;base64,([^"]*)"', html)
    assert shown == ["c2FtcGxlcw==", "YmV0d2Vlbg==", "c3RyaXA=", "Z2FtZQ=="]


def test_a_page_says_first_what_won_by_how_much_and_what_to_type(finished):
    html, _ = html_of(build_report(finished))
    answer = html[html.index('id="answer"') : html.index('id="warnings"')]
    assert f"Winner: {WINNER.config_id}, k=2" in answer
    assert "The winner beats the paper" in answer
    assert f"<code data-command>gansearch sample {finished.path}</code>" in answer


def test_without_a_ranking_the_page_says_that_nothing_has_won(searching):
    html, _ = html_of(build_report(searching))
    assert "Nothing has won yet" in html
    assert f"<code data-command>gansearch report {searching.path}</code>" in html


def test_pictures_that_do_not_fit_are_left_out_the_less_important_first(finished):
    for trial_id in (f"r-{WINNER.config_id}-0", "t00001"):
        finished.model_dir(trial_id).mkdir(parents=True)
        (finished.model_dir(trial_id) / "strip.png").write_bytes(bytes(600))
    data = page_data(build_report(finished), EmbeddedPictures(1000))
    assert list(data["pictures"]) == [f"r-{WINNER.config_id}-0"]


def test_echarts_is_as_it_was_published_with_its_licence():
    folder = resources.files("gansearch.report").joinpath("page")
    content = folder.joinpath("echarts.min.js").read_bytes()
    # dist/echarts.min.js of the package echarts 6.1.0.
    assert hashlib.sha256(content).hexdigest() == (
        "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
    )
    assert "Apache License" in folder.joinpath("echarts.LICENSE").read_text()
    assert "Apache ECharts" in folder.joinpath("echarts.NOTICE").read_text()
