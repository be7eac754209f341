"""Reports as the terminal shows them, and runs to report on."""

import io

from rich.console import Console

from gansearch.config import TrialConfig
from gansearch.report.console import print_report
from gansearch.report.report import build_report
from tests.written_runs import PAPER, SECOND, WINNER, described, run_info, trial, write_run

IDS = {
    WINNER.config_id: "3b632cbb",
    SECOND.config_id: "dbd52f8c",
    PAPER.config_id: "4f610017",
    TrialConfig(k=3).config_id: "712b1d35",
}


def printed(folder, width=100, **options):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_report(build_report(folder, **options), console)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    return with_fixed_ids("\n".join(lines))


def with_fixed_ids(text):
    """Return a text with ids of configurations that new parameters don't change."""
    for config, fixed in IDS.items():
        text = text.replace(config, fixed)
    return text


def twenty_configs():
    """Configurations that differ from the paper's in much, so that each takes more than a line."""
    return [
        TrialConfig(
            k=1 + i % 5,
            generator_lr=0.00321 * (i + 1),
            noise_dim=32,
            generator_widths=(1200, 128 + i),
            discriminator_activation="leaky_relu",
        )
        for i in range(20)
    ]


def section_of(text, title):
    return text[text.index(title) :].split("\n\n")[0].splitlines()


def curves(folder):
    return [
        {
            "trial_id": row["trial_id"],
            "number": row["number"],
            "phase": row["phase"],
            "updates": updates,
            "valid_ll": updates / 1000,
        }
        for row in folder.trials().to_dict("records")
        for updates in (4000, 8000)
    ]


def deadly_run(tmp_path):
    """A search of thirty trials in which a discriminator that learns too fast kills."""
    rows, reports = [], []
    for i in range(30):
        ratio = 10.0 ** (i % 6 - 2)
        config = TrialConfig(k=1 + i % 2, generator_lr=0.001, discriminator_lr=0.001 * ratio)
        rows.append(trial(f"t{i:05d}", config, "diverged" if ratio > 10 else "pruned"))
        reports.append({"trial_id": f"t{i:05d}", "updates": 2000, "valid_ll": float(i % 6)})
    folder = write_run(tmp_path, rows, state="interrupted")
    folder.write_run(described(state="interrupted", space=deadly_space()))
    folder.append_history(reports)
    return folder


def deadly_space():
    rates = {"float": [1e-5, 1.0], "log": True}
    return run_info()["space"] | {"search": {"k": {"int": [1, 2]}, "discriminator_lr": rates}}
