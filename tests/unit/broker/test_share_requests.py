"""ShareFetch and ShareAcknowledge over real logs and the real share coordinator (KIP-932)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from broker_bench import Bench
from test_cold_reads import LaterReads
from test_produce_fetch import batch, send

from support.cold_cache import ColdCache
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicId
from tailrace.broker.handlers import delete_records, find_coordinator, share_acknowledge, share_fetch
from tailrace.broker.share.requests import AcknowledgeType
from tailrace.cluster.records import ConfigRecord, ResourceType
from tailrace.coordinator.share_state.ports import SharePartitionKey
from tailrace.log.results import AppendOrigin
from tailrace.net.handler import FileRange
from tailrace.records.builder import BatchBuilder
from tailrace.replication.transactional import Marker, write_marker
from tailrace.wire.messages import share_acknowledge as acknowledging
from tailrace.wire.messages import share_fetch as fetching
from tailrace.wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest

GAP, ACCEPT, RELEASE, REJECT, RENEW = (int(kind) for kind in AcknowledgeType)
Said = tuple[int, int, list[int]]


class Member:
    """A member of group g that counts its session's epochs as clients do."""

    def __init__(self, stage: Stage, name: str, connection_id: int = 1) -> None:
        self.stage = stage
        self.name = name
        self.connection_id = connection_id
        self.epoch = 0

    def fetch(self, *said: Said, partition: int = 0, **more: Any) -> Any:
        """The response, or a Pending where it has to wait."""
        batches = [fetching.AcknowledgementBatch(*each) for each in said]
        named = {"partitions": [fetching.FetchPartition(partition, batches)]}
        wish: dict[str, Any] = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 20, "max_records": 500}
        wish |= {"batch_size": 500, "share_session_epoch": self.epoch}
        request = fetching.ShareFetchRequest(
            group_id="g",
            member_id=self.name,
            topics=[fetching.FetchTopic(self.stage.topic_id, **named)],
            **(wish | more),
        )
        self.epoch += 1
        return self.stage.answered(share_fetch.handle(self.stage.services, self.context(78), request))

    def say(self, *said: Said, epoch: int | None = None, is_renew_ack: bool = False) -> Any:
        batches = [acknowledging.AcknowledgementBatch(*each) for each in said]
        topics = [acknowledging.AcknowledgeTopic(self.stage.topic_id, [acknowledging.AcknowledgePartition(0, batches)])]
        wanted = self.epoch if epoch is None else epoch
        request = acknowledging.ShareAcknowledgeRequest("g", self.name, wanted, is_renew_ack, topics if said else [])
        self.epoch += 1
        return self.stage.answered(share_acknowledge.handle(self.stage.services, self.context(79), request))

    def context(self, key: int) -> Any:
        found = self.stage.bench.context(key, 2)
        return found._replace(peer=found.peer._replace(connection_id=self.connection_id))


class Stage:
    """Topic t of some partitions, group g that begins at its start."""

    def __init__(self, bench: Bench, partitions: int = 1) -> None:
        self.bench = bench
        self.services = bench.services
        assert self.services.auto_create("__share_group_state").value == {}
        self.partitions = bench.topic("t", partitions)
        self.topic_id: TopicId = self.partitions[0].topic_id
        for index in range(partitions):
            key = SharePartitionKey("g", self.topic_id, index)
            assert self.services.share_states.initialize_state(key, 1, 0).value is None

    def answered(self, answer: Any) -> Any:
        if isinstance(answer, Pending) and answer.done:
            return answer.value
        return answer

    def produce(self, *values: bytes) -> None:
        send(self.bench, "t", batch(*values))

    def restarted(self) -> None:
        """The broker's memory of share groups goes; its logs stay."""
        self.services.share.on_connection_closed(1)


def acquired(response: Any) -> list[tuple[int, int, int]]:
    return [
        (each.first_offset, each.last_offset, each.delivery_count)
        for topic in response.responses
        for data in topic.partitions
        for each in data.acquired_records
    ]


def said_of(response: Any) -> list[int]:
    return [data.acknowledge_error_code for topic in response.responses for data in topic.partitions]


@pytest.fixture
def stage(bench: Bench) -> Stage:
    return Stage(bench)


def test_records_are_acquired_acknowledged_and_not_seen_again(stage: Stage) -> None:
    stage.produce(b"a", b"b", b"c")
    member = Member(stage, "m")
    found = member.fetch()
    assert acquired(found) == [(0, 2, 1)]
    assert found.acquisition_lock_timeout_ms == 30_000
    assert bytes(found.responses[0].partitions[0].records)[8:12] != b""
    assert said_of(member.fetch((0, 2, [ACCEPT]))) == [0]
    assert acquired(Member(stage, "n").fetch()) == []


def test_large_records_go_from_the_file(stage: Stage) -> None:
    stage.produce(b"x" * 20_000)
    stage.produce(b"y" * 20_000)
    records = Member(stage, "m").fetch(max_records=1).responses[0].partitions[0].records
    assert isinstance(records, FileRange) and 20_000 < records.size < 21_000
    assert records.position == 0


def test_only_the_batches_with_acquired_records_are_sent(stage: Stage) -> None:
    for _ in range(3):
        stage.produce(b"v")
    member = Member(stage, "m")
    first = member.fetch(max_records=1)
    second = member.fetch(max_records=1)
    assert (acquired(first), acquired(second)) == ([(0, 0, 1)], [(1, 1, 1)])
    sent = bytes(second.responses[0].partitions[0].records)
    assert int.from_bytes(sent[:8]) == 1
    assert len(sent) == len(bytes(first.responses[0].partitions[0].records))


def test_a_member_waits_for_records_and_gets_those_that_come(stage: Stage) -> None:
    answer = Member(stage, "m").fetch(max_wait_ms=1000)
    assert not answer.done
    stage.produce(b"a")
    stage.bench.run_soon()
    assert acquired(answer.value) == [(0, 0, 1)]


def test_a_member_waits_no_longer_than_it_said(stage: Stage) -> None:
    answer = Member(stage, "m").fetch(max_wait_ms=1000)
    stage.bench.advance(999)
    assert not answer.done
    stage.bench.advance(10)
    assert acquired(answer.value) == []


def test_what_one_member_releases_wakes_another_that_waits(stage: Stage) -> None:
    stage.produce(b"a")
    first, second = Member(stage, "m"), Member(stage, "n", 2)
    assert acquired(first.fetch()) == [(0, 0, 1)]
    answer = second.fetch(max_wait_ms=1000)
    first.say((0, 0, [RELEASE]))
    stage.bench.run_soon()
    assert acquired(answer.value) == [(0, 0, 2)]


def test_a_closed_connection_gives_its_records_to_those_who_wait(stage: Stage) -> None:
    stage.produce(b"a")
    Member(stage, "m", 1).fetch()
    answer = Member(stage, "n", 2).fetch(max_wait_ms=1000)
    stage.services.on_connection_closed(1)
    stage.bench.run_soon()
    assert acquired(answer.value) == [(0, 0, 2)]


def test_nothing_is_acquired_for_a_member_that_left_while_it_waited(stage: Stage) -> None:
    gone, there = Member(stage, "m", 1), Member(stage, "n", 2)
    there.fetch()
    answer = gone.fetch(max_wait_ms=1000)
    stage.services.on_connection_closed(1)
    stage.produce(b"a")
    stage.bench.run_soon()
    assert answer.value.error_code == ErrorCode.SHARE_SESSION_NOT_FOUND
    assert acquired(there.fetch()) == [(0, 0, 1)]


def test_a_lock_that_runs_out_wakes_those_who_wait(stage: Stage) -> None:
    stage.produce(b"a")
    Member(stage, "m", 1).fetch()
    answer = Member(stage, "n", 2).fetch(max_wait_ms=60_000)
    stage.bench.advance(29_900)
    assert not answer.done
    stage.bench.advance(200)
    assert acquired(answer.value) == [(0, 0, 2)]


def test_renewed_locks_last(stage: Stage) -> None:
    stage.produce(b"a")
    member = Member(stage, "m", 1)
    member.fetch()
    stage.bench.advance(20_000)
    assert member.say((0, 0, [RENEW]), is_renew_ack=True).error_code == 0
    stage.bench.advance(20_000)
    assert acquired(Member(stage, "n", 2).fetch()) == []
    answer = member.say((0, 0, [RENEW]))
    assert answer.responses[0].partitions[0].error_code == ErrorCode.INVALID_REQUEST


def test_the_last_request_of_a_session_acknowledges_and_gives_back_the_rest(stage: Stage) -> None:
    stage.produce(b"a", b"b", b"c")
    member, other = Member(stage, "m", 1), Member(stage, "n", 2)
    other.fetch(max_records=0)
    member.fetch()
    assert said_of(member.fetch((0, 0, [ACCEPT]), share_session_epoch=-1)) == [0]
    assert acquired(other.fetch()) == [(1, 2, 2)]
    assert len(stage.services.share.sessions) == 1
    other.say((1, 1, [ACCEPT]), epoch=-1)
    assert len(stage.services.share) == len(stage.services.share.sessions) == 0


def test_state_outlives_the_memory_of_it(stage: Stage) -> None:
    stage.produce(b"a", b"b", b"c", b"d")
    member = Member(stage, "m")
    member.fetch()
    member.say((1, 1, [ACCEPT]), (2, 2, [REJECT]), (3, 3, [RELEASE]))
    stage.restarted()
    assert acquired(Member(stage, "m").fetch()) == [(0, 0, 2), (3, 3, 2)]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ((0, 0, []), ErrorCode.INVALID_REQUEST),
        ((0, 2, [ACCEPT, ACCEPT]), ErrorCode.INVALID_REQUEST),
        ((2, 0, [ACCEPT]), ErrorCode.INVALID_REQUEST),
        ((0, 0, [5]), ErrorCode.INVALID_REQUEST),
        ((0, 9, [ACCEPT]), ErrorCode.INVALID_REQUEST),
        ((0, 2, [ACCEPT]), ErrorCode.NONE),
    ],
)
def test_acknowledgements_that_make_no_sense_are_refused(stage: Stage, said: Said, code: ErrorCode) -> None:
    stage.produce(b"a", b"b", b"c")
    member = Member(stage, "m")
    member.fetch()
    assert member.say(said).responses[0].partitions[0].error_code == code


def test_another_s_records_cannot_be_acknowledged(stage: Stage) -> None:
    stage.produce(b"a")
    Member(stage, "m", 1).fetch()
    other = Member(stage, "n", 2)
    other.fetch()
    assert said_of(other.fetch((0, 0, [ACCEPT]))) == [ErrorCode.INVALID_RECORD_STATE]


def test_sessions_are_counted_by_epoch(stage: Stage) -> None:
    member = Member(stage, "m")
    member.fetch()
    member.epoch = 5
    with pytest.raises(KafkaError) as caught:
        member.fetch()
    assert caught.value.code == ErrorCode.INVALID_SHARE_SESSION_EPOCH
    with pytest.raises(KafkaError) as caught:
        Member(stage, "n").fetch(share_session_epoch=1)
    assert caught.value.code == ErrorCode.SHARE_SESSION_NOT_FOUND
    with pytest.raises(KafkaError) as caught:
        Member(stage, "n").fetch((0, 0, [ACCEPT]))
    assert caught.value.code == ErrorCode.INVALID_REQUEST


def test_one_session_too_many_is_refused_after_its_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path, settings={"group.share.max.share.sessions": "1"})
    stage = Stage(bench)
    Member(stage, "m", 1).fetch()
    answer = Member(stage, "n", 2).fetch(max_wait_ms=500)
    assert not answer.done
    bench.advance(510)
    assert answer.value.error_code == ErrorCode.SHARE_SESSION_LIMIT_REACHED
    bench.logs.shut_down()


def test_a_topic_that_is_not_there(stage: Stage) -> None:
    member = Member(stage, "m")
    stage.bench.delete_topic("t")
    answer = member.fetch(max_wait_ms=1000)
    assert [data.error_code for data in answer.responses[0].partitions] == [ErrorCode.UNKNOWN_TOPIC_ID]


def test_a_group_that_was_not_made_is_told(stage: Stage) -> None:
    """Its state is not there to be read."""
    request = fetching.ShareFetchRequest(
        group_id="h",
        member_id="m",
        max_bytes=1000,
        max_records=10,
        topics=[fetching.FetchTopic(stage.topic_id, [fetching.FetchPartition(0)])],
    )
    answer = stage.answered(share_fetch.handle(stage.services, stage.bench.context(78, 2), request))
    assert answer.responses[0].partitions[0].error_code != 0


def test_deleted_records_are_passed_over(stage: Stage) -> None:
    for _ in range(4):
        stage.produce(b"v")
    member = Member(stage, "m")
    assert acquired(member.fetch(max_records=2)) == [(0, 1, 1)]
    request = DeleteRecordsRequest([DeleteRecordsTopic("t", [DeleteRecordsPartition(0, 3)])])
    delete_records.handle(stage.services, stage.bench.context(21, 2), request)
    assert acquired(member.fetch()) == [(3, 3, 1)]
    assert member.say((0, 1, [ACCEPT]), (3, 3, [ACCEPT])).responses[0].partitions[0].error_code == 0


def test_partitions_without_news_are_left_out_once_the_session_goes_on(bench: Bench) -> None:
    stage = Stage(bench, 2)
    member = Member(stage, "m")

    def told(**more: Any) -> list[int]:
        response = member.fetch(**more)
        return [data.partition_index for topic in response.responses for data in topic.partitions]

    assert told() == [0]
    assert told(partition=1) == [1]
    assert told(partition=1) == []
    send(bench, "t", batch(b"a"), index=1)
    assert told() == [1]


def test_the_state_s_coordinator_is_found_by_the_share_partition(stage: Stage) -> None:
    key = SharePartitionKey("g", stage.topic_id, 0).text
    request = FindCoordinatorRequest(key_type=2, coordinator_keys=[key, "g", "g:x:0"])
    found = find_coordinator.handle(stage.services, stage.bench.context(10, 6), request).coordinators
    assert [each.error_code for each in found] == [0, ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_REQUEST]


def test_what_is_not_in_memory_is_loaded_while_members_wait_and_one_has_it(stage: Stage) -> None:
    reads = LaterReads(ColdCache())
    stage.services.cold_reads = reads
    stage.produce(b"x" * 3000)
    (partition,) = stage.partitions
    partition.log.roll()
    segment = partition.log.segments[0]
    segment.unload()
    first, second = Member(stage, "m", 1), Member(stage, "n", 2)
    for member in (first, second):
        member.fetch(max_records=0)
    for path in segment.paths():
        if path.exists():
            reads.cache.evict(path)
    answers = [member.fetch() for member in (first, second)]
    assert not any(answer.done for answer in answers)
    assert reads.run() > 0
    assert sorted(acquired(answer.value) for answer in answers) == [[], [(0, 0, 1)]]


def test_a_group_that_reads_committed_never_gets_aborted_records(stage: Stage) -> None:
    stage.bench.metadata.commit_now([ConfigRecord(ResourceType.GROUP, "g", "share.isolation.level", "read_committed")])
    (partition,) = stage.partitions

    def transaction(producer_id: int, *values: bytes) -> None:
        builder = BatchBuilder()
        for value in values:
            builder.append(1_700_000_000_000, None, value)
        partition.append(memoryview(builder.build_transactional(producer_id, 0)), AppendOrigin.COORDINATOR)

    def end(producer_id: int, is_commit: bool) -> None:
        write_marker(partition, Marker(producer_id, 0, is_commit, 0), stage.bench.clock.wall_ms())

    stage.produce(b"0")
    transaction(7, b"1", b"2")
    end(7, False)  # 3
    transaction(7, b"4", b"5")
    end(7, True)  # 6
    transaction(8, b"7")
    got = acquired(Member(stage, "m").fetch())
    assert got == [(0, 0, 1), (3, 6, 1)], "the markers' offsets hold no records: the client says so"
    end(8, True)
    assert acquired(Member(stage, "n").fetch()) == [(7, 8, 1)]
