"""Functions found by file and line, also where classes hold themselves and each other."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tailrace.observe.source_names import SourceNames

SOURCE = """class One:
    def first(self):
        return 1

    @property
    def shown(self):
        return 2


class Other:
    @classmethod
    def made(cls):
        shown = cls.__name__
        return shown



class Odd(type):
    def __eq__(cls, other):
        return False


class Unhashable(metaclass=Odd):
    def last(self):
        return 4


One.self = One
One.other, Other.one = Other, One
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of that source."""
    file = tmp_path / "knotted.py"
    made = ModuleType("knotted")
    made.__file__ = str(file)
    exec(compile(SOURCE, made.__file__, "exec"), vars(made))
    monkeypatch.setitem(sys.modules, "knotted", made)
    return made


@pytest.mark.parametrize(
    ("line", "name"),
    [(3, "One.first"), (7, "One.shown"), (13, "Other.made"), (24, "Unhashable.last"), (27, "<module>")],
)
def test_functions_are_found_in_classes_that_hold_each_other(module: ModuleType, line: int, name: str) -> None:
    assert module.__file__ is not None
    found = SourceNames().frame(module.__file__, line)
    assert found.name.endswith("." + name)
