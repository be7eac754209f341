"""How many samples the evaluations of a run use, by the networks that it may train."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.family import Operations
from gansearch.rules import Config
from gansearch.scoring.cost import EvaluationSize, evaluation_size
from gansearch.space.search_space import SearchSpace


def choose_evaluation_size(
    space: SearchSpace, configs: Sequence[Config], dataset: Dataset
) -> EvaluationSize:
    """Return how many samples an evaluation uses: few enough for the fastest training of a run.

    Args:
        space: the searched space.
        configs: those that are trained instead of a search, if any.
        dataset: that they learn.
    """

    def operations() -> Iterator[Operations | None]:
        yield from map(known, configs or [space.largest(slowness), *space.baselines])

    def known(config: Config) -> Operations | None:
        try:
            return space.family.operations(config, dataset)
        except ConfigError:
            return None  # it has no networks, as its trial will say

    def slowness(config: Config) -> float:
        found = known(config)
        return -found.update / found.n_scored if found is not None else -math.inf

    return evaluation_size(dataset, space.budget, operations())
