"""Networks of the user's own are searched, killed, resumed, replicated, reported and sampled."""

import json
import os
import re
import signal

import numpy as np
import pandas as pd
import pytest

from tests.end_to_end.test_own_family import gansearch, output, wait_for_reports

pytestmark = pytest.mark.ray

NETS = """
import torch
from torch import nn

class Generator(nn.Module):
    def __init__(self, noise_dim, shape, width=16):
        super().__init__()
        channels, height, _ = shape
        self.layers = nn.Sequential(
            nn.Unflatten(1, (noise_dim, 1, 1)),
            nn.ConvTranspose2d(noise_dim, 2 * width, height // 2, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.layers(z)

def make_d(config, shape):
    layers = [
        nn.Conv2d(shape[0], config.width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Dropout(config.dropout),
        nn.Conv2d(config.width, 1, shape[1] // 2),
    ]
    return nn.Sequential(*layers)
"""
SPACE = """
dataset: digits
generator: my_nets.py:Generator
discriminator: my_nets.py:make_d
output_range: [-1, 1]
budget: {trials: 3, max_updates: 2000, reports: 8, top: 1, replicas: 1}
search:
  generator.width: {choice: [16, 32]}
  discriminator.width: {int: [16, 24]}
  generator_lr: {float: [0.002, 0.005], log: true}
fixed:
  discriminator.dropout: 0.1
  discriminator_lr: 0.003
  noise_dim: 8
  batch_size: 20
  generator_ema: 0.99
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_nets.py").write_text(NETS)
    (tmp_path / "mine.yaml").write_text(SPACE)
    return tmp_path


def test_own_networks_go_through_all_that_a_search_does(folder):
    path = folder / "results" / "mine"
    searching = gansearch("run", "--space", "mine.yaml", "--name", "mine", folder=folder)
    wait_for_reports(path, 3, searching)
    os.killpg(searching.pid, signal.SIGKILL)
    searching.communicate()
    told = output("resume", "mine", folder=folder)
    assert "Search: 3 of 3 configurations tried" in told
    trials = pd.read_parquet(path / "trials.parquet")
    assert set(trials["status"]) <= {"completed", "pruned", "collapsed"}
    assert trials["config.generator.width"].isin([16, 32]).all()
    assert (trials["config.discriminator.dropout"] == 0.1).all()
    assert trials["d_updates"].notna().all() and "config.dropout_hidden" not in trials
    history = pd.concat(map(pd.read_parquet, path.glob("history/*")))
    assert history["valid_ll_raw"].notna().all()
    report = json.loads(output("report", "mine", "--format", "json", folder=folder))
    assert report["ranking"]
    output("sample", "mine", "--n", "50", "--out", "samples.npy", folder=folder)
    samples = np.load(folder / "samples.npy")
    assert samples.shape[0] == 50 and 0 <= samples.min() < samples.max() <= 1
    output("sample", "mine", "--interpolate", "5", "--out", "lines.png", folder=folder)


def test_networks_that_can_not_be_trained_are_refused_before_the_run(folder):
    nets = (
        (folder / "my_nets.py")
        .read_text()
        .replace("nn.Sequential(*layers)", "nn.Sequential(*layers, nn.Sigmoid())")
    )
    (folder / "my_nets.py").write_text(nets)
    process = gansearch("run", "--space", "mine.yaml", "--name", "mine", folder=folder)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 2, said
    said = " ".join(said.split())
    assert "mine: discriminator: make_d: it ends with a sigmoid, and so returns prob" in said
    assert not re.search("Traceback", said) and not (folder / "results" / "mine").exists()
