"""The result of one check before a search: what was found, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: `problem` only if it would stop every search.
        found: what the check found.
        remedy: how to fix it; empty if there is nothing to fix.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def first_line(error: object) -> str:
    """Return the first line of an error's message, or its class if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
