"""Numbers, times and texts."""

import pytest

from gansearch.report.formatting import duration


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (91, "91 s"),
        (120, "2 min"),
        (3600, "60 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_times_are_told_as_people_say_them(seconds, told):
    assert duration(seconds) == told
