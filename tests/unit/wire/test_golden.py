"""Bytes put together by hand from the schemas: the shapes clients break on, and messages no other codec knows yet."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import (
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
    frame_size,
)
from tailrace.wire.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from tailrace.wire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from tailrace.wire.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse
from tailrace.wire.messages.describe_topic_partitions import Cursor, DescribeTopicPartitionsRequest
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from tailrace.wire.messages.metadata import MetadataRequest
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from tailrace.wire.primitives import DecodeError, decode_whole

GOLDEN: list[tuple[str, Any, int, str]] = [
    (
        "a cluster id and a node id since 4.4 (KIP-1242)",
        ApiVersionsRequest(client_software_name="a", client_software_version="1", cluster_id="c", node_id=3),
        5,
        "02 61  02 31  02 63  00000003  00",
    ),
    (
        "no cluster id",
        ApiVersionsRequest(client_software_name="a", client_software_version="1"),
        5,
        "02 61  02 31  00  ffffffff  00",
    ),
    (
        "an answer to it; the default epoch of features is not sent",
        ApiVersionsResponse(api_keys=[ApiVersion(api_key=18, max_version=5)], throttle_time_ms=1),
        5,
        "0000  02  0012 0000 0005 00  00000001  00",
    ),
    ("groups to delete", DeleteGroupsRequest(groups_names=["g"]), 3, "02 02 67 00"),
    (
        "why a group was not deleted, since 4.4",
        DeleteGroupsResponse(results=[DeletableGroupResult(group_id="g", error_code=68, error_message="no")]),
        3,
        "00000000  02  02 67  0044  03 6e6f  00  00",
    ),
    (
        "offsets of a transaction by topic id, since 4.4 (KIP-1319)",
        TxnOffsetCommitRequest(
            "x",
            "g",
            5,
            2,
            3,
            "m",
            None,
            [TxnOffsetCommitRequestTopic("", UUID(int=1), [TxnOffsetCommitRequestPartition(4, 7, 6, "y")])],
        ),
        6,
        "02 78  02 67  0000000000000005  0002  00000003  02 6d  00"
        "  02 00000000000000000000000000000001  02 00000004 0000000000000007 00000006 02 79 00  00  00",
    ),
    (
        "and their answer",
        TxnOffsetCommitResponse(
            0, [TxnOffsetCommitResponseTopic("", UUID(int=1), [TxnOffsetCommitResponsePartition(4, 100)])]
        ),
        6,
        "00000000  02 00000000000000000000000000000001  02 00000004 0064 00  00  00",
    ),
    ("all topics in version 0: an empty list", MetadataRequest(topics=[]), 0, "00000000"),
    ("all topics since version 1: null", MetadataRequest(topics=None), 1, "ffffffff"),
    (
        "a time of commit, in version 1 alone (KIP-896 dropped it)",
        OffsetCommitRequest(
            group_id="g",
            generation_id_or_member_epoch=1,
            member_id="m",
            topics=[
                OffsetCommitRequestTopic(
                    name="t",
                    partitions=[
                        OffsetCommitRequestPartition(committed_offset=7, commit_timestamp=9, committed_metadata="x")
                    ],
                )
            ],
        ),
        1,
        "0001 67  00000001  0001 6d  00000001 0001 74  00000001 00000000 0000000000000007 0000000000000009 0001 78",
    ),
    (
        "a null struct: one byte, -1",
        DescribeTopicPartitionsRequest(response_partition_limit=5),
        0,
        "01 00000005 ff 00",
    ),
    (
        "a struct that may be null: 1, then its fields",
        DescribeTopicPartitionsRequest(response_partition_limit=5, cursor=Cursor(topic_name="t", partition_index=2)),
        0,
        "01 00000005 01 02 74 00000002 00 00",
    ),
    (
        "a field called count beside an array",
        CreatePartitionsRequest(topics=[CreatePartitionsTopic(name="t", count=3, assignments=None)], timeout_ms=1),
        1,
        "00000001 0001 74 00000003 ffffffff 00000001 00",
    ),
    (
        "tagged fields in a nested struct, by rising tag",
        FetchRequest(
            cluster_id="c",
            topics=[FetchTopic(partitions=[FetchPartition(high_watermark=1)])],
            forgotten_topics_data=[],
        ),
        18,
        "00000000 00000000 7fffffff 00 00000000 ffffffff"
        "02 00000000000000000000000000000000"
        "02 00000000 ffffffff 0000000000000000 ffffffff ffffffffffffffff 00000000 01 01 08 0000000000000001"
        "00  01  01  01 00 02 02 63",
    ),
]


@pytest.mark.parametrize(("about", "message", "version", "text"), GOLDEN, ids=[about for about, *_ in GOLDEN])
def test_bytes(about: str, message: Any, version: int, text: str) -> None:
    data = bytes.fromhex(text)
    out = bytearray()
    message.encode(out, version)
    assert out.hex() == data.hex()
    assert decode_whole(type(message), data, version) == message


def known(key: ApiKey) -> Any:
    found = api(key)
    assert found is not None
    return found


def test_a_classic_request() -> None:
    frame = bytes.fromhex("00000016 000c 0000 00000007 0002 6d65  0001 67 00000005 0001 6d")
    request = HeartbeatRequest(group_id="g", generation_id=5, member_id="m")
    assert encode_request(known(ApiKey.HEARTBEAT), 0, 7, "me", request) == frame
    assert frame_size(memoryview(frame), 0) == len(frame) - 4
    header = decode_request_header(memoryview(frame)[4:])
    assert (header.api_key, header.api_version, header.correlation_id) == (12, 0, 7)
    assert decode_request(known(ApiKey.HEARTBEAT), header, memoryview(frame)[4:]) == ("me", request)


def test_the_client_id_of_a_flexible_request_is_not_compact() -> None:
    """Header version 2 keeps the int16 length (Kafka's RequestHeader.json), and tagged fields follow it."""
    content = memoryview(bytes.fromhex("000c 0004 00000007 ffff 01 05 01 ff  02 67 00000005 02 6d 00 00"))
    client_id, request = decode_request(known(ApiKey.HEARTBEAT), decode_request_header(content), content)
    assert client_id is None
    assert request == HeartbeatRequest(group_id="g", generation_id=5, member_id="m")


def test_a_flexible_response_has_tags_in_its_header() -> None:
    frame = encode_response(known(ApiKey.HEARTBEAT), 4, 7, HeartbeatResponse(error_code=27))
    assert frame.hex() == "0000000c" + "00000007" + "00" + "00000000" + "001b" + "00"
    assert decode_response(known(ApiKey.HEARTBEAT), 4, memoryview(frame)[4:]) == (7, HeartbeatResponse(error_code=27))


@pytest.mark.parametrize("version", [0, 3, 4, 5])
def test_an_answer_to_api_versions_never_has_tags_in_its_header(version: int) -> None:
    """KIP-511; a byte too many made librdkafka ask for 34 GB."""
    frame = encode_response(known(ApiKey.API_VERSIONS), version, 7, ApiVersionsResponse(error_code=35))
    assert frame[4:10].hex() == "00000007" + "0023"
    assert decode_response(known(ApiKey.API_VERSIONS), version, memoryview(frame)[4:])[1].error_code == 35


def test_bytes_after_a_request_are_passed_over() -> None:
    content = memoryview(bytes.fromhex("000c 0000 00000007 ffff  0001 67 00000005 0001 6d  dead"))
    assert decode_request(known(ApiKey.HEARTBEAT), decode_request_header(content), content)[1].member_id == "m"


def test_a_tagged_field_that_is_not_as_long_as_it_says_is_refused() -> None:
    head = bytes.fromhex("ffffffff 00000000 00000000 7fffffff 00 00000000 ffffffff 01 01 01")
    assert decode_whole(FetchRequest, head + bytes.fromhex("01 00 02 02 63"), 13).cluster_id == "c"
    for tags in ("01 00 03 02 63 64", "01 00 01 02 63 64"):
        with pytest.raises(DecodeError, match="tagged"):
            decode_whole(FetchRequest, head + bytes.fromhex(tags), 13)


@pytest.mark.parametrize("size", range(8))
def test_a_request_shorter_than_its_header_is_refused(size: int) -> None:
    with pytest.raises(DecodeError):
        decode_request_header(memoryview(bytes(size)))
