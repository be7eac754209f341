"""Lazy packages: what `dir` and tab completion show of them, and what they do not import."""

import subprocess
import sys

import pytest

NAMES = {
    "gansearch": ("search", "resume", "Settings", "evaluate", "load", "__version__"),
    "gansearch.data": ("Dataset", "load_dataset"),
    "gansearch.space": ("SearchSpace", "load_space"),
    "gansearch.ranking": ("compare",),
    "gansearch.training": ("AdversarialTraining",),
}


@pytest.mark.parametrize("package", NAMES)
def test_dir_shows_what_a_package_has_and_imports_nothing_for_it(package):
    code = (
        f"import sys, {package} as package; before = set(sys.modules); names = dir(package); "
        "print(*names, set(sys.modules) - before, 'ray' in sys.modules, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *names, new, ray, torch = run.stdout.split()
    assert {*NAMES[package]} <= {*names}
    assert (new, ray, torch) == ("set()", "False", "False")


def test_a_name_that_a_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'gansearch' has no attribute 'serch'"):
        __import__("gansearch").serch  # noqa: B018
