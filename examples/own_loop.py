"""A training loop of your own, searched: a WGAN-GP on scikit-learn's 8x8 digits.

    gansearch run --space examples/own_loop.yaml

Of a plain loop, the lines with `gansearch` and `trial` were added.
"""

from itertools import pairwise

import torch
from torch import nn

import gansearch


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def gradient_penalty(d: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    between = torch.lerp(fake, real, torch.rand(len(real), 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


@gansearch.trainable(lr=1e-3, width=64, n_critic=3, penalty=10.0)
def train(config, data, trial):
    g = nn.Sequential(mlp(16, config.width, config.width, 64), nn.Sigmoid())
    d = mlp(64, config.width, config.width, 1)
    g_opt = torch.optim.Adam(g.parameters(), config.lr, betas=(0.5, 0.9))
    d_opt = torch.optim.Adam(d.parameters(), config.lr, betas=(0.5, 0.9))
    state = {"g": g, "d": d, "g_opt": g_opt, "d_opt": d_opt}
    images = data.train.flatten(1)
    for step in range(trial.restore(state), trial.max_updates):
        for _ in range(config.n_critic):
            real = images[torch.randint(len(images), (64,))]
            fake = g(torch.randn(64, 16)).detach()
            d_loss = d(fake).mean() - d(real).mean()
            d_opt.zero_grad()
            (d_loss + config.penalty * gradient_penalty(d, real, fake)).backward()
            d_opt.step()
        g_loss = -d(g(torch.randn(64, 16))).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        trial.report(
            step,
            sample=lambda n: g(torch.randn(n, 16)).view(n, 1, 8, 8),
            state=state,
            d_loss=d_loss,
            g_loss=g_loss,
        )
