"""The function that a line of a file belongs to, for traces that know files and lines only (tracemalloc's).

Looked up in the code objects of loaded modules: no source is read. A line outside every function is `<module>`.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType

from tailrace.observe.profile import Frame, module_name


class SourceNames:
    """Frames for files and lines; what is found of a file is kept."""

    def __init__(self) -> None:
        self._modules = {file: module for module in list(sys.modules.values()) if (file := _file(module))}
        self._functions: dict[str, list[CodeType]] = {}
        self._lines: dict[CodeType, set[int | None]] = {}
        self._prefixes: dict[str, str] = {}
        self._frames: dict[tuple[str, int], Frame] = {}

    def frame(self, file: str, line: int) -> Frame:
        """The frame at a line."""
        known = self._frames.get((file, line))
        if known is None:
            code = self._function(file, line)
            name = "<module>" if code is None else code.co_qualname
            first_line = 0 if code is None else code.co_firstlineno
            if file not in self._prefixes:
                self._prefixes[file] = module_name(file)
            known = self._frames[file, line] = Frame(f"{self._prefixes[file]}.{name}", file, line, first_line)
        return known

    def _function(self, file: str, line: int) -> CodeType | None:
        """The innermost function with the line: the last one that begins before it and has it."""
        functions = self._functions.get(file)
        if functions is None:
            module = self._modules.get(file)
            functions = self._functions[file] = [] if module is None else _functions_of(module)
        at = bisect_right(functions, line, key=lambda code: code.co_firstlineno)
        for code in reversed(functions[:at]):
            lines = self._lines.get(code)
            if lines is None:
                lines = self._lines[code] = {found for _, _, found in code.co_lines()}
            if line in lines:
                return code
        return None


def _file(module: object) -> str | None:
    file = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
    return file if isinstance(file, str) else None


def _functions_of(module: ModuleType) -> list[CodeType]:
    """Every function of a module's file, by the line it begins at."""
    found: set[CodeType] = set()
    waiting = [code for code in _codes(vars(module), module.__name__) if code.co_filename == module.__file__]
    while waiting:
        code = waiting.pop()
        if code not in found:
            found.add(code)
            waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return sorted(found, key=lambda code: code.co_firstlineno)


def _codes(names: Mapping[str, object], module: str) -> Iterator[CodeType]:
    """Code of functions in a namespace, also behind properties and decorators, and of the module's classes in it.

    Classes may hold themselves and each other: each is looked at once.
    """
    seen: set[int] = set()  # identities: a metaclass may make classes that have no hash
    waiting = list(names.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, FunctionType):
            yield value.__code__
        elif isinstance(value, type):
            if value.__module__ == module and id(value) not in seen:
                seen.add(id(value))
                waiting += vars(value).values()
        elif isinstance(value, classmethod | staticmethod):
            waiting.append(value.__func__)
        elif isinstance(value, property):
            waiting += [value.fget, value.fset]
