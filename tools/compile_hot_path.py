"""Compiles what every small request passes through: the same modules, as they are, translated to C by mypyc.

    python tools/compile_hot_path.py [TARGET]    a copy of the checkout in TARGET (build/compiled), compiled there

    PYTHONPATH=build/compiled/src python -m tailrace serve
    cd build/compiled && python -m pytest tests/unit

Needs a C compiler, Python's headers, and the packages of requirements/compile.txt. `tools/wheel_hook.py` makes a wheel
of it. There is no second source: a module that is not compiled is the same program, slower.
What may be in MODULES and what it has to keep to: docs/decisions/0021-a-compiled-hot-path.md.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUP = "tailrace.compiled"
"""Modules call each other directly because they share one library, `tailrace.compiled__mypyc`."""

MODULES = (
    "broker/connection.py",
    "broker/dispatch.py",
    "broker/handlers/produce.py",
    "broker/transactional_produce.py",
    "log/append_rules.py",
    "log/log.py",
    "log/log_contents.py",
    "log/segments.py",
    "records/batch.py",
    "records/validate.py",
    "replication/partition.py",
    "replication/partitions.py",
    "wire/frame.py",
    "wire/primitives.py",
)

_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.so", "node_modules", "tailrace-data")

_BUILD = """
import sys
from mypyc.build import mypycify
from setuptools import setup

group, *paths = sys.argv[1:]
options = ["--config-file=", "--ignore-missing-imports", "--cache-dir=/dev/null"]
extensions = mypycify([*options, *paths], group_name=group, opt_level="2", debug_level="0", target_dir="build")
setup(name="tailrace", packages=[], ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"])
"""


def main(arguments: list[str]) -> int:
    """Compile into the directory named first, or build/compiled; returns the exit status."""
    target = Path(arguments[0] if arguments else ROOT / "build" / "compiled").resolve()
    copy_checkout(target)
    made = compile_modules(target / "src")
    print(f"{len(made)} libraries; PYTHONPATH={target / 'src'} python -m tailrace serve")
    return 0


def copy_checkout(target: Path) -> None:
    """The checkout as it is now, in `target`: what was there before goes."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(ROOT, target, ignore=_LEFT_OUT, symlinks=True)


def called_properties(trees: dict[str, ast.Module]) -> list[str]:
    """Where `it.name(argument)` calls what a property of a compiled class returns, of modules by path.

    mypyc 2.4 takes that for a call of the getter and drops the argument, without a word: nothing is called.
    """
    properties = {
        function.name
        for tree in trees.values()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(each, ast.Name) and each.id == "property" for each in function.decorator_list)
        and function.returns is not None
        and "Callable" in ast.unparse(function.returns)
    }
    return [
        f"{path}:{call.lineno}: .{call.func.attr}(...) is a property"
        for path, tree in trees.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in properties
    ]


def compile_modules(source: Path) -> list[Path]:
    """Compile MODULES of the package in `source`, a directory that is on nobody's path yet; the libraries, each beside
    its module.

    Raises CalledProcessError where mypyc or the C compiler refuses; both have said why.
    """
    paths = [f"tailrace/{module}" for module in MODULES]
    trees = {path: ast.parse((source / path).read_text(encoding="utf-8")) for path in paths}
    if found := called_properties(trees):
        sys.exit("mypyc would compile these wrongly:\n" + "\n".join(found))
    subprocess.run([sys.executable, "-c", _BUILD, GROUP, *paths], cwd=source, check=True)
    shutil.rmtree(source / "build")
    return sorted(source.rglob("*.so"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
