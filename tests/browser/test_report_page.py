"""The page of a report in a real browser."""

import shutil
from pathlib import Path

import pytest

from gansearch.report.run import Run
from gansearch.runs.folder import RunFolder
from tests.browser.conftest import until
from tests.browser.pages import played_run, searched_trials
from tests.report.conftest import HOSTILE
from tests.written_runs import (
    PAPER,
    WINNER,
    described,
    front_run,
    run_info,
    searching_run,
    trial,
    write_run,
)

pytestmark = pytest.mark.browser

GOLDEN = Path(__file__).parents[1] / "golden" / "run-0.1"

ROWS = "table.trials tbody tr"


def ids(page):
    return page.eval_on_selector_all(ROWS, "rows => rows.map((row) => row.dataset.trial)")


def view(page, what):
    return page.evaluate(f"window.gansearch.store.{what}")


def wait_for_rows(page, n):
    until(page, f"document.querySelectorAll('{ROWS}').length === {n}")


def plot_box(page, title):
    return page.locator(f"figure[data-title='{title}'] .plot").bounding_box()


def values_drawn(page, title):
    """How many points or lines a plot has, over its series."""
    script = """title => {
        const plot = [...window.gansearch.plots].find((each) => each.title === title);
        return plot.chart.getOption().series.reduce((n, series) => n + series.data.length, 0);
    }"""
    return page.evaluate(script, title)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1400])
def test_a_page_loads_fits_its_window_and_draws_all_its_plots(look, url, width, scheme):
    with look.at(url, width=width, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        n_plots = page.evaluate("[...window.gansearch.plots].filter((p) => p.chart).length")
        assert n_plots == 9
        blank = page.evaluate(
            """() => [...window.gansearch.plots].filter((plot) => plot.chart).filter((plot) => {
                const canvas = plot.canvas.querySelector('canvas');
                const pixels = canvas.getContext('2d')
                    .getImageData(0, 0, canvas.width, canvas.height).data;
                return !pixels.some((value) => value !== 0);
            }).map((plot) => plot.title)"""
        )
        assert blank == []
        look.keep(page, f"{width}-{scheme}", full_page=True)


def test_plots_follow_a_change_from_light_to_dark(look, url):
    def ink(page):
        return page.evaluate("[...window.gansearch.plots][0].chart.getOption().textStyle.color")

    with look.at(url) as page:
        light = ink(page)
        page.emulate_media(color_scheme="dark")
        until(
            page, f"[...window.gansearch.plots][0].chart.getOption().textStyle.color !== '{light}'"
        )
        assert (light, ink(page)) == ("#1a1a1a", "#e8e8e8")


def test_a_stranger_learns_what_won_by_how_much_and_what_to_type(look, url):
    with look.at(url) as page:
        answer = page.locator("#answer").inner_text()
        assert f"Winner: {WINNER.config_id}, k=2" in answer
        assert "The winner beats the paper's configuration by" in answer
        assert "gansearch sample " in answer
        assert page.locator("#answer button.copy").count() == 1


def test_the_table_has_all_trials_and_sorts_by_any_column(look, url):
    with look.at(url) as page:
        wait_for_rows(page, 42)
        trials = [view(page, f"byId.get('{trial_id}')") for trial_id in ids(page)]
        # Those that collapsed, diverged or failed stand below, however high they scored.
        order = [(t["status"] in ("completed", "pruned"), t["valid_ll"]) for t in trials]
        assert order == sorted(order, reverse=True)
        page.get_by_role("button", name="coverage", exact=True).click()
        page.wait_for_selector("th[aria-sort=descending] >> text=coverage")
        values = [view(page, f"byId.get('{trial_id}').coverage") for trial_id in ids(page)]
        assert values == sorted(values, reverse=True)
        page.get_by_role("button", name="coverage ↓").click()
        page.wait_for_selector("th[aria-sort=ascending] >> text=coverage")
        values = [view(page, f"byId.get('{trial_id}').coverage") for trial_id in ids(page)]
        assert values == sorted(values)
        look.keep(page, "sorted")


def test_the_trials_are_filtered_by_status_words_ranges_and_values(look, url):
    with look.at(url) as page:
        page.locator("button[data-status=collapsed]").click()
        wait_for_rows(page, 6)
        assert values_drawn(page, "Learning curves") == 6 * 4
        page.locator("button[data-status=diverged]").click()
        wait_for_rows(page, 12)
        page.get_by_role("searchbox").fill("t00003")
        wait_for_rows(page, 1)
        page.get_by_role("button", name="Show all").click()
        wait_for_rows(page, 42)
        page.get_by_label("add a range of").select_option("config.generator_lr")
        page.get_by_label("generator_lr, from").fill("0.1")
        kept = [t for t in view(page, "trials") if t["phase"] == "search"]
        kept = [t for t in kept if t["config.generator_lr"] >= 0.1]
        wait_for_rows(page, len(kept))
        page.get_by_label("add a range of").select_option("config.k")
        page.get_by_role("checkbox", name="2").uncheck()
        kept = [t for t in kept if t["config.k"] != 2]
        wait_for_rows(page, len(kept))
        assert sorted(ids(page)) == sorted(t["trial_id"] for t in kept)
        look.keep(page, "filtered")
        page.get_by_label("remove the range of generator_lr").click()
        page.get_by_label("remove the range of k").click()
        wait_for_rows(page, 42)


def test_the_phase_of_replicas_has_their_final_scores(look, url):
    with look.at(url) as page:
        page.get_by_label("phase").select_option("replica")
        wait_for_rows(page, 12)
        page.get_by_label("phase").select_option("")
        page.wait_for_selector("text=54 of 54 shown")


def test_a_brush_on_an_axis_selects_trials_everywhere(look, url):
    with look.at(url) as page:
        page.locator("figure[data-title='Parallel coordinates']").scroll_into_view_if_needed()
        box = plot_box(page, "Parallel coordinates")
        place = page.evaluate(
            """() => {
                const plot = [...window.gansearch.plots]
                    .find((each) => each.title === "Parallel coordinates");
                const model = plot.chart.getModel().getComponent("parallel");
                const axis = model.parallelAxisIndex.length - 1;
                const layout = model.coordinateSystem.getAxisLayout(`dim${axis}`);
                return { x: layout.position[0], y: layout.position[1] };
            }"""
        )
        x, bottom = box["x"] + place["x"], box["y"] + place["y"]
        page.mouse.move(x, bottom - 150)
        page.mouse.down()
        page.mouse.move(x, bottom - 260, steps=8)
        page.mouse.up()
        until(page, "window.gansearch.store.view.brushed !== null")
        n = view(page, "view.brushed.size")
        assert 0 < n < 42
        wait_for_rows(page, n)
        assert values_drawn(page, "Learning curves") == 4 * n
        look.keep(page, "brushed")
        page.get_by_role("button", name="Clear the selection").click()
        wait_for_rows(page, 42)


def test_hovering_over_a_mark_names_its_trial(look, url):
    with look.at(url) as page:
        page.locator("figure[data-title='Optimisation history']").scroll_into_view_if_needed()
        box = plot_box(page, "Optimisation history")
        place = page.evaluate(
            """() => {
                const plot = [...window.gansearch.plots]
                    .find((each) => each.title === "Optimisation history");
                const series = plot.chart.getOption().series[0];
                return [...plot.chart.convertToPixel({ seriesIndex: 0 }, series.data[1].value),
                    series.data[1].trial];
            }"""
        )
        page.mouse.move(box["x"] + place[0], box["y"] + place[1])
        page.wait_for_selector(f".tip >> text={place[2]}")
        look.keep(page, "hover")
        page.mouse.click(box["x"] + place[0], box["y"] + place[1])
        page.wait_for_selector(f"dialog[open] h2 >> text={place[2]}")


def test_a_legend_hides_a_status(look, url):
    with look.at(url) as page:
        page.locator("figure[data-title='Learning curves']").scroll_into_view_if_needed()
        page.evaluate(
            """() => [...window.gansearch.plots].find((each) => each.title === "Learning curves")
                .chart.dispatchAction({ type: "legendUnSelect", name: "pruned" })"""
        )
        shown = page.evaluate(
            """() => [...window.gansearch.plots].find((each) => each.title === "Learning curves")
                .chart.getModel().getSeries()
                .filter((series) => series.name === "pruned").length"""
        )
        assert shown == 12  # they are there; ECharts leaves them out of what it draws
        look.keep(page, "legend")


def test_every_measure_of_the_reports_has_curves(look, url):
    with look.at(url) as page:
        names = page.eval_on_selector_all(
            "figure[data-title='Learning curves'] select option", "all => all.map((o) => o.value)"
        )
        assert set(names) >= {"valid_ll", "coverage", "recall", "d_loss", "g_loss", "d_real"}
        page.locator("figure[data-title='Learning curves'] select").select_option("d_real")
        until(
            page,
            """() => [...window.gansearch.plots].find((each) => each.title === "Learning curves")
                .chart.getOption().yAxis[0].name.startsWith("d_real")""",
        )


def test_the_survival_map_takes_any_two_parameters(look, url):
    with look.at(url) as page:
        title = "Survivors/trials by two parameters"
        chosen = page.locator(f"figure[data-title='{title}'] select")
        chosen.nth(0).select_option("config.generator_activation")
        chosen.nth(1).select_option("config.noise_dim")
        until(
            page,
            """title => [...window.gansearch.plots].find((each) => each.title === title)
                .chart.getOption().xAxis[0].data.join() === "leaky_relu,relu" """,
            title,
        )
        cells = page.evaluate(
            """title => [...window.gansearch.plots].find((each) => each.title === title)
                .chart.getOption().series[0].data.map((cell) => [cell.n, cell.n_survived])""",
            title,
        )
        assert sum(n for n, _ in cells) == 36  # without the six that failed
        assert sum(alive for _, alive in cells) == 24
        look.keep(page, "map")


def test_a_panel_says_all_of_a_trial(look, url, run_with_everything):
    with look.at(url) as page:
        page.locator("tr[data-trial=t00003] a").click()
        page.wait_for_selector("dialog[open]")
        text = page.locator("dialog").inner_text()
        assert "the samples look collapsed: coverage 0.03" in text
        assert f"--only {run_with_everything.path}/t00003" in text
        assert "gansearch sample" not in text  # it has no generator
        assert page.evaluate("location.hash") == "#trial=t00003"
        differs = page.locator("dialog tr.differs th").all_inner_texts()
        assert "k" not in differs  # 1, as the paper's
        assert {"generator_lr", "noise_dim"} <= set(differs)
        look.keep(page, "panel")
        page.get_by_role("button", name="next").click()
        until(page, "location.hash !== '#trial=t00003'")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="hidden")
        until(page, "location.hash === ''")


def test_a_panel_has_the_line_that_samples_a_completed_trial(look, url, run_with_everything):
    with look.at(f"{url}#trial=t00000") as page:
        page.wait_for_selector("dialog[open]")
        text = page.locator("dialog").inner_text()
        assert f"gansearch sample {run_with_everything.path} --trial t00000" in text


def test_the_slider_shows_the_samples_of_each_evaluation(look, url):
    picture = "() => document.querySelector('canvas.frame').toDataURL()"
    with look.at(f"{url}#trial=t00003", width=420) as page:
        slider = page.get_by_label("evaluation", exact=True)
        slider.scroll_into_view_if_needed()
        page.wait_for_selector("output >> text=update 8,000")
        last = page.evaluate(picture)
        slider.fill("0")
        page.wait_for_selector("output >> text=update 2,000")
        assert page.evaluate(picture) != last
        look.keep(page, "slider")


def test_the_curve_of_a_panel_shows_pairs_of_measures(look, url):
    with look.at(f"{url}#trial=t00000") as page:
        chosen = page.locator("dialog select")
        chosen.select_option("D's outputs")
        until(
            page,
            """() => [...window.gansearch.plots].some((plot) => plot.title === "Curve of t00000"
                && plot.chart.getOption().series.length === 2)""",
        )


def test_a_panel_draws_the_schedule_of_a_trial_that_has_one(look, tmp_path, written):
    points = [
        {"at": 2000, "discriminator_lr": 0.05, "gradient_penalty": "r1"},
        {"at": 6000, "discriminator_lr": 0.025, "generator_lr": 0.2},
    ]
    rows = [trial("t00000", PAPER.replaced(schedule=points)), trial("t00001", PAPER)]
    title = "Schedule of t00000"
    with look.at(f"{written(write_run(tmp_path, rows))}#trial=t00000") as page:
        until(page, f"[...window.gansearch.plots].some((plot) => plot.title === '{title}')")
        series = page.evaluate(
            """title => [...window.gansearch.plots].find((plot) => plot.title === title)
                .chart.getOption().series.map((each) => [each.name, each.data])""",
            title,
        )
        assert dict(series) == {
            "discriminator_lr": [[0, 1], [2000, 0.5], [6000, 0.25], [8000, 0.25]],
            "generator_lr": [[0, 1], [6000, 2], [8000, 2]],
        }
        text = page.locator("dialog").inner_text()
        assert "discriminator_lr 0.1 -> 0.05 at 2,000; generator_lr 0.1 -> 0.2" in text
        page.locator(f"figure[data-title='{title}']").scroll_into_view_if_needed()
        look.keep(page, "panel")
        page.get_by_role("button", name="next").click()
        until(page, "location.hash === '#trial=t00001'")
        assert page.locator(f"figure[data-title='{title}']").count() == 0


def test_reasons_are_counted_and_filter_the_trials(look, url):
    with look.at(url) as page:
        rows = page.locator("table.reasons tbody tr")
        texts = rows.all_inner_texts()
        assert any(text.startswith("collapsed\t6") for text in texts)
        assert any(text.startswith("diverged\t6") for text in texts)
        rows.filter(has_text="D's loss is NaN").get_by_role("button").click()
        wait_for_rows(page, 6)
        assert "onerror" in " ".join(texts)  # as text


def test_markup_in_names_and_reasons_stays_text(look, tmp_path, written):
    name = "<img src=x onerror=alert(1)>\N{GRINNING FACE}" + "x" * 300
    presets = {name: {"k": 2}, **run_info()["space"]["presets"]}
    space = {**run_info()["space"], "presets": presets}
    rows = [trial("t00000", PAPER, "failed", reason=HOSTILE), *searched_trials(9)[1:]]
    with look.at(f"{written(write_run(tmp_path, rows, space=space))}#trial=t00000") as page:
        page.wait_for_selector("dialog[open]")
        assert "alert(1)" in page.locator("dialog .why").inner_text()
        assert page.locator("dialog img, table img, dialog script").count() == 0


def empty_run(tmp_path):
    return write_run(tmp_path, [], state="searching")


def one_trial(tmp_path):
    return write_run(tmp_path, [trial("t00000", PAPER, "running", valid_ll=None, updates=0)])


def none_completed(tmp_path):
    rows = [row for row in searched_trials(14) if row["status"] in ("collapsed", "failed")]
    return write_run(tmp_path, rows, state="failed")


@pytest.mark.parametrize("make", [empty_run, one_trial, none_completed, searching_run])
def test_runs_with_little_in_them_have_a_page_too(look, tmp_path, written, make):
    with look.at(written(make(tmp_path)), width=420) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        assert page.locator("#answer h2").inner_text().startswith("Nothing has won")
        look.keep(page, make.__name__, full_page=True)


def test_a_hundred_trials_fit_in_three_megabytes(tmp_path, written):
    folder = played_run(tmp_path, 100)
    page = written(folder).removeprefix("file://")
    with open(page, "rb") as file:  # noqa: PTH123
        assert len(file.read()) < 3e6


def test_a_sampled_page_says_so(look, url, monkeypatch, run_with_everything, written):
    monkeypatch.setattr("gansearch.report.page_data.MOST_TRIALS", 30)
    monkeypatch.setattr("gansearch.report.page_trials._MOST_BEST", 5)
    with look.at(written(run_with_everything)) as page:
        note = page.locator("#explorer .note").first.inner_text()
        n = view(page, "trials.length")
        assert 17 < n <= 30
        assert note.startswith(f"This page has {n} of 54 trials")
        assert "drawn at random" in page.locator("#reasons").inner_text()


def test_a_notebook_shows_one_trial_in_a_frame(look, tmp_path, run_with_everything):
    page_of_trial = Run(run_with_everything.path).trial("t00003")._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{page_of_trial}")
    with look.at((tmp_path / "notebook.html").as_uri(), script=False) as page:
        frame = page.frame_locator("iframe")
        frame.locator("h2 >> text=t00003").wait_for()
        frame.locator("canvas.frame").wait_for()
        frame.locator("figure[data-title='Curve of t00003'] canvas").wait_for()
        assert "--only" in frame.locator("body").inner_text()
        look.keep(page, "notebook")
    look.asked = [asked for asked in look.asked if asked != "about:srcdoc"]


def test_a_run_of_version_0_1_has_a_page(look, tmp_path, written):
    folder = RunFolder(shutil.copytree(GOLDEN, tmp_path / "run"))
    folder.write_run(described(name="run"))
    with look.at(written(folder), width=420) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        assert view(page, "trials.length") == len(folder.trials()) > 0
        look.keep(page, "old", full_page=True)


def test_a_notebook_shows_a_run_whose_trials_open(look, tmp_path, run_with_everything):
    (tmp_path / "notebook.html").write_text(
        f"<!DOCTYPE html><meta charset=utf-8>{Run(run_with_everything.path)._repr_html_()}"
    )
    with look.at((tmp_path / "notebook.html").as_uri(), script=False) as page:
        frame = page.frame_locator("iframe")
        frame.locator("tr[data-trial=t00003] a").click()
        frame.locator("dialog[open] h2 >> text=t00003").wait_for()
        frame.get_by_role("button", name="Close").click()
        frame.locator("nav a >> text=trials").first.click()
        assert frame.locator("h1").inner_text() == "digits-1: finished"
    look.asked = [asked for asked in look.asked if asked != "about:srcdoc"]


def test_a_range_keeps_what_was_typed_when_another_is_added(look, url):
    with look.at(url) as page:
        page.get_by_label("add a range of").select_option("config.noise_dim")
        wait_for_rows(page, 42)  # a range without a limit hides nothing
        page.get_by_label("noise_dim, to").fill("50")
        page.get_by_label("add a range of").select_option("coverage")
        assert page.get_by_label("noise_dim, to").input_value() == "50"


def test_a_plot_with_nothing_to_draw_says_so_and_keeps_its_menus(look, url):
    with look.at(url) as page:
        figure = page.locator("figure[data-title='Any two columns']")
        page.get_by_label("add a range of").select_option("coverage")
        page.get_by_label("coverage, from").fill("5")
        figure.locator("text=There is nothing to draw of what is chosen.").wait_for()
        assert figure.locator("select").count() == 2
        page.get_by_role("button", name="Show all").click()
        figure.locator("text=There is nothing to draw").wait_for(state="hidden")
        assert values_drawn(page, "Any two columns") == 42


def test_the_best_so_far_is_that_of_the_search_where_replicas_are_shown_too(look, url):
    last = """() => {
        const plot = [...window.gansearch.plots].find((p) => p.title === "Optimisation history");
        return plot.chart.getOption().series.at(-1).data.at(-1)[1];
    }"""
    with look.at(url) as page:
        best = page.evaluate(last)
        page.get_by_label("phase").select_option("")
        page.wait_for_selector("text=54 of 54 shown")
        assert page.evaluate(last) == best


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_by_several_objectives_has_its_front_drawn(look, written, tmp_path, scheme):
    with look.at(written(front_run(tmp_path)), width=420, scheme=scheme) as page:
        assert "3 of 5 configurations are on the front" in page.locator("#answer").inner_text()
        # Five means, their intervals, and the edge of three.
        assert values_drawn(page, "The front") == 5 + 5 + 3
        assert page.locator("figure[data-title^='Ranked configurations by']").count() == 2
        axes = [page.get_by_label(axis, exact=True).nth(-1).input_value() for axis in ("x", "y")]
        assert axes == ["valid_ll", "coverage"]
        front = [t for t in view(page, "trials") if t["front"] == 1]
        sound = [t for t in view(page, "trials") if t["front"] is not None]
        assert values_drawn(page, "Any two columns") == 30 + len(front)
        assert 2 <= len(front) < len(sound)
        page.get_by_role("button", name="front", exact=True).click()
        page.wait_for_selector("th[aria-sort=ascending] >> text=front")
        n_first = len(front)
        assert all(view(page, f"byId.get('{each}').front") == 1 for each in ids(page)[:n_first])
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        look.keep(page, scheme, full_page=True)
