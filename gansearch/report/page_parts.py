"""What pages are made of: templates, styles, scripts, data, and the policy of what they may do."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup


_NOTHING = "'none'"


@cache
def template(name: str, *more: str) -> jinja2.Template:
    """Return a template, which escapes all texts.

    Args:
        name: of its file in the folder `page`, or in `more`.
        more: packages whose folder `pages` has templates too.
    """
    import jinja2

    loaders = [
        jinja2.PackageLoader("gansearch.report", "page"),
        *(jinja2.PackageLoader(package, "pages") for package in more),
    ]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template(name)


def render_page(
    name: str,
    values: Mapping[str, Any],
    *,
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    is_live: bool = False,
    package: str | None = None,
) -> str:
    """Return a page.

    Args:
        name: of its template, which extends `base.html`.
        values: that the template names.
        scripts: of the page, as `page_scripts` returns them.
        data: that they draw from.
        is_live: whether the page asks its server for data and pictures.
        package: whose folder `pages` has the template; None for this one's.
    """
    return template(name, *filter(None, [package])).render(
        policy=policy(scripts, is_live=is_live),
        style=trusted(asset("page.css")),
        scripts=[trusted(script) for script in scripts],
        data=None if data is None else data_in_script(data),
        **values,
    )


@cache
def asset(name: str) -> str:
    """Return one of the files that pages are made of."""
    return resources.files("gansearch.report").joinpath("page", name).read_text("utf-8")


@cache
def page_scripts(*names: str) -> tuple[str, str]:
    """Return the scripts of a page: ECharts, and our own files as one, whose names it keeps."""
    parts = "\n".join(asset(f"{name}.js") for name in names)
    return asset("echarts.min.js"), f'(() => {{\n"use strict";\n{parts}\n}})();'


def trusted(text: str) -> Markup:
    """Return a text of our own that is to stay as it is."""
    from markupsafe import Markup

    return Markup(text)


def data_in_script(data: Mapping[str, Any]) -> Markup:
    """Return data as JSON that a script element may have: no text in it ends the element."""
    text = json.dumps(data, allow_nan=False)
    for mark, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(mark, escaped)
    return trusted(text)


def policy(scripts: Sequence[str], *, is_live: bool) -> str:
    """Return the content security policy: nothing but what is in the page, or its own server.

    Args:
        scripts: of the page; no other runs.
        is_live: whether the page asks its server for data and pictures.
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    own = " 'self'" if is_live else ""
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    rules = [
        f"default-src {_NOTHING}",
        f"img-src data:{own}",
        "style-src 'unsafe-inline'",
        *([f"script-src {allowed}"] if scripts else []),
        f"base-uri {_NOTHING}",
        f"form-action {own.strip() or _NOTHING}",
        *(["connect-src 'self'"] if is_live else []),
    ]
    return "; ".join(rules)
