"""Results -> a report: a table for people, HTML, Markdown, CSV or JSON; also of a run that goes on.

`build_report` gathers what a run's folder holds, `sections` says it in words and tables, and the
renderers only lay these out. What comes from files is text to them, never markup.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import jinja2
import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gansearch import figures
from gansearch.config import Budget, TrialConfig, short
from gansearch.errors import BadInputError, did_you_mean
from gansearch.ranking import Difference, compare
from gansearch.results import STATUSES, RunFolder, config_values

FORMATS = ("json", "csv", "markdown", "html")
_UNSOUND = ("collapsed", "diverged", "failed")
_UNFINISHED = ("searching", "replicating")
_N_LEADERS = 10
_N_ENDINGS = 10
# Columns whose cells are sentences or lists, and those that are never broken.
_PROSE = ("parameters", "reason")
_WHOLE = ("test LL",)
_IDLE_SECONDS = 120
# Below this share of the real data's coverage, a generator misses much of the data.
_LOW_COVERAGE = 0.5


@dataclass(frozen=True)
class Report:
    """What a run has to show so far.

    Attributes:
        folder: the run's.
        run: what `run.json` holds.
        budget: of the run.
        paper: the paper's configuration in the run's space.
        counts: trials by phase ("search", "replica"), then by status.
        updates: parameter updates of D and G that all trials have trained.
        ranking: the first rows of `ranking.parquet`; none before the replicas are done.
        ranks: the rank of every ranked configuration, by its id.
        leaderboard: the best trials of the search by `valid_ll`, in the columns of
            `trials.parquet`; never a collapsed, diverged or failed one.
        references: what real data scores, as `references.parquet` has it.
        winner_minus_paper: the difference in test log-likelihood; None where there is none.
        endings: trial id, status and reason of trials that say why the run has come to little.
        warnings: what a reader must know before believing the figures, in sentences.
    """

    folder: RunFolder
    run: Mapping[str, Any]
    budget: Budget
    paper: TrialConfig
    counts: Mapping[str, Mapping[str, int]]
    updates: int
    ranking: pd.DataFrame
    ranks: Mapping[str, int]
    leaderboard: pd.DataFrame
    references: pd.DataFrame
    winner_minus_paper: Difference | None
    endings: Sequence[tuple[str, str, str]]
    warnings: Sequence[str]

    @property
    def paper_config_id(self) -> str:
        """Id of the paper's configuration, as the run knows it."""
        return str(self.run["paper_config_id"])


@dataclass(frozen=True)
class Section:
    """A part of a report in words: text, then a table, then notes on the table.

    A column is its name and how its cells are justified.
    """

    key: str
    title: str
    text: Sequence[str] = ()
    columns: Sequence[tuple[str, Literal["left", "right"]]] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()


def build_report(folder: RunFolder, *, top: int | None = None) -> Report:
    """Gather what the run in `folder` has to show so far.

    Args:
        folder: of the run, at whatever stage.
        top: show the first so many of the ranking and of the leaderboard only; None for all of the
            ranking and ten of the leaderboard.

    Raises:
        ResultsError: the run's description or a table can't be read.
    """
    run = folder.read_run()
    space = run["space"]
    paper = TrialConfig.from_dict(space["fixed"] | space["presets"].get("paper", {}))
    budget = Budget.from_dict(space["budget"])
    trials, ranking, references = folder.trials(), folder.ranking(), folder.references()
    difference, unreadable = _winner_minus_paper(folder, trials, ranking, run["paper_config_id"])
    counts = _counts(trials)
    ranked = ranking.dropna(subset=["rank"])
    return Report(
        folder=folder,
        run=run,
        budget=budget,
        paper=paper,
        counts=counts,
        updates=int(trials["updates"].sum()),
        ranking=ranking.head(top) if top else ranking,
        ranks=dict(zip(ranked["config_id"], ranked["rank"].astype(int), strict=True)),
        leaderboard=_leaderboard(trials, top or _N_LEADERS),
        references=references,
        winner_minus_paper=difference,
        endings=_endings(trials, counts),
        warnings=[
            *_warnings_of_state(folder, run, ranking),
            *_warnings_of_search(budget, counts["search"]),
            *_warnings_of_ranking(ranking, references),
            *_warnings_of_replicas(trials, ranking),
            *unreadable,
        ],
    )


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
        console.print(Text(printable(section.title), style="bold"))
        for line in section.text:
            warns = section.key == "warnings"
            text = printable(line)
            console.print(Text(f"! {text}", style="yellow") if warns else Text(text))
        if section.rows:
            console.print(_rich_table(section))
        for line in section.notes:
            console.print(Text(printable(line), style="dim"))
        console.print()


def sections(report: Report) -> list[Section]:
    """Return the report in words and tables, in the order in which they are read."""
    parts = [_summary(report)]
    if report.warnings:
        parts.append(Section("warnings", "Warnings", report.warnings))
    if not report.ranking.empty:
        parts += [_ranking_section(report), _configurations(report, report.ranking)]
    if not report.leaderboard.empty:
        parts.append(_leaderboard_section(report))
    if report.ranking.empty and not report.leaderboard.empty:
        parts.append(_configurations(report, report.leaderboard))
    if report.endings:
        parts.append(_endings_section(report))
    return parts


def duration(seconds: float) -> str:
    """Return a time as people say it: 40 s, 12 min, 3 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def printable(text: str) -> str:
    """Return a text on one line, without what a terminal would take for commands."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return "".join(c for c in " ".join(plain.split()) if c.isprintable())


def _counts(trials: pd.DataFrame) -> dict[str, dict[str, int]]:
    pairs = trials.groupby(["phase", "status"]).size().to_dict()
    return {
        phase: {status: int(pairs.get((phase, status), 0)) for status in STATUSES}
        for phase in ("search", "replica")
    }


def _leaderboard(trials: pd.DataFrame, n: int) -> pd.DataFrame:
    shown = (trials["phase"] == "search") & ~trials["status"].isin(_UNSOUND)
    scored: pd.DataFrame = trials[shown & np.isfinite(trials["valid_ll"])]
    return scored.sort_values("valid_ll", ascending=False, kind="stable").head(n)


def _winner_minus_paper(
    folder: RunFolder, trials: pd.DataFrame, ranking: pd.DataFrame, paper_id: str
) -> tuple[Difference | None, list[str]]:
    """Return the winner's lead over the paper's configuration, and what couldn't be read for it."""
    scored = ranking.dropna(subset=["rank"])["config_id"].tolist()
    if paper_id not in scored or scored[0] == paper_id:
        return None, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        test_lls = folder.test_lls()
    unreadable = [str(warning.message) for warning in caught]
    done = trials[(trials["phase"] == "replica") & (trials["status"] == "completed")]
    sides = [
        [
            test_lls[trial_id]
            for trial_id in done.loc[done["config_id"] == config_id, "trial_id"]
            if trial_id in test_lls and np.isfinite(test_lls[trial_id]).all()
        ]
        for config_id in (scored[0], paper_id)
    ]
    if not all(sides) or len({len(lls) for side in sides for lls in side}) != 1:
        return None, unreadable
    return compare(*sides), unreadable


def _endings(
    trials: pd.DataFrame, counts: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, str, str]]:
    """Return how trials failed; of a phase in which none was completed, how all that ended did."""
    nothing_done = [phase for phase, of in counts.items() if of["completed"] == 0]
    is_told = (trials["status"] == "failed") | trials["phase"].isin(nothing_done)
    told = trials[is_told & (trials["status"] != "running")]
    columns = (told[name].fillna("") for name in ("trial_id", "status", "reason"))
    return list(zip(*columns, strict=True))


def _warnings_of_state(
    folder: RunFolder, run: Mapping[str, Any], ranking: pd.DataFrame
) -> Iterator[str]:
    resume = f"gansearch resume {run['name']}"
    if run["state"] == "interrupted":
        yield f"The run was interrupted. To go on: {resume}"
    if run["state"] == "failed":
        yield "The run failed: it was given up because none of its trials was completed."
    if run["state"] in _UNFINISHED:
        idle = time.time() - max(
            path.stat().st_mtime
            for name in ("run.json", "trials.parquet", "history")
            if (path := folder.path / name).exists()
        )
        if idle > _IDLE_SECONDS:
            yield f"Nothing was written for {duration(idle)}. If nothing runs any more: {resume}"
    if run["state"] != "finished" and not ranking.empty:
        yield "The run has gone on since it was ranked; the ranking will be made anew at its end."


def _warnings_of_search(budget: Budget, counts: Mapping[str, int]) -> Iterator[str]:
    n_ended = sum(counts.values()) - counts["running"]
    n_unsound = sum(counts[status] for status in _UNSOUND)
    over = n_ended > 0 and counts["running"] == 0
    if over and counts["completed"] < budget.top:
        yield (
            f"Only {counts['completed']} of {n_ended} trials of the search were completed, fewer "
            f"than the {budget.top} that were to be trained again. Give it more trials."
        )
    if over and n_unsound > n_ended / 2:
        yield (
            f"{n_unsound} of {n_ended} trials of the search collapsed, diverged or failed: the "
            "space is too wide for its trials. Narrow it, or give it more trials."
        )
    if over and budget.replicas == 0:
        yield (
            "No configuration was trained again: the best of many single trainings is partly the "
            "luckiest. Give it --replicas."
        )


def _warnings_of_ranking(ranking: pd.DataFrame, references: pd.DataFrame) -> Iterator[str]:
    if single := ranking.loc[ranking["n_seeds"] == 1, "config_id"].tolist():
        yield (
            f"{_ids(single)}: one seed only, so no interval can be given and no difference be "
            "told from chance. Give it more --replicas."
        )
    real = _real_data(references)
    if real is None:
        return
    above = ranking.loc[ranking["test_ll"] > real["test_ll"], "config_id"].tolist()
    if above:
        yield (
            f"{_ids(above)}: scores above the {real['name']} themselves. The Parzen estimate "
            "rewards blurred samples and copies. Look at the samples and at the NN ratio."
        )
    low = ranking.loc[ranking["coverage"] < _LOW_COVERAGE * real["coverage"], "config_id"].tolist()
    if low:
        yield (
            f"{_ids(low)}: coverage below half of the {real['name']}' "
            f"{real['coverage']:.2f}. Much of the data is missing from the samples."
        )


def _warnings_of_replicas(trials: pd.DataFrame, ranking: pd.DataFrame) -> Iterator[str]:
    replicas = trials[
        (trials["phase"] == "replica") & trials["config_id"].isin(ranking["config_id"])
    ]
    for config_id, group in replicas.groupby("config_id", sort=False):
        ended_badly = group[group["status"].isin(_UNSOUND)]
        if not ended_badly.empty:
            counts = ended_badly["status"].value_counts()
            ends = ", ".join(f"{n} {status}" for status, n in counts.items())
            then = (
                "It has no score."
                if len(ended_badly) == len(group)
                else "Its score is the mean of the others, and a training of it may end likewise."
            )
            yield f"{config_id}: of {len(group)} replicas {ends}. {then}"
    at_edge = replicas.loc[
        (replicas["status"] == "completed") & replicas["sigma_at_edge"].eq(True), "trial_id"
    ].tolist()
    if at_edge:
        yield f"{_ids(at_edge)}: the best sigma is at the edge of its grid, so the score is broken."


def _summary(report: Report) -> Section:
    run, space = report.run, report.run["space"]
    started = datetime.fromisoformat(run["started_at"])
    took = f", {duration(run['wall_seconds'])} at work" if run["wall_seconds"] else ""
    lines = [
        f"space {space['name']}, data set {space['dataset']}, seed {run['seed']}; "
        f"begun {started:%Y-%m-%d %H:%M} UTC{took}"
    ]
    if run["only"]:
        lines.append(f"No search: {len(run['only'])} given configurations are compared.")
    else:
        lines.append(
            f"Search: {sum(report.counts['search'].values())} of {report.budget.trials} "
            f"configurations tried{_in_words(report, 'search')}."
        )
    lines += [
        f"Replicas: {sum(report.counts['replica'].values())} trainings on fresh seeds"
        f"{_in_words(report, 'replica')}.",
        f"Budget: {report.budget.max_updates:,} parameter updates, of D and G together, for a full "
        f"training; {report.updates:,} spent in all.",
    ]
    return Section("summary", f"{run['name']}: {run['state']}", lines)


def _ranking_section(report: Report) -> Section:
    decimals = _decimals(report.ranking["test_ll"])
    columns: list[tuple[str, Literal["left", "right"]]] = [
        *((name, "right") for name in ("rank",)),
        *((name, "left") for name in ("config", "test LL", "ties", "seeds")),
        *((name, "right") for name in ("coverage", "recall", "NN ratio")),
    ]
    rows = [
        [
            _number(row["rank"], 0),
            _marked(report, row["config_id"]),
            _with_interval(row["test_ll"], row["test_ll_low"], row["test_ll_high"], decimals),
            ", ".join(str(report.ranks[other]) for other in row["tied_with"]),
            f"{row['n_seeds']}" + (f", {row['n_failed']} failed" if row["n_failed"] else ""),
            *(_number(row[name], 2) for name in ("coverage", "recall", "nn_ratio")),
        ]
        for row in _rows(report.ranking)
    ]
    notes = [*_reference_lines(report.references), *_lead(report, decimals), *_legend(report)]
    return Section(
        "ranking", "Ranking by test log-likelihood (Parzen window, nats)", (), columns, rows, notes
    )


def _reference_lines(references: pd.DataFrame) -> list[str]:
    return [
        f"For comparison, {row['name']} as samples: {row['test_ll']:.1f}, coverage "
        f"{_number(row['coverage'], 2)}, recall {_number(row['recall'], 2)}, NN ratio "
        f"{_number(row['nn_ratio'], 2)}."
        for row in _rows(references)
    ]


def _lead(report: Report, decimals: int) -> list[str]:
    """Say by how much the winner beats the paper's configuration, if it does."""
    lead = report.winner_minus_paper
    if lead is None:
        return []
    told = _with_interval(lead.mean, lead.low, lead.high, decimals, " nats")
    winner = report.ranking.iloc[0]
    if report.paper_config_id in list(winner["tied_with"]):
        return [f"The winner's lead over the paper's configuration, {told}, may be chance."]
    return [f"The winner beats the paper's configuration by {told}."]


def _legend(report: Report) -> list[str]:
    lines = [
        "[low, high] is a 95 % interval over training seeds and test examples; ties are the ranks "
        "that can't be told from this one (Holm, 5 %)."
    ]
    if report.paper_config_id in set(report.ranking["config_id"]):
        lines.append("* the paper's configuration")
    return lines


def _configurations(report: Report, shown: pd.DataFrame) -> Section:
    """Tell the configurations of rows of the ranking or of the leaderboard."""
    configs = {row["config_id"]: _what_differs(report.paper, row) for row in _rows(shown)}
    return Section(
        "configurations",
        "Configurations: what differs from the paper's",
        (),
        [("config", "left"), ("parameters", "left")],
        [[_marked(report, config_id), told] for config_id, told in configs.items()],
    )


def _leaderboard_section(report: Report) -> Section:
    decimals = _decimals(report.leaderboard["valid_ll"])
    rows = [
        [
            row["trial_id"],
            _marked(report, row["config_id"]),
            _status(report, row["status"]),
            f"{row['updates']:,}",
            _number(row["valid_ll"], decimals),
            *(_number(row[name], 2) for name in ("coverage", "recall", "nn_ratio")),
        ]
        for row in _rows(report.leaderboard)
    ]
    columns: list[tuple[str, Literal["left", "right"]]] = [
        *((name, "left") for name in ("trial", "config", "status")),
        *((name, "right") for name in ("updates", "valid LL", "coverage", "recall", "NN ratio")),
    ]
    return Section(
        "leaderboard",
        "The search's best by validation log-likelihood (nats)",
        (),
        columns,
        rows,
        [
            "This order is the search's own, from one training each, some cut short: the first of "
            "it is partly the luckiest. The ranking is made from replicas."
        ],
    )


def _endings_section(report: Report) -> Section:
    n_more = len(report.endings) - _N_ENDINGS
    return Section(
        "endings",
        "Why trials ended",
        (),
        [("trial", "left"), ("status", "left"), ("reason", "left")],
        report.endings[:_N_ENDINGS],
        [f"and {n_more} more in trials.parquet"] if n_more > 0 else [],
    )


def _what_differs(paper: TrialConfig, row: Mapping[str, Any]) -> str:
    """Return the parameters, of those that apply, whose value isn't the paper's."""
    theirs = TrialConfig.from_dict(config_values(row))
    told = [
        f"{name}={short(getattr(theirs, name))}"
        for name in theirs.rules()
        if theirs.applies(name) and getattr(theirs, name) != getattr(paper, name)
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
    stopped = report.run["state"] not in _UNFINISHED
    return "interrupted" if stopped and status == "running" else status


def _with_interval(mean: float, low: float, high: float, decimals: int, unit: str = "") -> str:
    told = f"{_number(mean, decimals)}{unit}"
    if math.isnan(low):
        return told
    return f"{told} [{_number(low, decimals)}, {_number(high, decimals)}]"


def _decimals(scores: pd.Series[float]) -> int:
    return 1 if scores.abs().max() >= 10 else 2


def _number(value: float, decimals: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def _real_data(references: pd.DataFrame) -> dict[str, Any] | None:
    real = references[references["name"].str.startswith("training")]
    return None if real.empty else _rows(real)[0]


def _rich_table(section: Section) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for i, (name, justify) in enumerate(section.columns):
        # On a narrow terminal texts are wrapped between words; numbers stay whole.
        cells = [name, *(row[i] for row in section.rows)]
        longest_word = max(len(word) for cell in cells for word in cell.split() or [""])
        whole = name in _WHOLE or not any(" " in cell for cell in cells)
        table.add_column(Text(name), justify=justify, min_width=longest_word, no_wrap=whole)
    for row in section.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _json(report: Report) -> str:
    lead = report.winner_minus_paper
    content = {
        "run": report.run,
        "budget": report.budget.to_dict(),
        "counts": report.counts,
        "updates": report.updates,
        "ranking": _records(report.ranking),
        "winner_minus_paper": None if lead is None else vars(lead),
        "references": _rows(report.references),
        "leaderboard": _records(report.leaderboard),
        "warnings": list(report.warnings),
    }
    return json.dumps(_plain(content), indent=2, allow_nan=False)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with whole numbers whole and widths as lists, as before pandas."""
    return [
        row
        | {f"config.{name}": value for name, value in config_values(row).items()}
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
    rows = _records(report.leaderboard if report.ranking.empty else report.ranking)
    flat = [
        {
            name: " ".join(map(str, value)) if isinstance(value, list | np.ndarray) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    columns = (report.leaderboard if report.ranking.empty else report.ranking).columns
    return pd.DataFrame(flat, columns=columns, dtype=object).to_csv(index=False)


def _markdown(report: Report) -> str:
    blocks = []
    for i, section in enumerate(sections(report)):
        blocks.append(f"{'#' if i == 0 else '##'} {_escaped(section.title)}")
        blocks += ["\n".join(f"- {_escaped(line)}" for line in section.text)] * bool(section.text)
        if section.rows:
            rules = ["---:" if justify == "right" else ":---" for _, justify in section.columns]
            cells = [[name for name, _ in section.columns], rules, *section.rows]
            escaped = [cells[0], cells[1], *([_escaped(cell) for cell in row] for row in cells[2:])]
            blocks.append("\n".join(f"| {' | '.join(row)} |" for row in escaped))
        blocks += [_escaped(line) for line in section.notes]
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    """Return text as Markdown that shows it as it is, in a table too."""
    for mark in "\\`*|":
        text = text.replace(mark, f"\\{mark}")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")
    return " ".join(text.split())


def _html(report: Report) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gansearch"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html").render(
        run=report.run,
        sections=sections(report),
        pictures=list(_pictures(report)),
        prose=_PROSE,
        made=json.dumps(_plain(report.run), indent=2),
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
    if report.ranking["test_ll"].notna().any():
        yield _Picture(
            "ranking",
            figures.ranking_figure(report.ranking, report.references),
            "Test log-likelihood of each ranked configuration; the table has the numbers.",
            "Dots are means over seeds, bars 95 % intervals; lines show what real data scores.",
        )
        yield from _pictures_of_winner(report)
    trials = report.folder.trials()
    history = report.folder.history()
    scored = history[np.isfinite(history["valid_ll"])]
    shown = {section.key for section in sections(report)}
    for phase, what, place in (
        ("replica", "the replicas", "ranking"),
        ("search", "the search's trials", "leaderboard"),
    ):
        curves = scored[scored["phase"] == phase]
        if not curves.empty:
            yield _Picture(
                place if place in shown else "summary",
                figures.learning_curves(curves, trials),
                f"Learning curves of {what}.",
                f"Validation log-likelihood of {what} over their training.",
            )


def _pictures_of_winner(report: Report) -> Iterator[_Picture]:
    """Yield the pictures that the run has left of its winner."""
    winner = report.ranking["config_id"].iloc[0]
    trials = report.folder.trials()
    done = trials[
        (trials["phase"] == "replica")
        & (trials["status"] == "completed")
        & (trials["config_id"] == winner)
    ]
    paths = [(report.folder.path / "samples.png", "Samples of the winner, not picked.")]
    if not done.empty:
        strip = report.folder.model_dir(done["trial_id"].iloc[0]) / "strip.png"
        paths.append((strip, "Samples of the winner over its training, from the same noise."))
    for path, caption in paths:
        if path.exists():
            yield _Picture("ranking", path.read_bytes(), caption, caption)
