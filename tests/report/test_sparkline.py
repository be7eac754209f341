import math

import pytest

from gansearch.report.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([math.nan, math.inf], ""),
        ([5.0], "▅"),
        ([2.0, 2.0], "▅▅"),
        ([0, 1, 2, 3], "▁▃▆█"),
        ([3, math.nan, -math.inf, 0], "█▁"),
        ([-1e308, 1e308], "▅▅"),
        (range(8), "▁▂▃▄▅▆▇█"),
    ],
)
def test_numbers_become_characters_from_the_least_to_the_greatest(values, shown):
    assert sparkline(values, 8) == shown


@pytest.mark.parametrize("width", [1, 2, 5, 12])
def test_of_many_numbers_the_last_is_always_there(width):
    found = sparkline([0.0] * 99 + [1.0], width, ascii_only=True)
    assert len(found) == width
    assert found.endswith("#" if width > 1 else "=")
    assert found.isascii()
