"""Echo servers side by side, in one run: ours, asyncio, uvloop, gevent, redis-server, and a bare epoll loop as the
floor.

    python bench/bench_echo.py                       # every server, 64 B and 1 KiB, 50 connections
    python bench/bench_echo.py --only ours,floor --seconds 1 --rounds 3
    python bench/bench_echo.py --write bench/results/echo.json

Each server is a process of its own; the load comes from one other process, the same for all: a closed loop in which
each of 50 connections has one request in flight. Servers take turns, round by round, so that a noisy minute hits all
of them; the figures are medians of the rounds. CPU is the server's main thread alone, from the scheduler's own
nanoseconds. redis-server answers `PING` typed inline, the cheapest thing it does, whatever the size asked of the
others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from rig import host

HERE = Path(__file__).resolve()
SERVERS = HERE.with_name("echo_servers.py")
KINDS = (
    "ours", "ours_stream", "floor", "asyncio_protocol", "asyncio_streams", "uvloop_protocol", "uvloop_streams",
    "gevent", "redis",
)  # fmt: skip
SIZES = (64, 1024)


def load(port: int, connection_count: int, size: int, seconds: float, kind: str, limit: int = 1 << 62) -> int:
    """Drive a server for `seconds` or `limit` requests; returns the answers received, counted by their bytes."""
    request = b"PING\r\n" if kind == "redis" else bytes(i % 251 for i in range(size))
    answer_size = len(b"+PONG\r\n") if kind == "redis" else size
    epoll = select.epoll()
    socks: dict[int, socket.socket] = {}
    missing: dict[int, int] = {}
    for _ in range(connection_count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        missing[sock.fileno()] = answer_size
        epoll.register(sock.fileno(), select.EPOLLIN)
    answers = 0
    read, write = os.read, os.write
    for fd in socks:
        write(fd, request)
    asked = len(socks)
    deadline = time.monotonic() + seconds
    while answers < limit and time.monotonic() < deadline:
        for fd, _ in epoll.poll(1.0, 256):
            left = missing[fd] - len(read(fd, 65536))
            if left == 0:
                answers += 1
                left = answer_size
                asked += 1
                if asked <= limit:
                    write(fd, request)
            missing[fd] = left
    for sock in socks.values():
        sock.close()
    return answers


def cpu_ns(pid: int) -> int:
    """Nanoseconds the main thread of `pid` has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def server(kind: str) -> Iterator[tuple[int, int]]:
    """A running server: (pid, port)."""
    with ExitStack() as stack:
        if kind == "redis":
            program = shutil.which("redis-server")
            if program is None:
                raise SystemExit("redis-server is missing: apt-get install redis-server, or name others with --only")
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            port = free_port()
            command = [program, "--port", str(port), "--save", "", "--dir", directory, "--bind", "127.0.0.1"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        else:
            process = subprocess.Popen([sys.executable, str(SERVERS), kind], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            port = int(process.stdout.readline())
        try:
            _wait_until_it_accepts(port)
            yield process.pid, port
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _wait_until_it_accepts(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


def measure(kind: str, pid: int, port: int, size: int, options: argparse.Namespace) -> tuple[float, float]:
    """One run: (server CPU microseconds a request, requests a second)."""
    command = [
        sys.executable,
        str(HERE),
        "--load",
        kind,
        str(port),
        str(options.connections),
        str(size),
        str(options.seconds),
    ]
    before_cpu = cpu_ns(pid)
    answers = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert answers > 0, f"{kind} answered nothing"
    return (cpu_ns(pid) - before_cpu) / 1000 / answers, answers / options.seconds


def run(options: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    kinds = [kind for kind in KINDS if not options.only or kind in options.only.split(",")]
    results: dict[str, dict[str, dict[str, float]]] = {}
    with ExitStack() as stack:
        running = {kind: stack.enter_context(server(kind)) for kind in kinds}
        for size in SIZES:
            samples: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
            for round_index in range(options.rounds):
                for kind in kinds if round_index % 2 == 0 else reversed(kinds):
                    samples[kind].append(measure(kind, *running[kind], size, options))
            results[str(size)] = {kind: _summary(samples[kind]) for kind in kinds}
            _show(size, results[str(size)])
    return results


def _summary(samples: list[tuple[float, float]]) -> dict[str, float]:
    return {
        "cpu_us_median": round(statistics.median(cpu for cpu, _ in samples), 2),
        "cpu_us_min": round(min(cpu for cpu, _ in samples), 2),
        "requests_per_second_median": round(statistics.median(rate for _, rate in samples)),
        "requests_per_second_max": round(max(rate for _, rate in samples)),
    }


def _show(size: int, results: dict[str, dict[str, float]]) -> None:
    print(f"\n{size} B".ljust(20), "CPU us/request   min   requests/s    max", flush=True)
    for kind, row in sorted(results.items(), key=lambda item: item[1]["cpu_us_median"]):
        print(
            f"{kind:20}{row['cpu_us_median']:14.2f}{row['cpu_us_min']:7.2f}"
            f"{row['requests_per_second_median']:12.0f}{row['requests_per_second_max']:8.0f}",
            flush=True,
        )


def machine() -> dict[str, str | int]:
    """What the figures depend on; no names of hosts."""
    return {
        "cpu": host.processor(),
        "cores": os.cpu_count() or 0,
        "kernel": host.kernel(),
        "python": platform.python_version(),
        "when": time.strftime("%Y-%m-%d"),
        "load_average_at_end": f"{os.getloadavg()[0]:.2f}",
    }


def main() -> None:
    if sys.argv[1:2] == ["--load"]:
        kind, port, connections, size, seconds = sys.argv[2:]
        print(load(int(port), int(connections), int(size), float(seconds), kind))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma-separated: " + ", ".join(KINDS))
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="file for the results, as JSON")
    options = parser.parse_args()
    results = run(options)
    if options.write is not None:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "benchmark": "echo",
            "machine": machine(),
            "connections": options.connections,
            "seconds": options.seconds,
            "rounds": options.rounds,
            "results": results,
        }
        options.write.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
