"""The cluster behind the console: librdkafka's clients, asked in threads, and plain requests for what they lack.

Invariant: nothing here blocks the loop. An admin client lives as long as the console; a consumer as long as one look.
Not its business: what is made of the answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec, TopicMetadata

from tailrace.base.clock import Clock
from tailrace.client.plain_requests import BrokerAddress, NotAnswered, PlainRequests
from tailrace.console.limits import (
    ANSWER_TIMEOUT_S,
    ASKED_AGAIN_MS,
    CALLS_MAX,
    METADATA_KEPT_FACTOR,
    METADATA_KEPT_MAX_MS,
    METADATA_KEPT_MS,
    READS_MAX,
    SLOW_METADATA_S,
)
from tailrace.console.options import ConsoleOptions
from tailrace.console.problems import Problem, bad_request, of_kafka
from tailrace.wire.api import ApiKey

CLIENT_ID: Final = "tailrace-console"
_Result = TypeVar("_Result")

_SILENT: Final = logging.getLogger("tailrace.console.librdkafka")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

_QUICK: Final[dict[str, Any]] = {
    "client.id": CLIENT_ID,
    "allow.auto.create.topics": False,
    "reconnect.backoff.max.ms": 1000,
    "log_level": 0,
}
_READING: Final[dict[str, Any]] = {
    "group.id": CLIENT_ID,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 16 * 1024,
    "fetch.max.bytes": 8 << 20,
    "max.partition.fetch.bytes": 1 << 20,
}

_LOOKING: Final[dict[str, Any]] = {
    **_READING,
    "queued.min.messages": 1,
    "max.partition.fetch.bytes": 64 << 10,
}
"""A look at some records reads on from its beginning, and what comes behind them is parsed for nothing: of ten million
small records that would be several 100,000."""


class KafkaCluster:
    """One cluster. Made inside the console's loop; `close` ends its clients."""

    def __init__(self, options: ConsoleOptions, clock: Clock) -> None:
        self.options = options
        self._clock = clock
        self._admin: AdminClient | None = None
        self._producer: Producer | None = None
        self._calls = ThreadPoolExecutor(CALLS_MAX, "console-call")
        self._reads = ThreadPoolExecutor(READS_MAX, "console-read")
        self._reading = 0
        self._metadata: ClusterMetadata | None = None
        self._metadata_ms = 0.0
        self._metadata_kept_ms = float(METADATA_KEPT_MS)
        self._metadata_asked: asyncio.Task[ClusterMetadata] | None = None
        self._plain: PlainRequests | None = None

    # Threads.

    async def call(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """The result of a function that blocks."""
        return await asyncio.get_running_loop().run_in_executor(self._calls, function, *arguments)

    async def read(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """As `call`, for what holds a consumer. Raises Problem 429 when READS_MAX are under way."""
        if self._reading >= READS_MAX:
            raise Problem(
                429,
                "TOO_MANY",
                f"{READS_MAX} searches, tails and looks at messages are under way.",
                "Close one of them.",
            )
        self._reading += 1
        try:
            running = asyncio.get_running_loop().run_in_executor(self._reads, function, *arguments)
            running.add_done_callback(self._on_read)
        except BaseException:
            self._reading -= 1
            raise
        return await asyncio.shield(running)

    def _on_read(self, running: asyncio.Future[Any]) -> None:
        self._reading -= 1
        if not running.cancelled():
            running.exception()  # who asked may have gone: it is told to nobody then

    async def answers(self, futures: Iterable[Future[_Result]]) -> list[_Result | Exception]:
        """What each of an admin client's futures ends in, in order; failures as values."""
        wrapped = [asyncio.wrap_future(each) for each in futures]
        async with asyncio.timeout(ANSWER_TIMEOUT_S + 2):
            found = await asyncio.gather(*wrapped, return_exceptions=True)
        results: list[_Result | Exception] = []
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, Exception):
                raise each
            results.append(each)
        return results

    async def answer(self, future: Future[_Result], what: str = "") -> _Result:
        """What one future ends in. A refusal is raised as a Problem that begins with `what`."""
        (found,) = await self.answers([future])
        if isinstance(found, KafkaException):
            raise of_kafka(found.args[0], self.options.bootstrap, what) from found
        if isinstance(found, Exception):
            raise found
        return found

    # Clients.

    async def admin(self) -> AdminClient:
        """The admin client."""
        if self._admin is None:
            made = await self.call(self._create, AdminClient, {})
            self._admin = self._admin or made  # another may have been quicker
        return self._admin

    async def producer(self) -> Producer:
        """The producer, which is idempotent; polled by who waits for a record."""
        if self._producer is None:
            properties = {
                "enable.idempotence": True,
                "linger.ms": 0,
                "message.timeout.ms": int(ANSWER_TIMEOUT_S * 1000),
            }
            made = await self.call(self._create, Producer, properties)
            self._producer = self._producer or made
        return self._producer

    def consumer(self, *, is_committed: bool) -> Consumer:
        """A consumer that belongs to the caller's thread, for read_committed or read_uncommitted. Blocks."""
        return self._consumer(_READING, is_committed)

    def looking_consumer(self, *, is_committed: bool) -> Consumer:
        """As `consumer`, for who wants some records and not those behind them: nothing is read ahead."""
        return self._consumer(_LOOKING, is_committed)

    def _consumer(self, properties: dict[str, Any], is_committed: bool) -> Consumer:
        isolation = "read_committed" if is_committed else "read_uncommitted"
        return self._create(Consumer, {**properties, "isolation.level": isolation})

    def _create(self, kind: Callable[..., _Result], properties: dict[str, Any]) -> _Result:
        merged = {**_QUICK, **properties, **self.options.properties, "bootstrap.servers": self.options.bootstrap}
        if kind is Producer:
            merged.pop("allow.auto.create.topics", None)
        try:
            return kind(merged, logger=_SILENT)
        except (KafkaException, TypeError, ValueError) as error:
            raise bad_request(f"librdkafka refuses a client setting: {error}.", "Correct --set.") from error

    # What everybody asks.

    async def metadata(self) -> ClusterMetadata:
        """Brokers and topics, METADATA_KEPT_MAX_MS old at most. Several who ask at once are answered by one request."""
        if self._metadata is not None and self._clock.monotonic_ms() - self._metadata_ms < self._metadata_kept_ms:
            return self._metadata
        if self._metadata_asked is None:
            self._metadata_asked = asyncio.create_task(self._ask_metadata())
        return await asyncio.shield(self._metadata_asked)

    def changed(self) -> None:
        """What was kept is out of date, and so is what is being asked at this moment."""
        self._metadata = self._metadata_asked = None

    async def _ask_metadata(self) -> ClusterMetadata:
        """Ask. The answer is kept unless something has changed meanwhile."""
        this = asyncio.current_task()
        try:
            admin = await self.admin()
            begun_ms = self._clock.monotonic_ms()
            found = await self.call(_list_topics, admin)
            if this is self._metadata_asked:
                self._metadata, self._metadata_ms = found, self._clock.monotonic_ms()
                self._metadata_kept_ms = _kept_ms(self._metadata_ms - begun_ms)
            return found
        finally:
            if this is self._metadata_asked:
                self._metadata_asked = None

    async def topic(self, name: str) -> TopicMetadata:
        """One topic. Raises Problem 404."""
        found = (await self.metadata()).topics.get(name)
        if found is None:
            self.changed()  # it may just have been made
            found = (await self.metadata()).topics.get(name)
        if found is None:
            raise Problem(
                404,
                "UNKNOWN_TOPIC_OR_PARTITION",
                f'There is no topic "{name}".',
                "The list of topics shows those there are.",
            )
        return found

    async def offsets(
        self, places: Iterable[tuple[str, int]], spec: OffsetSpec, *, is_committed: bool = False
    ) -> dict[tuple[str, int], int]:
        """The offset that `spec` means in each partition; partitions that cannot be asked are left out."""
        wanted = {TopicPartition(topic, partition): spec for topic, partition in places}
        if not wanted:
            return {}
        admin = await self.admin()
        level = IsolationLevel.READ_COMMITTED if is_committed else IsolationLevel.READ_UNCOMMITTED
        futures = await self.call(
            lambda: admin.list_offsets(wanted, isolation_level=level, request_timeout=ANSWER_TIMEOUT_S)
        )
        told = await self.answers(futures.values())
        return {
            (place.topic, place.partition): each.offset
            for place, each in zip(futures, told, strict=True)
            if not isinstance(each, Exception)
        }

    # Plain requests.

    async def ask(self, key: ApiKey, request: Any, broker: BrokerAddress | None = None) -> Any:
        """A request that librdkafka lacks. Raises TailraceError; a Problem 501 on clusters with TLS or SASL.

        Asked once more when a connection turns out to be over: brokers close those that were quiet for long.
        """
        if not self.options.is_plain:
            raise Problem(
                501,
                "NOT_SUPPORTED",
                "This is asked without TLS and SASL only, which the cluster's listener has.",
                "Use a plain listener of the cluster where there is one.",
            )
        if self._plain is None:
            self._plain = PlainRequests(_addresses(self.options.bootstrap), ANSWER_TIMEOUT_S, CLIENT_ID)
        begun_ms = self._clock.monotonic_ms()
        try:
            return await self._plain.ask(key, request, broker)
        except NotAnswered:
            if self._clock.monotonic_ms() - begun_ms > ASKED_AGAIN_MS:
                raise
            return await self._plain.ask(key, request, broker)

    async def broker_addresses(self) -> dict[int, BrokerAddress]:
        """Where each broker is."""
        found = await self.metadata()
        return {int(number): (str(each.host), int(each.port)) for number, each in sorted(found.brokers.items())}

    async def close(self) -> None:
        """End the clients; what is under way is not waited for."""
        if self._plain is not None:
            await self._plain.close()
        self._admin = self._producer = None
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._reads.shutdown(wait=False, cancel_futures=True)


def _kept_ms(asking_ms: float) -> float:
    """How long metadata is used again that took so long to ask for."""
    return min(max(METADATA_KEPT_MS, METADATA_KEPT_FACTOR * asking_ms), METADATA_KEPT_MAX_MS)


def _list_topics(admin: AdminClient) -> ClusterMetadata:
    """All topics. Blocks; a cluster that is there and slow gets more time than one that is not there."""
    try:
        return admin.list_topics(timeout=ANSWER_TIMEOUT_S / 2)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._TIMED_OUT:
            raise
        return admin.list_topics(timeout=SLOW_METADATA_S)


def _addresses(bootstrap: str) -> list[BrokerAddress]:
    found = []
    for text in bootstrap.split(","):
        host, _, port = text.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise bad_request(f"{text} is not HOST:PORT.", "Start the console with another --bootstrap.")
        found.append((host.strip("[]"), int(port)))
    return found
