import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gansearch.data.dataset import Dataset
from gansearch.scoring import comparison, references
from gansearch.scoring.comparison import curve_with_references, evaluate_with_references
from gansearch.scoring.evaluation import final_score, scores_by_count
from gansearch.scoring.lines import edge_warnings, line_title
from gansearch.scoring.references import References, reference_scores

FEWER = "The score comes from {n} samples, where the protocol takes 10,000. Fewer score lower"


@pytest.fixture
def other_warnings(digits: Dataset, digits_lines: References) -> Any:
    """Return the warnings about samples, except that they are fewer than the protocol's."""

    def warnings_of(samples: np.ndarray) -> Any:
        first, *others = evaluate_with_references(digits, samples, digits_lines)["warnings"]
        assert first.startswith(FEWER.format(n=f"{len(samples):,}"))
        return others

    return warnings_of


def test_fewer_samples_than_the_protocols_are_warned_of_with_the_difference(
    digits: Dataset, digits_lines: References
) -> None:
    samples = digits.to_float(digits.train[:200])
    (warning, _copies) = evaluate_with_references(digits, samples, digits_lines)["warnings"]
    scores = {row["n_samples"]: row["test_ll"] for row in digits_lines.curve}
    assert scores[200] < scores[1197] - 5
    assert warning == FEWER.format(n=200) + (
        f" (training images: {scores[200]:.1f} nats from 200, {scores[1197]:.1f} from 1,197): "
        "compare it only with scores of as many."
    )


def found(**changes: Any) -> dict[str, Any]:
    sound = {"test_ll": 20.0, "n_samples": 10_000, "train_nn_ratio": 1.0, "sigma_at_edge": False}
    return sound | changes


def test_the_protocols_number_and_more_are_not_called_few(
    digits: Dataset, digits_lines: References
) -> None:
    for n, n_warnings in ((9999, 1), (10_000, 0), (50_000, 0)):
        warnings = comparison._warnings(digits, found(n_samples=n), digits_lines.curve)
        assert len(warnings) == n_warnings
    # Without a curve that reaches so far, no figures are made up.
    for curve, n in (([], 200), (digits_lines.curve, 50), (digits_lines.curve, 5000)):
        warnings = comparison._warnings(digits, found(n_samples=n), curve)
        assert warnings[0].endswith("Fewer score lower: compare it only with scores of as many.")


def test_new_real_images_get_the_warning_of_few_samples_only(digits: Dataset) -> None:
    fewer = replace(digits, train=digits.train[:900], labels=None)
    found = evaluate_with_references(
        fewer, digits.to_float(digits.train[900:]), reference_scores(fewer)
    )
    (only,) = found["warnings"]
    assert only.startswith(FEWER.format(n=297))
    assert found["train_nn_ratio"] == pytest.approx(1, abs=0.1)


def test_a_score_without_a_comparison_says_so_and_names_the_command(
    digits: Dataset,
) -> None:
    blurred = np.tile(references._k_means(digits, 200), (50, 1))
    lines = reference_scores(digits, compute=False)
    assert evaluate_with_references(digits, blurred, lines)["warnings"] == [
        "The score was not compared with that of the training examples themselves, which takes "
        "minutes to compute and is not in the cache. `gansearch evaluate SAMPLES.npy --dataset "
        "digits` without --json or with --curve computes and caches it, and so does the end of "
        "every run."
    ]


def test_an_evaluation_is_strict_json_with_the_lines(
    digits: Dataset, digits_lines: References
) -> None:
    found = evaluate_with_references(digits, digits.to_float(digits.valid), digits_lines)
    again = json.loads(json.dumps(found, allow_nan=False))
    assert [*again][-2:] == ["references", "warnings"]
    assert again["references"][0]["name"] == "training images"


def test_a_score_above_that_of_as_many_training_images_is_warned_of(
    digits: Dataset, digits_lines: References, other_warnings: Any
) -> None:
    (above,) = other_warnings(references._k_means(digits, 200))
    real = next(row["test_ll"] for row in digits_lines.curve if row["n_samples"] == 200)
    assert above == (
        f"The score lies above the {real:.1f} nats of as many training images. The Parzen "
        "estimate rewards blurred samples and copies. Look at the samples."
    )


def test_more_samples_than_there_are_training_images_are_compared_with_all_of_these(
    digits: Dataset, digits_lines: References
) -> None:
    curve = digits_lines.curve
    assert comparison._warnings(digits, found(test_ll=29.4), curve) == []
    half = np.interp(
        np.log(1197 / 2), *(np.log([500, 1000]), [row["test_ll"] for row in curve[2:4]])
    )
    assert comparison._warnings(digits, found(test_ll=29.6), curve) == [
        f"The score, from 10,000 samples, lies above the {curve[-1]['test_ll']:.1f} nats of 1,197 "
        "training images, the most there are to compare with. More samples score higher: the last "
        f"doubling of these gave {curve[-1]['test_ll'] - half:.1f} nats, and as much for each "
        "further doubling may be genuine. The Parzen estimate rewards blurred samples and copies. "
        "Look at the samples."
    ]
    # What one training image more scores is no matter of doublings.
    (short,) = comparison._warnings(digits, found(test_ll=29.6), curve[:1])
    assert "More samples score higher. The Parzen" in short


def test_as_many_doublings_as_the_warning_allows_for_are_what_new_real_images_gain(
    digits: Dataset,
) -> None:
    # 300 images for a data set, and the 897 others, which are no worse than these.
    images = digits.to_float(digits.train)
    curve = scores_by_count(digits, images[:300])
    gain = curve[-1]["test_ll"] - comparison._training_ll(curve, 150)
    lead = final_score(digits, images[300:]).parzen.test_ll - curve[-1]["test_ll"]
    assert 0.7 < lead / (gain * np.log2(897 / 300)) < 1.1


def test_copies_are_warned_of_and_as_training_images_score_no_higher(
    digits: Dataset, other_warnings: Any
) -> None:
    assert other_warnings(digits.to_float(digits.train)) == [
        "The samples lie 0 times as far from training examples as new real ones do: they may be "
        "copies, or blurred. Compare each with its nearest."
    ]


def test_a_sigma_at_the_edge_is_warned_of(digits: Dataset, other_warnings: Any) -> None:
    # Samples that repeat the validation data: the narrower the better.
    assert other_warnings(digits.to_float(digits.valid)) == [
        "The best sigma is at the edge of its grid, so the score is not valid."
    ]


def test_a_curve_beside_training_images_does_not_depend_on_the_samples_order(
    digits: Dataset, digits_lines: References
) -> None:
    samples = digits.to_float(digits.train[:600])
    by_ink = samples[np.argsort(samples.sum(axis=1))]
    curve = curve_with_references(digits, by_ink, digits_lines, name="mine")
    assert [row["name"] for row in curve] == ["mine"] * 4 + ["training images"] * 5
    assert [row["n_samples"] for row in curve[:4]] == [100, 200, 500, 600]
    # The first 200 alone would be the thinnest digits.
    thin = final_score(digits, by_ink[:200]).parzen.test_ll
    assert curve[1]["test_ll"] > thin + 2
    assert math.isfinite(curve[0]["test_ll"])


def test_a_reference_line_whose_sigma_stands_at_the_edge_is_marked_and_warned_of(
    digits: Dataset,
) -> None:
    # The validation images are training images: the narrowest window fits best.
    copied = replace(digits, train=digits.valid, labels=None)
    training = copied.to_float(copied.train)
    line = references._line("training images", copied, training)
    assert line["sigma_at_edge"]
    assert line_title(line) == "training images (sigma at edge)"
    (warning,) = edge_warnings([line, line | {"sigma_at_edge": None}])
    assert warning.startswith("Reference line training images: the best sigma is at the edge")
    found = evaluate_with_references(copied, training, References([line], []))
    assert warning in found["warnings"]


def test_lines_of_older_runs_are_not_marked() -> None:
    assert line_title({"name": "training images", "sigma_at_edge": None}) == "training images"
    assert line_title({"name": "training images"}) == "training images"
