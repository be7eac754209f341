"""Every command and every Python snippet of the documentation, run as it stands there.

What a reader types is run in this process: searches with --dry-run, on small data in the place of
what has to be downloaded. Of what can't be run here, such as a cluster's commands, the flags are
parsed and the files looked for. A line that no rule knows fails, with its place.
"""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
import shutil
import sys
import tomllib
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from gansearch import doctor
from gansearch.cli import cli
from gansearch.cli_types import RenamedOption
from gansearch.dashboard import serve
from gansearch.data import registry
from gansearch.data.dataset import SPLITS, Dataset, Labels
from gansearch.data.registry import load_dataset
from gansearch.family import family_of, load_family
from gansearch.figures.samples import png
from gansearch.figures.strips import strip, strip_size
from gansearch.networks.models import Generator
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import save_generator
from gansearch.space.load import load_space
from gansearch.system.files import write_atomically
from gansearch.tune import driver, dry_run, preflight
from gansearch.tune.share import Share
from tests.benchmark_scripts import script
from tests.saved_generators import save
from tests.snippets import INDENTED, PYTHON, SHELL, SPAN, Snippet, commands, shell_lines, snippets
from tests.written_runs import PAPER, SECOND, WINNER, finished_run

TOP = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    TOP / "README.md",
    *sorted((TOP / "docs").glob("*.md")),
    TOP / "CONTRIBUTING.md",
    TOP / "SECURITY.md",
    TOP / "benchmarks" / "README.md",
]

# What stands in a command for something of the reader's.
PLACEHOLDERS = {
    "NAME_OR_PATH": "digits",
    "NAME": "digits",
    "DIR": "photographs",
    "<trial_id>": "t00000",
    "s3://bucket/runs": "results",
    "/shared/results": "results",
    "/shared/data": "data",
}
# What in a Python snippet would take too long, and a shorter form of it.
SHORTENED = {
    'load_space("cifar10")': 'load_space("cifar10", ["generator_widths=[8]", '
    '"generator_channels=[8, 8, 8]", "discriminator_channels=[8, 8, 8]"])',
}
# Images that the tests have no copy of, by the beginning of the data set's name.
SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "tfd": (12, 12, 1)}
# What is no part of gansearch and can't be run here.
FOREIGN = {"aws", "bash", "chmod", "docker", "export", "kubectl", "ssh", "tail"}
# How indented blocks begin that show what is printed, a formula or a diagram.
PRINTED = (
    "Winner: 0219e238, generator_lr=0.238",
    "search_spaces/*.yaml ->",
    "Error: --address 10.77.0.11:6379:",
    "max(1, ceil(",
    "17 of 24 trials of the search survived",
    "42 kills",
    "out of memory: GPU:",
    "digits: the largest configuration",
    "node 192.0.2.7 has lost",
    "reports/s = ",
    "coverage 0.00 (real data: 0.98)",
)
# Languages of fences that other tests read (docs/spaces.md), and one that needs DuckDB.
OTHER_LANGUAGES = {"yaml", "text", "sql"}


# The reader's own data.
OWN_DATA = (
    "import numpy as np\n\ndef load():\n    return np.random.default_rng(0).random((300, 4))\n"
)


# What is found in the documents


def kind_of(snippet: Snippet) -> str:
    """Return what a block is: of indented ones, what its lines look like."""
    if snippet.kind != INDENTED:
        return snippet.kind
    if any(line and first_word(line) in TOOLS for line in snippet.text.splitlines()):
        return SHELL
    if re.search(r"^(import|from) \w+", snippet.text, re.MULTILINE):
        return PYTHON
    return "printed" if snippet.text.startswith(PRINTED) else "unknown"


def first_word(line: str) -> str:
    """Return the tool that a shell line begins with, after variables that it sets."""
    words = re.sub(r"^(\$ )?([A-Z_]+=\S* )*", "", line.lstrip()).split(maxsplit=1)
    return tool_of(words[0]) if words else ""


def tool_of(word: str) -> str:
    return {"python3": "python"}.get(name := word.removeprefix(".venv/bin/"), name)


def blocks(kind: str) -> list[Snippet]:
    found = (s for d in DOCUMENTS for s in snippets(d, str(d.relative_to(TOP))))
    return [snippet for snippet in found if kind_of(snippet) == kind]


def lines_to_run() -> list[Snippet]:
    """Return the shell lines and the spans that are commands, the same ones once."""
    spans = [s for s in blocks(SPAN) if " " in s.text and first_word(s.text) in TOOLS]
    lines = [line for block in blocks(SHELL) for line in shell_lines(block)]
    return list({line.text: line for line in [*lines, *spans][::-1]}.values())[::-1]


# Where the commands are run


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the commands name."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "photographs").mkdir()
    for i, pixels in enumerate(
        np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), np.uint8)
    ):
        Image.fromarray(pixels).save(folder / "photographs" / f"{i}.png")
    space = load_space("digits").describe()
    for name in ("my.yaml", "my_space.yaml"):
        (folder / name).write_text(space)
    (folder / "mine.yaml").write_text("k: 2\ngenerator_lr: 0.03\n")
    (folder / "examples").symlink_to(TOP / "examples")
    (folder / "my_data.py").write_text(OWN_DATA)
    (folder / "own_space.yaml").write_text(
        "dataset: my_data.py:load\nfixed: {generator_output: linear}\nsearch: {k: {int: [1, 2]}}\n"
    )
    write_generator(folder / "models" / "t00000", "digits")
    return folder


@pytest.fixture(autouse=True)
def _quick(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the desk's folder, with small data, and start no training."""
    monkeypatch.chdir(desk)
    monkeypatch.setenv("XDG_CACHE_HOME", str(desk / "cache"))
    monkeypatch.delenv("GANSEARCH_DATA", raising=False)
    for name in registry.DATASETS:
        for beginning, shape in SHAPES.items():
            if name.startswith(beginning):
                monkeypatch.setitem(
                    registry._LOADERS, name, lambda *_, n=name, s=shape: images(n, s)
                )
    monkeypatch.setattr(preflight, "resources_here", lambda: {"CPU": 8.0, "GPU": 1.0})
    monkeypatch.setattr(preflight, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "require_nodes", lambda *_: None)
    monkeypatch.setattr(preflight, "trial_share", lambda *_: Share(0.25, 4))
    monkeypatch.setattr(driver, "search", planned)
    monkeypatch.setattr(driver, "resume", reopened)
    monkeypatch.setattr(serve, "serve", lambda *_, **__: None)
    monkeypatch.setattr(doctor, "examine", lambda *_: [doctor.Check("all", "ok", "well")])


def images(name: str, shape: tuple[int, int, int]) -> Dataset:
    rng = np.random.default_rng(0)
    splits = [rng.integers(0, 256, (n, int(np.prod(shape))), np.uint8) for n in (100, 40, 40)]
    classes = {split: np.arange(len(part)) % 2 for split, part in zip(SPLITS, splits, strict=True)}
    labels = Labels.of(("0", "1"), **classes)
    return Dataset(name, *splits, shape=shape, scale=255.0, labels=labels)


def write_generator(model_dir: Path, dataset: str) -> None:
    generator = Generator(WINNER, load_dataset(dataset).shape)
    for parameter in generator.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    save(model_dir, generator, WINNER, dataset=dataset, seed=1)


def write_conditional_generator(model_dir: Path) -> None:
    family, dataset = load_family("conditional_nets"), load_dataset("digits")
    config = family.config_type()
    export = family.export(family.build(config, dataset, 0, "cpu"), 0)
    save_generator(model_dir, export, config, family=family, dataset="digits", shape=dataset.shape)


def write_inference_generator(model_dir: Path) -> None:
    family, dataset = load_family("inference_nets"), load_dataset("digits")
    config = family.config_type.from_dict({"generator_widths": [8], "encoder_widths": [8]})
    export = family.export(family.build(config, dataset, 0, "cpu"), 0)
    save_generator(model_dir, export, config, family=family, dataset="digits", shape=dataset.shape)


def write_run(name: str) -> RunFolder:
    """Write a finished run of the data set that its name begins with, unless it is there."""
    if Path("results", name).exists():
        return RunFolder.open(name)
    folder = finished_run(Path("results"), name=name)
    rows = folder.trials()[["trial_id", "number", "phase", "config_id", "seed"]].to_dict("records")
    folder.append_history([row | {"updates": n, "valid_ll": 5.0} for row in rows for n in (1, 2)])
    dataset = next((known for known in registry.DATASETS if name.startswith(known)), "digits")
    for config in (WINNER, SECOND, PAPER):
        model_dir = folder.model_dir(f"r-{config.config_id}-0")
        if "conditional" in name:
            write_conditional_generator(model_dir)
        elif "inference" in name:
            write_inference_generator(model_dir)
        else:
            write = write_completing if "inpainting" in name else write_generator
            write(model_dir, dataset)
        write_strip(model_dir, load_dataset(dataset))
    return folder


def write_strip(model_dir: Path, dataset: Dataset) -> None:
    """Write the picture of a training of one evaluation."""
    samples = dataset.to_float(dataset.valid[: strip_size(dataset)])
    write_atomically(model_dir / "strip.png", png(strip([samples], [500], dataset)))


def write_completing(model_dir: Path, dataset: str) -> None:
    """Write a generator that completes examples."""
    family, data = family_of({"family": "inpainting_nets"}), load_dataset(dataset)
    config = family.config_type(generator_widths=(8,), discriminator_widths=(8,))
    export = family.export(family.build(config, data, 1, "cpu"), 1)
    save_generator(model_dir, export, config, family=family, dataset=dataset, shape=data.shape)


def planned(space: str = "digits", **options: Any) -> RunFolder:
    """Plan a search, and return another run."""
    options.pop("console", None)
    dry_run.plan(space, **options)
    return write_run("digits-1")


_RESUME = inspect.signature(driver.resume)


def reopened(*args: Any, **options: Any) -> RunFolder:
    """Open a run that is to be resumed."""
    given = _RESUME.bind(*args, **options).arguments
    return RunFolder.open(given["run"], Path(given["results"]))


# What is done with a line


def run_gansearch(words: list[str], line: Snippet) -> None:
    """Run a command; a search is only planned."""
    command = words[0]
    if command == "run" and "--dry-run" not in words:
        words = ["run", "--dry-run", *words[1:]]
    if command == "run" and "--name" in words:
        shutil.rmtree(Path("results", words[words.index("--name") + 1]), ignore_errors=True)
    if "--warm-start" in words:
        for word in words[words.index("--warm-start") + 1 :]:
            write_run(Path(word).name)
    if "--only" in words:
        for word in words[words.index("--only") + 1 :]:
            if word.startswith("results/"):  # a trial of a run
                write_run(word.split("/")[1])
    if command in ("resume", "report", "sample", "export", "compare"):
        named = words[1:] if command == "compare" else words[1:2]
        for word in named:
            if not word.startswith("-"):
                write_run(Path(word).name)
    if command == "evaluate" and "--dataset" in words:
        dim = load_dataset(words[words.index("--dataset") + 1], Path("photographs")).dim
        np.save(words[1], np.random.default_rng(1).random((100, dim)))
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    raise_unless_mentioned(result.exception, line)


def raise_unless_mentioned(error: BaseException | None, line: Snippet) -> None:
    """Raise what a command ended with, unless a sentence only names it without its arguments."""
    if error and not (line.kind == SPAN and isinstance(error, click.MissingParameter)):
        raise error


def run_python(words: list[str], line: Snippet) -> None:
    """Parse the flags of a script, and run a module that is ours."""
    if words[0] == "-X":
        words = words[2:]
    if words[:2] == ["-m", "gansearch"]:
        run_gansearch(words[2:], line)
    elif words[0] == "-m":
        assert find_spec(words[1]), f"no module {words[1]}"
    else:
        assert (TOP / words[0]).is_file(), f"no file {words[0]}"
        assert words[0].startswith("benchmarks/"), "only scripts of benchmarks/ are known"
        parse_flags(".".join(Path(words[0]).with_suffix("").parts[1:]), words[1:])


class ParsedFlags(Exception):  # noqa: N818  # it stops a script, and is no error
    """The flags of a script have been parsed without a fault."""


def parse_flags(name: str, flags: list[str]) -> None:
    """Let a script of `benchmarks/`, such as `speed.search`, parse its flags, and go no further."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_only(parser: argparse.ArgumentParser, *args: Any) -> None:
        parse_args(parser, *args)
        raise ParsedFlags

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{name}.py", *flags])
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        with pytest.raises(ParsedFlags):
            script(name).main()


def check_make(words: list[str], line: Snippet) -> None:
    targets = re.findall(r"^([a-z][\w-]*):", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets), f"targets of the Makefile: {targets}"


def check_pip(words: list[str], line: Snippet) -> None:
    """Check the extras and files that `pip install` names."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert words[0] == "install"
    for word in words[1:]:
        if extras := re.fullmatch(r"\.\[(.+)\]", word):
            assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
        elif not word.startswith("--"):
            assert (TOP / word).exists(), f"no file {word}"


def check_pytest(words: list[str], line: Snippet) -> None:
    """Check that marks and files exist."""
    marks = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    known = {mark.partition(":")[0] for mark in marks["markers"]} | {"and", "or", "not"}
    if "-m" in words:
        assert set(words[words.index("-m") + 1].split()) <= known
    check_files([word for word in words if word.endswith(".py")], line)


def check_ray(words: list[str], line: Snippet) -> None:
    """Let Ray's own command line parse it; what it would run there is run here."""
    from ray.scripts.scripts import cli as ray

    command, path = ray, "ray"
    while isinstance(command, click.Group):
        name, *words = words
        command, path = command.get_command(click.Context(command), name), f"{path} {name}"
        assert command, f"there is no command `{path}`"
    try:
        command.make_context(path, [*words])
    except click.MissingParameter as error:
        raise_unless_mentioned(error, line)
    check_files([word for word in words if word.endswith(".yaml")], line)
    if path == "ray exec" and len(words) > 1:
        run(shlex.split(words[1]), line)
    if path == "ray job submit" and "--" in words:
        run(words[words.index("--") + 1 :], line)


def check_sbatch(words: list[str], line: Snippet) -> None:
    """Run what the batch script would, with its arguments and variables."""
    text = (TOP / words[0]).read_text()
    for variable in re.findall(r"([A-Z_]+)=", line.text.partition("sbatch")[0]):
        assert f"${{{variable}" in text or f"${variable}" in text, f"{words[0]}: no {variable}"
    run_gansearch(["run", *words[1:]], line)


def check_files(words: list[str], line: Snippet) -> None:
    """Check that the files of ours that a command names are there."""
    for word in words:
        if re.match(r"(deploy|tests|benchmarks)/|\w+\.yaml$", word):
            assert (TOP / word).is_file(), f"no file {word}"


TOOLS = {
    "gansearch": run_gansearch,
    "python": run_python,
    "make": check_make,
    "pip": check_pip,
    "pytest": check_pytest,
    "ray": check_ray,
    "sbatch": check_sbatch,
    **dict.fromkeys(FOREIGN, check_files),
}


def run(words: list[str], line: Snippet) -> None:
    """Do with a command what its tool's rule says."""
    tool = tool_of(words[0])
    if tool not in TOOLS:
        pytest.fail(
            f"{line}: no rule for {tool}. Give it one in TOOLS or, if it is a foreign tool that "
            "can't be run here, add it to FOREIGN."
        )
    for placeholder, instead in PLACEHOLDERS.items():
        pattern = rf"(?<!\w){re.escape(placeholder)}(?!\w)"
        words = [re.sub(pattern, instead, word) for word in words]
    TOOLS[tool](words[1:], line)


def check(line: Snippet) -> None:
    """Run the commands of a line; a failure says where the line stands."""
    for words in commands(line.text):
        try:
            run(words, line)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{line}: {shlex.join(words)}\n{type(error).__name__}: {error}")


@pytest.mark.parametrize("line", lines_to_run(), ids=str)
def test_a_command_of_the_documentation_works(line: Snippet) -> None:
    check(line)


@pytest.mark.parametrize("snippet", blocks(PYTHON), ids=str)
def test_a_python_snippet_of_the_documentation_runs(snippet: Snippet) -> None:
    text = snippet.text
    for name in re.findall(r"results/([\w-]+)", text):
        write_run(name)
    for long, short in SHORTENED.items():
        text = text.replace(long, short)
    samples = np.random.default_rng(1).random((100, 784))
    exec(compile(text, str(snippet), "exec"), {"samples": samples})


def test_the_tables_above_name_only_what_the_documentation_has() -> None:
    everything = "\n".join(document.read_text() for document in DOCUMENTS)
    assert [text for text in (*SHORTENED, *PLACEHOLDERS, *PRINTED) if text not in everything] == []


def test_every_block_is_known_for_what_it_is() -> None:
    known = {SHELL, PYTHON, SPAN, "printed", *OTHER_LANGUAGES}
    found = [s for d in DOCUMENTS for s in snippets(d, str(d.relative_to(TOP)))]
    strange = [snippet for snippet in found if kind_of(snippet) not in known]
    told = "\n".join(f"{s}: {s.text.splitlines()[0]}" for s in strange)
    assert not strange, (
        f"{told}\nWhat is typed begins with a tool in TOOLS or FOREIGN, or stands in a fence ```sh "
        "or ```python; what is printed stands in a fence ```text, or its beginning in PRINTED."
    )


# Spans and flags


def flags_of(command: click.Command) -> set[str]:
    options = [p for p in command.params if isinstance(p, click.Option)]
    former = {option.former_flag for option in options if isinstance(option, RenamedOption)}
    return former | {name for option in options for name in option.opts}


def test_every_flag_that_a_sentence_names_exists() -> None:
    known = set().union(*map(flags_of, [cli, *cli.commands.values()])) | {"--help"}
    for snippet in blocks(SPAN):
        flag = re.match(r"--[a-z-]+", snippet.text)
        if flag and snippet.document != "benchmarks/README.md":  # which tells of its scripts' flags
            assert flag[0] in known, f"{snippet}: {snippet.text}"


def test_the_readme_shows_every_command() -> None:
    shown = {line.text.split()[1] for line in lines_to_run() if line.document == "README.md"}
    assert set(cli.commands) <= shown


def test_the_index_links_every_page() -> None:
    index = (TOP / "docs" / "index.md").read_text()
    pages = {page.name for page in (TOP / "docs").glob("*.md")} - {"index.md"}
    assert [page for page in sorted(pages) if f"]({page})" not in index] == []


# The test's own parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gansearch rum --space digits", "No such command 'rum'"),
        ("gansearch run --spaces digits --set=k=1", "No such option '--spaces'"),
        ("gansearch run --set 'k={int: [2, 3]}'", "paper lies outside the space"),
        ("gansearch report RUN --trials 3", "No such option '--trials'"),
        ("gansearch report", "MissingParameter"),
        ("python benchmarks/gpu/gpu.py --fast", "SystemExit: 2"),
        ("python benchmarks/nothere.py", "no file benchmarks/nothere.py"),
        ("make everything", "targets of the Makefile"),
        ("pip install '.[gpu]'", "AssertionError"),
        ("pytest -m fast tests/test_cli.py", "AssertionError"),
        ("ray rsync_down cluster.yaml", "no command `ray rsync_down`"),
        ("ray up deploy/nothere.yaml", "no file deploy/nothere.yaml"),
        ("ray exec cluster.yaml 'gansearch run --address'", "requires an argument"),
        ("SPACE=mnist sbatch deploy/slurm.sbatch", "no SPACE"),
        ("kubectl apply -f deploy/nothere.yaml", "no file deploy/nothere.yaml"),
        ("curl localhost", "no rule for curl"),
    ],
)
def test_a_wrong_line_would_be_found(text: str, message: str) -> None:
    line = Snippet("x.md", 7, SHELL, text)
    with pytest.raises(pytest.fail.Exception) as failure:
        check(line)
    assert message in str(failure.value)
    assert str(failure.value).startswith("x.md:7: ")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("# first\nNAME=x .venv/bin/gansearch doctor", SHELL),
        ("import gansearch\n\ngansearch.load('x')", PYTHON),
        ("42 kills\n    0 lost", "printed"),
        ("mpirun gansearch doctor", "unknown"),
    ],
)
def test_an_indented_block_is_known_by_its_lines(text: str, kind: str) -> None:
    assert kind_of(Snippet("x.md", 1, INDENTED, text)) == kind


def test_code_is_found_in_blocks_and_sentences(tmp_path: Path) -> None:
    document = tmp_path / "x.md"
    document.write_text(
        "Type `gansearch run\n--dry-run`, or\n\n    .venv/bin/gansearch doctor   # it's well\n\n"
        "    make run && A=1 B=2 make test > x\n\n"
        "```sh\n$ gansearch report RUN \\\n  --top 3\n```\n| `--group-trials on\\|off` |\n\n"
        "- `import gansearch`\n    `make run`\n"
    )
    found = list(snippets(document))
    assert [(s.line, s.kind) for s in found] == [
        *[(1, SPAN), (4, INDENTED), (9, SHELL), (12, SPAN), (14, SPAN), (15, SPAN)]
    ]
    assert found[0].text == "gansearch run --dry-run"
    assert found[3].text == "--group-trials on|off"
    lines = [line for block in found[1:3] for line in shell_lines(block)]
    assert [(line.line, commands(line.text)) for line in lines] == [
        (4, [[".venv/bin/gansearch", "doctor"]]),
        (6, [["make", "run"], ["make", "test"]]),
        (9, [["gansearch", "report", "RUN", "--top", "3"]]),
    ]
