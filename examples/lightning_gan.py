"""A GAN in Lightning, searched: the module and its trainer are as they are without gansearch.

gansearch run --space examples/lightning_gan.yaml
"""

import logging

import lightning
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import gansearch
from gansearch.lightning import TrialCallback


class Gan(lightning.LightningModule):
    def __init__(self, lr=2e-4, width=64):
        super().__init__()
        self.automatic_optimization = False
        self.lr = lr
        self.g = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 64), nn.Sigmoid())
        self.d = nn.Sequential(nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, n):
        return self.g(torch.randn(n, 16, device=self.device)).view(n, 1, 8, 8)

    def configure_optimizers(self):
        adam = [torch.optim.Adam(net.parameters(), self.lr, (0.5, 0.9)) for net in (self.g, self.d)]
        return adam, []

    def training_step(self, batch, batch_idx):
        real, _ = batch
        g_opt, d_opt = self.optimizers()
        fake = self(len(real))
        d_loss = F.softplus(-self.d(real.flatten(1))).mean()
        d_loss = d_loss + F.softplus(self.d(fake.detach().flatten(1))).mean()
        d_opt.zero_grad()
        self.manual_backward(d_loss)
        d_opt.step()
        g_loss = F.softplus(-self.d(fake.flatten(1))).mean()
        g_opt.zero_grad()
        self.manual_backward(g_loss)
        g_opt.step()
        self.log_dict({"d_loss": d_loss, "g_loss": g_loss})


@gansearch.trainable(lr=2e-4, width=64)
def train(config, data, trial):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model = Gan(config.lr, config.width)
    trainer = lightning.Trainer(
        max_epochs=-1,
        accelerator="cpu" if trial.device == "cpu" else "gpu",
        devices=1,
        callbacks=[TrialCallback(trial, model)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(data, batch_size=64, shuffle=True, drop_last=True))
