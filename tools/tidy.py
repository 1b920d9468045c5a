"""The size ratchet and the rules of house style that a program can check.

    python tools/tidy.py    prints what breaks a rule; exit status 1 if anything does

    function-lines    a function is at most 70 lines, docstring and decorators included
    module-lines      a module is at most 600 lines
    parameters        a function takes at most 6 parameters, self not counted
    name              nothing is called utils, helpers, common, misc or SomethingManager
    docstring         a module that has code opens with a docstring
    contract          what the import contracts in pyproject.toml name exists; a wildcard matches something
    test-name         no two test modules outside of packages have one name: pytest knows them by it alone

`tools/tidy_exemptions.txt` holds the exceptions, `RULE PATH[::FUNCTION] NUMBER` a line, and may only shrink: an
exemption that is not needed, or whose number is higher than what is there, is an error. Generated modules are exempt.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
EXEMPTIONS = ROOT / "tools" / "tidy_exemptions.txt"

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600
PARAMETERS_MAX = 6
BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "misc"}
GENERATED = "Do not edit."


class Finding(NamedTuple):
    """A broken rule. `value` is the size found, 0 for a rule without a number."""

    rule: str
    where: str
    value: int
    text: str


def main() -> int:
    """Check every Python file git knows, and the import contracts."""
    files = python_files()
    findings = [finding for path in files for finding in check_file(path)]
    findings += check_test_names(files)
    findings += check_contracts(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    complaints = judge(findings, read_exemptions(EXEMPTIONS.read_text(encoding="utf-8")))
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


def python_files() -> list[Path]:
    """Files that are committed, or would be by `git add`; every Python file where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / line for line in listed.stdout.splitlines()]
    else:
        paths = [
            path for folder in ("src", "tests", "tools", "bench", "fuzz") for path in (ROOT / folder).rglob("*.py")
        ]
    return sorted(path for path in paths if path.exists())


def check_file(path: Path) -> Iterator[Finding]:
    """What breaks a rule in one file."""
    source = path.read_text(encoding="utf-8")
    where = path.relative_to(ROOT).as_posix()
    tree = ast.parse(source)
    yield from check_source(tree, where, len(source.splitlines()))


def check_source(tree: ast.Module, where: str, lines: int) -> Iterator[Finding]:
    docstring = ast.get_docstring(tree)
    if docstring and GENERATED in docstring:
        return
    if tree.body and not docstring:
        yield Finding("docstring", where, 0, "the module says nowhere what it is")
    if lines > MODULE_LINES_MAX:
        yield Finding("module-lines", where, lines, f"{lines} lines, at most {MODULE_LINES_MAX}: split it by noun")
    if BANNED_WORDS & set(Path(where).stem.split("_")):
        yield Finding("name", where, 0, "the name says nothing of what is inside")
    yield from _check_body(tree, where, "")


def _check_body(node: ast.AST, where: str, prefix: str) -> Iterator[Finding]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            if child.name.endswith("Manager"):
                yield Finding("name", f"{where}::{child.name}", 0, "name it for what it holds or decides")
            yield from _check_body(child, where, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _check_function(child, f"{where}::{prefix}{child.name}")
            yield from _check_body(child, where, f"{prefix}{child.name}.")
        else:
            yield from _check_body(child, where, prefix)


def _check_function(node: ast.FunctionDef | ast.AsyncFunctionDef, where: str) -> Iterator[Finding]:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = (node.end_lineno or node.lineno) - first + 1
    if lines > FUNCTION_LINES_MAX:
        yield Finding("function-lines", where, lines, f"{lines} lines, at most {FUNCTION_LINES_MAX}")
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    count = len([name for name in names if name not in ("self", "cls")])
    if count > PARAMETERS_MAX:
        yield Finding("parameters", where, count, f"{count} parameters, at most {PARAMETERS_MAX}: pass an object")


def check_test_names(files: list[Path]) -> Iterator[Finding]:
    """Test modules that pytest, which imports them by their last name alone, takes for each other."""
    known: dict[str, Path] = {}
    for path in files:
        if path.name.startswith("test_") and path.parent / "__init__.py" not in files:
            first = known.setdefault(path.name, path)
            if first is not path:
                where = path.relative_to(ROOT).as_posix()
                yield Finding("test-name", where, 0, f"has the name of {first.relative_to(ROOT).as_posix()}")


def check_contracts(project: dict[str, Any]) -> Iterator[Finding]:  # Any: TOML
    """Names in the import contracts that stand for nothing: such a contract keeps nothing and looks as if it did."""
    modules = {module_name(path) for path in (ROOT / "src").rglob("*.py")}
    for contract in project.get("tool", {}).get("importlinter", {}).get("contracts", []):
        for key in ("modules", "source_modules", "protected_modules", "allowed_importers"):
            for name in contract.get(key, []):
                if name.startswith("tailrace") and not matches(name, modules):
                    yield Finding("contract", f"{contract['id']}:{name}", 0, "there is no such module")


def module_name(path: Path) -> str:
    """`src/tailrace/log/log.py` -> `tailrace.log.log`."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def matches(pattern: str, modules: set[str]) -> bool:
    """Whether a name of a contract, with `*` for one part and `**` for any, is that of a module."""
    expression = re.escape(pattern).replace(r"\*\*", r".+").replace(r"\*", r"[^.]+")
    return any(re.fullmatch(expression, module) for module in modules)


def read_exemptions(text: str) -> dict[tuple[str, str], int]:
    """(rule, where) -> number."""
    lines = (line.split("#")[0].split() for line in text.splitlines())
    return {(parts[0], parts[1]): int(parts[2]) if len(parts) > 2 else 0 for parts in lines if parts}


def judge(findings: list[Finding], exemptions: dict[tuple[str, str], int]) -> list[str]:
    """Findings without an exemption, and exemptions that could be smaller or go."""
    complaints = []
    needed = {(finding.rule, finding.where): finding for finding in findings}
    for place, finding in needed.items():
        allowed = exemptions.get(place)
        if allowed is None or finding.value > allowed:
            complaints.append(f"{finding.where}: {finding.rule}: {finding.text}")
        elif finding.value < allowed:
            complaints.append(f"{finding.where}: {finding.rule}: shrank; lower its exemption to {finding.value}")
    for rule, where in exemptions.keys() - needed.keys():
        complaints.append(f"{where}: {rule}: needs no exemption; take its line out of {EXEMPTIONS.name}")
    return sorted(complaints)


if __name__ == "__main__":
    sys.exit(main())
