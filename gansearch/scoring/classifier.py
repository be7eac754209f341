"""A small classifier of a data set's examples, which counts the classes among samples.

It is fitted to the training set once per data set, and kept in the user's cache folder under a hash
of the data. How sure it may be is measured on held-out examples, so that the shares of the classes
among samples are corrected for its doubts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from gansearch.data.dataset import Dataset, Labels
from gansearch.data.fingerprint import Fingerprint
from gansearch.errors import DataError, StorageError
from gansearch.scoring.samples import Array, as_tensor
from gansearch.system.files import write_atomically
from gansearch.system.paths import cache_folder
from gansearch.system.precision import one_thread

# Raise it whenever the same data gives another classifier than before.
_VERSION = 1
# A class with fewer training or held-out examples is not counted.
_MIN_TRAIN, _MIN_HELD_OUT = 20, 3
_MAX_CLASSES = 100  # to simulate what samples of more of them show takes long
_MAX_TRAIN, _MAX_HELD_OUT = 20_000, 10_000
_MAX_SIDE = 32  # pixels; larger images are averaged down
_PASSES, _FEWEST_EPOCHS, _MOST_EPOCHS = 60_000, 3, 40
_BATCH, _RATE = 100, 3e-3
_NOISE = 0.5  # the largest, of the pixels' standard deviation
_BLOCK = 1000
_EM_STEPS, _EM_CHANGE = 500, 1e-5
_CERTAIN = 1e4  # an output that leaves no doubt
# Right for so many held-out examples, only the likeliest class is looked at. That says as much, and
# an image between two classes isn't given to the more frequent one.
_SURE = 0.9
_TEMPERATURES = np.linspace(1, 5, 41)


@dataclass(frozen=True)
class Classifier:
    """Tells the classes of a data set apart.

    Attributes:
        classes: their indices in the data set's labels; rare ones are left out.
        names: of these classes.
        shares: of these classes in the training set, `[k]`.
        held_out: probabilities of the classes for held-out examples, `[m, k]`.
        held_out_classes: the class of each of these, as an index into `classes`; -1 if it is not
            counted, `[m]`.
        temperature: what the network's outputs are divided by, so that its probabilities hold; 1
            where `of_likeliest` is known, which needs none.
        of_likeliest: `[k, k]`, the probabilities of the classes where class i is the likeliest one;
            None where the network is too often wrong to look at that alone.
        net: the network; None where the nearest of `modes` is the class.
        modes: `[k, d]`, the centres of a mixture.
        shape: of an example.
        centre, spread: of the values of the training set.
    """

    classes: np.ndarray
    names: tuple[str, ...]
    shares: np.ndarray
    held_out: np.ndarray
    held_out_classes: np.ndarray
    temperature: float
    of_likeliest: np.ndarray | None
    net: nn.Module | None
    modes: np.ndarray | None
    shape: tuple[int, ...]
    centre: float
    spread: float

    def probabilities(self, samples: Array) -> np.ndarray:
        """Return the probability of each class for each of the samples `[n, d]`, `[n, k]`."""
        return self._probabilities(self._outputs(samples))

    def _probabilities(self, outputs: Tensor) -> np.ndarray:
        found: np.ndarray
        if self.of_likeliest is None:
            found = torch.softmax(outputs / self.temperature, dim=1).double().numpy()
        else:
            found = self.of_likeliest[outputs.argmax(dim=1).numpy()]
        return found

    def _outputs(self, samples: Array) -> Tensor:
        values = as_tensor(samples, "cpu").float()
        if self.net is None:
            assert self.modes is not None
            nearest = torch.cdist(values, as_tensor(self.modes).float()).argmin(dim=1)
            return nn.functional.one_hot(nearest, len(self.modes)) * _CERTAIN
        with torch.no_grad():
            images = self._prepared(values)
            return torch.cat([self.net(block) for block in torch.split(images, _BLOCK)])

    def _prepared(self, values: Tensor) -> Tensor:
        return (_as_seen(values, self.shape) - self.centre) / self.spread


def class_shares(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return the maximum-likelihood shares of the classes among samples, `[k]`.

    This is the iteration of Saerens, Latinne and Decaestecker (2002), "Adjusting the outputs of a
    classifier to new a priori probabilities".

    Args:
        probabilities: of the classes, for each sample, `[n, k]`.
        prior: shares of the classes in the data that the classifier was fitted to, `[k]`.
    """
    ratios = probabilities / prior
    shares = prior
    for _ in range(_EM_STEPS):
        before, shares = shares, shares * ((1 / (ratios @ shares)) @ ratios) / len(ratios)
        if np.abs(shares - before).max() < _EM_CHANGE:
            break
    return shares


def classifier_of(dataset: Dataset) -> Classifier | None:
    """Return the classifier of a data set, from the cache if it is there.

    None if the data has no classes, or fewer than two or more than 100 with enough examples. A
    damaged cache file is made anew; if none can be written, the classifier is fitted each time.

    Raises:
        DataError: the labels don't fit the examples.
    """
    check_labels(dataset)
    labels = dataset.labels
    if labels is None or (classes := _usable(labels)) is None:
        return None
    path = _cache_path(dataset, labels)
    net = _read(path, dataset, len(classes)) if path else None
    if net is None and dataset.modes is None:
        net = _fitted(dataset, labels, classes)
        if path:
            with contextlib.suppress(StorageError):  # it is fitted again the next time
                write_atomically(path, _encoded(net))
    return _measured(dataset, labels, classes, net)


def check_labels(dataset: Dataset) -> None:
    """Check the labels of a data set, if it has some.

    Raises:
        DataError: they don't fit the examples.
    """
    labels = dataset.labels
    if labels is None:
        return
    for split in ("train", "valid"):
        found, n = getattr(labels, split), len(getattr(dataset, split))
        if len(found) != n or not (found.min() >= 0 and found.max() < len(labels.names)):
            raise DataError(
                f"data set {dataset.name}: {len(found):,} labels from {found.min()} to "
                f"{found.max()} for {n:,} {split} examples of {len(labels.names)} classes. Each "
                "example needs the number of its class, from 0. Leave `labels` None if there are "
                "no classes."
            )


def as_images(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return examples `[n, d]` as images `[n, c, h, w]` of at most 32 pixels a side."""
    height, width, channels = shape
    images = values.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    factor = -(-max(height, width) // _MAX_SIDE)
    if factor == 1:
        return images
    return nn.functional.avg_pool2d(images, (min(factor, height), min(factor, width)))


def _as_seen(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return examples as the network takes them: images, or vectors `[n, d]` as they are."""
    return as_images(values, shape) if len(shape) == 3 else values


def _usable(labels: Labels) -> np.ndarray | None:
    """Return the classes with enough examples; None if they are too few, too many or too small."""
    n = len(labels.names)
    train = np.bincount(labels.train, minlength=n)
    held_out = np.bincount(labels.valid, minlength=n)
    classes = np.flatnonzero((train >= _MIN_TRAIN) & (held_out >= _MIN_HELD_OUT))
    is_some = 2 <= len(classes) <= _MAX_CLASSES and 2 * train[classes].sum() > train.sum()
    return classes if is_some else None


def _training_part(dataset: Dataset, labels: Labels, classes: np.ndarray) -> tuple[Tensor, Tensor]:
    rows = np.flatnonzero(np.isin(labels.train[:_MAX_TRAIN], classes))
    values = torch.from_numpy(dataset.to_float(dataset.train[rows]))
    return values, torch.from_numpy(np.searchsorted(classes, labels.train[rows]))


def _scale(dataset: Dataset) -> tuple[float, float]:
    some = dataset.to_float(dataset.train[:_BLOCK])
    return float(some.mean()), float(some.std()) or 1.0


def _network(shape: tuple[int, ...], n_classes: int) -> nn.Sequential:
    if len(shape) == 1:
        return nn.Sequential(
            nn.Linear(shape[0], 128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, n_classes),
        )
    images = as_images(torch.zeros(1, int(np.prod(shape))), shape)
    side = max(images.shape[2:])
    stride = 2 if side > 16 else 1
    convolutions = nn.Sequential(
        nn.Conv2d(images.shape[1], 16, 5, stride=stride, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    n_features = convolutions(images).shape[1]
    return nn.Sequential(
        convolutions, nn.Linear(n_features, 128), nn.ReLU(), nn.Linear(128, n_classes)
    )


def _fitted(dataset: Dataset, labels: Labels, classes: np.ndarray) -> nn.Module:
    """Fit the network; the same data gives the same weights."""
    values, targets = _training_part(dataset, labels, classes)
    centre, spread = _scale(dataset)
    n_epochs = min(max(_PASSES // len(values), _FEWEST_EPOCHS), _MOST_EPOCHS)
    n_steps = n_epochs * -(-len(values) // _BATCH)
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = (_as_seen(values, dataset.shape) - centre) / spread
        net = _network(dataset.shape, len(classes))
        optimizer = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=n_steps)
        for _ in range(n_epochs):
            for rows in torch.split(torch.randperm(len(images)), _BATCH):
                loss = nn.functional.cross_entropy(net(_varied(images[rows])), targets[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
    return net.eval().requires_grad_(False)


def _varied(images: Tensor) -> Tensor:
    """Return a batch shifted by a pixel, partly blurred and noisy, as generated images may be.

    Vectors are made noisy alone.
    """
    if images.ndim == 2:
        noise = _NOISE * torch.rand(len(images), 1).square()
        return images + noise * torch.randn_like(images)
    side = max(images.shape[2:])
    if side > 16:
        shift = torch.randint(-1, 2, (2,)).tolist()
        images = torch.roll(images, shift, dims=(2, 3))
    blurred = nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    images = torch.lerp(images, blurred, 0.7 * torch.rand(len(images), 1, 1, 1).square())
    noise = _NOISE * torch.rand(len(images), 1, 1, 1).square()
    return images + noise * torch.randn_like(images)


def _measured(
    dataset: Dataset, labels: Labels, classes: np.ndarray, net: nn.Module | None
) -> Classifier:
    """Return the classifier with its doubts, on examples that it has not been fitted to."""
    values = np.concatenate([dataset.valid, dataset.train[_MAX_TRAIN:]])[:_MAX_HELD_OUT]
    true = np.concatenate([labels.valid, labels.train[_MAX_TRAIN:]])[:_MAX_HELD_OUT]
    centre, spread = _scale(dataset)
    unmeasured = Classifier(
        classes=classes,
        names=tuple(labels.names[i] for i in classes),
        shares=np.bincount(labels.train, minlength=len(labels.names))[classes]
        / np.isin(labels.train, classes).sum(),
        held_out=np.zeros((0, len(classes))),
        held_out_classes=np.where(
            np.isin(true, classes), np.searchsorted(classes, true).clip(max=len(classes) - 1), -1
        ),
        temperature=1.0,
        of_likeliest=None,
        net=net,
        modes=None if dataset.modes is None else dataset.modes[classes],
        shape=dataset.shape,
        centre=centre,
        spread=spread,
    )
    outputs = unmeasured._outputs(dataset.to_float(values))
    of_likeliest = _of_likeliest(outputs, unmeasured)
    measured = dataclasses.replace(unmeasured, of_likeliest=of_likeliest)
    if of_likeliest is None:
        targets = torch.from_numpy(unmeasured.held_out_classes)
        measured = dataclasses.replace(measured, temperature=_temperature(outputs, targets))
    return dataclasses.replace(measured, held_out=measured._probabilities(outputs))


def _of_likeliest(outputs: Tensor, classifier: Classifier) -> np.ndarray | None:
    """Return `of_likeliest` of `Classifier`, by the network's outputs for held-out examples."""
    k, true = len(classifier.names), classifier.held_out_classes
    likeliest = outputs.argmax(dim=1).numpy()[true >= 0]
    counts = (
        np.bincount(true[true >= 0] * k + likeliest, minlength=k * k).reshape(k, k).astype(float)
    )
    accuracy = np.trace(counts) / counts.sum()
    if accuracy < _SURE:
        return None
    # As if one more example of each class had been confused as often as the average one.
    counts += np.full((k, k), (1 - accuracy) / (k - 1))
    counts[np.diag_indices(k)] += accuracy - (1 - accuracy) / (k - 1)
    joint = classifier.shares[:, None] * counts / counts.sum(axis=1, keepdims=True)
    found: np.ndarray = (joint / joint.sum(axis=0).clip(min=1e-12)).T
    return found


def _temperature(outputs: Tensor, classes: Tensor) -> float:
    """Return the temperature of the least cross entropy; never one that sharpens."""
    losses = [
        float(nn.functional.cross_entropy(outputs / temperature, classes, ignore_index=-1))
        for temperature in _TEMPERATURES.tolist()
    ]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _cache_path(dataset: Dataset, labels: Labels) -> Path | None:
    """Return the path of the cached network; None if there is no home folder."""
    cache = cache_folder()
    if cache is None or dataset.modes is not None:
        return None
    digest = hashlib.sha256(repr((_VERSION, Fingerprint.of(dataset).to_dict())).encode())
    for part in (labels.train, labels.valid):
        digest.update(np.ascontiguousarray(part).data)
    return cache / "classifiers" / f"{dataset.name}-{digest.hexdigest()[:32]}.safetensors"


def _encoded(net: nn.Module) -> bytes:
    content = safetensors.torch.save(net.state_dict())
    return hashlib.sha256(content).digest() + content


def _read(path: Path, dataset: Dataset, n_classes: int) -> nn.Module | None:
    """Decode what `_encoded` wrote; None if the file is absent or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    with torch.random.fork_rng(devices=[]):  # weights are drawn only to be replaced
        net = _network(dataset.shape, n_classes)
    net.load_state_dict(safetensors.torch.load(content[32:]))
    return net.eval().requires_grad_(False)
