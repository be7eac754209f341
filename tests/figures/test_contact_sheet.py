"""A contact sheet: a row a configuration, a cell a training."""

import numpy as np
import pytest

from gansearch.figures.contact_sheet import Cell, SheetRow, contact_sheet, n_in_cell
from tests.figures.pictures import BLUE, VERMILION, dataset, has, images, pixels_of, points


def cells(n, samples=10, **more):
    return [Cell(f"r-{i}", images(samples), **more) for i in range(n)]


def test_the_samples_of_a_training_stand_in_two_lines_in_their_order():
    picture = np.asarray(contact_sheet([SheetRow("rank 1", cells(1))], dataset(), "all"))
    # Below the title of 21 pixels a frame of 2, and a gap of 2 before each tile of 48.
    for i in range(10):
        top, left = 21 + 4 + i // 5 * 50, 4 + i % 5 * 50
        assert np.unique(picture[top : top + 48, left : left + 48]).tolist() == [round(i / 9 * 255)]


def test_trainings_that_do_not_work_are_framed_and_lost_ones_are_blank():
    sound = contact_sheet([SheetRow("rank 1", cells(3))], dataset(), "all")
    assert not has(sound, VERMILION)
    framed = Cell("r-3: collapsed", images(10), is_sound=False)
    lost = Cell("r-4: no samples", None)
    sheet = contact_sheet([SheetRow("rank 1", [*cells(1), framed, lost])], dataset(), "all")
    columns = pixels_of(sheet, VERMILION)[:, 1]
    cell = 5 * 50 + 2 + 4 + 8
    assert (columns.min(), columns.max()) == (cell, 2 * cell - 8 - 1)
    assert (np.asarray(sheet)[40:100, 2 * cell + 10 : 3 * cell - 20] == 240).all()


def test_a_row_of_any_number_of_trainings_fits_a_page():
    for side in (8, 28, 96, 200):
        data = dataset(side, side)
        for n in (1, 2, 4, 8):
            row = [Cell("r", images(n_in_cell(n, data), side, side)) for _ in range(n)]
            assert contact_sheet([SheetRow("rank 1", row)], data, "all").width <= 1200 + 8


def test_rows_of_different_numbers_of_trainings_stand_below_each_other():
    first, both = (
        contact_sheet([SheetRow("rank", cells(n)) for n in numbers], dataset(), "all")
        for numbers in ([4], [4, 1])
    )
    assert both.width == first.width
    np.testing.assert_array_equal(
        np.asarray(both)[:100], np.asarray(first)[:100], "the second row changes the first"
    )


@pytest.mark.parametrize("modes", [[[0, 1], [1, 0]], [[0.0], [1.0]]], ids=["plane", "line"])
def test_points_stand_in_a_panel_over_the_training_points(modes):
    data = points(modes)
    sheet = contact_sheet([SheetRow("rank 1", [Cell("r-0", data.train)] * 2)], data, "all")
    assert len(modes[0]) == 1 or has(sheet, BLUE)
    blue = np.asarray(sheet).astype(int)
    assert (blue[..., 2] - blue[..., 0] > 60).any()
