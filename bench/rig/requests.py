"""One-record Produce requests over many plain connections: what a broker pays for a request, not for bytes.

A client library would send fewer, larger requests; here each connection has one request under way and sends the next
when it is answered. Requests are built before the clock starts, so this process only sends and receives; every answer
of the first round is decoded, and afterwards its length must be the same, so an error cannot pass for an answer.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import SIZE_BYTES, decode_response, encode_request
from tailrace.wire.messages.api_versions import ApiVersionsRequest
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

CLIENT_ID = "bench"
TIMEOUT_S = 20.0
RECORD_BYTES = 100
PRODUCE_VERSION = 7
"""Every broker here has it, and its records are those of all later ones."""


class Unanswered(Exception):
    """A broker answered with an error, or not."""


@dataclass
class Served:
    """Requests answered in a time."""

    requests: int
    elapsed_s: float


class Line:
    """A connection that asks one request at a time."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, key: ApiKey, version: int, request: object) -> object:
        """The answer, decoded."""
        found = api(key)
        assert found is not None
        self.socket.sendall(encode_request(found, version, 1, CLIENT_ID, request))
        return decode_response(found, version, memoryview(self.read_frame()))[1]

    def read_frame(self) -> bytes:
        """The next frame, its length left out."""
        return self._read(int.from_bytes(self._read(SIZE_BYTES), "big"))

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self.socket.recv(size - len(found))
            if not piece:
                raise Unanswered("the connection was closed")
            found += piece
        return found


def first_acknowledged(address: str, deadline_s: float) -> None:
    """Return when a record sent to a fresh broker is acknowledged: connect, make a topic, produce, as soon as it can.

    `deadline_s` is a reading of time.monotonic.
    """
    topic = "first"
    while True:
        try:
            line = Line(address)
            with line.socket:
                line.ask(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
                make_topic(line, topic)
                produce_until_acknowledged(line, topic, deadline_s)
                return
        except (OSError, Unanswered):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.002)


def make_topic(line: Line, topic: str) -> None:
    """A topic of one partition, and the leader of it known; one that exists is as good."""
    line.ask(ApiKey.CREATE_TOPICS, 2, CreateTopicsRequest([CreatableTopic(topic, 1, 1)], timeout_ms=10_000))
    line.ask(ApiKey.METADATA, 5, MetadataRequest([MetadataRequestTopic(name=topic)]))


def produce_until_acknowledged(line: Line, topic: str, deadline_s: float) -> None:
    """Until the new topic is known to the broker that made it: some tell of it a moment later."""
    while (error_code := produce_once(line, topic)) != 0:
        if time.monotonic() > deadline_s:
            raise Unanswered(f"no record was acknowledged: error {error_code}")
        time.sleep(0.002)


def produce_once(line: Line, topic: str) -> int:
    """The error code a record gets."""
    answer = line.ask(ApiKey.PRODUCE, PRODUCE_VERSION, produce_request(topic, 0, RECORD_BYTES))
    return int(answer.responses[0].partition_responses[0].error_code)  # type: ignore[attr-defined]


def produce_request(topic: str, partition: int, record_bytes: int) -> ProduceRequest:
    """One batch of one record, acks=all."""
    record = Record(offset=0, timestamp=int(time.time() * 1000), key=None, value=b"x" * record_bytes, headers=())
    data = PartitionProduceData(partition, bytes(build_batch([record])))
    return ProduceRequest(None, -1, 30_000, [TopicProduceData(topic, partition_data=[data])])


def serve(address: str, topic: str, connections: int, duration_s: float, begin: Callable[[], None]) -> Served:
    """Requests over `connections`, each with one under way, for `duration_s`. Unanswered when one fails or is late.

    `begin` is told when every connection is open and has had an answer.
    """
    lines = [Line(address) for _ in range(connections)]
    try:
        for line in lines:
            produce_until_acknowledged(line, topic, time.monotonic() + TIMEOUT_S)
        begin()
        return _exchange(lines, topic, duration_s)
    finally:
        for line in lines:
            line.socket.close()


def _exchange(lines: list[Line], topic: str, duration_s: float) -> Served:
    found = api(ApiKey.PRODUCE)
    assert found is not None
    frame = encode_request(found, PRODUCE_VERSION, 1, CLIENT_ID, produce_request(topic, 0, RECORD_BYTES))
    answer_bytes = _answer_bytes(lines[0], frame)
    sockets = {line.socket.fileno(): line.socket for line in lines}
    with select.epoll() as poller:
        for number, opened in sockets.items():
            opened.setblocking(False)
            poller.register(number, select.EPOLLIN)
        began_s = time.perf_counter()
        for opened in sockets.values():
            opened.send(frame)
        return _loop(poller, sockets, frame, answer_bytes, began_s + duration_s)


def _loop(
    poller: select.epoll, sockets: dict[int, socket.socket], frame: bytes, answer_bytes: int, end_s: float
) -> Served:
    requests, waiting, began_s = 0, len(sockets), time.perf_counter()
    while waiting:
        ready = poller.poll(TIMEOUT_S)
        if not ready:
            raise Unanswered(f"no answer in {TIMEOUT_S:g} s")
        going_on = time.perf_counter() < end_s
        for number, _ in ready:
            size = len(sockets[number].recv(4096))
            if size != answer_bytes:
                raise Unanswered(f"an answer of {size} bytes where {answer_bytes} were expected")
            requests += 1
            if going_on:
                sockets[number].send(frame)
            else:
                waiting -= 1
    return Served(requests, time.perf_counter() - began_s)


def _answer_bytes(line: Line, frame: bytes) -> int:
    line.socket.sendall(frame)
    return len(line.read_frame()) + SIZE_BYTES
