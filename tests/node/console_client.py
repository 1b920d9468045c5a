"""A browser's part of the console's API, for tests: requests with the token, and event streams."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

WAIT_S = 60.0


class ConsoleClient:
    """Asks a console at HOST:PORT. A connection for each request, so that none is found closed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.token = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        status, data = self.ask_bytes(method, path, body, **headers)
        return status, json.loads(data)

    def ask_bytes(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """Status and bytes of an answer."""
        if method != "GET" and not self.token:
            self.token = self.get("/api/session")["token"]
        sent = {"X-Tailrace-Token": self.token, "Content-Type": "application/json", "Connection": "close"}
        connection = HTTPConnection(self.address, timeout=WAIT_S)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(
                method, path, text, sent | {name.replace("_", "-"): each for name, each in headers.items()}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """JSON of an answer that has to be 200."""
        status, found = self.ask("GET", path)
        assert status == 200, (path, status, found)
        return found

    def done(self, method: str, path: str, body: Any) -> Any:
        """JSON of a change that has to be accepted."""
        status, found = self.ask(method, path, body)
        assert status in (200, 201), (path, status, found)
        return found

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """The events of a stream until it ends; the generator's end closes it."""
        connection = HTTPConnection(self.address, timeout=WAIT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200, (path, answer.status, answer.read())
            yield from _events(answer)
        finally:
            connection.close()

    def until(self, path: str, is_right: Any) -> Any:
        """Ask until the answer is right; the last one."""
        deadline = time.monotonic() + WAIT_S
        while True:
            found = self.get(path)
            if is_right(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def _events(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


@contextmanager
def console(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], ConsoleClient]]:
    """`tailrace console` on a free port."""
    command = [sys.executable, "-m", "tailrace", "console", "--listen", "127.0.0.1:0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "src"}
    )
    try:
        assert process.stdout is not None
        found = re.match(r"tailrace console ready http://(\S+) kafka=", process.stdout.readline())
        assert found is not None, process.communicate(timeout=WAIT_S)
        yield process, ConsoleClient(found[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=WAIT_S)
