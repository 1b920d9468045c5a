"""The hand-written Fetch encoder writes the bytes of the generated one, in every version."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest

from tailrace.wire.api import ApiKey, api
from tailrace.wire.fetch_parts import encode_fetch_response
from tailrace.wire.frame import encode_response
from tailrace.wire.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchResponse,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
    SnapshotId,
)

FETCH = api(ApiKey.FETCH)
assert FETCH is not None
VERSIONS = range(FETCH.first_version, FETCH.last_version + 1)


@dataclass
class Range:
    """Stands for a range of a file that holds `data`."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


def joined(parts: list[object]) -> bytes:
    return b"".join(part.data if isinstance(part, Range) else bytes(part) for part in parts)  # type: ignore[call-overload]


def response(wrap: type[Range] | type[bytes], version: int) -> FetchResponse:
    plain = PartitionData(3, 0, 7, 6, 5)
    plain.records = wrap(b"first records")  # type: ignore[assignment]
    tagged = PartitionData(4, 6, -1, diverging_epoch=EpochEndOffset(2, 9), current_leader=LeaderIdAndEpoch(1, 4))
    tagged.snapshot_id = SnapshotId(5, 6)
    tagged.records = b""
    aborted = PartitionData(5, 0, 9, aborted_transactions=[AbortedTransaction(11, 2)], preferred_read_replica=2)
    aborted.records = wrap(b"more")  # type: ignore[assignment]
    null = PartitionData(6)
    null.records = None
    topics = [
        FetchableTopicResponse("orders", UUID(int=9), [plain, tagged]),
        FetchableTopicResponse("empty", UUID(int=10), []),
        FetchableTopicResponse("others", UUID(int=11), [aborted, null]),
    ]
    return FetchResponse(12, 0, 99, topics, [NodeEndpoint(1, "host", 9092, None)])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wrap", [Range, bytes])
def test_writes_the_bytes_of_the_generated_encoder(version: int, wrap: type[Range] | type[bytes]) -> None:
    assert FETCH is not None
    parts = encode_fetch_response(FETCH, version, 42, response(wrap, version))
    assert joined(parts) == bytes(encode_response(FETCH, version, 42, response(bytes, version)))


def test_file_ranges_stay_apart_and_no_part_is_empty() -> None:
    assert FETCH is not None
    parts = encode_fetch_response(FETCH, 12, 1, response(Range, 12))
    assert [type(part) for part in parts] == [bytearray, Range, bytearray, Range, bytearray]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_empty_response(version: int) -> None:
    assert FETCH is not None
    parts = encode_fetch_response(FETCH, version, 1, FetchResponse(error_code=70))
    assert joined(parts) == bytes(encode_response(FETCH, version, 1, FetchResponse(error_code=70)))
