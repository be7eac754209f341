"""The map of the package in CONTRIBUTING.md is that of the package."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "gansearch"
ROW = re.compile(r"^\| (`\w+/`|top of the package|end of the package) \| (.*) \|$", re.MULTILINE)


def mapped():
    """Return the modules that the table of folders names, by their paths below the package."""
    rows = ROW.findall((TOP / "CONTRIBUTING.md").read_text())
    assert rows, "CONTRIBUTING.md: the table of folders is gone"
    return {
        f"{folder.strip('`')}{name}" if folder.startswith("`") else name
        for folder, text in rows
        for name in re.findall(r"`([a-z]\w*)`", text)
    }


def modules():
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return {path.as_posix() for path in paths if not path.name.startswith("__")}


def test_the_map_of_the_package_names_every_module():
    assert modules() - mapped() == set()


def test_the_map_of_the_package_names_no_module_that_is_gone():
    assert mapped() - modules() == set()


def test_the_files_of_the_tour_are_there():
    tour = re.findall(
        r"^\| \d \| `([\w/]+\.py)`", (TOP / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert len(tour) == 8
    assert all((PACKAGE / file).is_file() for file in tour)
