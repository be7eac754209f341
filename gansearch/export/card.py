"""The model card of an exported generator: what it is, how good, how trained, and its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gansearch.artifacts import GeneratorModule
from gansearch.export.formats import Format
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.report.formatting import format_interval, format_number
from gansearch.report.own_section import better, own_interval, own_number
from gansearch.report.report import Report
from gansearch.report.section import TABLE_MEASURES
from gansearch.rules import short
from gansearch.runs.tables import rows_of
from gansearch.system.user_code import shown

_DECIMALS = 2


@dataclass(frozen=True)
class Exported:
    """A generator that is exported, with all that is known of it.

    Attributes:
        report: of the run.
        trial: the row of the trial in `trials.parquet`.
        config: its parameters that apply.
        found: the generator.
        format: of its weights.
        shape: of an example, as `Dataset.shape`.
    """

    report: Report
    trial: Mapping[str, Any]
    config: Mapping[str, Any]
    found: GeneratorModule
    format: Format
    shape: tuple[int, ...]

    @property
    def name(self) -> str | None:
        """The name of its configuration, if it has one."""
        return self.report.run.names.get(str(self.trial["config_id"]))

    @property
    def ranked(self) -> Mapping[str, Any] | None:
        """The row of its configuration in the ranking, if it was replicated."""
        ranking = self.report.ranking
        return next(iter(rows_of(ranking[ranking["config_id"] == self.trial["config_id"]])), None)


def model_card(exported: Exported, extra_files: Mapping[str, str]) -> str:
    """Return the card as Markdown.

    Args:
        exported: what it describes.
        extra_files: what else lies in the folder: names, and what they are.
    """
    report, trial = exported.report, exported.trial
    called = f" (`{exported.name}`)" if exported.name else ""
    blocks = [
        f"# Generator {trial['trial_id']} of the run {report.run.name}",
        f"A generator of samples of the data set {report.run.space['dataset']}, trained by "
        f"gansearch. Its configuration is {trial['config_id']}{called}.",
        "## Use",
        _use(exported),
        "\n".join(f"- `{file}`: {what}" for file, what in _files(exported.format, extra_files)),
        "## Scores",
        "\n".join(_scores(exported)),
        "## Data",
        "\n".join(_data(report)),
        "## Training",
        "\n".join(_training(report, trial)),
        "| parameter | value |\n|---|---|\n"
        + "\n".join(f"| `{key}` | {short(value)} |" for key, value in exported.config.items()),
        "## Limits",
        "\n".join(_limits(exported)),
    ]
    return "\n\n".join(blocks) + "\n"


def _use(exported: Exported) -> str:
    found, format = exported.found, exported.format
    gives = "images" if len(exported.shape) == 3 else "points"
    return (
        f"```python\nfrom load_generator import generator, samples\n\n"
        f"{gives} = samples(64)  # those that were scored, from the same seed\n```\n\n"
        f"It needs {format.needs} alone. `{format.call}` takes float32 noise "
        f"`[n, {found.noise_dim}]` of torch, which is `{found.noise}`"
        f"{'' if found.depends_on_company else ', for any n'}.{format.remark}"
    )


def _files(format: Format, extra: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield format.file, "the weights"
    yield "load_generator.py", "loads them"
    yield "config.json", "the configuration, the scores and the run, for programs"
    yield from extra.items()


def _scores(exported: Exported) -> Iterator[str]:
    """Yield the scores of the trial and, where it was replicated, of its configuration."""
    trial, ranked = exported.trial, exported.ranked
    yield "| | this generator |" + (" its configuration, over seeds |" if ranked else "")
    yield "|---|---|" + ("---|" if ranked else "")

    def line(title: str, own: str, other: str) -> str:
        return f"| {title} | {own} |" + (f" {other} |" if ranked else "")

    row = ranked or {}
    test = _shown(trial, "test_ll")
    interval = (
        format_interval(row["test_ll"], row["test_ll_low"], row["test_ll_high"], _DECIMALS)
        if ranked
        else ""
    )
    yield line("test log-likelihood, nats [95 % interval]", test, interval)
    yield line(
        "validation log-likelihood, nats", _shown(trial, "valid_ll"), _shown(row, "valid_ll")
    )
    for measure in TABLE_MEASURES:
        title = str(measure.heading)
        yield line(title, _shown(trial, measure.column), _shown(row, measure.column))
    for own in exported.report.run.measures:
        for column, split in zip(own.final_columns, ("validation", "test"), strict=True):
            title = f"{own.name} against the {split} set ({better(own)})"
            yield line(title, own_number(trial.get(column)), own_interval(row, column))
    if ranked:
        yield line(
            "replicas that work", "", f"{row['n_seeds']} of {row['n_seeds'] + row['n_failed']}"
        )
    yield ""
    has_own = bool(exported.report.run.measures) and ranked is not None
    own_intervals = " Those of your own measures are over training seeds." * has_own
    yield (
        f"Log-likelihoods are Parzen-window estimates; those on the test set come from "
        f"{N_FINAL_SAMPLES:,} samples. The interval is over training seeds and test examples."
        f"{own_intervals}"
    )


def _shown(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "-" if value is None or pd.isna(value) else format_number(float(value), _DECIMALS)


def _data(report: Report) -> Iterator[str]:
    run = report.run
    data = run.data
    if data is None:
        yield f"- {run.space['dataset']}"
        return
    shape = "x".join(map(str, data["shape"]))
    yield f"- {run.space['dataset']}: examples of {shape}"
    for split in ("train", "valid", "test"):
        yield f"- {split}: {data[split]['n']:,} examples, SHA-256 {data[split]['sha256']}"
    yield from (f"- {note}" for note in run.data_notes)


def _training(report: Report, trial: Mapping[str, Any]) -> Iterator[str]:
    run = report.run
    versions = run.facts.get("versions") or {}
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"- model family: {shown(run.family.name)}"
    yield (
        f"- {trial['updates']:,} {run.family.updates_title}, of "
        f"{run.budget.max_updates:,}; seed {trial['seed']}; device {trial['device'] or 'unknown'}"
    )
    kept = trial.get("kept_updates")
    if pd.notna(kept) and kept != trial["updates"]:
        yield f"- this is its state after {kept:,.0f} of them, the best on validation data"
    yield f"- phase: {trial['phase']}; status: {trial['status']}"
    if software:
        yield f"- software: {software}"


def _limits(exported: Exported) -> Iterator[str]:
    trial, found = exported.trial, exported.found
    if trial["status"] == "collapsed":
        yield f"- **Its samples are collapsed**: {trial['reason']}."
    elif trial["status"] != "completed":
        yield f"- Its training ended early: {trial['status']}."
    if trial["phase"] != "replica":
        yield (
            "- It comes from the search, where the best of many single trainings is partly the "
            "luckiest. It has no test score."
        )
    yield (
        "- The Parzen estimate rewards blurred samples and hardly penalises missing modes: read it "
        "beside coverage and recall."
    )
    yield (
        "- Samples resemble the training data, with what is one-sided in it. Some may be near "
        "copies of training examples: `to train` near 0 says so."
    )
    if found.depends_on_company:
        yield (
            f"- Batch normalisation takes its statistics from the samples at hand: make "
            f"{found.block:,} at a time, as `samples` does. A single one can't be made."
        )
    dataset = exported.report.run.space["dataset"]
    yield f"- {dataset}: the licence of the data applies to what you publish."
