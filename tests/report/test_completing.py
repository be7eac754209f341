"""Completions by a run's generators: from Python, as a file, and what can't be asked for."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gansearch.cli import cli
from gansearch.data.registry import load_dataset
from gansearch.data.units import Units
from gansearch.errors import BadInputError
from gansearch.family import family_of
from gansearch.report import completing
from gansearch.report.run import Run
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import StoredGenerator, save_generator
from tests.written_runs import described

DIGITS = load_dataset("digits")
SMALL = {"generator_widths": (16,), "discriminator_widths": (16,), "noise_dim": 4}
HALF = np.repeat([[1, 0]], 4, axis=1).repeat(8, axis=0)  # [8, 8], the right half is hidden
FAMILY = family_of({"family": "inpainting_nets"})


def run_of(tmp_path, dataset="digits", family="inpainting_nets", **config):
    folder = RunFolder.create(tmp_path, "some")
    folder.write_run(described(name="some"))
    family, data = family_of({"family": family}), load_dataset(dataset)
    made = family.config_type(**SMALL | config)
    training = family.build(made, data, 5, "cpu")
    where = {"family": family, "dataset": dataset, "shape": data.shape}
    save_generator(folder.model_dir("t00000"), family.export(training, 5), made, **where)
    return Run(folder.path)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("run"))


def complete(run, x, mask, n=3):
    return run.complete(x, mask, n, trial="t00000")


def test_completions_agree_with_x_where_it_is_visible_whatever_lies_below_the_mask(digits_run):
    x = DIGITS.to_float(DIGITS.test[:2])
    made = complete(digits_run, x, HALF)
    assert made.shape == (2, 3, 64) and made.dtype == np.float32
    images = made.reshape(2, 3, 8, 8)
    wanted = np.repeat(x.reshape(2, 1, 8, 8), 3, axis=1)
    np.testing.assert_array_equal(images[..., :4], wanted[..., :4])
    assert not np.array_equal(images[:, 0, :, 4:], images[:, 1, :, 4:])
    unknown = np.where(HALF.ravel(), x, np.nan)
    np.testing.assert_array_equal(made, complete(digits_run, unknown, HALF))


def test_examples_and_masks_may_have_the_shape_of_an_image(digits_run):
    x = DIGITS.to_float(DIGITS.test[:2])
    made = complete(digits_run, x, HALF)
    for masks in (
        HALF.ravel(),
        HALF.astype(bool),
        np.stack([HALF, HALF]),
        HALF[None].astype(float),
    ):
        np.testing.assert_array_equal(made, complete(digits_run, x.reshape(2, 8, 8, 1), masks))
    np.testing.assert_array_equal(made[:1, :, :4], complete(digits_run, x[0], HALF)[:, :, :4])


def test_points_are_given_and_returned_in_their_own_units():
    class Stub:
        def complete(self, x, mask, n):
            assert x[~mask].tolist() == [0, 0]  # the mean, as far as is known
            np.testing.assert_allclose(x[mask], [-1, 2], atol=1e-6)
            return np.repeat(x[:, None], n, axis=1) + 5 * ~mask[:, None]

    units = Units(np.array([100.0, 0.0]), np.array([10.0, 0.5]))
    saved = StoredGenerator(Stub(), "mine", (2,), units)
    x = np.array([[90.0, np.nan], [7.0, 1.0]])
    made = completing._completed(saved, x, [[True, False], [False, True]], 2)
    np.testing.assert_array_equal(made, [[[90, 2.5]] * 2, [[150, 1]] * 2])


@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        (
            np.zeros((2, 9)),
            HALF,
            "x: found an array of float64, [2, 9]. It must be numbers",
        ),
        (np.zeros((0, 64)), HALF, "x: found an array of float64, [0, 64]. It must be numbers"),
        (np.full((2, 64), np.nan), HALF, "x: NaN, infinite or huge values where it is visible."),
        (
            np.full((2, 64), 16.0),
            HALF,
            "x: found visible values from 16 to 16. Pixels lie",
        ),
        (
            np.zeros((2, 64)),
            HALF[:7],
            "mask: found shape [7, 8]. It must be [8, 8], True",
        ),
        (np.zeros((2, 64)), np.stack([HALF] * 3), "mask: found shape [3, 8, 8]. It must be [8, 8]"),
        (
            np.zeros((2, 64)),
            HALF * 255,
            "mask: found values other than 0 and 1. A mask is",
        ),
        (
            np.zeros((2, 64)),
            HALF * 0 + 1,
            "mask: that of example 0 hides nothing, so that",
        ),
        (
            np.zeros((2, 64)),
            np.stack([HALF, HALF * 0]),
            "mask: that of example 1 hides all, so that its completions are",
        ),
    ],
)
def test_what_is_no_example_or_no_mask_gets_one_clear_error(digits_run, x, mask, message):
    with pytest.raises(BadInputError, match=f"^{re.escape(message)}"):
        complete(digits_run, x, mask)


@pytest.mark.parametrize("n", [0, True, 1.5])
def test_the_number_of_completions_is_a_whole_number(digits_run, n):
    with pytest.raises(
        BadInputError, match=r"^n: found .* It must be a whole number, from 1 on\.$"
    ):
        complete(digits_run, np.zeros((1, 64)), HALF, n)
    with pytest.raises(BadInputError, match="completions of 1 example, 23,842 GiB"):
        complete(digits_run, np.zeros((1, 64)), HALF, 10**11)


def sample(run, out, *arguments):
    command = ["sample", str(run.path), "--trial", "t00000", "--out", str(out), *arguments]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


def test_the_command_writes_completions_of_test_examples(digits_run, tmp_path):
    out = tmp_path / "c.npy"
    result = sample(digits_run, out, "--complete", "halves", "--n", "3")
    assert result.output.endswith("8 completions of each of 3 test examples by t00000\n")
    made, x = np.load(out), DIGITS.to_float(DIGITS.test[:3])
    assert made.shape == (3, 8, 64)
    same = (made == x[:, None]).all(1).reshape(3, 8, 8)
    assert (same.sum((1, 2)) >= 32).all()

    np.save(tmp_path / "mask.npy", HALF)
    sample(digits_run, out, "--complete", str(tmp_path / "mask.npy"), "--n", "3")
    np.testing.assert_array_equal(np.load(out), complete(digits_run, x, HALF, 8))

    sample(digits_run, tmp_path / "c.png", "--complete", "blocks")
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.width == 10 * 50 + 2


def test_points_are_drawn_over_the_training_points(tmp_path):
    run = run_of(tmp_path, "ring", generator_output="linear")
    sample(run, tmp_path / "c.png", "--complete", "random")
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.size == (720, 720)
    with pytest.raises(BadInputError, match=r"no halves or blocks\. Use random\."):
        completing.write_completions(run, tmp_path / "d.png", "halves", trial_id="t00000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--complete", "halfs"],
            "--complete halfs: no such masks, nor a .npy file of one.",
        ),
        (["--complete", "none.npy"], "none.npy: "),
        (["--complete", "halves", "--nearest"], "--complete, --nearest: they exclude each other."),
        (["--complete", "halves", "--interpolate"], "--complete, --interpolate: they exclude"),
        (["--complete", "halves", "--label", "3"], "--complete, --label: they exclude each other."),
        (["--complete", "halves", "--reconstruct"], "--complete, --reconstruct: they exclude"),
        (["--reconstruct", "--nearest"], "--reconstruct, --nearest: they exclude each other."),
        (["--reconstruct"], "this run have no inference network, so nothing is inferred"),
    ],
)
def test_commands_that_make_no_sense_get_one_clear_error(digits_run, tmp_path, arguments, message):
    command = ["sample", str(digits_run.path), "--trial", "t00000", *arguments]
    result = CliRunner().invoke(cli, [*command, "--out", str(tmp_path / "x.png")])
    assert isinstance(result.exception, BadInputError) or result.exit_code == 2
    assert message in (result.output + str(result.exception))


def test_another_family_says_that_it_completes_nothing(tmp_path):
    run = run_of(tmp_path, family="adversarial_nets")
    with pytest.raises(BadInputError, match=r"this model family don't complete examples\."):
        complete(run, np.zeros((1, 64)), HALF)
