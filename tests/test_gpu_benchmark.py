"""The benchmark of packing: it runs on a CPU too, and counts what it says it counts."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu as benchmark  # noqa: E402

from gansearch.config import TrialConfig  # noqa: E402
from gansearch.training import Examples, Training  # noqa: E402

TINY = TrialConfig(
    noise_dim=5, generator_widths=(7,), discriminator_widths=(4,), maxout_pieces=2, batch_size=10
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_all_stages_of_one_process_run_on_a_cpu_and_every_check_holds(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    monkeypatch.setattr(benchmark, "__file__", str(tmp_path / "gpu.py"))
    stages = [stage for stage in benchmark.STAGES if stage != "processes"]
    benchmark.main(["--device", "cpu", "--quick", "--write", "--stages", *stages])
    told = capsys.readouterr().out
    assert told.count("- ok: ") == 16
    assert "FAILED" not in told
    assert "- needs CUDA: a replayed chunk neither waits" in told
    assert "| 16 | memory a member, MiB; while a graph is recorded | needs CUDA |" in told
    assert [line[3:].lower() for line in told.splitlines() if line.startswith("## ")] == stages
    (kept,) = tmp_path.glob("gpu-cpu-*.md")
    assert kept.read_text() == told


@pytest.mark.slow
def test_a_group_is_compared_with_processes_that_train_on_their_own():
    setting = benchmark.quick("cpu")
    lines = list(benchmark.processes(setting, benchmark.mnist_or_noise()))
    assert len(lines) == 3
    assert [cell.strip() for cell in lines[-1].split("|")][1] == "16"


def test_a_check_sees_a_member_that_depends_on_its_company(monkeypatch):
    setting, dataset = benchmark.quick("cpu"), benchmark.mnist_or_noise()
    place = (setting, dataset, Examples(dataset, "cpu"), "fp32")
    tick = benchmark.Group._tick

    def leaking(self, *at, **how):
        tick(self, *at, **how)
        bias = self._game.generator.params[1].data
        bias += 1e-3 * bias.sum(0, keepdim=True)

    monkeypatch.setattr(benchmark.Group, "_tick", leaking)
    assert not benchmark._beside_others(place)
    assert not benchmark._follows_single(place)


def test_the_papers_iteration_has_its_3_57_gflop_and_3_7_million_parameters():
    config = benchmark.config_of(benchmark.PAPER)
    assert config == TrialConfig()
    assert sum(p.flops for p in benchmark.products(config)) == pytest.approx(3.57e9, rel=2e-3)
    training = Training(config, benchmark.mnist_or_noise(), 0)
    params = [*training.generator.parameters(), *training.discriminator.parameters()]
    assert benchmark.n_parameters(config) == sum(p.numel() for p in params)


def test_the_least_time_is_bound_by_the_slower_of_operations_and_bytes():
    # G is 5-7-784, D 784-(2 x 4)-1, a minibatch 10. Forward products, by hand:
    g, d = 5 * 7 + 7 * 784, 784 * 8 + 4 * 1
    # D's update: G's pass; D's on 20 rows, twice, and the gradient by its second layer's input.
    of_d = 10 * g + 20 * (2 * d + 4)
    # G's update: G's pass, D's pass and the gradient by its inputs, that by G's weights and by the
    # input of its second layer.
    of_g = 10 * (2 * g + 7 * 784 + 2 * d)
    operations = 2 * (of_d + of_g)
    assert benchmark.least_seconds(TINY, 1.0, math.inf) == operations
    n_parameters = g + 7 + 784 + d + 8 + 1
    beside = 4 * (5 * n_parameters + 4 * 30 * (784 + 4))
    assert benchmark.other_bytes(TINY) == beside
    of_products = sum(p.n * p.inner + p.inner * p.units + p.n * p.units
                      for p in benchmark.products(TINY))  # fmt: skip
    assert benchmark.least_seconds(TINY, math.inf, 1.0) == 4 * of_products + beside


def test_the_careful_loop_trains_networks_of_the_same_size():
    dataset = benchmark.mnist_or_noise()
    loop = benchmark.CarefulLoop(benchmark.config_of(16), dataset)
    ours = Training(benchmark.config_of(16), dataset, 0)
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
