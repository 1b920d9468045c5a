"""Fetch as followers ask it (replica id >= 0): to the log's end, committed or not, and what is asked tells the leader
what the follower has.

Answered at once when there are records or a partition has an error; a high watermark that has moved waits
`FOLLOWER_HIGH_WATERMARK_DELAY_MS` for records to travel with. A look reads the partitions that are worth it
(`follower_sessions`), whatever else the session has.
Not its business: who is in sync, how far is committed (`replication`). Source: Kafka ReplicaManager.fetchMessages,
DelayedFetch, Partition.fetchRecords; KIP-392 for telling of the high watermark without records, KIP-1166 for v18.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.limits import FOLLOWER_HIGH_WATERMARK_DELAY_MS
from tailrace.base.page_cache import NotResident
from tailrace.base.types import TopicId
from tailrace.broker.context import RequestContext
from tailrace.broker.fetch_sessions import FetchSession, SessionPartition
from tailrace.broker.fetching import FIRST_VERSION_WITH_IDS, Fetch
from tailrace.broker.follower_sessions import FollowerPartition, FollowerSession
from tailrace.broker.services import Services
from tailrace.net.timers import Timer
from tailrace.replication.follower_reads import Follower, check_follower, read_for_follower
from tailrace.replication.partition import FetchSlice, Partition
from tailrace.replication.throttle import Throttle
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, PartitionData

UNBOUNDED_BYTES: Final = 2**31 - 1
NEVER: Final = 2**15 - 1
"""A version that there will not be."""


class FollowerFetch(Fetch):
    """One request of a follower on its way."""

    __slots__ = ("_asked", "_counted", "_follower", "_has_news", "_is_news_due", "_news_timer", "_served", "_watching")

    SESSION = FollowerSession
    FROM_FOLLOWERS = NEVER
    IS_REPLICATION = True

    _has_news: bool
    """Whether the latest reading found no records but a high watermark, or a log's start, that the follower does not
    know."""

    def __init__(self, services: Services, context: RequestContext, request: FetchRequest, follower: Follower) -> None:
        self._follower = follower
        self._counted: list[tuple[Throttle, int]] = []
        """Bytes of the latest reading that replicas on the move are throttled by."""
        self._asked: list[FollowerPartition] = []
        self._served: list[FollowerPartition] = []
        self._has_news = self._is_news_due = False
        self._news_timer: Timer | None = None
        super().__init__(services, context, request, UNBOUNDED_BYTES)
        session = self._session
        if session is None:  # the cache has no room for one: one for this request alone
            session = FollowerSession(0, self._version >= FIRST_VERSION_WITH_IDS, 0)
        elif not isinstance(session, FollowerSession):
            raise KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        assert isinstance(session, FollowerSession)
        self._watching = session
        for entry in self._asked:
            if entry.session is None:
                if self._session is None:
                    session.partitions[self._key(entry.topic or "", entry.topic_id, entry.partition)] = entry
                session.join(entry)
        session.asked_by(follower)
        session.heat(self._asked)
        session.sweep()

    # -- what is asked for -----------------------------------------------------------------------------------------

    def _to_read(self, session: FetchSession) -> list[SessionPartition]:
        return []  # `read` asks the session

    def _entry(self, topic: str, topic_id: TopicId, index: int) -> SessionPartition:
        return FollowerPartition(topic if self._version < FIRST_VERSION_WITH_IDS else None, topic_id, index)

    def _note_asked(self, entry: SessionPartition, asked: FetchPartition) -> None:
        super()._note_asked(entry, asked)
        if isinstance(entry, FollowerPartition):
            entry.follower_high_watermark = asked.high_watermark
            # It may not have taken what it was told, for it was not yet following, or had not the records.
            entry.high_watermark = min(entry.high_watermark, asked.high_watermark)
            entry.follower_log_start_offset = asked.log_start_offset
            entry.is_at_end = entry.is_noted = False
            self._asked.append(entry)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        if self._missing:
            return False
        if self._failed or self._bytes >= self._min_bytes or not self._watching.partitions:
            return True
        return self._has_news and self._is_news_due

    def read(self) -> None:
        """Read what is worth it."""
        session = self._watching
        if not self._incremental:  # its answer names everything
            session.heat(session.entries())
        self._has_news = False
        self._served = []
        if self._counted:
            self._counted = []
        self._partitions = session.take_hot()
        super().read()
        if self._failed or self._missing:
            for entry, data in self._answers:
                if data.error_code and isinstance(entry, FollowerPartition):
                    session.heat((entry,))
        session.heat(self._served)  # the last: others go first where not everything fits
        if self._has_news and self._pending is not None:
            self._on_news()

    def _read_one(self, entry: SessionPartition) -> PartitionData | None:
        assert isinstance(entry, FollowerPartition)
        if self._broken and id(entry) in self._broken:
            raise self._broken[id(entry)]
        partition = self._partition_of(entry)
        partition.check_leader_epoch(entry.current_leader_epoch)
        role = partition.followers
        is_noted = entry.is_noted and role is not None and entry.watched is role
        if not is_noted:
            check_follower(partition, self._follower)
            assert role is not None
            entry.is_noted = False
            entry.watch(role, is_asked=self._pending is None)
            if entry.last_fetched_epoch >= 0:
                data = self._data_of(partition, entry)
                if self._diverged(partition, entry, data):
                    self._watching.heat((entry,))
                    return data
        if entry.fetch_offset != partition.log_end_offset:
            return self._read_more(partition, entry)
        if not is_noted:
            at = entry.fetch_offset, entry.follower_log_start_offset
            entry.is_noted = True
            partition.on_follower_fetch(self._follower, *at)
        is_told = self._sort(partition, entry, has_records=False)
        return self._data_of(partition, entry) if is_told or not self._incremental else None

    def _read_more(self, partition: Partition, entry: FollowerPartition) -> PartitionData:
        """The follower has not everything."""
        data = self._data_of(partition, entry)
        try:
            self._read_records(partition, entry, data)
        except NotResident as missing:
            self._missing.append((entry, missing))
            self._watching.heat((entry,))
        except KafkaError as error:
            if error.code is not ErrorCode.OFFSET_OUT_OF_RANGE:
                raise
            data.error_code = error.code  # where the log starts is what the follower needs to know next
            self._failed = True
        else:
            entry.is_noted = True
            self._sort(partition, entry, has_records=bool(data.records))
            data.high_watermark = partition.high_watermark  # what the fetch itself has moved
        return data

    def _data_of(self, partition: Partition, entry: SessionPartition) -> PartitionData:
        data = PartitionData(
            entry.partition, 0, partition.high_watermark, partition.last_stable_offset, partition.log_start_offset
        )
        data.records = b""
        return data

    def _find(
        self, partition: Partition, entry: SessionPartition, limit_bytes: int, *, min_one_batch: bool
    ) -> FetchSlice:
        assert isinstance(entry, FollowerPartition)
        throttle = None if partition.followers is None else partition.followers.throttle
        if entry.is_noted and throttle is None:
            return partition.read_as_replica(entry.fetch_offset, limit_bytes, min_one_batch)
        at = entry.fetch_offset, entry.follower_log_start_offset
        found = read_for_follower(partition, self._follower, at, limit_bytes, min_one_batch=min_one_batch)
        if throttle is not None:
            self._counted.append((throttle, found.size))
        return found

    def _sort(self, partition: Partition, entry: FollowerPartition, *, has_records: bool) -> bool:
        """When is it to be read again, and is there anything to tell?"""
        high_watermark = partition.high_watermark
        entry.is_at_end = entry.fetch_offset >= partition.log_end_offset
        if has_records:
            self._served.append(entry)
            return True
        if not entry.is_at_end:
            self._watching.heat((entry,))  # there was no room
        elif (
            entry.follower_high_watermark < high_watermark != entry.high_watermark
            or entry.log_start_offset != partition.log_start_offset
        ):
            self._has_news = True
            self._watching.heat((entry,))
            return True
        elif high_watermark < partition.log_end_offset or not partition.followers or not partition.followers.is_settled:
            self._watching.unsettled[entry] = None
        return False

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _begin_watching(self) -> None:
        self._watching.on_append = self._on_progress
        self._watching.on_commit = self._on_news
        if self._has_news:
            self._on_news()

    def _end_watching(self) -> None:
        session = self._watching
        if session.on_append == self._on_progress:
            session.on_append = session.on_commit = None
        if self._news_timer is not None:
            self._news_timer.cancel()

    def _on_news(self) -> None:
        if self._news_timer is None:
            self._news_timer = self._services.timers.schedule(FOLLOWER_HIGH_WATERMARK_DELAY_MS, self._on_news_due)

    def _on_news_due(self) -> None:
        self._news_timer = None
        self._is_news_due = True
        self._look_again()

    # -- answering -------------------------------------------------------------------------------------------------

    def response(self) -> FetchResponse:
        """The answer that the latest reading gives."""
        for throttle, size in self._counted:
            throttle.note(size)
        if self._session is None:
            self._watching.end()
        return super().response()
