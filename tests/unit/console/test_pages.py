"""Our own files as a browser gets them: whole once, then only when they have changed; and named beforehand."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from tailrace.console.assets import Assets, find_assets
from tailrace.console.pages import STATIC, OwnFile, Pages


def asked(pages: Pages, name: str, tag: str = "") -> Response:
    """The answer to /static/NAME from a browser that has the version `tag`."""
    headers = [(b"if-none-match", tag.encode())] if tag else []
    scope = {"type": "http", "method": "GET", "headers": headers, "path_params": {"path": name}}
    return asyncio.run(pages.static(Request(scope)))


def test_a_file_is_sent_once_and_then_known() -> None:
    pages = Pages(find_assets())
    first = asked(pages, "main.js")
    assert (first.status_code, first.body) == (200, (STATIC / "main.js").read_bytes())
    assert first.headers["content-type"].startswith("text/javascript")
    again = asked(pages, "main.js", f'W/"other", {first.headers["etag"]}')
    assert (again.status_code, again.body) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
    assert asked(pages, "main.js", '"other"').status_code == 200
    assert asked(pages, "../app.py").status_code == asked(pages, "none.js").status_code == 404


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "view.js"
    path.write_text("one")
    own = OwnFile(path)
    data, tag = own.look()
    assert (data, own.look()[1]) == (b"one", tag)
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert own.look()[0] == b"two" and own.look()[1] != tag


def test_the_page_names_every_module_beforehand() -> None:
    page = Pages(Assets("1", find_assets().files))._page
    modules = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js")]
    for name in set(modules) - {"boot.js"}:
        assert f'<link rel="modulepreload" href="/static/{name}">' in page
