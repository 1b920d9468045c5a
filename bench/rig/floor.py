"""The floors: what the bare system calls cost for the same bytes, in a process of its own on the brokers' core.

    receive   recv_into, CRC-32C, write, in pieces of a batch: what a producer's bytes need at the least
    send      sendfile in pieces of a MiB, from the page cache: what a consumer's bytes need
    echo      one receive, one write of a small batch, one send: what a request of one record needs

Run as a program it serves one of them on stdin's terms: `python floor.py receive|send|echo DIRECTORY PIECE_BYTES`
prints its port, serves one connection until that ends, and prints its processor seconds.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import crc32c

SEND_PIECE_BYTES = 1 << 20
SEND_FILE_BYTES = 64 << 20
REQUEST_BYTES = 180
"""A produce request of one record of 100 bytes."""


def receive(connection: socket.socket, directory: Path, piece_bytes: int) -> None:
    """Everything that comes is checked and written."""
    buffer = memoryview(bytearray(piece_bytes))
    with (directory / "floor").open("wb", buffering=0) as file:
        while True:
            filled = 0
            while filled < piece_bytes:
                size = connection.recv_into(buffer[filled:])
                if size == 0:
                    return
                filled += size
            crc32c.crc32c(buffer)
            file.write(buffer)


def send(connection: socket.socket, directory: Path, piece_bytes: int) -> None:
    """The file, again and again, until the reader goes away."""
    path = directory / "floor"
    path.write_bytes(os.urandom(1 << 20) * (SEND_FILE_BYTES >> 20))
    connection.sendall(b"1")
    before = time.process_time()
    sent_bytes = 0
    with path.open("rb") as file:
        try:
            while True:
                position = sent_bytes % SEND_FILE_BYTES
                sent_bytes += os.sendfile(
                    connection.fileno(), file.fileno(), position, min(SEND_PIECE_BYTES, SEND_FILE_BYTES - position)
                )
        except OSError:
            print(f"cpu {time.process_time() - before} bytes {sent_bytes}", flush=True)
            sys.exit(0)


def echo(connection: socket.socket, directory: Path, piece_bytes: int) -> None:
    """A request is received, written to a file and answered."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(piece_bytes))
    answer = bytes(60)
    with (directory / "floor").open("wb", buffering=0) as file:
        while connection.recv_into(buffer):
            crc32c.crc32c(buffer)
            file.write(buffer)
            connection.send(answer)


def drive(kind: str, port: int, piece_bytes: int, scale: float) -> tuple[int, int, float]:
    """The load's side: (requests, bytes, seconds). Bytes are 0 where only the floor knows them."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kind == "receive":
            pieces = max(1, int(800_000_000 * scale) // piece_bytes)
            piece = os.urandom(piece_bytes)
            began_s = time.perf_counter()
            for _ in range(pieces):
                connection.sendall(piece)
            return 0, pieces * piece_bytes, time.perf_counter() - began_s
        if kind == "send":
            connection.recv(1)
        return _drive_until(kind, connection, piece_bytes, time.perf_counter() + 3.0 * scale)


def _drive_until(kind: str, connection: socket.socket, piece_bytes: int, end_s: float) -> tuple[int, int, float]:
    scratch, request = bytearray(SEND_PIECE_BYTES), bytes(piece_bytes)
    began_s, done = time.perf_counter(), 0
    while time.perf_counter() < end_s:
        if kind == "echo":
            connection.sendall(request)
        connection.recv_into(scratch)
        done += 1
    return (
        (done, done * 100, time.perf_counter() - began_s) if kind == "echo" else (0, 0, time.perf_counter() - began_s)
    )


def main() -> None:
    """Serve one connection and tell what it cost."""
    kind, directory, piece_bytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(60)
        print(f"port {listener.getsockname()[1]}", flush=True)
        connection, _ = listener.accept()
        connection.settimeout(None)
        before = time.process_time()
        with connection:
            {"receive": receive, "send": send, "echo": echo}[kind](connection, directory, piece_bytes)
        print(f"cpu {time.process_time() - before} bytes 0", flush=True)


if __name__ == "__main__":
    main()
