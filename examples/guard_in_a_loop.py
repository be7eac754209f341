"""The guard alone, in a training loop of your own: stop a GAN whose samples stay collapsed.

    python examples/guard_in_a_loop.py            # a sound training, half a minute
    python examples/guard_in_a_loop.py 6000 0.1   # so high a learning rate of G collapses it

The two lines with `guard` are all that a loop needs.
"""

import sys

import torch
from torch import nn

import gansearch
from gansearch.data import load_dataset


def main(max_updates: int = 20_000, g_lr: float = 1e-3):
    """Train for so many parameter updates, of D and G together; return the last verdict."""
    torch.manual_seed(0)
    digits = load_dataset("digits")
    images = torch.from_numpy(digits.to_float(digits.train))
    g = nn.Sequential(
        nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64)
    ).append(nn.Sigmoid())
    d = nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))
    g_opt = torch.optim.Adam(g.parameters(), g_lr, betas=(0.0, 0.9))
    d_opt = torch.optim.Adam(d.parameters(), 1e-3, betas=(0.0, 0.9))

    guard = gansearch.Guard(digits, max_updates=max_updates)
    for updates in range(2, max_updates + 1, 2):
        real, fake = images[torch.randint(len(images), (100,))], g(torch.randn(100, 16))
        d_loss = nn.functional.softplus(-d(real)).mean()
        d_loss = d_loss + nn.functional.softplus(d(fake.detach())).mean()
        d_opt.zero_grad()
        d_loss.backward()
        d_opt.step()
        g_loss = nn.functional.softplus(-d(fake)).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        if updates % 2000 == 0:
            verdict = guard.check(g(torch.randn(1000, 16)), step=updates)
            print(f"{updates:6,}  {verdict.status}  {verdict.reason}")
            if verdict.stop:
                break
    return verdict


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
