"""Scores by the number of samples: the colours, lines and places that carry what they say."""

import numpy as np
import pandas as pd

from gansearch.figures.charts import score_curves
from tests.figures.pictures import BLUE, GREY, VERMILION, has, opened, pixels_of

NO_REFERENCES = pd.DataFrame({"name": [], "test_ll": [], "n_samples": [], "source": []})


def curves(*names):
    counts = [100, 1000, 10_000]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "name": name,
                    "n_samples": counts,
                    "test_ll": np.log10(counts) * 10 + 20 * i,
                    "test_ll_se": 0.5,
                }
            )
            for i, name in enumerate(names)
        ]
    )


def test_a_curve_rises_from_the_left_below_that_of_training_images():
    picture = opened(score_curves(curves("winner", "training images"), NO_REFERENCES))
    blue, vermilion = pixels_of(picture, BLUE), pixels_of(picture, VERMILION)
    # Below the legend, where a row further down is a lower score.
    blue, vermilion = (x[x[:, 0] > 0.15 * picture.height] for x in (blue, vermilion))
    left, right = blue[blue[:, 1] == blue[:, 1].min()], blue[blue[:, 1] == blue[:, 1].max()]
    assert left[:, 0].mean() > right[:, 0].mean() + picture.height / 10
    assert vermilion[:, 0].mean() < blue[:, 0].mean()


def published(*scores):
    names = [f"net {i} of $" for i, _ in enumerate(scores)]
    origin = {"n_samples": 10_000, "source": "Somebody 2014"}
    return pd.DataFrame({"name": names, "test_ll": scores} | origin)


def test_a_curve_stands_beside_the_other_reference_lines():
    def grey_in(references):
        return len(pixels_of(opened(score_curves(curves("samples"), references)), GREY))

    assert grey_in(NO_REFERENCES) < 30
    assert grey_in(published(25.0, 35.0)) > grey_in(published(25.0)) + 20 > 50
    centroids = published(35.0).assign(source=None)
    assert not has(opened(score_curves(curves("samples"), NO_REFERENCES)), VERMILION)
    assert has(opened(score_curves(curves("samples"), centroids)), VERMILION)
