"""One Fetch on its way: what it asks for, what a reading finds, what it waits for, its answer.

Record bytes go from the segment file to the socket; a few are read and sent with the rest of the answer. What a lookup
misses in memory is loaded by other threads while the fetch waits; what a range misses, the connection has loaded before
it sends. As consumers ask it; `follower_fetching` is built on it.
Not its business: when a request is answered (`handlers.fetch`), sessions.
Source: Kafka ReplicaManager.fetchMessages, DelayedFetch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.limits import COLD_WAIT_MAX_MS, FETCH_FILES_MAX, INLINE_MAX_BYTES, INLINE_TOTAL_MAX_BYTES
from tailrace.base.page_cache import NotResident
from tailrace.base.pending import Pending
from tailrace.base.types import TopicId, TopicPartition
from tailrace.broker.context import RequestContext
from tailrace.broker.fetch_sessions import FINAL_EPOCH, INITIAL_EPOCH, FetchSession, SessionPartition
from tailrace.broker.leader_hints import LeaderHints
from tailrace.broker.services import Services
from tailrace.net.handler import FileRange
from tailrace.net.timers import Timer
from tailrace.records.legacy import down_convert
from tailrace.replication.follower_reads import diverging_epoch
from tailrace.replication.partition import FetchSlice, IsolationLevel, Partition
from tailrace.replication.read_replica import THE_LEADER, closest_replica
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
)

FIRST_VERSION_WITH_IDS = 13
FIRST_VERSION_WITH_LEADERS = 16
_MOVED = frozenset({ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH})
_UNKNOWN = frozenset({ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID})


class Fetch:
    """One request on its way: what is asked for, and the latest reading of it."""

    __slots__ = (
        "_answers",
        "_broken",
        "_bytes",
        "_context",
        "_failed",
        "_file_count",
        "_incremental",
        "_inlined_bytes",
        "_is_over",
        "_isolation",
        "_loading",
        "_max_bytes",
        "_min_bytes",
        "_missing",
        "_partitions",
        "_pending",
        "_rack",
        "_scheduled",
        "_scope",
        "_services",
        "_session",
        "_session_epoch",
        "_timer",
        "_version",
    )

    SESSION: type[FetchSession] = FetchSession
    FROM_FOLLOWERS: int = 11
    """The first version that may read from a follower (KIP-392)."""
    IS_REPLICATION = False
    """Whether what it brings is counted as bytes to followers."""

    def __init__(self, services: Services, context: RequestContext, request: FetchRequest, max_bytes: int) -> None:
        self._services = services
        self._context = context
        self._version = context.api_version
        self._isolation = request.isolation_level
        self._min_bytes = request.min_bytes
        self._max_bytes = min(request.max_bytes, max_bytes)
        self._rack = request.rack_id if services.knows_racks else ""
        self._session: FetchSession | None = None
        self._incremental = request.session_epoch not in (INITIAL_EPOCH, FINAL_EPOCH)
        self._partitions = self._of_session(request) if self._incremental else self._of_full_fetch(request)
        self._session_epoch = -1 if self._session is None else self._session.epoch
        self._answers: list[tuple[SessionPartition, PartitionData]] = []
        self._bytes = 0
        self._failed = False
        self._pending: Pending[FetchResponse] | None = None
        self._timer: Timer | None = None
        self._scheduled = False
        self._scope = services.cold_reads.scope()
        self._missing: list[tuple[SessionPartition, NotResident]] = []
        self._loading = 0
        self._broken: dict[int, StorageError] = {}
        """By id() of the partition's entry: what could not be loaded."""
        self._inlined_bytes = self._file_count = 0
        self._is_over = False
        """Whether `max_wait_ms` has passed: what still waits, waits for the disk."""

    # -- what is asked for -----------------------------------------------------------------------------------------

    def _of_full_fetch(self, request: FetchRequest) -> list[SessionPartition]:
        sessions = self._services.fetch_sessions
        if request.session_id != 0:
            sessions.close(request.session_id)
        partitions: dict[tuple[TopicId | str, int], SessionPartition] = {}
        for topic in request.topics:
            for asked in topic.partitions:
                entry = self._entry(topic.topic, topic.topic_id, asked.partition)
                self._note_asked(entry, asked)
                partitions[self._key(topic.topic, topic.topic_id, asked.partition)] = entry
        if self._version >= 7 and request.session_epoch != FINAL_EPOCH and partitions:
            self._session = sessions.open(self._version >= FIRST_VERSION_WITH_IDS, self.SESSION)
            if self._session is not None:
                self._session.partitions = partitions
        return list(partitions.values())

    def _of_session(self, request: FetchRequest) -> list[SessionPartition]:
        sessions = self._services.fetch_sessions
        session = sessions.use(request.session_id, request.session_epoch, self._version >= FIRST_VERSION_WITH_IDS)
        for topic in request.topics:
            for asked in topic.partitions:
                key = self._key(topic.topic, topic.topic_id, asked.partition)
                known = session.partitions.get(key)
                if known is None:
                    known = session.partitions[key] = self._entry(topic.topic, topic.topic_id, asked.partition)
                self._note_asked(known, asked)
        for forgotten in request.forgotten_topics_data:
            for index in forgotten.partitions:
                session.forget(self._key(forgotten.topic, forgotten.topic_id, index))
        if not session.partitions:
            sessions.close(session.session_id)
            return []
        self._session = session
        return self._to_read(session)

    def _to_read(self, session: FetchSession) -> list[SessionPartition]:
        return list(session.partitions.values())

    def _key(self, topic: str, topic_id: TopicId, partition: int) -> tuple[TopicId | str, int]:
        return (topic_id if self._version >= FIRST_VERSION_WITH_IDS else topic, partition)

    def _entry(self, topic: str, topic_id: TopicId, index: int) -> SessionPartition:
        return SessionPartition(topic if self._version < FIRST_VERSION_WITH_IDS else None, topic_id, index)

    def _note_asked(self, entry: SessionPartition, asked: FetchPartition) -> None:
        entry.fetch_offset = asked.fetch_offset
        entry.max_bytes = asked.partition_max_bytes
        entry.current_leader_epoch = asked.current_leader_epoch
        entry.last_fetched_epoch = asked.last_fetched_epoch

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the latest reading is worth an answer."""
        return not self._missing and (self._failed or self._bytes >= self._min_bytes or not self._partitions)

    @property
    def is_missing_pieces(self) -> bool:
        """Whether the latest reading would have had to wait for the disk."""
        return bool(self._missing)

    def read(self) -> None:
        """Read every partition, within the answer's limit."""
        self._answers = []
        self._missing = []
        self._bytes = self._inlined_bytes = self._file_count = 0
        self._failed = False
        with self._scope:
            for entry in self._partitions:
                try:
                    data = self._read_one(entry)
                except KafkaError as error:
                    data = _failure(entry, error.code)
                    self._failed = True
                except StorageError as error:
                    self._services.on_storage_error(error)
                    data = _failure(entry, ErrorCode.KAFKA_STORAGE_ERROR)
                    self._failed = True
                except NotResident as missing:  # of a log that has to be opened first
                    self._missing.append((entry, missing))
                    data = _failure(entry, ErrorCode.KAFKA_STORAGE_ERROR)
                if data is not None:
                    self._answers.append((entry, data))

    def _partition_of(self, entry: SessionPartition) -> Partition:
        name = entry.topic
        if name is None:
            name = self._services.partitions.name_of(entry.topic_id)
            if name is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        return self._services.partitions.of(name, entry.partition, or_followed=self._version >= self.FROM_FOLLOWERS)

    def _read_one(self, entry: SessionPartition) -> PartitionData | None:
        if self._broken and id(entry) in self._broken:
            raise self._broken[id(entry)]
        partition = self._partition_of(entry)
        if self._pending is not None:
            self._wait_at(partition)
        partition.check_leader_epoch(entry.current_leader_epoch)
        if self._version < 10 and partition.log.config.compression_type == "zstd":
            raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
        data = PartitionData(
            entry.partition, 0, partition.high_watermark, partition.last_stable_offset, partition.log_start_offset
        )
        data.records = b""
        if self._rack and self._is_elsewhere(partition, entry, data):
            return data
        try:
            if entry.last_fetched_epoch >= 0 and self._diverged(partition, entry, data):
                return data
            self._read_records(partition, entry, data)
        except NotResident as missing:
            self._missing.append((entry, missing))
        return data

    def _is_elsewhere(self, partition: Partition, entry: SessionPartition, data: PartitionData) -> bool:
        """Name the replica in the consumer's rack, if there is one; then it gets nothing here."""
        if not partition.is_leader:
            return False
        brokers = self._services.metadata.image.brokers

        def rack_of(broker_id: int) -> str | None:
            return brokers[broker_id].rack if broker_id in brokers else None

        data.preferred_read_replica = closest_replica(
            partition, entry.fetch_offset, self._rack, self._services.node_id, rack_of
        )
        if data.preferred_read_replica == THE_LEADER:
            return False
        self._failed = True
        return True

    def _read_records(self, partition: Partition, entry: SessionPartition, data: PartitionData) -> None:
        limit = min(entry.max_bytes, max(self._max_bytes - self._bytes, 0))
        first = self._bytes == 0 and self._version >= 3
        found = self._find(partition, entry, limit, min_one_batch=first)
        if self._isolation == IsolationLevel.READ_COMMITTED:
            data.aborted_transactions = self._aborted(partition, entry.fetch_offset)
        if found.file is None:
            return
        entry.traffic = partition.traffic
        if self._version < 4:
            magic = 0 if self._version < 2 else 1
            data.records = down_convert(memoryview(partition.log.read_bytes(found)), magic)
        elif found.size <= INLINE_MAX_BYTES and self._inlined_bytes < INLINE_TOTAL_MAX_BYTES:
            data.records = partition.log.read_bytes(found)
            self._inlined_bytes += found.size
        elif self._file_count == FETCH_FILES_MAX:
            return  # as beyond `max_bytes`: the client asks again
        else:
            self._file_count += 1
            data.records = FileRange(found.file, found.position, found.size)  # type: ignore[assignment]
        self._bytes += found.size

    def _find(
        self, partition: Partition, entry: SessionPartition, limit_bytes: int, *, min_one_batch: bool
    ) -> FetchSlice:
        return partition.read(entry.fetch_offset, limit_bytes, self._isolation, min_one_batch)

    def _diverged(self, partition: Partition, entry: SessionPartition, data: PartitionData) -> bool:
        """Tell a reader whose last epoch ended before its offset where the histories part. Source: KIP-595."""
        diverging = diverging_epoch(partition, entry.last_fetched_epoch, entry.fetch_offset)
        if diverging is None:
            return False
        data.diverging_epoch = EpochEndOffset(*diverging)
        self._failed = True
        return True

    def _aborted(self, partition: Partition, offset: int) -> list[AbortedTransaction]:
        found = partition.log.aborted_transactions(offset, partition.last_stable_offset)
        return [AbortedTransaction(entry.producer_id, entry.first_offset) for entry in found]

    # -- waiting ---------------------------------------------------------------------------------------------------

    def wait(self, max_wait_ms: int) -> Pending[FetchResponse]:
        """Answer when a reading is complete or the time is over."""
        self._pending = Pending()
        self._is_over = max_wait_ms <= 0
        self._timer = self._services.timers.schedule(COLD_WAIT_MAX_MS if self._is_over else max_wait_ms, self._on_time)
        self._begin_watching()
        self._load_missing()
        return self._pending

    def _begin_watching(self) -> None:
        for partition in self._open_partitions():
            self._wait_at(partition)

    def _end_watching(self) -> None:
        for partition in self._open_partitions():
            partition.remove_waiter(self._on_progress)

    def _open_partitions(self) -> Iterator[Partition]:
        """Those that are there: others went away meanwhile, or are still to be opened."""
        partitions = self._services.partitions
        for entry in self._partitions:
            name = entry.topic if entry.topic is not None else partitions.name_of(entry.topic_id)
            if name is not None:
                found = partitions.get_present(name, entry.partition)
                found = found or partitions.get_followed(TopicPartition(name, entry.partition))
                if found is not None:
                    yield found

    def _wait_at(self, partition: Partition) -> None:
        partition.add_waiter(self._on_progress)

    def _on_progress(self, _: Partition | None = None) -> None:
        """Data came: look again, once, when the loop's turn is done with what else came."""
        if not self._scheduled:
            self._scheduled = True
            self._services.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._scheduled = False
        if self._pending is None or self._pending.done or self._loading:
            return
        self.read()
        if self._missing:
            self._load_missing()
        elif self._is_over or self.complete:
            self._finish()

    def _load_missing(self) -> None:
        """Have other threads load what the latest reading missed, and look again when all of it is there."""
        self._loading = len(self._missing)
        for entry, missing in self._missing:
            self._services.cold_reads.load(missing, partial(self._on_loaded, entry, missing))

    def _on_loaded(self, entry: SessionPartition, missing: NotResident, error: OSError | None) -> None:
        if error is not None:
            self._broken[id(entry)] = StorageError("read", str(missing.path), error)
        self._loading -= 1
        if not self._loading:
            self._look_again()

    def _on_time(self) -> None:
        assert self._timer is not None
        if self._loading and not self._is_over:
            self._is_over = True
            self._timer.reset(COLD_WAIT_MAX_MS)
            return
        self.read()
        self._finish()

    def _finish(self) -> None:
        assert self._pending is not None and self._timer is not None
        self._timer.cancel()
        self._end_watching()
        self._pending.complete(self.response())

    # -- answering -------------------------------------------------------------------------------------------------

    def response(self) -> FetchResponse:
        """The answer that the latest reading gives."""
        session = self._session
        if session is not None and session.epoch != self._session_epoch:
            return FetchResponse(error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        topics: dict[TopicId | str, FetchableTopicResponse] = {}
        returned = []
        for entry, data in self._answers:
            has_records = bool(data.records) or data.diverging_epoch.epoch >= 0 or data.preferred_read_replica >= 0
            told = entry.told(data.error_code, data.high_watermark, data.log_start_offset, has_records)
            if self._incremental and not told:
                continue
            key = entry.topic_id if entry.topic is None else entry.topic
            topic = topics.get(key)
            if topic is None:
                topic = topics[key] = FetchableTopicResponse(entry.topic or "", entry.topic_id)
            topic.partitions.append(data)
            if has_records:
                returned.append((key, entry.partition))
                records: object = data.records
                if isinstance(records, FileRange):
                    self._services.cold_reads.follow(records.file, records.position, records.size)
                    size = records.size
                else:
                    size = len(data.records or b"")
                if not size:
                    pass
                elif self.IS_REPLICATION:
                    entry.traffic.replication_bytes_out += size
                else:
                    entry.traffic.bytes_out += size
        response = FetchResponse(responses=list(topics.values()))
        if self._failed:
            self._count_failures()
        if self._failed and self._version >= FIRST_VERSION_WITH_LEADERS:
            self._add_leaders(response)
        if session is not None:
            session.move_to_end(returned)
            response.session_id = session.session_id
        return response

    def _count_failures(self) -> None:
        services = self._services
        for entry, data in self._answers:
            if data.error_code:
                services.requests.note_error(ApiKey.FETCH, data.error_code)
                name = entry.topic if entry.topic is not None else services.partitions.name_of(entry.topic_id)
                if name is not None and name in services.metadata.image.topics:
                    services.partitions.traffic.of(name).failed_fetches += 1

    def _add_leaders(self, response: FetchResponse) -> None:
        """Say who leads the partitions that this broker does not."""
        hints = LeaderHints(self._services, self._context)
        for topic in response.responses:
            name = self._services.partitions.name_of(topic.topic_id)
            for data in topic.partitions:
                if data.error_code in _MOVED and name is not None:
                    leader = hints.of(name, data.partition_index)
                    if leader is not None:
                        data.current_leader = LeaderIdAndEpoch(*leader)
        response.node_endpoints = [NodeEndpoint(*address[:4]) for address in hints.addresses()]


def _failure(entry: SessionPartition, code: ErrorCode) -> PartitionData:
    """Kafka leaves the aborted transactions empty for a partition it does not know, and null for one that refuses."""
    aborted: list[AbortedTransaction] | None = [] if code in _UNKNOWN else None
    data = PartitionData(entry.partition, code, -1, aborted_transactions=aborted)
    data.records = b""
    return data
