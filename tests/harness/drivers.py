"""What the story asks of a client, in the story's own words; each client library has a driver that translates.

A driver hides how a library is called, never what it does: errors come through as the library raised them.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ALL_ACKS = ("0", "1", "all")
JOIN_TIMEOUT_S = 90.0
# Kafka's smallest allowed session time-out (group.min.session.timeout.ms), so that a member lost is soon missed.
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 300


@dataclass(frozen=True)
class Record:
    """One record as an application sees it. `timestamp_ms` is epoch milliseconds."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = 0


@dataclass(frozen=True)
class Stored:
    """A record and where the broker put it."""

    partition: int
    offset: int
    record: Record


class Member(Protocol):
    """A member of a consumer group that polls in the background from birth until it is closed."""

    def assignment(self) -> frozenset[int]:
        """The partitions it owns now."""

    def events(self) -> list[tuple[str, frozenset[int]]]:
        """`("assigned" | "revoked", partitions)` in the order the library announced them."""

    def received(self) -> list[Stored]:
        """Everything polled so far."""

    def commit(self) -> None:
        """Commit what was polled, and wait for the answer."""

    def close(self) -> None:
        """Stop polling and leave the group (a static member stays in it)."""


class Driver(Protocol):
    """A client library under test. Every call blocks until the broker has answered."""

    name: str

    def __init__(self, bootstrap: str) -> None: ...

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None: ...

    def partition_count(self, topic: str) -> int: ...

    def produce(
        self, topic: str, partition: int, records: Sequence[Record], codec: str = "none", acks: str = "all"
    ) -> None: ...

    def read(self, topic: str, partition: int, offset: int, count: int) -> list[Stored]:
        """`count` records from `offset` on, by assignment and seek, in no group."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Earliest offset and the one after the last record."""

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        """The first offset whose record is at `timestamp_ms` or later; None when there is none."""

    def join(self, group: str, topic: str, instance_id: str | None = None, cooperative: bool = False) -> Member: ...

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]: ...

    def alter_config(self, topic: str, name: str, value: str) -> None: ...

    def config(self, topic: str, name: str) -> str: ...

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None: ...

    def delete_topic(self, topic: str) -> None: ...

    def topics(self) -> set[str]: ...

    def close(self) -> None: ...


class Consumer(Protocol):
    """What a polled member needs of a library's consumer; called from one thread only."""

    def poll(self) -> list[Stored]: ...

    def assignment(self) -> frozenset[int]: ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


class PolledMember:
    """A member whose library wants one thread for everything: polls there, and runs commands between two polls."""

    def __init__(self, create: Callable[["PolledMember"], Consumer]) -> None:
        self._create = create
        self._commands: queue.SimpleQueue[tuple[Callable[[Consumer], Any], Future[Any]]] = queue.SimpleQueue()
        self._received: list[Stored] = []
        self._events: list[tuple[str, frozenset[int]]] = []
        self._closing = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def announce(self, event: str, partitions: frozenset[int]) -> None:
        """Called by the library's rebalance listener."""
        self._events.append((event, partitions))

    def assignment(self) -> frozenset[int]:
        return self._ask(lambda consumer: consumer.assignment())

    def events(self) -> list[tuple[str, frozenset[int]]]:
        return list(self._events)

    def received(self) -> list[Stored]:
        self._check()
        return list(self._received)

    def commit(self) -> None:
        self._ask(lambda consumer: consumer.commit())

    def close(self) -> None:
        self._closing.set()
        self._thread.join(JOIN_TIMEOUT_S)
        self._check()
        assert not self._thread.is_alive(), "the member does not stop"

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _ask(self, command: Callable[[Consumer], T]) -> T:
        self._check()
        answer: Future[T] = Future()
        self._commands.put((command, answer))
        return answer.result(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            consumer = self._create(self)
            try:
                while not self._closing.is_set():
                    self._received += consumer.poll()
                    self._run_commands(consumer)
            finally:
                consumer.close()
        except Exception as failure:  # told to the test at its next question
            self._failure = failure

    def _run_commands(self, consumer: Consumer) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                command, answer = self._commands.get_nowait()
                try:
                    answer.set_result(command(consumer))
                except Exception as failure:
                    answer.set_exception(failure)


def eventually(condition: Callable[[], bool], what: str, timeout_s: float = JOIN_TIMEOUT_S) -> None:
    """Wait until `condition` holds; AssertionError naming `what` when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout_s} s: {what}"
        time.sleep(0.05)
