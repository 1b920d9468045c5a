"""A ShareFetch response as a list of parts, so that record data never passes through Python: as `fetch_parts`.

Writes the same bytes as the generated `ShareFetchResponse.encode`; a parity test compares both for every version.
"""

from __future__ import annotations

from struct import Struct

from tailrace.wire.api import Api
from tailrace.wire.fetch_parts import Part, PartList, write_records
from tailrace.wire.messages.share_fetch import PartitionData, ShareFetchResponse
from tailrace.wire.primitives import write_compact_array_length, write_compact_nullable_string

_FRAME = Struct(">iib")
_SIZE = Struct(">i")
_INT = Struct(">i")
_SHORT = Struct(">h")
_INT_SHORT = Struct(">ih")
_ACQUIRED = Struct(">qqhb")


def encode_share_fetch_response(
    api: Api, version: int, correlation_id: int, response: ShareFetchResponse
) -> list[Part]:
    """The whole frame of a response in `version`. The size field counts the file ranges."""
    parts = PartList(bytearray(_FRAME.pack(0, correlation_id, 0)))
    out = parts.out
    out += _INT_SHORT.pack(response.throttle_time_ms, response.error_code)
    write_compact_nullable_string(out, response.error_message)
    out += _INT.pack(response.acquisition_lock_timeout_ms)
    write_compact_array_length(out, response.responses)
    for topic in response.responses:
        out = parts.out
        out += topic.topic_id.bytes
        write_compact_array_length(out, topic.partitions)
        for partition in topic.partitions:
            _partition(parts, version, partition)
        parts.out.append(0)
    out = parts.out
    write_compact_array_length(out, response.node_endpoints)
    for endpoint in response.node_endpoints:
        endpoint.encode(out, version)
    out.append(0)
    _SIZE.pack_into(parts.parts[0], 0, parts.size + len(out) - 4)
    return parts.parts


def _partition(parts: PartList, version: int, partition: PartitionData) -> None:
    out = parts.out
    out += _INT_SHORT.pack(partition.partition_index, partition.error_code)
    write_compact_nullable_string(out, partition.error_message)
    out += _SHORT.pack(partition.acknowledge_error_code)
    write_compact_nullable_string(out, partition.acknowledge_error_message)
    partition.current_leader.encode(out, version)
    write_records(parts, partition.records, flexible=True)
    out = parts.out
    write_compact_array_length(out, partition.acquired_records)
    for acquired in partition.acquired_records:
        out += _ACQUIRED.pack(acquired.first_offset, acquired.last_offset, acquired.delivery_count, 0)
    out.append(0)
