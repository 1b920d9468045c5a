"""What a coordinator is told of a log that holds transactions, and what is left of it."""

from __future__ import annotations

from pathlib import Path

from tests.support.log_support import environment, open_log

from tailrace.base.clock import ManualClock
from tailrace.base.types import ZERO_TOPIC_ID, TopicPartition
from tailrace.cluster.image import GROUP_METADATA_TOPIC
from tailrace.coordinator.groups.loading import remains
from tailrace.coordinator.ports import CoordinatorRecord, TransactionalRecord, TransactionEnd
from tailrace.log.config import LogConfig
from tailrace.log.log import Log
from tailrace.log.logs import Logs
from tailrace.node.coordinator_log import CoordinatorLog
from tailrace.records.builder import build_batch
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.records.record import Record
from tailrace.replication.partition import Partition
from tailrace.replication.partitions import Partitions


def commit(log: Log, key: bytes, value: bytes, producer_id: int = -1) -> None:
    is_transactional = producer_id >= 0
    batch = build_batch(
        [Record(log.log_end_offset, 0, key, value, ())],
        base_offset=log.log_end_offset,
        producer_id=producer_id,
        producer_epoch=0 if is_transactional else -1,
        is_transactional=is_transactional,
        leader_epoch=0,
    )
    log.append_as_follower(memoryview(batch))


def end(log: Log, producer_id: int, is_commit: bool) -> None:
    marker = build_end_txn_marker(producer_id, 0, EndTxnMarker(is_commit, 0), 0, log.log_end_offset)
    log.append_as_follower(memoryview(marker))


def test_offsets_of_a_transaction_count_from_its_commit_on(tmp_path: Path) -> None:
    log = open_log(tmp_path, env=environment())
    log.topic_partition = TopicPartition(GROUP_METADATA_TOPIC, 0)
    commit(log, b"a", b"1")
    commit(log, b"a", b"2", producer_id=7)
    commit(log, b"a", b"3", producer_id=8)
    commit(log, b"a", b"4")
    commit(log, b"c", b"2", producer_id=7)
    end(log, 8, is_commit=False)
    end(log, 7, is_commit=True)
    commit(log, b"b", b"5", producer_id=9)  # never decided
    partition = Partition(log, ZERO_TOPIC_ID, 1, [1])
    partition.become_leader(1)
    partitions = Partitions()
    partitions.add(partition)
    logs = Logs([tmp_path / "logs"], environment(), lambda topic: LogConfig())
    coordinator_log = CoordinatorLog(GROUP_METADATA_TOPIC, partitions, ManualClock(), logs)
    assert list(coordinator_log.records(0)) == [
        CoordinatorRecord(b"a", b"1"),
        TransactionalRecord(7, CoordinatorRecord(b"a", b"2")),
        TransactionalRecord(8, CoordinatorRecord(b"a", b"3")),
        CoordinatorRecord(b"a", b"4"),
        TransactionalRecord(7, CoordinatorRecord(b"c", b"2")),
        TransactionEnd(8, False),
        TransactionEnd(7, True),
        TransactionalRecord(9, CoordinatorRecord(b"b", b"5")),
    ]
    assert remains(coordinator_log.records(0)) == [
        CoordinatorRecord(b"a", b"4"),  # committed outside of the transaction, after what the transaction wrote
        CoordinatorRecord(b"c", b"2"),
        TransactionalRecord(9, CoordinatorRecord(b"b", b"5")),
    ]
