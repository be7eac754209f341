"""One thing that was looked at before a search: what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        status: `problem` only for what would stop a search.
        found: what there is.
        remedy: what to do about it; empty where nothing is to be done.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def first_line(error: object) -> str:
    """Return the first line of an error's text, or its class where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
