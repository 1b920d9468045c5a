"""What a leader keeps of a follower between its fetches: which partitions are worth a look.

    hot         named by the follower, or told of, or left with something to say: read at the next look
    unsettled   nothing to say, but more than an append may move it: read at the next sweep
    the rest    the follower has everything; read when something is told, and in turn, some at each sweep

So a fetch costs what has changed, not what is followed.
Invariants: a partition that is not hot was read since it last changed, and its follower had all of it; each entry is
watched at the leader's role it was last read from. One owner, one thread: the loop's.
Source: the idea is KIP-227's, for the leader's side; Kafka reads every partition of a session at each fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tailrace.base.limits import FOLLOWER_SWEEP_MS, FOLLOWER_SWEEP_PARTITIONS
from tailrace.base.types import TopicId
from tailrace.broker.fetch_sessions import FetchSession, Key, SessionPartition
from tailrace.replication.follower_reads import Follower
from tailrace.replication.leader_role import LeaderRole

HIGH_WATERMARK_UNTOLD: Final = 2**63 - 1
"""What a follower's request says that does not tell which high watermark it knows (before v18)."""

NOBODY: Final = Follower(-1, -1)


class FollowerPartition(SessionPartition):
    """One partition of a follower's fetches. It is the `FollowerWatch` of its partition."""

    __slots__ = (
        "follower_high_watermark",
        "follower_log_start_offset",
        "is_at_end",
        "is_hot",
        "is_noted",
        "session",
        "watched",
    )

    is_at_end: bool
    """Whether the follower has everything, as far as is known."""
    is_noted: bool
    """Whether the leader has noted what the follower said of it last."""
    session: FollowerSession | None
    """None before it is in one, and after."""
    watched: LeaderRole | None

    def __init__(self, topic: str | None, topic_id: TopicId, partition: int) -> None:
        super().__init__(topic, topic_id, partition)
        self.follower_high_watermark = HIGH_WATERMARK_UNTOLD
        self.follower_log_start_offset = -1
        self.is_at_end = False
        self.is_hot = False
        self.is_noted = False
        self.session = None
        self.watched = None

    def watch(self, role: LeaderRole, *, is_asked: bool) -> None:
        """Be told what happens at `role`, from now on or still.

        Who came in its place is replaced only where the follower has just asked (`is_asked`): of two fetches that wait,
        for the follower was restarted, the later one is told, and the earlier does not take it back.
        """
        assert self.session is not None
        broker_id = self.session.follower.broker_id
        if self.watched is role and (not is_asked or role.is_watched_by(broker_id, self)):
            return
        self.unwatch()
        self.watched = role
        role.watch(broker_id, self)

    def unwatch(self) -> None:
        """Be told nothing more; harmless when nothing was."""
        if self.watched is not None and self.session is not None:
            self.watched.unwatch(self.session.follower.broker_id, self)
            self.watched = None

    def on_append(self) -> None:
        """FollowerWatch: look at it soon."""
        session = self.session
        if session is None:
            return
        if self.is_at_end:  # what it had all of until now, it had at the last fetch as well
            self.is_at_end = False
            if self.watched is not None:
                self.watched.on_silent_fetch(session.follower.broker_id, session.last_used_ms)
        self._heat(session)
        if session.on_append is not None:
            session.on_append()

    def on_commit(self) -> None:
        """FollowerWatch: look at it, there is time."""
        session = self.session
        if session is not None:
            self._heat(session)
            if session.on_commit is not None:
                session.on_commit()

    def _heat(self, session: FollowerSession) -> None:
        if not self.is_hot:
            self.is_hot = True
            session.hot.append(self)


class FollowerSession(FetchSession):
    """What one follower fetches."""

    __slots__ = ("_rotation", "_swept_ms", "follower", "hot", "on_append", "on_commit", "unsettled")

    partitions: dict[Key, SessionPartition]

    def __init__(self, session_id: int, uses_topic_ids: bool, now_ms: float) -> None:
        super().__init__(session_id, uses_topic_ids, now_ms)
        self.follower = NOBODY
        self.hot: list[FollowerPartition] = []
        """In the order in which they are to be read."""
        self.unsettled: dict[FollowerPartition, None] = {}
        self.on_append: Callable[[], object] | None = None
        """Told of records for a fetch that waits; None without one."""
        self.on_commit: Callable[[], object] | None = None
        """As `on_append`, of high watermarks."""
        self._rotation: Iterator[SessionPartition] = iter(())
        self._swept_ms = now_ms

    def asked_by(self, follower: Follower) -> None:
        """A request came. One of another broker, or of another life of it, says everything anew."""
        if follower != self.follower:
            entries = [*self.entries()]
            for entry in entries:
                entry.unwatch()
                entry.is_noted = False
            self.follower = follower
            self.heat(entries)

    def heat(self, entries: Iterable[FollowerPartition]) -> None:
        """Have these read next, after those that are to be."""
        for entry in entries:
            if not entry.is_hot and entry.session is self:
                entry.is_hot = True
                self.hot.append(entry)

    def take_hot(self) -> list[SessionPartition]:
        """Those to be read now. What is to be read again is said with `heat`."""
        taken: list[SessionPartition] = []
        for entry in self.hot:
            entry.is_hot = False
            if entry.session is self:
                taken.append(entry)
        self.hot = []
        return taken

    def sweep(self) -> None:
        """Have the unsettled ones read next, and some of the rest; nothing where the last time is not long ago."""
        if self.last_used_ms - self._swept_ms < FOLLOWER_SWEEP_MS:
            return
        self._swept_ms = self.last_used_ms
        unsettled, self.unsettled = self.unsettled, {}
        for each in unsettled:
            each.is_noted = False
        self.heat(unsettled)
        for _ in range(min(FOLLOWER_SWEEP_PARTITIONS, len(self.partitions))):
            entry = next(self._rotation, None)
            if entry is None:
                self._rotation = iter(list(self.partitions.values()))
                entry = next(self._rotation)
            assert isinstance(entry, FollowerPartition)
            entry.is_noted = False
            self.heat((entry,))

    def join(self, entry: FollowerPartition) -> None:
        """A partition that was just added."""
        entry.session = self

    def forget(self, key: Key) -> None:
        """FetchSession."""
        entry = self.partitions.pop(key, None)
        if isinstance(entry, FollowerPartition):
            entry.unwatch()
            entry.session = None

    def end(self) -> None:
        """FetchSession."""
        for key in list(self.partitions):
            self.forget(key)
        self.hot = []
        self.unsettled = {}

    def move_to_end(self, keys: Iterable[Key]) -> None:
        """FetchSession. Not needed: those that returned something are the last of the hot ones."""

    def entries(self) -> Iterator[FollowerPartition]:
        """All that it fetches."""
        for entry in self.partitions.values():
            assert isinstance(entry, FollowerPartition)
            yield entry
