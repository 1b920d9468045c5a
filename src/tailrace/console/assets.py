"""Finds the libraries that the pages are made with: Vue, Quasar and ECharts, in the installed package `nicegui`.

Nothing of that package is imported: its files are looked up where it is installed, and served as they are. What is
served is a list (`LIBRARIES`), not a directory: a request can name nothing else.
Not its business: our own pages (`pages.py`). Source: docs/decisions/0018-console-front-end.md.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "nicegui"

LIBRARIES = {
    "vue": "static/vue.esm-browser.prod.js",
    "quasar": "static/quasar.umd.prod.js",
    "quasar-style": "static/quasar.unimportant.prod.css",
    "quasar-important-style": "static/quasar.important.prod.css",
    "fonts": "static/fonts.css",
    "echarts": "elements/echart/dist/index.js",
}
"""Name in the page -> file in the package: what is not there any more is told at the start, and by a test."""

SERVED = ("static/*.js", "static/*.css", "static/fonts/*.woff2", "elements/echart/dist/*.js")
"""Which files of the package a browser may have: ECharts' entry and the fonts' style name others beside them."""

HOW_TO_INSTALL = "pip install 'tailrace[console]'"


class MissingAssets(Exception):
    """The libraries of the pages are not installed, or are not where this version of Tailrace looks for them."""


@dataclass(frozen=True, slots=True)
class Assets:
    """The installed libraries. `version` is in their addresses, so that browsers may keep them for ever."""

    version: str
    files: dict[str, Path]

    @property
    def root(self) -> str:
        """The path below which they are served, without a slash at the end."""
        return f"/assets/{self.version}"

    def address(self, library: str) -> str:
        """Where a browser gets one of `LIBRARIES`."""
        return f"{self.root}/{LIBRARIES[library]}"


def find_assets(package: str = PACKAGE) -> Assets:
    """Look the libraries up; raises MissingAssets with a sentence that says what to install."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingAssets(f"The console's pages need the package {package}, which is not installed: {HOW_TO_INSTALL}")
    root = Path(found.submodule_search_locations[0])
    files = {path.relative_to(root).as_posix(): path for pattern in SERVED for path in root.glob(pattern)}
    version = importlib.metadata.version(package)
    gone = sorted(set(LIBRARIES.values()) - set(files))
    if gone:
        raise MissingAssets(
            f"{package} {version} has not what the console's pages need ({', '.join(gone)}): {HOW_TO_INSTALL}"
        )
    return Assets(version, files)
