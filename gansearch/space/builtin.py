"""Where the files of the built-in spaces lie."""

from __future__ import annotations

from pathlib import Path


def builtin_spaces() -> dict[str, Path]:
    """Return the files of the built-in spaces, by name."""
    package = Path(__file__).parents[1]
    folder = package / "search_spaces"
    if not folder.is_dir():  # a checkout: the wheel takes them from beside the package
        folder = package.parent / "search_spaces"
    # By name: as a file, `digits.yaml` would come after `digits-conditional.yaml`.
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}
