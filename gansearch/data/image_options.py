"""What is done with images that differ, before they are used: the section `data` of a space."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageOps

from gansearch.rules import Validated, parameter


@dataclass(frozen=True)
class ImageOptions(Validated):
    """How the images of the data set `folder` are made alike; by default, they are not.

    Raises:
        ConfigError: a value breaks its rule.
    """

    _what: ClassVar[str] = "data"

    image_size: int = parameter(
        0,
        "int",
        "the shorter side of each image is resized to this many pixels, and the centre is cropped "
        "to a square; 0 for neither",
        low=0,
        high=4096,
    )
    fit: str = parameter(
        "crop",
        "str",
        "how an image becomes a square of image_size; pad: the longer side is resized, and white "
        "is added at both ends of the other",
        choices=("crop", "pad"),
    )
    channels: int = parameter(
        0, "int", "1 makes all images grey, 3 makes all RGB; 0 for neither", choices=(0, 1, 3)
    )
    unreadable: str = parameter(
        "refuse", "str", "what is done with files that can't be read", choices=("refuse", "skip")
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the values that differ from the defaults, as plain JSON values."""
        default = ImageOptions()
        return {k: value for k, value in asdict(self).items() if value != getattr(default, k)}

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Return an image `[height, width, 1 or 3]`, uint8, resized and converted."""
        if not self.image_size and self.channels in (0, pixels.shape[2]):
            return pixels
        image = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
        if self.channels:
            image = image.convert("L" if self.channels == 1 else "RGB")
        if self.image_size:
            size = (self.image_size, self.image_size)
            # White as transparent areas are.
            image = (
                ImageOps.pad(image, size, Image.Resampling.BICUBIC, color="white")
                if self.fit == "pad"
                else ImageOps.fit(image, size)
            )
        array = np.asarray(image)
        return array.reshape(*array.shape[:2], -1)
