"""The ratchet finds what it should, and its exemptions can only shrink."""

from __future__ import annotations

import ast

import pytest

import tidy


def rules(source: str, where: str = "src/tailrace/log/log.py") -> list[tuple[str, str, int]]:
    found = tidy.check_source(ast.parse(source), where, len(source.splitlines()))
    return [(finding.rule, finding.where.partition("::")[2], finding.value) for finding in found]


def test_a_tidy_module_has_no_findings() -> None:
    assert rules('"""About."""\n\ndef append(self, a, b, c, d, e, f):\n    return a\n') == []


@pytest.mark.parametrize(("lines", "found"), [(70, []), (71, [("function-lines", "Log.append", 71)])])
def test_a_long_function_is_found(lines: int, found: list[tuple[str, str, int]]) -> None:
    body = "        pass\n" * (lines - 2)
    assert rules(f'"""About."""\nclass Log:\n    @property\n    def append(self):\n{body}') == found


def test_a_function_in_a_function_counts_too() -> None:
    source = '"""About."""\ndef outer():\n    async def inner(a, b, c, d, e, f, *, g):\n        pass\n'
    assert rules(source) == [("parameters", "outer.inner", 7)]


def test_a_long_module_is_found() -> None:
    assert rules('"""About."""\n' + "x = 1\n" * 600) == [("module-lines", "", 601)]


@pytest.mark.parametrize("name", ["utils", "log_helpers", "common"])
def test_an_empty_name_is_found(name: str) -> None:
    assert rules('"""About."""\n', f"src/tailrace/{name}.py") == [("name", "", 0)]
    assert rules('"""About."""\n', "src/tailrace/commons_area.py") == []


def test_a_manager_and_a_module_without_docstring_are_found() -> None:
    assert rules("class LogManager:\n    pass\n") == [("docstring", "", 0), ("name", "LogManager", 0)]
    assert rules("") == []


def test_generated_modules_are_exempt() -> None:
    assert rules('"""Made by a tool. Do not edit."""\n' + "x = 1\n" * 700) == []


FINDING = tidy.Finding("function-lines", "a.py::f", 80, "80 lines")


@pytest.mark.parametrize(
    ("allowed", "complaint"),
    [
        ({}, "80 lines"),
        ({("function-lines", "a.py::f"): 79}, "80 lines"),
        ({("function-lines", "a.py::f"): 80}, None),
        ({("function-lines", "a.py::f"): 81}, "lower its exemption to 80"),
        ({("parameters", "a.py::f"): 80, ("function-lines", "a.py::f"): 80}, "needs no exemption"),
    ],
)
def test_exemptions_only_shrink(allowed: dict[tuple[str, str], int], complaint: str | None) -> None:
    found = tidy.judge([FINDING], allowed)
    assert (found == []) if complaint is None else (len(found) == 1 and complaint in found[0])


def test_exemptions_are_read() -> None:
    text = "# about\n\nfunction-lines a.py::f 80 # why\nname b.py\n"
    assert tidy.read_exemptions(text) == {("function-lines", "a.py::f"): 80, ("name", "b.py"): 0}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("tailrace.wire", True),
        ("tailrace.wire.messages.*", True),
        ("tailrace.**", True),
        ("tailrace.nowhere", False),
        ("tailrace.wire.frame.*", False),
    ],
)
def test_a_contract_that_stands_for_nothing_is_found(pattern: str, found: bool) -> None:
    contract = {"id": "x", "modules": [pattern]}
    assert (list(tidy.check_contracts({"tool": {"importlinter": {"contracts": [contract]}}})) == []) is found


def test_test_modules_that_pytest_takes_for_each_other_are_found() -> None:
    tests = tidy.ROOT / "tests"
    in_package = [tests / "compat" / "__init__.py", tests / "compat" / "test_a.py"]
    files = [*in_package, tests / "node" / "test_a.py", tests / "node" / "test_b.py", tests / "unit" / "test_a.py"]
    found = [(finding.rule, finding.where) for finding in tidy.check_test_names(files)]
    assert found == [("test-name", "tests/unit/test_a.py")]
