"""Heads and answers of HTTP/1.1: what is understood, and that what is malformed is refused. RFC 9110, RFC 9112."""

from __future__ import annotations

import pytest

from tailrace.http.limits import HTTP_HEADERS_MAX, HTTP_QUERY_FIELDS_MAX
from tailrace.http.message import BadRequest, HttpAnswer, encode_answer, parse_head, path_of


def test_a_request_of_a_scraper() -> None:
    request = parse_head(
        b"GET /metrics?name=a%20b&x=&name=c HTTP/1.1\r\nHost: h:1\r\nAccept: text/html;q=0.5, "
        b"application/openmetrics-text;version=1.0.0\r\naccept: */*\r\nX: \t y \t"
    )
    assert (request.method, request.path) == ("GET", "/metrics")
    assert request.query == {"name": "c", "x": ""}
    assert request.headers["x"] == "y"
    assert request.headers["accept"].endswith("1.0.0, */*")
    assert request.accepts("application/openmetrics-text") and not request.accepts("text/plain")
    assert request.keeps_alive


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"/a%2Fb/%C3%A4", "/a/b/ä"), (b"http://h:1/x?y=1", "/x"), (b"http://h", "/"), (b"/a?b?c", "/a")],
)
def test_targets(target: bytes, path: str) -> None:
    assert parse_head(b"GET %b HTTP/1.1\r\nHost: h" % target).path == path


@pytest.mark.parametrize(
    ("head", "keeps_alive"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive, CLOSE", False),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive", True),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", False),
    ],
)
def test_whether_the_connection_goes_on(head: bytes, keeps_alive: bool) -> None:
    assert parse_head(head).keeps_alive is keeps_alive


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # TLS
        (b"\x00\x00\x00\x1a\x00\x12\x00\x03", 400),  # Kafka
        (b"GET / HTTP/1.1", 400),
        (b"GET  / HTTP/1.1\r\nHost: h", 400),
        (b"GET /\tx HTTP/1.1\r\nHost: h", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: h", 400),
        (b"GET /%ff HTTP/1.1\r\nHost: h", 400),
        (b"GET * HTTP/1.1\r\nHost: h", 400),
        (b"GET / HTTP/2.0\r\nHost: h", 505),
        (b"GET / http/1.1\r\nHost: h", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nHost: h", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX : y", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n folded", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5", 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 5", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1", 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked", 413),
        (b"POST / HTTP/1.1\r\nHost: h", 405),
        (b"GET / HTTP/1.1\r\nHost: h" + b"\r\nX: y" * HTTP_HEADERS_MAX, 431),
        (b"GET /?" + b"a=b&" * (HTTP_QUERY_FIELDS_MAX + 1) + b" HTTP/1.1\r\nHost: h", 400),
    ],
)
def test_what_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_head(head)
    assert refused.value.answer.status == status


def test_an_answer() -> None:
    parts = encode_answer(HttpAnswer(200, b"body", "text/x", (("Retry-After", "1"),)), keeps_alive=False)
    assert b"".join(parts) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 4\r\nCache-Control: no-store\r\n"
        b"X-Content-Type-Options: nosniff\r\nRetry-After: 1\r\nConnection: close\r\n\r\nbody"
    )
    assert b"".join(encode_answer(HttpAnswer(200, b"body"), keeps_alive=True, is_head=True)).endswith(b"\r\n\r\n")


def test_a_header_with_a_line_break_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError):
        encode_answer(HttpAnswer(200, b"", headers=(("X", "a\r\nb"),)), keeps_alive=True)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"GET / HTTP/1.1", "/"),
        (b"POST /api/topics?x=1 HTTP/1.1", "/api/topics"),
        (b"GET /a%20b HTTP/1.0", "/a b"),
        (b"GET /%ff HTTP/1.1", None),
        (b"GET http://host/x HTTP/1.1", None),
        (b"GET /", None),
        (b"\x16\x03\x01", None),
    ],
)
def test_the_path_of_a_request_line(line: bytes, path: str | None) -> None:
    assert path_of(line) == path
