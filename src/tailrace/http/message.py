"""HTTP/1.1 heads and answers: bytes <-> values; sans-IO. GET and HEAD, which carry no body.

    METHOD SP target SP HTTP/1.x CRLF  *( name ":" value CRLF )  CRLF

Strict: what is malformed is refused, never guessed at, and its connection ended, so that nothing that was meant as a
body is read as a request. Not its business: chunked bodies, upgrades. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from tailrace.http.limits import HTTP_HEADERS_MAX, HTTP_QUERY_FIELDS_MAX

REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"

_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t\x80-\xff]*)")


class HttpRequest(NamedTuple):
    """One request. `path` is decoded, begins with "/" and has no query; names in `headers` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    """Decoded. Of a field given twice the last one."""
    headers: Mapping[str, str]
    """Of a header given twice both values, joined by a comma."""
    keeps_alive: bool = True

    def accepts(self, media_type: str) -> bool:
        """Whether the client names this type in Accept, such as "application/openmetrics-text"."""
        named = (each.split(";", 1)[0].strip() for each in self.headers.get("accept", "").split(","))
        return media_type in named


class HttpAnswer(NamedTuple):
    """One answer. `headers` must hold no line breaks; length and connection are added."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


class BadRequest(Exception):
    """The request is not served. `answer` says why; the connection must end after it."""

    def __init__(self, status: int, words: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(words)
        self.answer = text_answer(status, words, headers)


def text_answer(status: int, words: str, headers: tuple[tuple[str, str], ...] = ()) -> HttpAnswer:
    """An answer in words for people."""
    return HttpAnswer(status, f"{words}\n".encode(), TEXT, headers)


def parse_head(head: bytes) -> HttpRequest:
    """Read a head, without the empty line that ends it. Raises BadRequest."""
    line, *lines = head.split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise BadRequest(400, "this is not an HTTP request")
    method, target, major, minor = (each.decode("ascii") for each in found.groups())
    if major != "1":
        raise BadRequest(505, "HTTP/1.1 is spoken here")
    headers = _parse_headers(lines)
    if minor != "0" and "host" not in headers:
        raise BadRequest(400, "a request of HTTP/1.1 has a Host header")
    if method not in ("GET", "HEAD"):
        raise BadRequest(405, f"{method} is not served; GET and HEAD are", (("Allow", "GET, HEAD"),))
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        raise BadRequest(413, "a request with a body is not served")
    path, query = _parse_target(target)
    tokens = [each.strip().lower() for each in headers.get("connection", "").split(",")]
    keeps_alive = minor != "0" and "close" not in tokens
    return HttpRequest(method, path, query, headers, keeps_alive)


def path_of(line: bytes) -> str | None:
    """The path of a request line; None when it is none. Whether the rest is in order is not looked at."""
    found = _REQUEST_LINE.fullmatch(line)
    if found is None or not found[2].startswith(b"/"):
        return None
    try:
        return unquote(found[2].decode("ascii").partition("?")[0], errors="strict")
    except UnicodeDecodeError:
        return None


def encode_answer(answer: HttpAnswer, *, keeps_alive: bool, is_head: bool = False) -> list[bytes]:
    """The parts of an answer, in order. To HEAD it has no body, but says how long it would be."""
    lines = [
        f"HTTP/1.1 {answer.status} {REASONS[answer.status]}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
    ]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if not keeps_alive:
        lines.append("Connection: close")
    assert not any("\r" in line or "\n" in line for line in lines), "a header with a line break"
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return [head] if is_head or not answer.body else [head, answer.body]


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > HTTP_HEADERS_MAX:
        raise BadRequest(431, f"more than {HTTP_HEADERS_MAX} headers")
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadRequest(400, "a header is malformed")
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1").strip(" \t")
        if name in headers:
            if name in ("host", "content-length"):
                raise BadRequest(400, f"{name} is given twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _parse_target(target: str) -> tuple[str, dict[str, str]]:
    if target.startswith(("http://", "https://")):  # what a proxy is asked, and servers must understand as well
        target = "/" + target.split("//", 1)[1].partition("/")[2]
    if not target.startswith("/"):
        raise BadRequest(400, "a request's target begins with /")
    path, _, query = target.partition("?")
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=HTTP_QUERY_FIELDS_MAX, errors="strict")
        return unquote(path, errors="strict"), dict(fields)
    except ValueError as error:  # UnicodeDecodeError among them
        raise BadRequest(400, "the address is not UTF-8, or its query has too many fields") from error
