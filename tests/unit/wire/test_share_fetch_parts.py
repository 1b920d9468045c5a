"""The hand-written ShareFetch encoder writes the bytes of the generated one, in every version."""

from __future__ import annotations

from uuid import UUID

import pytest
from test_fetch_parts import Range, joined

from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import encode_response
from tailrace.wire.messages.share_fetch import (
    AcquiredRecords,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
    ShareFetchableTopicResponse,
    ShareFetchResponse,
)
from tailrace.wire.share_fetch_parts import encode_share_fetch_response

SHARE_FETCH = api(ApiKey.SHARE_FETCH)
assert SHARE_FETCH is not None
VERSIONS = range(SHARE_FETCH.first_version, SHARE_FETCH.last_version + 1)


def response(wrap: type[Range] | type[bytes]) -> ShareFetchResponse:
    plain = PartitionData(3, acquired_records=[AcquiredRecords(5, 9, 1), AcquiredRecords(20, 2**40, 3)])
    plain.records = wrap(b"first records")  # type: ignore[assignment]
    refused = PartitionData(4, 6, "not here", 121, "not yours", LeaderIdAndEpoch(1, 4), b"")
    more = PartitionData(5)
    more.records = wrap(b"more")  # type: ignore[assignment]
    null = PartitionData(6)
    topics = [
        ShareFetchableTopicResponse(UUID(int=9), [plain, refused]),
        ShareFetchableTopicResponse(UUID(int=10), []),
        ShareFetchableTopicResponse(UUID(int=11), [more, null]),
    ]
    return ShareFetchResponse(12, 0, None, 30_000, topics, [NodeEndpoint(1, "host", 9092, None)])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wrap", [Range, bytes])
def test_writes_the_bytes_of_the_generated_encoder(version: int, wrap: type[Range] | type[bytes]) -> None:
    assert SHARE_FETCH is not None
    parts = encode_share_fetch_response(SHARE_FETCH, version, 42, response(wrap))
    assert joined(parts) == bytes(encode_response(SHARE_FETCH, version, 42, response(bytes)))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_empty_response(version: int) -> None:
    assert SHARE_FETCH is not None
    empty = ShareFetchResponse(error_code=122, error_message="gone")
    parts = encode_share_fetch_response(SHARE_FETCH, version, 1, empty)
    assert joined(parts) == bytes(encode_response(SHARE_FETCH, version, 1, empty))
