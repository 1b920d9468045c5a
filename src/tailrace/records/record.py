"""Records inside a batch of magic 2.

    length varint | attributes i8 = 0 | timestamp_delta varlong | offset_delta varint
    | key_length varint (-1 null) | key | value_length varint (-1 null: a tombstone) | value
    | header_count varint | { key_length varint | key | value_length varint (-1 null) | value } ...

Varints are zig-zag. Invariant: `read_records` yields whole records or raises CORRUPT_MESSAGE; it never reads past the
record's own length. Source: Kafka DefaultRecord.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.records.compression import Buffer
from tailrace.records.varint import append_varint, read_varint

Header = tuple[str, bytes | None]


class Record(NamedTuple):
    """One record. `timestamp` is in ms since 1970, -1 none; `offset` is the log's, from 0 in a batch to send."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


def read_records(
    data: Buffer, count: int, base_offset: int, base_timestamp: int, append_time: int | None
) -> Iterator[Record]:
    """The `count` records of `data`. `append_time` replaces each timestamp where the batch has log append time.

    Raises KafkaError(CORRUPT_MESSAGE) where a record does not parse, or bytes are left after the last.
    """
    data = bytes(data)
    position = 0
    for _ in range(count):
        try:
            length, position = read_varint(data, position)
            end = position + length
            if length < 0 or end > len(data):
                raise ValueError(f"record of {length} bytes does not fit")
            record = _read_record(data, position, end, base_offset, base_timestamp)
        except (IndexError, ValueError) as error:
            raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"malformed record: {error}") from error
        position = end
        yield record if append_time is None else record._replace(timestamp=append_time)
    if position != len(data):
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"{len(data) - position} bytes after the last record")


def _read_record(data: bytes, position: int, end: int, base_offset: int, base_timestamp: int) -> Record:
    timestamp_delta, position = read_varint(data, position + 1)
    offset_delta, position = read_varint(data, position)
    key, position = _read_nullable(data, position, end)
    value, position = _read_nullable(data, position, end)
    header_count, position = read_varint(data, position)
    if header_count == 0:
        headers: tuple[Header, ...] = ()
    else:
        headers, position = _read_headers(data, position, end, header_count)
    if position != end:
        raise ValueError("fields do not end with the record")
    return Record(base_offset + offset_delta, base_timestamp + timestamp_delta, key, value, headers)


def _read_nullable(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    length, position = read_varint(data, position)
    if length < 0:
        if length != -1:
            raise ValueError(f"length {length}")
        return None, position
    stop = position + length
    if stop > end:
        raise ValueError(f"field of {length} bytes reaches past the record")
    return data[position:stop], stop


def _read_headers(data: bytes, position: int, end: int, count: int) -> tuple[tuple[Header, ...], int]:
    # Each header has at least two bytes, so a lying count cannot make this loop long.
    if count < 0 or count > (end - position) // 2:
        raise ValueError(f"{count} headers do not fit")
    headers: list[Header] = []
    for _ in range(count):
        key, position = _read_nullable(data, position, end)
        if key is None:
            raise ValueError("header without a key")
        value, position = _read_nullable(data, position, end)
        headers.append((key.decode("utf-8", "replace"), value))
    return tuple(headers), position


def append_record(out: bytearray, record: Record, offset_delta: int, timestamp_delta: int) -> None:
    """Append `record` in its format; the deltas are against the batch's base offset and base timestamp."""
    body = bytearray(b"\x00")
    append_varint(body, timestamp_delta)
    append_varint(body, offset_delta)
    _append_nullable(body, record.key)
    _append_nullable(body, record.value)
    append_varint(body, len(record.headers))
    for key, value in record.headers:
        _append_nullable(body, key.encode())
        _append_nullable(body, value)
    append_varint(out, len(body))
    out += body


def _append_nullable(out: bytearray, data: bytes | None) -> None:
    if data is None:
        out.append(1)  # zig-zag -1
    else:
        append_varint(out, len(data))
        out += data
