"""WGAN-GP (Gulrajani et al. 2017): the critic's gradient has norm 1 between real and generated."""

import torch
from nets import BATCH_SIZE, discriminator, generator, noise

import gansearch


def gradient_penalty(d, real, fake):
    between = torch.lerp(fake, real, torch.rand(len(real), 1, 1, 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


@gansearch.trainable(output_range=(-1, 1), lr=2e-4, width=16, n_critic=3, penalty=10.0)
def train(config, data, trial):
    images = data.train
    lr, width, n_critic = config.lr, config.width, config.n_critic
    g, d = generator(width, images.shape[-1]), discriminator(width, images.shape[-1])
    g_opt = torch.optim.Adam(g.parameters(), lr, betas=(0.0, 0.9))
    d_opt = torch.optim.Adam(d.parameters(), lr, betas=(0.0, 0.9))
    state = {"g": g, "d": d, "g_opt": g_opt, "d_opt": d_opt}
    for step in range(trial.restore(state), trial.max_updates):
        real = images[torch.randint(len(images), (BATCH_SIZE,))]
        for _ in range(n_critic):
            fake = g(noise(BATCH_SIZE)).detach()
            d_loss = d(fake).mean() - d(real).mean()
            d_opt.zero_grad()
            (d_loss + config.penalty * gradient_penalty(d, real, fake)).backward()
            d_opt.step()
        g_loss = -d(g(noise(BATCH_SIZE))).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        trial.report(step, lambda n: g(noise(n)), state=state, d_loss=d_loss, g_loss=g_loss)
