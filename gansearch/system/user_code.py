"""Code of the user's own, which a space names: `my_nets.py:Generator`, or `my_module:Generator`.

A file is read where it lies. The other files of its folder that it imports are found there, after
all installed packages. The processes of a run read these files from a copy of their text
(`sources_of`, `provide`), so that they need not lie on every node, and a run continues with the
code that it began with. Objects that lie in no file, such as a function of a notebook, are given
by `give` and travel with the run.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from gansearch.errors import BadInputError, did_you_mean
from gansearch.system.checks import first_line

# Where an object lies that no file has; older versions had no part that is unique.
_GIVEN = re.compile(r"given(_[0-9a-f]{12})?:")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_RULE = "It must be FILE.py:NAME, or MODULE:NAME of a module that Python can import on every node."
# How torch raises an error of a DataLoader's process, or of a replica, again: with its traceback.
_RAISED_AGAIN = re.compile(
    r"\ACaught [^\n]+\n(?:.*\n|Original )Traceback \(most recent call last\):\n"
    r"(?: [^\n]*\n)*(\S[^\n]*)",
    re.DOTALL,
)
_PACKAGE = Path(__file__).absolute().parents[1]

_objects: dict[str, Any] = {}  # by reference: what was given, or is already at hand
_texts: dict[Path, bytes] = {}  # by path: the files that count instead of those on the disk
# By path: modules, with the texts that they were made from, their own and those beside it.
_modules: dict[Path, tuple[dict[Path, bytes], ModuleType]] = {}

# By identity: the references of what was given within `given_once`.
_given_here: ContextVar[dict[int, str] | None] = ContextVar("given_here", default=None)


def is_reference(text: object) -> bool:
    """Return whether a text names an object in a file or module.

    >>> [is_reference(text) for text in ("my_nets.py:Generator", "package.nets:g", "mnist")]
    [True, True, False]
    """
    if not isinstance(text, str):
        return False
    where, colon, name = text.rpartition(":")
    return bool(colon and _NAME.fullmatch(name) and (_is_file(where) or _NAME.fullmatch(where)))


def resolved(reference: str, folder: Path) -> str:
    """Return a reference with the path of its file made absolute; it was relative to `folder`."""
    where, _, name = reference.rpartition(":")
    if not _is_file(where):
        return reference
    return f"{absolute(folder / Path(where).expanduser())}:{name}"


def shown(reference: str) -> str:
    """Return a reference as messages show it, without the folders of its file, if it has one.

    >>> shown("/home/me/my_nets.py:Generator")
    'my_nets.py:Generator'
    """
    if is_given(reference):
        return reference.rpartition(":")[2]
    return Path(reference).name if _is_file(reference.rpartition(":")[0]) else reference


def reference_of(value: Any) -> str:
    """Return a reference to a function or class, which `load` takes to be this very object.

    It names the object's file or module where there is one that a later process can import; else
    the object is given (`give`).
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    found = sys.modules.get(module or "")
    file = getattr(found, "__file__", None)
    if module in (None, "__main__") or file is None or _attribute(found, name) is not value:
        return give(value)
    is_installed = any(file.startswith(prefix + os.sep) for prefix in {sys.prefix, sys.base_prefix})
    in_package = "." in module or is_installed or Path(file).name == "__init__.py"
    reference = f"{module if in_package else absolute(Path(file))}:{name}"
    _objects[reference] = value
    return reference


def give(value: Any) -> str:
    """Return a new reference to an object that lies in no file; it is good in this process alone.

    It is unlike any other, so that no run takes an object of the same name for its own.
    """
    known = _given_here.get()
    if known is not None and id(value) in known:
        return known[id(value)]
    reference = f"given_{uuid4().hex[:12]}:{given_name(value)}"
    _objects[reference] = value
    if known is not None:
        known[id(value)] = reference
    return reference


@contextmanager
def given_once() -> Iterator[None]:
    """Within the context, let `give` return one reference to an object however often it is given.

    Such as a measure of a space that is its objective too.
    """
    token = _given_here.set({})
    try:
        yield
    finally:
        _given_here.reset(token)


def given_name(value: Any) -> str:
    """Return what people see an object that lies in no file called."""
    return re.sub(r"\W", "_", getattr(value, "__name__", type(value).__name__)) or "_"


def is_given(reference: str) -> bool:
    """Return whether the object of a reference lies in no file."""
    return _GIVEN.match(reference) is not None


def is_missing(reference: str) -> bool:
    """Return whether the object of a reference lies in no file, and this process lacks it."""
    return is_given(reference) and reference not in _objects


def load(reference: str) -> Any:
    """Return the object that a reference names.

    Raises:
        BadInputError: there is no such file, module or object, or importing it fails; the message
            has the line in the user's own file.
    """
    if reference in _objects:
        return _objects[reference]
    if not is_reference(reference):
        raise BadInputError(f"{reference}: names no object. {_RULE}")
    where, _, name = reference.rpartition(":")
    if is_given(reference):
        raise BadInputError(
            f"{name}: the run was started from Python with this object, which lies in no "
            f"file. Give {name} again, from Python: gansearch.resume(run, trainable=...), or "
            "generator=... and discriminator=..., with what it was started with."
        )
    module = (
        _file_module(absolute(Path(where)), reference)
        if _is_file(where)
        else _import(where, reference)
    )
    found = _attribute(module, name)
    if found is None:
        public = [
            each
            for each, value in vars(module).items()
            if not each.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
        hint = did_you_mean(name, public) if public else "It defines nothing."
        raise BadInputError(f"{shown(reference)}: {where} has no {name}. {hint}")
    return found


@dataclass(frozen=True)
class UserCode:
    """The code that references name, for `provide` in another process.

    Attributes:
        texts: of files, by path.
        objects: those that lie in no file, by reference.
    """

    texts: Mapping[str, bytes] = field(default_factory=dict)
    objects: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, references: Sequence[str]) -> UserCode:
        """Return the code of these references.

        Raises:
            BadInputError: an object that lies in no file hasn't been given in this process.
        """
        objects = {name: load(name) for name in references if is_given(name)}
        return cls(sources_of(references), objects)


def sources_of(references: Iterable[str]) -> dict[str, bytes]:
    """Return the text of each file that references name, and of those they import, by path.

    Of the imported ones only those that lie beside the file, or below it; they are found in the
    text, so that imports within functions count too.
    """
    texts: dict[Path, bytes] = {}
    for reference in references:
        where, _, _ = reference.rpartition(":")
        if _is_file(where):
            _collect(Path(where), Path(where).parent, texts)
    return {str(path): text for path, text in texts.items()}


def provide(code: UserCode) -> None:
    """Let `load` and imports read these files instead of those on the disk."""
    _texts.update({Path(path): text for path, text in code.texts.items()})
    _objects.update(code.objects)


@contextmanager
def provided(code: UserCode) -> Iterator[None]:
    """Let `load` and imports read these files within the context alone."""
    before = dict(_texts)
    provide(code)
    try:
        yield
    finally:
        _texts.clear()
        _texts.update(before)


def last_line(error: BaseException) -> str:
    """Return the last line of an error's traceback that lies in the user's own code; "" if none.

    Such as `my_nets.py:12: self.out = nn.Linear(width, 1)`.
    """
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    if isinstance(error, SyntaxError) and error.filename:
        line = (error.text or "").strip()
        return f"{Path(error.filename).name}:{error.lineno}: {line}".rstrip(": ")
    if not own:
        return ""
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}: {own[-1].line}"


def describe_error(error: BaseException) -> str:
    """Return an error of the user's code in one line, with the last line in the user's own file."""
    kind, message = type(error).__name__, first_line(error).removesuffix(".")
    if isinstance(error, SyntaxError) and error.msg:
        message = error.msg  # without the file and the line, which follow
    what = kind if message == kind else f"{kind}: {message}"
    if found := _RAISED_AGAIN.search(str(error)):
        what = found[1].removesuffix(".")
    line = last_line(error)
    return f"{what}, at {line}" if line else what


def _is_own(filename: str) -> bool:
    path = Path(filename).absolute()
    if filename.startswith("<") and not linecache.getline(filename, 1):
        return False
    if path in _texts or path in _modules:
        return True
    outside = (_PACKAGE, sys.prefix, sys.base_prefix)
    return not any(path.is_relative_to(folder) for folder in outside)


def _is_file(where: str) -> bool:
    return where.endswith(".py")


def _attribute(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def _file_module(path: Path, reference: str) -> ModuleType:
    if not _exists(path):
        raise BadInputError(f"{shown(reference)}: there is no file {path}. {_RULE}")
    texts: dict[Path, bytes] = {}
    _collect(path, path.parent, texts)
    known = _modules.get(path)
    if known is not None and known[0] == texts:
        return known[1]
    if known is not None:
        _finder.forget()
    # A name of its own, since files of other folders may have the same.
    name = f"{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    _finder.search(path.parent)
    spec = spec_from_file_location(name, path, loader=_Loader(path))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    linecache.checkcache(str(path))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _not_imported(reference, error) from error
    _modules[path] = texts, module
    return module


def _import(name: str, reference: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _not_imported(reference, error) from error


def _not_imported(reference: str, error: BaseException) -> BadInputError:
    remedy = "Mend it; it is imported before a search starts, and by every worker."
    if isinstance(error, ModuleNotFoundError):
        remedy = (
            "It must be installed here and on every node, or lie beside the file that imports it."
        )
    return BadInputError(
        f"{shown(reference)}: can't be imported ({describe_error(error)}). {remedy}"
    )


def absolute(path: Path) -> Path:
    """Return a path from the root, without `..`, through links as they are."""
    return Path(os.path.normpath(path.absolute()))


def _exists(path: Path) -> bool:
    return path in _texts or (not _is_provided(path.parent) and path.is_file())


def _is_provided(folder: Path) -> bool:
    """Return whether a folder's files are read from what was provided alone."""
    return any(path.is_relative_to(folder) for path in _texts)


def _read(path: Path) -> bytes:
    return _texts[path] if path in _texts else path.read_bytes()


class _Loader(SourceLoader):
    """Loads one of the user's files; leaves no compiled file beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002
        """Return the path, which tracebacks show."""
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        """Return the text."""
        return _read(Path(os.fsdecode(path)))


class _Finder(MetaPathFinder):
    """Finds modules beside the user's files, after all others."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._names: set[str] = set()  # of the modules that it has found in this folder

    def search(self, folder: Path) -> None:
        """Look in this folder from now on; other folders may have modules of the same names."""
        if self not in sys.meta_path:
            sys.meta_path.append(self)
        if folder != self._folder:
            self.forget()
            self._folder = folder

    def forget(self) -> None:
        """Let the modules that it has found be imported anew."""
        for name in self._names:
            sys.modules.pop(name, None)
        self._names = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module of a file below the folder."""
        del target
        if self._folder is None:
            return None
        for folder in [self._folder] if path is None else map(Path, path):
            found = _module_file(folder, fullname.rpartition(".")[2])
            if found is not None and found.is_relative_to(self._folder):
                self._names.add(fullname)
                return spec_from_file_location(fullname, found, loader=_Loader(found))
        return None


_finder = _Finder()


def _module_file(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}.py", folder / name / "__init__.py")
    return next(filter(_exists, candidates), None)


def _collect(path: Path, folder: Path, texts: dict[Path, bytes]) -> None:
    """Add a file, and those below `folder` that it imports, to `texts`."""
    if path in texts or not _exists(path):
        return
    texts[path] = _read(path)
    for name in _imported_names(texts[path]):
        parts, below = name.split("."), folder
        for part in parts:
            found = _module_file(below, part)
            if found is None:
                break
            _collect(found, folder, texts)
            below = below / part


def _imported_names(text: bytes) -> Iterator[str]:
    """Yield the dotted names that a text imports: of modules, and of what is in them."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # which its import will tell
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
