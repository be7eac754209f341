"""A run as Python and notebooks see it."""

from __future__ import annotations

import html

import numpy as np
import pytest

from gansearch.errors import BadInputError, ResultsError
from gansearch.report.run import Best, Run
from gansearch.runs.generators import StoredGenerator
from tests.written_runs import PAPER, WINNER, write_run


@pytest.fixture
def run(finished) -> Run:
    return Run(finished.path)


def test_the_best_is_the_first_of_the_ranking_with_its_interval(run) -> None:
    best = run.best
    row = run.ranking().iloc[0]
    assert (best.config_id, best.name) == (WINNER.config_id, None)
    assert (best.trial_id, best.n_seeds, best.n_failed) == (f"r-{WINNER.config_id}-0", 3, 1)
    assert best.test_ll_low < best.test_ll < best.test_ll_high
    assert best.test_ll == row["test_ll"]
    assert best.config["generator_lr"] == 0.05
    assert best.config["generator_widths"] == [256, 256]
    assert "maxout_pieces" not in best.config  # which does not apply
    assert best.coverage == pytest.approx(0.7)


def test_before_a_ranking_the_best_is_a_trial_of_the_search(searching) -> None:
    best = Run(searching.path).best
    assert (best.config_id, best.name, best.trial_id) == (PAPER.config_id, "paper", "t00000")
    assert (best.test_ll, best.n_seeds, best.valid_ll) == (None, 0, 3.1)


def test_a_run_without_a_completed_trial_has_no_best(tmp_path) -> None:
    with pytest.raises(ResultsError, match="no trial has been completed"):
        Run(write_run(tmp_path).path).best  # noqa: B018


def test_the_report_prints_as_text_and_shows_as_html(run) -> None:
    report = run.report()
    assert str(report).startswith("digits-1: finished\n")
    assert repr(report) == str(report)
    shown = report._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "&lt;h1" in shown
    assert report.to("csv").startswith("rank,")
    assert len(run.report(top=1).content.ranking) == 1
    with pytest.raises(BadInputError, match="unknown"):
        report.to("pdf")


def test_the_report_can_be_saved(run, tmp_path) -> None:
    run.report().save(tmp_path / "mine" / "run.html")
    assert (tmp_path / "mine" / "run.html").read_text().startswith("<!")


def test_a_notebook_shows_a_run_as_its_report(run) -> None:
    assert run._repr_html_() == run.report()._repr_html_()


def test_a_notebook_shows_a_run_that_goes_on_too(searching) -> None:
    assert "digits-1: searching" in html.unescape(Run(searching.path)._repr_html_())


def test_a_notebook_shows_a_trial_as_its_panel(run) -> None:
    trial = run.trial("t00004")
    assert repr(trial) == "<trial t00004: collapsed, coverage .02 at three reports in a row>"
    assert trial.config["k"] == 4
    assert trial.scores["valid_ll"] == 12.0
    page = html.unescape(trial._repr_html_())
    assert '<body data-trial="t00004">' in page
    assert '"trial_id": ["t00004"]' in page
    with pytest.raises(ResultsError, match=r"t00099: no such trial\. "):
        run.trial("t00099")


def test_a_notebook_shows_nothing_of_a_damaged_run(tmp_path) -> None:
    (tmp_path / "run.json").write_text("{")
    assert Run(tmp_path)._repr_html_() is None


@pytest.mark.parametrize("n", [0, -1, True, "5", 2.5, None])
def test_a_number_of_samples_is_a_whole_number(run, n) -> None:
    with pytest.raises(BadInputError, match=r"^n: found"):
        run.sample(n)


def test_the_best_is_frozen() -> None:
    assert Best.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_samples_are_those_of_the_command(run, monkeypatch) -> None:
    class Generator:
        def samples(self, n):
            return np.zeros((n, 64), np.float32)

    stored = StoredGenerator(Generator(), "digits", (8, 8, 1))
    monkeypatch.setattr("gansearch.report.sampling.load_generator", lambda *_: stored)
    assert run.sample(5).shape == (5, 64)
    assert run.sample().shape == (64, 64)
    with pytest.raises(ResultsError, match="no such trial"):
        run.sample(trial="t00009")
