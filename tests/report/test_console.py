"""Reports on the terminal: the whole text, and tables in every width."""

import math
import re

import pytest

from tests.report.printed_reports import printed, section_of, twenty_configs
from tests.written_runs import MEANS, PAPER, SECOND, WINNER, replicas, searched, trial, write_run

FINISHED_AT_100_COLUMNS = """\
digits-1: finished
space digits, data set digits, seed 0; started 2026-11-24 06:00 UTC, ran 3 min
Search: 6 of 6 configurations tried: 3 completed, 1 pruned, 1 collapsed, 1 diverged.
Replicas: 12 trainings on fresh seeds: 11 completed, 1 diverged.
Budget: 8,000 parameter updates, of D and G together, for a full training; 138,000 spent in all.

Warnings
! 3b632cbb: of 4 replicas 1 diverged. Its score is the mean of the others; another training may end
the same way.

Ranking by how many work, then by validation log-likelihood (nats)
rank  config    work  valid LL  test LL            ties  coverage  recall  NN ratio  to train
─────────────────────────────────────────────────────────────────────────────────────────────
   1  3b632cbb  3/4        5.0  24.5 [21.3, 25.9]  2         0.70    0.60      0.90      0.80
   2  dbd52f8c  4/4        5.0  24.3 [22.6, 25.2]  1         0.70    0.60      0.90      0.80
   3  paper*    4/4        5.0  18.9 [17.2, 19.8]            0.70    0.60      0.90      0.80
to train: distance to the nearest training example, relative to that of new real ones; near 0 for
copies.
work: replicas with a score, of all. The rank is by whether more than half work, then by the mean
valid LL of those; test LL, their mean too, has no part in it.
[low, high]: 95 % interval over training seeds and test examples, as if one more seed had ended
badly. ties: ranks that are statistically indistinguishable from this one (Holm, 5 %).
* the paper's configuration
The winner beats the paper's configuration by 5.6 nats [2.3, 7.2]. Of the winner's replicas 3 of 4
[28 %, 97 %] work, of those of the paper's configuration 4 of 4 [56 %, 100 %].

Every seed: which replicas work, and what they scored
config    work                  updates/success  worst  test LL of every seed
─────────────────────────────────────────────────────────────────────────────
3b632cbb  3 of 4 [28 %, 97 %]            10,667   24.0  24.9 24.6 24.0 -
dbd52f8c  4 of 4 [56 %, 100 %]            8,000   23.9  24.8 24.5 24.2 23.9
paper*    4 of 4 [56 %, 100 %]            8,000   18.5  19.4 19.1 18.8 18.5
work: replicas that have a score, with the 95 % interval of their share. A dash: a replica without a
score. updates/success: updates of all replicas, for each that works.
Few seeds cannot show rare outcomes: what one training in 4 does is absent from 4 seeds in 32 % of
studies.

For comparison, as if they had been generated
samples          number  test LL  coverage  recall  NN ratio  to train
──────────────────────────────────────────────────────────────────────
training images   1,197  29.1         0.97    0.95      1.00      0.00

Published for this data set, from 10,000 samples (not computed here)
model             test LL  source
─────────────────────────────────────────────────
adversarial nets  12 +- 2  Somebody 2014, Table 1

Fidelity, variety and copying
samples          precision  clipped density  clipped coverage    FLD  copy p
────────────────────────────────────────────────────────────────────────────
3b632cbb              0.70             0.65              0.60   12.3   1.000
dbd52f8c              0.70             0.65              0.60   12.3   1.000
paper                 0.70             0.65              0.60   12.3   1.000
training images       0.96             0.98              0.97  900.0   0.000

Differences from the paper's configuration
config             parameters
───────────────────────────────────────────────────────────────────────────────────────────────────
3b632cbb           k=2 generator_lr=0.05 generator_widths=256-256
                   discriminator_activation=leaky_relu
dbd52f8c           generator_lr=0.31 noise_dim=32
paper* (4f610017)  nothing

The search's best by validation log-likelihood (nats)
trial   config    status     updates  valid LL  coverage  recall  NN ratio
──────────────────────────────────────────────────────────────────────────
t00001  3b632cbb  completed    8,000      9.20      0.70    0.60      0.90
t00002  dbd52f8c  completed    8,000      8.80      0.70    0.60      0.90
t00000  paper*    completed    8,000      3.10      0.70    0.60      0.90
t00003  712b1d35  pruned       2,000      1.50      0.70    0.60      0.90
This order comes from one training per configuration, some of them stopped early, so the first is
partly the luckiest. The ranking comes from replicas.

Where trainings collapse or diverge
4 of 6 trials of the search survived (3 completed, 1 pruned); the others did not (1 collapsed, 1
diverged).
Importances for survival are unknown (too few trials: 2 died and 4 survived; at least 5 of each are
needed).
Importances for quality (the survivors' valid LL at update 2,000) are unknown (too few trials: 0
survivors were measured at the first rung; at least 10 are needed).
Survivors/trials by k and by ratio (discriminator_lr/generator_lr):
k  ratio <1  ratio >=1
──────────────────────
1       1/1        1/1
2                  1/1
3                  1/1
4                  0/1
5                  0/1
Pruned trials count as survivors; whether they would have collapsed later is unknown. The sampler
tries some cells more often than others, and trials of different cells also differ in other
parameters.
"""

SEARCHING_AT_100_COLUMNS = """\
digits-1: searching
space digits, data set digits, seed 0; started 2026-11-24 06:00 UTC
Search: 3 of 6 configurations tried: 2 running, 1 completed.
Replicas: 0 trainings on fresh seeds.
Budget: 8,000 parameter updates, of D and G together, for a full training; 12,000 spent in all.

The search's best by validation log-likelihood (nats)
trial   config    status     updates  valid LL  coverage  recall  NN ratio
──────────────────────────────────────────────────────────────────────────
t00001  3b632cbb  running      4,000      9.20      0.70    0.60      0.90
t00000  paper*    completed    8,000      3.10      0.70    0.60      0.90
This order comes from one training per configuration, some of them stopped early, so the first is
partly the luckiest. The ranking comes from replicas.

Differences from the paper's configuration
config             parameters
───────────────────────────────────────────────────────────────────────────────────────────────────
3b632cbb           k=2 generator_lr=0.05 generator_widths=256-256
                   discriminator_activation=leaky_relu
paper* (4f610017)  nothing

Where trainings collapse or diverge
No trial of the search collapsed or diverged; 1 survived.
"""


def test_a_finished_run_reads_like_this(finished):
    assert printed(finished) == FINISHED_AT_100_COLUMNS


def test_a_run_that_is_going_on_reads_like_this(searching):
    assert printed(searching) == SEARCHING_AT_100_COLUMNS


def wrapped(text):
    """Return the lines of a report but those with a command, which is printed in one piece."""
    return [line for line in text.splitlines() if "gansearch " not in line]


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_lost(finished, width):
    text = printed(finished, width)
    assert max(map(len, text.splitlines())) <= width
    cells = ["3b632cbb", "24.5 [21.3, 25.9]", "3/4", "0.70", "0.60", "0.90", "0.80"]
    row = next(line for line in text.splitlines() if line.startswith("   1 "))
    assert [cell for cell in cells if cell not in row] == []


def test_scores_of_hundreds_of_nats_fit_into_80_columns(tmp_path):
    means = {config: ll * 10 for config, ll in MEANS.items()}
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    for row in replicated:
        row["valid_ll"] = means[row["config_id"]]
    text = printed(write_run(tmp_path, searched(), replicated, means, reference_ll=241.2), 80)
    assert max(map(len, text.splitlines())) <= 80
    row = "   1 3b632cbb 4/4  240.0 240.4 [238.7, 241.3] 2        0.70   0.60  0.90   0.80"
    assert row in text.splitlines()


def varied_search(prefix="t"):
    """Twenty trials from hopeless to best, with numbers of many lengths."""
    return [
        trial(
            f"{prefix}{i:05d}",
            config,
            ("completed", "pruned", "running")[i % 3],
            valid_ll=-((-1) ** i) * 10.0 ** (i - 6) / 3,
            updates=3 * 10 ** (i % 7),
            nn_ratio=1.2345 * 10 ** (i % 8),
        )
        for i, config in enumerate(twenty_configs())
    ]


@pytest.mark.parametrize("width", [80, 100])
def test_twenty_trials_of_varied_values_keep_every_figure_on_their_line(tmp_path, width):
    folder = write_run(tmp_path, varied_search(), state="interrupted")
    text = printed(folder, width, top=20)
    assert max(map(len, wrapped(text))) <= width
    _, header, _, *rows = section_of(text, "The search's best")
    assert re.split(r"  +", header) == [
        *("trial", "config", "status", "updates", "valid LL", "coverage", "recall", "NN ratio"),
    ]
    assert re.split(r"  +", rows[0])[2:] == [
        *("pruned", "300,000", "3.33e+12", "0.70", "0.60", "1234"),
    ]
    assert re.split(r"  +", rows[6])[2:] == [
        *("pruned", "3", "3.3", "0.70", "0.60", "1.23e+07"),
    ]
    assert [len(re.split(r"  +", row)) for row in rows[:20]] == [8] * 20


def test_what_a_configuration_changes_is_wrapped_between_parameters(tmp_path):
    folder = write_run(tmp_path, varied_search(), state="interrupted")
    told = " ".join(section_of(printed(folder, 80, top=20), "Differences from")[3:]).split()
    for config in twenty_configs():
        assert config.config_id in told
        assert f"generator_widths=1200-{config.generator_widths[1]}" in told
    assert told.count("discriminator_activation=leaky_relu") == 20


def test_columns_that_cannot_stand_side_by_side_are_printed_row_by_row(tmp_path):
    rows = varied_search(prefix="a_trial_with_a_very_long_name_")
    text = printed(write_run(tmp_path, rows, state="interrupted"), 80, top=1)
    assert max(map(len, wrapped(text))) <= 80
    assert section_of(text, "The search's best")[1:3] == [
        f"trial a_trial_with_a_very_long_name_00019, config {twenty_configs()[19].config_id}, "
        "status pruned,",
        "updates 300,000, valid LL 3.33e+12, coverage 0.70, recall 0.60, NN ratio 1234",
    ]


@pytest.mark.parametrize("n_folders", [1, 2, 3, 4, 12])
def test_a_path_is_neither_broken_nor_cut_so_that_it_can_be_copied(tmp_path, n_folders):
    path = "/" + "a-long-folder/" * n_folders + "end"
    reason = f"no space in {path}. Make some, or use another folder for the results of this run."
    rows = [trial("t00000", PAPER, "failed", valid_ll=math.nan, reason=reason)]
    folder = write_run(tmp_path, rows, state="failed")
    lines = section_of(printed(folder, 80), "Why trials ended\n")
    assert len([line for line in lines if path in line]) == 1
    assert " ".join(" ".join(lines).split()).endswith("of this run.")


def test_scores_of_thousands_of_nats_have_no_decimals(tmp_path):
    means = {config: ll * 100 for config, ll in MEANS.items()}
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    lines = printed(write_run(tmp_path, searched(), replicated, means), 80).splitlines()
    row = "   1 3b632cbb 4/4     5.0 2400 [2399, 2401]          0.70   0.60   0.90    0.80"
    assert row in lines
