"""A driver of the story in another language: a child process that reads commands and writes answers as JSON lines.

    -> {"do": "bounds", "topic": "t", "partition": 0}
    <- {"ok": [0, 20]}            or {"error": "TopicExistsException: ..."}

The first line a child writes is {"ok": "ready"}. Keys, values and header values travel as base64 or null.
Commands are answered one at a time, in order. What the child writes on stderr is shown when it dies.
"""

import base64
import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from tests.harness.drivers import HEARTBEAT_INTERVAL_MS, SESSION_TIMEOUT_MS, Record, Stored

ANSWER_TIMEOUT_S = 120.0


class ClientError(Exception):
    """What the client library raised, as text."""


class LineDriver:
    """Speaks to one child process; `command` starts it with the bootstrap address as its last argument."""

    name = "?"

    def __init__(self, bootstrap: str) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the driver
        self.process = subprocess.Popen(
            [*self.command(), bootstrap], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        assert self._answer() == "ready"

    def command(self) -> list[str]:
        raise NotImplementedError

    def ask(self, do: str, **arguments: Any) -> Any:
        """One command and its answer; ClientError with the library's words."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        alarm = threading.Timer(ANSWER_TIMEOUT_S, self.process.kill)
        alarm.start()
        try:
            line = self.process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            self.process.wait(ANSWER_TIMEOUT_S)
            self.errors.seek(0)
            raise ClientError(f"{self.name} died: {self.errors.read()[-4000:].decode(errors='replace')}")
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer["ok"]

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        self.ask("create_topic", topic=topic, partitions=partitions, config=dict(config))

    def delete_topic(self, topic: str) -> None:
        self.ask("delete_topic", topic=topic)

    def topics(self) -> set[str]:
        return set(self.ask("topics"))

    def partition_count(self, topic: str) -> int:
        return int(self.ask("partition_count", topic=topic))

    def produce(
        self, topic: str, partition: int, records: Sequence[Record], codec: str = "none", acks: str = "all"
    ) -> None:
        self._produce(topic, partition, records, codec=codec, acks=acks)

    def produce_slowly(self, topic: str, partition: int, records: Sequence[Record], pause_ms: int) -> None:
        """Send all by one producer, with a pause after each."""
        self._produce(topic, partition, records, codec="none", acks="all", pause_ms=pause_ms)

    def _produce(self, topic: str, partition: int, records: Sequence[Record], **how: Any) -> None:
        sent = [as_json(record) for record in records]
        self.ask("produce", topic=topic, partition=partition, records=sent, **how)

    def read(self, topic: str, partition: int, offset: int, count: int) -> list[Stored]:
        return [as_stored(o) for o in self.ask("read", topic=topic, partition=partition, offset=offset, count=count)]

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        low, high = self.ask("bounds", topic=topic, partition=partition)
        return low, high

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        found: int | None = self.ask("offset_at", topic=topic, partition=partition, timestamp_ms=timestamp_ms)
        return found

    def join(self, group: str, topic: str, instance_id: str | None = None, cooperative: bool = False) -> "LineMember":
        number = self.ask(
            "join",
            group=group,
            topic=topic,
            instance_id=instance_id,
            cooperative=cooperative,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        )
        return LineMember(self, number)

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        pairs = self.ask("committed", group=group, topic=topic, partitions=list(partitions))
        return {partition: offset for partition, offset in pairs if partition in partitions}

    def alter_config(self, topic: str, name: str, value: str) -> None:
        self.ask("alter_config", topic=topic, name=name, value=value)

    def config(self, topic: str, name: str) -> str:
        return str(self.ask("config", topic=topic, name=name))

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        self.ask("delete_records", topic=topic, partition=partition, before_offset=before_offset)

    def close(self) -> None:
        with contextlib.suppress(ClientError, BrokenPipeError):
            self.ask("close")
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class LineMember:
    """A group member living in the child process."""

    def __init__(self, driver: LineDriver, number: int) -> None:
        self.driver = driver
        self.number = number
        self._received: list[Stored] = []
        self._closed = False

    def assignment(self) -> frozenset[int]:
        return frozenset(self.driver.ask("assignment", member=self.number))

    def events(self) -> list[tuple[str, frozenset[int]]]:
        return [(event, frozenset(partitions)) for event, partitions in self.driver.ask("events", member=self.number)]

    def received(self) -> list[Stored]:
        if not self._closed:
            new = self.driver.ask("received", member=self.number, skip=len(self._received))
            self._received += [as_stored(fields) for fields in new]
        return list(self._received)

    def commit(self) -> None:
        self.driver.ask("commit", member=self.number)

    def close(self) -> None:
        self.received()
        self._closed = True
        self.driver.ask("leave", member=self.number)


def as_json(record: Record) -> dict[str, Any]:
    """A record as it travels."""
    return {
        "key": to_base64(record.key),
        "value": to_base64(record.value),
        "headers": [[name, to_base64(value)] for name, value in record.headers],
        "timestamp_ms": record.timestamp_ms,
    }


def as_stored(fields: Mapping[str, Any]) -> Stored:
    """The reverse, with its place."""
    headers = tuple((name, from_base64(value)) for name, value in fields["headers"])
    record = Record(from_base64(fields["key"]), from_base64(fields["value"]), headers, fields["timestamp_ms"])
    return Stored(fields["partition"], fields["offset"], record)


def to_base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def from_base64(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
