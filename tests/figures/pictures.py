"""Data to draw, and what the tests see in a picture."""

import io

import numpy as np
from PIL import Image

from gansearch.data.dataset import Dataset

ORANGE = (0xE6, 0x9F, 0x00)
BLUE = (0x00, 0x72, 0xB2)
GREEN = (0x00, 0x9E, 0x73)
VERMILION = (0xD5, 0x5E, 0x00)
GREY = (0x99, 0x99, 0x99)


def images(n, height=8, width=8, channels=1):
    """Images in [0, 1], each of one grey of its own, from black to white."""
    return np.repeat(np.linspace(0, 1, n)[:, None], height * width * channels, axis=1)


def dataset(height=8, width=8, channels=1):
    train = np.zeros((4, height * width * channels), np.uint8)
    return Dataset("some", train, train, train, shape=(height, width, channels), scale=255.0)


def points(modes, n=400, sd=0.02):
    rng = np.random.default_rng(0)
    centres = np.asarray(modes, float)[rng.integers(len(modes), size=n)]
    train = (centres + sd * rng.standard_normal(centres.shape)).astype(np.float32)
    return Dataset(
        "ring", train, train, train, shape=(train.shape[1],), scale=1.0, modes=np.asarray(modes)
    )


def has(picture, colour):
    return bool((np.asarray(picture.convert("RGB")) == colour).all(axis=2).any())


def opened(png):
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return picture


def pixels_of(picture, colour):
    pixels = np.asarray(picture.convert("RGB"))
    return np.argwhere((pixels == colour).all(axis=2))
