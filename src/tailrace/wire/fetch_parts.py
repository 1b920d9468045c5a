"""A Fetch response as a list of parts, so that record data never passes through Python.

Writes the same bytes as the generated `FetchResponse.encode`, but where a partition's `records` is not bytes (a range
of a segment file, anything with a `size`) it ends the current part, puts the object itself into the list and goes on
in a new part. The network engine sends bytes with sendmsg and file ranges with sendfile. A parity test compares
both encoders for every version.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from tailrace.wire.api import Api
from tailrace.wire.messages.fetch import FetchResponse, PartitionData
from tailrace.wire.primitives import (
    Encodable,
    write_array_length,
    write_compact_array_length,
    write_compact_nullable_array_length,
    write_compact_nullable_bytes,
    write_compact_string,
    write_nullable_array_length,
    write_nullable_bytes,
    write_string,
    write_uvarint,
)

_FRAME = Struct(">ii")
_SIZE = Struct(">i")
_INT = Struct(">i")
_THROTTLE_ERROR_SESSION = Struct(">ihi")
_HEAD_V0 = Struct(">ihq")
_HEAD_V4 = Struct(">ihqq")
_HEAD_V5 = Struct(">ihqqq")
_ABORTED = Struct(">qq")

Part = Any  # bytes-like, or the file range the caller put into `records`


class PartList:
    """The parts so far; `out` is the one being written."""

    __slots__ = ("out", "parts", "size")

    def __init__(self, out: bytearray) -> None:
        self.out = out
        self.parts: list[Part] = [out]
        self.size = 0

    def put(self, part: Part) -> None:
        self.size += len(self.out) + part.size
        self.out = bytearray()
        self.parts += [part, self.out]


def encode_fetch_response(api: Api, version: int, correlation_id: int, response: FetchResponse) -> list[Part]:
    """The whole frame of a response in `version`. The size field counts the file ranges."""
    flexible = version >= 12
    parts = PartList(bytearray(_FRAME.pack(0, correlation_id)))
    out = parts.out
    if flexible:
        out.append(0)
    if version >= 7:
        out += _THROTTLE_ERROR_SESSION.pack(response.throttle_time_ms, response.error_code, response.session_id)
    elif version >= 1:
        out += _INT.pack(response.throttle_time_ms)
    (write_compact_array_length if flexible else write_array_length)(out, response.responses)
    for topic in response.responses:
        out = parts.out
        if version >= 13:
            out += topic.topic_id.bytes
        else:
            (write_compact_string if flexible else write_string)(out, topic.topic)
        (write_compact_array_length if flexible else write_array_length)(out, topic.partitions)
        for partition in topic.partitions:
            _partition(parts, version, partition)
        if flexible:
            parts.out.append(0)
    if flexible:
        _tail(parts.out, version, response)
    first = parts.parts[0]
    total = parts.size + len(parts.out)
    _SIZE.pack_into(first, 0, total - 4)
    if not parts.out:
        parts.parts.pop()
    return parts.parts


def _tail(out: bytearray, version: int, response: FetchResponse) -> None:
    """Tagged fields of the response."""
    if version < 16 or not response.node_endpoints:
        out.append(0)
        return
    data = bytearray()
    write_compact_array_length(data, response.node_endpoints)
    for endpoint in response.node_endpoints:
        endpoint.encode(data, version)
    out += b"\x01\x00"
    write_uvarint(out, len(data))
    out += data


def _partition(parts: PartList, version: int, partition: PartitionData) -> None:
    out = parts.out
    flexible = version >= 12
    index, error, high_watermark = partition.partition_index, partition.error_code, partition.high_watermark
    if version >= 5:
        out += _HEAD_V5.pack(index, error, high_watermark, partition.last_stable_offset, partition.log_start_offset)
    elif version >= 4:
        out += _HEAD_V4.pack(index, error, high_watermark, partition.last_stable_offset)
    else:
        out += _HEAD_V0.pack(index, error, high_watermark)
    if version >= 4:
        aborted = partition.aborted_transactions
        (write_compact_nullable_array_length if flexible else write_nullable_array_length)(out, aborted)
        for entry in aborted or ():
            out += _ABORTED.pack(entry.producer_id, entry.first_offset)
            if flexible:
                out.append(0)
    if version >= 11:
        out += _INT.pack(partition.preferred_read_replica)
    write_records(parts, partition.records, flexible)
    if flexible:
        _partition_tail(parts.out, version, partition)


def write_records(parts: PartList, records: Part, flexible: bool) -> None:
    if records is None or isinstance(records, (bytes, bytearray, memoryview)):
        (write_compact_nullable_bytes if flexible else write_nullable_bytes)(parts.out, records)
        return
    if flexible:
        write_uvarint(parts.out, records.size + 1)
    else:
        parts.out += _SIZE.pack(records.size)
    parts.put(records)


def _partition_tail(out: bytearray, version: int, partition: PartitionData) -> None:
    """Tagged fields of a partition: diverging epoch 0, current leader 1, snapshot id 2."""
    fields: list[tuple[int, Encodable]] = []
    if partition.diverging_epoch.epoch != -1 or partition.diverging_epoch.end_offset != -1:
        fields.append((0, partition.diverging_epoch))
    if partition.current_leader.leader_id != -1 or partition.current_leader.leader_epoch != -1:
        fields.append((1, partition.current_leader))
    if partition.snapshot_id.end_offset != -1 or partition.snapshot_id.epoch != -1:
        fields.append((2, partition.snapshot_id))
    write_uvarint(out, len(fields))
    for tag, value in fields:
        data = bytearray()
        value.encode(data, version)
        write_uvarint(out, tag)
        write_uvarint(out, len(data))
        out += data
