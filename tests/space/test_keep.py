"""Which state of a training a space keeps: the last or the best."""

import pytest

from gansearch.errors import SpaceError
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace

SPACE = {"dataset": "digits", "search": {"k": {"int": [1, 3]}}}


def test_the_last_state_is_kept_unless_a_space_says_best() -> None:
    assert SearchSpace.from_dict(SPACE).keep == "last"
    space = SearchSpace.from_dict({**SPACE, "keep": "best"})
    assert space.keep == "best"
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert load_space("digits", ["keep=best"]).keep == "best"
    assert "keep" not in load_space("digits").to_dict()  # as in the runs of older versions


@pytest.mark.parametrize("value", ["both", 1, ["best"], {"best": 1}, True])
def test_what_is_neither_is_refused(value) -> None:
    with pytest.raises(SpaceError, match=r"keep: found .*\. It must be best or last\."):
        SearchSpace.from_dict({**SPACE, "keep": value})
