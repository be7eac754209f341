"""The checks of a cluster's nodes, on made-up answers."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import metadata
from pathlib import Path

import pytest
from ray.exceptions import TaskUnschedulableError

from gansearch.errors import BadInputError
from gansearch.tune import driver, nodes, preflight, ray_settings
from gansearch.tune.settings import Settings

NODE = {"NodeManagerAddress": "10.0.0.7", "Resources": {"CPU": 8, "GPU": 1, "memory": 60 * 2**30}}
HAS = "8 cores, 1 GPU, 60 GiB"
VERSIONS = {"python": "3.11.9", "gansearch": "0.1.0", "ray": "2.60.0", "torch": "2.15.0"}
HERE = {"versions": VERSIONS, "gpus": [], "word": None}
THERE = {"versions": VERSIONS, "gpus": [("NVIDIA T4", 15 * 2**30)], "word": "open sesame"}
MARKER = nodes._Marker(Path("/shared/.gansearch-x"), "open sesame")


@pytest.mark.parametrize(
    ("difference", "status", "found"),
    [
        ({}, "ok", "; NVIDIA T4, 15 GiB"),
        ({"gansearch": None}, "problem", "; gansearch absent, here 0.1.0"),
        ({"python": "3.9.1"}, "problem", "; python 3.9.1, here 3.11.9"),
        (
            {"torch": "2.0.0", "ray": "2.9.0"},
            "problem",
            "; ray 2.9.0, here 2.60.0, torch 2.0.0, here 2.15.0",
        ),
        ({"torch": None}, "problem", "; torch absent, here 2.15.0"),
        ({"torch": "2.0.0"}, "warning", "; torch 2.0.0, here 2.15.0; NVIDIA T4, 15 GiB"),
    ],
)
def test_a_node_with_other_versions_is_reported(difference, status, found):
    there = THERE | {"versions": VERSIONS | difference}
    check = nodes._check_node(NODE, there, HERE, MARKER)
    assert (check.name, check.status, check.found) == ("node 10.0.0.7", status, HAS + found)
    assert bool(check.remedy) == (status != "ok")


def test_a_node_whose_torch_sees_fewer_gpus_than_ray_promises_is_a_problem():
    check = nodes._check_node(NODE, THERE | {"gpus": []}, HERE, MARKER)
    assert (check.status, check.found) == ("problem", f"{HAS}; torch there sees 0 GPUs")
    assert check.remedy.startswith("Install a torch there whose CUDA version")


@pytest.mark.parametrize("word", [None, "another file of that name"])
def test_a_node_that_reads_another_file_or_none_does_not_share_the_results(word):
    check = nodes._check_node(NODE, THERE | {"word": word}, HERE, MARKER)
    assert (check.status, check.found) == ("problem", f"{HAS}; it does not see /shared")
    assert nodes._check_node(NODE, THERE | {"word": word}, HERE, None).status == "ok"


def test_a_node_that_runs_nothing_is_a_problem():
    check = nodes._check_node(NODE, "the worker died", HERE, None)
    assert (check.status, check.found) == ("problem", f"{HAS}; it runs nothing: the worker died")


def test_a_node_that_vanishes_while_it_is_asked_stops_no_search(monkeypatch):
    def get(_):
        raise TaskUnschedulableError("The node doesn't exist any more")

    monkeypatch.setattr(nodes.ray, "get", get)
    check = nodes._check_node(NODE, nodes._answer(object()), HERE, MARKER)
    assert (check.status, check.found) == ("warning", f"{HAS}; it has left the cluster")


def test_a_search_is_refused_with_all_nodes_that_it_cant_use_and_each_remedy_once(
    monkeypatch, tmp_path
):
    same = "Install the same."
    checks = [
        nodes.NodeCheck("node a", "ok", "8 cores", gpu_bytes=2e10),
        nodes.NodeCheck("node b", "warning", "torch 2.0.0", same, 1e10),
        nodes.NodeCheck("node c", "problem", "ray 2.9.0, here 2.60.0", same),
        nodes.NodeCheck("node d", "problem", "it runs nothing", same),
    ]
    monkeypatch.setattr(nodes, "check_nodes", lambda _: checks)
    with pytest.raises(BadInputError) as refused:
        nodes.require_nodes(tmp_path)
    assert str(refused.value) == (
        "--address: the search can't use every node of the cluster.\n"
        "  node c: ray 2.9.0, here 2.60.0\n"
        "  node d: it runs nothing\n"
        "Install the same. `gansearch doctor --address auto --results DIR` checks again."
    )
    monkeypatch.setattr(nodes, "check_nodes", lambda _: checks[:2])
    assert nodes.require_nodes(tmp_path) == 1e10


def test_the_word_is_in_the_folder_while_it_is_looked_for_and_gone_afterwards(tmp_path):
    with nodes._marker(tmp_path) as marker:
        assert nodes._probe()(marker.path, False)["word"] == marker.word
        assert list(tmp_path.iterdir()) == [marker.path]
    assert list(tmp_path.iterdir()) == []
    assert nodes._probe()(marker.path, False)["word"] is None
    with nodes._marker(tmp_path / "absent") as marker:
        assert marker is None


def test_the_word_is_synced_before_the_nodes_look_for_it(monkeypatch, tmp_path):
    synced = []

    def fsync(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").read_text())

    monkeypatch.setattr(nodes.os, "fsync", fsync)
    with nodes._marker(tmp_path) as marker:
        assert synced == [marker.word]


def test_the_probe_finds_the_versions_of_this_process():
    versions = nodes._probe()(None, True)["versions"]
    assert versions["torch"] == metadata.version("torch")
    assert set(versions) == set(VERSIONS)


def test_a_search_asks_the_nodes_before_it_begins_and_leaves_the_name_free(monkeypatch, tmp_path):
    def refuse(results):
        assert results == tmp_path / "refused"
        raise BadInputError("not on these nodes")

    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "require_nodes", refuse)
    settings = Settings(address="10.0.0.1:6379")
    with pytest.raises(BadInputError, match="not on these nodes"):
        driver.search("digits", results=tmp_path, name="refused", settings=settings)
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_has_no_token(monkeypatch):
    def refuse():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setattr(ray_settings.Path, "home", refuse)
    assert not ray_settings.has_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    assert ray_settings.has_token()
