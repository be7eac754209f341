"""The order of the package: a module imports only from its own folder and from what is above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gansearch"

# From the top of the package to its end: its folders, and the modules that lie in none.
ORDER = (
    *("errors", "lazy", "rules", "scheduled", "arguments", "seeds", "budget", "measures", "pareto"),
    *(
        "network_parameters",
        "training_parameters",
        "parameter_words",
        "own_network_parameters",
        "config",
        "pair_parameters",
        "conditional_parameters",
        "system",
        "data",
        "artifacts",
        "loop",
        "own_measures",
        "family",
        "space",
        "networks",
    ),
    *("training", "grouping", "scoring", "runs", "ranking", "figures", "families"),
    *("report", "dashboard", "export", "trial", "tracking", "tune"),
    *("api_keywords", "api", "guard", "lightning", "doctor"),
    *("cli_completion", "cli_types", "cli_options"),
    *("cli_output", "cli_errors", "cli", "__init__", "__main__"),
)
# Who may import the slow packages, wherever in its text: folders, or single modules of one.
MAY_IMPORT = {
    "ray": ("tune", "doctor"),
    "optuna": ("space", "tune"),
    "triton": ("networks/dense_kernels", "training/loss_kernels", "training/member_kernels"),
    "torch": (
        *("networks", "training", "grouping", "scoring", "families", "export", "trial", "doctor"),
        *(
            "system/features",
            "system/global_random",
            "system/precision",
            "system/torch_internals",
            "system/devices",
        ),
        *("tune/nodes",),
    ),
}
# What works with any family of models imports nothing of the paper's networks and their training.
KNOWS_NO_GAN = (
    *("scoring", "runs", "ranking", "figures", "report", "dashboard", "export", "trial"),
    *("tracking", "tune", "doctor"),
    *("cli_completion", "cli_types", "cli_options", "cli_output", "cli_errors", "cli"),
)
OF_GANS = (
    "networks",
    "training",
    "grouping",
    "families",
    "network_parameters",
    "training_parameters",
    "parameter_words",
    "own_network_parameters",
    "pair_parameters",
)


def modules():
    """Return all modules by their path below the package, such as `system/files`."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(path.as_posix() for path in paths)


def imports(module):
    """Return the dotted names of all that a module's text imports."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by a relative name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported(module):
    """Return the modules of the package that a module imports, by their paths."""
    found = set()
    for name in imports(module):
        top, *parts = name.split(".")
        if top != "gansearch" or not parts:
            continue
        if not (PACKAGE / parts[0]).is_dir():  # a module at the top, or a name of the package
            found.add(parts[0] if (PACKAGE / f"{parts[0]}.py").is_file() else "__init__")
        elif len(parts) > 1 and (PACKAGE / parts[0] / f"{parts[1]}.py").is_file():
            found.add(f"{parts[0]}/{parts[1]}")
        else:
            found.add(f"{parts[0]}/__init__")
    return found


def place(module):
    return ORDER.index(module.split("/")[0])


def out_of_order(module):
    # `__version__` is the package's own; it is there before any module is imported.
    return {to for to in imported(module) - {"__init__"} if place(to) > place(module)}


def of_a_gan(module):
    if module.split("/")[0] not in KNOWS_NO_GAN:
        return set()
    return {to for to in imported(module) if to.split("/")[0] in OF_GANS}


def test_every_folder_and_module_has_its_place_in_the_order():
    assert {module.split("/")[0] for module in modules()} == set(ORDER)


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_its_own_folder_and_those_above(module):
    assert out_of_order(module) == set()


@pytest.mark.parametrize("module", modules())
def test_what_works_with_any_family_imports_nothing_of_the_papers(module):
    assert of_a_gan(module) == set()


@pytest.mark.parametrize("module", modules())
def test_a_module_does_without_the_packages_that_it_must_not_know(module):
    for package, allowed in MAY_IMPORT.items():
        if not {module, module.split("/")[0]} & set(allowed):
            found = {name for name in imports(module) if name.split(".")[0] == package}
            assert not found, f"{module} imports {package}"


@pytest.mark.parametrize("folder", [name for name in ORDER if (PACKAGE / name).is_dir()])
def test_the_modules_of_a_folder_import_each_other_in_no_circle(folder):
    left = {
        module: {to for to in imported(module) if to.startswith(f"{folder}/")}
        for module in modules()
        if module.startswith(f"{folder}/")
    }
    while free := {module for module, needed in left.items() if not needed & set(left)}:
        left = {module: needed for module, needed in left.items() if module not in free}
    assert not left
