"""A report as one HTML file, with its pictures, its data and the scripts that draw it.

The page loads nothing: ECharts, our own scripts and all data lie in it. Its content security policy
lets no other script run than those two, known by their hashes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansearch.report.conclusion import conclusion
from gansearch.report.export import json_value
from gansearch.report.page_data import page_data
from gansearch.report.page_parts import page_scripts, render_page, template
from gansearch.report.page_pictures import EmbeddedPictures, Pictures
from gansearch.report.report import Report, winning_replica
from gansearch.report.section import PROSE_COLUMNS, Section
from gansearch.report.sections import sections

# With ECharts and the data, a page with this many bytes of pictures stays below 3 MB.
_PICTURE_BYTES = 800_000
_SCRIPTS = (
    "values",
    "store",
    "plots",
    "run_plots",
    "trial_plots",
    "explorer",
    "panel",
    "live",
    "main",
)
# What is drawn below a section's table, by the section's key: see PLACES in main.js.
_PLOTS: Mapping[str, tuple[str, ...]] = {
    "ranking": ("ranking",),
    "measures": ("measures",),
    "players": ("players",),
    "stability": ("stability",),
    "references": ("curve",),
}
_PARTS = {
    "answer": "result",
    "warnings": "warnings",
    "ranking": "ranking",
    "leaderboard": "search's best",
    "stability": "failures",
}


_LATER_PARTS = (
    ("trials", "trials", True),
    ("why", "reasons", True),
    ("workers", "workers", True),
)


def to_html(report: Report) -> str:
    """Return the report as an HTML page that needs no other file."""
    return page(report, EmbeddedPictures(_PICTURE_BYTES))


@dataclass(frozen=True)
class Live:
    """What keeps a page up to date.

    Attributes:
        address: of newer data, which the page asks for again and again.
        version: of the data that the page has.
        state: of the run: whether a process is at work on it.
    """

    address: str
    version: str
    state: str


def page(report: Report, pictures: Pictures, live: Live | None = None) -> str:
    """Return the page of a report; without `live` it asks for nothing."""
    shown = sections(report)
    keys = [section.key for section in shown]
    # A live page may have more of them later.
    parts = [
        (key, title, key == "answer" or key in keys)
        for key, title in _PARTS.items()
        if live or key == "answer" or key in keys
    ]
    values = {
        "live": live,
        "run": report.run.to_dict(),
        "parts": [*parts, *_LATER_PARTS],
        "made": json.dumps(json_value(report.run.to_dict()), indent=2),
        # The order matters: pictures of the whole run are in the page before those of its trials.
        **_section_values(report, pictures, shown),
    }
    return render_page(
        "page.html",
        values,
        scripts=page_scripts(*_SCRIPTS),
        data=page_data(report, pictures),
        is_live=live is not None,
    )


def trial_page(report: Report, trial_id: str) -> str:
    """Return the panel of one trial as an HTML page that needs no other file."""
    return render_page(
        "trial.html",
        {"trial_id": trial_id, "name": report.run.name},
        scripts=page_scripts(*_SCRIPTS),
        data=page_data(report, EmbeddedPictures(_PICTURE_BYTES), trial_id),
    )


def sections_html(report: Report, pictures: Pictures) -> str:
    """Return the part of the page that has no script: text, tables and pictures."""
    values = _section_values(report, pictures, sections(report))
    return str(template("sections.html").render(values))


def _section_values(report: Report, pictures: Pictures, shown: Sequence[Section]) -> dict[str, Any]:
    return {
        "answer": _answer(report),
        "sections": shown,
        "plots": {section.key: _PLOTS.get(section.key, ()) for section in shown},
        "pictures": list(_pictures(report, pictures)),
        "prose": PROSE_COLUMNS,
    }


def _answer(report: Report) -> dict[str, Any]:
    """Return which configuration won, by how much, and what to type next."""
    found = conclusion(report)
    return {
        "title": found.said,
        "lines": [found.lead, *([f"Next: {found.advice}"] if found.advice else [])],
        "commands": [
            (line, purpose.capitalize())
            for line, purpose in found.commands
            if not line.endswith(".html")  # the reader has the page
        ],
        "trial": winning_replica(report),
        "whose": _whose(report),
    }


def _whose(report: Report) -> str:
    """Return whose the training is that the answer links to: of several on a front it is named."""
    if not report.run.objective.is_several or report.ranking.empty:
        return "Its first training"
    return f"The first training of {report.label(report.ranking['config_id'].iloc[0])}"


@dataclass(frozen=True)
class _Picture:
    """A picture in the page, below the section with the key `section`."""

    section: str
    uri: str
    alt: str
    caption: str


def _pictures(report: Report, pictures: Pictures) -> Iterator[_Picture]:
    """Yield the pictures of the winner that the run has written."""
    if report.ranking.empty or not report.ranking["test_ll"].notna().any():
        return
    run = report.folder.path
    listed = [
        (run / "samples.png", "Samples of the winner, not selected."),
        (
            run / "interpolation.png",
            "Interpolations between samples of the winner, not selected, along straight lines in "
            "noise space.",
        ),
        (run / "finalists.png", "Samples of every ranked configuration, a row for each replica."),
    ]
    if first := winning_replica(report):
        model = report.folder.model_dir(first)
        strip = "Samples of the winner over its training, not selected, from the same noise."
        figure1 = (
            "The winner's training in one dimension, as Figure 1 of the paper, not selected: the "
            "densities of data and samples, D, and below lines from z to G(z), from before the "
            "training to its last evaluation."
        )
        listed += [(model / "strip.png", strip), (model / "game.png", figure1)]
        listed += [(model / name, text) for name, text in report.run.family.captions.items()]
    for path, caption in listed:
        if uri := pictures.uri(path):
            yield _Picture("ranking", uri, caption, caption)
