"""Reads YAML into values that carry their file and line, for error messages.

`1e-5` and `60_000` are numbers, `yes` and `off` booleans; anything in quotes is text. Where a name
is wanted, all of them are names, as they are written. Anchors, aliases, merge keys and tags are
refused: a space needs none, and a few lines of aliases can expand to gigabytes.
"""

from __future__ import annotations

import codecs
import itertools
import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from gansearch.errors import SpaceError

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 12
_MAX_VALUES = 10_000  # PyYAML reads some twenty thousand a second
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULLS = ("", "~", "null")
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}([,' ][0-9]{3})+")
_DECIMAL_COMMA = re.compile(r"[0-9]*,[0-9]+")
_LEADING_ZEROS = re.compile(r"0[0-9_]*[0-9]")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlist = 8


@dataclass(frozen=True)
class SourceValue:
    """A value and where it stands in a file or on the command line.

    Attributes:
        value: a mapping of names to `SourceValue`, a list of `SourceValue`, or a scalar.
        where: such as `mnist.yaml:7` or `--set k=3`.
        text: a scalar as it is written, `no` for False; None for others, and for values of Python.
    """

    value: Any
    where: str
    text: str | None = None

    @property
    def name(self) -> str | None:
        """The value where a name is wanted: a scalar as it is written; None for others."""
        return self.value if isinstance(self.value, str) else self.text

    def plain(self) -> Any:
        """Return the value alone, with plain mappings and lists."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def show(self) -> str:
        """Return the value as messages show it, shortened if it is long."""
        return shorten(self.plain())

    def error(self, key: str, message: str) -> SpaceError:
        """Return the error with `message` about `key` at this line."""
        return SpaceError(f"{self.where}: {key}: {message}")

    def rule_error(self, key: str, rule: str) -> SpaceError:
        """Return the error that the value of `key` breaks `rule`; how to write a number follows."""
        parts = self.value if isinstance(self.value, list) else [self]
        texts = [part.text for part in parts]
        if rule.startswith("a whole number"):  # 1,5 is then no 1.5
            texts = [t for t in texts if t and (_THOUSANDS.fullmatch(t) or "," not in t)]
        advice = next(filter(None, map(number_advice, texts)), "")
        return self.error(key, f"found {self.show()}. It must be {rule}.{advice}")


def number_advice(text: str | None) -> str:
    """Return how a number that is written otherwise is to be written; "" if it may be no number.

    >>> number_advice("60,000")
    ' Write 60000 or 60_000.'
    """
    if text is None:
        return ""
    if _THOUSANDS.fullmatch(text):
        groups = re.split("[^0-9]", text)
        return f" Write {''.join(groups)} or {'_'.join(groups)}."
    if _DECIMAL_COMMA.fullmatch(text):
        return f" Write {text.replace(',', '.')}."
    if _LEADING_ZEROS.fullmatch(text):
        joined = "if it belongs to the number before it, write both without a comma."
        number = int(text.replace("_", ""))
        if not number:
            return joined.replace("if", " If", 1)
        return f" Write {number}, since some readers take leading zeros for octal; or, {joined}"
    return ""


def shorten(value: object) -> str:
    """Return a `repr` of bounded length; layer widths as a list, as files have them."""
    try:
        if value is None or isinstance(value, bool):
            return {None: "nothing", True: "true", False: "false"}[value]
        return _short.repr(list(value) if isinstance(value, tuple) else value)
    except ValueError:  # Python refuses to write out integers of more than 4300 digits
        return "a number of thousands of digits"


def attach_source(value: Any, where: str) -> SourceValue:
    """Wrap plain values, all with the same `where`.

    Raises:
        SpaceError: a key of a mapping isn't text.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise SpaceError(f"{where}: {shorten(key)}: a key must be a name.")
        return SourceValue({key: attach_source(item, where) for key, item in value.items()}, where)
    if isinstance(value, list | tuple):
        return SourceValue([attach_source(item, where) for item in value], where)
    return SourceValue(value, where)


def read_yaml(path: Path, source: str | None = None) -> SourceValue:
    """Read a YAML (or JSON) file; messages name it by `source`, by default its path.

    Raises:
        SpaceError: it can't be read, is too large, isn't text, or isn't YAML.
    """
    source = source or str(path)
    return parse_yaml(_read_text(path, source), source)


def parse_yaml(text: str, source: str, *, numbered: bool = True) -> SourceValue:
    """Parse YAML text; `where` is `source:line`, or `source` alone unless `numbered`.

    Raises:
        SpaceError: not YAML (with line and column), or an anchor, alias or tag, or too large.
    """

    def where(line: int, column: int | None = None) -> str:
        if not numbered:
            return source
        return f"{source}:{line + 1}" + (f":{column + 1}" if column is not None else "")

    try:
        node = _Loader(text).get_single_node()
    except _RefusedError as error:
        raise SpaceError(f"{where(error.line)}: found {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = where(mark.line, mark.column) if mark else source
        raise SpaceError(f"{at}: not YAML: {_syntax_fault(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        raise SpaceError(
            f"{where(line)}: not YAML: the character {error.character!r} may not stand there. "
            "Save the file as plain UTF-8 text."
        ) from None
    except (ValueError, OverflowError):
        # PyYAML hands the number of an escaped character to `chr` unchecked.
        raise SpaceError(
            f"{source}: not YAML: an escaped character (backslash U) that Unicode does not have."
        ) from None
    return SourceValue(None, source) if node is None else _read_node(node, source, numbered)


class _RefusedError(Exception):
    """Well-formed YAML that is refused."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes with their lines; refuses anchors, aliases, tags and oversized documents."""

    depth = 0
    n_values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line
        self.depth += 1
        self.n_values += 1
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise _RefusedError(
                "an anchor (&name), alias (*name) or tag (!name). They aren't used here. "
                "Write the value out.",
                line,
            )
        if self.depth > _MAX_DEPTH:
            raise _RefusedError(
                f"more than {_MAX_DEPTH} levels. Remove the needless brackets.", line
            )
        if self.n_values > _MAX_VALUES:
            raise _RefusedError(f"more than {_MAX_VALUES:,} values. Is this the right file?", line)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _syntax_fault(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    if (error.context or "").startswith("expected"):  # else what was being parsed
        problem = f"{error.context} {problem}"
    if "\\t" in problem:
        return f"{problem}. YAML is indented with spaces, never tabs."
    return f"{problem}. Check the brackets and quotes, and the space after each colon."


def _read_node(node: yaml.Node, source: str, numbered: bool) -> SourceValue:
    where = f"{source}:{node.start_mark.line + 1}" if numbered else source
    if isinstance(node, yaml.MappingNode):
        return SourceValue(_mapping(node, source, numbered), where)
    if isinstance(node, yaml.SequenceNode):
        return SourceValue([_read_node(item, source, numbered) for item in node.value], where)
    assert isinstance(node, yaml.ScalarNode)
    return SourceValue(_scalar(node), where, str(node.value))


def _mapping(node: yaml.MappingNode, source: str, numbered: bool) -> dict[str, SourceValue]:
    mapping: dict[str, SourceValue] = {}
    for i, (key, value) in enumerate(node.value):
        where = f"{source}:{key.start_mark.line + 1}" if numbered else source
        if not isinstance(key, yaml.ScalarNode):
            raise SpaceError(f"{where}: a key must be a name, and is a list or mapping here.")
        name = key.value
        if name == "<<" and not key.style:
            raise SpaceError(f"{where}: <<: merge keys aren't used here. Write the values out.")
        if number := _number_with_commas(node.value[i : i + 8]):
            raise SpaceError(
                f"{where}: {name}: found {number}. In braces a comma ends the entry."
                f"{number_advice(number)}"
            )
        if name in mapping:
            raise SpaceError(
                f"{where}: {name}: given twice, first at {mapping[name].where}. Remove one."
            )
        # The key's line is where a reader looks, also when the value starts below it.
        mapping[name] = replace(_read_node(value, source, numbered), where=where)
    return mapping


def _number_with_commas(entries: Sequence[tuple[yaml.Node, yaml.Node]]) -> str | None:
    """Return `60,000` for the entries `k: 60` and `000:`, as which YAML reads `{k: 60,000}`."""
    numbers = [str(entries[0][1].value)]
    for key, value in entries[1:]:
        if value.start_mark.index != value.end_mark.index:
            break
        numbers.append(str(key.value))
    numbers = list(itertools.takewhile(str.isdecimal, numbers))
    return ",".join(numbers) if len(numbers) > 1 else None


def _scalar(node: yaml.ScalarNode) -> bool | int | float | str | None:
    text = str(node.value)
    if node.style:  # in quotes, or a block
        return text
    if text.lower() in _NULLS:
        return None
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    return _number(text)


def _number(text: str) -> int | float | str:
    """Return `text` as a number, else unchanged; .inf, .nan and leading zeros stay text."""
    if text.lstrip("+-")[:1] not in {".", *"0123456789"} or _LEADING_ZEROS.fullmatch(text):
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _read_text(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except IsADirectoryError:
        raise SpaceError(f"{source}: a folder. Name a file in it.") from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise SpaceError(f"{source}: can't be read ({reason}). Check the path.") from None
    if len(data) > _MAX_BYTES:
        raise SpaceError(
            f"{source}: larger than {_MAX_BYTES // 10**6} MB. A space or configuration is far "
            "smaller. Check the path."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise SpaceError(
                f"{source}: not plain text: it is UTF-16. Save the file as plain UTF-8 text."
            ) from None
        raise SpaceError(
            f"{source}: not text: byte {error.start} is {data[error.start]:#04x}, which isn't "
            "UTF-8. Save the file as plain UTF-8 text."
        ) from None
