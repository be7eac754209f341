"""How good completions are: held-out examples, of which a part is hidden, and several guesses each.

Of an example x, the hidden coordinates S get m completions c_1..c_m, given the visible ones. Scores
are per hidden value, so that masks of any size can be averaged: log-likelihoods and squared errors
are divided by |S|, distances by its square root.

    hidden_ll      (1/|S|) log (1/m) sum_j N(x_S; c_j, sigma^2 I), sigma chosen on other examples
    energy_score   mean |c_j - x_S| - (1/2) mean |c_i - c_j|    (Gneiting and Raftery 2007, Eq. 22)
    diversity      mean |c_i - c_j| over that of the nearest training examples
    hidden_error   RMS distance from x_S to the mean of the completions, or to the best

The energy score is strictly proper: in expectation the true conditional distribution alone is best.
The error of the mean is not: it is least for one blurred guess m times. What the scores are of the
training examples that are nearest by the visible part, as completions, is their reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gansearch.data.dataset import Dataset
from gansearch.scoring.masks import kinds_of, masks_of_kind, over_channels
from gansearch.scoring.neighbours import training_blocks
from gansearch.scoring.parzen import sigma_grid
from gansearch.seeds import trial_seed

N_COMPLETIONS = 20  # of an example
_N_EXAMPLES, _N_FINAL = 100, 500  # of each kind of masks: at an evaluation, and at the end

Part = Literal["sigma", "valid", "test"]
# Questions and how many completions, to completions `[n, m, dim]`, whole examples.
Complete = Callable[["Questions", int], np.ndarray]


@dataclass(frozen=True)
class Questions:
    """Held-out examples with masks of one kind.

    Attributes:
        x: `[n, dim]`, float32.
        masks: `[n, n_units]`, 1 where x is visible.
        hidden: `[n, dim]`, bool, where it is not.
    """

    x: Tensor
    masks: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class CompletionScores:
    """Means over questions of one kind; the fields are those of the module's docstring.

    Attributes:
        spread: mean distance between two completions of an example, the numerator of diversity.
    """

    hidden_ll: float
    energy_score: float
    hidden_error: float
    hidden_error_best: float
    spread: float


def questions(dataset: Dataset, part: Part, n: int) -> dict[str, Questions]:
    """Return at most n questions for each kind of masks that suits the data.

    They are the same for all trainings. Those of "sigma" are of the first half of the validation
    set, those of "valid" of the second.
    """
    half = len(dataset.valid) // 2
    rows = {"sigma": dataset.valid[:half], "valid": dataset.valid[half:], "test": dataset.test}
    x = torch.from_numpy(dataset.to_float(rows[part][:n]))
    found = {}
    for kind in kinds_of(dataset.shape):
        masks = masks_of_kind(kind, dataset.shape, len(x), trial_seed(0, f"masks of {part}", 0))
        found[kind] = Questions(x, masks, over_channels(masks, dataset.shape) == 0)
    return found


class CompletionEvaluator:
    """Scores the completions of trainings on one data set."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._grid = sigma_grid("fine", is_image=dataset.is_image, is_bounded=dataset.is_bounded)
        self._asked: dict[tuple[Part, int], dict[str, Questions]] = {}
        self._of_nearest: dict[tuple[Part, int], dict[str, CompletionScores]] = {}

    def measure(
        self, complete: Complete, split: Literal["valid", "test"], *, at_end: bool
    ) -> dict[str, float]:
        """Return the measures by name: the means over the kinds of masks, and some for each."""
        n = _N_FINAL if at_end else _N_EXAMPLES
        found, nearest = self.scores(complete, split, n), self.nearest_scores(split, n)
        values = {name: _mean(found, name) for name in _MEANS}
        diversity = {
            kind: _ratio(each.spread, nearest[kind].spread) for kind, each in found.items()
        }
        values["completion_diversity"] = float(np.mean(list(diversity.values())))
        values |= {f"hidden_ll_{kind}": each.hidden_ll for kind, each in found.items()}
        if at_end:
            values |= {f"completion_diversity_{kind}": each for kind, each in diversity.items()}
            values |= {f"{name}_nearest": _mean(nearest, name) for name in _MEANS[:2]}
        return values

    def scores(
        self, complete: Complete, split: Literal["valid", "test"], n: int
    ) -> dict[str, CompletionScores]:
        """Return the scores of completions for each kind of masks, from at most n questions."""
        sought = self._questions("sigma", n)
        scores = {}
        for kind, asked in self._questions(split, n).items():
            guesses = complete(sought[kind], N_COMPLETIONS)
            sigma = choose_sigma(guesses, sought[kind], self._grid)
            scores[kind] = score_completions(complete(asked, N_COMPLETIONS), asked, sigma)
        return scores

    def nearest_scores(
        self, split: Literal["valid", "test"], n: int
    ) -> dict[str, CompletionScores]:
        """Return the scores of the nearest training examples as completions."""
        if (split, n) not in self._of_nearest:
            found = self.scores(self._nearest, split, n)
            self._of_nearest[split, n] = found
        return self._of_nearest[split, n]

    def _nearest(self, asked: Questions, m: int) -> np.ndarray:
        return nearest_completions(self._dataset, asked, m)

    def _questions(self, part: Part, n: int) -> dict[str, Questions]:
        if (part, n) not in self._asked:
            self._asked[part, n] = questions(self._dataset, part, n)
        return self._asked[part, n]


_MEANS = ("hidden_ll", "energy_score", "hidden_error", "hidden_error_best")


def score_completions(completions: np.ndarray, asked: Questions, sigma: float) -> CompletionScores:
    """Return the scores of completions `[n, m, dim]`, m > 1, at a sigma of the Parzen window."""
    hidden = asked.hidden.numpy()
    n_hidden = hidden.sum(axis=1)
    made = completions.astype(np.float64) * hidden[:, None]
    x = asked.x.numpy().astype(np.float64) * hidden
    squared = np.square(made - x[:, None]).sum(axis=2)
    centre = np.square(made.mean(axis=1) - x).sum(axis=1)
    # Of two different completions: with itself each has distance 0.
    spread = np.array([_mean_distance(each) for each in made]) / np.sqrt(n_hidden)
    distance = np.sqrt(squared).mean(axis=1) / np.sqrt(n_hidden)
    return CompletionScores(
        hidden_ll=float(_log_likelihoods(squared, n_hidden, [sigma])[0].mean()),
        energy_score=float((distance - spread / 2).mean()),
        hidden_error=float(np.sqrt((centre / n_hidden).mean())),
        hidden_error_best=float(np.sqrt((squared.min(axis=1) / n_hidden).mean())),
        spread=float(spread.mean()),
    )


def choose_sigma(
    completions: np.ndarray, asked: Questions, grid: Sequence[float] | np.ndarray
) -> float:
    """Return the sigma of the grid at which the mean of hidden_ll is highest."""
    hidden = asked.hidden.numpy()
    made, x = completions.astype(np.float64), asked.x.numpy().astype(np.float64)
    squared = (np.square(made - x[:, None]) * hidden[:, None]).sum(axis=2)
    lls = _log_likelihoods(squared, hidden.sum(axis=1), grid).mean(axis=1)
    return float(grid[int(lls.argmax())])


def nearest_completions(dataset: Dataset, asked: Questions, m: int) -> np.ndarray:
    """Return the m training examples that are nearest by the visible part, `[n, m, dim]`.

    The nearest comes first. Where there are fewer than m, they are repeated.
    """
    n = len(asked.x)
    visible = (~asked.hidden).float()
    best = torch.full((n, 0), torch.inf)
    rows = torch.zeros(n, 0, dtype=torch.int64)
    for start, block in training_blocks(dataset, n):
        # Less the visible part's own squared norm, which all distances of a question share.
        far = visible @ block.square().T - 2 * (visible * asked.x) @ block.T
        found = torch.arange(start, start + len(block)).expand(n, -1)
        best, order = torch.cat((best, far), 1).topk(
            min(m, best.shape[1] + len(block)), dim=1, largest=False
        )
        rows = torch.cat((rows, found), 1).gather(1, order)
    repeated = rows[:, torch.arange(m) % rows.shape[1]].numpy()
    return dataset.to_float(dataset.train[repeated.ravel()]).reshape(n, m, -1)


def _log_likelihoods(
    squared: np.ndarray, n_hidden: np.ndarray, sigmas: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return the log-likelihood of each question per hidden value, `[n_sigmas, n]`, in nats."""
    nearest = squared.min(axis=1)
    rows = []
    for sigma in sigmas:
        kernels = np.exp((nearest[:, None] - squared) / (2 * sigma**2))
        log_mean = np.log(kernels.mean(axis=1)) - nearest / (2 * sigma**2)
        rows.append(log_mean / n_hidden - math.log(sigma * math.sqrt(2 * math.pi)))
    return np.stack(rows)


def _mean_distance(points: np.ndarray) -> float:
    """Return the mean distance between two different ones of points `[m, d]`."""
    m = len(points)
    norms = np.square(points).sum(axis=1)
    squared = norms[:, None] + norms - 2 * points @ points.T
    np.fill_diagonal(squared, 0)
    return float(np.sqrt(squared.clip(min=0)).sum() / (m * (m - 1)))


def _ratio(value: float, reference: float) -> float:
    """Return a ratio; NaN where the reference is 0, as of rows that are equal."""
    return value / reference if reference > 0 else math.nan


def _mean(scores: Mapping[str, CompletionScores], name: str) -> float:
    return float(np.mean([getattr(each, name) for each in scores.values()]))
