"""Whether a data set is the very one that its name stands for, whose figures were published.

Files of the right size and header may hold other images: FashionMNIST and KMNIST are laid out as
MNIST is.
"""

from __future__ import annotations

from gansearch.data.dataset import SPLITS, Dataset
from gansearch.data.fingerprint import Fingerprint

# SHA-256 of the examples of each split, in their order.
_SHA256 = {
    "mnist": (
        "c80ceb24eedca80f31cfca280b8fb911cbb41b9990f998bebd40e26b1ab6d0f8",
        "2b079632b0defaf508a5ebf8c4ac1e18ce15c8b337da087e9c3e1c84c618d244",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    )
}
# The owners of TFD publish no checksum. Papers give the number of its unlabelled images.
_N_TRAIN = {"tfd": 98_058}


def is_original(dataset: Dataset) -> bool:
    """Whether the examples are those of the original, as far as that can be known.

    MNIST is recognised by its checksum, and TFD by the number of its unlabelled images; no other
    data set has an original.
    """
    # tfd-2 and so on are other folds of the same data.
    family = dataset.name.partition("-")[0]
    if family in _N_TRAIN:
        return len(dataset.train) == _N_TRAIN[family]
    if family not in _SHA256:
        return False
    found = Fingerprint.of(dataset)
    return tuple(getattr(found, split).sha256 for split in SPLITS) == _SHA256[family]


def origin_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return a sentence for `Dataset.notes` if the examples aren't those that the name stands for.

    Empty for data sets without an original.
    """
    family = dataset.name.partition("-")[0]
    if family not in (*_SHA256, *_N_TRAIN) or is_original(dataset):
        return ()
    found = (
        f"{len(dataset.train):,} unlabelled images, where it has {_N_TRAIN[family]:,}"
        if family in _N_TRAIN
        else "other images, or the same in another order"
    )
    return (
        f"The files of {family} are not the original: {found}. Figures published for {family} are "
        "left out, since they belong to other images.",
    )
