"""The wheel with a compiled hot path: what the build backend calls when TAILRACE_COMPILED=1 is set.

    TAILRACE_COMPILED=1 pip install .    needs a C compiler; without the variable the wheel is pure Python, as published

Compiles a copy of the package, and puts the libraries into the wheel beside the modules that they were made from.
"""

from __future__ import annotations

import os
import runpy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHotPath(BuildHookInterface[Any]):
    """Adds what `compile_hot_path` makes, where it is asked for."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs on top of the backend."""
        if not self._is_wanted():
            return []
        lines = (Path(self.root) / "requirements" / "compile.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the libraries. An editable install stays pure: its modules are to be edited."""
        if not self._is_wanted() or version == "editable":
            return
        self._source = Path(tempfile.mkdtemp(prefix="tailrace-compile-"))
        shutil.copytree(Path(self.root) / "src" / "tailrace", self._source / "tailrace")
        compiler = runpy.run_path(str(Path(self.root) / "tools" / "compile_hot_path.py"))
        for library in compiler["compile_modules"](self._source):
            build_data["force_include"][str(library)] = str(library.relative_to(self._source))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copy, once the wheel holds the libraries."""
        if hasattr(self, "_source"):
            shutil.rmtree(self._source, ignore_errors=True)

    def _is_wanted(self) -> bool:
        return os.environ.get("TAILRACE_COMPILED", "") not in ("", "0")
