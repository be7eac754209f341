"""DCGAN (Radford et al. 2016): the non-saturating loss, Adam with beta1 = .5."""

import torch
import torch.nn.functional as F
from nets import BATCH_SIZE, discriminator, generator, noise

import gansearch


@gansearch.trainable(output_range=(-1, 1), lr=2e-4, width=16)
def train(config, data, trial):
    images = data.train
    lr, width = config.lr, config.width
    g, d = generator(width, images.shape[-1]), discriminator(width, images.shape[-1])
    g_opt = torch.optim.Adam(g.parameters(), lr, betas=(0.5, 0.999))
    d_opt = torch.optim.Adam(d.parameters(), lr, betas=(0.5, 0.999))
    state = {"g": g, "d": d, "g_opt": g_opt, "d_opt": d_opt}
    for step in range(trial.restore(state), trial.max_updates):
        real = images[torch.randint(len(images), (BATCH_SIZE,))]
        fake = g(noise(BATCH_SIZE))
        d_loss = F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
        d_opt.zero_grad()
        d_loss.backward()
        d_opt.step()
        g_loss = F.softplus(-d(fake)).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        trial.report(step, lambda n: g(noise(n)), state=state, d_loss=d_loss, g_loss=g_loss)
