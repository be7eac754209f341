"""A run as Python and notebooks see it: its tables, its report, its winner."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from rich.console import Console

from gansearch.artifacts import inference_of, module_of
from gansearch.errors import BadInputError, GansearchError, ResultsError, did_you_mean
from gansearch.measures import MEASURES
from gansearch.report.completing import completions_of
from gansearch.report.console import print_report
from gansearch.report.html import trial_page
from gansearch.report.output import write_output
from gansearch.report.render import render
from gansearch.report.report import Report, build_report
from gansearch.report.sampling import samples_of, stored_generator, winning_trial
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import config_values
from gansearch.runs.tables import rows_of

_WIDTH = 100  # of a report as text, in characters


@dataclass(frozen=True)
class Best:
    """The best configuration of a run: the first of the ranking or, before there is one, the best
    trial of the search, whose scores are those of a single training.

    Attributes:
        config: its parameters that apply, by name; a file of them suits `only`.
        config_id: as the tables have it.
        name: of the preset of the space that it is; None for others.
        trial_id: of its first completed replica, whose generator `sample` and `generator` use.
        n_seeds, n_failed: replicas that work, and that don't; 0 before there is a ranking.
        test_ll: mean Parzen log-likelihood of the test examples, in nats; None before the ranking.
        test_ll_low, test_ll_high: its 95 % interval; None with one seed.
        valid_ll: the same of the validation examples.
        coverage, recall, nn_ratio: as in the report.
        measures: your own measures by name, against validation examples; None where one is missing.
    """

    config: Mapping[str, Any]
    config_id: str
    name: str | None
    trial_id: str
    n_seeds: int
    n_failed: int
    test_ll: float | None
    test_ll_low: float | None
    test_ll_high: float | None
    valid_ll: float | None
    coverage: float | None
    recall: float | None
    nn_ratio: float | None
    measures: Mapping[str, float | None] = field(default_factory=dict)


class ShownReport:
    """A report that prints as text, and that a notebook shows with its figures.

    Attributes:
        content: the figures behind it.
    """

    def __init__(self, content: Report) -> None:
        self.content = content

    def __str__(self) -> str:
        file = io.StringIO()
        print_report(self.content, Console(file=file, width=_WIDTH, color_system=None))
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the HTML report in a frame, so that its styles don't change the notebook's."""
        return _framed(self.to("html"))

    def to(self, format: str) -> str:
        """Return the report as `json`, `csv`, `markdown` or `html`.

        Raises:
            BadInputError: the format is unknown.
        """
        return render(self.content, format)

    def save(self, out: str | Path, format: str = "html") -> None:
        """Write the report to a file.

        Raises:
            BadInputError: the format is unknown, or the file can't be written.
        """
        text = self.to(format)
        write_output("out", Path(out), lambda file: file.write(text.encode()))


class ShownTrial:
    """One trial of a run, which a notebook shows as its panel in the report.

    Attributes:
        trial_id: of the trial.
        status: how it ended, or "running".
        reason: why, in words.
        config: its parameters that apply, by name.
        scores: its measures by column; those that it lacks are left out.
    """

    def __init__(self, content: Report, row: Mapping[str, Any]) -> None:
        self._content = content
        values = config_values(row, content.run.family.config_type)
        self.trial_id = str(row["trial_id"])
        self.status = str(row["status"])
        self.reason = str(row["reason"] or "")
        self.config = {name: value for name, value in values.items() if value is not None}
        own = (column for each in content.run.measures for column in each.final_columns)
        names = (*(measure.column for measure in MEASURES), *own)
        found = {name: _number(row[name]) for name in names if name in row}
        self.scores = {name: value for name, value in found.items() if value is not None}

    def __repr__(self) -> str:
        why = f", {self.reason}" if self.reason else ""
        return f"<trial {self.trial_id}: {self.status}{why}>"

    def _repr_html_(self) -> str:
        """Return the trial's configuration, curves and pictures in a frame."""
        return _framed(trial_page(self._content, self.trial_id))


class Run(RunFolder):
    """A run that `search`, `resume` or `load` returns.

    `ranking()`, `trials()` and `history()` are its tables as pandas frames, at any stage. What it
    returns is read from its folder each time, so a run that goes on can be looked at.
    """

    def report(self, top: int | None = None) -> ShownReport:
        """Return the report, which prints as text and shows as HTML in a notebook.

        Args:
            top: how many configurations; None for all of the ranking.

        Raises:
            ResultsError: the run's description or a table can't be read.
        """
        return ShownReport(build_report(self, top=top))

    def trial(self, trial_id: str) -> ShownTrial:
        """Return one trial, which a notebook shows with its curves and pictures.

        Raises:
            ResultsError: there is no such trial, or a table can't be read.
        """
        report = build_report(self)
        found = rows_of(report.trials[report.trials["trial_id"] == trial_id])
        if not found:
            known = [str(each) for each in report.trials["trial_id"]]
            raise ResultsError(f"{trial_id}: no such trial. {did_you_mean(trial_id, known)}")
        return ShownTrial(report, found[0])

    @property
    def best(self) -> Best:
        """The best configuration so far.

        Raises:
            ResultsError: no trial has been completed.
        """
        trial_id = winning_trial(self)
        report = build_report(self)
        trials = report.trials
        config_id = trials.loc[trials["trial_id"] == trial_id, "config_id"].iloc[0]
        of_ranking = report.ranking[report.ranking["config_id"] == config_id]
        ranked = rows_of(of_ranking[of_ranking["rank"].notna()])
        row = ranked[0] if ranked else rows_of(trials[trials["trial_id"] == trial_id])[0]
        values = config_values(row, report.run.family.config_type)
        scores = ("valid_ll", "coverage", "recall", "nn_ratio")
        tested = ("test_ll", "test_ll_low", "test_ll_high")
        return Best(
            config={name: value for name, value in values.items() if value is not None},
            config_id=config_id,
            name=report.run.names.get(config_id),
            trial_id=trial_id,
            n_seeds=int(row["n_seeds"]) if ranked else 0,
            n_failed=int(row["n_failed"]) if ranked else 0,
            **{name: _number(row[name]) if ranked else None for name in tested},
            **{name: _number(row[name]) for name in scores},
            measures={each.name: _number(row.get(each.column)) for each in report.run.measures},
        )

    def sample(
        self,
        n: Any = 64,
        *,
        label: Any = None,
        trial: str | None = None,
        data_dir: str | Path | None = None,
    ) -> np.ndarray:
        """Return the first `n` unpicked samples `[n, dim]`, float32, as `gansearch sample` does.

        Args:
            n: how many.
            label: the class of all of them, its name or index, where the model family's generators
                take one; None for samples of all classes.
            trial: id of a trial; None for a replica of the winner.
            data_dir: folder of the data, for model families whose generators need it.

        Raises:
            BadInputError: there is no such class, or no sample has a given one.
            ResultsError: the trial is unknown or has no generator on disk.
        """
        if isinstance(n, bool) or not isinstance(n, SupportsIndex) or int(n) < 1:
            raise BadInputError(f"n: found {n!r}. It must be a whole number of samples, from 1 on.")
        return samples_of(self, int(n), trial, Path(data_dir) if data_dir else None, label)

    def complete(
        self,
        x: Any,
        mask: Any,
        n: Any = 8,
        *,
        trial: str | None = None,
        data_dir: str | Path | None = None,
    ) -> np.ndarray:
        """Return `n` completions of each example, `[n_examples, n, dim]`, float32.

        They agree with `x` where it is visible. For families that complete, as inpainting_nets.

        Args:
            x: examples `[n_examples, dim]`, or with the shape of an example: pixels in [0, 1],
                points in your own units. What is hidden counts nothing, and may be NaN.
            mask: 1 or True where they are visible, `[height, width]` of images, `[d]` of points, or
                one for each example.
            n: how many.
            trial: id of a trial; None for a replica of the winner.
            data_dir: folder of the data, for model families whose generators need it.

        Raises:
            BadInputError: `x` or `mask` is something else, or the generators complete nothing.
            ResultsError: the trial is unknown or has no generator on disk.
        """
        if isinstance(n, bool) or not isinstance(n, SupportsIndex) or int(n) < 1:
            raise BadInputError(f"n: found {n!r}. It must be a whole number, from 1 on.")
        folder = Path(data_dir) if data_dir else None
        return completions_of(self, x, mask, int(n), trial, folder)

    def generator(self, trial: str | None = None) -> Any:
        """Return a trained generator as a `torch.nn.Module` in evaluation mode, on the CPU.

        It takes noise `[n, noise_dim]` and returns images `[n, channels, height, width]` or points
        `[n, d]`, scaled as the training saw them: pixels lie in [0, 1]. Its layers are torch's own.

        Args:
            trial: id of a trial; None for a replica of the winner.

        Raises:
            ResultsError: the trial is unknown or has no generator on disk.
            BadInputError: the generators of this model family are no modules.
        """
        return module_of(stored_generator(self, trial)[1].generator).network

    def infer(self, x: Any, *, trial: str | None = None) -> np.ndarray:
        """Return the noise `[n, noise_dim]`, float32, that an inference network finds for examples.

        Args:
            x: examples `[n, dim]` as `sample` returns them: images with pixels in [0, 1], rows in
                the order height, width, channel; vectors in the data's own units.
            trial: id of a trial; None for a replica of the winner.

        Raises:
            ResultsError: the trial is unknown or has no generator on disk.
            BadInputError: the run has no inference network, or `x` isn't of its data's shape.
        """
        saved = stored_generator(self, trial)[1]
        return inference_of(saved.generator).infer(saved.as_trained_on(saved.rows_of(x)))

    def reconstruct(self, x: Any, *, trial: str | None = None) -> np.ndarray:
        """Return what the generator makes of the noise that `infer` finds, `[n, dim]`.

        Takes and raises what `infer` does.
        """
        saved = stored_generator(self, trial)[1]
        inference = inference_of(saved.generator)
        made = inference.reconstruct(saved.as_trained_on(saved.rows_of(x)))
        return saved.in_own_units(made)

    def _repr_html_(self) -> str | None:
        """Return the report, for notebooks."""
        try:
            return self.report()._repr_html_()
        except GansearchError:
            return None  # then the notebook shows the path alone


def open_run(folder: RunFolder) -> Run:
    """Return the run of a folder."""
    return folder if isinstance(folder, Run) else Run(folder.path)


def _framed(page: str) -> str:
    """Return a page in a frame, as a notebook shows it."""
    escaped = html.escape(page, quote=True)
    return f'<iframe srcdoc="{escaped}" style="width: 100%; height: 48em; border: 0"></iframe>'


def _number(value: Any) -> float | None:
    """Return a number of a table, None where it is missing."""
    return None if value is None or math.isnan(value) else float(value)
