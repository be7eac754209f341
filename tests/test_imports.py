"""The import rules of the architecture, held for every module: data only ever flows downwards."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gansearch"

DATA = (
    *("dataset", "downloads", "points", "mnist", "cifar10", "tfd", "image_folder"),
    "data",
)
# From the top of the data's way to its end; a module imports only from above itself.
ORDER = (
    *("ray_settings", "errors", "machine", "failures", "remote", "files", "lease"),
    *("rules", "seeds", "budget", "training_parameters", "network_parameters", "config"),
    "measures",
    *DATA,
    "family",
    *("located", "ranges", "conditions", "sections", "space"),
    *("precision", "layers", "models", "initialisation", "losses", "remedies"),
    *("draws", "optimizers", "updates", "training", "peak_memory"),
    *("group", "engine"),
    *("game", "latent", "trained_generator"),
    *(
        "neighbours",
        "parzen",
        "indicators",
        "health",
        "messages",
        "evaluation",
        "footprint",
        "fitting",
        "schemas",
        "tables",
        "history",
        "run_lock",
        "run_description",
        "results",
        "references",
        "weights",
        "ranking",
        "forest",
        "stability",
    ),
    *("figures", "figure1_observer", "adversarial_nets"),
    *("report", "layout", "curves"),
    *("progress", "sampling", "checks", "nodes", "doctor", "retries", "scheduler"),
    *("searcher", "node_losses", "recorder", "mending"),
    *("trial_plan", "checkpoint", "trial_process", "work", "engine_actor", "trial", "cluster"),
    *("preflight", "session", "experiment", "phases", "driver", "cli"),
)
# What a module must not import itself, wherever in its text.
FORBIDDEN = {
    **{name: {"ray", "optuna", "torch"} for name in ("machine", "failures")},
    **{name: {"ray", "optuna", "torch"} for name in ("rules", "seeds", "budget", "config")},
    **{name: {"ray", "optuna", "torch"} for name in ("training_parameters", "network_parameters")},
    **{name: {"ray", "optuna", "torch"} for name in ("measures", "family", "messages")},
    "space": {"ray", "torch"},
    **{name: {"ray", "optuna"} for name in DATA},
    **{name: {"ray", "optuna"} for name in ("layers", "models", "initialisation")},
    "losses": {"ray", "optuna"},
    "remedies": {"ray", "optuna"},
    **{name: {"ray", "optuna"} for name in ("draws", "optimizers", "updates", "training")},
    **{name: {"ray", "optuna"} for name in ("peak_memory", "trained_generator")},
    **{name: {"ray", "optuna"} for name in ("figure1_observer", "adversarial_nets")},
    **{name: {"ray", "optuna"} for name in ("footprint", "fitting", "group", "engine")},
    "neighbours": {"ray", "optuna", "gansearch.models"},
    "parzen": {"ray", "optuna", "gansearch.models"},
    "indicators": {"ray", "optuna", "gansearch.models"},
    "health": {"ray", "optuna", "gansearch.models"},
    "evaluation": {"ray", "optuna", "gansearch.models"},
    "references": {"ray", "optuna", "gansearch.models"},
    "game": {"ray", "torch", "optuna"},
    "latent": {"ray", "optuna", "gansearch.training", "gansearch.game"},
    "weights": {"ray", "optuna"},
    "sampling": {"ray", "optuna"},
    "trial_plan": {"ray", "torch", "optuna"},
    "checkpoint": {"ray", "torch", "optuna"},
    **{name: {"ray", "optuna"} for name in ("trial_process", "work")},
    "engine_actor": {"torch", "optuna"},
    "trial": {"torch", "optuna"},
    **{name: {"ray", "torch", "optuna"} for name in ("schemas", "tables", "history")},
    **{name: {"ray", "torch", "optuna"} for name in ("run_lock", "run_description", "results")},
    "ranking": {"ray", "torch", "optuna"},
    "forest": {"ray", "torch", "optuna"},
    "stability": {"ray", "torch", "optuna"},
    "report": {"ray"},
    "layout": {"ray"},
    "figures": {"ray"},
    "progress": {"ray", "torch", "optuna"},
}


def imports(module):
    """Return the dotted names of all that a module's text imports."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules():
    return sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))


def test_every_module_has_its_place_in_the_order():
    assert sorted(ORDER) == modules()


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_above_itself(module):
    above = {f"gansearch.{name}" for name in ORDER[: ORDER.index(module)]}
    for name in imports(module):
        top, _, rest = name.partition(".")
        if top == "gansearch" and rest.split(".")[0] in ORDER:
            assert f"gansearch.{rest.split('.')[0]}" in above, f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(FORBIDDEN))
def test_a_module_does_without_what_it_must_not_know(module):
    for name in imports(module):
        for forbidden in FORBIDDEN[module]:
            assert not f"{name}.".startswith(f"{forbidden}."), f"{module} imports {name}"
