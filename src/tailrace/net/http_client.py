"""HTTP/1.1 over TCP or TLS that blocks: for threads, never for the loop. One request at a time on a connection.

Not its business: redirects, cookies, proxies, retries. Bodies are bounded by HTTP_BODY_MAX_BYTES.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import NamedTuple

from tailrace.net.address import Address
from tailrace.net.limits import HTTP_BODY_MAX_BYTES


class TlsFiles(NamedTuple):
    """What a TLS client shows and believes: PEM files. Without `ca` the system's authorities are believed."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Tls:
    """The TLS of a client, read from its files once. Raises OSError when one cannot be read or is not PEM."""

    def __init__(self, files: TlsFiles) -> None:
        self._context = ssl.create_default_context(cafile=files.ca)
        if files.certificate is not None:
            self._context.load_cert_chain(files.certificate, files.key)

    def connection(self, address: Address, timeout_s: float) -> HTTPConnection:
        """A connection that is not open yet."""
        return HTTPSConnection(address.host, address.port, timeout=timeout_s, context=self._context)


class HttpAnswer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes


class BlockingHttp:
    """One connection, opened by its first request. After an OSError it must be closed."""

    def __init__(self, address: Address, tls: Tls | None = None, timeout_ms: float = 5000) -> None:
        """`timeout_ms` bounds the connect, and each wait for the peer."""
        timeout_s = timeout_ms / 1000
        if tls is None:
            self._connection = HTTPConnection(address.host, address.port, timeout=timeout_s)
        else:
            self._connection = tls.connection(address, timeout_s)
        self._connection.blocksize = 64 * 1024
        self._is_closed = False
        self.is_used = False
        """Whether a request was answered on it: its peer may have closed it since."""

    def set_timeout(self, timeout_ms: float) -> None:
        """Bound each wait of the next request."""
        self._connection.timeout = timeout_ms / 1000
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_ms / 1000)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Ask, and read the whole answer. Raises OSError for whatever goes wrong on the way."""
        response = self._ask(path, body, headers)
        try:
            answer = response.read(HTTP_BODY_MAX_BYTES + 1)
        except HTTPException as error:
            raise ConnectionError(f"the answer was cut off: {error!r}") from error
        if len(answer) > HTTP_BODY_MAX_BYTES:
            raise ConnectionError(f"an answer of more than {HTTP_BODY_MAX_BYTES} bytes")
        self.is_used = True
        return HttpAnswer(response.status, answer)

    def lines(self, path: str, body: bytes, headers: Mapping[str, str]) -> Iterator[bytes]:
        """Ask, and give the lines of an answer that goes on until the peer ends it or `close` is called.

        Raises OSError, also when nothing comes for the time of the timeout.
        """
        response = self._ask(path, body, headers)
        while True:
            try:
                line = response.readline(HTTP_BODY_MAX_BYTES + 1)
            except (HTTPException, ValueError, AttributeError) as error:  # the latter two: closed while it was read
                raise ConnectionError(f"the answer was cut off: {error!r}") from error
            if not line:
                return
            if len(line) > HTTP_BODY_MAX_BYTES:
                raise ConnectionError(f"a line of more than {HTTP_BODY_MAX_BYTES} bytes")
            yield line

    def _ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        try:
            if self._connection.sock is None:
                self._connection.connect()
            if self._is_closed:
                raise ConnectionError("closed meanwhile")
            self._connection.request("POST", path, body, dict(headers))
            return self._connection.getresponse()
        except HTTPException as error:
            raise ConnectionError(f"no HTTP answer: {error!r}") from error

    def close(self) -> None:
        """End it. From any thread: who waits for an answer gets an OSError."""
        self._is_closed = True
        if self._connection.sock is not None:
            with suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()
