"""The parameters of the user's own code come from its signature and from the space."""

import pytest

import gansearch
from gansearch.errors import SpaceError
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system import user_code

LOOP = "import gansearch\n@gansearch.trainable(lr=1e-3, name='a')\ndef train(c, d, t): pass\n"
LOOP += "def free(c, d, t): pass\nNUMBER = 3\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_loop.py").write_text(LOOP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def space_of(search, function="train", **sections):
    return SearchSpace.from_dict(
        {"trainable": f"my_loop.py:{function}", "dataset": "ring", "search": search} | sections
    )


def error_of(search, function="train", **sections):
    with pytest.raises(SpaceError) as caught:
        space_of(search, function, **sections)
    return str(caught.value)


def test_a_loop_takes_the_parameters_that_it_declares(folder):
    space = space_of({"lr": {"float": [1e-4, 1e-1]}})
    assert space.table.defaults() == {"lr": 1e-3, "name": "a"}
    assert space.to_dict()["parameters"] == {"lr": {"float": 1e-3}, "name": {"str": "a"}}
    assert error_of({"lrr": {"float": [0, 1]}}).endswith("unknown parameter. Did you mean lr?")


def test_a_loop_that_declares_none_takes_what_the_space_names(folder):
    space = space_of(
        {"lr": {"float": [1, 2]}, "k": {"int": [1, 5]}, "wide": {"choice": [True, False]}},
        "free",
        fixed={"widths": [3, 4], "kind": "x"},
    )
    kinds = {name: rule.kind for name, rule in space.table.rules().items()}
    assert kinds == {"lr": "float", "k": "int", "wide": "bool", "widths": "widths", "kind": "str"}
    assert space.preset("defaults").to_dict()["widths"] == [3, 4]


def test_a_space_survives_its_description_without_its_code(folder):
    space = space_of({"lr": {"float": [1e-4, 1e-1]}}, fixed={"name": "b"})
    (folder / "my_loop.py").unlink()
    again = SearchSpace.from_dict(space.to_dict())
    assert again.to_dict() == space.to_dict() and again.table is space.table


def test_a_file_is_named_from_the_folder_of_the_space(folder, tmp_path_factory, monkeypatch):
    (folder / "s.yaml").write_text(
        "trainable: my_loop.py:train\ndataset: ring\nsearch: {lr: {float: [0.1, 1]}}\n"
    )
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    space = load_space(str(folder / "s.yaml"))
    assert space.to_dict()["trainable"] == f"{folder}/my_loop.py:train"


def test_values_of_several_kinds_are_refused(folder):
    message = error_of({"w": {"choice": [1, "a"]}}, "free")
    assert "w: values of several kinds: 1, 1, 'a'. They must all be" in message


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"trainable": 3}, "trainable: found 3. It must be the name of code"),
        ({"trainable": "train"}, "trainable: found 'train'. It must be FILE.py:NAME"),
        ({"trainable": "my_loop.py:NUMBER"}, "my_loop.py:NUMBER: found 3, which can't be called"),
        ({"trainable": "my_loop.py:nothing"}, "has no nothing. Known: free, train"),
        ({"trainable": "absent.py:train"}, "absent.py:train: there is no file"),
        ({"generator": "my_loop.py:train"}, "generator: it does not go with trainable"),
        ({"family": "adversarial_nets"}, "trainable: it does not go with family"),
        ({"output_range": [0, 1]}, "output_range: it does not go with trainable"),
        ({"parameters": {"lr": 3}}, "parameters: lr: found 3. Such as {width: {int: 64}}"),
        ({"parameters": {"lr": {"real": 3}}}, "parameters: lr: real: no such kind"),
        ({"parameters": {"lr": {"int": "x"}}}, "parameters: lr: int: found 'x'. It must be"),
    ],
)
def test_sections_that_can_not_be_used_are_answered(folder, sections, message):
    assert message in error_of({"lr": {"float": [0.1, 1]}}, **sections)


def test_networks_come_in_pairs(folder):
    for given, lacks in (("generator", "discriminator"), ("discriminator", "generator")):
        with pytest.raises(SpaceError, match=f"there is no {lacks}. Name both"):
            SearchSpace.from_dict(
                {given: "my_loop.py:free", "dataset": "ring", "search": {"k": {"int": [1, 2]}}}
            )


def test_a_function_may_stand_in_a_space_of_python(folder):
    @gansearch.trainable(lr=0.1)
    def of_a_test(config, data, trial):
        pass

    space = SearchSpace.from_dict(
        {"trainable": of_a_test, "dataset": "ring", "search": {"lr": {"float": [0.1, 1]}}}
    )
    reference = space.to_dict()["trainable"]
    assert space.references == [reference]
    assert user_code.load(reference) is of_a_test and user_code.shown(reference) == "of_a_test"
