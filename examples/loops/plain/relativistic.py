"""A relativistic loss with R1 and R2 (Huang et al. 2024, "The GAN is dead; long live the GAN!")."""

import torch
import torch.nn.functional as F
from nets import BATCH_SIZE, discriminator, generator, noise


def gradient_norm(d, images):
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(d(images).sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def train(images, lr=2e-4, width=16, gamma=1.0, n_steps=2000):
    g, d = generator(width, images.shape[-1]), discriminator(width, images.shape[-1])
    g_opt = torch.optim.Adam(g.parameters(), lr, betas=(0.0, 0.99))
    d_opt = torch.optim.Adam(d.parameters(), lr, betas=(0.0, 0.99))
    for _ in range(n_steps):
        real = images[torch.randint(len(images), (BATCH_SIZE,))]
        fake = g(noise(BATCH_SIZE))
        d_loss = F.softplus(d(fake.detach()) - d(real)).mean()
        penalty = gamma / 2 * (gradient_norm(d, real) + gradient_norm(d, fake))
        d_opt.zero_grad()
        (d_loss + penalty).backward()
        d_opt.step()
        g_loss = F.softplus(d(real) - d(fake)).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
    return g
