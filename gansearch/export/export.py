"""`gansearch export`: a folder with a trained generator that needs gansearch no longer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gansearch.artifacts import module_of
from gansearch.errors import BadInputError, ResultsError
from gansearch.export.card import Exported, model_card
from gansearch.export.formats import require_format
from gansearch.export.loader import loader_text
from gansearch.report.export import json_value
from gansearch.report.output import write_output
from gansearch.report.report import Report, build_report
from gansearch.report.sampling import stored_generator
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import DISCRIMINATOR_FILE
from gansearch.runs.schemas import config_values
from gansearch.runs.tables import rows_of
from gansearch.system.user_code import shown

_SCORES = ("test_ll", "valid_ll", "coverage", "recall", "nn_ratio", "train_nn_ratio")
_INTERVALS = ("test_ll", "test_ll_se", "test_ll_low", "test_ll_high", "n_seeds", "n_failed")


def export(
    folder: RunFolder,
    *,
    trial_id: str | None = None,
    to: str = "safetensors",
    out: Path | None = None,
    data_dir: Path | None = None,
) -> tuple[Path, str]:
    """Write a trained generator, its configuration, a model card and a loader into a folder.

    Args:
        folder: the run.
        trial_id: the trial; None for a replica of the winner.
        to: the format of the weights, one of `FORMATS`.
        out: the folder; None for one below the working folder, named after the run and the trial.
        data_dir: folder of the data, for families whose generators need it.

    Returns:
        The folder, and the trial's id.

    Raises:
        BadInputError: the generators of the family are no modules of torch, the format's package
            isn't installed, or the folder isn't empty or can't be written.
        ResultsError: the trial is unknown, or has no generator on disk.
    """
    format = require_format(to)
    trial_id, stored = stored_generator(folder, trial_id, data_dir)
    found = module_of(stored.generator)
    if found.definition is None and to == "safetensors":
        raise BadInputError(
            "--to safetensors: the generator's layers are your own code, which a loader that needs "
            "torch alone can't make. --to torchscript and --to onnx store them with the weights."
        )
    report = build_report(folder)
    trial = _row_of(report, trial_id)
    values = config_values(trial, report.run.family.config_type)
    config = {name: value for name, value in values.items() if value is not None}
    exported = Exported(report, trial, config, found, format, stored.shape)
    out = out or Path(f"{report.run.name}-{trial_id}")
    _require_empty(out)
    files = {
        format.file: format.encode(found),
        **found.files,
        **_discriminator(folder, trial_id),
        "load_generator.py": loader_text(found, format, stored.shape, stored.units).encode(),
        "config.json": _description(exported),
    }
    extra = {name: "the discriminator's weights" for name in files if name == DISCRIMINATOR_FILE}
    extra |= dict.fromkeys(found.files, "code that the loader imports")
    files["README.md"] = model_card(exported, extra).encode(errors="backslashreplace")
    for name, content in files.items():
        _write(out / name, content)
    return out, trial_id


def _row_of(report: Report, trial_id: str) -> Mapping[str, Any]:
    rows = rows_of(report.trials[report.trials["trial_id"] == trial_id])
    if not rows:
        raise ResultsError(
            f"--trial {trial_id}: trials.parquet has no row of it, so that nobody knows how it was "
            "trained. `gansearch resume` restores the table."
        )
    return rows[0]


def _require_empty(out: Path) -> None:
    """Raise BadInputError unless the folder is empty or absent."""
    if out.is_dir() and any(out.iterdir()):
        raise BadInputError(
            f"--out {out}: the folder isn't empty, and nothing in it is replaced. Name another."
        )
    if out.exists() and not out.is_dir():
        raise BadInputError(f"--out {out}: a file. An export is a folder. Name another.")


def _description(exported: Exported) -> bytes:
    """Return `config.json`: the configuration, the scores and where the generator comes from."""
    run, trial, found = exported.report.run, exported.trial, exported.found
    scores = [*_SCORES, *(name for own in run.measures for name in own.final_columns)]
    over_seeds = [*_INTERVALS, *(name for own in run.measures for name in own.ranking_columns)]
    ranked = exported.ranked
    content = {
        "config": exported.config,
        "config_id": trial["config_id"],
        "name": exported.name,
        "family": shown(run.family.name),
        "run": run.name,
        "trial_id": trial["trial_id"],
        "dataset": run.space["dataset"],
        "shape": list(exported.shape),
        "weights": exported.format.file,
        "noise": found.noise,
        "noise_dim": found.noise_dim,
        "sample_seed": found.seed,
        "block": found.block,
        "training_seed": trial["seed"],
        "updates": trial["updates"],
        "kept_updates": trial.get("kept_updates"),
        "status": trial["status"],
        "scores": {name: trial.get(name) for name in scores},
        "scores_over_seeds": {name: ranked.get(name) for name in over_seeds} if ranked else None,
    }
    return (json.dumps(json_value(content), indent=2, allow_nan=False) + "\n").encode()


def _discriminator(folder: RunFolder, trial_id: str) -> dict[str, bytes]:
    """Return the file of the discriminator, if the run has kept it."""
    path = folder.model_dir(trial_id) / DISCRIMINATOR_FILE
    return {DISCRIMINATOR_FILE: path.read_bytes()} if path.exists() else {}


def _write(path: Path, content: bytes) -> None:
    write_output("--out", path, lambda file: file.write(content))
