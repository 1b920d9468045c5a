"""Who may ask the console what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from tailrace.console.guard import Guard, host_of
from tailrace.console.options import ConsoleOptions

TOKEN = "0123"
WRITE = {"host": "127.0.0.1:9081", "x-tailrace-token": TOKEN, "content-type": "application/json"}


def status(method: str, headers: dict[str, str], **options: Any) -> int:
    """What the guard, or the application behind it, answers."""
    guard = Guard(PlainTextResponse("in"), ConsoleOptions("k:1", **{"listen": "127.0.0.1:9081", **options}), TOKEN)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/api/topics", "headers": raw}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(guard(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", ["127.0.0.1:9081", "localhost:9081", "LOCALHOST", "[::1]:9081", "127.9.9.9"])
def test_loopback_is_let_in(host: str) -> None:
    assert status("GET", {"host": host}) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:9081", "192.168.1.7:9081", ""])
def test_other_names_are_not(host: str) -> None:
    assert status("GET", {"host": host}) == 403


def test_a_name_may_be_allowed() -> None:
    assert status("GET", {"host": "console.example:80"}, allowed_hosts=("Console.example",)) == 200


@pytest.mark.parametrize("listen", ["0.0.0.0:9081", "[::]:9081"])
def test_listening_everywhere_is_any_address_but_no_name(listen: str) -> None:
    assert status("GET", {"host": "192.168.1.7:9081"}, listen=listen) == 200
    assert status("GET", {"host": "evil.example:9081"}, listen=listen) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_of_ours_is_let_in(method: str) -> None:
    assert status(method, WRITE | {"origin": "http://127.0.0.1:9081", "sec-fetch-site": "same-origin"}) == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"x-tailrace-token": ""},
        {"x-tailrace-token": "0124"},
        {"content-type": "text/plain"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:80"},
    ],
)
def test_a_write_of_others_is_not(changed: dict[str, str]) -> None:
    assert status("POST", WRITE | changed) == 403


def test_reading_only() -> None:
    assert status("POST", WRITE, is_read_only=True) == 403
    assert status("GET", WRITE, is_read_only=True) == 200


@pytest.mark.parametrize(
    ("authority", "host"),
    [("a:1", "a"), ("A", "a"), ("[::1]:1", "::1"), ("[::1]", "::1"), ("::1", "::1"), ("", "")],
)
def test_host_of(authority: str, host: str) -> None:
    assert host_of(authority) == host
