"""A training loop of the user's own that Lightning runs: a callback reports each batch.

@gansearch.trainable(lr=2e-4)
def train(config, data, trial):
    model = MyGan(config.lr)
    report = TrialCallback(trial, lambda n: model(noise(n)))
    trainer = lightning.Trainer(max_epochs=-1, callbacks=[report], logger=False)
    trainer.fit(model, DataLoader(data, batch_size=64, shuffle=True))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from gansearch.loop import Trial

_MEASURED = ("d_loss", "g_loss", "d_real", "d_fake")


class TrialCallback(Callback):
    """Reports each training batch to a trial, and ends the fit when the trial's steps are done.

    A resumed trial goes on with the module, its optimizers and its learning-rate schedulers as
    they were; the epoch begins anew. Of what the module logs (`self.log`), `d_loss`, `g_loss`,
    `d_real` and `d_fake` are reported.

    Args:
        trial: what the training loop was given.
        sample: as `Trial.report` takes it.
    """

    def __init__(self, trial: Trial, sample: Callable[[int], Any]) -> None:
        self._trial = trial
        self._sample = sample
        self._state: Mapping[str, Any] = {}
        self._step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore an interrupted trial."""
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        self._state = {
            "module": pl_module,
            **{f"optimizer_{i}": each for i, each in enumerate(trainer.optimizers)},
            **{f"scheduler_{i}": each for i, each in enumerate(schedulers)},
        }
        self._step = self._trial.restore(self._state)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Report the batch."""
        logged = trainer.callback_metrics
        measured = {name: logged[name] for name in _MEASURED if name in logged}
        self._trial.report(self._step, self._sample, state=self._state, **measured)
        self._step += 1
        trainer.should_stop = self._step >= self._trial.max_updates
