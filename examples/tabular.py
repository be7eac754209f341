"""CTGAN, a GAN of tables that others wrote (Xu et al. 2019), searched on scikit-learn's data.

    gansearch run --space examples/tabular.yaml

Its `fit` calls nothing back, but stores its losses after each epoch: there it reports. An epoch is
a step here. It gives no access to its optimizers, so an interrupted trial trains again.
"""

import pandas as pd
from ctgan import CTGAN
from sklearn.datasets import load_breast_cancer

import gansearch


def load():
    """Return the rows: ten measurements of cell nuclei."""
    return load_breast_cancer().data[:, :10]


class ReportingCTGAN(CTGAN):
    on_epoch = None

    @property
    def loss_values(self):
        return self._losses

    @loss_values.setter
    def loss_values(self, losses):
        self._losses = losses
        if losses is not None and len(losses) and self.on_epoch:
            self.on_epoch(losses.iloc[-1])


@gansearch.trainable(
    generator_lr=2e-4, discriminator_lr=2e-4, width=64, embedding_dim=32, discriminator_steps=1
)
def train(config, data, trial):
    widths = (config.width, config.width)
    gan = ReportingCTGAN(
        embedding_dim=config.embedding_dim,
        generator_dim=widths,
        discriminator_dim=widths,
        generator_lr=config.generator_lr,
        discriminator_lr=config.discriminator_lr,
        discriminator_steps=config.discriminator_steps,
        batch_size=100,
        epochs=trial.max_updates,
        enable_gpu=trial.device == "cuda",
    )

    def sample(n):
        gan._generator.eval()
        rows = gan.sample(n)
        gan._generator.train()
        return rows.to_numpy("float32")

    def report(losses):
        trial.report(
            int(losses["Epoch"]),
            sample,
            d_loss=losses["Discriminator Loss"],
            g_loss=losses["Generator Loss"],
        )

    gan.on_epoch = report
    gan.fit(pd.DataFrame(data.train.numpy()).add_prefix("column_"))
