"""One replica of a partition: its log, and whether this broker leads it or follows another.

Invariant: log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset. With one replica a record is
committed as soon as this one says so: when it is appended, or, where the topic's settings ask for a flush, when it is
on the device. With several, when all that are in sync have it (`leader_role`). Both meet in `_advance_high_watermark`.
A follower's offsets come from its leader (`follower_role`).
One owner, the loop's thread: writes are serialised by construction. Not its business: requests, sessions, deadlines.
Source: Kafka `Partition`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.types import TopicId, TopicPartition
from tailrace.log.log import AppendInfo, AppendOrigin, Log
from tailrace.log.results import FetchSlice as FetchSlice
from tailrace.replication.commit_waits import CommitWaits, Told
from tailrace.replication.traffic import NOBODYS
from tailrace.replication.verification import Verifications

if TYPE_CHECKING:  # start-up time: most brokers have no replicated partition
    from tailrace.cluster.image import PartitionImage
    from tailrace.replication.leader_role import LeaderRole

LATEST_TIMESTAMP = -1
EARLIEST_TIMESTAMP = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL_TIMESTAMP = -4
LATEST_TIERED_TIMESTAMP = -5
EARLIEST_PENDING_UPLOAD_TIMESTAMP = -6


class IsolationLevel(IntEnum):
    """What a reader may see (KIP-98)."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1


Waiter = Callable[["Partition"], None]


class Partition:
    """A role over one log: leader, unless `follow` was called last."""

    __slots__ = (
        "_commit_waits",
        "_verifications",
        "_waiters",
        "followers",
        "in_sync_replicas",
        "is_leader",
        "leader_epoch",
        "leader_id",
        "log",
        "on_flushed_as_follower",
        "partition_epoch",
        "replicas",
        "topic_id",
        "topic_partition",
        "traffic",
    )

    def __init__(self, log: Log, topic_id: TopicId, leader_id: int, replicas: list[int]) -> None:
        self.log = log
        self.topic_partition: TopicPartition = log.topic_partition
        self.topic_id = topic_id
        self.leader_id = leader_id
        self.leader_epoch = -1
        self.partition_epoch = -1
        self.is_leader = True
        self.replicas = replicas
        self.in_sync_replicas = list(replicas)
        self.followers: LeaderRole | None = None
        """What the leader knows of the other replicas; None without any, and on a follower."""
        self.on_flushed_as_follower: Callable[[], object] | None = None
        self.traffic = NOBODYS
        """What is counted of its topic: set by the collection it is in."""
        self._waiters: dict[Waiter, None] = {}
        self._commit_waits = CommitWaits()
        self._verifications: Verifications | None = None
        log.group_commit.on_flushed = self._on_flushed

    def become_leader(self, leader_epoch: int) -> None:
        """Start leading in `leader_epoch`: from now on batches carry it. Source: KIP-101.

        With `flush.before.ack` what an unclean end left in the page cache is flushed first, and waited for: it counts
        as committed from here on. Raises StorageError.
        """
        if leader_epoch == self.leader_epoch:
            return
        if self.log.config.flush_before_ack:
            self.log.flush()
        self.leader_epoch = leader_epoch
        self.log.assign_leader_epoch(leader_epoch)
        self._advance_high_watermark()

    def lead(self, image: PartitionImage, role: Callable[[], LeaderRole] | None) -> None:
        """Lead as `image` says, from now on or still. `role` makes what a leader of followers needs; None without any.

        Raises StorageError.
        """
        is_new_term = not self.is_leader or image.leader_epoch != self.leader_epoch
        if self.is_leader:
            self._count_in_sync(image)
        self._take_over(image)
        self.is_leader = True
        self.on_flushed_as_follower = None
        if role is None:
            if self.followers is not None:  # the others were moved away
                self.followers.end()
            self.followers = None
        elif self.followers is None or is_new_term:
            if self.followers is not None:
                self.followers.end()
            self.followers = role()
        else:
            self.followers.update(image)
        if image.leader_epoch == self.leader_epoch:
            self._advance_high_watermark()
        else:
            self.become_leader(image.leader_epoch)

    def follow(self, image: PartitionImage) -> None:
        """Follow `image`'s leader, which may be none (-1). Who waits here for a commit learns that it led no more.

        Raises StorageError.
        """
        was_leader, self.is_leader = self.is_leader, False
        is_new_term = was_leader or image.leader_epoch != self.leader_epoch
        self._take_over(image)
        self.leader_epoch = image.leader_epoch
        if not is_new_term:
            return
        # A term in which nothing was written says nothing, and the next leader may not know it.
        self.log.leader_epochs.truncate_from_end(self.log.log_end_offset)
        followers, self.followers = self.followers, None
        if followers is not None:
            followers.end()
        self.end(ErrorCode.NOT_LEADER_OR_FOLLOWER)

    def _count_in_sync(self, image: PartitionImage) -> None:
        before, after = set(self.in_sync_replicas), set(image.isr)
        self.traffic.isr_shrinks += not before <= after
        self.traffic.isr_expands += not after <= before

    def _take_over(self, image: PartitionImage) -> None:
        self.leader_id = image.leader
        self.partition_epoch = image.partition_epoch
        self.replicas = list(image.replicas)
        self.in_sync_replicas = list(image.isr)

    # -- offsets ---------------------------------------------------------------------------------------------------

    @property
    def high_watermark(self) -> int:
        """First offset that is not committed."""
        return self.log.high_watermark

    @property
    def log_start_offset(self) -> int:
        """First offset that can be read."""
        return self.log.log_start_offset

    @property
    def log_end_offset(self) -> int:
        """Next offset to be written."""
        return self.log.log_end_offset

    @property
    def last_stable_offset(self) -> int:
        """First offset a read_committed reader may not see."""
        return self.log.last_stable_offset

    def readable_end(self, isolation: int) -> int:
        """First offset a consumer of this isolation level may not read."""
        return self.last_stable_offset if isolation == IsolationLevel.READ_COMMITTED else self.high_watermark

    def check_leader_epoch(self, current_leader_epoch: int) -> None:
        """Fence a client that believes in another epoch (KIP-320); -1 means it did not say.

        Raises FENCED_LEADER_EPOCH when it is behind and UNKNOWN_LEADER_EPOCH when it is ahead.
        """
        if current_leader_epoch < 0 or current_leader_epoch == self.leader_epoch:
            return
        if current_leader_epoch < self.leader_epoch:
            raise KafkaError(ErrorCode.FENCED_LEADER_EPOCH)
        raise KafkaError(ErrorCode.UNKNOWN_LEADER_EPOCH)

    @property
    def verifications(self) -> Verifications:
        """Transactions about to begin here. Made when first asked for: few partitions ever see one."""
        if self._verifications is None:
            self._verifications = Verifications()
        return self._verifications

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, records: memoryview, origin: AppendOrigin = AppendOrigin.CLIENT) -> AppendInfo:
        """Append batches as the leader; `records` is stamped in place.

        Raises KafkaError or InvalidRecords for a refused batch, NOT_LEADER_OR_FOLLOWER when this broker leads no more,
        and StorageError when the disk fails; the log is then as it was before. Waiting readers are told before this
        returns.
        """
        if not self.is_leader:
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        info = self.log.append_as_leader(records, self.leader_epoch, origin)
        traffic = self.traffic
        traffic.bytes_in += len(records)
        traffic.messages_in += info.last_offset - info.first_offset + 1
        self._advance_high_watermark()
        if self.followers is not None:
            self.followers.tell_append()
        return info

    def _advance_high_watermark(self) -> None:
        log = self.log
        committed = log.committable_offset
        if self.followers is not None:
            committed = self.followers.committable(committed, log.log_end_offset)
        if log.high_watermark < committed:
            log.high_watermark = committed
            if self._commit_waits:
                self._commit_waits.on_high_watermark(committed)
            if self._waiters:
                self.wake_waiters()
            if self.followers is not None:
                self.followers.tell_commit()

    def _on_flushed(self, error: StorageError | None) -> None:
        if self.on_flushed_as_follower is not None:
            self.on_flushed_as_follower()
        elif error is None:
            self._advance_high_watermark()
        else:
            self._commit_waits.fail(ErrorCode.KAFKA_STORAGE_ERROR)

    def delete_records(self, offset: int) -> int:
        """Move the log's start up to `offset` (-1: the high watermark); returns the new start.

        Raises OFFSET_OUT_OF_RANGE beyond the high watermark, POLICY_VIOLATION on a compacted topic.
        """
        start_offset = self.log.delete_records_before(offset)
        if self.followers is not None:
            self.followers.tell_append()
        return start_offset

    # -- followers -------------------------------------------------------------------------------------------------

    def on_follower_fetch(self, follower: tuple[int, int], offset: int, log_start_offset: int) -> None:
        """`follower` (broker id, broker epoch) has everything below `offset`; it was checked."""
        assert self.followers is not None
        log = self.log
        self.followers.on_fetch(follower, offset, log_start_offset, log.log_end_offset, log.high_watermark)
        self._advance_high_watermark()

    def on_leader_offsets(self, high_watermark: int, log_start_offset: int) -> None:
        """Take over the leader's word, as a follower: how far it is committed, and where its log starts.

        The high watermark never goes back: what was committed once is. Raises StorageError.
        """
        log = self.log
        committed = min(high_watermark, log.log_end_offset)
        if committed > log.high_watermark:
            log.high_watermark = committed
            if self._waiters:
                self.wake_waiters()
        if log.log_start_offset < log_start_offset <= log.high_watermark:
            log.advance_log_start_offset(log_start_offset)

    # -- reading ---------------------------------------------------------------------------------------------------

    def read_as_replica(self, offset: int, max_bytes: int, min_one_batch: bool) -> FetchSlice:
        """Like `read`, committed or not: for a follower."""
        return self.log.read(offset, max_bytes, self.log.log_end_offset, min_one_batch)

    def read(self, offset: int, max_bytes: int, isolation: int, min_one_batch: bool) -> FetchSlice:
        """Committed batches from the one that holds `offset` on; of size 0 when `offset` is the end.

        Raises OFFSET_OUT_OF_RANGE below the log's start or beyond its end.
        """
        return self.log.read(offset, max_bytes, self.readable_end(isolation), min_one_batch)

    def offset_for(self, timestamp: int, isolation: int) -> tuple[int, int, int]:
        """(timestamp, offset, leader epoch) of the first record at or after `timestamp` ms, or of a special position.

        (-1, -1, -1) when there is none. Raises OFFSET_NOT_AVAILABLE where a leader that was just elected does not know
        yet (KIP-207). Source: ListOffsetsRequest's special timestamps (KIP-734, KIP-405, KIP-1005).
        """
        log = self.log
        if timestamp == LATEST_TIMESTAMP:
            self._check_high_watermark_known()
            end = self.readable_end(isolation)
            return -1, end, self._epoch_at(end)
        if timestamp in (EARLIEST_TIMESTAMP, EARLIEST_LOCAL_TIMESTAMP):
            return -1, log.log_start_offset, self._epoch_at(log.log_start_offset)
        if timestamp in (LATEST_TIERED_TIMESTAMP, EARLIEST_PENDING_UPLOAD_TIMESTAMP):
            return -1, -1, -1
        found = log.max_timestamp_offset() if timestamp == MAX_TIMESTAMP else log.offset_for_timestamp(timestamp)
        if found is None or found[1] >= self.readable_end(isolation):
            self._check_high_watermark_known()
            return -1, -1, -1
        return found

    def _check_high_watermark_known(self) -> None:
        if self.followers is not None and not self.followers.is_high_watermark_known(self.high_watermark):
            raise KafkaError(ErrorCode.OFFSET_NOT_AVAILABLE)

    def _epoch_at(self, offset: int) -> int:
        """The leader epoch of the record at `offset`, of the latest one at the log's end."""
        return self.leader_epoch if offset >= self.log.log_end_offset else self.log.leader_epochs.epoch_for(offset)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def must_wait(self, offset: int, acks: int) -> bool:
        """Whether who appended up to `offset` is answered later: with acks -1 when all below is committed, with 1 only
        for a flush that `flush.messages` asked for, which Kafka makes every producer wait for."""
        log = self.log
        if log.high_watermark >= offset:
            return False
        return acks == -1 or offset - log.flushed_offset >= log.config.flush_messages

    def wait_committed(self, offset: int, told: Told) -> int:
        """Call `told(None)` once, when everything below `offset` is committed, or `told(code)` when it will not be.

        Perhaps at once. Answers a ticket for `cancel_wait`.
        """
        if self.high_watermark >= offset:
            told(None)
            return 0
        if self.log.group_commit.is_lost:
            told(ErrorCode.KAFKA_STORAGE_ERROR)
            return 0
        return self._commit_waits.add(offset, told)

    def cancel_wait(self, ticket: int) -> None:
        """Undo `wait_committed`; harmless when it was told."""
        self._commit_waits.cancel(ticket)

    def end(self, code: ErrorCode) -> None:
        """The partition is led no more: `code` to those who wait for a commit, a last look to the readers."""
        if self.followers is not None:
            self.followers.end()
        self._commit_waits.fail(code)
        self.wake_waiters()

    def add_waiter(self, waiter: Waiter) -> None:
        """Call `waiter(partition)` each time something becomes readable, until it is removed."""
        self._waiters[waiter] = None

    def remove_waiter(self, waiter: Waiter) -> None:
        """Undo `add_waiter`; harmless when it is not there."""
        self._waiters.pop(waiter, None)

    def wake_waiters(self) -> None:
        """Tell every waiter to look again: data came, or the partition is going away."""
        for waiter in list(self._waiters):
            waiter(self)
