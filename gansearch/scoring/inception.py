"""torch-fidelity's Inception as an extractor: the features of the FID.

Its weights are read from the disk. Nothing is downloaded: where they are missing, the error has the
command that does.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansearch.errors import BadInputError, OutsideError
from gansearch.own_measures import INCEPTION
from gansearch.system.checks import first_line
from gansearch.system.failures import own_code_error

_LAYER = "2048"  # the last pooling, as in the FID
_BLOCK = 25  # images at a time, which it enlarges to 299x299 pixels


def inception(weights: str, device: str) -> Callable[[np.ndarray], Tensor]:
    """Return a function from images `[n, channels, height, width]` in [0, 1] to `[n, 2048]`.

    Images are rounded to 8 bits, as torch-fidelity takes them, and grey ones repeated in three
    channels; it enlarges them itself, as TensorFlow 1 did.

    Args:
        weights: path of the weights; empty for the one where torch-fidelity itself puts them.
        device: where it computes.

    Raises:
        OutsideError: on this node torch-fidelity isn't installed, or the weights are missing.
        ConfigError: the weights are others.
    """
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as library
    except ImportError as error:
        raise OutsideError(
            f"features: {INCEPTION}: torch-fidelity can't be imported: {first_line(error)}. "
            "Install the extra, on every node: `pip install 'gansearch[fidelity]'`."
        ) from error
    url: str = library.URL_INCEPTION_V3
    path = Path(weights or Path(torch.hub.get_dir(), "checkpoints", Path(url).name))
    if not path.is_file():
        raise OutsideError(
            f"features: {INCEPTION}: {path}: there is no such file. Its weights (91 MiB) must lie "
            "there, on every node: `curl --location --create-dirs --output "
            f"{shlex.quote(str(path))} {url}`."
        )
    network = _network(library, path, url).to(device)

    def extract(images: np.ndarray) -> Tensor:
        blocks = torch.split(torch.from_numpy(images), _BLOCK)
        return torch.cat([network(_as_bytes(block).to(device))[0].cpu() for block in blocks])

    return extract


def _network(library: ModuleType, path: Path, url: str) -> torch.nn.Module:
    """Return the network with the weights of a file, in evaluation mode on the CPU."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # It gets a copy of the tensors: its later versions would run code that a file contains.
        copy = io.BytesIO()
        torch.save(state, copy)
        copy.seek(0)
        make: Any = library.FeatureExtractorInceptionV3
        network: torch.nn.Module = make(
            INCEPTION, [_LAYER], feature_extractor_weights_path=copy
        ).eval()
    except Exception as error:  # of many kinds, by what the file holds
        raise own_code_error(
            f"features: {INCEPTION}: {path}: these aren't its weights: {first_line(error)} "
            f"They come from {url}.",
            error,
        ) from error
    return network


def _as_bytes(images: Tensor) -> Tensor:
    """Return images in [0, 1] as bytes of three channels."""
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise BadInputError(
            f"features: {INCEPTION}: it takes images of one or three channels, and these examples "
            f"are {list(images.shape[1:])}. Write an extractor of your own."
        )
    return images.mul(255).round().clamp(0, 255).byte().expand(-1, 3, -1, -1)
