"""Search a GAN for data of your own: the 569 tumours of scikit-learn, 30 numbers each.

    python examples/own_data.py                       # about two minutes
    python examples/own_data.py trials=4 replicas=1   # changes, as --set takes them

Data may as well be a tensor, a pandas frame, a data set of torch, or (train, valid, test) of such.
A space file names the function instead: `dataset: own_data.py:load`.
"""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer

import gansearch

# Vectors are standardised, column by column, so G's output is linear.
SPACE = {
    "name": "tumours",
    "budget": {"trials": 12, "max_updates": 4000, "reports": 8, "top": 1, "replicas": 2},
    "search": {
        "generator_lr": {"float": [1e-4, 1e-2], "log": True},
        "discriminator_lr": {"float": [1e-4, 1e-2], "log": True},
        "generator_widths": {"choice": [[64, 64], [128, 128]]},
        "noise_dim": {"choice": [8, 32]},
    },
    "fixed": {
        "optimizer": "adam",
        "adam_beta1": 0.5,
        "generator_output": "linear",
        "discriminator_activation": "leaky_relu",
        "discriminator_widths": [64, 64],
        "init": "glorot",
        "dropout_input": 0.0,
    },
}


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, and the class of each: the guard counts classes among samples."""
    tumours = load_breast_cancer()
    return tumours.data, np.array(tumours.target_names)[tumours.target]


if __name__ == "__main__":
    run = gansearch.search(SPACE, dataset=load(), overrides=sys.argv[1:])
    print(run.ranking()[["rank", "config_id", "test_ll", "coverage", "recall"]].to_string())
    print(f"gansearch report {run.path}")
    print(f"gansearch sample {run.path} --n 1000 --out samples.npy    # in the data's own units")
