#!/usr/bin/env python3
"""Everything a checkout needs, from a bare Python 3.11 or later: makes `.venv`, installs into it, runs.

    python3 dev.py serve [OPTIONS]    the broker, with its console
    python3 dev.py test [OPTIONS]     every test that needs Python alone
    python3 dev.py check              the quick inner loop: style, types, layers, sizes, fast tests
    python3 dev.py lint               the same without the tests
    python3 dev.py compat [OPTIONS]   the tests that need a JVM, Node or Debian packages; installs those it misses
    python3 dev.py compile            a copy of the checkout in build/compiled, its hot path in C; needs a C compiler
    python3 dev.py test-compiled [OPTIONS]   the tests of `test`, in that copy
    python3 dev.py bench FILE ...     a benchmark of bench/, with the peers it compares with
    python3 dev.py run COMMAND ...    any command of the environment

The environment is remade when the pinned requirements change. Standard library only: it runs before anything is there.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("TAILRACE_VENV", ROOT / ".venv"))
BIN = VENV / "bin"

LINTS = (
    ["ruff", "check", "--quiet", "."],
    ["ruff", "format", "--check", "--quiet", "."],
    ["mypy"],
    ["lint-imports", "--no-logo"],
    ["python", "tools/tidy.py"],
    ["python", "tools/generate_messages.py", "--check"],
)
FAST_TESTS = ["pytest", "-q", "-n", "2", "-m", "not slow and not compat", "tests/unit", "tests/scenario"]

COMPILED = ROOT / "build" / "compiled"
COMPILED_TESTS = ["tests/unit", "tests/scenario", "tests/property", "tests/net", "tests/node", "tests/clients"]
# They put a method of their own into a class, which compiled classes do not notice.
CANNOT_BE_COMPILED = [
    "--deselect=tests/unit/broker/test_slow_lane.py::test_a_crowd_of_heartbeats_holds_up_nobody_else",
]


def main(arguments: list[str]) -> int:
    """Run one of the commands above; returns its exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python is given first
        print(
            "Tailrace needs Python 3.11 or later: run dev.py with one, as in python3.11 dev.py serve.", file=sys.stderr
        )
        return 2
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if command == "serve":
        prepare("console")
        return serve(rest)
    if command in ("check", "lint"):
        prepare("dev")
        return max([run(check) for check in (*LINTS, *([FAST_TESTS] if command == "check" else []))])
    if command == "compile":
        prepare("dev")
        install = ["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return run([*install, "-r", "requirements/compile.txt"]) or run(["python", "tools/compile_hot_path.py", *rest])
    if command == "test-compiled":
        prepare("dev")
        chosen = rest if any(not each.startswith("-") for each in rest) else [*COMPILED_TESTS, *rest]
        return run(["python", "-m", "pytest", "-m", "not compat", "-n", "2", *CANNOT_BE_COMPILED, *chosen], COMPILED)
    commands = {
        "test": ("dev", ["pytest", "-m", "not compat", "-n", "2"]),
        "compat": ("dev", ["bash", "tools/compat.sh"]),
        "bench": ("bench", ["python"]),
        "run": ("dev", []),
    }
    if command not in commands:
        print(__doc__)
        return 0 if command in ("help", "-h", "--help") else 2
    kind, start = commands[command]
    prepare(kind)
    return run([*start, *rest])


def prepare(kind: str) -> None:
    """Make the environment hold `requirements/<kind>.txt` and this checkout, if it does not yet."""
    marks = {name: VENV / f".{name}-{fingerprint(name)}" for name in ("console", "dev", "bench")}
    wider = {"console": ("console", "dev", "bench"), "dev": ("dev", "bench"), "bench": ("bench",)}[kind]
    if any(marks[name].exists() for name in wider):
        return
    if not (BIN / "python").exists():
        print(f"making {VENV.name} ...", file=sys.stderr, flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if made.returncode != 0:
            sys.exit("python3 -m venv failed: install the venv package of your system's Python, then run this again.")
    print(f"installing requirements/{kind}.txt ...", file=sys.stderr, flush=True)
    install = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for step in (["-r", f"requirements/{kind}.txt"], ["--no-deps", "-e", "."]):
        if subprocess.run([*install, *step], cwd=ROOT, check=False).returncode != 0:
            sys.exit("pip could not install the requirements: see its words above.")
    # Bytecode is a third of a second of every start; PYTHONDONTWRITEBYTECODE must not cost the broker that.
    subprocess.run([str(BIN / "python"), "-m", "compileall", "-q", "src"], cwd=ROOT, check=False)
    for old in VENV.glob(f".{kind}-*"):
        old.unlink()
    marks[kind].touch()


def fingerprint(kind: str) -> str:
    """Changes when what `prepare(kind)` would install changes."""
    texts = [(ROOT / "requirements" / f"{name}.txt").read_bytes() for name in ("core", "console", "dev", "bench")]
    texts.append((ROOT / "pyproject.toml").read_bytes())
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def serve(options: list[str]) -> int:
    """Run the broker in a process of its own, whose ready line then counts its start alone, and pass signals on."""
    process = subprocess.Popen([str(BIN / "python"), "-m", "tailrace", "serve", *options])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: process.send_signal(received))
    return process.wait()


def run(command: list[str], directory: Path = ROOT) -> int:
    """Run a command of the environment in the checkout, or in a directory of it."""
    environment = dict(os.environ, PATH=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}", VIRTUAL_ENV=str(VENV))
    return subprocess.run(command, cwd=directory, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
