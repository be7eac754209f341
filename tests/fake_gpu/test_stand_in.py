"""Groups and the engine on a stand-in for CUDA: what of them only a GPU would show, but values."""

import pytest

from tests.fake_gpu.stand_in import why_not
from tests.grouping.test_convolutional import CONFIGS
from tests.grouping.test_group import STRUCTURES

PRECISIONS = ["fp32", "tf32", "bf16"]


@pytest.fixture(scope="module")
def found(fake_gpu):
    """Return what the probes of groups found, in one process."""
    return fake_gpu.run(
        captures=[PRECISIONS],
        convolutional_captures=[],
        nodes_of_the_paper=[],
        memory_of_recordings=[list(range(1, 9))],
        memory_of_dropped_groups=[5],
        lasting_in_lanes=[],
        many_groups=[40],
        compiled=[],
        synchronized_capture=[],
        failed_capture=[],  # the last one: no graph is recorded after it
    )


@pytest.fixture(scope="module")
def found_of_engines(fake_gpu):
    """Return what the probes of the engine found."""
    return fake_gpu.run(second_attempt=[], ten_threads=[], streams=[], own_networks=[])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_structure_is_captured_by_the_rules_of_cuda_and_replayed(found, precision):
    by_name = {each["name"]: each for each in found["captures"] if each["precision"] == precision}
    assert list(by_name) == list(STRUCTURES)
    for name, each in by_name.items():
        assert each["violations"] == [], name
        assert each["notes"] == [], name
        assert (each["captures"], each["replays"]) == (1, 2), name


def test_convolutional_trainings_are_captured_and_replayed_too(found):
    assert found["convolutional_captures"] == {
        # An iteration with k = 2 takes half a chunk of four ticks.
        name: [1, 4 if CONFIGS[name].k == 2 else 2, []]
        for name in CONFIGS
    }


def test_an_iteration_of_the_papers_structure_takes_no_more_nodes_than_it_did(found):
    nodes = found["nodes_of_the_paper"]
    with_triton, without = nodes["triton"], nodes["no triton"]
    assert 30 < with_triton <= 60
    assert with_triton < without <= 209
    assert with_triton < nodes["triton, bf16"] <= 87


def test_a_group_that_records_eight_patterns_keeps_its_memory(found):
    recorded = found["memory_of_recordings"]
    assert recorded["captures"] == 8
    first, *others = recorded["reserved"]
    assert first > 20
    assert max(others) <= first + 2, recorded["reserved"]


def test_groups_that_are_dropped_give_their_memory_back(found):
    first, *others = found["memory_of_dropped_groups"]
    assert max(others) <= first + 2


def test_nothing_lasts_in_the_memory_that_graphs_write_to_but_the_workspace_of_cublas(found):
    (workspace,) = found["lasting_in_lanes"]["own"]
    assert workspace >= 4 * 2**20
    assert found["lasting_in_lanes"]["elsewhere"] == []


def test_forty_groups_at_a_time_are_all_replayed_as_graphs(found):
    assert found["many_groups"] == {"launches": 80, "violations": []}


def test_nothing_is_compiled_while_groups_train(found):
    assert found["compiled"] == []


def test_a_call_that_no_capture_allows_is_a_violation(found):
    assert "cudaStreamSynchronize" in " ".join(found["synchronized_capture"])


def test_a_group_whose_capture_fails_goes_on_without_graphs_and_says_so(found):
    after = found["failed_capture"]
    (note,) = after["notes"]
    assert note.startswith("CUDA graphs fail here (CUDA error: ")
    assert note.endswith("): groups train without them, several times slower")
    assert after["launches"] == 0 < after["products"]


def test_groups_are_recorded_where_there_is_no_c_compiler(fake_gpu):
    found = fake_gpu.run(without_compiler=True, without_and_with_autograd=[])
    first, second = found["without_and_with_autograd"]
    (note,) = first.pop("notes")
    assert note.startswith("Triton's kernels fail here (")
    assert second.pop("notes") == []
    for group in (first, second):
        assert (group["captures"], group["replays"], group["violations"]) == (1, 2, [])


def test_groups_are_spread_over_eight_streams_and_evaluations_wait_for_none_of_them(
    found_of_engines,
):
    found = found_of_engines["streams"]
    assert len(found["groups"]) == 10
    assert len(set(found["groups"])) == len(set(found["groups"][:8])) == 8
    assert found["callers"] not in found["groups"]


def test_ten_trials_of_one_engine_train_report_and_save_in_threads(found_of_engines):
    trials = found_of_engines["ten_threads"]
    assert trials["updates"] == [600] * 10
    assert trials["captures"] >= 6
    assert trials["violations"] == []
    assert trials["notes"] == []


def test_a_group_that_fits_only_in_place_of_idle_ones_is_made_at_the_second_attempt(
    found_of_engines,
):
    attempt = found_of_engines["second_attempt"]
    assert attempt["is made"]
    # The first attempt fails, and the second one too if it holds what the first has half made.
    assert attempt["new"] < attempt["limit"] < attempt["new"] + attempt["idle"]
    assert attempt["new"] > 2 * attempt["idle"]


def test_where_it_cannot_be_built_the_reason_is_given(monkeypatch):
    monkeypatch.setattr("tests.fake_gpu.stand_in.shutil.which", lambda _: None)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    assert why_not() == "the stand-in for CUDA needs g++ and gcc"


def test_own_networks_have_the_gpus_random_numbers_of_their_training(found_of_engines):
    found = found_of_engines["own_networks"]
    assert found.pop("violations") == []
    assert all(found.values()), found
