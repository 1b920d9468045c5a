"""A client of etcd's JSON gateway: one call at a time a thread, on the first endpoint that answers. Blocks.

A call goes to the endpoint that answered last; one that does not answer in time is left for the next, round and round
until the call's time is over. So a call may happen twice: what is sent must bear that (compare-and-put does).
64-bit numbers are strings in this JSON, keys and values base64.
Not its business: which keys there are (`etcd_store`), where failures are told (`Report`).
Source: etcd's API reference, v3 (rpc.proto, kv.proto) and its grpc-gateway; checked with 3.4.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from threading import Event, Lock
from typing import Any, Final, NamedTuple, TypeAlias

from tailrace.base.clock import Clock
from tailrace.base.errors import TailraceError
from tailrace.cluster.store import StoreUnavailable
from tailrace.net.address import Address
from tailrace.net.http_client import BlockingHttp, Tls, TlsFiles

CALL_MS: Final = 10_000
"""How long a call is tried before it is given up. An etcd that lost its leader has another in a second or two."""
ATTEMPT_MS: Final = 3_000
"""How long one endpoint may take at most before the next is asked. Every endpoint gets two attempts in a call."""
RETRY_BACKOFF_MS: Final = 100
"""Wait when no endpoint answered, before the next round."""

STREAM_IDLE_MS: Final = 60_000
"""A stream in which nothing comes for so long is opened again: its peer may be gone without a word."""
CONNECTIONS_KEPT: Final = 4
"""Idle connections kept open: as many threads ask at once, at most."""

Json: TypeAlias = dict[str, Any]  # Any: JSON
Report: TypeAlias = Callable[[Exception | None, float], None]
"""Told of every call that ended: how it failed, or None, and the milliseconds it took."""


class GrpcCode:
    """Codes of gRPC's that the gateway passes on. Source: grpc/codes."""

    DEADLINE_EXCEEDED: Final = 4
    NOT_FOUND: Final = 5
    OUT_OF_RANGE: Final = 11
    UNAVAILABLE: Final = 14
    UNAUTHENTICATED: Final = 16


_TRIED_AGAIN: Final = frozenset({GrpcCode.DEADLINE_EXCEEDED, GrpcCode.UNAVAILABLE})


class EtcdError(TailraceError):
    """etcd refused a call."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class EtcdOptions(NamedTuple):
    """Where etcd is and who asks. With `tls` every endpoint is spoken to in TLS; `password` is never shown."""

    endpoints: tuple[Address, ...]
    tls: TlsFiles | None = None
    user: str = ""
    password: str = ""


class EtcdClient:
    """Calls from any thread."""

    def __init__(self, options: EtcdOptions, clock: Clock, report: Report | None = None) -> None:
        """Opens nothing. Raises OSError when a file of `tls` cannot be used."""
        assert options.endpoints
        self._options = options
        self._clock = clock
        self._report = report
        self._tls = None if options.tls is None else Tls(options.tls)
        self._current = 0
        self._idle: list[tuple[Address, BlockingHttp]] = []
        self._lock = Lock()
        self._token = ""
        self._closed = Event()

    @property
    def endpoint(self) -> Address:
        """The endpoint that is asked next."""
        return self._options.endpoints[self._current]

    def call(self, path: str, body: Json, call_ms: float = CALL_MS) -> Json:
        """Ask, and give the answer. Raises EtcdError when etcd refuses, StoreUnavailable when nobody answered."""
        began_ms = self._clock.monotonic_ms()
        failure: Exception | None = None
        try:
            return self._call(path, body, began_ms + call_ms)
        except StoreUnavailable as error:
            failure = error
            raise
        finally:
            if self._report is not None and not self._closed.is_set():
                self._report(failure, self._clock.monotonic_ms() - began_ms)

    def _call(self, path: str, body: Json, until_ms: float) -> Json:
        sent = json.dumps(body).encode()
        failures = 0
        attempt_ms = min(ATTEMPT_MS, (until_ms - self._clock.monotonic_ms()) / (2 * len(self._options.endpoints)))
        while True:
            left_ms = until_ms - self._clock.monotonic_ms()
            endpoint = self.endpoint
            try:
                return self._attempt(endpoint, path, sent, max(1, min(left_ms, attempt_ms)))
            except EtcdError as error:
                if error.code == GrpcCode.UNAUTHENTICATED and self._token:
                    self._token = ""
                elif error.code not in _TRIED_AGAIN:
                    raise
                failure: Exception = error
            except OSError as error:
                failure = error
            self._leave(endpoint)
            failures += 1
            if self._clock.monotonic_ms() >= until_ms or self._closed.is_set():
                raise StoreUnavailable(f"etcd at {endpoint} does not answer: {_words(failure)}") from failure
            if failures % len(self._options.endpoints) == 0:
                self._closed.wait(RETRY_BACKOFF_MS / 1000)

    def _attempt(self, endpoint: Address, path: str, sent: bytes, attempt_ms: float) -> Json:
        """One question. One more where a kept connection turns out to have been closed meanwhile."""
        headers = self._headers(endpoint, attempt_ms)
        connection = self._take(endpoint, attempt_ms)
        was_used = connection.is_used
        try:
            status, answer = connection.post(path, sent, headers)
        except OSError as error:
            connection.close()
            if not was_used or isinstance(error, TimeoutError):
                raise
            self._drop_idle()
            return self._attempt(endpoint, path, sent, attempt_ms)
        self._give(endpoint, connection)
        return _answer(status, answer)

    def lines(self, path: str, body: Json, opened: Callable[[BlockingHttp], None]) -> Iterator[Json]:
        """Ask for a stream of answers; `opened` gets its connection, to close it from another thread.

        Raises EtcdError, or OSError when the stream breaks.
        """
        endpoint = self.endpoint
        connection = BlockingHttp(endpoint, self._tls, ATTEMPT_MS)
        headers = self._headers(endpoint, ATTEMPT_MS)
        connection.set_timeout(STREAM_IDLE_MS)
        opened(connection)
        try:
            for line in connection.lines(path, json.dumps(body).encode(), headers):
                parsed: Json = json.loads(line)
                if "error" in parsed:
                    raise _error(parsed["error"])
                yield parsed["result"]
        except TimeoutError:  # nothing happened for a while, or the endpoint hangs: calls find out which
            raise
        except OSError:
            self._leave(endpoint)
            raise
        finally:
            connection.close()

    def close(self) -> None:
        """End every call: those that wait raise StoreUnavailable."""
        self._closed.set()
        self._drop_idle()

    # Connections

    def _take(self, endpoint: Address, timeout_ms: float) -> BlockingHttp:
        with self._lock:
            for index, (address, connection) in enumerate(self._idle):
                if address == endpoint:
                    del self._idle[index]
                    connection.set_timeout(timeout_ms)
                    return connection
        return BlockingHttp(endpoint, self._tls, timeout_ms)

    def _give(self, endpoint: Address, connection: BlockingHttp) -> None:
        with self._lock:
            if len(self._idle) < CONNECTIONS_KEPT and not self._closed.is_set():
                self._idle.append((endpoint, connection))
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _leave(self, endpoint: Address) -> None:
        """Ask the next endpoint from here on, unless another thread has moved on already."""
        with self._lock:
            if self.endpoint == endpoint:
                self._current = (self._current + 1) % len(self._options.endpoints)

    def _headers(self, endpoint: Address, attempt_ms: float) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._options.user:
            headers["Authorization"] = self._token or self._authenticate(endpoint, attempt_ms)
        return headers

    def _authenticate(self, endpoint: Address, attempt_ms: float) -> str:
        body = json.dumps({"name": self._options.user, "password": self._options.password}).encode()
        connection = BlockingHttp(endpoint, self._tls, attempt_ms)
        try:
            status, answer = connection.post("/v3/auth/authenticate", body, {"Content-Type": "application/json"})
        finally:
            connection.close()
        self._token = _answer(status, answer)["token"]
        return self._token


def _answer(status: int, body: bytes) -> Json:
    try:
        parsed: Json = json.loads(body)
    except ValueError as error:
        raise ConnectionError(f"HTTP {status} without JSON: is this etcd?") from error
    if status != 200:
        raise _error(parsed)
    return parsed


def _error(parsed: Json) -> EtcdError:
    code: int = parsed.get("code") or parsed.get("grpc_code") or GrpcCode.UNAVAILABLE
    return EtcdError(code, str(parsed.get("message") or parsed.get("error") or "an error without words"))


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def to_base64(data: bytes) -> str:
    """Bytes as the gateway's JSON has them."""
    return b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """The bytes of a field, empty when it was left out."""
    return b64decode(text)


def end_of_prefix(prefix: bytes) -> bytes:
    """The first key after all those that begin with `prefix`."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
