"""Plays traces against a real Kafka and shows where its answers differ from the files': python -m, HOST:PORT, files.

    PYTHONPATH=src:. python -m tests.scenario.kafka_oracle 127.0.0.1:9092 tests/scenario/groups/leave.txt

Commands that act on the broker (`hold`, `fail`, `restart`, `set`, `log`, ...) end the trace: a real broker has no such
handles. `advance` really waits. Group ids get a suffix, so a broker can be asked again.
"""

from __future__ import annotations

import difflib
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.scenario.group_trace import GroupTrace, run_file
from tests.scenario.share_trace import ShareTrace

from tailrace.wire.api import Api, ApiKey, api
from tailrace.wire.frame import decode_response, encode_request
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

ANSWER_S = 0.5
QUIET_S = 0.05
TOPIC_S = 0.5
NOT_HERE = {
    "hold",
    "release",
    "fail",
    "restart",
    "unload",
    "loading",
    "loaded",
    "set",
    "expire",
    "delete-topic",
    "states-away",
}
OF_THE_LOG = ("log", "reason", "group ", "offset ", "record ", "joined", "states", "state ")
"""Commands that look into the broker, and what they show: left out."""


class _Client:
    """One connection; answers come in the order of the requests."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.waiting: list[tuple[Api, int, Callable[[Any], None]]] = []

    def send(self, found: Api, version: int, client_id: str, request: Any, on_response: Callable[[Any], None]) -> None:
        self.socket.sendall(encode_request(found, version, 5, client_id, request))
        self.waiting.append((found, version, on_response))

    def receive(self) -> None:
        size = int.from_bytes(self._exactly(4), "big")
        frame = self._exactly(size)
        found, version, on_response = self.waiting.pop(0)
        on_response(decode_response(found, version, memoryview(frame))[1])

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("Kafka closed the connection")
            data += part
        return data


class KafkaBench:
    """The part of `GroupBench` that a broker elsewhere can have."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._clients: dict[str, _Client] = {}
        self.group_suffix = "." + os.urandom(4).hex()
        self.image = self
        self._topic_ids: dict[str, UUID] = {}
        self._await_coordinator()

    def _await_coordinator(self) -> None:
        """Kafka makes `__consumer_offsets` when somebody first asks for a coordinator, and then takes a while."""
        codes: list[int] = []
        while codes[-1:] != [0]:
            request = FindCoordinatorRequest("g" + self.group_suffix)
            self.send(ApiKey.FIND_COORDINATOR, 2, "setup", request, lambda found: codes.append(found.error_code))

    def send(self, key: ApiKey, version: int, client_id: str, request: Any, on_response: Callable[[Any], None]) -> None:
        found = api(key)
        assert found is not None
        arrived: list[Any] = []

        def note(response: Any) -> None:
            arrived.append(response)
            on_response(response)

        # A connection a request: a real client would not send past its own parked join either.
        client = self._clients.setdefault(f"{client_id} {len(self._clients)}", _Client(self._address))
        client.send(found, version, client_id, request, note)
        self._settle(ANSWER_S, lambda: bool(arrived))
        self._settle(QUIET_S, lambda: False)

    def _settle(self, limit_s: float, is_enough: Callable[[], bool]) -> None:
        until = time.monotonic() + limit_s
        while not is_enough():
            waiting = {client.socket: client for client in self._clients.values() if client.waiting}
            readable, _, _ = select.select(list(waiting), [], [], max(until - time.monotonic(), 0))
            if not readable:
                return
            for one in readable:
                waiting[one].receive()

    def advance(self, delta_ms: int) -> None:
        """Really wait. Requests take time as well: leave a second or two where a trace must not be too late."""
        until = time.monotonic() + delta_ms / 1000
        while time.monotonic() < until:
            self._settle(0.05, lambda: False)
            time.sleep(0.05)

    def add(self, name: str, partition_count: int) -> None:
        request = CreateTopicsRequest([CreatableTopic(name, partition_count, 1)], 10_000)
        self.send(ApiKey.CREATE_TOPICS, 5, "setup", request, lambda response: None)
        time.sleep(TOPIC_S)  # a topic that is created is not yet one that the coordinator knows
        asked = MetadataRequest([MetadataRequestTopic(name=name)], allow_auto_topic_creation=False)

        def note(response: Any) -> None:
            self._topic_ids[name] = response.topics[0].topic_id

        self.send(ApiKey.METADATA, 12, "setup", asked, note)

    def topic_id(self, name: str) -> UUID:
        return self._topic_ids.get(name, UUID(int=0xDEAD))


def playable(text: str) -> str:
    """The trace up to the first command that needs a hand on the broker."""
    kept = []
    for block in text.rstrip("\n").split("\n\n"):
        words = {line.split()[0] for line in block.split("\n----\n")[0].split("\n") if line}
        if words & NOT_HERE:
            break
        lines = [line for line in block.split("\n") if not line.startswith(OF_THE_LOG)]
        if lines != ["----"]:
            kept.append("\n".join(lines))
    return "\n\n".join(kept) + "\n"


def main(arguments: list[str]) -> int:
    """Play every file; returns how many differ."""
    host, port = arguments[0].rsplit(":", 1)
    different = 0
    for name in arguments[1:]:
        text = playable(Path(name).read_text())
        if not text.strip():
            print(f"{name}: nothing to play")
            continue
        trace = ShareTrace if "share_groups" in name else GroupTrace
        happened = run_file(text, trace(KafkaBench((host, int(port)))))
        delta = list(difflib.unified_diff(text.split("\n"), happened.split("\n"), name, "kafka", n=2, lineterm=""))
        different += bool(delta)
        print("\n".join(delta) if delta else f"{name}: the same")
    return different


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
