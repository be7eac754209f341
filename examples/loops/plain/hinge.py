"""The hinge loss (Lim and Ye 2017, Miyato et al. 2018), two updates of D for each of G."""

import torch
import torch.nn.functional as F
from nets import BATCH_SIZE, discriminator, generator, noise


def train(images, lr=2e-4, width=16, n_critic=2, n_steps=2000):
    g, d = generator(width, images.shape[-1]), discriminator(width, images.shape[-1])
    g_opt = torch.optim.Adam(g.parameters(), lr, betas=(0.0, 0.9))
    d_opt = torch.optim.Adam(d.parameters(), lr, betas=(0.0, 0.9))
    for _ in range(n_steps):
        real = images[torch.randint(len(images), (BATCH_SIZE,))]
        for _ in range(n_critic):
            fake = g(noise(BATCH_SIZE)).detach()
            d_loss = F.relu(1 - d(real)).mean() + F.relu(1 + d(fake)).mean()
            d_opt.zero_grad()
            d_loss.backward()
            d_opt.step()
        g_loss = -d(g(noise(BATCH_SIZE))).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
    return g
