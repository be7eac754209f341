"""A report -> a table for people, HTML, Markdown, CSV or JSON.

`sections` says the report in words and tables; what shows them to people only lays them out. What
comes from files is text there, never markup.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gansearch.errors import BadInputError, did_you_mean
from gansearch.measures import MEASURES
from gansearch.ranking.stability import DIED, MOST_IN_FOREST, Stability
from gansearch.report.report import Report, duration, printable
from gansearch.rules import short
from gansearch.runs.schemas import config_values

FORMATS = ("json", "csv", "markdown", "html")
_N_ENDINGS = 10
# Of where training dies: cells told in words, and parameters, that cost so much of the skill.
_N_WORST, _N_DECISIVE, _DECISIVE = 3, 4, 0.1
# Columns of figures, of sentences or lists, and those whose cells are never broken.
_SHOWN = [measure for measure in MEASURES if measure.heading is not None]
_HEADINGS = [str(measure.heading) for measure in _SHOWN]
_NUMBERS = ("rank", "updates", "valid LL", "number", *_HEADINGS)
_PROSE = ("parameters", "reason", "source")
_WHOLE = ("test LL",)
# Places between two columns, fewer where the table would not fit; the fewest to read prose in.
_GAPS = (2, 1)
_LEAST_PROSE = 24
_WHERE = "Where training dies"
# From here on numbers are told as powers of ten: what diverges would need any number of places.
_HUGE = 1e6


# A column's name, and how its cells are justified.
Column = tuple[str, Literal["left", "right"]]


@dataclass(frozen=True)
class Section:
    """A part of a report in words: text, then a table, then notes on the table."""

    key: str
    title: str
    text: Sequence[str] = ()
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()


def render(report: Report, format: str) -> str:
    """Return the report as a text in one of `FORMATS`.

    JSON has null where there is no number. CSV has the rows of the ranking or, while there is none,
    of the search's leaderboard. HTML is one file that needs no other.

    Raises:
        BadInputError: no such format.
    """
    renderers = {"json": _json, "csv": _csv, "markdown": _markdown, "html": _html}
    if format not in renderers:
        raise BadInputError(f"--format {format}: unknown. {did_you_mean(format, FORMATS)}")
    return renderers[format](report)


def print_report(report: Report, console: Console) -> None:
    """Print the report for people."""
    for section in sections(report):
        _print_section(section, console)


def print_evaluation(scores: Mapping[str, Any], console: Console) -> None:
    """Print what `gansearch evaluate` has found for people; `scores` is what its --json prints."""
    table = Table(show_header=False, box=None, pad_edge=False)
    apart = ("health", "references", "warnings")
    single = {key: value for key, value in scores.items() if key not in apart}
    for key, value in (single | scores["health"]).items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(Text(key), Text(shown))
    console.print(table)
    console.print()
    references = pd.DataFrame(scores["references"])
    parts = list(_reference_sections(references))
    if scores["warnings"]:
        parts.append(Section("warnings", "Warnings", scores["warnings"]))
    for section in parts:
        _print_section(section, console)


def sections(report: Report) -> list[Section]:
    """Return the report in words and tables, in the order in which they are read."""
    parts = [_summary(report)]
    if report.warnings:
        parts.append(Section("warnings", "Warnings", report.warnings))
    if not report.ranking.empty:
        parts += [_ranking_section(report), *_reference_sections(report.references)]
        parts.append(_configurations(report, report.ranking))
    if not report.leaderboard.empty:
        parts.append(_leaderboard_section(report))
    if report.ranking.empty and not report.leaderboard.empty:
        parts.append(_configurations(report, report.leaderboard))
    if report.stability is not None:
        parts.append(_stability_section(report, report.stability))
    if report.endings:
        parts.append(_endings_section(report))
    return parts


def _summary(report: Report) -> Section:
    run, space = report.run, report.run.space
    started = datetime.fromisoformat(run.started_at)
    took = f", {duration(run.wall_seconds)} at work" if run.wall_seconds else ""
    lines = [
        f"space {space['name']}, data set {space['dataset']}, seed {run.seed}; "
        f"begun {started:%Y-%m-%d %H:%M} UTC{took}"
    ]
    if run.only:
        n_given = len(run.only)
        given = (
            "1 given configuration is trained"
            if n_given == 1
            else f"{n_given} given configurations are compared"
        )
        lines.append(f"No search: {given}.")
    else:
        lines.append(
            f"Search: {sum(report.counts['search'].values())} of {report.budget.trials} "
            f"configurations tried{_in_words(report, 'search')}."
        )
    n_replicas = sum(report.counts["replica"].values())
    trainings = (
        "1 training on a fresh seed"
        if n_replicas == 1
        else f"{n_replicas} trainings on fresh seeds"
    )
    lines += [
        f"Replicas: {trainings}{_in_words(report, 'replica')}.",
        f"Budget: {report.budget.max_updates:,} parameter updates, of D and G together, for a full "
        f"training; {report.updates:,} spent in all.",
    ]
    return Section("summary", f"{run.name}: {run.state}", lines)


def _ranking_section(report: Report) -> Section:
    decimals = _decimals(report.ranking["test_ll"])
    rows = [
        [
            _number(row["rank"], 0),
            _marked(report, row["config_id"]),
            _with_interval(row["test_ll"], row["test_ll_low"], row["test_ll_high"], decimals),
            _ranges(sorted(map(report.ranks.__getitem__, report.ranks.keys() & row["tied_with"]))),
            f"{row['n_seeds']}" + (f", {row['n_failed']} failed" if row["n_failed"] else ""),
            *(_number(row[m.column], m.decimals) for m in _SHOWN),
        ]
        for row in _rows(report.ranking)
    ]
    return Section(
        "ranking",
        "Ranking by test log-likelihood (Parzen window, nats)",
        (),
        _columns("rank", "config", "test LL", "ties", "seeds", *_HEADINGS),
        rows,
        [*_lead(report, decimals), *_legend(report)],
    )


def _reference_sections(references: pd.DataFrame) -> Iterator[Section]:
    """Tell what the scores are to be held against; what others published stands apart."""
    is_published = references["source"].notna()
    computed, published = references[~is_published], references[is_published]
    if not computed.empty:
        decimals = _decimals(computed["test_ll"])
        yield Section(
            "references",
            "For comparison, as if they had been generated",
            (),
            _columns("samples", "number", "test LL", *_HEADINGS),
            [
                [
                    row["name"],
                    _thousands(row["n_samples"]),
                    _number(row["test_ll"], decimals),
                    *(_number(row[m.column], m.decimals) for m in _SHOWN),
                ]
                for row in _rows(computed)
            ],
        )
    if not published.empty:
        yield Section(
            "published",
            "Published for this data set, from 10,000 samples (not computed here)",
            (),
            _columns("model", "test LL", "source"),
            [
                [row["name"], f"{row['test_ll']:.0f} +- {row['test_ll_se']:g}", row["source"]]
                for row in _rows(published)
            ],
        )


def _lead(report: Report, decimals: int) -> list[str]:
    """Say by how much the winner beats the baseline, if it does."""
    lead = report.winner_minus_paper
    if lead is None:
        return []
    told = _with_interval(lead.mean, lead.low, lead.high, decimals, " nats")
    winner = report.ranking.iloc[0]
    if report.paper_config_id in list(winner["tied_with"]):
        return [f"The winner's lead over {_baseline(report)}, {told}, may be chance."]
    return [f"The winner beats {_baseline(report)} by {told}."]


def _legend(report: Report) -> list[str]:
    lines = [
        "[low, high] is a 95 % interval over training seeds and test examples; ties are the ranks "
        "that can't be told from this one (Holm, 5 %).",
        "to train is the distance to the nearest training example, over that of new real ones: "
        "near 0 for copies.",
    ]
    if report.paper_config_id in set(report.ranking["config_id"]):
        lines.append(f"* {_baseline(report)}")
    return lines


def _configurations(report: Report, shown: pd.DataFrame) -> Section:
    """Tell the configurations of rows of the ranking or of the leaderboard."""
    configs = {row["config_id"]: _what_differs(report, row) for row in _rows(shown)}
    return Section(
        "configurations",
        f"Differences from {_baseline(report)}",
        (),
        _columns("config", "parameters"),
        [[_marked(report, config_id), told] for config_id, told in configs.items()],
    )


def _leaderboard_section(report: Report) -> Section:
    decimals = _decimals(report.leaderboard["valid_ll"])
    reported = [measure for measure in _SHOWN if "report" in measure.stages]
    rows = [
        [
            row["trial_id"],
            _marked(report, row["config_id"]),
            _status(report, row["status"]),
            f"{row['updates']:,}",
            _number(row["valid_ll"], decimals),
            *(_number(row[m.column], m.decimals) for m in reported),
        ]
        for row in _rows(report.leaderboard)
    ]
    measures = ("updates", "valid LL", *(str(m.heading) for m in reported))
    return Section(
        "leaderboard",
        "The search's best by validation log-likelihood (nats)",
        (),
        _columns("trial", "config", "status", *measures),
        rows,
        [
            "This order is the search's own, from one training each, some cut short: the first of "
            "it is partly the luckiest. The ranking is made from replicas.",
            *_training_note(report.training, decimals),
        ],
    )


def _training_note(training: Mapping[str, Any] | None, decimals: int) -> list[str]:
    if training is None:
        return []
    return [
        f"By the same measure {_examples(training)} themselves score "
        f"{_number(training['valid_ll'], decimals)}. Scores of other numbers of samples, or of "
        "test examples, don't compare."
    ]


def _examples(training: Mapping[str, Any]) -> str:
    return f"{training['n_samples']:,} {training['name']}"


def _stability_section(report: Report, found: Stability) -> Section:
    """Tell where in the space the search's trials died; in a line if none did."""
    quality = _decided(found, "quality", _quality_in_words(report))
    tells = found.importances.dropna(subset=["importance"])["target"].unique()
    legend = (
        "Percentages of what decides: how much of what a forest foretells of trials that it hasn't "
        "seen is lost without the parameter."
    )
    if (found.importances["n_trials"] == MOST_IN_FOREST).any():
        legend += f" Of more trials it is shown {MOST_IN_FOREST:,}, drawn at random."
    notes = [legend] if len(tells) else []
    if found.n_survived == found.n_trials:
        lines = [f"No trial of the search collapsed or diverged; {found.n_survived} survived."]
        lines += [quality] if "quality" in tells else []
        return Section("stability", _WHERE, lines, notes=notes)
    lines = [
        _survived(report, found),
        *(
            f"Worse than the whole: {_in_place(report, cell)}."
            for cell in _rows(found.worst[:_N_WORST])
        ),
        _decided(found, "survival", "survival"),
        quality,
    ]
    balance = report.run.family.balance
    columns, rows = _map_table(found)
    if rows and balance is not None:
        lines.append(f"Survivors/trials by {balance.rows} and by ratio, which is {balance.ratio}:")
    notes.append(
        "Pruned trials survived until then; what would have become of them is unknown. The "
        "sampler tries some cells more than others, and cells differ in more than their name."
    )
    return Section("stability", _WHERE, lines, columns, rows, notes)


def _survived(report: Report, found: Stability) -> str:
    counts = report.counts["search"]
    died = ", ".join(f"{counts[status]} {status}" for status in DIED if counts[status])
    completed, pruned = counts["completed"], found.n_survived - counts["completed"]
    return (
        f"{found.n_survived} of {found.n_trials} trials of the search survived ({completed} "
        f"completed, {pruned} pruned while alive); the others died ({died})."
    )


def _quality_in_words(report: Report) -> str:
    budget = report.budget
    rung = next(mark for mark in budget.report_updates() if mark >= budget.grace_updates)
    return f"quality (the survivors' valid LL at update {rung:,})"


def _in_place(report: Report, cell: Mapping[str, Any]) -> str:
    """Tell a cell as `k=5 with discriminator_lr/generator_lr >=10: 1 of 12 survived`."""
    is_value = cell["low"] == cell["high"] or (pd.isna(cell["low"]) and pd.isna(cell["high"]))
    place = f"{cell['parameter']}{'=' if is_value else ' '}{cell['value']}"
    balance = report.run.family.balance
    if cell["kind"] == "map" and balance is not None:
        place += f" with {balance.ratio} {cell['ratio']}"
    return (
        f"{place}: {cell['n_survived']} of {cell['n_trials']} survived "
        f"[{_percent(cell['p_low'])}, {_percent(cell['p_high'])}]"
    )


def _decided(found: Stability, target: str, name: str) -> str:
    """Say what decides survival or quality, or why that can't be told."""
    rows = found.importances[found.importances["target"] == target]
    if rows.empty:
        return f"What decides {name} can't be told: nothing varies among the trials."
    if isinstance(reason := rows["reason"].iloc[0], str):
        return f"What decides {name} can't be told: {reason}."
    ordered = rows.sort_values("importance", ascending=False, kind="stable")
    decisive = ordered[ordered["importance"] >= _DECISIVE].head(_N_DECISIVE)
    told = ", ".join(
        f"{row['parameter']} ({_percent(row['importance'])})" for row in _rows(decisive)
    )
    return (
        f"{name[0].upper()}{name[1:]} is decided by {told or 'several parameters together'}: of "
        f"pairs of trials that it hasn't seen, a forest puts "
        f"{_percent(rows['concordance'].iloc[0])} in the right order; chance is 50 %."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _map_table(found: Stability) -> tuple[list[Column], list[list[str]]]:
    """Return the columns and rows of the map, k down and the ratio across; no rows without one."""
    columns: list[Column] = [(name, "right") for name in found.map["parameter"].iloc[:1]]
    rows = []
    for value, cells in found.map.groupby("value", sort=False):
        columns[1:] = [(f"ratio {ratio}", "right") for ratio in cells["ratio"]]
        counts = zip(cells["n_survived"], cells["n_trials"], strict=True)
        rows.append([str(value), *(f"{alive}/{n}" if n else "" for alive, n in counts)])
    return columns, rows


def _endings_section(report: Report) -> Section:
    n_more = len(report.endings) - _N_ENDINGS
    return Section(
        "endings",
        "Why trials ended",
        (),
        _columns("trial", "status", "reason"),
        report.endings[:_N_ENDINGS],
        [f"and {n_more} more in trials.parquet"] if n_more > 0 else [],
    )


def _columns(*names: str) -> list[Column]:
    return [(name, "right" if name in _NUMBERS else "left") for name in names]


def _baseline(report: Report) -> str:
    return report.run.family.baseline_title


def _what_differs(report: Report, row: Mapping[str, Any]) -> str:
    """Return the parameters, of those that apply, whose value isn't the baseline's."""
    table = report.run.family.config_type
    theirs = table.from_dict(config_values(row, table))
    told = [
        f"{name}={short(getattr(theirs, name))}"
        for name in table.rules()
        if theirs.applies(name) and getattr(theirs, name) != getattr(report.baseline, name)
    ]
    return " ".join(told) or "nothing"


def _marked(report: Report, config_id: str) -> str:
    return f"{config_id}*" if config_id == report.paper_config_id else config_id


def _in_words(report: Report, phase: str) -> str:
    counts = report.counts[phase]
    told = ", ".join(f"{n} {_status(report, status)}" for status, n in counts.items() if n)
    return f": {told}" if told else ""


def _status(report: Report, status: str) -> str:
    """Return a trial's status; in a run that has stopped, none is running any more."""
    return "interrupted" if status == "running" and not report.run.is_going_on else status


def _with_interval(mean: float, low: float, high: float, decimals: int, unit: str = "") -> str:
    told = f"{_number(mean, decimals)}{unit}"
    if math.isnan(low):
        return told
    return f"{told} [{_number(low, decimals)}, {_number(high, decimals)}]"


def _ranges(ranks: Sequence[int]) -> str:
    """Return ascending ranks as `1, 2, 5-9`: in a large study most are tied with most."""
    runs = [
        [rank for _, rank in run]
        for _, run in groupby(enumerate(ranks), key=lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )


def _decimals(scores: pd.Series[float]) -> int:
    return 1 if scores.abs().max() >= 10 else 2


def _thousands(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def _number(value: float, decimals: int) -> str:
    """Return a number in at most nine places, thousands without decimals; a dash for none."""
    if math.isnan(value):
        return "-"
    if abs(value) >= _HUGE:
        return f"{value:.2e}"
    return f"{value:.{decimals if abs(value) < 1000 else 0}f}"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _print_section(section: Section, console: Console) -> None:
    mark, style = ("! ", "yellow") if section.key == "warnings" else ("", "")
    console.print(Text(printable(section.title), style="bold"))
    for line in section.text:
        console.print(Text(mark + printable(line), style=style))
    if section.rows:
        _print_rows(section, console)
    for line in section.notes:
        console.print(Text(printable(line), style="dim"))
    console.print()


def _print_rows(section: Section, console: Console) -> None:
    """Print a section's rows as a table or, where it would be cut off, each row as a paragraph."""
    names = [name for name, _ in section.columns]
    rows = [[printable(cell) for cell in row] for row in section.rows]
    fitting = (
        (gap, widths) for gap in _GAPS if (widths := _widths([names, *rows], console.width, gap))
    )
    gap, widths = next(fitting, (0, None))
    if widths is None:
        for row in rows:
            pairs = (f"{name} {cell or '-'}" for name, cell in zip(names, row, strict=True))
            console.print(Text(", ".join(pairs)))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    for (name, justify), width in zip(section.columns, widths, strict=True):
        table.add_column(Text(name), justify=justify, max_width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(lines: Sequence[Sequence[str]], available: int, gap: int) -> list[int] | None:
    """Return the widths of columns in a table of at most `available` places; None if it can't be.

    Texts give way and are wrapped between words; figures, ids and intervals stay whole. Rich's own
    way to shrink a table minds no least widths, and cuts off what is too wide in the end.
    """
    names, *_ = lines
    columns = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    if sum(widths) + gap * (len(widths) - 1) <= available:
        return widths
    least = [_least_width(name, column) for name, column in zip(names, columns, strict=True)]
    # Rich pads the last column too, by one place, if it is narrower than its content.
    room = available - gap * (len(widths) - 1) - 1
    if sum(least) > room:
        return None
    while sum(widths) > room:
        slack = [width - fewest for width, fewest in zip(widths, least, strict=True)]
        widths[slack.index(max(slack))] -= 1
    return widths


def _least_width(name: str, cells: Sequence[str]) -> int:
    if name in _WHOLE:
        return max(map(cell_len, cells))
    longest_word = max(cell_len(word) for cell in cells for word in cell.split())
    # A path in a reason may be longer than any line.
    return min(longest_word, _LEAST_PROSE) if name in _PROSE else longest_word


def _json(report: Report) -> str:
    lead = report.winner_minus_paper
    content = {
        "run": report.run.to_dict(),
        "budget": report.budget.to_dict(),
        "counts": report.counts,
        "updates": report.updates,
        "ranking": _records(report, report.ranking),
        "winner_minus_paper": None if lead is None else vars(lead),
        "references": _rows(report.references),
        "curve": _rows(report.curve),
        "stability": None
        if report.stability is None
        else {
            "cells": _rows(report.stability.cells),
            "importances": _rows(report.stability.importances),
        },
        "leaderboard": _records(report, report.leaderboard),
        "warnings": list(report.warnings),
    }
    return json.dumps(_plain(content), indent=2, allow_nan=False)


def _records(report: Report, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with whole numbers whole and widths as lists, as before pandas."""
    table = report.run.family.config_type
    return [
        row
        | {f"config.{name}": value for name, value in config_values(row, table).items()}
        | ({"rank": _whole(row["rank"])} if "rank" in row else {})
        for row in _rows(frame)
    ]


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def _plain(value: Any) -> Any:
    """Return a value for JSON: no NumPy types, null for whatever is not a finite number."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def _csv(report: Report) -> str:
    shown = report.leaderboard if report.ranking.empty else report.ranking
    flat = [
        {
            name: " ".join(map(str, value)) if isinstance(value, list | np.ndarray) else value
            for name, value in row.items()
        }
        for row in _records(report, shown)
    ]
    return pd.DataFrame(flat, columns=shown.columns, dtype=object).to_csv(index=False)


def _markdown(report: Report) -> str:
    blocks = []
    for i, section in enumerate(sections(report)):
        blocks.append(f"{'#' if i == 0 else '##'} {_escaped(section.title)}")
        if section.text:
            blocks.append("\n".join(f"- {_escaped(line)}" for line in section.text))
        if section.rows:
            names = [name for name, _ in section.columns]
            rules = ["---:" if justify == "right" else ":---" for _, justify in section.columns]
            rows = [[_escaped(cell) for cell in row] for row in section.rows]
            blocks.append("\n".join(f"| {' | '.join(row)} |" for row in (names, rules, *rows)))
        blocks += [_escaped(line) for line in section.notes]
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    """Return text as Markdown that shows it as it is, in a table too."""
    for mark in "\\`*|":
        text = text.replace(mark, f"\\{mark}")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")
    return " ".join(text.split())


def _html(report: Report) -> str:
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
        prose=_PROSE,
        made=json.dumps(_plain(report.run.to_dict()), indent=2),
    )


@dataclass(frozen=True)
class _Picture:
    """A picture in the HTML report, below the section with that key."""

    section: str
    png: bytes
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def _pictures(report: Report) -> Iterator[_Picture]:
    from gansearch.figures import charts

    trials = report.folder.trials()
    history = report.folder.history(["trial_id", "phase", "updates", "valid_ll"])
    yield from _picture_of_stability(report.stability)
    if report.ranking["test_ll"].notna().any():
        yield _Picture(
            "ranking",
            charts.ranking_figure(report.ranking, report.references),
            "Test log-likelihood of each ranked configuration; the table has the numbers.",
            "Dots are means over seeds, bars 95 % intervals; lines show what real data scores, "
            "thin grey ones what others have published.",
        )
        if not report.curve.empty:
            yield _Picture(
                "ranking",
                charts.score_curves(report.curve, report.references),
                "Test log-likelihood against the number of samples.",
                "How the score of the winner's first replica grows with the number of its samples, "
                "beside training images'. Sigma is chosen anew at each number.",
            )
        yield from _pictures_of_winner(report, trials)
    scored = history[np.isfinite(history["valid_ll"])]
    training = report.training
    beside = f"; the dashed line, of {_examples(training)}" if training else ""
    for phase, what, section, shown in (
        ("replica", "the replicas", "ranking", report.ranking),
        ("search", "the search's trials", "leaderboard", report.leaderboard),
    ):
        curves = scored[scored["phase"] == phase]
        if not curves.empty:
            yield _Picture(
                "summary" if shown.empty else section,
                charts.learning_curves(curves, trials, report.training),
                f"Learning curves of {what}.",
                f"Validation log-likelihood of {what} over their training{beside}.",
            )


def _picture_of_stability(found: Stability | None) -> Iterator[_Picture]:
    if found is None or found.n_survived == found.n_trials:
        return
    from gansearch.figures import charts

    if len(found.map) or found.importances["importance"].notna().any():
        yield _Picture(
            "stability",
            charts.stability_figure(found.map, found.importances),
            "Share of trials that survived, by k and the ratio of the learning rates, and what "
            "decides survival and quality; the text has the numbers.",
            "Left: survivors/trials; a cell without trials is blank. Right: how much of what a "
            "forest foretells of unseen trials is lost without a parameter.",
        )


def _pictures_of_winner(report: Report, trials: pd.DataFrame) -> Iterator[_Picture]:
    """Yield the pictures that the run has left of its winner."""
    done = trials[
        (trials["phase"] == "replica")
        & (trials["status"] == "completed")
        & (trials["config_id"] == report.ranking["config_id"].iloc[0])
    ]
    run = report.folder.path
    pictures = [
        (run / "samples.png", "Samples of the winner, not picked."),
        (
            run / "interpolation.png",
            "Between samples of the winner, not picked: what it makes of straight lines in noise "
            "space.",
        ),
    ]
    if not done.empty:
        model = report.folder.model_dir(done["trial_id"].iloc[0])
        strip = "Samples of the winner over its training, not picked, from the same noise."
        game = (
            "The winner's game in one dimension, not picked: the densities of data and samples, D, "
            "and below lines from z to G(z), from before the training to its last report."
        )
        pictures += [(model / "strip.png", strip), (model / "game.png", game)]
    for path, caption in pictures:
        if path.exists():
            yield _Picture("ranking", path.read_bytes(), caption, caption)
