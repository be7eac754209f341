"""The model card of an exported generator: what it is, how good, how trained, and its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

_DECIMALS = 2


def model_card(
    report: Report,
    trial: Mapping[str, Any],
    config: Mapping[str, Any],
    found: GeneratorModule,
    format: Format,
    extra_files: Mapping[str, str],
) -> str:
    """Return the card as Markdown.

    Args:
        report: of the run.
        trial: the row of the trial in `trials.parquet`.
        config: its parameters that apply.
        found: the generator.
        format: of its weights.
        extra_files: what else lies in the folder: names, and what they are.
    """
    run = report.run
    ranked = rows_of(report.ranking[report.ranking["config_id"] == trial["config_id"]])
    name = run.names.get(str(trial["config_id"]))
    called = f" (`{name}`)" if name else ""
    blocks = [
        f"# Generator {trial['trial_id']} of the run {run.name}",
        f"A generator of samples of the data set {run.space['dataset']}, trained by "
        f"gansearch. Its configuration is {trial['config_id']}{called}.",
        "## Use",
        _use(found, format),
        "\n".join(f"- `{file}`: {what}" for file, what in _files(format, extra_files)),
        "## Scores",
        "\n".join(_scores(report, trial, ranked[0] if ranked else None)),
        "## Data",
        "\n".join(_data(report)),
        "## Training",
        "\n".join(_training(report, trial)),
        "| parameter | value |\n|---|---|\n"
        + "\n".join(f"| `{key}` | {short(value)} |" for key, value in config.items()),
        "## Limits",
        "\n".join(_limits(report, trial, found)),
    ]
    return "\n\n".join(blocks) + "\n"


def _use(found: GeneratorModule, format: Format) -> str:
    return (
        "```python\nfrom load_generator import generator, samples\n\n"
        "images = samples(64)  # those that were scored, from the same seed\n```\n\n"
        f"It needs {format.needs} alone. `generator` takes noise `[n, {found.noise_dim}]`, which "
        f"is `{found.noise}`."
    )


def _files(format: Format, extra: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield format.file, "the weights"
    yield "load_generator.py", "loads them"
    yield "config.json", "the configuration, the scores and the run, for programs"
    yield from extra.items()


def _scores(
    report: Report, trial: Mapping[str, Any], ranked: Mapping[str, Any] | None
) -> Iterator[str]:
    """Yield the scores of the trial and, where it was replicated, of its configuration."""
    of_config = ranked is not None
    yield "| | this generator |" + (" its configuration, over seeds |" if of_config else "")
    yield "|---|---|" + ("---|" if of_config else "")

    def line(title: str, own: str, other: str) -> str:
        return f"| {title} | {own} |" + (f" {other} |" if of_config else "")

    row = ranked or {}
    test = _shown(trial, "test_ll")
    interval = (
        format_interval(row["test_ll"], row["test_ll_low"], row["test_ll_high"], _DECIMALS)
        if of_config
        else ""
    )
    yield line("test log-likelihood, nats [95 % interval]", test, interval)
    yield line(
        "validation log-likelihood, nats", _shown(trial, "valid_ll"), _shown(row, "valid_ll")
    )
    for measure in TABLE_MEASURES:
        title = str(measure.heading)
        yield line(title, _shown(trial, measure.column), _shown(row, measure.column))
    for own in report.run.measures:
        for column, split in zip(own.final_columns, ("validation", "test"), strict=True):
            title = f"{own.name} against the {split} set ({better(own)})"
            yield line(title, own_number(trial.get(column)), own_interval(row, column))
    if of_config:
        yield line(
            "replicas that work", "", f"{row['n_seeds']} of {row['n_seeds'] + row['n_failed']}"
        )
    yield ""
    has_own = bool(report.run.measures) and of_config
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
    yield f"- model family: {run.family.name}"
    yield (
        f"- {trial['updates']:,} parameter updates, of D and G together, of "
        f"{run.budget.max_updates:,}; seed {trial['seed']}; device {trial['device'] or 'unknown'}"
    )
    yield f"- phase: {trial['phase']}; status: {trial['status']}"
    if software:
        yield f"- software: {software}"


def _limits(report: Report, trial: Mapping[str, Any], found: GeneratorModule) -> Iterator[str]:
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
    yield f"- {report.run.space['dataset']}: the licence of the data applies to what you publish."
