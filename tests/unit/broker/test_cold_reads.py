"""Fetch and ListOffsets of what is not in memory: who waits, who does not, and what ends the wait."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest
from broker_bench import Bench, only
from test_produce_fetch import ask, batch, data_of, get, send, values

from support.cold_cache import ColdCache
from tailrace.base.errors import ErrorCode
from tailrace.base.limits import COLD_WAIT_MAX_MS, INLINE_MAX_BYTES
from tailrace.base.page_cache import HasFileno, NotResident, ReadScope, load_missing
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.handlers import list_offsets
from tailrace.net.handler import FileRange
from tailrace.replication.partition import Partition
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic

START_MS = 1_700_000_000_000


class LaterReads:
    """ColdReads whose loads are done when the test says so."""

    def __init__(self, cache: ColdCache) -> None:
        self.cache = cache
        self.waiting: deque[tuple[NotResident, Any]] = deque()
        self.followed: list[tuple[int, int]] = []

    def scope(self) -> ReadScope:
        return ReadScope(self.cache)

    def load(self, missing: NotResident, done: Any) -> None:
        self.waiting.append((missing, done))

    def follow(self, file: HasFileno, position: int, size: int) -> None:
        self.followed.append((position, size))

    def run_one(self) -> None:
        missing, done = self.waiting.popleft()
        done(load_missing(self.cache, missing.path, missing.position, missing.size))

    def run(self) -> int:
        """Do every load, those that follow from it too; answers how many."""
        count = 0
        while self.waiting:
            count += 1
            self.run_one()
        return count


@pytest.fixture
def reads(bench: Bench) -> LaterReads:
    made = LaterReads(ColdCache())
    bench.services.cold_reads = made
    return made


def make_cold(bench: Bench, cache: ColdCache, topic: str) -> Partition:
    """Seal the topic's first segment and have it, its indexes too, out of memory."""
    (partition,) = bench.topic(topic)
    for index in range(4):
        send(bench, topic, batch(b"%d" % index * 3000, b"end", timestamp_ms=START_MS + index * 10))
    partition.log.roll()
    send(bench, topic, batch(b"new", timestamp_ms=START_MS + 1000))
    segment = partition.log.segments[0]
    segment.unload()
    for path in segment.paths():
        if path.exists():
            cache.evict(path)
    return partition


def lead(bench: Bench, name: str, index: int) -> Partition | None:
    log = bench.logs.get(TopicPartition(name, index))
    if log is None:
        return None
    partition = Partition(log, log.topic_id, 1, [1])
    bench.partitions.add(partition)
    partition.become_leader(0)
    return bench.partitions.get_present(name, index)


def paths_of(reads: LaterReads) -> list[str]:
    return [missing.path.suffix for missing, _ in reads.waiting]


class TestFetch:
    def test_a_cold_fetch_waits_for_its_pieces_and_gets_its_records(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        answer = get(bench, ask("cold", 3, wait_ms=100))
        assert isinstance(answer, Pending) and not answer.done
        assert paths_of(reads) == [".index"]
        reads.run_one()
        assert paths_of(reads) == [".log"] and not answer.done, "the index is there, the batches are not"
        assert reads.run() >= 1 and answer.done
        assert values(data_of(answer)) == [b"1" * 3000, b"end", b"2" * 3000, b"end", b"3" * 3000, b"end"]

    def test_others_are_answered_meanwhile(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        bench.topic("hot")
        send(bench, "hot", batch(b"h"))
        cold = get(bench, ask("cold", 0, wait_ms=100))
        assert values(data_of(get(bench, ask("hot", 0, wait_ms=100)))) == [b"h"]
        assert values(data_of(get(bench, ask("cold", 8)))) == [b"new"], "the active segment is in memory"
        assert isinstance(cold, Pending) and not cold.done

    def test_who_does_not_want_to_wait_still_waits_for_the_disk(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        answer = get(bench, ask("cold", 0, wait_ms=0))
        assert isinstance(answer, Pending)
        reads.run()
        assert values(data_of(answer))[0] == b"0" * 3000

    def test_a_hanging_disk_does_not_hold_the_partitions_of_another(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        bench.topic("hot")
        send(bench, "hot", batch(b"h"))
        topics = [
            FetchTopic(name, partitions=[FetchPartition(0, fetch_offset=0, partition_max_bytes=1 << 20)])
            for name in ("cold", "hot")
        ]
        request = FetchRequest(max_wait_ms=50, min_bytes=1, max_bytes=1 << 20, session_epoch=-1, topics=topics)
        answer = get(bench, request)
        assert isinstance(answer, Pending)
        bench.advance(50)
        assert not answer.done
        bench.advance(COLD_WAIT_MAX_MS)
        assert answer.done
        cold, hot = (only(topic.partitions) for topic in answer.value.responses)
        assert values(hot) == [b"h"] and not cold.records and cold.error_code == 0 and cold.high_watermark == 9
        reads.run()  # what comes too late is for nobody

    def test_a_wait_for_the_disk_outlasts_max_wait(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        answer = get(bench, ask("cold", 0, wait_ms=50, min_bytes=1 << 19))
        bench.advance(60)
        reads.run()
        assert isinstance(answer, Pending) and values(data_of(answer))[0] == b"0" * 3000

    def test_when_the_pieces_are_there_it_waits_for_enough_bytes(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        answer = get(bench, ask("cold", 7, wait_ms=50, min_bytes=1 << 19))
        reads.run()
        assert isinstance(answer, Pending) and not answer.done
        bench.advance(60)
        assert values(data_of(answer)) == [b"3" * 3000, b"end"]

    def test_a_piece_that_cannot_be_read_fails_its_partition(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        reads.cache.error = OSError(5, "Input/output error")
        answer = get(bench, ask("cold", 0, wait_ms=100))
        reads.run()
        assert data_of(answer).error_code == ErrorCode.KAFKA_STORAGE_ERROR

    def test_without_memory_to_keep_anything_it_ends_all_the_same(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        reads.cache.forgets_at_once = True
        answer = get(bench, ask("cold", 0, wait_ms=100))
        assert reads.run() < 10
        assert values(data_of(answer))[0] == b"0" * 3000

    def test_a_partition_deleted_meanwhile_ends_the_wait(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        answer = get(bench, ask("cold", 0, wait_ms=100))
        bench.delete_topic("cold")
        reads.run()
        bench.run_soon()
        assert data_of(answer).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def test_a_log_that_was_not_asked_for_before_is_opened_from_memory(self, bench: Bench, reads: LaterReads) -> None:
        partition = make_cold(bench, reads.cache, "cold")
        bench.partitions.remove(partition.topic_partition)
        directory = partition.log.directory
        partition.log.close()
        home = bench.logs.directory_of(partition.topic_partition)
        bench.logs._by_partition.clear()  # as a start after a clean end leaves it
        bench.logs._home.clear()
        home.was_clean = True
        home.unopened[partition.topic_partition] = 0
        bench.partitions.lead_missing = lambda name, index: lead(bench, name, index)
        for path in directory.iterdir():
            reads.cache.evict(path)
        answer = get(bench, ask("cold", 0, wait_ms=100))
        assert isinstance(answer, Pending) and partition.topic_partition in home.unopened
        while not answer.done:
            assert len(reads.waiting) == 1
            reads.run_one()
        assert values(data_of(answer))[0] == b"0" * 3000 and not home.unopened

    def test_old_readers_convert_what_was_loaded(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        answer = get(bench, ask("cold", 0, wait_ms=100), version=3)
        reads.run()
        assert isinstance(answer, Pending) and len(data_of(answer).records) > 12_000

    def test_few_bytes_go_with_the_answer_and_many_from_the_file(self, bench: Bench, reads: LaterReads) -> None:
        bench.topic("t")
        send(bench, "t", batch(b"few"))
        assert isinstance(data_of(get(bench, ask("t", 0))).records, bytes) and not reads.followed
        send(bench, "t", batch(b"x" * INLINE_MAX_BYTES))
        found = data_of(get(bench, ask("t", 0))).records
        assert isinstance(found, FileRange) and reads.followed == [(found.position, found.size)]


class TestListOffsets:
    def test_a_search_by_time_waits_for_its_pieces(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        bench.topic("hot")
        asked = [
            ListOffsetsTopic("cold", [ListOffsetsPartition(0, -1, START_MS + 11)]),
            ListOffsetsTopic("hot", [ListOffsetsPartition(0, -1, -1)]),
        ]
        answer = list_offsets.handle(bench.services, bench.context(2, 7), ListOffsetsRequest(-1, 0, asked))
        assert isinstance(answer, Pending) and not answer.done
        assert reads.run() >= 2
        cold, hot = (only(topic.partitions) for topic in answer.value.topics)
        assert (cold.offset, cold.timestamp) == (3, START_MS + 11) and hot.offset == 0

    def test_ends_need_no_disk(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        for timestamp, offset in ((-1, 9), (-2, 0)):
            asked = [ListOffsetsTopic("cold", [ListOffsetsPartition(0, -1, timestamp)])]
            answer = list_offsets.handle(bench.services, bench.context(2, 7), ListOffsetsRequest(-1, 0, asked))
            assert not isinstance(answer, Pending)
            assert only(only(answer.topics).partitions).offset == offset

    def test_a_piece_that_cannot_be_read_fails_its_partition(self, bench: Bench, reads: LaterReads) -> None:
        make_cold(bench, reads.cache, "cold")
        reads.cache.error = OSError(5, "Input/output error")
        asked = [ListOffsetsTopic("cold", [ListOffsetsPartition(0, -1, START_MS)])]
        answer = list_offsets.handle(bench.services, bench.context(2, 7), ListOffsetsRequest(-1, 0, asked))
        reads.run()
        assert isinstance(answer, Pending)
        assert only(only(answer.value.topics).partitions).error_code == ErrorCode.KAFKA_STORAGE_ERROR


def test_cold_caches_are_told_by_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(9000))
    cache = ColdCache()
    cache.evict(path)
    with path.open("rb") as file:
        cache.load(file.fileno(), 4096, 1)
        assert cache.is_resident(file.fileno(), 4100, 10) and not cache.is_resident(file.fileno(), 4090, 10)
