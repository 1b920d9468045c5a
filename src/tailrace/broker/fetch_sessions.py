"""Incremental fetch sessions (KIP-227): a client names its partitions once and then only what changed.

    request (session id, epoch)   meaning
    (0, 0) or (id, 0)             full fetch, a session is wanted; an old one with this id ends
    (any, -1)                     full fetch, no session; one with this id ends
    (id, n >= 1)                  incremental: the listed partitions change, the forgotten ones leave

A session keeps its partitions in order; one that returned data goes to the end, so that none starves. The cache is
bounded by `max.incremental.fetch.session.cache.slots`; a full cache gives its place only from a session unused for
two minutes, and otherwise grants none, which the protocol allows. Source: Kafka `FetchManager`, `FetchSession`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.limits import FETCH_SESSION_EVICTION_MS
from tailrace.base.rand import Random
from tailrace.base.types import TopicId
from tailrace.replication.traffic import TopicTraffic

INITIAL_EPOCH = 0
FINAL_EPOCH = -1
EPOCH_MAX = 2**31 - 1

Key = tuple[TopicId | str, int]


class SessionPartition:
    """One partition of a fetch, and what its client was last told about it."""

    __slots__ = (
        "current_leader_epoch",
        "fetch_offset",
        "high_watermark",
        "last_fetched_epoch",
        "log_start_offset",
        "max_bytes",
        "partition",
        "topic",
        "topic_id",
        "traffic",
    )

    traffic: TopicTraffic
    """Where its bytes are counted; set when records of it are found."""

    def __init__(self, topic: str | None, topic_id: TopicId, partition: int) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.partition = partition
        self.fetch_offset = 0
        self.max_bytes = 0
        self.current_leader_epoch = -1
        self.last_fetched_epoch = -1
        self.high_watermark = -1
        self.log_start_offset = -1

    def told(self, error_code: int, high_watermark: int, log_start_offset: int, has_records: bool) -> bool:
        """Note what an answer would say; returns whether an incremental answer must say it.

        After an error the known high watermark is forgotten, so that the next answer says it again.
        """
        changed = has_records or error_code != 0
        if self.high_watermark != high_watermark or self.log_start_offset != log_start_offset:
            changed = True
        self.high_watermark = -1 if error_code else high_watermark
        self.log_start_offset = log_start_offset
        return changed


class FetchSession:
    """What one client fetches. `epoch` is the one its next request must carry."""

    __slots__ = ("epoch", "last_used_ms", "partitions", "session_id", "uses_topic_ids")

    def __init__(self, session_id: int, uses_topic_ids: bool, now_ms: float) -> None:
        self.session_id = session_id
        self.uses_topic_ids = uses_topic_ids
        self.epoch = 1
        self.last_used_ms = now_ms
        self.partitions: dict[Key, SessionPartition] = {}

    def forget(self, key: Key) -> None:
        """The client fetches a partition no more; harmless when it did not."""
        self.partitions.pop(key, None)

    def end(self) -> None:
        """The session is over: let go of what it holds."""

    def move_to_end(self, keys: Iterable[Key]) -> None:
        """Let the others go first next time."""
        for key in keys:
            found = self.partitions.pop(key, None)
            if found is not None:
                self.partitions[key] = found


class FetchSessions:
    """All sessions of this broker, bounded."""

    __slots__ = ("_clock", "_random", "_sessions", "slots")

    def __init__(self, slots: int, clock: Clock, random: Random) -> None:
        self.slots = slots
        self._clock = clock
        self._random = random
        self._sessions: dict[int, FetchSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, uses_topic_ids: bool, kind: type[FetchSession] = FetchSession) -> FetchSession | None:
        """A new session, or None when there is no room."""
        now_ms = self._clock.monotonic_ms()
        if len(self._sessions) >= self.slots and not self._evict(now_ms):
            return None
        while True:
            session_id = self._random.integer(1, EPOCH_MAX)
            if session_id not in self._sessions:
                break
        session = kind(session_id, uses_topic_ids, now_ms)
        self._sessions[session_id] = session
        return session

    def close(self, session_id: int) -> None:
        """End a session; harmless when there is none."""
        closed = self._sessions.pop(session_id, None)
        if closed is not None:
            closed.end()

    def use(self, session_id: int, epoch: int, uses_topic_ids: bool) -> FetchSession:
        """The session of an incremental request, its epoch moved on.

        Raises FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, or FETCH_SESSION_TOPIC_ID_ERROR when the
        client changed between topic names and ids.
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if session.epoch != epoch:
            raise KafkaError(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if session.uses_topic_ids != uses_topic_ids:
            raise KafkaError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        session.epoch = 1 if epoch == EPOCH_MAX else epoch + 1
        session.last_used_ms = self._clock.monotonic_ms()
        del self._sessions[session_id]
        self._sessions[session_id] = session
        return session

    def _evict(self, now_ms: float) -> bool:
        """Drop the session unused longest, if that is long enough. The map is in order of use."""
        oldest = next(iter(self._sessions.values()), None)
        if oldest is None or now_ms - oldest.last_used_ms < FETCH_SESSION_EVICTION_MS:
            return False
        self.close(oldest.session_id)
        return True
