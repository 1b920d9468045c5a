"""The primitive types of Kafka's protocol, read from a memoryview and written to a bytearray.

Numbers are big-endian. Readers take (buffer, position) and return (value, next position); they raise `DecodeError`
for anything malformed and never read past the buffer. `uvarint` is unsigned LEB128, at most 5 bytes.

    type      older versions                      flexible versions (KIP-482)
    string    int16 length, -1 null; UTF-8        uvarint length + 1, 0 null
    bytes     int32 length, -1 null               uvarint length + 1, 0 null
    array     int32 count, -1 null                uvarint count + 1, 0 null
    struct    its fields                          its fields, then tagged fields
    tagged    -                                   uvarint count, then (uvarint tag, uvarint size, bytes) by rising tag

Source: KIP-482 and Kafka's `Type`. The generated modules in `messages/` call these.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - the standard library's name is lower case
from typing import Any, Protocol, TypeVar
from uuid import UUID

from tailrace.base.errors import TailraceError
from tailrace.base.limits import ARRAY_MAX_ELEMENTS
from tailrace.base.types import ZERO_TOPIC_ID

__all__ = ["DecodeError", "Message", "Struct", "StructError"]

_INT16 = Struct(">h")
_INT32 = Struct(">i")


class DecodeError(TailraceError):
    """Bytes from a peer that are not what the protocol says: it gets an error or a closed connection."""


class Message:
    """Base of every generated struct: equality, and a readable form for logs and tests."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class Encodable(Protocol):
    """What every generated message offers for writing."""

    def encode(self, out: bytearray, version: int) -> None:
        """Append the message's bytes of `version` to `out`."""
        ...


M = TypeVar("M", bound=Message)


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


def _text(buf: memoryview, pos: int, size: int) -> tuple[str, int]:
    end = pos + size
    if end > len(buf):
        raise DecodeError(f"string of {size} bytes passes the end of the message")
    try:
        return str(buf[pos:end], "utf-8"), end
    except UnicodeDecodeError as error:
        raise DecodeError("string is not UTF-8") from error


def read_string(buf: memoryview, pos: int) -> tuple[str, int]:
    (size,) = _INT16.unpack_from(buf, pos)
    if size < 0:
        raise DecodeError("null string where none is allowed")
    return _text(buf, pos + 2, size)


def read_nullable_string(buf: memoryview, pos: int) -> tuple[str | None, int]:
    (size,) = _INT16.unpack_from(buf, pos)
    if size < 0:
        return None, pos + 2
    return _text(buf, pos + 2, size)


def read_compact_string(buf: memoryview, pos: int) -> tuple[str, int]:
    size, pos = read_uvarint(buf, pos)
    if size == 0:
        raise DecodeError("null string where none is allowed")
    return _text(buf, pos, size - 1)


def read_compact_nullable_string(buf: memoryview, pos: int) -> tuple[str | None, int]:
    size, pos = read_uvarint(buf, pos)
    if size == 0:
        return None, pos
    return _text(buf, pos, size - 1)


def write_string(out: bytearray, value: str) -> None:
    data = value.encode()
    out += _INT16.pack(len(data))
    out += data


def write_nullable_string(out: bytearray, value: str | None) -> None:
    if value is None:
        out += b"\xff\xff"
    else:
        write_string(out, value)


def write_compact_string(out: bytearray, value: str) -> None:
    data = value.encode()
    write_uvarint(out, len(data) + 1)
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


def read_nullable_bytes(buf: memoryview, pos: int) -> tuple[bytes | None, int]:
    view, pos = read_nullable_records(buf, pos)
    return None if view is None else bytes(view), pos


def read_compact_nullable_bytes(buf: memoryview, pos: int) -> tuple[bytes | None, int]:
    view, pos = read_compact_nullable_records(buf, pos)
    return None if view is None else bytes(view), pos


def read_bytes(buf: memoryview, pos: int) -> tuple[bytes, int]:
    view, pos = read_nullable_records(buf, pos)
    if view is None:
        raise DecodeError("null bytes where none are allowed")
    return bytes(view), pos


def read_compact_bytes(buf: memoryview, pos: int) -> tuple[bytes, int]:
    view, pos = read_compact_nullable_records(buf, pos)
    if view is None:
        raise DecodeError("null bytes where none are allowed")
    return bytes(view), pos


def write_nullable_bytes(out: bytearray, value: bytes | bytearray | memoryview | None) -> None:
    if value is None:
        out += b"\xff\xff\xff\xff"
    else:
        out += _INT32.pack(len(value))
        out += value


def write_compact_nullable_bytes(out: bytearray, value: bytes | bytearray | memoryview | None) -> None:
    if value is None:
        out.append(0)
    else:
        write_uvarint(out, len(value) + 1)
        out += value


write_bytes = write_nullable_bytes
write_compact_bytes = write_compact_nullable_bytes


def read_array_length(buf: memoryview, pos: int) -> tuple[int, int]:
    """Element count of an array, -1 for null. An element takes at least a byte: a count past the end is refused."""
    (count,) = _INT32.unpack_from(buf, pos)
    pos += 4
    if count > len(buf) - pos or count > ARRAY_MAX_ELEMENTS:
        raise DecodeError(f"array of {count} elements passes the end of the message or its limit")
    return -1 if count < 0 else count, pos


def read_compact_array_length(buf: memoryview, pos: int) -> tuple[int, int]:
    """Element count of an array, -1 for null. An element takes at least a byte: a count past the end is refused."""
    count, pos = read_uvarint(buf, pos)
    if count - 1 > len(buf) - pos or count > ARRAY_MAX_ELEMENTS:
        raise DecodeError(f"array of {count - 1} elements passes the end of the message or its limit")
    return count - 1, pos


def write_array_length(out: bytearray, value: list[Any] | None) -> None:  # Any: only the length is looked at
    out += b"\xff\xff\xff\xff" if value is None else _INT32.pack(len(value))


def write_compact_array_length(out: bytearray, value: list[Any] | None) -> None:  # Any: only the length is looked at
    write_uvarint(out, 0 if value is None else len(value) + 1)


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


def skip_tagged_fields(buf: memoryview, pos: int) -> int:
    """Pass over tagged fields nobody here knows; returns the position after them."""
    count, pos = read_uvarint(buf, pos)
    for _ in range(count):
        _, pos = read_uvarint(buf, pos)
        size, pos = read_uvarint(buf, pos)
        pos += size
        if pos > len(buf):
            raise DecodeError("tagged field passes the end of the message")
    return pos


def write_tagged_fields(out: bytearray, fields: list[tuple[int, bytearray]]) -> None:
    """Write known tagged fields, given by rising tag."""
    write_uvarint(out, len(fields))
    for tag, data in fields:
        write_uvarint(out, tag)
        write_uvarint(out, len(data))
        out += data
