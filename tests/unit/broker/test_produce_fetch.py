"""Produce, Fetch and ListOffsets against a real log: what is written comes back, waiting readers wake, bounds hold."""

from __future__ import annotations

from typing import Any

import pytest
from broker_bench import Bench, only

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.broker.handlers import fetch, list_offsets, produce
from tailrace.broker.services import CloseConnection
from tailrace.records.batch import iter_whole_batches
from tailrace.records.builder import BatchBuilder
from tailrace.records.compression import Codec
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


def batch(*values: bytes, timestamp_ms: int = 1_700_000_000_000, codec: Codec = Codec.NONE) -> bytearray:
    builder = BatchBuilder()
    for index, value in enumerate(values):
        builder.append(timestamp_ms + index, b"k", value)
    return builder.build(codec)


def send(bench: Bench, topic: str, records: bytearray | None, version: int = 9, acks: int = -1, **more: Any) -> Any:
    topic_id = more.pop("topic_id", ZERO_TOPIC_ID)
    data = [TopicProduceData(topic, topic_id, [PartitionProduceData(more.pop("index", 0), records)])]
    request = ProduceRequest(more.pop("transactional_id", None), acks, 1000, data)
    response = produce.handle(bench.services, bench.context(0, version, **more), request)
    return None if response is None else only(only(response.responses).partition_responses)


def ask(
    topic: str, offset: int, wait_ms: int = 0, min_bytes: int = 1, max_bytes: int = 1 << 20, **more: Any
) -> FetchRequest:
    partition = FetchPartition(0, fetch_offset=offset, partition_max_bytes=more.pop("partition_max_bytes", 1 << 20))
    for name in ("current_leader_epoch", "last_fetched_epoch"):
        setattr(partition, name, more.pop(name, -1))
    topic_id = more.pop("topic_id", ZERO_TOPIC_ID)
    return FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        session_epoch=more.pop("session_epoch", -1),
        topics=[FetchTopic(topic, topic_id, [partition])],
        **more,
    )


def get(bench: Bench, request: FetchRequest, version: int = 12) -> FetchResponse | Pending[FetchResponse]:
    return fetch.handle(bench.services, bench.context(1, version), request)


def data_of(response: FetchResponse | Pending[FetchResponse]) -> Any:
    answer = response.value if isinstance(response, Pending) else response
    return only(only(answer.responses).partitions)


def values(data: Any) -> list[bytes | None]:
    """Values of the records a partition's answer points at."""
    if not data.records:
        return []
    raw = data.records
    if not isinstance(raw, bytes):
        raw = raw.file.pread(raw.size, raw.position)
    return [record.value for found in iter_whole_batches(memoryview(bytearray(raw))) for record in found.records()]


class TestProduce:
    def test_offsets_are_given_in_order(self, bench: Bench) -> None:
        bench.topic("t")
        first, second = send(bench, "t", batch(b"a", b"b")), send(bench, "t", batch(b"c"))
        assert (first.error_code, first.base_offset, second.base_offset) == (0, 0, 2)
        assert bench.partitions.of("t", 0).high_watermark == 3

    @pytest.mark.parametrize(
        ("acks", "code"), [(2, ErrorCode.INVALID_REQUIRED_ACKS), (-2, ErrorCode.INVALID_REQUIRED_ACKS)]
    )
    def test_unknown_acks_are_refused(self, bench: Bench, acks: int, code: ErrorCode) -> None:
        bench.topic("t")
        assert send(bench, "t", batch(b"a"), acks=acks).error_code == code

    def test_acks_0_is_silent_and_an_error_closes(self, bench: Bench) -> None:
        bench.topic("t")
        assert send(bench, "t", batch(b"a"), acks=0) is None
        assert bench.partitions.of("t", 0).high_watermark == 1
        with pytest.raises(CloseConnection):
            send(bench, "missing", batch(b"a"), acks=0)

    def test_unknown_topics_and_partitions(self, bench: Bench) -> None:
        bench.topic("t")
        assert send(bench, "x", batch(b"a")).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert send(bench, "t", batch(b"a"), index=1).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert send(bench, "", batch(b"a"), version=13).error_code == ErrorCode.UNKNOWN_TOPIC_ID

    def test_a_topic_id_names_the_topic(self, bench: Bench) -> None:
        (partition,) = bench.topic("t")
        assert send(bench, "", batch(b"a"), version=13, topic_id=partition.topic_id).error_code == 0

    def test_only_the_admin_client_writes_to_internal_topics(self, bench: Bench) -> None:
        bench.topic("__consumer_offsets")
        assert send(bench, "__consumer_offsets", batch(b"a")).error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
        assert send(bench, "__consumer_offsets", batch(b"a"), client_id="__admin_client").error_code == 0

    def test_zstd_needs_version_7(self, bench: Bench) -> None:
        bench.topic("t")
        compressed = batch(b"a" * 100, codec=Codec.ZSTD)
        assert send(bench, "t", compressed, version=6).error_code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
        assert send(bench, "t", compressed, version=7).error_code == 0

    def test_damaged_missing_and_oversized_records(self, bench: Bench) -> None:
        bench.topic("t", max_message_bytes="200")
        damaged = batch(b"a")
        damaged[-1] ^= 1
        assert send(bench, "t", damaged).error_code == ErrorCode.CORRUPT_MESSAGE
        assert send(bench, "t", None).error_code == ErrorCode.INVALID_RECORD
        assert send(bench, "t", batch(b"a" * 300)).error_code == ErrorCode.MESSAGE_TOO_LARGE
        assert bench.partitions.of("t", 0).log_end_offset == 0

    def test_a_compacted_topic_wants_keys(self, bench: Bench) -> None:
        bench.topic("t", cleanup_policy="compact")
        builder = BatchBuilder()
        builder.append(1_700_000_000_000, b"k", b"v")
        builder.append(1_700_000_000_000, None, b"v")
        answer = send(bench, "t", builder.build())
        assert answer.error_code == ErrorCode.INVALID_RECORD
        assert [error.batch_index for error in answer.record_errors] == [1]


class TestFetch:
    def test_what_was_written_comes_back(self, bench: Bench) -> None:
        bench.topic("t")
        send(bench, "t", batch(b"a", b"b"))
        send(bench, "t", batch(b"c"))
        data = data_of(get(bench, ask("t", 0)))
        assert (values(data), data.high_watermark, data.log_start_offset) == ([b"a", b"b", b"c"], 3, 0)

    def test_an_offset_inside_a_batch_gets_the_whole_batch(self, bench: Bench) -> None:
        """wants B17: leaving the batch out makes consumers hang for ever."""
        bench.topic("t")
        send(bench, "t", batch(b"a", b"b", b"c"))
        assert values(data_of(get(bench, ask("t", 2)))) == [b"a", b"b", b"c"]

    def test_the_first_batch_is_returned_even_if_too_large(self, bench: Bench) -> None:
        bench.topic("t")
        send(bench, "t", batch(b"a" * 1000))
        assert len(values(data_of(get(bench, ask("t", 0, max_bytes=10, partition_max_bytes=10))))) == 1

    def test_outside_the_log_is_refused_and_its_end_is_empty(self, bench: Bench) -> None:
        bench.topic("t")
        send(bench, "t", batch(b"a"))
        assert data_of(get(bench, ask("t", 2))).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert data_of(get(bench, ask("t", -1))).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        at_end = data_of(get(bench, ask("t", 1)))
        assert (at_end.error_code, at_end.records) == (0, b"")

    def test_a_reader_waits_for_data(self, bench: Bench) -> None:
        bench.topic("t")
        waiting = get(bench, ask("t", 0, wait_ms=500))
        assert isinstance(waiting, Pending) and not waiting.done
        send(bench, "t", batch(b"a"))
        assert not waiting.done, "readers look again after the turn, once for all that came in it"
        bench.run_soon()
        assert values(data_of(waiting)) == [b"a"]

    def test_a_reader_waits_no_longer_than_it_said(self, bench: Bench) -> None:
        bench.topic("t")
        waiting = get(bench, ask("t", 0, wait_ms=500))
        assert isinstance(waiting, Pending)
        bench.advance(499)
        assert not waiting.done
        bench.advance(12)
        assert values(data_of(waiting)) == []

    def test_a_reader_waits_for_min_bytes_in_all(self, bench: Bench) -> None:
        bench.topic("t")
        waiting = get(bench, ask("t", 0, wait_ms=500, min_bytes=600))
        assert isinstance(waiting, Pending)
        send(bench, "t", batch(b"a" * 400))
        bench.run_soon()
        assert not waiting.done
        send(bench, "t", batch(b"b" * 400))
        bench.run_soon()
        assert len(values(data_of(waiting))) == 2

    def test_deleting_the_topic_ends_the_wait(self, bench: Bench) -> None:
        bench.topic("t")
        waiting = get(bench, ask("t", 0, wait_ms=500))
        assert isinstance(waiting, Pending)
        bench.delete_topic("t")
        bench.run_soon()
        assert data_of(waiting).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def test_stale_and_future_leader_epochs_are_fenced(self, bench: Bench) -> None:
        (partition,) = bench.topic("t")
        epoch = partition.leader_epoch
        assert data_of(get(bench, ask("t", 0, current_leader_epoch=epoch))).error_code == 0
        assert (
            data_of(get(bench, ask("t", 0, current_leader_epoch=epoch + 1))).error_code
            == ErrorCode.UNKNOWN_LEADER_EPOCH
        )
        partition.become_leader(epoch + 1)
        assert data_of(get(bench, ask("t", 0, current_leader_epoch=epoch))).error_code == ErrorCode.FENCED_LEADER_EPOCH

    @pytest.mark.parametrize("version", [0, 1, 2, 3])
    def test_old_readers_get_old_messages(self, bench: Bench, version: int) -> None:
        bench.topic("t")
        send(bench, "t", batch(b"a", b"b"))
        records = data_of(get(bench, ask("t", 0), version)).records
        assert records[16] == (0 if version < 2 else 1)


class TestFetchSession:
    def test_only_changes_are_told(self, bench: Bench) -> None:
        bench.topic("t")
        first = get(bench, ask("t", 0, session_epoch=0))
        assert isinstance(first, FetchResponse) and first.session_id > 0
        again = FetchRequest(session_id=first.session_id, session_epoch=1)
        second = get(bench, again)
        assert isinstance(second, FetchResponse) and second.responses == []
        send(bench, "t", batch(b"a"))
        assert values(data_of(get(bench, FetchRequest(session_id=first.session_id, session_epoch=2)))) == [b"a"]

    def test_forgotten_partitions_leave_and_an_empty_session_ends(self, bench: Bench) -> None:
        bench.topic("t")
        first = get(bench, ask("t", 0, session_epoch=0))
        assert isinstance(first, FetchResponse)
        forget = FetchRequest(
            session_id=first.session_id, session_epoch=1, forgotten_topics_data=[ForgottenTopic("t", partitions=[0])]
        )
        answer = get(bench, forget)
        assert isinstance(answer, FetchResponse)
        assert (answer.session_id, len(bench.services.fetch_sessions)) == (0, 0)

    def test_unknown_sessions_are_refused_at_the_top(self, bench: Bench) -> None:
        answer = get(bench, FetchRequest(session_id=5, session_epoch=1))
        assert isinstance(answer, FetchResponse) and answer.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


class TestListOffsets:
    def list(self, bench: Bench, timestamp: int, version: int = 7, epoch: int = -1) -> Any:
        asked = ListOffsetsPartition(0, epoch, timestamp, max_num_offsets=10)
        request = ListOffsetsRequest(-1, 0, [ListOffsetsTopic("t", [asked])])
        response = list_offsets.handle(bench.services, bench.context(2, version), request)
        return only(only(response.topics).partitions)

    def test_ends_times_and_the_largest_time(self, bench: Bench) -> None:
        bench.topic("t")
        start_ms = 1_700_000_000_000
        send(bench, "t", batch(b"a", b"b", timestamp_ms=start_ms))
        send(bench, "t", batch(b"c", timestamp_ms=start_ms + 10))
        assert self.list(bench, -2).offset == 0
        assert self.list(bench, -1).offset == 3
        assert self.list(bench, -3).offset == 2
        found = self.list(bench, start_ms + 1)
        assert (found.timestamp, found.offset) == (start_ms + 1, 1)
        assert self.list(bench, start_ms + 5).offset == 2
        assert self.list(bench, start_ms + 11).offset == -1

    def test_a_special_time_of_a_later_version_is_refused(self, bench: Bench) -> None:
        bench.topic("t")
        assert self.list(bench, -3, version=6).error_code == ErrorCode.UNSUPPORTED_VERSION

    def test_version_0_lists_segment_starts(self, bench: Bench) -> None:
        bench.topic("t")
        send(bench, "t", batch(b"a", b"b"))
        assert self.list(bench, -1, version=0).old_style_offsets == [2, 0]
        assert self.list(bench, -2, version=0).old_style_offsets == [0]

    def test_a_partition_named_twice_is_refused(self, bench: Bench) -> None:
        bench.topic("t")
        twice = [ListOffsetsPartition(0, -1, -1), ListOffsetsPartition(0, -1, -2)]
        request = ListOffsetsRequest(-1, 0, [ListOffsetsTopic("t", twice)])
        response = list_offsets.handle(bench.services, bench.context(2, 7), request)
        assert [answer.error_code for answer in only(response.topics).partitions] == [ErrorCode.INVALID_REQUEST]
