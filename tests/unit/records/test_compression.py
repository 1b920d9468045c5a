"""Codecs: round trips, foreign framings, the bound on inflated size, malformed data."""

from __future__ import annotations

import gzip
import struct

import cramjam
import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.records.compression import Codec, compress, decompress

CODECS = [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]
DATA = b"".join(b"line %d of some text\n" % i for i in range(20_000))


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("size", [0, 1, 1000, 32 * 1024, 32 * 1024 + 1, len(DATA)])
def test_round_trip(codec: Codec, size: int) -> None:
    assert bytes(decompress(codec, compress(codec, bytearray(DATA[:size])))) == DATA[:size]


@pytest.mark.parametrize("codec", CODECS)
def test_takes_memoryviews(codec: Codec) -> None:
    packed = compress(codec, memoryview(DATA))
    assert bytes(decompress(codec, memoryview(bytearray(packed)))) == DATA


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_stops_at_the_limit(codec: Codec) -> None:
    packed = compress(codec, bytes(8 << 20))
    with pytest.raises(KafkaError) as refused:
        decompress(codec, packed, limit=1 << 20)
    assert refused.value.code is ErrorCode.CORRUPT_MESSAGE
    assert len(decompress(codec, packed, limit=8 << 20)) == 8 << 20


@pytest.mark.parametrize("codec", CODECS)
def test_every_cut_is_refused_or_short(codec: Codec) -> None:
    packed = compress(codec, DATA[:2000])
    for size in range(1, len(packed)):
        try:
            got = bytes(decompress(codec, packed[:size]))
        except KafkaError as error:
            assert error.code is ErrorCode.CORRUPT_MESSAGE
        else:
            assert got != DATA[:2000] or codec is Codec.LZ4, size  # an lz4 frame may lack its end mark


@pytest.mark.parametrize("codec", CODECS)
def test_noise_is_refused(codec: Codec) -> None:
    for noise in (b"\x01", b"noise" * 100, b"\xff" * 64):
        with pytest.raises(KafkaError):
            decompress(codec, noise)


def test_raw_snappy_of_librdkafka() -> None:
    assert bytes(decompress(Codec.SNAPPY, bytes(cramjam.snappy.compress_raw(DATA)))) == DATA


def test_xerial_framing_of_the_java_client() -> None:
    block = bytes(cramjam.snappy.compress_raw(b"hello"))
    framed = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + (struct.pack(">i", len(block)) + block) * 2
    assert bytes(decompress(Codec.SNAPPY, framed)) == b"hellohello"
    assert compress(Codec.SNAPPY, b"hello")[:16] == framed[:16]


@pytest.mark.parametrize("length", [-1, 6, 1 << 30])
def test_xerial_block_lengths_are_bounded(length: int) -> None:
    framed = b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, length) + b"abcde"
    with pytest.raises(KafkaError):
        decompress(Codec.SNAPPY, framed)


def test_gzip_of_several_members() -> None:
    assert bytes(decompress(Codec.GZIP, gzip.compress(b"one") + gzip.compress(b"two"))) == b"onetwo"


def test_lz4_of_linked_blocks_is_read() -> None:
    assert bytes(decompress(Codec.LZ4, bytes(cramjam.lz4.compress(DATA)))) == DATA


def test_lz4_is_written_with_independent_blocks() -> None:
    """KIP-57: readers want the independence flag (bit 5) in the frame descriptor."""
    assert compress(Codec.LZ4, DATA)[4] & 0x20
