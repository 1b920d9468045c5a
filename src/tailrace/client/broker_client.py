"""Requests to one other broker, over one connection that is opened when there is something to ask.

    send -> (connect -> ApiVersions) -> frame out ... frame in -> told

Invariant: every request is told of exactly once, in the order they were sent; once one has failed all have, and the
connection is closed: an answer that comes late is never taken for another's.
After a failure nothing is sent before `reconnect_backoff_ms` have passed: requests until then fail at once.
Not its business: trying again, choosing the broker. One owner; one thread, the loop's.
Source: Kafka NetworkClient, BrokerBlockingSender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tailrace.base.errors import ErrorCode
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.handler import ConnectionOptions
from tailrace.net.loop import Engine
from tailrace.net.timers import Timer
from tailrace.wire.api import Api, ApiKey, api
from tailrace.wire.frame import SIZE_BYTES, decode_response, encode_request, frame_size
from tailrace.wire.primitives import DecodeError

IN_FLIGHT_MAX: Final = 100
"""Requests on their way to one broker. Each has an owner that waits for it, so more are a mistake: they are refused."""

API_VERSIONS_VERSION: Final = 0
"""Every broker ever made answers it."""


class Refusal(NamedTuple):
    """Why a request has no response: NETWORK_EXCEPTION, REQUEST_TIMED_OUT or UNSUPPORTED_VERSION, and a sentence."""

    code: ErrorCode
    reason: str


Told = Callable[[Any], object]
"""Called with the response, or with a Refusal."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a broker is asked. `request_timeout_ms` runs from when a request is sent to its whole response."""

    client_id: str
    request_timeout_ms: float = 30_000
    connect_timeout_ms: float = 10_000
    reconnect_backoff_ms: float = 50
    response_max_bytes: int = 100 * 1024 * 1024
    local_host: str | None = None


class _Request(NamedTuple):
    api: Api
    message: Any
    told: Told


class _Sent(NamedTuple):
    correlation_id: int
    api: Api
    version: int
    told: Told
    deadline_ms: float


class BrokerClient:
    """One other broker. `address_of` is asked before each connect; None: it has no address now."""

    def __init__(self, engine: Engine, address_of: Callable[[], Address | None], options: ClientOptions) -> None:
        self._engine = engine
        self._address_of = address_of
        self._options = options
        self._waiting: deque[_Request] = deque()
        self._sent: deque[_Sent] = deque()
        self._connection: Connection | None = None
        self._versions: dict[int, tuple[int, int]] | None = None
        """What the other side answers, by API; None until it has said so."""
        self._connecting: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._correlation_id = 0
        self._refuses_until_ms = 0.0
        self._reason = ""
        self._is_closed = False

    # -- asking ----------------------------------------------------------------------------------------------------

    def send(self, key: ApiKey, message: Any, told: Told) -> None:
        """Ask. `told(response or Refusal)` is called once, in a later step where the request cannot be sent now."""
        described = api(key)
        assert described is not None
        if self._is_closed or len(self._waiting) + len(self._sent) >= IN_FLIGHT_MAX:
            self._tell_later(told, Refusal(ErrorCode.NETWORK_EXCEPTION, "the client is closed or overrun"))
        elif self._now_ms() < self._refuses_until_ms:
            self._tell_later(told, Refusal(ErrorCode.NETWORK_EXCEPTION, self._reason))
        else:
            self._waiting.append(_Request(described, message, told))
            self._go_on()

    def close(self) -> None:
        """Ask no more. What is on its way is told in a later step that it failed."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        self._engine.selector.post(lambda: self._fail(ErrorCode.NETWORK_EXCEPTION, "the client is closed"))

    def _tell_later(self, told: Told, refusal: Refusal) -> None:
        self._engine.selector.post(lambda: told(refusal))

    def _now_ms(self) -> float:
        return self._engine.loop.time() * 1000

    def _go_on(self) -> None:
        if self._connection is None:
            if self._connecting is None:
                self._connecting = self._engine.loop.create_task(self._connect())
        elif self._versions is not None:
            while self._waiting:
                self._write(self._waiting.popleft())

    def _write(self, request: _Request) -> None:
        assert self._connection is not None and self._versions is not None
        known = self._versions.get(request.api.key)
        version = -1 if known is None else min(known[1], request.api.last_version)
        if known is None or version < max(known[0], request.api.first_version):
            reason = f"{request.api.name} is not answered in a version of ours"
            self._tell_later(request.told, Refusal(ErrorCode.UNSUPPORTED_VERSION, reason))
            return
        self._transmit(request.api, version, request.message, request.told)

    def _transmit(self, described: Api, version: int, message: Any, told: Told) -> None:
        assert self._connection is not None
        self._correlation_id = (self._correlation_id + 1) % (1 << 31)
        timeout_ms = self._options.request_timeout_ms
        sent = _Sent(self._correlation_id, described, version, told, self._now_ms() + timeout_ms)
        self._sent.append(sent)
        if self._timer is None:
            self._timer = self._engine.timers.schedule(timeout_ms, self._on_time)
        self._connection.write(
            [encode_request(described, version, sent.correlation_id, self._options.client_id, message)]
        )

    # -- the connection --------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        address = self._address_of()
        if address is None:
            self._connecting = None
            self._fail(ErrorCode.NETWORK_EXCEPTION, "its address is not known")
            return
        options = ConnectionOptions(
            reads_while_full=True,
            receive_max_bytes=self._options.response_max_bytes + SIZE_BYTES,
            local_host=self._options.local_host,
        )
        try:
            connection = await self._engine.connect(
                address, lambda made: _Responses(self, made), options, self._options.connect_timeout_ms
            )
        except OSError as error:
            self._connecting = None
            self._fail(ErrorCode.NETWORK_EXCEPTION, f"{address}: {error}")
            return
        self._connecting = None
        if self._is_closed:
            connection.close()
            return
        self._connection = connection
        asked = api(ApiKey.API_VERSIONS)
        assert asked is not None
        self._transmit(asked, API_VERSIONS_VERSION, asked.request(), self._on_versions)

    def _on_versions(self, response: Any) -> None:
        if isinstance(response, Refusal):
            return  # everybody is being told
        self._versions = {each.api_key: (each.min_version, each.max_version) for each in response.api_keys}
        self._go_on()

    def on_frame(self, connection: Connection, frame: memoryview) -> None:
        """A whole response. Raises DecodeError when it is none, or not the one that is due."""
        if connection is not self._connection or not self._sent:
            raise DecodeError("an answer that nobody asked for")
        sent = self._sent[0]
        correlation_id, response = decode_response(sent.api, sent.version, frame)
        if correlation_id != sent.correlation_id:
            raise DecodeError(f"answer {correlation_id} instead of {sent.correlation_id}")
        self._sent.popleft()
        sent.told(response)

    def on_closed(self, connection: Connection, reason: str) -> None:
        """The connection is gone."""
        if connection is self._connection:
            self._fail(ErrorCode.NETWORK_EXCEPTION, reason)

    def _on_time(self) -> None:
        self._timer = None
        if not self._sent:
            return
        left_ms = self._sent[0].deadline_ms - self._now_ms()
        if left_ms > 0:
            self._timer = self._engine.timers.schedule(left_ms, self._on_time)
        else:
            self._fail(ErrorCode.REQUEST_TIMED_OUT, f"{self._sent[0].api.name} was not answered in time")

    def _fail(self, code: ErrorCode, reason: str) -> None:
        """Drop the connection and everything on its way."""
        connection, self._connection = self._connection, None
        self._versions = None
        self._reason = reason
        self._refuses_until_ms = self._now_ms() + self._options.reconnect_backoff_ms
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if connection is not None:
            connection.close()
        told = [each.told for each in self._sent] + [each.told for each in self._waiting]
        self._sent.clear()
        self._waiting.clear()
        for each in told:
            each(Refusal(code, reason))


class _Responses:
    """Stream handler: cuts the responses out of the stream."""

    def __init__(self, client: BrokerClient, connection: Connection) -> None:
        self._client = client
        self._connection = connection

    def on_opened(self) -> None:
        """The first request follows."""

    def on_data(self, data: memoryview) -> int:
        """Hand over every whole frame."""
        position, end = 0, len(data)
        while end - position >= SIZE_BYTES and not self._connection.closed:
            size = frame_size(data, position)
            start = position + SIZE_BYTES
            if size < 0:
                raise DecodeError(f"frame of {size} bytes")
            if end - start < size:
                self._connection.want(SIZE_BYTES + size)
                break
            position = start + size
            self._client.on_frame(self._connection, data[start:position])
        return position

    def on_eof(self) -> None:
        """The broker will answer no more."""
        self._connection.close()

    def on_writable(self) -> None:
        """Nothing waits for this: requests are few."""

    def on_closed(self, error: OSError | None) -> None:
        """Tell the client."""
        self._client.on_closed(self._connection, "the connection was closed" if error is None else str(error))
