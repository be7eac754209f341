"""Commands that reports and messages print work as they are, in the folder of who reads them."""

import html
import io
import re
import shlex

import pytest
from click.testing import CliRunner
from rich.console import Console

from gansearch.cli import cli
from gansearch.errors import GansearchError
from gansearch.report.console import print_report
from gansearch.report.render import render
from gansearch.report.report import build_report
from gansearch.report.sampling import winning_trial
from gansearch.runs.commands import command
from gansearch.system.object_store import parse_path
from gansearch.tune import driver
from tests.written_runs import PAPER, searched, trial, write_run

FOLDERS = ["results", "my  runs", "it's", "-x", "~", "$HOME `id`", "größe (1)", "a*b[c]"]


def commands(text):
    """Return the commands for a run that a text prints, as a shell reads what follows `gansearch`.

    Each ends at a backtick, or with the line.
    """
    found = re.findall(r"gansearch ((?:resume|report|sample) .+?)(?:`(?= |$|\.)|$)", text, re.M)
    return [shlex.split(arguments) for arguments in found]


def on_a_console(report):
    console = Console(file=io.StringIO(), width=40, color_system=None)
    print_report(report, console)
    return console.file.getvalue()


def in_html(report):
    # What to do next stands at the top, and below the warnings: once is enough.
    _, _, page = render(report, "html").split("<details>")[0].partition('id="warnings"')
    return html.unescape(re.sub(r"</?p[^>]*>", "\n", page))


FORMATS = {
    "console": on_a_console,
    "html": in_html,
    "json": lambda report: "\n".join(report.warnings),
}


@pytest.fixture
def taken(monkeypatch):
    """What the commands do to a run, in place of its training."""
    runs = []

    def resume(run, **options):
        folder = driver.RunFolder.open(run, options["results"])
        runs.append((folder.path, options))
        return folder

    monkeypatch.setattr(driver, "resume", resume)
    return runs


@pytest.mark.parametrize("shown", FORMATS)
@pytest.mark.parametrize("parent", FOLDERS)
def test_the_commands_of_a_report_work_from_any_folder(tmp_path, monkeypatch, taken, parent, shown):
    (tmp_path / "elsewhere").mkdir()
    results = tmp_path / parent
    failed = [trial("t00000", PAPER, "collapsed", reason="coverage .01")]
    collapsed = [*searched(), trial("r-0", PAPER, "collapsed", phase="replica")]
    runs = (
        ("a", searched(), "interrupted", [{}]),
        ("b", failed, "failed", [{"trials": 12}]),
        ("c", collapsed, "failed", [{"replicas": 8}, {"trials": 12}]),
    )
    for name, rows, state, expected in runs:
        folder = write_run(results, rows, name=name, state=state)
        monkeypatch.chdir(tmp_path / "elsewhere")
        found = commands(FORMATS[shown](build_report(folder)))
        assert len(found) == len(expected)
        for arguments, changes in zip(found, expected, strict=True):
            result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            path, options = taken.pop()
            assert path == folder.path
            assert {name: options[name] for name in ("trials", "replicas")} == {
                "trials": None,
                "replicas": None,
                **changes,
            }


def test_a_run_in_an_object_store_is_named_by_its_address():
    run = parse_path("s3://bucket/runs/a?endpoint_override=localhost:9000&scheme=http")
    arguments = shlex.split(command("resume", run))
    assert arguments[:2] == ["gansearch", "resume"]
    assert parse_path(arguments[2]) == run


def test_a_relative_path_is_printed_so_that_it_works_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("report", parse_path("a b")) == f"gansearch report '{tmp_path}/a b'"


def test_a_message_of_samples_names_a_report_that_opens(tmp_path):
    folder = write_run(tmp_path / "a b", [trial("t00000", PAPER, "collapsed")])
    with pytest.raises(GansearchError) as error:
        winning_trial(folder)
    (arguments,) = commands(str(error.value))
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
