"""The five codecs of record batches, with a bound on what they may inflate to.

    id  name     framing written                              also read
    0   none
    1   gzip     one RFC 1952 member                          several members
    2   snappy   xerial (what the Java client writes):        a raw snappy block (librdkafka, Go clients)
                   82 'SNAPPY' 00 | version i32 = 1 | compatible i32 = 1 | { length i32 | raw block } ...
    3   lz4      a frame of independent blocks (KIP-57)       linked blocks; the broken header of message format 0
    4   zstd     one frame                                    several frames

Invariant: `decompress` never returns nor allocates more than `limit` bytes; anything malformed is CORRUPT_MESSAGE.
Not its business: which part of a batch is compressed.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.limits import INFLATED_BATCH_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

Buffer = bytes | bytearray | memoryview

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_XERIAL_BLOCK_BYTES: Final = 32 * 1024
_FIRST_GUESS_FACTOR: Final = 4
_FIRST_GUESS_MIN_BYTES: Final = 64 * 1024


class Codec(IntEnum):
    """Compression codec: bits 0-2 of a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


_CODECS: Final = tuple(Codec)

CODEC_NAMES: Final = {"none": 0, "uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""Kafka's names, as in `compression.type`."""


def codec_of(attributes: int) -> Codec:
    """The codec in a batch's attributes. Raises KafkaError(CORRUPT_MESSAGE) for 5, 6 and 7."""
    number = attributes & 7
    if number < len(_CODECS):
        return _CODECS[number]
    raise _corrupt(f"unknown compression codec {number}")


def compress(codec: Codec, data: Buffer) -> bytes:
    """`data` in the framing Kafka's Java client writes for `codec`."""
    if codec is Codec.NONE:
        return bytes(data)
    if codec is Codec.GZIP:
        return zlib.compress(data, 6, 16 + zlib.MAX_WBITS)
    if codec is Codec.SNAPPY:
        return _compress_xerial(data)
    if codec is Codec.LZ4:
        # Linked blocks would be smaller, but KIP-57 readers want independent ones.
        compressor = _cramjam().lz4.Compressor(level=1, content_checksum=False, block_linked=False)
        compressor.compress(bytes(data))
        return bytes(compressor.finish())
    return bytes(_cramjam().zstd.compress(data, 3))


def decompress(codec: Codec, data: Buffer, limit: int = INFLATED_BATCH_MAX_BYTES) -> Buffer:
    """Inflate `data`. Raises KafkaError(CORRUPT_MESSAGE) when malformed or larger than `limit` bytes."""
    if codec is Codec.NONE:
        return data
    if codec is Codec.GZIP:
        return _decompress_gzip(data, limit)
    if codec is Codec.SNAPPY:
        return _decompress_snappy(data, limit)
    if codec is Codec.LZ4:
        return _inflate_guessing(_cramjam().lz4.decompress_into, data, limit)
    return _inflate_guessing(_cramjam().zstd.decompress_into, data, limit)


def _cramjam() -> Any:
    # Any: the extension has no useful stubs. Imported late: 10 ms of start-up that a broker whose topics keep the
    # producers' codec never needs.
    import cramjam

    return cramjam


def _corrupt(message: str) -> KafkaError:
    return KafkaError(ErrorCode.CORRUPT_MESSAGE, message)


def _too_large(limit: int) -> KafkaError:
    return _corrupt(f"batch inflates to more than {limit} bytes")


def _decompress_gzip(data: Buffer, limit: int) -> Buffer:
    out = bytearray()
    rest: Buffer = data
    while len(rest):
        inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            out += inflater.decompress(rest, limit + 1 - len(out))
        except zlib.error as error:
            raise _corrupt(f"gzip: {error}") from error
        if len(out) > limit:
            raise _too_large(limit)
        if not inflater.eof:
            raise _corrupt("gzip: data ends early")
        rest = inflater.unused_data
    return out


def _compress_xerial(data: Buffer) -> bytes:
    snappy = _cramjam().snappy
    out = bytearray(_XERIAL_HEADER)
    view = memoryview(data)
    for start in range(0, len(view), _XERIAL_BLOCK_BYTES):
        block = bytes(snappy.compress_raw(view[start : start + _XERIAL_BLOCK_BYTES]))
        out += len(block).to_bytes(4, "big")
        out += block
    return bytes(out)


def _decompress_snappy(data: Buffer, limit: int) -> Buffer:
    view = memoryview(data)
    if bytes(view[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(view, limit)
    out = bytearray()
    position = len(_XERIAL_HEADER)
    if len(view) < position:
        raise _corrupt("snappy: header ends early")
    while position < len(view):
        size = int.from_bytes(view[position : position + 4], "big", signed=True)
        position += 4
        if size < 0 or position + size > len(view):
            raise _corrupt("snappy: block length outside the data")
        out += _snappy_block(view[position : position + size], limit - len(out))
        position += size
    return out


def _snappy_block(view: memoryview, limit: int) -> Buffer:
    snappy = _cramjam().snappy
    try:
        size = snappy.decompress_raw_len(view)
        if size > limit:
            raise _too_large(limit)
        out = bytearray(size)
        written = snappy.decompress_raw_into(view, out)
    except _cramjam().DecompressionError as error:
        raise _corrupt(f"snappy: {error}") from error
    if written != size:
        raise _corrupt("snappy: length differs from its header")
    return out


def _inflate_guessing(into: Callable[[Buffer, bytearray], int], data: Buffer, limit: int) -> Buffer:
    """Inflate into a buffer that doubles until it fits: the frame need not say its size, and must not be believed."""
    size = min(limit, max(_FIRST_GUESS_MIN_BYTES, _FIRST_GUESS_FACTOR * len(data)))
    while True:
        out = bytearray(size)
        try:
            written = into(data, out)
        except _cramjam().DecompressionError as error:
            if "whole buffer" not in str(error):
                raise _corrupt(str(error)) from error
        else:
            return memoryview(out)[:written]
        if size >= limit:
            raise _too_large(limit)
        size = min(limit, size * 2)
