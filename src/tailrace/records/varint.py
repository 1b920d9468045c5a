"""Zig-zag varints of the record format: 7 bits a byte, low bits first, high bit set on all but the last byte.

    n  ->  (n << 1) ^ (n >> 63)  ->  base 128

Source: Kafka ByteUtils.readVarint / readVarlong; Protocol Buffers encoding.
"""

from __future__ import annotations

_VARLONG_MAX_BYTES = 10


def read_varint(data: bytes | bytearray | memoryview, position: int) -> tuple[int, int]:
    """One zig-zag number at `position` and the position after it.

    Raises IndexError where the data ends inside it, ValueError where it has more than ten bytes.
    """
    byte = data[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    value = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7
        if shift >= 7 * _VARLONG_MAX_BYTES:
            raise ValueError("varint is longer than 10 bytes")


def append_varint(out: bytearray, value: int) -> None:
    """Append `value` (a signed 64-bit number) as a zig-zag varint."""
    value = (value << 1) ^ (value >> 63)
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
