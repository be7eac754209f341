"""The study of populations: whole searches of real trainings, small ones here."""

import math

from benchmarks.studies.populations import compare

TINY = (
    *("trials=10", "max_updates=400", "reports=8", "grace=0.25", "start_from=[]"),
    *("generator_widths=[16]", "discriminator_widths=[16]", "generator_lr={float: [0.001, 0.01]}"),
)


def test_a_population_is_compared_with_today_s_search_at_equal_updates():
    found, today = compare("ring", TINY, ("tpe + pbt",), 0, 0)
    assert (found["arm"], today["arm"], today["beside"]) == ("tpe + pbt", "tpe + asha", "tpe + pbt")
    assert found["trials"] == 10 + found["forks"]
    # The last trainings of an arm that is cut end with the report that they have begun.
    assert found["spent"] <= today["spent"] <= found["spent"] + 2 * 51
    assert math.isfinite(found["best"]) and found["completed"] >= 1
