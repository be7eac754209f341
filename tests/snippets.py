"""What a Markdown document shows as code: blocks, and spans in sentences, with their lines."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROSE, INDENTED, SPAN, SHELL, PYTHON = "prose", "indented", "span", "sh", "python"


@dataclass(frozen=True)
class Snippet:
    """Code in a document; `kind` is the fence's language, or one of the words above."""

    document: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def snippets(path: Path, name: str = "") -> Iterator[Snippet]:
    """Yield the blocks of code and the spans in sentences of a document, in order."""
    name = name or path.name
    for kind, start, lines in _blocks(path.read_text().splitlines()):
        text = textwrap.dedent("\n".join(lines))
        if kind != PROSE:
            yield Snippet(name, start, kind, text)
            continue
        for span in re.finditer(r"`([^`]+)`", text):
            # As a table's cell writes it, a bar is escaped.
            code = " ".join(span[1].replace("\\|", "|").split())
            yield Snippet(name, start + text.count("\n", 0, span.start()), SPAN, code)


def _blocks(lines: list[str]) -> Iterator[tuple[str, int, list[str]]]:
    """Yield (kind, number of the first line, lines) of each fence, indented block and paragraph."""
    i = 0
    while i < len(lines):
        start = i
        if fence := re.match(r"\s*```(\w*)$", lines[i]):
            i = next(j for j in range(i + 1, len(lines)) if lines[j].strip() == "```")
            yield fence[1] or INDENTED, start + 2, lines[start + 1 : i]
            i += 1
        elif re.match(r" {4}|\t", lines[i]):
            while i < len(lines) and (not lines[i].strip() or re.match(r" {4}|\t", lines[i])):
                i += 1
            yield INDENTED, start + 1, lines[start:i]
        elif lines[i].strip():
            while i < len(lines) and lines[i].strip() and not re.match(r"\s*```", lines[i]):
                i += 1
            yield PROSE, start + 1, lines[start:i]
        else:
            i += 1


def shell_lines(snippet: Snippet) -> Iterator[Snippet]:
    """Yield each line of a shell block, joined with those that continue it."""
    start, joined = 0, ""
    for i, line in enumerate(snippet.text.splitlines()):
        if not joined:
            start = i
        joined += line.removesuffix("\\")
        if not line.endswith("\\"):
            if joined.strip() and not joined.lstrip().startswith("#"):
                yield Snippet(snippet.document, snippet.line + start, SHELL, joined.strip())
            joined = ""


def commands(line: str) -> list[list[str]]:
    """Return the words of each command of a shell line.

    Left out are the comment, where the output goes, and variables that are set before a command.
    """
    found: list[list[str]] = [[]]
    words = iter(shlex.split(line.removeprefix("$ "), comments=True))
    for word in words:
        if word == "&&":
            found.append([])
        elif word in (">", ">>", "<"):
            next(words)
        elif found[-1] or not re.match(r"[A-Z_]+=", word):
            found[-1].append(word)
    return [command for command in found if command]
