"""Share sessions: a member names the partitions it consumes here once, and then only what changed.

    request epoch   meaning
    0               a new session, in place of one the member had
    n >= 1          the session goes on; n is one more than the last
    -1              the session ends, and what the member holds is given back

Invariant: at most `slots` sessions; each belongs to one connection and ends with it. Not its business: records.
Source: KIP-932; Kafka ShareSession, ShareSessionCache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicId

INITIAL_EPOCH: Final = 0
FINAL_EPOCH: Final = -1
EPOCH_MAX: Final = 2**31 - 1

TopicIdPartition = tuple[TopicId, int]


class ShareSession:
    """What one member of one group consumes from this broker. `epoch` is the one its next request must carry."""

    __slots__ = ("connection_id", "epoch", "group_id", "member_id", "partitions")

    def __init__(self, group_id: str, member_id: str, connection_id: int) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.connection_id = connection_id
        self.epoch = 1
        self.partitions: dict[TopicIdPartition, bool] = {}
        """Partition -> whether the next answer must name it though it has nothing to say of it."""

    def change(self, named: Iterable[TopicIdPartition], forgotten: Iterable[TopicIdPartition]) -> None:
        """Take partitions in, and let others go."""
        for partition in named:
            self.partitions.setdefault(partition, True)
        for partition in forgotten:
            self.partitions.pop(partition, None)


class ShareSessions:
    """All share sessions of this broker, bounded."""

    __slots__ = ("_by_connection", "_by_group", "_count", "slots")

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._by_group: dict[str, dict[str, ShareSession]] = {}
        self._by_connection: dict[int, set[ShareSession]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, group_id: str, member_id: str) -> ShareSession | None:
        """A member's session."""
        return self._by_group.get(group_id, {}).get(member_id)

    def has_group(self, group_id: str) -> bool:
        """Whether any member of the group has a session."""
        return group_id in self._by_group

    def open(
        self, group_id: str, member_id: str, connection_id: int, partitions: Iterable[TopicIdPartition]
    ) -> ShareSession:
        """A new session, in place of the member's last. Raises SHARE_SESSION_LIMIT_REACHED where there is no room."""
        known = self.find(group_id, member_id)
        if known is not None:
            self.close(known)
        if self._count >= self.slots:
            raise KafkaError(ErrorCode.SHARE_SESSION_LIMIT_REACHED)
        session = ShareSession(group_id, member_id, connection_id)
        session.partitions = dict.fromkeys(partitions, False)
        self._by_group.setdefault(group_id, {})[member_id] = session
        self._by_connection.setdefault(connection_id, set()).add(session)
        self._count += 1
        return session

    def use(self, group_id: str, member_id: str, epoch: int) -> ShareSession:
        """The session of a request, its epoch moved on where it stays.

        Raises SHARE_SESSION_NOT_FOUND, INVALID_SHARE_SESSION_EPOCH.
        """
        session = self.find(group_id, member_id)
        if session is None:
            raise KafkaError(ErrorCode.SHARE_SESSION_NOT_FOUND)
        if epoch == FINAL_EPOCH:
            return session
        if epoch != session.epoch:
            raise KafkaError(ErrorCode.INVALID_SHARE_SESSION_EPOCH)
        session.epoch = 1 if epoch == EPOCH_MAX else epoch + 1
        return session

    def is_open(self, session: ShareSession) -> bool:
        """Whether it still is the member's session."""
        return self.find(session.group_id, session.member_id) is session

    def close(self, session: ShareSession) -> None:
        """End a session; harmless when it has ended."""
        if not self.is_open(session):
            return
        members = self._by_group[session.group_id]
        del members[session.member_id]
        if not members:
            del self._by_group[session.group_id]
        of_connection = self._by_connection[session.connection_id]
        of_connection.discard(session)
        if not of_connection:
            del self._by_connection[session.connection_id]
        self._count -= 1

    def of_connection(self, connection_id: int) -> list[ShareSession]:
        """The sessions that end with a connection."""
        return list(self._by_connection.get(connection_id, ()))
