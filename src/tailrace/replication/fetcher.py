"""Pulls the partitions that this broker follows from one leader: one Fetch at a time, all of them in it.

    positions of what changed ──> Fetch, one step of a session (KIP-227) ──> answers ──> FollowerRole.take

A round costs what changed, not what is followed: partitions that wait for news are in the leader's session, and not
named again. A partition whose answer is an error leaves the session for a while and comes back; the others go on.
Invariants: one request in flight; `_Followed.sent` is the position that the leader's session has, None without one.
Not its business: the connection, roles, who leads. One owner, one thread; the outside is `FetcherPorts`.
Source: Kafka ReplicaFetcherThread, AbstractFetcherThread, FetchSessionHandler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from tailrace.base.errors import ErrorCode, StorageError
from tailrace.replication.follower_role import FollowerRole, LeaderAnswer, Next, Position
from tailrace.wire.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
    ReplicaState,
)

_log = logging.getLogger("tailrace.replication")

FULL_EPOCH: Final = 0
EPOCH_MAX: Final = 2**31 - 1
FIRST_BACKOFF_MS: Final = 50
"""Rest after a first failure; each further one doubles it. A new leader may hear of its office after its followers."""

Key = tuple[UUID, int]


class Cancellable(Protocol):
    """A callback that is due later."""

    def cancel(self) -> None:
        """Have it not run; harmless when it did."""
        ...


@dataclass(frozen=True, slots=True)
class FetcherPorts:
    """The outside of a fetcher."""

    send: Callable[[FetchRequest, Callable[[FetchResponse | None], object]], object]
    """Ask the leader; then the response, or None where there is none. Never before it returns."""
    schedule: Callable[[float, Callable[[], object]], Cancellable]
    """Call back after ms."""
    on_storage_error: Callable[[FollowerRole, StorageError], object]
    """A log could not take what came. Whoever hears it takes the partition away, or leaves it to be tried again."""


@dataclass(frozen=True, slots=True)
class FetcherOptions:
    """`replica.fetch.*`, and who asks. `backoff_ms` is the longest; the first of a row is FIRST_BACKOFF_MS."""

    broker_id: int
    broker_epoch: Callable[[], int]
    wait_max_ms: int = 500
    min_bytes: int = 1
    partition_max_bytes: int = 1 << 20
    response_max_bytes: int = 10 << 20
    backoff_ms: int = 1000


class _Followed:
    """One partition and what the leader's session knows of it."""

    __slots__ = ("failures", "key", "resting", "role", "sent")

    def __init__(self, key: Key, role: FollowerRole) -> None:
        self.key = key
        self.role = role
        self.sent: Position | None = None
        self.resting: Cancellable | None = None
        """Until when it is not asked for."""
        self.failures = 0
        """In a row."""


class Fetcher:
    """What is pulled from one leader."""

    def __init__(self, ports: FetcherPorts, options: FetcherOptions) -> None:
        self._ports = ports
        self._options = options
        self._followed: dict[Key, _Followed] = {}
        self._changed: dict[Key, None] = {}
        """Whose position may differ from the one sent."""
        self._forgotten: dict[Key, None] = {}
        """What the leader's session has and should not."""
        self._session_id = 0
        self._session_epoch = FULL_EPOCH
        self._session_size = 0
        self._is_asking = False
        self._pause: Cancellable | None = None
        self._failures = 0
        """Of whole requests, in a row."""
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._followed)

    @property
    def roles(self) -> list[FollowerRole]:
        """Everything that is followed."""
        return [followed.role for followed in self._followed.values()]

    # -- what is followed ------------------------------------------------------------------------------------------

    def add(self, topic_id: UUID, index: int, role: FollowerRole) -> None:
        """Follow a partition, or follow it on in another leader epoch."""
        key = topic_id, index
        found = self._followed.get(key)
        if found is None:
            found = self._followed[key] = _Followed(key, role)
        found.role = role
        found.failures = 0
        if found.resting is not None:
            found.resting.cancel()
            found.resting = None
        role.partition.on_flushed_as_follower = lambda: self._on_changed(key)
        self._on_changed(key)

    def remove(self, topic_id: UUID, index: int) -> None:
        """Follow it no more; harmless when it is not followed."""
        found = self._followed.pop((topic_id, index), None)
        if found is None:
            return
        self._changed.pop(found.key, None)
        found.role.partition.on_flushed_as_follower = None
        self._leave_session(found)
        if found.resting is not None:
            found.resting.cancel()

    def close(self) -> None:
        """Ask no more, whatever still comes."""
        self._is_closed = True
        if self._pause is not None:
            self._pause.cancel()
        for key in list(self._followed):
            self.remove(*key)

    def _on_changed(self, key: Key) -> None:
        self._changed[key] = None
        self._go_on()

    def _leave_session(self, followed: _Followed) -> None:
        if followed.sent is not None:
            followed.sent = None
            self._forgotten[followed.key] = None
            self._session_size -= 1

    # -- asking ----------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._is_asking or self._is_closed or self._pause is not None:
            return
        asked = self._take_changed()
        if not self._session_size:
            self._begin_session()  # nothing to ask for; the next Fetch is a full one
            return
        request = self._request(asked)
        self._is_asking = True
        self._ports.send(request, self._on_response)

    def _take_changed(self) -> list[_Followed]:
        """Those whose position the leader has to be told."""
        asked = []
        for key in self._changed:
            followed = self._followed[key]
            if followed.resting is not None:
                continue
            position = followed.role.position()
            if position is None:
                self._leave_session(followed)  # it is flushing, and `on_flushed_as_follower` brings it back
            elif position != followed.sent:
                self._session_size += followed.sent is None
                followed.sent = position
                self._forgotten.pop(key, None)
                asked.append(followed)
        self._changed.clear()
        return asked

    def _request(self, asked: list[_Followed]) -> FetchRequest:
        options = self._options
        topics: dict[UUID, FetchTopic] = {}
        for followed in asked:
            topic_id, index = followed.key
            topic = topics.setdefault(topic_id, FetchTopic(topic_id=topic_id))
            topic.partitions.append(_fetch_partition(index, followed, options.partition_max_bytes))
        forgotten: dict[UUID, ForgottenTopic] = {}
        if self._session_epoch != FULL_EPOCH:
            for topic_id, index in self._forgotten:
                forgotten.setdefault(topic_id, ForgottenTopic(topic_id=topic_id)).partitions.append(index)
        self._forgotten.clear()
        return FetchRequest(
            replica_state=ReplicaState(options.broker_id, options.broker_epoch()),
            max_wait_ms=options.wait_max_ms,
            min_bytes=options.min_bytes,
            max_bytes=options.response_max_bytes,
            session_id=self._session_id,
            session_epoch=self._session_epoch,
            topics=list(topics.values()),
            forgotten_topics_data=list(forgotten.values()),
        )

    # -- answers ---------------------------------------------------------------------------------------------------

    def _on_response(self, response: FetchResponse | None) -> None:
        self._is_asking = False
        if self._is_closed:
            return
        if response is None:
            self._begin_session()
            self._rest()
        elif response.error_code:
            is_session_lost = response.error_code in _SESSION_LOST
            self._begin_session()
            if not is_session_lost:
                if not self._failures:
                    _log.warning("a leader answers %s to a Fetch", ErrorCode(response.error_code).name)
                self._rest()
        else:
            self._failures = 0
            for topic in response.responses:
                for data in topic.partitions:
                    self._take((topic.topic_id, data.partition_index), data)
            self._advance_session(response.session_id)
        self._go_on()

    def _take(self, key: Key, data: PartitionData) -> None:
        followed = self._followed.get(key)
        if followed is None or followed.sent is None:
            return
        diverging = data.diverging_epoch
        answer = LeaderAnswer(
            data.error_code,
            data.high_watermark,
            data.log_start_offset,
            (diverging.epoch, diverging.end_offset) if diverging.epoch >= 0 else None,
            memoryview(data.records or b""),
        )
        try:
            following = followed.role.take(answer, followed.sent)
        except StorageError as error:
            self._ports.on_storage_error(followed.role, error)
            following = Next.BACK_OFF
        except Exception:  # a bug in one partition must not end the others
            _log.exception("what a leader answered for partition %d of topic %s failed", key[1], key[0])
            following = Next.BACK_OFF
        if key not in self._followed:
            return
        if followed.role.throttle is not None:
            followed.role.throttle.note(len(answer.records))
        if following is Next.BACK_OFF or self._is_held_back(followed.role):
            self._let_rest(followed)
        else:
            followed.failures = 0
            self._changed[key] = None

    def _is_held_back(self, role: FollowerRole) -> bool:
        is_in_sync = self._options.broker_id in role.partition.in_sync_replicas
        return role.throttle is not None and not is_in_sync and role.throttle.is_exceeded()

    def _let_rest(self, followed: _Followed) -> None:
        def wake() -> None:
            followed.resting = None
            if self._is_held_back(followed.role):
                self._let_rest(followed)
            else:
                self._on_changed(followed.key)

        self._leave_session(followed)
        followed.resting = self._ports.schedule(self._backoff_ms(followed.failures), wake)
        followed.failures += 1

    def _rest(self) -> None:
        """The leader does not answer: ask it again after a while, from the beginning."""

        def wake() -> None:
            self._pause = None
            self._go_on()

        self._pause = self._ports.schedule(self._backoff_ms(self._failures), wake)
        self._failures += 1

    def _backoff_ms(self, failures: int) -> float:
        return min(self._options.backoff_ms, FIRST_BACKOFF_MS << min(failures, 16))

    # -- the session -----------------------------------------------------------------------------------------------

    def _begin_session(self) -> None:
        """The next Fetch names everything, and ends the session that may be left."""
        self._session_epoch = FULL_EPOCH
        self._session_size = 0
        self._forgotten.clear()
        for followed in self._followed.values():
            followed.sent = None
            self._changed[followed.key] = None

    def _advance_session(self, session_id: int) -> None:
        self._session_id = session_id
        if session_id == 0:
            self._begin_session()  # the leader has no room for one: everything is named each time
        else:
            self._session_epoch = 1 if self._session_epoch == EPOCH_MAX else self._session_epoch + 1


_SESSION_LOST: Final = frozenset(
    {
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
    }
)


def _fetch_partition(index: int, followed: _Followed, max_bytes: int) -> FetchPartition:
    position = followed.sent
    assert position is not None
    return FetchPartition(
        index,
        position.leader_epoch,
        position.fetch_offset,
        position.last_fetched_epoch,
        position.log_start_offset,
        max_bytes,
        high_watermark=position.high_watermark,
    )
