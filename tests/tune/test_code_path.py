"""Where Ray's workers import from."""

import sys
from pathlib import Path

import pytest

from gansearch.tune.code_path import HOME, shared_path, worker_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return str(tmp_path)


def test_workers_import_from_where_the_driver_does_and_from_the_working_directory_last(here):
    path = [*("", "/own", HOME), "/usr/lib/python3", "/own"]
    assert worker_path(path) == ["/own", HOME, "/usr/lib/python3", here]
    assert here not in worker_path(path[1:])


def test_a_working_directory_that_pythonpath_names_stays_where_it_is(here, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f":.:{HOME}")
    assert worker_path([here, "/own", HOME]) == [here, "/own", HOME]


def test_workers_find_the_gansearch_of_a_driver_that_runs_in_its_checkout(here):
    checkout, installed = Path(here, "checkout"), Path(here, "installed")
    for folder in (checkout, installed):
        (folder / "gansearch").mkdir(parents=True)
        (folder / "gansearch" / "__init__.py").touch()
    path = ["/own", str(installed)]
    assert worker_path(path, home=str(checkout)) == [str(checkout), *path]
    assert worker_path(path, home=str(installed)) == path
    assert worker_path(["/own"], home=str(checkout)) == ["/own", str(checkout)]


def test_the_nodes_of_a_cluster_get_the_folders_of_the_users_own_modules_only(here):
    path = ["", "/own", sys.prefix, *(f"{sys.prefix}/lib/python3/site-packages", "/shared")]
    assert shared_path(path) == ["/own", "/shared"]
