"""The primitive types of Kafka's protocol, read from a memoryview and written to a bytearray.

Numbers are big-endian. Readers take (buffer, position) and return (value, next position). For malformed bytes they
raise `DecodeError`, and at the buffer's end `struct.error` or `IndexError`, which `decode_whole` and `wire.frame` turn
into it; they never read past the buffer. `uvarint` is unsigned LEB128, at most 5 bytes.

    type      older versions                      flexible versions (KIP-482)
    string    int16 length, -1 null; UTF-8        uvarint length + 1, 0 null
    bytes     int32 length, -1 null               uvarint length + 1, 0 null
    array     int32 count, -1 null                uvarint count + 1, 0 null
    struct    its fields                          its fields, then tagged fields
    tagged    -                                   uvarint count, then (uvarint tag, uvarint size, bytes) by rising tag

What a message holds is charged to an allowance while a request is read (`set_allowance`), because a few bytes can stand
for a big object: an element of an array costs `ELEMENT_BYTES`, a long string what it takes.

Source: KIP-482 and Kafka's `Type`. The generated modules in `messages/` call these.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, pack, unpack_from
from struct import error as StructError  # noqa: N812 - the standard library's name is lower case
from typing import Any, Protocol, TypeVar
from uuid import UUID

from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.wire.message import DecodeError, EncodeError, Message, new

__all__ = ["DecodeError", "EncodeError", "Message", "Struct", "StructError", "new"]

STRING_MAX_BYTES = 32767
"""Longest string in UTF-8, in every version: what an int16 can say (Kafka's generated classes check it too)."""

_INT16 = Struct(">h")
_INT32 = Struct(">i")


class Encodable(Protocol):
    """What every generated message offers for writing."""

    def encode(self, out: bytearray, version: int) -> None:
        """Append the message's bytes of `version` to `out`."""
        ...


M = TypeVar("M", covariant=True)


class Decodable(Protocol[M]):
    """What every generated message class offers for reading."""

    def decode(self, buf: memoryview, pos: int, version: int) -> tuple[M, int]:
        """Read one message of `version` at `pos`."""
        ...


def decode_whole(kind: Decodable[M], buf: bytes | bytearray | memoryview, version: int, pos: int = 0) -> M:
    """A message that lies in `buf` from `pos` on, outside a frame: group metadata, coordinator records.

    Raises DecodeError for anything malformed; bytes after the message are passed over.
    """
    try:
        message, _ = kind.decode(memoryview(buf), pos, version)
    except (StructError, IndexError) as error:
        raise DecodeError(f"message of version {version} ends before its last field") from error
    return message


def read_uvarint(buf: memoryview, pos: int) -> tuple[int, int]:
    """An unsigned varint of at most 32 bits."""
    byte: int = buf[pos]
    if byte < 0x80:
        return byte, pos + 1
    value = byte & 0x7F
    shift = 7
    while True:
        pos += 1
        byte = buf[pos]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                raise DecodeError("varint is longer than 32 bits")
            return value, pos + 1
        shift += 7
        if shift > 28:
            raise DecodeError("varint is longer than 5 bytes")


def write_uvarint(out: bytearray, value: int) -> None:
    """An unsigned varint; `value` is 0 .. 2^32-1."""
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)


ELEMENT_BYTES = 512
"""What one element of an array is reckoned to take: a struct with its numbers and short strings. The most that was
measured is 400 bytes, a LeaveGroup member with three strings of 63; `tests/property/test_wire_hostile.py` checks."""

_UNLIMITED = 1 << 62
_allowance = _UNLIMITED


def set_allowance(size: int | None) -> None:
    """Bytes of memory that the next message read may take; None for no limit.

    The allowance is the process's, not a thread's: two threads that read at once share it, each a little looser.
    """
    global _allowance
    _allowance = _UNLIMITED if size is None else size


def _charge(size: int) -> None:
    global _allowance
    _allowance -= size
    if _allowance < 0:
        raise DecodeError("message would take more memory than a request may")


def _text(buf: memoryview, pos: int, end: int) -> tuple[str, int]:
    """A string whose ends are known. Bytes that are not UTF-8 become U+FFFD, as in Java."""
    if end > len(buf):
        raise DecodeError(f"string of {end - pos} bytes passes the end of the message")
    text = str(buf[pos:end], "utf-8", "replace")
    size = end - pos
    if size > 63 or len(text) != size:
        _charge(size if len(text) == size else 4 * size)
    return text, end


def read_string(buf: memoryview, pos: int) -> tuple[str, int]:
    (size,) = _INT16.unpack_from(buf, pos)
    if size < 0:
        raise DecodeError("null string where none is allowed")
    return _text(buf, pos + 2, pos + 2 + size)


def read_nullable_string(buf: memoryview, pos: int) -> tuple[str | None, int]:
    (size,) = _INT16.unpack_from(buf, pos)
    if size < 0:
        return None, pos + 2
    return _text(buf, pos + 2, pos + 2 + size)


def read_compact_string(buf: memoryview, pos: int) -> tuple[str, int]:
    size = buf[pos]
    pos += 1
    if size > 127:
        size, pos = _long_string_size(buf, pos - 1)
    elif size == 0:
        raise DecodeError("null string where none is allowed")
    return _text(buf, pos, pos + size - 1)


def read_compact_nullable_string(buf: memoryview, pos: int) -> tuple[str | None, int]:
    size = buf[pos]
    pos += 1
    if size > 127:
        size, pos = _long_string_size(buf, pos - 1)
    elif size == 0:
        return None, pos
    return _text(buf, pos, pos + size - 1)


def _long_string_size(buf: memoryview, pos: int) -> tuple[int, int]:
    """The size plus one of a compact string whose varint has several bytes; 0 in several bytes is malformed."""
    size, pos = read_uvarint(buf, pos)
    if size == 0 or size - 1 > STRING_MAX_BYTES:
        raise DecodeError(f"string of {size - 1} bytes")
    return size, pos


def _utf8(value: str | None) -> bytes:
    if value is None:
        raise EncodeError("null string where none is allowed")
    data = value.encode()
    if len(data) > STRING_MAX_BYTES:
        raise EncodeError(f"string of {len(data)} bytes, the most is {STRING_MAX_BYTES}")
    return data


def write_string(out: bytearray, value: str | None) -> None:
    data = _utf8(value)
    out += _INT16.pack(len(data))
    out += data


def write_nullable_string(out: bytearray, value: str | None) -> None:
    if value is None:
        out += b"\xff\xff"
    else:
        write_string(out, value)


def write_compact_string(out: bytearray, value: str | None) -> None:
    data = _utf8(value)
    size = len(data) + 1
    if size < 128:
        out.append(size)
    else:
        write_uvarint(out, size)
    out += data


def write_compact_nullable_string(out: bytearray, value: str | None) -> None:
    if value is None:
        out.append(0)
    else:
        write_compact_string(out, value)


def _view(buf: memoryview, pos: int, size: int) -> tuple[memoryview, int]:
    end = pos + size
    if end > len(buf):
        raise DecodeError(f"field of {size} bytes passes the end of the message")
    return buf[pos:end], end


def read_nullable_records(buf: memoryview, pos: int) -> tuple[memoryview | None, int]:
    """A view of the caller's buffer: valid as long as that is."""
    (size,) = _INT32.unpack_from(buf, pos)
    if size < 0:
        return None, pos + 4
    return _view(buf, pos + 4, size)


def read_compact_nullable_records(buf: memoryview, pos: int) -> tuple[memoryview | None, int]:
    """A view of the caller's buffer: valid as long as that is."""
    size, pos = read_uvarint(buf, pos)
    if size == 0:
        return None, pos
    return _view(buf, pos, size - 1)


def _copy(view: memoryview) -> bytes:
    _charge(len(view))
    return bytes(view)


def read_nullable_bytes(buf: memoryview, pos: int) -> tuple[bytes | None, int]:
    view, pos = read_nullable_records(buf, pos)
    return None if view is None else _copy(view), pos


def read_compact_nullable_bytes(buf: memoryview, pos: int) -> tuple[bytes | None, int]:
    view, pos = read_compact_nullable_records(buf, pos)
    return None if view is None else _copy(view), pos


def read_bytes(buf: memoryview, pos: int) -> tuple[bytes, int]:
    view, pos = read_nullable_records(buf, pos)
    if view is None:
        raise DecodeError("null bytes where none are allowed")
    return _copy(view), pos


def read_compact_bytes(buf: memoryview, pos: int) -> tuple[bytes, int]:
    view, pos = read_compact_nullable_records(buf, pos)
    if view is None:
        raise DecodeError("null bytes where none are allowed")
    return _copy(view), pos


def write_bytes(out: bytearray, value: bytes | bytearray | memoryview | None) -> None:
    if value is None:
        raise EncodeError("null bytes where none are allowed")
    out += _INT32.pack(len(value))
    out += value


def write_nullable_bytes(out: bytearray, value: bytes | bytearray | memoryview | None) -> None:
    if value is None:
        out += b"\xff\xff\xff\xff"
    else:
        write_bytes(out, value)


def write_compact_bytes(out: bytearray, value: bytes | bytearray | memoryview | None) -> None:
    if value is None:
        raise EncodeError("null bytes where none are allowed")
    write_uvarint(out, len(value) + 1)
    out += value


def write_compact_nullable_bytes(out: bytearray, value: bytes | bytearray | memoryview | None) -> None:
    if value is None:
        out.append(0)
    else:
        write_compact_bytes(out, value)


def read_array_length(buf: memoryview, pos: int) -> tuple[int, int]:
    """Element count of an array that may not be null."""
    (count,) = _INT32.unpack_from(buf, pos)
    if count < 0:
        raise DecodeError("null array where none is allowed")
    return _charged(buf, pos + 4, count)


def read_nullable_array_length(buf: memoryview, pos: int) -> tuple[int, int]:
    """Element count of an array, -1 for null. An element takes at least a byte: a count past the end is refused."""
    (count,) = _INT32.unpack_from(buf, pos)
    return (-1, pos + 4) if count < 0 else _charged(buf, pos + 4, count)


def read_compact_array_length(buf: memoryview, pos: int) -> tuple[int, int]:
    """Element count of an array that may not be null."""
    count = buf[pos]
    if count > 127:
        count, pos = read_uvarint(buf, pos)
    else:
        pos += 1
    if count == 0:
        raise DecodeError("null array where none is allowed")
    return _charged(buf, pos, count - 1)


def read_compact_nullable_array_length(buf: memoryview, pos: int) -> tuple[int, int]:
    """Element count of an array, -1 for null. An element takes at least a byte: a count past the end is refused."""
    count, pos = read_uvarint(buf, pos)
    return (-1, pos) if count == 0 else _charged(buf, pos, count - 1)


def _charged(buf: memoryview, pos: int, count: int) -> tuple[int, int]:
    """(count, pos) of an array whose elements start at `pos`, if they can be there and are allowed."""
    global _allowance
    _allowance -= count * ELEMENT_BYTES
    if count > len(buf) - pos or _allowance < 0:
        raise DecodeError(f"array of {count} elements passes the end of the message, or what a request may hold")
    return count, pos


def write_array_length(out: bytearray, value: list[Any] | None) -> None:  # Any: only the length is looked at
    if value is None:
        raise EncodeError("null array where none is allowed")
    out += _INT32.pack(len(value))


def write_nullable_array_length(out: bytearray, value: list[Any] | None) -> None:  # Any: only the length is looked at
    out += b"\xff\xff\xff\xff" if value is None else _INT32.pack(len(value))


def write_compact_array_length(out: bytearray, value: list[Any] | None) -> None:  # Any: only the length is looked at
    if value is None:
        raise EncodeError("null array where none is allowed")
    size = len(value) + 1
    if size < 128:
        out.append(size)
    else:
        write_uvarint(out, size)


def write_compact_nullable_array_length(out: bytearray, value: list[Any] | None) -> None:  # Any: as above
    write_uvarint(out, 0 if value is None else len(value) + 1)


def read_int8s(buf: memoryview, pos: int, count: int) -> tuple[list[int], int]:
    """`count` numbers; none when it is negative."""
    return _numbers(buf, pos, count, "b", 1)


def read_int32s(buf: memoryview, pos: int, count: int) -> tuple[list[int], int]:
    """`count` numbers; none when it is negative."""
    return _numbers(buf, pos, count, "i", 4)


def read_int64s(buf: memoryview, pos: int, count: int) -> tuple[list[int], int]:
    """`count` numbers; none when it is negative."""
    return _numbers(buf, pos, count, "q", 8)


def _numbers(buf: memoryview, pos: int, count: int, code: str, size: int) -> tuple[list[int], int]:
    if count <= 0:
        return [], pos
    return list(unpack_from(f">{count}{code}", buf, pos)), pos + size * count


def write_int8s(out: bytearray, values: Sequence[int]) -> None:
    out += pack(f">{len(values)}b", *values)


def write_int32s(out: bytearray, values: Sequence[int]) -> None:
    out += pack(f">{len(values)}i", *values)


def write_int64s(out: bytearray, values: Sequence[int]) -> None:
    out += pack(f">{len(values)}q", *values)


_UUIDS_MAX = 4096
_uuids: dict[bytes, UUID] = {bytes(16): ZERO_TOPIC_ID}


def read_uuid(buf: memoryview, pos: int) -> tuple[UUID, int]:
    """16 bytes. Building a UUID costs more than the lookup, and a client names the same few topics for ever: cached."""
    raw = bytes(buf[pos : pos + 16])
    found = _uuids.get(raw)
    if found is None:
        if len(raw) != 16:
            raise DecodeError("uuid passes the end of the message")
        if len(_uuids) >= _UUIDS_MAX:
            _uuids.clear()
        found = _uuids[raw] = UUID(bytes=raw)
    return found, pos + 16


def write_uuid(out: bytearray, value: UUID) -> None:
    out += value.bytes


def read_tag_count(buf: memoryview, pos: int) -> tuple[int, int]:
    """How many tagged fields follow. Each takes at least two bytes, and is charged like an element."""
    count = buf[pos]
    if count == 0:
        return 0, pos + 1
    count, pos = read_uvarint(buf, pos)
    if 2 * count > len(buf) - pos:
        raise DecodeError(f"{count} tagged fields pass the end of the message")
    _charge(count * ELEMENT_BYTES)
    return count, pos


def read_tag(buf: memoryview, pos: int) -> tuple[int, int, int]:
    """(tag, where its field ends, where it starts)."""
    tag, pos = read_uvarint(buf, pos)
    size, pos = read_uvarint(buf, pos)
    if size > len(buf) - pos:
        raise DecodeError(f"tagged field of {size} bytes passes the end of the message")
    return tag, pos + size, pos


def skip_tagged_fields(buf: memoryview, pos: int) -> int:
    """Pass over tagged fields nobody here knows; returns the position after them."""
    count, pos = read_tag_count(buf, pos)
    for _ in range(count):
        _, pos, _ = read_tag(buf, pos)
    return pos


def write_tagged_fields(out: bytearray, fields: list[tuple[int, bytearray]]) -> None:
    """Write known tagged fields, given by rising tag."""
    write_uvarint(out, len(fields))
    for tag, data in fields:
        write_uvarint(out, tag)
        write_uvarint(out, len(data))
        out += data
