"""The dashboard's pages and their addresses. It reads the files of runs, and changes none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gansearch.dashboard.comparison import comparison_page
from gansearch.dashboard.pictures import picture
from gansearch.dashboard.runs import NoSuchRunError, Runs, address_of
from gansearch.errors import GansearchError, ResultsError
from gansearch.report.compare import require_several
from gansearch.report.listing import list_runs, listing_section
from gansearch.report.page_parts import asset, render_page
from gansearch.runs.folder import RunFolder
from gansearch.system.object_store import AnyPath

_PASSING = 503  # of what may be whole in a moment
# Pages of other sites that a browser shows can't reach it under another name.
HOSTS = ("127.0.0.1", "localhost")


def make_app(results: AnyPath) -> Starlette:
    """Return the dashboard of the runs below a folder, as an ASGI application."""
    runs = Runs(results)

    def runs_page(request: Request) -> Response:  # noqa: ARG001
        def answer() -> Response:
            listed = list_runs(results)
            section = listing_section(listed)
            rows = [
                (address_of(run.name), [_printable(cell) for cell in row])
                for run, row in zip(listed, section.rows, strict=True)
            ]
            return _html(
                "runs.html",
                results=_printable(str(results)),
                columns=section.columns,
                rows=rows,
                notes=[_printable(note) for note in section.notes],
            )

        return _answer(answer, _error_page)

    def run_page(request: Request) -> Response:
        return _of_run(runs, request, lambda folder: HTMLResponse(runs.page(folder)), _error_page)

    def changes(request: Request) -> Response:
        def answer(folder: RunFolder) -> Response:
            found = runs.changes(folder, request.query_params.get("version"))
            return Response(status_code=204) if found is None else _json(found)

        return _of_run(runs, request, answer, lambda text, code: _json({"error": text}, code))

    def compare_page(request: Request) -> Response:
        def answer() -> Response:
            folders = [runs.folder(name) for name in request.query_params.getlist("run")]
            require_several(folders)
            return HTMLResponse(comparison_page([runs.report(folder)[1] for folder in folders]))

        return _answer(answer, _error_page)

    def file(request: Request) -> Response:
        def answer(folder: RunFolder) -> Response:
            content = picture(folder, request.path_params["path"])
            if content is None:
                return Response(status_code=404)
            return Response(content, media_type="image/png", headers={"Cache-Control": "no-cache"})

        return _of_run(runs, request, answer, _error_page)

    return Starlette(
        routes=[
            Route("/", runs_page),
            Route("/compare", compare_page),
            Route("/runs/{name}", run_page),
            Route("/runs/{name}/data", changes),
            Route("/runs/{name}/files/{path:path}", file),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))],
    )


def _of_run(
    runs: Runs,
    request: Request,
    answer: Callable[[RunFolder], Response],
    refuse: Callable[[str, int], Response],
) -> Response:
    return _answer(lambda: answer(runs.folder(request.path_params["name"])), refuse)


def _answer(answer: Callable[[], Response], refuse: Callable[[str, int], Response]) -> Response:
    """Return an answer, or what is wrong where a run is damaged or absent."""
    try:
        return answer()
    except NoSuchRunError as error:
        return refuse(str(error), 404)
    except (ResultsError, OSError) as error:
        return refuse(str(error), _PASSING)
    except GansearchError as error:
        return refuse(str(error), 400)
    except Exception as error:  # a damaged file may raise anything; the other runs are shown
        return refuse(f"{type(error).__name__}: {error}", 500)


def _json(content: Any, code: int = 200) -> Response:
    text = json.dumps(content, allow_nan=False)
    return Response(text, code, media_type="application/json")


def _error_page(text: str, code: int) -> Response:
    return _html("error.html", code, text=_printable(text), is_passing=code == _PASSING)


def _printable(text: str) -> str:
    """Return a text that may have bytes of a file's name that aren't UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def _html(name: str, code: int = 200, **values: Any) -> Response:
    scripts = (asset("runs.js"),) if name == "runs.html" else ()
    return HTMLResponse(
        render_page(
            name, values, scripts=scripts, is_live=bool(scripts), package="gansearch.dashboard"
        ),
        code,
    )
