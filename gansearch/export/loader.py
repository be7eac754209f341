"""The text of `load_generator.py`, which loads an exported generator without gansearch."""

from __future__ import annotations

from collections.abc import Sequence

from gansearch.artifacts import GeneratorModule
from gansearch.data.units import Units
from gansearch.export.formats import Format


def loader_text(
    found: GeneratorModule, format: Format, shape: Sequence[int], units: Units | None
) -> str:
    """Return the module that loads a generator of examples of `shape`.

    Its samples are in the data's own `units`, where these aren't those of the training.
    """
    gives = (
        f"images [n, {shape[2]}, {shape[0]}, {shape[1]}]"
        if len(shape) == 3
        else f"points [n, {shape[0]}]"
    )
    noise = found.noise.replace("(n,", f"({found.block},")
    together = (
        f" Batch normalisation needs them in blocks of {found.block:,}."
        if found.depends_on_company
        else ""
    )
    return (
        f'"""`generator`: noise [n, {found.noise_dim}] to {gives}. Needs {format.needs}."""\n\n'
        f"from pathlib import Path\n\n{format.imports}\n"
        f"HERE = Path(__file__).parent\n"
        f"{format.load(found.definition or '')}{_units(units)}\n\n"
        f"def samples(n, seed={found.seed}):\n"
        f'    """Return n samples; those of the default seed were scored.{together}"""\n'
        f"    rng = torch.Generator().manual_seed(seed)\n"
        f"    blocks = []\n"
        f"    with torch.no_grad():\n"
        f"        for _ in range(0, n, {found.block}):\n"
        f"            noise = {noise}\n"
        f"            blocks.append({format.call})\n"
        f"    return torch.cat(blocks)[:n]{'' if units is None else ' * UNIT + OFFSET'}\n"
    )


def _units(units: Units | None) -> str:
    """Return Python that says how standardised vectors become those of the data."""
    if units is None:
        return ""
    values = units.to_dict()
    return (
        "# The generator's own vectors are standardised.\n"
        f"UNIT = torch.tensor({values['unit']})\nOFFSET = torch.tensor({values['offset']})\n"
    )
