"""Where a process spends its time on a processor, below Python: system calls, the interpreter, other libraries. Linux.

Taken by perf from outside: samples of the processor's time alone, so a process that waits is not in them, and the
kernel's part is. Not seen: which Python function it was; bench/bench_profile.py asks the broker itself for that.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SAMPLES_PER_S = 997
PERF_MAX_S = 60.0
SETTLE_S = 0.3
SYSCALL_ENTRY = "entry_SYSCALL_64_after_hwframe"
FRAME = re.compile(r"^\s+[0-9a-f]+ (.+) \((.+)\)$")
LIBC_PREFIX = re.compile(r"^_*(?:GI_+)?(?:libc_)?")
NAMES = {"crc32c": "the checksum", "libpython": "the interpreter", "python3": "the interpreter", "libc.so": "libc"}


class NoPerf(OSError):
    """perf is not there, or may not look at the process."""


@contextmanager
def sampled(pid: int) -> Iterator[Counter[str]]:
    """Sample a process in the block; how often it was found where is there when it has ended."""
    if not shutil.which("perf"):
        raise NoPerf("there is no perf")
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as directory:
        data = str(Path(directory) / "perf.data")
        command = ["perf", "record", "-q", "-g", "-e", "cpu-clock", "-F", str(SAMPLES_PER_S), "-o", data]
        process = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        try:
            _wait_until_sampling(process, Path(data))
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            try:
                _, said = process.communicate(timeout=PERF_MAX_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise NoPerf("perf did not end") from None
        script = ["perf", "script", "-i", data, "-F", "comm,ip,sym,dso"]
        read = subprocess.run(script, capture_output=True, text=True, timeout=PERF_MAX_S, check=False)
        if read.returncode != 0:
            raise NoPerf(f"perf: {(said or read.stderr).strip()[:200]}")
        count(read.stdout.splitlines(), found)


def _wait_until_sampling(process: subprocess.Popen[str], data: Path) -> None:
    deadline_s = time.monotonic() + PERF_MAX_S
    while not data.exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise NoPerf("perf cannot sample the process")
        time.sleep(0.02)
    time.sleep(SETTLE_S)


def count(lines: Iterable[str], found: Counter[str]) -> None:
    """Add what `perf script` wrote: a line for the thread, its frames from the innermost outwards, an empty line."""
    stack: list[tuple[str, str]] = []
    for line in (*lines, ""):
        frame = FRAME.match(line)
        if frame is not None:
            stack.append((frame[1], frame[2]))
        elif not line and stack:
            found[place(stack)] += 1
            stack = []


def place(stack: list[tuple[str, str]]) -> str:
    """Where a sample belongs: the library, or the system call, or why the kernel ran otherwise."""
    library = Path(stack[0][1]).name
    if library != "[kernel.kallsyms]":
        return next((words for part, words in NAMES.items() if part in library), library)
    symbols = [name for name, _ in stack]
    if SYSCALL_ENTRY in symbols:
        asked = symbols.index(SYSCALL_ENTRY) + 1
        called = symbols[asked] if asked < len(symbols) else "?"
        return f"system call {LIBC_PREFIX.sub('', called).removesuffix('64')}"
    return "page faults" if any("page_fault" in name for name in symbols) else "interrupts"
