"""The preset that is trained again beside the best: the paper's where there is one, or a user's."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gansearch.data.registry import COMMON
from gansearch.errors import SpaceError
from gansearch.family import ModelFamily
from gansearch.rules import Config, parameter
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace

SPACE = {
    "dataset": "digits",
    "search": {"k": {"int": [1, 3]}},
    "presets": {"r1": {"k": 2}},
    "budget": {"top": 2},
}


@dataclass(frozen=True)
class OwnConfig(Config):
    """The table of a user's family."""

    k: int = parameter(1, "int", "anything", low=1, high=9)


class OwnFamily(ModelFamily[OwnConfig]):
    """Trains nothing."""

    config_type = OwnConfig

    def build(self, config, dataset, seed, device):
        raise NotImplementedError


@pytest.mark.parametrize("name", [name for name in COMMON if "-" not in name])
def test_on_the_built_in_data_the_papers_configuration_is_the_baseline(name: str) -> None:
    space = load_space(name)
    assert space.baseline == space.preset("paper")
    assert space.n_finalists == space.budget.top + 1


def test_ones_own_images_have_no_baseline_unless_the_space_names_one() -> None:
    space = load_space("folder")
    assert (space.baseline, space.baselines, space.n_finalists) == (None, [], space.budget.top)
    assert load_space("folder", ["baseline=dcgan"]).baseline == space.preset("dcgan")


def test_a_users_family_has_no_baseline_unless_the_space_names_one() -> None:
    own = {**SPACE, "family": f"{__name__}:OwnFamily"}
    assert SearchSpace.from_dict(own).baseline is None
    assert SearchSpace.from_dict({**own, "baseline": "defaults"}).baseline == OwnConfig()
    assert SearchSpace.from_dict({**own, "baseline": "r1"}).baseline == OwnConfig(k=2)


def test_a_space_names_a_preset_as_its_baseline_or_none() -> None:
    space = SearchSpace.from_dict({**SPACE, "baseline": "r1"})
    assert space.baseline is not None and space.baseline.k == 2
    assert SearchSpace.from_dict({**SPACE, "baseline": "none"}).baseline is None
    assert load_space("digits", ["baseline=none"]).baseline is None
    for each in (space, load_space("digits", ["baseline=none"]), load_space("folder")):
        assert SearchSpace.from_dict(each.to_dict()) == each


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(SpaceError) as error:
        SearchSpace.from_dict({**SPACE, "baseline": "papers"})
    assert str(error.value).endswith("baseline: no preset is called 'papers'. Did you mean paper?")
    with pytest.raises(SpaceError, match=r"baseline: no preset is called \{'k': 1\}\."):
        SearchSpace.from_dict({**SPACE, "baseline": {"k": 1}})
