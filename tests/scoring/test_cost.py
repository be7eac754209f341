"""How many samples an evaluation uses: few enough, and the same for all of a run."""

import dataclasses

import numpy as np
import pytest

from gansearch.budget import Budget
from gansearch.data.dataset import SPLITS, Dataset, Labels
from gansearch.data.registry import load_dataset
from gansearch.family import Operations
from gansearch.scoring.cost import MAX_SHARE, EvaluationSize, evaluation_size
from gansearch.scoring.evaluation import Evaluator
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space
from gansearch.training.operations import rough_operations
from gansearch.trial.evaluation_size import choose_evaluation_size

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "tfd": (48, 48, 1), "folder": (64, 64, 3)}


def images(shape, n=3000):
    """Return a data set of images that takes no memory."""
    array = np.broadcast_to(np.zeros(1, np.uint8), (n, int(np.prod(shape))))
    labels = Labels.of(tuple("0123456789"), **dict.fromkeys(SPLITS, np.arange(n) % 10))
    return Dataset("folder", array, array, array, shape, 255.0, labels=labels)


LARGE = images(SHAPES["folder"])


@pytest.mark.parametrize("name", builtin_spaces())
def test_the_built_in_spaces_keep_a_thousand_samples(name):
    space = load_space(name)
    shape = SHAPES.get(space.dataset)
    dataset = images(shape, 20_000) if shape else load_dataset(space.dataset)
    assert choose_evaluation_size(space, [], dataset).n_samples == 1000


def test_the_more_often_a_trial_is_evaluated_the_fewer_samples_it_takes():
    space = load_space("folder")
    found = [
        evaluation_size(
            LARGE,
            Budget(max_updates=10_000, reports=reports),
            [rough_operations(space.preset("paper"), LARGE)],
        )
        for reports in (10, 100, 200, 400, 2000)
    ]
    numbers = [size.n_samples for size in found]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == 1000
    assert 100 < numbers[3] < 1000
    assert all(size.share <= MAX_SHARE for size in found if size.n_samples > 100)
    assert (numbers[-1], found[-1].share > MAX_SHARE) == (100, True)  # which a dry run says


def test_the_fastest_training_decides():
    budget = Budget(max_updates=1000, reports=20)
    slow, fast = Operations(1e11, 1e9), Operations(1e9, 1e9)
    alone = evaluation_size(LARGE, budget, [slow]).n_samples
    assert evaluation_size(LARGE, budget, [slow, fast]).n_samples < alone == 1000


def test_scoring_the_weights_beside_their_average_counts_twice():
    budget = Budget(max_updates=1000, reports=10)
    once, twice = Operations(1e9, 1e9), Operations(1e9, 1e9, n_scored=2)
    numbers = [evaluation_size(LARGE, budget, [each]).n_samples for each in (once, twice)]
    assert numbers[1] < numbers[0] < 1000
    averaged = dataclasses.replace(load_space("folder").preset("paper"), generator_ema=0.999)
    assert rough_operations(averaged, LARGE).n_scored == 2


def test_a_family_whose_cost_is_unknown_and_cheap_data_keep_a_thousand_samples():
    budget = Budget(max_updates=20, reports=20)
    assert evaluation_size(LARGE, budget, [None]) == EvaluationSize(1000)
    assert evaluation_size(load_dataset("digits"), budget, iter(())) == EvaluationSize(1000)


def test_making_the_samples_counts_however_few_examples_there_are():
    few = images(SHAPES["folder"], 60)
    budget = Budget(max_updates=60, reports=20)
    size = evaluation_size(
        few, budget, [rough_operations(load_space("folder").preset("paper"), few)]
    )
    assert (size.n_samples, size.share > MAX_SHARE) == (100, True)


def test_an_evaluation_of_fewer_samples_uses_as_many_examples():
    digits = load_dataset("digits")
    evaluator = Evaluator(digits, n_samples=100)
    assert (evaluator.n_samples, evaluator.reference.n, len(evaluator._valid)) == (100, 100, 100)
    found = evaluator.evaluate(digits.to_float(digits.train[:100]))
    assert np.isfinite(found.valid_ll)
    assert Evaluator(digits).n_samples == 1000


def test_convolutions_and_packs_are_counted():
    space = load_space("folder")
    dense = rough_operations(space.preset("paper"), LARGE)
    weights = 1200 * (1200 + 12288)  # of G, beside the noise's
    assert dense.samples == pytest.approx(1000 * 2 * weights, rel=0.1)
    packed = rough_operations(space.table(packing=2), LARGE)
    assert packed.update > 1.5 * rough_operations(space.table(), LARGE).update
    assert rough_operations(space.preset("dcgan"), LARGE).update > 2 * dense.update
