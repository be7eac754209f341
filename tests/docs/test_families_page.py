"""docs/families.md, held to the families' tables of parameters and measures."""

from pathlib import Path

import pytest

from gansearch.config import TrialConfig
from gansearch.family import _FAMILIES, DEFAULT_FAMILY, load_family
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space

PAGE = (Path(__file__).parents[2] / "docs" / "families.md").read_text()
FAMILIES = sorted(set(_FAMILIES) - {DEFAULT_FAMILY})


@pytest.mark.parametrize("name", FAMILIES)
def test_the_page_has_every_parameter_and_measure_of_a_family(name):
    family = load_family(name)
    parameters = set(family.config_type.rules()) - set(TrialConfig.rules())
    measures = {measure.name for measure in family.measures}
    missing = [each for each in parameters | measures if f"`{each}" not in PAGE]
    assert not missing
    assert f"`{name}`" in PAGE


def test_the_page_has_every_built_in_space_of_a_family():
    spaces = [name for name in builtin_spaces() if load_space(name).family.name != DEFAULT_FAMILY]
    assert spaces
    assert not [name for name in spaces if name not in PAGE]
