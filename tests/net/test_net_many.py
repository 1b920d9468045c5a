"""A2: fifteen thousand straight-line handlers in one process, with no thread and no task each."""

from __future__ import annotations

import os
import resource
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

STREAM_COUNT = 15_000
MEMORY_EACH_BYTES = 4096
"""Resident memory a waiting stream may cost its process; 2.2 KiB were measured with CPython 3.11."""

SERVER = """
import resource
from tailrace.net.loop import Address, ListenOptions, new_event_loop
from tailrace.net.stream import serve

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

async def handle(stream):
    while request := await stream.read(100):
        await stream.write(b"<", request, b">")

loop = new_event_loop()
print(serve(loop.engine, Address("127.0.0.1"), handle, ListenOptions(backlog=4096)).address.port, flush=True)
loop.run_forever()
"""


@pytest.mark.slow
def test_fifteen_thousand_streams_in_one_process() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard >= STREAM_COUNT + 200, (
        f"this test needs {STREAM_COUNT + 200} descriptors a process; the limit is {hard}"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    source = str(Path(__file__).resolve().parents[2] / "src")
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": source}
    )
    assert server.stdout is not None
    socks: list[socket.socket] = []
    try:
        address = ("127.0.0.1", int(server.stdout.readline()))
        _ask_all([_connect(socks, address)])
        before = _resident_bytes(server.pid)
        for _ in range(STREAM_COUNT):
            _connect(socks, address)
        _ask_all(socks)
        each = (_resident_bytes(server.pid) - before) / STREAM_COUNT
        assert _thread_count(server.pid) == 1
        assert each < MEMORY_EACH_BYTES, f"{each:.0f} bytes a stream"
        print(f"{each:.0f} bytes of resident memory a stream")
    finally:
        for sock in socks:
            sock.close()
        server.kill()
        server.wait()
        server.stdout.close()


def _connect(socks: list[socket.socket], address: tuple[str, int]) -> socket.socket:
    socks.append(socket.create_connection(address))
    return socks[-1]


def _ask_all(socks: list[socket.socket]) -> None:
    """One request on every connection, then all the answers."""
    poll = select.epoll()
    by_fd = {sock.fileno(): (sock, b"%d" % number) for number, sock in enumerate(socks)}
    for fd, (sock, request) in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        sock.send(request)
    while by_fd:
        events = poll.poll(20)
        assert events, f"{len(by_fd)} streams do not answer"
        for fd, _ in events:
            sock, request = by_fd.pop(fd)
            assert sock.recv(100) == b"<%b>" % request
            poll.unregister(fd)
    poll.close()


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def _thread_count(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
