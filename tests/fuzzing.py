"""Bad input in bulk: whatever a user hands to a command ends in an answer, soon.

`make fuzz` makes ten thousand cases and prints what they ended in; `tests/test_fuzz.py` runs some
hundreds. A case is a command line and the files that it finds: made from good ones by a few
changes, so that it gets past the first check. Every case must end with exit code 0, 1 or 2, an
error with one message of bounded length, and within the time limit. No search is started, except
by the cases of `tests/surroundings.py`.
"""

import argparse
import copy
import dataclasses
import io
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from rich.table import Table

from gansearch.cli import main
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.networks.models import Generator
from gansearch.runs.folder import RunFolder
from gansearch.scoring.references import evaluate_training_examples
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space
from gansearch.tune import time_plan
from gansearch.tune.new_run import describe_run
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share
from tests.saved_generators import save
from tests.surroundings import surroundings, try_one
from tests.written_runs import finished_run, searched

SECONDS = 20.0
time_plan.MEASURED_SECONDS = 0.0  # of each dry run
LONGEST_MESSAGE = 4000
SPACES = Path(__file__).parents[1] / "search_spaces"
TINY = TrialConfig(noise_dim=2, generator_widths=(4,), discriminator_widths=(4,))

# Values that parsers stumble over, in place of any value.
ODD = [
    *(None, True, False, 0, -1, 1, 2, 10**30, -(10**400), 0.5, 1e-320, 1e308, math.inf, -math.inf),
    *(math.nan, "", " ", "\n", "nan", "1e5", "é\u202e\x07", "../../x", "/etc/passwd", "a\x00b"),
    *([], {}, [[]], {"": ""}, {"int": [1, 5]}, {"float": [0.1, 0.2], "log": True}, {"when": {}}),
    *({"choice": []}, {"choice": [1, [2], {"a": 1}]}, "x" * 3000, [1] * 300, "paper", "digits"),
]
WORDS = [
    *("dataset", "budget", "search", "fixed", "presets", "start_from", "trials", "when", "int"),
    *("float", "choice", "log", "step", "k", "noise_dim", "generator_lr", "config", "seed", "name"),
    *("__class__", "<<", "<script>alert(1)</script>", "[red]", "{0}", "%s"),
]


class Hang(BaseException):
    """A case took longer than the time limit."""


@dataclass
class Case:
    """A command line, what made its files, the exit code that it must have, and how it ended."""

    args: list[str]
    spoilt: list[str] = field(default_factory=list)
    expected: int | None = None
    code: int = -1
    out: str = ""
    err: str = ""
    seconds: float = 0.0


@dataclass
class Counts:
    """How cases ended, by kind and exit code."""

    codes: dict[str, Counter[int]] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)

    def note(self, kind: str, case: Any) -> None:
        self.codes.setdefault(kind, Counter())[case.code] += 1
        self.seconds[kind] += case.seconds


# Strategies


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )


values = st.sampled_from(ODD).map(copy.deepcopy) | trees(
    st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS) | st.booleans()
)
keys = st.sampled_from(WORDS) | st.sampled_from(sorted(TrialConfig.rules())) | st.text(max_size=10)


@st.composite
def changed_tree(draw: st.DrawFn, tree: Any) -> Any:
    """A tree with up to four of its entries replaced, renamed, removed, doubled or added."""
    root = copy.deepcopy(tree)
    for _ in range(draw(st.integers(0, 4))):
        place: Any = root
        for _ in range(draw(st.integers(0, 4))):
            branches = [value for value in children(place) if isinstance(value, dict | list)]
            if not branches:
                break
            place = draw(st.sampled_from(branches))
        change(draw, place)
    return root


def children(place: Any) -> list[Any]:
    return list(place.values()) if isinstance(place, dict) else list(place)


def change(draw: st.DrawFn, place: Any) -> None:
    how = draw(st.sampled_from(["replace", "remove", "add", "rename"]))
    if how == "add" or not place:
        if isinstance(place, dict):
            place[draw(keys)] = draw(values)
        else:
            place.append(draw(values))
        return
    names = list(place) if isinstance(place, dict) else list(range(len(place)))
    name = draw(st.sampled_from(names))
    if how == "replace":
        place[name] = draw(values)
    elif how == "remove":
        del place[name]
    elif isinstance(place, dict):
        place[draw(keys)] = place.pop(name)


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes cut off, flipped, doubled or overwritten at up to four places."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(["cut", "flip", "insert", "double", "blank"]))
        if how == "cut":
            del data[at:]
        elif how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif how == "double":
            data += data[at : at + 2000]
        elif how == "blank":
            data[at : at + 16] = bytes(min(16, len(data) - at))
    return bytes(data)


BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [
        f"{b}: &{b} [{', '.join(['*' + a] * 9)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
)
TEXTS = [
    *(
        "",
        "\n",
        "---\n",
        "- 1\n",
        "a: b: c\n",
        "\t",
        "{",
        "[" * 5000,
        "{a: " * 2000,
        "!!python/none",
    ),
    *(
        "!!python/object/apply:os.system ['touch fuzzed']",
        "? [a]\n: b\n",
        "a: *b\n",
        BOMB,
        "\ufeffk: 2",
    ),
    *("k: 1\nk: 2\n", "dataset: digits\ndataset: mnist\n", "k: 0o17\n", "k: 2026-01-01\n", "\x00"),
    *("<<: {k: 1}\n", "&a [*a]", "&a {b: *a}", "search: &s {k: {int: [1, 2]}, k2: *s}\n"),
]


def dumped(tree: Any) -> bytes:
    """YAML or, where it has what YAML's writer refuses, what JSON's makes of it."""
    try:
        text = yaml.safe_dump(tree, allow_unicode=True)
    except (yaml.YAMLError, RecursionError, ValueError):
        text = json.dumps(tree, default=str)
    return text.encode("utf-8", "surrogatepass")


def document(tree: Any, source: bytes) -> st.SearchStrategy[bytes]:
    """A YAML document: a changed tree, changed bytes, or one of the known traps."""
    return (
        changed_tree(tree).map(dumped)
        | changed_bytes(source)
        | st.sampled_from(TEXTS).map(lambda text: text.encode())
    )


FLAGS = {
    "--space": [*builtin_spaces(), "space.yaml", "digts", "/", "./", "no.yaml"],
    "--trials": ["0", "1", "-3", "99999999999999999999", "1e3", "x", ""],
    "--max-updates": ["0", "1", "2000", "1000000000000", "-1", "nan"],
    "--time-budget": ["1h", "90m", "0", "-1s", "1h1h", "inf", "1e400s", "soon", "9" * 400],
    "--seed": ["0", "7", "-1", str(2**64), "x"],
    "--name": ["a", "..", "../x", "/abs", "a/b", "", "é", "x" * 300, ".", "-"],
    "--results": [".", "file", "file/below", "", "\u202e"],
    "--data-dir": [".", "file", "nowhere", ""],
    "--address": ["localhost:1", "auto:", "::::", "127.0.0.1:99999", "ray://x:1", ""],
    "--gpus-per-trial": ["0", "auto", "atuo", "0.25", "-1", "nan", "inf", "1e400", "two"],
    "--cpus-per-trial": ["1", "auto", "", "0", "nan", "inf", "-2"],
    "--group-trials": ["auto", "on", "of", ""],
    "--max-concurrent": ["1", "0", "x"],
    "--sampler": ["tpe", "random", "qmc", "gp", "tp", ""],
    "--top": ["0", "3", "-1", "100000000000000000000"],
    "--replicas": ["0", "1", "-1", "x"],
    "--only": ["paper", "dcgan", "config.yaml", "papr", "", "."],
    "--set": [
        *("k=2", "k={int: [1, 3]}", "k", "=", "k=", "=2", "budget.trials=3", "budget.trials=x"),
        *("generator_lr={float: [0, 1], log: true}", "x.y.z=1", "noise_dim=1000000000000", "k=[1"),
        *(
            "generator_widths=[99999999999]",
            "dataset=ring",
            "search={}",
            "fixed={k: 1}",
            "k=&a [*a]",
        ),
    ],
    "--quiet": [None],
}


# What a shell can pass on: no program is ever given a NUL.
words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


@st.composite
def run_flags(draw: st.DrawFn) -> list[str]:
    args = []
    for flag in draw(st.lists(st.sampled_from(sorted(FLAGS)), max_size=4)):
        value = draw(st.sampled_from(FLAGS[flag]) | words)
        args += [flag] if FLAGS[flag] == [None] else [f"{flag}={value}"]
    args += draw(st.lists(st.sampled_from(["config.yaml", "paper", "--no", "x"]), max_size=1))
    return args


SPACE = yaml.safe_load((SPACES / "digits.yaml").read_text())
CONFIG = {"k": 2, "generator_lr": 0.05, "generator_widths": [8], "discriminator_widths": [8]}


@st.composite
def spaces_case(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from(sorted(builtin_spaces())))
    source = (SPACES / f"{name}.yaml").read_bytes()
    Path("space.yaml").write_bytes(draw(document(yaml.safe_load(source), source)))
    return Case(["spaces", "space.yaml"])


@st.composite
def plan_case(draw: st.DrawFn) -> Case:
    Path("space.yaml").write_bytes(
        draw(document(SPACE, (SPACES / "digits.yaml").read_bytes()) | st.just(dumped(SPACE)))
    )
    Path("config.yaml").write_bytes(
        draw(document(CONFIG, dumped(CONFIG)) | st.just(dumped(CONFIG)))
    )
    Path("file").write_bytes(b"not a folder")
    return Case(["run", "--dry-run", *draw(run_flags())])


@st.composite
def config_case(draw: st.DrawFn) -> Case:
    tree = draw(st.sampled_from([CONFIG, SPACE["presets"]["dcgan"], TINY.to_dict()]))
    ending = draw(st.sampled_from(["yaml", "json"]))
    content = draw(document(tree, json.dumps(tree).encode() if ending == "json" else dumped(tree)))
    Path(f"config.{ending}").write_bytes(content)
    return Case(["run", "--dry-run", "--only", f"config.{ending}"])


@st.composite
def run_case(draw: st.DrawFn) -> Case:
    """A run's folder of which one to three files were changed, removed or replaced."""
    folder = write_run_folder()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    chosen = draw(st.lists(st.sampled_from(files), min_size=1, max_size=3, unique=True))
    spoilt = [f"{path}: {spoil(draw, path)}" for path in chosen]
    command = draw(st.sampled_from(["report", "report", "resume", "sample"]))
    args = {
        "report": draw(
            st.sampled_from([[], ["--format", "json"], ["--format", "html"], ["--format", "csv"]])
        ),
        "resume": draw(st.sampled_from([[], ["--trials", "9"], ["--time-budget", "1h"]])),
        "sample": draw(
            st.sampled_from([[], ["--trial", "t00000"], ["--trial", "../x"], ["--n=3"]])
        ),
    }
    return Case([command, "results/digits-1", *args[command]], spoilt)


def write_run_folder() -> Path:
    """Write a whole run, as it is after a stop in the middle of its replicas."""
    return Path(shutil.copytree(_template(), "results"), "digits-1")


_TEMPLATE: list[Path] = []


def _template() -> Path:
    """Return a folder of results that was written once for all cases."""
    if not _TEMPLATE:
        results = Path(tempfile.mkdtemp(prefix="gansearch-fuzz-"))
        folder = finished_run(results)
        space = load_space("digits")
        interrupted = dataclasses.replace(
            folder.read_run(), space=space.to_dict(), state="interrupted"
        )
        folder.write_run(interrupted)
        rows = [row for row in searched() if row["status"] != "diverged"]
        folder.append_history([report | {"updates": u} for report in rows for u in (2000, 4000)])
        folder.append_history([report | {"updates": 6000} for report in rows])
        save(folder.model_dir("t00000"), Generator(TINY, (8, 8, 1)), TINY, dataset="digits", seed=3)
        folder.checkpoint_path("t00001").parent.mkdir()
        folder.checkpoint_path("t00001").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
        (folder.path / "optuna.journal").write_text(
            '{"op_code":0,"worker_id":"a","study_name":"x"}\n'
        )
        _TEMPLATE.append(results)
    return _TEMPLATE[0]


def spoil(draw: st.DrawFn, path: Path) -> str:
    """Damage a file as disks, people and other programs do; return how."""
    how = draw(
        st.sampled_from(
            ["bytes", "bytes", "content", "content", "absent", "folder", "link", "empty"]
        )
    )
    content = path.read_bytes()
    if how == "content" and path.suffix == ".json":
        path.write_bytes(json.dumps(draw(changed_tree(json.loads(content))), default=str).encode())
    elif how == "content" and path.suffix == ".parquet":
        write_changed_table(draw, path)
    elif how in ("bytes", "content"):
        path.write_bytes(draw(changed_bytes(content)))
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "link":
            path.symlink_to(draw(st.sampled_from(["/etc/passwd", "/nowhere", ".", "/dev/null"])))
        elif how == "empty":
            path.touch()
    return how


def write_changed_table(draw: st.DrawFn, path: Path) -> None:
    """Write a table anew with columns removed, retyped, doubled, or of odd values."""
    table = pq.read_table(path)
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, table.num_columns - 1))
        name, column = table.column_names[i], table.column(i)
        how = draw(st.sampled_from(["drop", "text", "null", "value", "rows", "double"]))
        if how == "drop" and table.num_columns > 1:
            table = table.remove_column(i)
        elif how == "text":
            table = table.set_column(i, name, pa.array([str(v) for v in column.to_pylist()]))
        elif how == "null":
            table = table.set_column(i, name, pa.nulls(len(table)))
        elif how == "value":
            table = table.set_column(i, name, odd_column(draw, column))
        elif how == "rows":
            table = table.slice(0, draw(st.integers(0, len(table))))
        elif how == "double":
            table = pa.concat_tables([table, table.slice(0, 1)])
    pq.write_table(table, path)


def odd_column(draw: st.DrawFn, column: pa.ChunkedArray) -> pa.Array:
    """The column with one value replaced by an odd one of its type, if there is one."""
    entries = column.to_pylist()
    if entries:
        entries[draw(st.integers(0, len(entries) - 1))] = draw(st.sampled_from(ODD))
    try:
        return pa.array(entries, column.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return column


@st.composite
def samples_case(draw: st.DrawFn) -> Case:
    shape = draw(
        st.sampled_from([(300, 64), (300, 8, 8), (300, 8, 8, 1), (0, 64), (3,), (), (1, 64)])
    )
    kind = draw(st.sampled_from(["<f4", "<f8", "|u1", "<i8", "|b1", "<U3", "<c8", "<f2", "<M8[s]"]))
    array = np.random.default_rng(draw(st.integers(0, 3))).integers(0, 2, shape).astype(kind)
    if array.size and kind in ("<f4", "<f8"):
        array.flat[draw(st.integers(0, array.size - 1))] = draw(
            st.sampled_from([0.5, math.nan, math.inf, -1e30, 300.0, -0.0])
        )
    file = io.BytesIO()
    np.save(file, array)
    content = draw(
        st.just(file.getvalue()) | changed_bytes(file.getvalue()) | st.binary(max_size=99)
    )
    Path("samples.npy").write_bytes(content)
    flags = draw(
        st.sampled_from([[], ["--sigma-grid=authors"], ["--curve=c.txt"], ["--dataset=ring"]])
    )
    return Case(["evaluate", "samples.npy", "--dataset=digits", "--json", *flags])


# Running


@contextmanager
def no_search() -> Iterator[None]:
    """Let commands come as far as where Ray would be started."""
    with (
        mock.patch("gansearch.tune.preflight.connected", lambda *_: nullcontext()),
        mock.patch("gansearch.tune.preflight.require_nodes", lambda *_: None),
        mock.patch("gansearch.tune.preflight.trial_share", lambda *_: Share(0.0, 2)),
        mock.patch("gansearch.tune.driver._execute", lambda *_args, **_named: None),
    ):
        yield


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hang

    previous = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


class Terminal(io.StringIO):
    """Keeps what is printed, and has a descriptor as a real one has."""

    def fileno(self) -> int:
        with open(os.devnull, "w") as file:  # noqa: PTH123
            return os.dup(file.fileno())


def run(case: Case) -> Case:
    """Run a case here as the command line would, and keep how it ended."""
    out, err = Terminal(), Terminal()
    start = time.monotonic()
    argv = ["gansearch", *case.args]
    with (
        mock.patch.object(sys, "argv", argv),
        redirect_stdout(out),
        redirect_stderr(err),
        no_search(),
        time_limit(SECONDS),
    ):
        try:
            main()
        except SystemExit as exited:
            case.code = int(exited.code or 0)
    case.seconds = time.monotonic() - start
    case.out, case.err = out.getvalue(), err.getvalue()
    return case


def check(case: Case) -> None:
    """Hold a case's end to what is promised."""
    told = f"{case.args} {case.spoilt}: {case.code}\n{case.out[-2000:]}\n{case.err[-4000:]}"
    assert case.code in ((0, 1, 2) if case.expected is None else (case.expected,)), told
    assert "Traceback" not in case.out + case.err, told
    assert "bug in gansearch" not in case.err, told
    errors = case.err.count("Error: ")
    assert errors == (1 if case.code else 0), told
    if case.code:
        message = case.err.partition("Error: ")[2].strip()
        assert 10 < len(message) < LONGEST_MESSAGE, told
        assert "\x07" not in message and "\x1b" not in message, told
    assert not Path("fuzzed").exists(), "a file's content was run"


N_IMAGES = 300
# What people do to a folder of images between two sessions, and whether it is the same data then.
CHANGES: dict[str, tuple[Callable[[list[Path]], object], bool]] = {
    "nothing": (lambda paths: None, True),
    "touched": (lambda paths: [path.touch() for path in paths], True),
    "saved again": (lambda paths: [rewrite(path, lambda image: image) for path in paths], True),
    "one removed": (lambda paths: paths[7].unlink(), False),
    "one added": (lambda paths: picture(5000).save(paths[0].with_name("new.png")), False),
    "one replaced": (lambda paths: picture(5000).save(paths[11]), False),
    "two swapped": (lambda paths: swap(paths[3], paths[200]), False),
    "one renamed": (lambda paths: paths[3].rename(paths[3].with_name("zz.png")), False),
    "resized": (
        lambda paths: [rewrite(path, lambda image: image.resize((20, 20))) for path in paths],
        False,
    ),
    "grey": (
        lambda paths: [rewrite(path, lambda image: image.convert("L")) for path in paths],
        False,
    ),
    "all removed": (lambda paths: [path.unlink() for path in paths], False),
    "one damaged": (lambda paths: paths[0].write_bytes(b"x"), False),
}


def picture(number: int) -> Image.Image:
    """A picture of noise, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(pixels)


def rewrite(path: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    with Image.open(path) as image:
        changed = change(image.copy())
    changed.save(path)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@cache
def _folder_template() -> Path:
    """Return a folder with images and an interrupted run that learns from them."""
    place = Path(tempfile.mkdtemp(prefix="gansearch-fuzz-"))
    (place / "images").mkdir()
    for i in range(N_IMAGES):
        picture(i).save(place / "images" / f"{i:03d}.png")
    dataset = load_dataset("folder", place / "images")
    run = describe_run(
        "folder-1",
        load_space("folder", ["generator_widths=[8]", "discriminator_widths=[8]"]),
        [],
        0,
        Settings(data_dir=str(place / "images")),
        evaluate_training_examples(dataset),
        dataset,
    )
    folder = RunFolder.create(place / "results", "folder-1")
    folder.write_run(dataclasses.replace(run, state="interrupted"))
    return place


@st.composite
def changed_data_case(draw: st.DrawFn) -> Case:
    """A run that is to go on, and what has become of its data meanwhile."""
    shutil.copytree(_folder_template(), ".", dirs_exist_ok=True)
    name = draw(st.sampled_from(sorted(CHANGES)))
    change, is_same = CHANGES[name]
    change(sorted(Path("images").iterdir()))
    args = ["resume", "results/folder-1", "--data-dir", "images"]
    return Case(args, [name], expected=0 if is_same else 2)


def tried_with_other_data(case: Case) -> Case:
    """Try a case, and hold a run that is refused to be as it was."""
    before = Path("results/folder-1/run.json").read_bytes()
    tried(case)
    if case.code:
        assert Path("results/folder-1/run.json").read_bytes() == before, case
    return case


def tried(case: Case) -> Case:
    """Run a case in this process, and hold its end to what is promised."""
    run(case)
    check(case)
    return case


@dataclass(frozen=True)
class Kind:
    """A kind of case: what makes it, its share of all cases, and what runs and checks it."""

    strategy: Callable[[], st.SearchStrategy[Any]]
    share: float
    tried: Callable[[Any], Any] = tried


KINDS = {
    "space files": Kind(spaces_case, 0.35),
    "flags": Kind(plan_case, 0.2),
    "configurations": Kind(config_case, 0.15),
    "runs": Kind(run_case, 0.234),
    "data that changed": Kind(changed_data_case, 0.01, tried_with_other_data),
    "samples": Kind(samples_case, 0.05),
    # Processes of their own, which take seconds each.
    "surroundings": Kind(partial(surroundings, searches=False), 0.005, try_one),
    "searches": Kind(partial(surroundings, searches=True), 0.001, try_one),
}


def fuzz(kind: str, n_cases: int, *, counts: Counts, fixed_seed: int | None = None) -> None:
    """Make and check `n_cases` of a kind; the first that fails is made as small as can be."""

    @settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        derandomize=fixed_seed is None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            counts.note(kind, KINDS[kind].tried(data.draw(KINDS[kind].strategy())))

    if fixed_seed is not None:
        one = seed(fixed_seed)(one)
    one()


def clean_up() -> None:
    if _folder_template.cache_info().currsize:
        shutil.rmtree(_folder_template())
        _folder_template.cache_clear()
    for results in _TEMPLATE:
        shutil.rmtree(results)
    _TEMPLATE.clear()


def show(counts: Counts, chosen_seed: int) -> None:
    table = Table("kind", "cases", "exit 0", "exit 1", "exit 2", "ms a case", box=None)
    for kind, codes in counts.codes.items():
        n = codes.total()
        cells = [kind, n, codes[0], codes[1], codes[2], f"{1000 * counts.seconds[kind] / n:.0f}"]
        table.add_row(*map(str, cells))
    whole = sum(counts.codes.values(), Counter())
    table.add_row("all", *map(str, (whole.total(), whole[0], whole[1], whole[2])))
    Console().print(table)
    Console().print(f"seed {chosen_seed}: every case ended with one answer, in time.")


def cli() -> None:
    parser = argparse.ArgumentParser(description="Bad input in bulk for every command.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--kind", choices=KINDS, action="append")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.pop("GANSEARCH_DATA", None)
    os.environ.pop("GANSEARCH_TRACEBACK", None)
    counts = Counts()
    kinds = args.kind or list(KINDS)
    whole = sum(KINDS[kind].share for kind in kinds)
    try:
        for kind in kinds:
            fuzz(
                kind,
                math.ceil(args.cases * KINDS[kind].share / whole),
                counts=counts,
                fixed_seed=args.seed,
            )
    finally:
        clean_up()
    show(counts, args.seed)


if __name__ == "__main__":
    cli()
