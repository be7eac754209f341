"""All conditionals p(x_S | x_not S) by one pair of nets, as a model family.

Section 7 of Goodfellow et al. (2014): "One can approximately model all conditionals
p(x_S | x_not S) where S is a subset of the indices of x by training a family of conditional models
that share parameters. Essentially, one can use adversarial nets to implement a stochastic extension
of the deterministic MP-DBM." Like the MP-DBM (Goodfellow et al. 2013), it trains on random S.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.families.inpainting_parameters import KINDS, MIXED, InpaintingConfig
from gansearch.families.pair_family import PairFamily
from gansearch.own_measures import OwnMeasure

if TYPE_CHECKING:
    from gansearch.families.inpainting_training import InpaintingTraining

_N_ROWS, _N_SHOWN = 4, 8  # of a picture: examples of each kind of masks, and completions
_MAX_INPUTS = 65536  # of G's lowest layer
_measure = OwnMeasure.of_family


class InpaintingNets(PairFamily[InpaintingConfig]):
    """G completes what is hidden of x, given the rest; D sees completed examples and their mask."""

    config_type = InpaintingConfig
    captions: ClassVar[Mapping[str, str]] = {
        "completions.png": "Unpicked completions by the winner: of images, each row is a held-out "
        "one, what is visible of it, and its completions; of points, completions over the data."
    }
    measures = (
        _measure("hidden_ll", "maximize", "nats a value"),
        *(_measure(f"hidden_ll_{kind}", "maximize", "nats a value") for kind in KINDS),
        _measure("energy_score", "minimize"),
        _measure("completion_diversity", "maximize"),
        _measure("hidden_error", "minimize"),
        _measure("hidden_error_best", "minimize"),
        *(_measure(f"completion_diversity_{kind}", "maximize", at_end=True) for kind in KINDS),
        _measure("hidden_ll_nearest", "maximize", "nats a value", at_end=True),
        _measure("energy_score_nearest", "minimize", at_end=True),
    )

    @property
    def training_type(self) -> type[InpaintingTraining]:
        """The class of its trainings."""
        from gansearch.families.inpainting_training import InpaintingTraining

        return InpaintingTraining

    def check(self, config: InpaintingConfig, dataset: Dataset) -> None:
        """Raise ConfigError if the networks or the masks don't fit the data."""
        from gansearch.scoring.masks import kinds_of, n_units

        super().check(config, dataset)
        known = kinds_of(dataset.shape)
        if config.masks not in (MIXED, *known):
            raise ConfigError(
                f"masks: {config.masks}, on the points of {dataset.name}. Halves and blocks are "
                "parts of an image. Use random, or mixed, which is the same for points."
            )
        if n_units(dataset.shape) < 2:
            raise ConfigError(
                f"family {self.name}, on {dataset.name}: an example is a single value or pixel, so "
                "nothing is visible where it is hidden. Take larger examples, such as those of "
                "ring."
            )
        if config.generator_normalization == "batch":
            raise ConfigError(
                "generator_normalization: batch: a minibatch mixes examples of which different "
                "parts are visible, so that their statistics suit none of them. Use none."
            )
        n_inputs = config.noise_dim + dataset.dim + n_units(dataset.shape)
        if n_inputs > _MAX_INPUTS:
            raise ConfigError(
                f"family {self.name}, on {dataset.name}: G would take {n_inputs:,} inputs, the "
                f"noise, the example and its mask. It takes at most {_MAX_INPUTS:,}. Take smaller "
                "images: data: {size: ...} (docs/data.md)."
            )

    def pictures(self, training: Any, dataset: Dataset) -> Mapping[str, bytes]:
        """Return `completions.png`: held-out examples, what is visible of them, and completions."""
        from gansearch.figures.samples import completion_picture, png, sample_grid
        from gansearch.scoring.completions import questions

        asked = questions(dataset, "valid", _N_ROWS)
        made = [training.complete(each.x, each.masks, _N_SHOWN) for each in asked.values()]
        if not dataset.is_image:
            points = np.concatenate(made).reshape(-1, dataset.dim)
            return {"completions.png": png(sample_grid(points, dataset))}
        picture = completion_picture(
            np.concatenate([each.x for each in asked.values()]),
            ~np.concatenate([each.hidden for each in asked.values()]),
            np.concatenate(made),
            dataset,
        )
        return {"completions.png": png(picture)}
