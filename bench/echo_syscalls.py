"""System calls of an echoed message, as strace counts them, against a budget.

    python bench/echo_syscalls.py            # our StreamHandler
    python bench/echo_syscalls.py ours_stream

A server runs under `strace -f -c` while 50 connections echo 20,000 messages of 64 B, one in flight each. Sockets are
read by recvfrom and written by sendto or sendmsg, so what the interpreter reads of files at its start is not counted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import bench_echo

CONNECTION_COUNT = 50
REQUEST_COUNT = 20_000
READS_MAX = 1.01
"""Receives a message: one, and a few at the end of each connection."""
WRITES_MAX = 1.01
WOULD_BLOCK_MAX = 0.10
"""Share of receives that find nothing. The program of the well-known strace study had half."""
FUTEX_TIME_MAX = 0.05


class Calls(NamedTuple):
    """One line of strace's table."""

    count: int
    errors: int
    time_share: float


def count(kind: str) -> dict[str, Calls]:
    """Run a server of `bench/echo_servers.py` under strace and load; returns its calls by name."""
    strace = shutil.which("strace")
    if strace is None:
        raise SystemExit("strace is missing: apt-get install strace")
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory) / "table"
        command = [strace, "-f", "-c", "-o", str(table), sys.executable, str(bench_echo.SERVERS), kind]
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            bench_echo.load(port, CONNECTION_COUNT, 64, 120, kind, REQUEST_COUNT)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)
            server.stdout.close()
        return parse(table.read_text())


def parse(table: str) -> dict[str, Calls]:
    """Read `strace -c`: % time, seconds, usecs/call, calls, [errors,] syscall."""
    calls: dict[str, Calls] = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0].replace(".", "").isdigit() and fields[-1] != "total":
            errors = int(fields[4]) if len(fields) == 6 else 0
            calls[fields[-1]] = Calls(int(fields[3]), errors, float(fields[0]) / 100)
    return calls


def judge(calls: dict[str, Calls]) -> list[str]:
    """What is over budget, in words; empty when all is well."""
    none = Calls(0, 0, 0.0)
    reads = calls.get("recvfrom", none)
    writes = sum(calls.get(name, none).count for name in ("sendto", "sendmsg"))
    findings = []
    if not REQUEST_COUNT <= reads.count <= REQUEST_COUNT * READS_MAX + 2 * CONNECTION_COUNT:
        findings.append(f"{reads.count} receives for {REQUEST_COUNT} messages")
    if not REQUEST_COUNT <= writes <= REQUEST_COUNT * WRITES_MAX:
        findings.append(f"{writes} sends for {REQUEST_COUNT} messages")
    if reads.errors > WOULD_BLOCK_MAX * reads.count:
        findings.append(f"{reads.errors} of {reads.count} receives found nothing")
    if calls.get("futex", none).time_share > FUTEX_TIME_MAX:
        findings.append(f"futex takes {calls['futex'].time_share:.0%} of the time")
    controls = calls.get("epoll_ctl", none).count
    if controls > 2 * CONNECTION_COUNT + 20:
        findings.append(f"{controls} epoll_ctl for {CONNECTION_COUNT} connections")
    return findings


def main() -> None:
    calls = count(sys.argv[1] if len(sys.argv) > 1 else "ours")
    for name, (total, errors, share) in sorted(calls.items(), key=lambda item: -item[1].count)[:8]:
        print(f"{name:16}{total:8}{total / REQUEST_COUNT:8.3f} a message{errors:6} errors{share:7.1%} of the time")
    findings = judge(calls)
    print("\n".join(findings) if findings else "within budget")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
