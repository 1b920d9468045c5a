"""A follower: what it asks its leader for, and what it does with the answer.

A follower never knows better than its leader where their histories part. It says the epoch of its last batch and where
that batch ends; a leader in whose log that epoch ended before answers with the epoch and offset where it did, and the
follower cuts its log there and asks again (KIP-101, KIP-279, KIP-595). Cutting to the high watermark instead, as Kafka
first did, loses committed records: the high watermark is known a round trip late.

Invariants: the log is a prefix of the leader's, or is about to be cut; epochs and offsets are the leader's, byte by
byte; the high watermark never goes back, unless records that were committed are lost by an unclean election.
Not its business: the connection, what is asked of other partitions, when to try again.
Source: Kafka AbstractFetcherThread, ReplicaFetcherThread.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.records.batch import iter_whole_batches
from tailrace.replication.partition import Partition
from tailrace.replication.throttle import Throttle

_log = logging.getLogger("tailrace.replication")


class Position(NamedTuple):
    """Where a follower goes on: what its next fetch says of the partition."""

    leader_epoch: int
    fetch_offset: int
    last_fetched_epoch: int
    log_start_offset: int
    high_watermark: int


class LeaderAnswer(NamedTuple):
    """What a leader answered. `diverging`: (epoch, end offset) where the histories part; then there are no records."""

    error_code: int
    high_watermark: int
    log_start_offset: int
    diverging: tuple[int, int] | None
    records: memoryview


class Next(Enum):
    """What follows from an answer."""

    GO_ON = "fetch again"
    BACK_OFF = "fetch again later"


class FollowerRole:
    """The follower's side of one partition, in one leader epoch."""

    __slots__ = ("_reason", "lost_count", "partition", "throttle")

    lost_count: int
    """Committed records that were cut away, after unclean elections."""

    def __init__(self, partition: Partition) -> None:
        assert not partition.is_leader
        self.partition = partition
        self.lost_count = 0
        self.throttle: Throttle | None = None
        """What it is counted by, and waits for while it is out of sync, where the topic's settings name it."""
        self._reason = ""

    def position(self) -> Position | None:
        """Where to go on; None while what was fetched waits for a flush that the topic's settings ask for.

        A fetch offset is a promise to have everything below, so it may not be ahead of the device then.
        """
        log = self.partition.log
        if log.committable_offset < log.log_end_offset:
            return None
        return Position(
            self.partition.leader_epoch,
            log.log_end_offset,
            log.leader_epochs.latest_epoch,
            log.log_start_offset,
            log.high_watermark,
        )

    def take(self, answer: LeaderAnswer, asked: Position) -> Next:
        """Do what the leader's answer to `asked` demands. Raises StorageError; the partition is then as before."""
        partition = self.partition
        if asked.leader_epoch != partition.leader_epoch or asked.fetch_offset != partition.log_end_offset:
            return Next.GO_ON  # what was asked is over
        if answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
            return self._start_again(answer)
        if answer.error_code:
            return self._refuse(f"its leader answered {ErrorCode(answer.error_code).name}")
        try:
            if answer.diverging is not None:
                return self._cut(*answer.diverging)
            if len(answer.records):
                self._append(answer.records, asked.leader_epoch)
        except KafkaError as error:
            return self._refuse(f"what its leader sent is refused: {error}")
        partition.on_leader_offsets(answer.high_watermark, answer.log_start_offset)
        self._reason = ""
        return Next.GO_ON

    def _refuse(self, reason: str) -> Next:
        """Note why nothing comes, once while it stays so."""
        if reason != self._reason:
            self._reason = reason
            _log.warning("%s waits for broker %d: %s", self._name, self.partition.leader_id, reason)
        return Next.BACK_OFF

    @property
    def _name(self) -> object:
        return self.partition.topic_partition

    # -- records ---------------------------------------------------------------------------------------------------

    def _append(self, records: memoryview, leader_epoch: int) -> None:
        log = self.partition.log
        self.partition.traffic.replication_bytes_in += len(records)
        first = next(iter_whole_batches(records), None) if self._is_empty else None
        if first is not None and first.base_offset < log.log_end_offset <= first.last_offset:
            # The leader's log starts inside a batch. This one is empty: it may begin with the whole batch.
            start_offset = log.log_start_offset
            log.truncate_fully_and_start_at(first.base_offset)
            log.append_as_follower(records, leader_epoch)
            log.high_watermark = max(log.high_watermark, min(start_offset, log.log_end_offset))
            log.advance_log_start_offset(min(start_offset, log.log_end_offset))
            return
        log.append_as_follower(records, leader_epoch)

    @property
    def _is_empty(self) -> bool:
        log = self.partition.log
        return log.log_end_offset == log.log_start_offset

    # -- cutting ---------------------------------------------------------------------------------------------------

    def _cut(self, epoch: int, end_offset: int) -> Next:
        """Drop what the leader never had, or had otherwise: its `epoch` ended at `end_offset`."""
        log = self.partition.log
        own_epoch, own_end = log.end_offset_for_epoch(epoch)
        before = log.log_end_offset, log.leader_epochs.latest_epoch
        if own_epoch < 0:
            target = end_offset
        elif own_epoch != epoch:
            target = own_end
        else:
            target = min(own_end, end_offset)
        self._truncate(min(target, log.log_end_offset))
        if (log.log_end_offset, log.leader_epochs.latest_epoch) == before:
            return self._refuse(f"its leader's epoch {epoch} ended at {end_offset}, and there is nothing to cut")
        return Next.GO_ON

    def _truncate(self, offset: int) -> None:
        log = self.partition.log
        end_offset, high_watermark = log.log_end_offset, log.high_watermark
        log.truncate_to(offset)
        log.leader_epochs.truncate_from_end(log.log_end_offset)
        if log.log_end_offset < end_offset:
            _log.info("%s: cut from offset %d to %d, as its leader says", self._name, end_offset, log.log_end_offset)
        self._count_lost(high_watermark)

    def _start_again(self, answer: LeaderAnswer) -> Next:
        """The leader has nothing to add to this log: it starts after its end, or this one has no epoch to compare."""
        log = self.partition.log
        start_offset = answer.log_start_offset
        if (
            start_offset < 0
            or start_offset == log.log_end_offset
            or (start_offset < log.log_end_offset and not self._is_empty)
        ):
            return self._refuse(f"its leader refuses offset {log.log_end_offset}")
        _log.warning("%s: begins again at offset %d, where its leader's log starts", self._name, start_offset)
        high_watermark = log.high_watermark if start_offset < log.log_end_offset else 0
        log.truncate_fully_and_start_at(start_offset)
        self._count_lost(high_watermark)
        return Next.GO_ON

    def _count_lost(self, high_watermark: int) -> None:
        """Say what an unclean election cost: records that were committed, and that the leader does not have."""
        lost_count = high_watermark - self.partition.log_end_offset
        if lost_count > 0:
            self.lost_count += lost_count
            _log.error(
                "%s: %d committed records are lost: broker %d, elected uncleanly, does not have them",
                self._name,
                lost_count,
                self.partition.leader_id,
            )
