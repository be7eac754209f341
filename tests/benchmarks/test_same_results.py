"""The tool that compares runs to the bit: it finds what differs, and lists what was added."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save_file

from tests.benchmark_scripts import script


@pytest.fixture(scope="module")
def tool():
    return script("studies.same_results")


def make_run(results, *, seed=0, score=1.0, weight=1.0, grey=7, columns=None, seconds=0.0):
    """Write a run with a file of each kind, and return the folder of runs."""
    run = results / "digits"
    (run / "history").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"space": {"seed": seed}, "wall_seconds": seconds}))
    row = {"trial_id": ["t00000"], "updates": [5], "seconds": [seconds]}
    row["valid_ll"] = pa.array([score], pa.float64())
    pq.write_table(pa.table(row), run / "history" / "part-0.parquet")
    pq.write_table(pa.table(row | (columns or {})), run / "trials.parquet")
    save_file({"bias": np.array([weight], np.float32)}, run / "generator.safetensors")
    Image.new("L", (2, 2), grey).save(run / "strip.png")
    return results


def test_runs_that_differ_only_in_their_times_are_the_same(tool, tmp_path):
    a, b = make_run(tmp_path / "a", seconds=1.0), make_run(tmp_path / "b", seconds=2.0)
    assert tool.compare(a, b) == ([], [], 5)


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"seed": 1}, ["digits/run.json: space.seed"]),
        (
            {"score": np.nextafter(1.0, 2.0)},
            ["digits/history: valid_ll", "digits/trials.parquet: valid_ll"],
        ),
        ({"weight": -1.0}, ["digits/generator.safetensors: bias"]),
        ({"grey": 8}, ["digits/strip.png: pixels"]),
    ],
)
def test_the_least_change_of_a_result_is_found_where_it_is(tool, tmp_path, change, differing):
    differences, notes, _ = tool.compare(
        make_run(tmp_path / "a"), make_run(tmp_path / "b", **change)
    )
    assert [": ".join(line.split(": ")[:2]) for line in differences] == differing
    assert notes == []


def test_a_new_column_is_listed_and_a_lost_one_is_a_difference(tool, tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", columns={"fid": [2.0]})
    assert tool.compare(a, b) == ([], ["added: digits/trials.parquet: fid"], 5)
    assert tool.compare(b, a)[0] == [
        "digits/trials.parquet: fid: 2 of 2 differ, first double[pyarrow] -> none"
    ]


def test_a_file_that_one_of_both_lacks_is_a_difference(tool, tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    (b / "digits" / "strip.png").unlink()
    assert tool.compare(a, b)[0] == [f"digits/strip.png: only in {a}"]
    assert tool.compare(b, a)[0] == [f"digits/strip.png: only in {a}"]


def test_missing_and_nan_are_not_the_same(tool, tmp_path):
    a = make_run(tmp_path / "a", score=float("nan"))
    b = make_run(tmp_path / "b", score=None)
    assert any("valid_ll" in line for line in tool.compare(a, b)[0])


@pytest.mark.parametrize(("n_pixels", "is_same"), [(100, True), (101, False)])
def test_only_a_small_part_of_a_game_may_be_laid_out_otherwise(tool, tmp_path, n_pixels, is_same):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    picture = np.zeros((100, 100), np.uint8)
    Image.fromarray(picture).save(a / "digits" / "game.png")
    picture.flat[:n_pixels] = 1
    Image.fromarray(picture).save(b / "digits" / "game.png")
    differences, notes, _ = tool.compare(a, b)
    assert (differences == []) is is_same
    assert (notes == ["laid out otherwise: digits/game.png"]) is is_same
