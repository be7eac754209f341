"""Derives the seed of every trial from the seed of the run."""

from __future__ import annotations

import hashlib


def trial_seed(run_seed: int, phase: str, index: int) -> int:
    """Return the seed, in `[0, 2**31)`, of trial `index` of a phase; it differs between phases."""
    digest = hashlib.sha256(f"{run_seed}/{phase}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
