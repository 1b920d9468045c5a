"""From a frame to an answer: finds the API, gates its version, decodes, calls the handler, encodes.

A handler's module is imported when its API is first asked for, so that start-up pays for none of them.

    unknown key, unsupported version    the connection is closed, as Kafka does
    ApiVersions of an unknown version   answered in v0 with error 35 and the supported range (KIP-511)
    malformed body                      the connection is closed
    a fenced broker of a cluster        what needs leadership is refused (`fence`)
    the disk fails below a handler      KAFKA_STORAGE_ERROR, and one line in the log
    an exception out of a handler       UNKNOWN_SERVER_ERROR in the answer, the trace in the log: ours to mend
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from math import inf
from typing import Any, Final

from tailrace.base.clock import nanoseconds_of
from tailrace.base.errors import ErrorCode, KafkaError, StorageError, TailraceError
from tailrace.base.pending import Pending
from tailrace.broker.context import Peer, RequestContext
from tailrace.broker.error_responses import error_response
from tailrace.broker.fence import FENCED_CODES
from tailrace.broker.request_meters import RequestMeter
from tailrace.broker.served import SERVED
from tailrace.broker.services import CloseConnection, Services
from tailrace.broker.slow_lane import SLOW_KEYS, SlowLane
from tailrace.wire.api import Api, ApiKey, api
from tailrace.wire.fetch_parts import encode_fetch_response
from tailrace.wire.frame import RequestHeader, decode_request, decode_request_header, encode_response
from tailrace.wire.messages.api_versions import ApiVersion, ApiVersionsResponse
from tailrace.wire.primitives import DecodeError, EncodeError, StructError

_log = logging.getLogger("tailrace.broker")

# Names of an enumeration are looked up anew each time, for a tenth of a microsecond: too much where all answers pass.
_PRODUCE: Final = int(ApiKey.PRODUCE)
_FETCH: Final = int(ApiKey.FETCH)
_SHARE_FETCH: Final = int(ApiKey.SHARE_FETCH)

Parts = list[Any]  # bytes-like and file ranges, what Connection.write takes
Answer = Parts | None  # of a request that waited: None ends the connection
Handler = Callable[[Services, RequestContext, Any], Any]


class _Route:
    """One API as it is answered here."""

    __slots__ = ("api", "handler", "meter")

    def __init__(self, found: Api, handler: Handler, meter: RequestMeter) -> None:
        self.api = found
        self.handler = handler
        self.meter = meter
        """Shown when one was answered: `Dispatch` puts it among `RequestMeters.meters` then."""


class Dispatch:
    """Answers requests of every connection of one broker."""

    __slots__ = ("_meters", "_routes", "_services", "_slow_lane", "last_key", "now_ns")

    def __init__(self, services: Services) -> None:
        self._services = services
        self._routes: dict[int, _Route] = {}
        self._slow_lane = SlowLane(services.clock, services.call_soon)
        self._meters = services.requests.meters
        self.now_ns = nanoseconds_of(services.clock)
        self.last_key = 0
        """Of the API of the last request, for who wants to know whose answer it was given."""

    def answer(self, peer: Peer, frame: memoryview, received_ms: float = inf) -> Parts | Pending[Answer] | None:
        """Handle the request in `frame`, which was there at `received_ms` or is just now; None: it wants no answer.

        Raises DecodeError or CloseConnection when the connection has to end. `frame` is not kept.
        """
        header = decode_request_header(frame)
        self.last_key = key = header.api_key
        if key in SLOW_KEYS and not self._slow_lane.is_free():
            return self._answer_later(peer, header, bytes(frame), received_ms)
        route = self._routes.get(key) or self._route(key)
        meter = route.meter
        if meter.untimed_count <= 0:
            return self._timed(route, peer, header, frame, received_ms)
        answer = self._answer(route, peer, header, frame)
        meter.untimed_count -= 1
        if type(answer) is not list:
            self._meter_wait(meter, answer, received_ms)
        return answer

    def on_sent(self, sent: list[tuple[int, int]]) -> None:
        """Answers, (key, when it was given to the socket) of each, have been taken by it."""
        now_ns = self.now_ns()
        for key, begin_ns in sent:
            meter = self._meters.get(key)
            if meter is not None:
                meter.send.add(now_ns - begin_ns)

    def _timed(
        self,
        route: _Route,
        peer: Peer,
        header: RequestHeader,
        frame: memoryview,
        received_ms: float,
        is_drawn: bool = True,
    ) -> Parts | Pending[Answer] | None:
        """`_answer`, and how long it took. Not `is_drawn`: timed whether it was its turn or not."""
        begin_ns = self.now_ns()
        answer = self._answer(route, peer, header, frame)
        took_ns = self.now_ns() - begin_ns
        meter = route.meter
        self._meters[header.api_key] = meter
        weight = meter.draw(begin_ns) if is_drawn else meter.count_beside()
        received_ms = min(received_ms, begin_ns / 1e6)
        meter.add_timed(max(begin_ns - int(received_ms * 1e6), 0), took_ns, isinstance(answer, Pending), weight)
        self._meter_wait(meter, answer, received_ms)
        return answer

    def _meter_wait(self, meter: RequestMeter, answer: Parts | Pending[Answer] | None, received_ms: float) -> None:
        """Time what `answer` waits for, if it does: of every request that waits, whether it was timed or not."""
        if isinstance(answer, Pending):
            begin_ns = self.now_ns()
            meter.waiting_count += 1
            received_ns = int(min(received_ms * 1e6, begin_ns))
            answer.on_complete(partial(self._on_waited, meter, received_ns, begin_ns))

    def _on_waited(self, meter: RequestMeter, received_ns: int, begin_ns: int, _: Answer) -> None:
        now_ns = self.now_ns()
        meter.waiting_count -= 1
        meter.remote.add(now_ns - begin_ns)
        meter.total.add(now_ns - received_ns)

    def _answer_later(self, peer: Peer, header: RequestHeader, frame: bytes, received_ms: float) -> Pending[Answer]:
        """When its turn comes. Nobody is there by then to whom an exception could go: the connection is ended."""
        later: Pending[Answer] = Pending()
        route = self._routes.get(header.api_key) or self._route(header.api_key)

        def run() -> None:
            try:
                answer = self._timed(route, peer, header, memoryview(frame), received_ms, is_drawn=False)
            except (DecodeError, CloseConnection) as error:
                _log.info("closing %s: %s", peer.client_host, error)
                later.complete(None)
                return
            if isinstance(answer, Pending):
                answer.on_complete(later.complete)
            else:
                later.complete(answer or [])

        self._slow_lane.wait(len(frame), run)
        return later

    def _answer(
        self, route: _Route, peer: Peer, header: RequestHeader, frame: memoryview
    ) -> Parts | Pending[Answer] | None:
        found = route.api
        if not found.first_version <= header.api_version <= found.last_version:
            if header.api_key == ApiKey.API_VERSIONS:
                return [_unsupported_api_versions(found, header)]
            raise DecodeError(f"{found.name} v{header.api_version} is not supported")
        client_id, request = decode_request(found, header, frame)
        context = RequestContext(peer, header.api_key, header.api_version, header.correlation_id, client_id)
        is_fenced = self._services.is_fenced
        if is_fenced is not None and found.key in FENCED_CODES and is_fenced():
            return self._encode(
                found, context, self._failure(found, context, request, KafkaError(FENCED_CODES[found.key]))
            )
        if self._services.faults.active:
            return self._handle_with_faults(route, context, request)
        return self._handle(route, context, request)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run `callback` at the end of the loop's turn."""
        self._services.call_soon(callback)

    def on_closed(self, peer: Peer) -> None:
        """A client's connection has ended."""
        self._services.on_connection_closed(peer.connection_id)

    def _handle(self, route: _Route, context: RequestContext, request: Any) -> Parts | Pending[Answer] | None:
        found = route.api
        try:
            response = route.handler(self._services, context, request)
        except CloseConnection:
            raise
        except KafkaError as error:
            response = self._failure(found, context, request, error)
        except StorageError as error:
            self._services.on_storage_error(error)
            response = self._failure(found, context, request, KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{error}."))
        except Exception as error:
            level = logging.ERROR if isinstance(error, TailraceError) else logging.CRITICAL
            _log.log(level, "%s v%d failed", found.name, context.api_version, exc_info=error)
            response = self._failure(found, context, request, KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR))
        if isinstance(response, Pending):
            return self._encoded_later(found, context, response)
        return None if response is None else self._encode(found, context, response)

    def _handle_with_faults(
        self, route: _Route, context: RequestContext, request: Any
    ) -> Parts | Pending[Answer] | None:
        """As `_handle`, after what a test ordered. Only there does a request outlive its frame: records are copied."""
        found, faults = route.api, self._services.faults
        later: Pending[Answer] = Pending()

        def run() -> None:
            try:
                answer = self._handle(route, context, request)
            except CloseConnection:
                later.complete(None)
                return
            if isinstance(answer, Pending):
                answer.on_complete(later.complete)
            else:
                later.complete(answer or [])

        code = faults.next_error(found.key)
        if code is not None:
            return self._encode(found, context, self._failure(found, context, request, KafkaError(code)))
        latency_ms = faults.next_latency_ms(found.key)
        if latency_ms is None and not faults.paused:
            return self._handle(route, context, request)
        _own_records(found, request)
        if faults.paused:
            faults.hold(run)
        elif latency_ms is not None:
            self._services.timers.schedule(latency_ms, run)
        return later

    def _route(self, key: int) -> _Route:
        found = api(key) if key in _SERVED_KEYS else None
        if found is None:
            raise DecodeError(f"request with unknown api key {key}")
        module = import_module(f"tailrace.broker.handlers.{ApiKey(key).name.lower()}")
        handler: Handler = module.handle
        route = self._routes[key] = _Route(found, handler, self._meters.get(key) or RequestMeter())
        return route

    def _encode(self, found: Api, context: RequestContext, response: Any) -> Parts:
        """The frame of a response. One that cannot be written is our bug: logged, and the end of this connection."""
        try:
            if found.key == _FETCH:
                return encode_fetch_response(found, context.api_version, context.correlation_id, response)
            if found.key != _PRODUCE:  # these two count their own
                self._services.requests.note_errors(found.key, response)
            if found.key == _SHARE_FETCH:
                # start-up time: few brokers see a share group in their first second
                from tailrace.wire.share_fetch_parts import encode_share_fetch_response

                return encode_share_fetch_response(found, context.api_version, context.correlation_id, response)
            return [encode_response(found, context.api_version, context.correlation_id, response)]
        except (EncodeError, StructError, AttributeError, TypeError) as error:
            _log.critical("the answer to %s v%d cannot be written", found.name, context.api_version, exc_info=error)
            raise CloseConnection(f"the answer to {found.name} cannot be written") from error

    def _failure(self, found: Api, context: RequestContext, request: Any, error: KafkaError) -> Any:
        """The response that says `error`. A Produce with acks=0 has none: only a closed connection tells its client."""
        if found.key in (ApiKey.PRODUCE, ApiKey.FETCH):
            self._services.requests.note_error(found.key, error.code)
        if found.key == ApiKey.PRODUCE and request.acks == 0:
            raise CloseConnection(f"a Produce with acks=0 failed with {error.code.name}")
        return error_response(found, context.api_version, request, error)

    def _encoded_later(self, found: Api, context: RequestContext, response: Pending[Any]) -> Parts | Pending[Answer]:
        if response.done:
            return self._encode(found, context, response.value)
        later: Pending[Answer] = Pending()

        def encode(value: Any) -> None:
            try:
                later.complete(self._encode(found, context, value))
            except CloseConnection:
                later.complete(None)

        response.on_complete(encode)
        return later


_SERVED_KEYS = frozenset(int(key) for key in SERVED)


def _unsupported_api_versions(found: Api, header: RequestHeader) -> bytearray:
    """Error 35 in a v0 body, with the one range the client needs to try again. Source: KIP-511."""
    response = ApiVersionsResponse(
        ErrorCode.UNSUPPORTED_VERSION, [ApiVersion(ApiKey.API_VERSIONS, found.first_version, found.last_version)]
    )
    return encode_response(found, 0, header.correlation_id, response)


def _own_records(found: Api, request: Any) -> None:
    """Copy the record data of a Produce request out of the receive buffer."""
    if found.key == ApiKey.PRODUCE:
        for topic in request.topic_data:
            for data in topic.partition_data:
                if data.records is not None:
                    data.records = bytearray(data.records)
