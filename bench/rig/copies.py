"""How many bytes a broker has the kernel copy, and how many it hands on in place, counted by strace.

A byte that a process receives, reads, writes or sends crosses between it and the kernel, and is copied; what goes by
sendfile, splice or copy_file_range does not come into the process. Not seen: copies within the process, io_uring, and
files written through a memory map. A traced process is slow, so nothing else is measured meanwhile.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ATTACH_MAX_S = 10.0
DETACH_MAX_S = 10.0
COPYING = (
    "read", "readv", "pread64", "preadv", "preadv2", "recvfrom", "recvmsg",
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg",
)  # fmt: skip
IN_PLACE = ("sendfile", "splice", "copy_file_range")

CALL = re.compile(r"(?:^|\s)(?:<\.\.\. )?(\w+)(?: resumed>|\().* = (\d+)$")
"""`123 recvfrom(...) = 5`, and the end of a call that another came between: `123 <... read resumed>...) = 5`."""


class NotTraced(OSError):
    """strace is not there, or may not look at the process."""


@dataclass
class Copies:
    """Bytes by how they went."""

    copied: int = 0
    in_place: int = 0


@contextmanager
def traced(pid: int) -> Iterator[Copies]:
    """Count the calls of `pid` and its threads in the block; the figures are there when it has ended."""
    if not shutil.which("strace"):
        raise NotTraced("there is no strace")
    found = Copies()
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as directory:
        lines = Path(directory) / "calls"
        calls = ",".join((*COPYING, *IN_PLACE))
        command = ["strace", "-f", "-qq", "-s", "0", "-e", "signal=none", "-e", f"trace={calls}", "-o", str(lines)]
        process = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        try:
            _wait_until_attached(process, pid)
            yield found
        finally:
            _detach(process)
        with lines.open(encoding="utf-8", errors="replace") as written:
            count(written, found)


def count(lines: Iterable[str], found: Copies) -> None:
    """Add what strace wrote of each call."""
    for line in lines:
        call = CALL.search(line.rstrip())
        if call is None:
            continue
        if call[1] in IN_PLACE:
            found.in_place += int(call[2])
        elif call[1] in COPYING:
            found.copied += int(call[2])


def _wait_until_attached(process: subprocess.Popen[str], pid: int) -> None:
    deadline_s = time.monotonic() + ATTACH_MAX_S
    while not all(_tracer_of(status) == process.pid for status in Path(f"/proc/{pid}/task").glob("*/status")):
        if process.poll() is not None:
            assert process.stderr is not None
            raise NotTraced(f"strace: {process.stderr.read().strip()[:200]}")
        if time.monotonic() > deadline_s:
            raise NotTraced(f"strace did not attach in {ATTACH_MAX_S:g} s")
        time.sleep(0.02)


def _tracer_of(status: Path) -> int:
    try:
        words = status.read_text(encoding="utf-8")
    except OSError:  # a thread that has just ended
        return 0
    return int(next((line.split()[1] for line in words.splitlines() if line.startswith("TracerPid:")), "0"))


def _detach(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)  # strace leaves what it traced as it is
    try:
        process.communicate(timeout=DETACH_MAX_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
