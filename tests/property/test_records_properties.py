"""Records under arbitrary input: round trips hold, and whatever the bytes are, a refusal is a KafkaError."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.base.errors import KafkaError
from tailrace.log.producer_snapshot import decode_snapshot
from tailrace.records.batch import RecordBatch, iter_batches, iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec, compress, decompress
from tailrace.records.control import end_txn_marker
from tailrace.records.legacy import append_message, down_convert, read_message_set, up_convert
from tailrace.records.record import Record
from tailrace.records.validate import BatchRules, recompressed, single_batch, validate_client_batch
from tailrace.records.varint import append_varint, read_varint

codecs = st.sampled_from(list(Codec))
nullable = st.none() | st.binary(max_size=200)
timestamps = st.integers(-1, (1 << 62) - 1)
headers = st.lists(st.tuples(st.text(max_size=10), nullable), max_size=3).map(tuple)
bodies = st.lists(st.tuples(timestamps, nullable, nullable, headers), min_size=1, max_size=20)
LIMIT = 1 << 20
relaxed = settings(max_examples=60, deadline=None)
"""No deadline: a shared machine is slow at times."""


def numbered(
    fields: list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]],
) -> list[Record]:
    return [Record(i, *each) for i, each in enumerate(fields)]


@relaxed
@given(bodies, codecs, st.integers(0, 1 << 50))
def test_batches_come_back(fields: list, codec: Codec, base_offset: int) -> None:  # type: ignore[type-arg]
    records = [r._replace(offset=r.offset + base_offset) for r in numbered(fields)]
    batch = RecordBatch.parse(memoryview(build_batch(records, base_offset=base_offset, codec=codec)))
    assert batch.crc_valid()
    assert list(batch.records()) == records
    assert batch.max_timestamp == max(r.timestamp for r in records)
    assert (batch.base_offset, batch.next_offset) == (base_offset, base_offset + len(records))


@relaxed
@given(bodies, codecs, st.sampled_from(["gzip", "snappy", "lz4", "zstd", "uncompressed"]))
def test_recompression_changes_the_codec_only(fields: list, codec: Codec, name: str) -> None:  # type: ignore[type-arg]
    batch = RecordBatch.parse(memoryview(build_batch(numbered(fields), codec=codec)))
    rebuilt = recompressed(batch, name)
    if rebuilt is not None:
        again = RecordBatch.parse(memoryview(rebuilt))
        assert again.crc_valid()
        assert list(again.records()) == list(batch.records())


@relaxed
@given(bodies, codecs.filter(lambda c: c is not Codec.ZSTD), st.sampled_from([0, 1]), st.booleans())
def test_down_then_up_keeps_keys_values_and_times(fields: list, codec: Codec, magic: int, wrap: bool) -> None:  # type: ignore[type-arg]
    records = numbered(fields)
    view = memoryview(down_convert(memoryview(build_batch(records, codec=codec)), magic))
    assert [m.offset for m in read_message_set(view)] == list(range(len(records)))
    if wrap and codec is not Codec.NONE and (magic, codec) != (0, Codec.LZ4):
        wrapper = bytearray()
        append_message(wrapper, Record(len(records) - 1, 0, None, compress(codec, view)), magic, attributes=codec)
        view = memoryview(wrapper)
    batch = RecordBatch.parse(memoryview(up_convert(view)))
    expected = [(r.offset, r.timestamp if magic else -1, r.key, r.value) for r in records]
    assert [(r.offset, r.timestamp, r.key, r.value) for r in batch.records()] == expected


@relaxed
@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_varints_come_back(value: int) -> None:
    out = bytearray()
    append_varint(out, value)
    assert read_varint(out, 0) == (value, len(out))


def poke(view: memoryview) -> None:
    """Ask everything of bytes that may be anything. Only KafkaError may come out."""
    for batches in (iter_batches, iter_whole_batches):
        with contextlib.suppress(KafkaError):
            for batch in batches(view):
                with contextlib.suppress(KafkaError):
                    batch.crc_valid()
                    batch.payload(LIMIT)
                    list(batch.records())
                with contextlib.suppress(KafkaError):
                    end_txn_marker(batch)
                with contextlib.suppress(KafkaError):
                    recompressed(batch, "gzip")
    for rules in (BatchRules(), BatchRules(is_compacted=True, timestamp_before_max_ms=10)):
        with contextlib.suppress(KafkaError):
            validate_client_batch(single_batch(view), rules, 1_700_000_000_000)
    for convert in (up_convert, lambda v: down_convert(v, 1), lambda v: list(read_message_set(v))):
        with contextlib.suppress(KafkaError):
            convert(view)


@relaxed
@given(bodies, codecs, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_are_refused_or_harmless(fields: list, codec: Codec, flips: list[tuple[int, int]]) -> None:  # type: ignore[type-arg]
    data = build_batch(numbered(fields), codec=codec)
    for position, bit in flips:
        data[position % len(data)] ^= 1 << bit
    poke(memoryview(data))


@relaxed
@given(bodies, st.sampled_from([0, 1]), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3))
def test_message_sets_with_noise(fields: list, magic: int, noise: list[tuple[int, int]]) -> None:  # type: ignore[type-arg]
    data = bytearray()
    for record in numbered(fields):
        append_message(data, record, magic, attributes=noise[0][1] & 7 if noise else 0)
    for position, value in noise[1:]:
        data[position % len(data)] = value
    poke(memoryview(data))


@relaxed
@given(st.binary(max_size=300), codecs)
def test_arbitrary_bytes(data: bytes, codec: Codec) -> None:
    poke(memoryview(bytearray(data)))
    decode_snapshot(data)
    with contextlib.suppress(KafkaError):
        assert len(decompress(codec, data, LIMIT)) <= LIMIT


@relaxed
@given(st.binary(max_size=2000), codecs, st.integers(0, 3000))
def test_the_inflated_bound_is_exact(data: bytes, codec: Codec, limit: int) -> None:
    packed = compress(codec, data)
    if codec is Codec.NONE or len(data) <= limit:
        assert bytes(decompress(codec, packed, limit)) == data
        return
    try:
        decompress(codec, packed, limit)
    except KafkaError:
        return
    raise AssertionError("more than the limit came out")
