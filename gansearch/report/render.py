"""A report as a text in the format that the user asks for."""

from __future__ import annotations

from gansearch.errors import BadInputError, did_you_mean
from gansearch.report.export import to_csv, to_json, to_markdown
from gansearch.report.html import to_html
from gansearch.report.report import Report

FORMATS = ("json", "csv", "markdown", "html")


def render(report: Report, format: str) -> str:
    """Return the report as a text in one of `FORMATS`.

    JSON has null where a number is missing. CSV has the rows of the ranking or, while there is
    none, of the leaderboard. HTML is a single self-contained file.

    Raises:
        BadInputError: the format is unknown.
    """
    renderers = {"json": to_json, "csv": to_csv, "markdown": to_markdown, "html": to_html}
    if format not in renderers:
        raise BadInputError(f"--format {format}: unknown. {did_you_mean(format, FORMATS)}")
    # Names of files may have bytes that aren't UTF-8, in which all of these are written.
    return renderers[format](report).encode(errors="backslashreplace").decode()
