"""What a follower appends at once leaves the same files and the same memory as batch by batch, in fewer writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.counting_disk import CountingDisk
from tests.support.log_support import batch_of, environment, idempotent_batch, open_log, read_batches

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.rand import SeededRandom
from tailrace.log.config import LogConfig
from tailrace.log.log import AppendOrigin, Log
from tailrace.records.control import EndTxnMarker, build_end_txn_marker

START_MS = 1_700_000_000_000


def leader_log(directory: Path, seed: int, config: LogConfig) -> Log:
    """A log of plain, idempotent and transactional batches of some epochs."""
    random = SeededRandom(seed)
    log = open_log(directory, config)
    sequence, epoch = 0, 0
    for step in range(60):
        kind = random.integer(0, 9)
        if kind == 0:
            epoch += 1
        if kind < 4:
            log.append_as_leader(idempotent_batch(sequence, 2), epoch)
            sequence += 2
        elif kind == 4:
            fields = {"producer_id": 9, "producer_epoch": 0, "base_sequence": -1, "is_transactional": True}
            log.append_as_leader(batch_of(**fields), epoch, AppendOrigin.COORDINATOR)
            marker = build_end_txn_marker(9, 0, EndTxnMarker(step % 2 == 0, 0), START_MS)
            log.append_as_leader(memoryview(marker), epoch, AppendOrigin.COORDINATOR)
        else:
            size = random.integer(1, 200)
            log.append_as_leader(batch_of(2, timestamp=START_MS + step * 100, value=b"x" * size), epoch)
    return log


def files(log: Log) -> dict[str, bytes]:
    log.close()
    return {path.name: path.read_bytes() for path in sorted(log.directory.iterdir())}


@pytest.mark.parametrize("seed", range(12))
def test_at_once_is_the_same_as_one_by_one(tmp_path: Path, seed: int) -> None:
    config = LogConfig(
        segment_bytes=(2000, 6000, 1 << 30)[seed % 3],
        index_interval_bytes=(0, 200, 4096)[seed % 2],
        segment_index_bytes=(10 << 20, 48)[seed % 4 == 3],
    )
    batches = read_batches(leader_log(tmp_path / "leader", seed, config))
    at_once, one_by_one = open_log(tmp_path / "a", config), open_log(tmp_path / "b", config)
    random = SeededRandom(seed)
    while batches:
        count = random.integer(1, 9)
        taken, batches = batches[:count], batches[count:]
        info = at_once.append_as_follower(memoryview(b"".join(bytes(each.view) for each in taken)))
        assert (info.first_offset, info.last_offset) == (taken[0].base_offset, taken[-1].last_offset)
        for each in taken:
            one_by_one.append_as_follower(memoryview(bytes(each.view)))
        assert at_once.log_end_offset == one_by_one.log_end_offset
        assert at_once.last_stable_offset == one_by_one.last_stable_offset
    kept = files(one_by_one)
    assert any(name.endswith(".snapshot") for name in kept), "what is known of producers is compared as well"
    assert files(at_once) == kept


def test_many_batches_are_one_write(tmp_path: Path) -> None:
    leader = open_log(tmp_path / "leader")
    for _ in range(20):
        leader.append_as_leader(batch_of(2), 0)
    disk = CountingDisk()
    follower = open_log(tmp_path / "follower", env=environment(disk))
    batches = [bytes(each.view) for each in read_batches(leader)]
    follower.append_as_follower(memoryview(batches[0]))
    disk.operations.clear()
    follower.append_as_follower(memoryview(b"".join(batches[1:])))
    assert [each.split()[0] for each in disk.operations] == ["write"]


def test_what_comes_before_a_batch_at_fault_stays(tmp_path: Path) -> None:
    leader = open_log(tmp_path / "leader")
    for _ in range(6):
        leader.append_as_leader(batch_of(2), 0)
    batches = [bytearray(each.view) for each in read_batches(leader)]
    batches[4][-1] ^= 1
    follower = open_log(tmp_path / "follower")
    follower.append_as_follower(memoryview(batches[0]))
    with pytest.raises(KafkaError) as refused:
        follower.append_as_follower(memoryview(b"".join(batches[1:])))
    assert refused.value.code is ErrorCode.CORRUPT_MESSAGE
    assert follower.log_end_offset == 8
    with pytest.raises(KafkaError) as refused:
        follower.append_as_follower(memoryview(b"".join((batches[3], batches[5]))))
    assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE
    assert follower.log_end_offset == 8
