"""The HTML page."""

import re

from gansearch.report.render import render
from gansearch.report.report import build_report
from tests.report.printed_reports import curves, deadly_run
from tests.written_runs import WINNER, curve


def test_markup_from_files_is_text_in_html(hostile):
    html = render(hostile, "html")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | [x](http://evil)" in html


def test_html_is_one_file_that_asks_for_nothing(finished):
    html = render(build_report(finished), "html")
    assert not re.search(r"<(script|link|iframe|object)\b", html)
    assert re.findall(r"(?:src|href)=\"(?!data:image/png;base64,)", html) == []
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_html_tables_name_their_headers_and_pictures_say_what_they_show(finished):
    finished.append_history(curves(finished))
    finished.write_curve(curve())
    html = render(build_report(finished), "html")
    assert html.count("<table") == 8
    assert "<td>" not in re.sub(r"(?s).*</thead>", "", html)
    assert html.count('<th scope="col"') == 10 + 5 + 7 + 3 + 6 + 2 + 8 + 3
    assert html.count('<th scope="row"') == 3 + 3 + 1 + 1 + 4 + 3 + 4 + 5
    assert re.findall(r"<img(?![^>]*alt=\"[^\"]+\")", html) == []
    assert html.count("<img") == 5
    assert '<meta name="viewport"' in html
    assert "prefers-color-scheme: dark" in html


def test_html_shows_the_winners_pictures_that_the_run_has_left(finished):
    model = finished.model_dir(f"r-{WINNER.config_id}-0")
    model.mkdir(parents=True)
    (model / "strip.png").write_bytes(b"strip")
    (model / "game.png").write_bytes(b"game")
    (finished.path / "samples.png").write_bytes(b"samples")
    (finished.path / "interpolation.png").write_bytes(b"between")
    html = render(build_report(finished), "html")
    # In this order: samples, between them, strip, game.
    shown = re.findall(r"data:image/png;base64,(c2FtcGxlcw==|YmV0d2Vlbg==|c3RyaXA=|Z2FtZQ==)", html)
    assert shown == ["c2FtcGxlcw==", "YmV0d2Vlbg==", "c3RyaXA=", "Z2FtZQ=="]


def test_the_map_is_drawn_where_trials_died_and_not_where_none_did(tmp_path, searching):
    def shown(folder):
        return "Left: survivors/trials" in render(build_report(folder), "html")

    assert not shown(searching)
    (tmp_path / "other").mkdir()
    assert shown(deadly_run(tmp_path / "other"))
