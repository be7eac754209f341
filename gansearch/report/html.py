"""A report as one HTML file, with its pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gansearch.own_measures import own_columns
from gansearch.ranking.stability import Stability
from gansearch.report.export import json_value
from gansearch.report.own_section import better, key_of
from gansearch.report.report import Report, seeds_of, winning_replica
from gansearch.report.section import PROSE_COLUMNS
from gansearch.report.sections import counted_examples, sections
from gansearch.runs.generators import read_outputs


def to_html(report: Report) -> str:
    """Return the report as an HTML page that needs no other file."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gansearch.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html").render(
        run=report.run.to_dict(),
        sections=sections(report),
        pictures=list(_pictures(report)),
        prose=PROSE_COLUMNS,
        made=json.dumps(json_value(report.run.to_dict()), indent=2),
    )


@dataclass(frozen=True)
class _Picture:
    """A picture in the HTML report, below the section with the key `section`."""

    section: str
    png: bytes
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def _pictures(report: Report) -> Iterator[_Picture]:
    from gansearch.figures import charts

    trials = report.trials
    own = own_columns(report.run.measures)
    history = report.folder.history(["trial_id", "phase", "updates", "valid_ll", *own])
    updates_title = report.run.family.updates_title
    yield from _stability_picture(report.stability)
    objective = report.run.objective.measure
    # Under an objective, log-likelihoods are in a table below the ranking.
    of_lls = "measures" if objective else "ranking"
    if report.ranking["test_ll"].notna().any():
        yield from _ranking_pictures(report)
        if not report.curve.empty:
            yield _Picture(
                of_lls,
                charts.score_curves(report.curve, report.references),
                "Test log-likelihood against the number of samples.",
                "The test log-likelihood of the winner's first replica by the number of its "
                "samples, beside that of training examples. Sigma is selected again at each "
                "number.",
            )
        yield from _winner_pictures(report)
    scored = history[np.isfinite(history["valid_ll"])]
    training = report.training
    reference_line = f"; the dashed line, of {counted_examples(training)}" if training else ""
    for phase, whose, section, table in (
        ("replica", "the replicas", of_lls, report.ranking),
        ("search", "the search's trials", "leaderboard", report.leaderboard),
    ):
        curves = scored[scored["phase"] == phase]
        if not curves.empty:
            yield _Picture(
                "summary" if table.empty else section,
                charts.learning_curves(
                    curves, trials, report.training, updates_title=updates_title
                ),
                f"Learning curves of {whose}.",
                f"Validation log-likelihood of {whose} over their training{reference_line}.",
            )
    first = winning_replica(report)
    outputs = read_outputs(report.folder.model_dir(first)) if first else None
    if outputs is not None:
        yield _Picture(
            "players",
            charts.discriminator_outputs(outputs),
            "Histogram of the winner's D on real and on generated examples.",
            "D of the winner's first replica at its end, on real and on generated examples. Where "
            "G has the distribution of the data, the best D is 1/2.",
        )
    for measure in report.run.measures:
        curves = history[np.isfinite(history[measure.column])]
        if not curves.empty:
            section = "ranking" if measure == objective else key_of(measure)
            yield _Picture(
                "summary" if report.ranking.empty else section,
                charts.learning_curves(
                    curves, trials, measure=measure, updates_title=updates_title
                ),
                f"{measure.name} over the trainings.",
                f"{measure.name} at the evaluations of all trials.",
            )


def _ranking_pictures(report: Report) -> Iterator[_Picture]:
    """Yield the ranked configurations by their log-likelihoods and, before, by an objective."""
    from gansearch.figures import charts

    ranking, references = report.ranking, report.references
    shown = "Dots are means over the seeds that work, strokes the seeds, bars 95 % intervals; "
    has_published = references["source"].notna().any()
    published = ", thin grey ones published figures" if has_published else ""
    measure = report.run.objective.measure
    if measure and ranking[measure.test_column].notna().any():
        seeds = [
            seeds_of(report.trials, config_id, measure.test_column)
            for config_id in ranking["config_id"]
        ]
        yield _Picture(
            "ranking",
            charts.ranking_figure(ranking, references, measure, seeds),
            f"{measure.name} of each ranked configuration; the table has the numbers.",
            f"{shown}{better(measure)}. A line is that of training examples.",
        )
    yield _Picture(
        "measures" if measure else "ranking",
        charts.ranking_figure(ranking, references),
        "Test log-likelihood of each ranked configuration; the table has the numbers.",
        f"{shown}lines are the scores of real data{published}.",
    )


def _stability_picture(found: Stability | None) -> Iterator[_Picture]:
    if found is None or found.n_survived == found.n_trials:
        return
    from gansearch.figures import charts

    if len(found.map) or found.importances["importance"].notna().any():
        yield _Picture(
            "stability",
            charts.stability_figure(found.map, found.importances),
            "Share of trials that survived, by k and the ratio of the learning rates, and "
            "importances for survival and quality; the text has the numbers.",
            "Left: survivors/trials; a cell without trials is blank. Right: the share of a "
            "random forest's skill on held-out trials that is lost when a parameter is permuted.",
        )


def _winner_pictures(report: Report) -> Iterator[_Picture]:
    """Yield the pictures of the winner that the run has written."""
    run = report.folder.path
    pictures = [
        (run / "samples.png", "Samples of the winner, not selected."),
        (
            run / "interpolation.png",
            "Interpolations between samples of the winner, not selected, along straight lines in "
            "noise space.",
        ),
    ]
    if first := winning_replica(report):
        model = report.folder.model_dir(first)
        strip = "Samples of the winner over its training, not selected, from the same noise."
        figure1 = (
            "The winner's training in one dimension, as Figure 1 of the paper, not selected: the "
            "densities of data and samples, D, and below lines from z to G(z), from before the "
            "training to its last evaluation."
        )
        pictures += [(model / "strip.png", strip), (model / "game.png", figure1)]
        captions = report.run.family.captions.items()
        pictures += [(model / name, caption) for name, caption in captions]
    for path, caption in pictures:
        if path.exists():
            yield _Picture("ranking", path.read_bytes(), caption, caption)
