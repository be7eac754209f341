"""Some hundreds of the cases of `make fuzz`, the same ones each time."""

import pytest

from tests import fuzzing

N_CASES = {
    "space files": 150,
    "flags": 60,
    "configurations": 80,
    "runs": 40,
    "data that changed": 12,
    "samples": 40,
}


@pytest.fixture(autouse=True)
def scratch(monkeypatch):
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    monkeypatch.delenv("GANSEARCH_TRACEBACK", raising=False)
    yield
    fuzzing.clean_up()


@pytest.mark.parametrize("kind", sorted(N_CASES))
def test_whatever_is_given_ends_in_one_answer(kind):
    counts = fuzzing.Counts()
    fuzzing.fuzz(kind, N_CASES[kind], counts=counts)
    codes = counts.codes[kind]
    assert codes.total() >= N_CASES[kind]
    assert codes[0] > 0 and codes[2] > 0, "the cases must reach both sides"


def test_whatever_lies_around_a_command_it_ends_in_one_answer():
    counts = fuzzing.Counts()
    fuzzing.fuzz("surroundings", 4, counts=counts)
    assert counts.codes["surroundings"].total() >= 4
