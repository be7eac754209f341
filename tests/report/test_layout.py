import csv
import io
import json
import math
import re

import pytest
from rich.console import Console

from gansearch.config import TrialConfig
from gansearch.errors import BadInputError
from gansearch.report.layout import print_report, render
from gansearch.report.report import build_report
from tests.written_runs import (
    MEANS,
    PAPER,
    SECOND,
    WINNER,
    curve,
    described,
    finished_run,
    replicas,
    run_info,
    searched,
    searching_run,
    trial,
    write_run,
)

IDS = {
    WINNER.config_id: "3b632cbb",
    SECOND.config_id: "dbd52f8c",
    PAPER.config_id: "4f610017",
    TrialConfig(k=3).config_id: "712b1d35",
}


@pytest.fixture
def finished(tmp_path):
    return finished_run(tmp_path)


@pytest.fixture
def searching(tmp_path):
    return searching_run(tmp_path)


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


FINISHED_AT_100_COLUMNS = """\
digits-1: finished
space digits, data set digits, seed 0; begun 2026-11-24 06:00 UTC, 3 min at work
Search: 6 of 6 configurations tried: 3 completed, 1 pruned, 1 collapsed, 1 diverged.
Replicas: 12 trainings on fresh seeds: 11 completed, 1 diverged.
Budget: 8,000 parameter updates, of D and G together, for a full training; 138,000 spent in all.

Warnings
! 3b632cbb: of 4 replicas 1 diverged. Its score is the mean of the others, and a training of it may
end likewise.

Ranking by test log-likelihood (Parzen window, nats)
rank  config     test LL            ties  seeds        coverage  recall  NN ratio  to train
───────────────────────────────────────────────────────────────────────────────────────────
   1  3b632cbb   24.5 [23.1, 25.9]  2     3, 1 failed      0.70    0.60      0.90      0.80
   2  dbd52f8c   24.3 [23.5, 25.2]  1     4                0.70    0.60      0.90      0.80
   3  4f610017*  18.9 [18.1, 19.8]        4                0.70    0.60      0.90      0.80
The winner beats the paper's configuration by 5.6 nats [4.6, 6.5].
[low, high] is a 95 % interval over training seeds and test examples; ties are the ranks that can't
be told from this one (Holm, 5 %).
to train is the distance to the nearest training example, over that of new real ones: near 0 for
copies.
* the paper's configuration

For comparison, as if they had been generated
samples          number  test LL  coverage  recall  NN ratio  to train
──────────────────────────────────────────────────────────────────────
training images   1,197  29.1         0.97    0.95      1.00      0.00

Published for this data set, from 10,000 samples (not computed here)
model             test LL  source
─────────────────────────────────────────────────
adversarial nets  12 +- 2  Somebody 2014, Table 1

Differences from the paper's configuration
config     parameters
─────────────────────────────────────────────────────────────────────────────────────────────
3b632cbb   k=2 generator_lr=0.05 generator_widths=256-256 discriminator_activation=leaky_relu
dbd52f8c   generator_lr=0.31 noise_dim=32
4f610017*  nothing

The search's best by validation log-likelihood (nats)
trial   config     status     updates  valid LL  coverage  recall  NN ratio
───────────────────────────────────────────────────────────────────────────
t00001  3b632cbb   completed    8,000      9.20      0.70    0.60      0.90
t00002  dbd52f8c   completed    8,000      8.80      0.70    0.60      0.90
t00000  4f610017*  completed    8,000      3.10      0.70    0.60      0.90
t00003  712b1d35   pruned       2,000      1.50      0.70    0.60      0.90
This order is the search's own, from one training each, some cut short: the first of it is partly
the luckiest. The ranking is made from replicas.

Where training dies
4 of 6 trials of the search survived (3 completed, 1 pruned while alive); the others died (1
collapsed, 1 diverged).
What decides survival can't be told: too few trials: 2 died and 4 survived; at least 5 of each are
needed.
What decides quality (the survivors' valid LL at update 2,000) can't be told: too few trials: 0
survivors were measured at the first rung; at least 10 are needed.
Survivors/trials by k and by ratio, which is discriminator_lr/generator_lr:
k  ratio <1  ratio >=1
──────────────────────
1       1/1        1/1
2                  1/1
3                  1/1
4                  0/1
5                  0/1
Pruned trials survived until then; what would have become of them is unknown. The sampler tries some
cells more than others, and cells differ in more than their name.
"""

SEARCHING_AT_100_COLUMNS = """\
digits-1: searching
space digits, data set digits, seed 0; begun 2026-11-24 06:00 UTC
Search: 3 of 6 configurations tried: 2 running, 1 completed.
Replicas: 0 trainings on fresh seeds.
Budget: 8,000 parameter updates, of D and G together, for a full training; 12,000 spent in all.

The search's best by validation log-likelihood (nats)
trial   config     status     updates  valid LL  coverage  recall  NN ratio
───────────────────────────────────────────────────────────────────────────
t00001  3b632cbb   running      4,000      9.20      0.70    0.60      0.90
t00000  4f610017*  completed    8,000      3.10      0.70    0.60      0.90
This order is the search's own, from one training each, some cut short: the first of it is partly
the luckiest. The ranking is made from replicas.

Differences from the paper's configuration
config     parameters
─────────────────────────────────────────────────────────────────────────────────────────────
3b632cbb   k=2 generator_lr=0.05 generator_widths=256-256 discriminator_activation=leaky_relu
4f610017*  nothing

Where training dies
No trial of the search collapsed or diverged; 1 survived.
"""


def test_a_finished_run_reads_like_this(finished):
    assert printed(finished) == FINISHED_AT_100_COLUMNS


def test_a_run_that_is_going_on_reads_like_this(searching):
    assert printed(searching) == SEARCHING_AT_100_COLUMNS


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_lost(finished, width):
    text = printed(finished, width)
    assert max(map(len, text.splitlines())) <= width
    cells = ["3b632cbb", "24.5 [23.1, 25.9]", "3, 1", "0.70", "0.60", "0.90", "0.80"]
    row = next(line for line in text.splitlines() if line.startswith("   1 "))
    assert [cell for cell in cells if cell not in row] == []


def test_scores_of_hundreds_of_nats_fit_into_80_columns(tmp_path):
    means = {config: ll * 10 for config, ll in MEANS.items()}
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    text = printed(write_run(tmp_path, searched(), replicated, means, reference_ll=241.2), 80)
    assert max(map(len, text.splitlines())) <= 80
    row = "   1 3b632cbb  240.4 [239.6, 241.3]      4         0.70   0.60     0.90     0.80"
    assert row in text.splitlines()


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


def section_of(text, title):
    return text[text.index(title) :].split("\n\n")[0].splitlines()


@pytest.mark.parametrize("width", [80, 100])
def test_twenty_trials_of_varied_values_keep_every_figure_on_their_line(tmp_path, width):
    folder = write_run(tmp_path, varied_search(), state="interrupted")
    text = printed(folder, width, top=20)
    assert max(map(len, text.splitlines())) <= width
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


def test_columns_that_cannot_stand_side_by_side_are_told_row_by_row(tmp_path):
    rows = varied_search(prefix="a_trial_with_a_very_long_name_")
    text = printed(write_run(tmp_path, rows, state="interrupted"), 80, top=1)
    assert max(map(len, text.splitlines())) <= 80
    assert section_of(text, "The search's best")[1:3] == [
        f"trial a_trial_with_a_very_long_name_00019, config {twenty_configs()[19].config_id}, "
        "status pruned,",
        "updates 300,000, valid LL 3.33e+12, coverage 0.70, recall 0.60, NN ratio 1234",
    ]


def test_a_word_longer_than_the_line_is_broken_and_not_cut(tmp_path):
    path = "/" + "a-long-folder/" * 12 + "end"
    rows = [trial("t00000", PAPER, "failed", valid_ll=math.nan, reason=f"no space in {path}")]
    lines = section_of(printed(write_run(tmp_path, rows, state="failed"), 80), "Why trials ended")
    reason = "".join(line[16:].strip() for line in lines[3:])
    assert reason == f"no space in{path}"


def test_scores_of_thousands_of_nats_have_no_decimals(tmp_path):
    means = {config: ll * 100 for config, ll in MEANS.items()}
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    lines = printed(write_run(tmp_path, searched(), replicated, means), 80).splitlines()
    row = "   1  3b632cbb   2400 [2400, 2401]        4          0.70    0.60   0.90   0.80"
    assert row in lines


def test_ranks_in_a_row_that_are_tied_are_told_as_a_range(tmp_path):
    configs = twenty_configs()[:6]
    replicated = [row for config in configs for row in replicas(config)]
    means = {config.config_id: 24.0 - 3 * (i == 5) for i, config in enumerate(configs)}
    folder = write_run(tmp_path, searched(), replicated, means)
    rows = section_of(printed(folder, 120), "Ranking by")[3:9]
    assert [re.split(r"  +", row.strip())[3] for row in rows] == [
        *("2-5", "1, 3-5", "1, 2, 4, 5", "1-3, 5", "1-4", "4"),
    ]


def test_one_replica_and_one_given_configuration_are_told_in_the_singular(tmp_path):
    replicated = replicas(WINNER, 1)
    text = printed(write_run(tmp_path, (), replicated, state="replicating", only=[{}]))
    assert "No search: 1 given configuration is trained." in text
    assert "Replicas: 1 training on a fresh seed: 1 completed." in text


def test_a_run_that_has_just_begun_has_a_report_in_every_format(tmp_path):
    folder = write_run(tmp_path, state="searching", wall_seconds=0.0)
    report = build_report(folder)
    assert "Search: 0 of 6 configurations tried." in printed(folder)
    assert json.loads(render(report, "json"))["ranking"] == []
    assert render(report, "csv").startswith("trial_id,number,phase,config_id,")
    assert render(report, "markdown").startswith("# digits-1: searching\n")
    assert "<h1>digits-1: searching</h1>" in render(report, "html")


def test_replicas_that_are_being_trained_are_counted_and_nothing_is_ranked_yet(tmp_path):
    replicated = replicas(WINNER)
    replicated[3].update(status="running", valid_ll=None)
    folder = write_run(tmp_path, searched(), replicated, state="replicating")
    assert "Replicas: 4 trainings on fresh seeds: 1 running, 3 completed." in printed(folder)
    assert "Ranking" not in printed(folder)


def test_the_leaderboard_says_what_training_images_score_by_its_measure(tmp_path):
    training = {"name": "training images", "n_samples": 1000, "valid_ll": 23.456}
    folder = write_run(tmp_path, searched(), state="searching", training_report=training)
    folder.append_history(curves(folder))
    told = "By the same measure 1,000 training images themselves score 23.46."
    assert told in " ".join(printed(folder).split())
    page = render(build_report(folder), "html")
    assert told in page
    assert "over their training; the dashed line, of 1,000 training images" in page


def test_top_cuts_the_ranking_and_the_leaderboard_but_keeps_the_ranks_of_ties(finished):
    report = build_report(finished, top=1)
    assert report.ranking["config_id"].tolist() == [WINNER.config_id]
    assert report.leaderboard["trial_id"].tolist() == ["t00001"]
    assert "   1  3b632cbb  24.5 [23.1, 25.9]  2     3, 1 failed" in printed(finished, top=1)


def test_a_comparison_without_a_search_says_so(tmp_path):
    replicated = [row for config in (WINNER, PAPER) for row in replicas(config)]
    only = [WINNER.to_dict(), PAPER.to_dict()]
    text = printed(write_run(tmp_path, (), replicated, MEANS, reference_ll=29.1, only=only))
    assert "No search: 2 given configurations are compared." in text
    assert "The search's best" not in text
    assert "Warnings" not in text


def test_a_lead_that_may_be_chance_is_called_so(tmp_path):
    means = MEANS | {PAPER.config_id: 23.97}
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    folder = write_run(tmp_path, searched(), replicated, means, reference_ll=29.1)
    lead = r"The winner's lead over the paper's configuration, 0\.0 nats \[-0\.\d, 0\.\d\], may be"
    assert re.search(f"{lead} chance\\.", printed(folder))


def test_the_paper_as_winner_is_not_compared_with_itself(tmp_path):
    means = MEANS | {PAPER.config_id: 27.0}
    replicated = [row for config in (WINNER, PAPER) for row in replicas(config)]
    folder = write_run(tmp_path, searched(), replicated, means, reference_ll=29.1)
    assert build_report(folder).winner_minus_paper is None
    assert "1  4f610017*  27." in printed(folder)


def test_one_seed_has_no_interval(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config, 1)]
    folder = write_run(tmp_path, searched(), rows, MEANS, reference_ll=29.1)
    assert "   1  3b632cbb   24.0     2     1          0.70" in printed(folder)


def test_a_configuration_whose_replicas_all_failed_comes_last_without_a_score(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row in rows[:4]:
        row.update(status="collapsed", reason="coverage .01")
    folder = write_run(tmp_path, searched(), rows, MEANS, reference_ll=29.1)
    assert re.search(r"\n   -  3b632cbb +- +0, 4 failed +- +- +- +-\n", printed(folder))


def test_no_trial_of_an_interrupted_run_is_called_running(searching):
    searching.write_run(described(state="interrupted"))
    text = printed(searching)
    assert "Search: 3 of 6 configurations tried: 2 interrupted, 1 completed." in text
    assert "t00001  3b632cbb   interrupted    4,000" in text


def test_a_failed_run_tells_how_its_trials_ended(tmp_path):
    rows = [
        trial("t00000", PAPER, "diverged", valid_ll=math.nan, reason="D's loss is NaN"),
        trial("t00001", WINNER, "failed", valid_ll=math.nan, reason="[red]\x1b[31mout of memory"),
    ]
    text = printed(write_run(tmp_path, rows, state="failed"))
    assert "! The run failed: it was given up because none of its trials was completed." in text
    assert "t00000  diverged  D's loss is NaN" in text
    assert "t00001  failed    [red]out of memory" in text


def test_json_is_strict_and_has_the_ranking_and_the_counts(finished):
    finished.write_curve(curve())

    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    content = json.loads(render(build_report(finished), "json"), parse_constant=refuse)
    assert content["run"]["name"] == "digits-1"
    assert content["budget"]["max_updates"] == 8000
    assert content["counts"]["search"] == {
        "running": 0,
        "completed": 3,
        "pruned": 1,
        "collapsed": 1,
        "diverged": 1,
        "failed": 0,
    }
    assert content["counts"]["replica"]["completed"] == 11
    assert content["updates"] == 138_000
    first, _, last = content["ranking"]
    assert (first["rank"], first["config_id"], first["n_seeds"]) == (1, WINNER.config_id, 3)
    assert first["tied_with"] == [SECOND.config_id]
    assert first["config.maxout_pieces"] is None
    assert first["config.generator_widths"] == [256, 256]
    assert last["is_paper"] is True
    assert last["config.maxout_pieces"] == 5
    assert content["references"][0]["test_ll"] == 29.12
    assert content["references"][0]["source"] is None
    assert content["references"][1]["source"] == "Somebody 2014, Table 1"
    assert content["references"][1]["coverage"] is None
    assert [row["n_samples"] for row in content["curve"]] == [100, 1000, 10_000] * 2
    assert first["train_nn_ratio"] == pytest.approx(0.8)
    assert content["leaderboard"][0]["trial_id"] == "t00001"
    assert content["winner_minus_paper"]["mean"] == pytest.approx(
        first["test_ll"] - last["test_ll"]
    )
    diverged = f"{WINNER.config_id}: of 4 replicas 1 diverged."
    assert content["warnings"][0].startswith(diverged)


def test_a_number_that_is_not_there_is_null_in_json(searching):
    rows = searching.trials().to_dict("records")
    rows[0]["d_loss"] = math.inf
    searching.write_trials(rows)
    text = render(build_report(searching), "json")
    assert "Infinity" not in text
    assert "NaN" not in text
    leader = json.loads(text)["leaderboard"][1]
    assert leader["d_loss"] is None
    assert leader["reason"] == ""


def test_csv_has_the_columns_of_the_ranking_and_plain_numbers(finished):
    rows = list(csv.DictReader(io.StringIO(render(build_report(finished), "csv"))))
    assert list(rows[0]) == list(finished.ranking().columns)
    assert rows[0]["rank"] == "1"
    assert rows[0]["tied_with"] == SECOND.config_id
    assert rows[0]["config.generator_widths"] == "256 256"
    assert rows[0]["config.maxout_pieces"] == ""
    assert rows[2]["config.maxout_pieces"] == "5"
    assert float(rows[0]["test_ll"]) == finished.ranking()["test_ll"][0]


def test_csv_of_a_run_without_a_ranking_has_the_leaderboard(searching):
    rows = list(csv.DictReader(io.StringIO(render(build_report(searching), "csv"))))
    assert [(row["trial_id"], row["valid_ll"]) for row in rows] == [
        ("t00001", "9.2"),
        ("t00000", "3.1"),
    ]


def test_markdown_has_tables_and_shows_marks_as_they_are(finished):
    lines = with_fixed_ids(render(build_report(finished), "markdown")).splitlines()
    assert lines[0] == "# digits-1: finished"
    assert (
        "| rank | config | test LL | ties | seeds | coverage | recall | NN ratio | to train |"
        in (lines)
    )
    assert "| 3 | 4f610017\\* | 18.9 [18.1, 19.8] |  | 4 | 0.70 | 0.60 | 0.90 | 0.80 |" in lines
    assert "| adversarial nets | 12 +- 2 | Somebody 2014, Table 1 |" in lines


HOSTILE = "<script>alert(1)</script> | [x](http://evil) `code` *bold*\nnext"


@pytest.fixture
def hostile(tmp_path):
    rows = [
        trial("t00000", PAPER),
        trial("t00001", WINNER, "failed", valid_ll=math.nan, reason=HOSTILE),
    ]
    return build_report(write_run(tmp_path, rows, command=HOSTILE))


def test_markup_from_files_is_text_in_html(hostile):
    html = render(hostile, "html")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | [x](http://evil)" in html


def test_markup_from_files_is_text_in_markdown(hostile):
    assert (
        "| t00001 | failed | &lt;script>alert(1)&lt;/script> \\| [x]\\(http://evil) \\`code\\` "
        "\\*bold\\* next |"
    ) in render(hostile, "markdown")


def test_html_is_one_file_that_asks_for_nothing(finished):
    html = render(build_report(finished), "html")
    assert not re.search(r"<(script|link|iframe|object)\b", html)
    assert re.findall(r"(?:src|href)=\"(?!data:image/png;base64,)", html) == []
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_html_tables_name_their_headers_and_pictures_say_what_they_show(finished):
    finished.append_history(curves(finished))
    finished.write_curve(curve())
    html = render(build_report(finished), "html")
    assert html.count("<table") == 6
    assert "<td>" not in re.sub(r"(?s).*</thead>", "", html)
    assert html.count('<th scope="col"') == 9 + 7 + 3 + 2 + 8 + 3
    assert html.count('<th scope="row"') == 3 + 1 + 1 + 3 + 4 + 5
    assert re.findall(r"<img(?![^>]*alt=\"[^\"]+\")", html) == []
    assert html.count("<img") == 5
    assert '<meta name="viewport"' in html
    assert "prefers-color-scheme: dark" in html


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


def test_html_shows_the_winners_pictures_that_the_run_has_left(finished):
    model = finished.model_dir(f"r-{WINNER.config_id}-0")
    model.mkdir(parents=True)
    (model / "strip.png").write_bytes(b"strip")
    (model / "game.png").write_bytes(b"game")
    (finished.path / "samples.png").write_bytes(b"samples")
    (finished.path / "interpolation.png").write_bytes(b"between")
    html = render(build_report(finished), "html")
    # In this order: samples, between them, strip, game.
    shown = re.findall(r"data:image/png;base64,(c2FtcGxlcw==|YmV0d2Vlbg==|c3RyaXA=|Z2FtZQ==)", html)
    assert shown == ["c2FtcGxlcw==", "YmV0d2Vlbg==", "c3RyaXA=", "Z2FtZQ=="]


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


def test_where_training_dies_is_told_in_words_to_act_on(tmp_path):
    lines = section_of(printed(deadly_run(tmp_path), 200), "Where training dies")
    assert lines[1:3] == [
        "20 of 30 trials of the search survived (0 completed, 20 pruned while alive); the others "
        "died (10 diverged).",
        "Worse than the whole: discriminator_lr >=0.1: 0 of 10 survived [0 %, 22 %].",
    ]
    decided = next(line for line in lines if line.startswith("Survival"))
    assert re.match(r"Survival is decided by discriminator_lr \([67]\d %\): of pairs", decided)


def test_json_has_every_cell_and_what_decides_with_null_for_no_number(tmp_path):
    found = json.loads(render(build_report(deadly_run(tmp_path)), "json"))["stability"]
    whole = found["cells"][0]
    assert (whole["kind"], whole["n_survived"], whole["n_trials"]) == ("all", 20, 30)
    assert whole["parameter"] is whole["low"] is None
    decides = {(row["target"], row["parameter"]) for row in found["importances"]}
    assert ("survival", "discriminator_lr") in decides
    (tmp_path / "other").mkdir()
    replicated = build_report(write_run(tmp_path / "other", (), replicas(WINNER)))
    assert json.loads(render(replicated, "json"))["stability"] is None


def test_the_map_is_drawn_where_trials_died_and_not_where_none_did(tmp_path, searching):
    def shown(folder):
        return "Left: survivors/trials" in render(build_report(folder), "html")

    assert not shown(searching)
    (tmp_path / "other").mkdir()
    assert shown(deadly_run(tmp_path / "other"))


def test_an_unknown_format_is_answered_with_the_nearest(finished):
    with pytest.raises(BadInputError) as error:
        render(build_report(finished), "jsn")
    assert str(error.value) == "--format jsn: unknown. Did you mean json?"
