"""Published log-likelihoods of the data sets that gansearch knows, with their sources.

All are of 10,000 samples, with sigma chosen by cross-validation, as here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gansearch.data.dataset import Dataset
from gansearch.data.originals import is_original
from gansearch.measures import N_FINAL_SAMPLES, columns

_TABLE_1 = "Goodfellow et al. 2014, Table 1"
_MIRZA = "Mirza and Osindero 2014, Conditional generative adversarial nets, Table 1"
_LI = "Li et al. 2015, Generative moment matching networks, Table 1"
_MAKHZANI = "Makhzani et al. 2015, Adversarial autoencoders, Table 2"
# Name, nats, standard error, source.
_PUBLISHED: dict[str, Sequence[tuple[str, float, float, str]]] = {
    "mnist": (
        ("DBN", 138, 2, _TABLE_1),
        ("stacked CAE", 121, 1.6, _TABLE_1),
        ("deep GSN", 214, 1.1, _TABLE_1),
        ("adversarial nets", 225, 2, _TABLE_1),
        ("conditional adversarial nets", 132, 1.8, _MIRZA),
        ("GMMN", 147, 2, _LI),
        ("GMMN + autoencoder", 282, 2, _LI),
        ("adversarial autoencoder", 340, 2, _MAKHZANI),
    ),
    "tfd": (
        ("DBN", 1909, 66, _TABLE_1),
        ("stacked CAE", 2110, 50, _TABLE_1),
        ("deep GSN", 1890, 29, _TABLE_1),
        ("adversarial nets", 2057, 26, _TABLE_1),
        ("GMMN", 2085, 25, _LI),
        ("GMMN + autoencoder", 2204, 20, _LI),
        ("adversarial autoencoder", 2252, 16, _MAKHZANI),
    ),
}


def published_lines(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the published figures of a data set, with the columns of `references.parquet`.

    None where the examples aren't those of the original: other images under its name, or another
    split of the same.
    """
    # tfd-2 and so on are other folds of the same data, and the figures are means over all folds.
    family = dataset.name.partition("-")[0]
    if family not in _PUBLISHED or not is_original(dataset):
        return []
    return [
        dict.fromkeys(columns("reference"))
        | {"name": name, "test_ll": float(test_ll), "test_ll_se": float(test_ll_se)}
        | {"n_samples": N_FINAL_SAMPLES, "source": source}
        for name, test_ll, test_ll_se, source in _PUBLISHED[family]
    ]
