"""The section on where trainings collapse or diverge."""

import re

from tests.report.printed_reports import deadly_run, printed, section_of


def test_cells_and_parameters_to_narrow_the_space_by_are_listed(tmp_path):
    lines = section_of(printed(deadly_run(tmp_path), 200), "Where trainings collapse or diverge")
    assert lines[1:3] == [
        "20 of 30 trials of the search survived (0 completed, 20 pruned); the others did not "
        "(10 diverged).",
        "Below the average survival rate: discriminator_lr >=0.1: 0 of 10 survived [0 %, 22 %].",
    ]
    important = next(line for line in lines if line.startswith("Most important for survival"))
    assert re.match(
        r"Most important for survival: discriminator_lr \([67]\d %\). A random forest orders",
        important,
    )
