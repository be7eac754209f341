"""A training loop that Accelerate places on its device, searched.

gansearch run --space examples/accelerate_gan.yaml
"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

import gansearch


@gansearch.trainable(lr=2e-4, width=64)
def train(config, data, trial):
    accelerator = Accelerator(cpu=trial.device == "cpu")
    g = nn.Sequential(nn.Linear(16, config.width), nn.ReLU(), nn.Linear(config.width, 64))
    d = nn.Sequential(nn.Linear(64, config.width), nn.LeakyReLU(0.2), nn.Linear(config.width, 1))
    g_opt, d_opt = (torch.optim.Adam(net.parameters(), config.lr, (0.5, 0.9)) for net in (g, d))
    loader = DataLoader(data, batch_size=64, shuffle=True, drop_last=True)
    g, d, g_opt, d_opt, loader = accelerator.prepare(g, d, g_opt, d_opt, loader)
    state = {"g": g, "d": d, "g_opt": g_opt, "d_opt": d_opt}

    def sample(n):
        return torch.sigmoid(g(torch.randn(n, 16, device=accelerator.device))).view(n, 1, 8, 8)

    step = trial.restore(state)
    while step < trial.max_updates:
        for real, _ in loader:
            fake = sample(len(real)).flatten(1)
            d_loss = F.softplus(-d(real.flatten(1))).mean() + F.softplus(d(fake.detach())).mean()
            d_opt.zero_grad()
            accelerator.backward(d_loss)
            d_opt.step()
            g_loss = F.softplus(-d(fake)).mean()
            g_opt.zero_grad()
            accelerator.backward(g_loss)
            g_opt.step()
            trial.report(step, sample, state=state, d_loss=d_loss, g_loss=g_loss)
            step += 1
            if step == trial.max_updates:
                break
