"""The default name of a run."""

import pytest

from gansearch.runs.folder import RunFolder
from gansearch.tune.new_run import default_name


@pytest.mark.parametrize(
    ("space", "stem"),
    [
        ("digits", "digits"),
        ("space (1)", "space-1"),
        ("größe", "grosse"),
        ("ÅNGSTRÖM", "ANGSTROM"),
        ("x" * 220, "x" * 60),
        ("--help", "help"),
        ("..", "space"),
        (".hidden", "hidden"),
        ("数字", "space"),
        ("a/../b\n", "a-..-b"),
        ("b\udcff", "b"),
        ("", "space"),
    ],
)
def test_any_name_of_a_space_gives_one_that_a_folder_can_have(tmp_path, space, stem):
    name = default_name(space)
    assert name[: -len("-20261124-194833")] == stem
    assert RunFolder.create(tmp_path, name).path.is_dir()
