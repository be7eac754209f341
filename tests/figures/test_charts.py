"""Charts: the colours, lines and places that carry what they say."""

import numpy as np
import pandas as pd
import pytest

from gansearch.figures.charts import learning_curves, ranking_figure, score_curves, stability_figure
from tests.figures.pictures import BLUE, GREY, VERMILION, has, opened, pixels_of


def history(**curves):
    return pd.DataFrame(
        [
            {"trial_id": trial_id, "updates": 1000 * (i + 1), "valid_ll": value}
            for trial_id, values in curves.items()
            for i, value in enumerate(values)
        ]
    )


def trials(**statuses):
    return pd.DataFrame({"trial_id": list(statuses), "status": list(statuses.values())})


def test_learning_curves_show_each_status_in_its_colour():
    statuses = trials(a="completed", b="pruned", c="collapsed", d="diverged", e="running")
    curves = history(a=[1, 5, 9], b=[1, 2], c=[0, -1, -2], d=[0, -3], e=[4])
    picture = opened(learning_curves(curves, statuses))
    for colour in ((0x00, 0x9E, 0x73), (0x56, 0xB4, 0xE9), (0xCC, 0x79, 0xA7), (0xE6, 0x9F, 0x00)):
        assert has(picture, colour)
    without = opened(learning_curves(curves[curves["trial_id"] != "a"], statuses))
    assert not has(without, (0x00, 0x9E, 0x73))


def test_a_trial_thousands_of_nats_below_does_not_flatten_the_curves_of_the_others():
    good = {f"t{i}": [0.0, 5.0 + i, 9.0 + i] for i in range(6)}
    statuses = trials(**dict.fromkeys(good, "completed"), bad="diverged")
    picture = opened(learning_curves(history(**good, bad=[-1e5, -2e5]), statuses))
    green = np.argwhere((np.asarray(picture.convert("RGB")) == (0x00, 0x9E, 0x73)).all(axis=2))
    assert np.ptp(green[:, 0]) > picture.height / 3


@pytest.mark.parametrize("valid_ll", [5.0, 200.0, -200.0])
def test_learning_curves_have_a_line_of_training_images_wherever_it_lies(valid_ll):
    vermilion = (0xD5, 0x5E, 0x00)
    curves, statuses = history(a=[1, 5, 9]), trials(a="completed")
    assert not has(opened(learning_curves(curves, statuses)), vermilion)
    training = {"name": "training images", "n_samples": 1000, "valid_ll": valid_ll}
    picture = np.asarray(opened(learning_curves(curves, statuses, training)).convert("RGB"))
    _, columns = np.nonzero((picture == vermilion).all(axis=2))
    assert np.ptp(columns) > 0.8 * picture.shape[1]  # across the axes, not in the legend alone


def test_infinite_scores_are_left_out_of_the_curves():
    picture = learning_curves(
        history(a=[1, np.nan, 3], b=[-np.inf]), trials(a="completed", b="diverged")
    )
    assert has(opened(picture), (0x00, 0x9E, 0x73))


def test_thousands_of_trials_are_drawn_as_five_hundred():
    names = [f"t{i:05d}" for i in range(2000)]
    curves = pd.DataFrame({"trial_id": names, "updates": 1000, "valid_ll": np.arange(2000.0)})
    statuses = pd.DataFrame({"trial_id": names, "status": "pruned"})
    assert has(opened(learning_curves(curves, statuses)), (0x56, 0xB4, 0xE9))


def ranking(scores, half=1.0):
    return pd.DataFrame(
        {
            "config_id": [f"c{i}" for i in range(len(scores))],
            "test_ll": scores,
            "test_ll_low": np.array(scores, float) - half,
            "test_ll_high": np.array(scores, float) + half,
            "test_ll_seeds": [[score - half, score + half] for score in scores],
            "is_paper": [i == 0 for i in range(len(scores))],
        }
    )


NO_REFERENCES = pd.DataFrame({"name": [], "test_ll": [], "n_samples": [], "source": []})


def test_the_ranking_has_the_best_on_top_and_to_the_right():
    picture = opened(ranking_figure(ranking([24.0, 12.0], half=0.1), NO_REFERENCES))
    blue = pixels_of(picture, BLUE)
    middle = (blue[:, 0].min() + blue[:, 0].max()) / 2
    top, bottom = blue[blue[:, 0] < middle], blue[blue[:, 0] > middle]
    assert top[:, 1].mean() > bottom[:, 1].mean() + picture.width / 3


def test_the_names_of_reference_lines_stay_within_the_ranking():
    lines = pd.DataFrame(
        {
            "name": ["training images", "k-means centroids", "fitted Gaussian"],
            "test_ll": [29.5, 26.9, 10.9],
            "n_samples": [1197, 239, 1197],
            "sigma_at_edge": True,
            "source": None,
        }
    )
    pixels = np.asarray(opened(ranking_figure(ranking([24.0, 12.0]), lines)).convert("L"))
    assert (pixels[:, [0, -1]] == 255).all()


def test_the_ranking_shows_a_line_for_real_data():
    reference = pd.DataFrame(
        {"name": ["training $images"], "n_samples": 1197, "test_ll": [29.0], "source": [None]}
    )
    with_line = opened(ranking_figure(ranking([24.0, 12.0]), reference))
    without = opened(ranking_figure(ranking([24.0, 12.0]), NO_REFERENCES))
    assert has(with_line, VERMILION)
    assert not has(without, VERMILION)
    line = pixels_of(with_line, VERMILION)[:, 1].max()
    assert line > pixels_of(with_line, BLUE)[:, 1].max()


def published(*scores):
    names = [f"net {i} of $" for i, _ in enumerate(scores)]
    origin = {"n_samples": 10_000, "source": "Somebody 2014"}
    return pd.DataFrame({"name": names, "test_ll": scores} | origin)


def test_published_figures_are_thin_grey_lines_apart_from_what_was_computed():
    grey = pixels_of(opened(ranking_figure(ranking([24.0, 12.0]), published(18.0))), GREY)
    # Smoothed letters have the odd pixel of any grey.
    assert len(grey) > 100
    without = opened(ranking_figure(ranking([24.0, 12.0]), NO_REFERENCES))
    assert len(pixels_of(without, GREY)) < 30
    # One line, through the axes from top to bottom.
    _, n_pixels = np.unique(grey[:, 1], return_counts=True)
    assert n_pixels.max() > 100


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


def test_a_curve_stands_beside_the_other_reference_lines():
    def grey_in(references):
        return len(pixels_of(opened(score_curves(curves("samples"), references)), GREY))

    assert grey_in(NO_REFERENCES) < 30
    assert grey_in(published(25.0, 35.0)) > grey_in(published(25.0)) + 20 > 50
    centroids = published(35.0).assign(source=None)
    assert not has(opened(score_curves(curves("samples"), NO_REFERENCES)), VERMILION)
    assert has(opened(score_curves(curves("samples"), centroids)), VERMILION)


def mapped(*counts):
    """A map of k = 1 and 2 and two ratios, from (n_survived, n_trials) of each cell."""
    survived, trials = np.array(counts, float).T
    return pd.DataFrame(
        {
            "value": ["1", "1", "2", "2"],
            "ratio": ["<1", ">=1"] * 2,
            "n_survived": survived.astype(int),
            "n_trials": trials.astype(int),
            "p_survives": np.where(trials > 0, survived / np.maximum(trials, 1), np.nan),
        }
    )


def decisive(survival, quality):
    return pd.DataFrame(
        {
            "target": ["survival"] * 2 + ["quality"] * 2,
            "parameter": ["k", "generator_lr"] * 2,
            "importance": [*survival, *quality],
        }
    )


NOTHING_DECIDES = decisive([np.nan] * 2, [np.nan] * 2)
# The ends of cividis.
DEADLY, SAFE = (0, 34, 77), (253, 231, 55)


def test_the_map_has_large_k_on_top_and_a_blank_where_nothing_was_tried():
    picture = opened(stability_figure(mapped((0, 9), (9, 9), (0, 0), (9, 9)), NOTHING_DECIDES))
    # Left of the colour bar.
    deadly, safe = (pixels_of(picture.crop((0, 0, 400, picture.height)), c) for c in (DEADLY, SAFE))
    assert deadly[:, 0].min() > picture.height / 3
    assert deadly[:, 1].max() < safe[:, 1].min()
    assert safe[:, 0].min() < picture.height / 3
    # The cell above the deadly one has no colour but the page's.
    above = picture.convert("RGB").getpixel((int(deadly[:, 1].mean()), int(safe[:, 0].min()) + 20))
    assert above == (255, 255, 255)


def test_what_decides_is_drawn_beside_the_map_survival_and_quality_apart():
    cells = mapped((0, 9), (9, 9), (3, 4), (9, 9))
    alone = opened(stability_figure(cells, NOTHING_DECIDES))
    both = opened(stability_figure(cells, decisive([0.9, 0.0], [0.1, 0.4])))
    assert both.width > 1.8 * alone.width
    survival, quality = pixels_of(both, VERMILION), pixels_of(both, BLUE)
    # The axis ends at 1, and .9 is more than twice as long as .4; the most decisive is on top.
    longest = np.ptp(survival[survival[:, 0] > 0.15 * both.height][:, 1])
    shorter = np.ptp(quality[quality[:, 0] > 0.15 * both.height][:, 1])
    assert longest == pytest.approx(0.9 / 0.4 * shorter, rel=0.05)
    assert np.median(survival[:, 0]) < np.median(quality[:, 0])


def test_without_a_map_what_decides_is_drawn_alone():
    bars = opened(
        stability_figure(mapped(*[(1, 1)] * 4).iloc[:0], decisive([0.9, 0.1], [np.nan] * 2))
    )
    assert has(bars, VERMILION)
    assert not has(bars, SAFE)


def test_a_configuration_without_an_interval_is_drawn_as_a_dot():
    alone = ranking([24.0, 12.0])
    alone.loc[0, ["test_ll_low", "test_ll_high"]] = np.nan
    picture = opened(ranking_figure(alone, NO_REFERENCES))
    blue = pixels_of(picture, BLUE)
    middle = (blue[:, 0].min() + blue[:, 0].max()) / 2
    top, bottom = blue[blue[:, 0] < middle], blue[blue[:, 0] > middle]
    assert np.ptp(top[:, 1]) < 15
    assert np.ptp(bottom[:, 1]) > 40


def test_a_configuration_without_a_score_is_left_out_of_the_figure():
    some = ranking([24.0, 12.0, np.nan])
    assert opened(ranking_figure(some, NO_REFERENCES)).size == (
        opened(ranking_figure(some.iloc[:2], NO_REFERENCES)).size
    )
