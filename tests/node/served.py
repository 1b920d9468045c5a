"""A served broker as a process, for tests that start, stop and kill it."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response, encode_request

READY = re.compile(r"^tailrace ready kafka=(\S+):(\d+) data=(\S+)(?: http=\S+)?(?: workers=\d+)? in (\d+) ms$")
NO_HTTP = ("--set", "http.listen=")  # before a test's own settings, of which the last one wins
WAIT_S = 60.0


class ServedBroker:
    """`tailrace serve` on a free port of loopback."""

    def __init__(
        self, data_dir: Path, *arguments: str, listen: str = "127.0.0.1:0", descriptors: int | None = None
    ) -> None:
        """`descriptors` is RLIMIT_NOFILE, soft and hard; None: what the tests have."""
        limited = [] if descriptors is None else ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]
        command = [
            *limited,
            sys.executable,
            "-m",
            "tailrace",
            "serve",
            "--listen",
            listen,
            "--data-dir",
            str(data_dir),
            *NO_HTTP,
            *arguments,
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "src"}
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().rstrip("\n")
        found = READY.match(self.line)
        self.address = (found[1], int(found[2])) if found else ("", 0)

    def __enter__(self) -> ServedBroker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=WAIT_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


def failed_start(data_dir: Path, *arguments: str) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of a serve that must not come up."""
    command = [sys.executable, "-m", "tailrace", "serve", "--data-dir", str(data_dir), *NO_HTTP, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, check=False, env={**os.environ, "PYTHONPATH": "src"}
    )
    return done.returncode, done.stdout, done.stderr


class RawClient:
    """A blocking connection that speaks the codec's client side."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=WAIT_S)
        self._correlation_id = 0

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, key: ApiKey, version: int, request: Any) -> int:
        """Send a request; returns its correlation id."""
        found = api(key)
        assert found is not None
        self._correlation_id += 1
        self.socket.sendall(encode_request(found, version, self._correlation_id, "raw", request))
        return self._correlation_id

    def receive(self, key: ApiKey, version: int) -> tuple[int, Any]:
        """(correlation id, response) of the next frame."""
        found = api(key)
        assert found is not None
        return decode_response(found, version, memoryview(self.receive_frame()))

    def ask(self, key: ApiKey, version: int, request: Any) -> Any:
        """Send and receive one."""
        sent = self.send(key, version, request)
        correlation_id, response = self.receive(key, version)
        assert correlation_id == sent
        return response

    def receive_frame(self) -> bytes:
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError("the broker closed the connection")
            data += more
        return data

    def at_end(self) -> bool:
        """Whether the broker closed the connection without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
