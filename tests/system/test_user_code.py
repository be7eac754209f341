"""The user's own code is found by `file.py:name`, here and where the file doesn't lie."""

import sys

import pytest
from torch.utils.data import DataLoader

from gansearch.errors import BadInputError
from gansearch.system import user_code

NETS = """
from layers import WIDTH

class Net:
    width = WIDTH

def late():
    import late_layers
    return late_layers.X
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_nets.py").write_text(NETS)
    (tmp_path / "layers.py").write_text("WIDTH = 7\n")
    (tmp_path / "late_layers.py").write_text("from parts.deep import X\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "deep.py").write_text("X = 3\n")
    (tmp_path / "unrelated.py").write_text("raise SystemExit\n")
    return tmp_path


def error_of(reference):
    with pytest.raises(BadInputError) as caught:
        user_code.load(reference)
    return str(caught.value)


def test_a_file_is_loaded_with_the_files_beside_it(folder):
    assert user_code.load(f"{folder}/my_nets.py:Net").width == 7
    assert user_code.load(f"{folder}/my_nets.py:late")() == 3
    assert user_code.load(f"{folder}/my_nets.py:Net") is user_code.load(f"{folder}/my_nets.py:Net")
    assert not list(folder.rglob("*.pyc"))


def test_files_of_the_same_names_in_two_folders_do_not_mix(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "my_nets.py").write_text(NETS)
    (other / "layers.py").write_text("WIDTH = 8\n")
    first = user_code.load(f"{folder}/my_nets.py:Net")
    assert user_code.load(f"{other}/my_nets.py:Net").width == 8
    assert first.width == 7


def test_a_file_that_was_changed_is_read_again(folder):
    assert user_code.load(f"{folder}/layers.py:WIDTH") == 7
    (folder / "layers.py").write_text("WIDTH = 70\n")
    assert user_code.load(f"{folder}/layers.py:WIDTH") == 70


def test_a_file_is_read_again_after_a_change_of_one_beside_it(folder):
    reference = f"{folder}/my_nets.py:Net"
    assert user_code.load(reference).width == 7
    (folder / "layers.py").write_text("WIDTH = 70\n")
    assert user_code.load(reference).width == 70
    assert user_code.load(reference) is user_code.load(reference)


def test_a_file_that_a_function_imports_may_be_broken(folder):
    (folder / "late_layers.py").write_text("X = (\n")
    late = user_code.load(f"{folder}/my_nets.py:late")
    assert f"{folder}/late_layers.py" in user_code.sources_of([f"{folder}/my_nets.py:late"])
    with pytest.raises(SyntaxError):
        late()


def test_a_file_beside_the_users_hides_no_installed_package(folder):
    (folder / "json.py").write_text("raise SystemExit(7)\n")
    (folder / "layers.py").write_text("import json\nWIDTH = json.loads('7')\n")
    assert user_code.load(f"{folder}/my_nets.py:Net").width == 7


def test_the_texts_of_a_file_and_of_all_that_it_imports_serve_where_it_does_not_lie(folder):
    reference = f"{folder}/my_nets.py:Net"
    texts = user_code.sources_of([reference, "math:pi", "given:f"])
    names = {path.removeprefix(f"{folder}/") for path in texts}
    assert names == {
        "my_nets.py",
        "layers.py",
        "late_layers.py",
        "parts/__init__.py",
        "parts/deep.py",
    }
    for path in folder.rglob("*.py"):
        path.unlink()
    with user_code.provided(user_code.UserCode(texts)):
        assert user_code.load(reference).width == 7
        assert user_code.load(f"{folder}/my_nets.py:late")() == 3
    assert "there is no file" in error_of(reference)


def test_what_was_provided_counts_more_than_a_file_that_was_changed_since(folder):
    reference = f"{folder}/my_nets.py:Net"
    texts = user_code.sources_of([reference])
    (folder / "layers.py").write_text("WIDTH = 8\n")
    with user_code.provided(user_code.UserCode(texts)):
        assert user_code.load(reference).width == 7


def test_an_error_in_the_file_is_told_with_its_line(folder):
    (folder / "layers.py").write_text("import math\nWIDTH = math.sqrt(-1)\n")
    assert error_of(f"{folder}/my_nets.py:Net") == (
        "my_nets.py:Net: can't be imported (ValueError: math domain error, at layers.py:2: "
        "WIDTH = math.sqrt(-1)). Mend it; it is imported before a search starts, and by every "
        "worker."
    )


def test_a_package_that_is_absent_is_named_with_where_it_must_be(folder):
    (folder / "layers.py").write_text("import no_such_package\n")
    assert error_of(f"{folder}/my_nets.py:Net") == (
        "my_nets.py:Net: can't be imported (ModuleNotFoundError: No module named "
        "'no_such_package', at layers.py:1: import no_such_package). It must be installed here and "
        "on every node, or lie beside the file that imports it."
    )


def test_an_error_of_syntax_is_told_with_its_line(folder):
    (folder / "layers.py").write_text("WIDTH = (\n")
    assert "at layers.py:1: WIDTH = (" in error_of(f"{folder}/my_nets.py:Net")


def test_a_file_that_ends_python_is_an_error_like_any_other(folder):
    assert "(SystemExit, at unrelated.py:1: raise SystemExit)" in error_of(
        f"{folder}/unrelated.py:x"
    )


def test_a_wrong_name_is_answered_by_the_nearest(folder):
    assert error_of(f"{folder}/my_nets.py:Nett").endswith("has no Nett. Did you mean Net?")


def test_a_function_of_a_file_has_a_reference_that_another_process_can_load(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    import layers  # noqa: F401
    import my_nets

    reference = user_code.reference_of(my_nets.Net)
    assert reference == f"{folder}/my_nets.py:Net"
    assert user_code.load(reference) is my_nets.Net
    for name in ("my_nets", "layers"):
        sys.modules.pop(name)


def test_a_function_that_lies_in_no_file_is_given():
    def in_no_file():
        return 5

    reference = user_code.reference_of(in_no_file)
    assert user_code.is_reference(reference) and user_code.is_given(reference)
    assert user_code.shown(reference) == "in_no_file"
    code = user_code.UserCode.of([reference, "math:pi"])
    assert code == user_code.UserCode({}, {reference: in_no_file})
    assert user_code.load(reference)() == 5
    others = [user_code.give(lambda i=i: i) for i in range(2)]
    assert [user_code.load(other)() for other in others] == [0, 1]
    assert [user_code.shown(other) for other in others] == ["_lambda_", "_lambda_"]
    assert "Give unknown again, from Python" in error_of("given:unknown")
    with pytest.raises(BadInputError, match="Give unknown again, from Python"):
        user_code.UserCode.of(["given:unknown"])


def test_an_object_has_a_new_reference_each_time_it_is_given_but_once_in_one_context():
    def given():
        pass

    assert user_code.give(given) != user_code.give(given)
    with user_code.given_once():
        first = user_code.give(given)
        assert user_code.give(given) == first != user_code.give(lambda: 0)
    with user_code.given_once():
        assert user_code.give(given) != first


def test_modules_of_a_similar_name_are_not_taken_for_objects_that_lie_in_no_file():
    similar = ["given.nets:net", "given_nets:net", "given_0123456789ab.nets:net", "my.given:net"]
    assert not any(map(user_code.is_given, similar))
    assert user_code.is_given("given:net") and user_code.shown("given:net") == "net"


def test_references_are_told_from_names(folder):
    assert user_code.resolved("my_nets.py:Net", folder) == f"{folder}/my_nets.py:Net"
    assert user_code.resolved("math:pi", folder) == "math:pi"
    assert user_code.is_reference("package.nets:make.g") and not user_code.is_reference("C:/x y")


class Odd:
    """A data set whose examples can't be read; in its second one, for lack of a key."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        try:
            return {0: {}[7]} if i else self.read()
        except KeyError as error:
            raise LookupError(f"no example\n{i}") from error

    def read(self):
        raise ValueError("an odd picture.")


@pytest.mark.parametrize(
    ("i", "told"), [(0, "ValueError: an odd picture, at"), (1, "LookupError: no example, at")]
)
def test_an_error_in_a_data_loaders_process_is_told_in_its_own_words(i, told):
    with pytest.raises((ValueError, LookupError)) as caught:
        list(DataLoader(Odd(), sampler=[i], num_workers=1))
    assert user_code.describe_error(caught.value).startswith(told)
