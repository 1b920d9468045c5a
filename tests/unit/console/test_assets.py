"""The libraries of the pages are found, and what is missing is told in a sentence."""

import re

import pytest
from starlette.applications import Starlette

from tailrace.console.assets import LIBRARIES, MissingAssets, find_assets
from tailrace.console.pages import STATIC, Pages, page_routes


def test_each_library_is_where_it_is_looked_for() -> None:
    assets = find_assets()
    for library in LIBRARIES:
        assert assets.files[LIBRARIES[library]].stat().st_size > 100
        assert assets.address(library).startswith(f"/assets/{assets.version}/")


def test_what_a_library_loads_by_itself_is_served_too() -> None:
    """ECharts' entry names a part of it, the font's style its files."""
    files = find_assets().files
    entry = files[LIBRARIES["echarts"]]
    parts = re.findall(r'from"\./([\w.-]+)"', entry.read_text())
    fonts = set(re.findall(r"url\((fonts/[\w.]+)\)", files[LIBRARIES["fonts"]].read_text()))
    assert parts and fonts
    assert all(f"elements/echart/dist/{part}" in files for part in parts)
    assert all(f"static/{font}" in files for font in fonts)


def test_a_package_that_is_not_installed_is_named_with_the_command() -> None:
    with pytest.raises(MissingAssets, match=r"no_such_package.*pip install 'tailrace\[console\]'"):
        find_assets("no_such_package")


def test_a_package_without_the_files_is_told_which_are_missing() -> None:
    with pytest.raises(MissingAssets, match=r"click .* has not .*vue\.esm-browser"):
        find_assets("click")


def test_the_page_names_each_library_and_no_other_host() -> None:
    page = Pages(find_assets())._page
    assert "{{" not in page and "//" not in page.replace("<!--", "")
    assert Starlette(routes=page_routes()).routes


def test_no_view_puts_text_into_html() -> None:
    """What a record says is never markup: Vue escapes all but v-html, and the DOM all but innerHTML and its like."""
    for path in STATIC.rglob("*.js"):
        found = re.search(
            r"v-html|innerHTML|insertAdjacentHTML|document\.write|html: true", path.read_text(encoding="utf-8")
        )
        assert not found, f"{path.name}: {found}"


def test_modules_import_only_what_is_served() -> None:
    for path in STATIC.rglob("*.js"):
        for name in re.findall(r"""(?:from|import)\s*\(?['"](/static/[^'"]+)['"]""", path.read_text(encoding="utf-8")):
            assert (STATIC / name.removeprefix("/static/")).is_file(), f"{path.name} imports {name}"
