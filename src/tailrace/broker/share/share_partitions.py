"""The share partitions of this broker, and the sessions of those who consume them.

A share partition is made, and its state read, when a member first asks for it; it is forgotten when no member of its
group has a session here, when the partition is led in another epoch or no more, and when its store fences it.
Invariant: at most `SHARE_PARTITIONS_MAX`, but for those in which records are held. Source: Kafka SharePartitionManager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicId
from tailrace.broker.share.limits import SHARE_PARTITIONS_MAX
from tailrace.broker.share.live_partition import Around, LivePartition
from tailrace.broker.share.requests import ShareSettings
from tailrace.broker.share.share_sessions import ShareSession, ShareSessions, TopicIdPartition
from tailrace.coordinator.share_state.ports import SharePartitionKey
from tailrace.replication.partitions import Partitions


class SharePartitions:
    """Every share partition in use. One owner: the loop's thread."""

    __slots__ = ("_around", "_by_group", "_count", "_partitions", "sessions", "settings_of")

    def __init__(
        self,
        partitions: Partitions,
        sessions: ShareSessions,
        settings_of: Callable[[str], ShareSettings],
        around: Around,
    ) -> None:
        self.sessions = sessions
        self.settings_of = settings_of
        """Group -> what it obeys, its own settings or the broker's."""
        self._partitions = partitions
        self._around = around
        self._by_group: dict[str, dict[TopicIdPartition, LivePartition]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, group_id: str, topic_id: TopicId, index: int, settings: ShareSettings) -> LivePartition:
        """The share partition, made where it is not there; its state may still be on its way.

        Raises UNKNOWN_TOPIC_ID, and what `Partitions.of` raises.
        """
        name = self._partitions.name_of(topic_id)
        if name is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        partition = self._partitions.of(name, index)
        live = self.find(group_id, topic_id, index)
        if live is not None and live.partition is partition and live.leader_epoch == partition.leader_epoch:
            live.obey(settings)
            return live
        if live is not None:
            self._forget(live, ErrorCode.NOT_LEADER_OR_FOLLOWER)
        self._make_room()
        live = LivePartition(SharePartitionKey(group_id, topic_id, index), partition, settings, self._around)
        if live.error is not None:
            raise live.error
        self._by_group.setdefault(group_id, {})[topic_id, index] = live
        self._count += 1
        return live

    def find(self, group_id: str, topic_id: TopicId, index: int) -> LivePartition | None:
        """The share partition if it is in use."""
        live = self._by_group.get(group_id, {}).get((topic_id, index))
        if live is not None and live.error is not None:
            self._forget(live, live.error.code)
            return None
        return live

    def close_session(self, session: ShareSession) -> None:
        """End a session: what its member holds goes back at once, and without a last member nothing is kept here."""
        self.sessions.close(session)
        for live in self._in_use(session.group_id, session.partitions):
            live.release(session.member_id)
        if not self.sessions.has_group(session.group_id):
            for live in list(self._by_group.get(session.group_id, {}).values()):
                self._forget(live, ErrorCode.SHARE_SESSION_NOT_FOUND)

    def on_connection_closed(self, connection_id: int) -> None:
        """A client is gone, and its sessions with it."""
        for session in self.sessions.of_connection(connection_id):
            self.close_session(session)

    def _in_use(self, group_id: str, partitions: Iterable[TopicIdPartition]) -> list[LivePartition]:
        of_group = self._by_group.get(group_id, {})
        return [of_group[partition] for partition in partitions if partition in of_group]

    def _forget(self, live: LivePartition, code: ErrorCode) -> None:
        key = live.key
        of_group = self._by_group[key.group_id]
        del of_group[key.topic_id, key.partition]
        if not of_group:
            del self._by_group[key.group_id]
        self._count -= 1
        live.end(KafkaError(code))

    def _make_room(self) -> None:
        if self._count < SHARE_PARTITIONS_MAX:
            return
        for of_group in self._by_group.values():
            for live in of_group.values():
                if live.is_at_rest:
                    self._forget(live, ErrorCode.NOT_LEADER_OR_FOLLOWER)
                    return
