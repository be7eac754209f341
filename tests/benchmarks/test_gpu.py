"""The benchmark of training in groups: it runs on a CPU too, and counts what it says it counts."""

import dataclasses
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks.gpu import gpu as benchmark
from benchmarks.gpu import packed, packed_checks, roofline, stages
from benchmarks.gpu.host_memory import host_memory
from benchmarks.speed.careful import mnist_or_noise
from benchmarks.studies import scores
from gansearch.config import TrialConfig
from gansearch.grouping.group import Group
from gansearch.space.load import load_space
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining
from gansearch.tune.slots import replica_grouping

CPU = ["--device", "cpu", "--quick"]
QUICK = packed.quick("cpu")
TINY = TrialConfig(
    noise_dim=5, generator_widths=(7,), discriminator_widths=(4,), maxout_pieces=2, batch_size=10
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def lines_of(stage):
    lines, _ = benchmark.STAGES[stage]
    return "\n".join(lines(QUICK, mnist_or_noise()))


def test_every_check_holds_on_a_cpu_in_a_full_group_of_as_many_slots_as_a_run_has():
    told = lines_of("checks")
    assert told.startswith("8 slots")
    assert told.count("- ok: 16, ") == 15
    assert "FAILED" not in told
    assert "- needs CUDA: 16, fp32: a replayed chunk neither waits" in told


def test_speed_is_told_apart_by_whether_a_run_delivers_it(monkeypatch):
    monkeypatch.setattr(
        benchmark, "_speeds", lambda *_: {"packed": [8], "ours": [2], "careful": [4]}
    )
    monkeypatch.setattr(benchmark, "GOALS", {16: 5})
    setting = dataclasses.replace(QUICK, device="cuda", slots=(5, 8, 32))
    monkeypatch.setattr(benchmark, "free", lambda _: None)
    monkeypatch.setattr(benchmark, "Examples", lambda *_: None)
    told = "\n".join(benchmark.speed(setting, mnist_or_noise()))
    rest = "fp32 | 1 | 8 | 4.00 [4.00, 4.00] | 2.00 [2.00, 2.00] |"
    assert f"| 16 | 5, as of replicas by default | {rest} 5: missed |" in told
    assert f"| 16 | 8, by `--replicas 8` | {rest} 5: missed |" in told
    assert f"| 16 | 32, not of `gansearch run` | {rest}  |" in told


@pytest.mark.parametrize("stage", ["speed", "parzen", "reports", "roofline"])
def test_a_stage_runs_on_a_cpu(stage):
    told = lines_of(stage)
    assert "FAILED" not in told
    n_rows = {"speed": 5, "parzen": 3, "reports": 1, "roofline": 3}[stage]
    assert sum(line.startswith("| ") for line in told.splitlines()) == 1 + n_rows


def test_the_costs_say_what_needs_cuda(monkeypatch):
    monkeypatch.setattr(benchmark, "host_memory", lambda **_: ["| | a process | 3; 1 |"])
    told = lines_of("costs")
    assert "| 16 | memory a member, MiB; while a graph is recorded | needs CUDA |" in told
    assert told.endswith("| | a process | 3; 1 |")


def test_the_scores_of_each_precision_are_compared_seed_by_seed(monkeypatch):
    monkeypatch.setattr(scores, "_SCORED_SAMPLES", 500)
    told = lines_of("scores")
    assert "`digits`, preset `paper`, 30 updates, the same 2 seeds each" in told
    # On a CPU TF32 is single precision.
    assert "- tf32 less fp32: +0.00 nats, 95 % interval +0.00 to +0.00" in told
    assert "- bf16 less fp32: " in told


def test_a_stage_in_a_process_of_its_own_is_printed_and_kept(capsys, tmp_path):
    limit = ["--limit", "200"]  # imports take their time on a busy machine
    benchmark.main([*CPU, "--stages", "parzen", "--write", str(tmp_path), *limit])
    told = capsys.readouterr().out
    assert "## Parzen" in told and "- ok: 100 points err" in told
    (kept,) = tmp_path.glob("gpu-cpu-*.md")
    assert kept.read_text() == told


def test_a_stage_that_takes_too_long_is_ended_and_costs_the_others_nothing(capsys):
    with pytest.raises(SystemExit):
        benchmark.main([*CPU, "--stages", "speed", "parzen", "--limit", ".01"])
    told = capsys.readouterr().out
    assert told.count("- FAILED: not done within 0.01 s") == 2


def sent_by(stage):
    sent = []
    stages.send_lines(SimpleNamespace(send=sent.append), QUICK, stage)
    return sent


def test_a_stage_that_fails_says_so_and_ends(capsys):
    def broken(*_):
        yield "first"
        raise RuntimeError("no such kernel")

    assert sent_by(broken) == ["first", "\n- FAILED: RuntimeError: no such kernel", None]
    assert "no such kernel" in capsys.readouterr().err


def test_a_stage_whose_package_is_not_installed_says_which():
    def poor(*_):
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
        yield

    assert sent_by(poor) == ["\n- not run: it needs sklearn, which is not installed here", None]


def test_a_feature_that_a_stage_has_gone_without_is_a_failure(monkeypatch):
    monkeypatch.setattr(stages, "take_notes", lambda: ["Wings fail here (no feathers): it walks"])
    assert sent_by(lambda *_: iter(())) == [
        "\n- FAILED: Wings fail here (no feathers): it walks",
        None,
    ]


def test_a_second_call_is_appended_to_the_first(tmp_path, capsys):
    for lines in (["# First", "- ok"], ["# Second", "- FAILED"]):
        is_whole = stages.publish(lines, QUICK, tmp_path)
        assert is_whole is (lines[1] == "- ok")
    (kept,) = tmp_path.glob("gpu-cpu-*.md")
    assert kept.read_text() == "# First\n- ok\n\n# Second\n- FAILED\n"
    assert capsys.readouterr().out == "# First\n- ok\n# Second\n- FAILED\n"


def test_a_call_says_when_it_was_made():
    title, *_ = stages.heading(QUICK)
    assert re.fullmatch(r"# Training in groups on CPU \w+, \d{4}-\d\d-\d\d \d\d:\d\d UTC", title)


def test_a_whole_run_ends_within_eighteen_minutes():
    assert sum(seconds for _, seconds in benchmark.STAGES.values()) <= 18 * 60


@pytest.mark.slow
def test_a_group_is_compared_with_processes_that_train_on_their_own():
    lines = list(benchmark.processes(QUICK, mnist_or_noise()))
    assert [line.split(" | ")[:2] for line in lines[1:]] == [
        ["| 16", "5, as of replicas by default"],
        ["| 16", "8, by `--replicas 8`"],
    ]


@pytest.mark.ray
@pytest.mark.slow
def test_a_packed_trials_process_holds_less_than_one_that_trains():
    *_, thin, whole = host_memory(on_gpu=False)
    told = [
        [int(n) for n in line.split(" | ")[-1].strip("| ").split("; ")] for line in (thin, whole)
    ]
    assert all(0 < own < total for total, own in told)
    assert told[0][0] < 0.6 * told[1][0]


def test_what_is_measured_by_itself_is_that_of_the_package():
    mnist = load_space("mnist").budget
    grouping = replica_grouping(range(mnist.top + 1), mnist.replicas, 16)
    assert grouping.n_slots == packed.DEFAULT_SLOTS
    assert packed.Setting("cpu").report_every == mnist.max_updates / mnist.reports
    for name, full in benchmark.PAPERS.items():
        space = load_space(name)
        assert full == scores.Full(space.preset("paper"), space.budget.max_updates)


def test_a_check_sees_a_member_that_depends_on_its_company(monkeypatch):
    dataset = mnist_or_noise()
    place = packed_checks.Place(QUICK, dataset, Examples(dataset, "cpu"), 16, "fp32")
    tick = Group._tick

    def leaking(self, *at, **how):
        tick(self, *at, **how)
        bias = self._players.generator.params[1].data
        bias += 1e-3 * bias.sum(0, keepdim=True)

    monkeypatch.setattr(Group, "_tick", leaking)
    assert not packed_checks.beside_others(place)
    assert not packed_checks.follows_single(place)


def test_the_papers_iteration_has_its_3_57_gflop_and_3_7_million_parameters():
    config = packed.config_of(packed.PAPER)
    assert config == TrialConfig()
    assert sum(p.flops for p in roofline.products(config)) == pytest.approx(3.57e9, rel=2e-3)
    training = AdversarialTraining(config, mnist_or_noise(), 0)
    params = [*training.generator.parameters(), *training.discriminator.parameters()]
    assert roofline.n_parameters(config) == sum(p.numel() for p in params)


def test_the_least_time_is_bound_by_the_slower_of_operations_and_bytes():
    # G is 5-7-784, D 784-(2 x 4)-1, a minibatch 10. Forward products, by hand:
    g, d = 5 * 7 + 7 * 784, 784 * 8 + 4 * 1
    # D's update: G's pass; D's on 20 rows, twice, and the gradient by its second layer's input.
    of_d = 10 * g + 20 * (2 * d + 4)
    # G's update: G's pass, D's pass and the gradient by its inputs, that by G's weights and by the
    # input of its second layer.
    of_g = 10 * (2 * g + 7 * 784 + 2 * d)
    operations = 2 * (of_d + of_g)
    assert roofline.least_seconds(TINY, 1.0, math.inf) == operations
    n_parameters = g + 7 + 784 + d + 8 + 1
    beside = 4 * 5 * n_parameters + 2 * 5 * 30 * (784 + 4)
    assert roofline.other_bytes(TINY) == beside
    of_products = sum(p.n * p.inner + p.inner * p.units + p.n * p.units
                      for p in roofline.products(TINY))  # fmt: skip
    assert roofline.least_seconds(TINY, math.inf, 1.0) == 4 * of_products + beside


def test_the_careful_loop_trains_networks_of_the_same_size():
    dataset = mnist_or_noise()
    loop = benchmark.CarefulLoop(packed.config_of(16), dataset)
    ours = AdversarialTraining(packed.config_of(16), dataset, 0)
    for theirs, net in ((loop.generator, ours.generator), (loop.discriminator, ours.discriminator)):
        n_theirs, n_ours = (sum(p.numel() for p in x.parameters()) for x in (theirs, net))
        assert n_theirs == n_ours
        before = [p.clone() for p in theirs.parameters()]
        loop.step()
        assert not any(map(torch.equal, before, theirs.parameters()))


def test_the_exact_score_is_that_of_a_mixture_of_gaussians():
    rng = np.random.default_rng(0)
    samples, points = rng.random((3, 4)), rng.random((2, 4))
    densities = [stats.multivariate_normal(s, 0.04).pdf(points) for s in samples]
    expected = np.log(np.mean(densities, axis=0))
    assert benchmark.exact_log_likelihoods(samples, points, 0.2) == pytest.approx(expected)
