"""What may be compiled: modules that are there, without what mypyc compiles wrongly."""

from __future__ import annotations

import ast

import compile_hot_path
from compile_hot_path import MODULES, ROOT, called_properties

PROPERTY = """
class Dispatch:
    @property
    def call_soon(self) -> Callable[[Callable[[], None]], object]:
        return self._services.call_soon

    @property
    def size(self) -> int:
        return 1
"""


def test_every_module_is_there_and_may_be_compiled() -> None:
    trees = {each: ast.parse((ROOT / "src" / "tailrace" / each).read_text(encoding="utf-8")) for each in MODULES}
    assert called_properties(trees) == []


def test_a_call_of_what_a_property_returns_is_refused() -> None:
    trees = {"dispatch.py": ast.parse(PROPERTY), "connection.py": ast.parse("x.size()\nself.dispatch.call_soon(send)")}
    assert called_properties(trees) == ["connection.py:2: .call_soon(...) is a property"]


def test_modules_are_named_once() -> None:
    assert len(set(compile_hot_path.MODULES)) == len(MODULES)
