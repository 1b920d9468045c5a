"""The bare system calls for records on several replicas, each a process, all at work at one time.

    this process ──TCP──> leader: receive, check, write; sendfile ──TCP──> each follower: receive, check, write

No protocol, no batches, no answers: what a cluster spends beyond it is its own. Pieces of 256 KiB, over loopback.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import crc32c

PIECE_BYTES = 256 * 1024
WAIT_S = 120.0


def replica_floor(directory: Path, megabytes: int, replicas: int) -> dict[str, float]:
    """CPU seconds a GB of the leader, of each follower, and of all; `replicas` files of so many bytes are written."""
    total = megabytes * 1_000_000
    context = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(replicas)]
    told: list[Connection] = []
    processes = []
    for index, listener in enumerate(listeners):
        ours, theirs = context.Pipe(duplex=False)
        followers = [each.getsockname() for each in listeners[1:]] if index == 0 else []
        process = context.Process(target=_replica, args=(listener, directory / f"floor-{index}", followers, theirs))
        process.start()
        told.append(ours)
        processes.append(process)
    try:
        with socket.create_connection(listeners[0].getsockname(), WAIT_S) as client:
            piece = os.urandom(PIECE_BYTES)
            for _ in range(total // PIECE_BYTES):
                client.sendall(piece)
        spent = [_heard(each) / (total / 1e9) for each in told]
    finally:
        for process in processes:
            process.kill()
            process.join(WAIT_S)
        for listener in listeners:
            listener.close()
    follower = sum(spent[1:]) / max(1, replicas - 1)
    return {"leader_cpu_s_per_gb": spent[0], "follower_cpu_s_per_gb": follower, "all_cpu_s_per_gb": sum(spent)}


def _heard(connection: Connection) -> float:
    assert connection.poll(WAIT_S), "a replica of the floor does not end"
    found = connection.recv()
    assert isinstance(found, float)
    return found


def _replica(listener: socket.socket, path: Path, followers: list[tuple[str, int]], told: Connection) -> None:
    """In a process of its own, to the end of what it is sent."""
    with ExitStack() as stack:
        outs = [stack.enter_context(socket.create_connection(each, WAIT_S)) for each in followers]
        source = stack.enter_context(listener.accept()[0])
        file = stack.enter_context(path.open("w+b", buffering=0))
        before, position = time.process_time(), 0
        for size in _received(source, file.write):
            for out in outs:
                _send(out, file.fileno(), position, size)
            position += size
        spent = time.process_time() - before
    path.unlink()
    told.send(spent)


def _received(source: socket.socket, write: Callable[[memoryview], int | None]) -> Iterator[int]:
    buffer = memoryview(bytearray(PIECE_BYTES))
    while size := source.recv_into(buffer):
        crc32c.crc32c(buffer[:size])
        write(buffer[:size])
        yield size


def _send(out: socket.socket, file: int, position: int, size: int) -> None:
    end = position + size
    out.setblocking(True)
    while position < end:
        position += os.sendfile(out.fileno(), file, position, end - position)
