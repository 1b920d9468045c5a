"""The rules of the primitive types that a round trip does not show: limits, nulls, malformed bytes."""

from __future__ import annotations

from collections.abc import Callable
from struct import error as StructError  # noqa: N812 - the standard library's name is lower case
from typing import Any

import pytest

from tailrace.wire import primitives as p
from tailrace.wire.primitives import DecodeError, EncodeError


def view(*parts: bytes | int) -> memoryview:
    return memoryview(b"".join(bytes([part]) if isinstance(part, int) else part for part in parts))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 16383, 16384, 2**31 - 1, 2**32 - 1])
def test_a_uvarint_is_read_as_written(value: int) -> None:
    out = bytearray()
    p.write_uvarint(out, value)
    assert p.read_uvarint(memoryview(out), 0) == (value, len(out))
    assert len(out) == max(1, -(-value.bit_length() // 7))


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff\x10", b"\x80\x80\x80\x80\x80\x00", b"\xff" * 11])
def test_a_uvarint_of_more_than_32_bits_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        p.read_uvarint(memoryview(data), 0)


@pytest.mark.parametrize(
    ("read", "null"),
    [
        (p.read_string, b"\xff\xff"),
        (p.read_compact_string, b"\x00"),
        (p.read_bytes, b"\xff\xff\xff\xff"),
        (p.read_compact_bytes, b"\x00"),
        (p.read_array_length, b"\xff\xff\xff\xff"),
        (p.read_compact_array_length, b"\x00"),
    ],
)
def test_null_is_refused_where_it_is_not_allowed(read: Callable[..., Any], null: bytes) -> None:
    with pytest.raises(DecodeError, match="null"):
        read(memoryview(null + bytes(8)), 0)


@pytest.mark.parametrize("length", [b"\xff\xff", b"\xff\xfe", b"\x80\x00"])
def test_any_negative_length_is_null(length: bytes) -> None:
    """As in Kafka's generated classes, which ask for `length < 0`."""
    assert p.read_nullable_string(memoryview(length), 0) == (None, 2)
    assert p.read_nullable_bytes(memoryview(length * 2), 0) == (None, 4)
    assert p.read_nullable_array_length(memoryview(length * 2), 0) == (-1, 4)


@pytest.mark.parametrize(
    "write",
    [
        p.write_string,
        p.write_compact_string,
        p.write_bytes,
        p.write_compact_bytes,
        p.write_array_length,
        p.write_compact_array_length,
    ],
)
def test_null_is_not_written_where_it_is_not_allowed(write: Callable[..., None]) -> None:
    with pytest.raises(EncodeError):
        write(bytearray(), None)


@pytest.mark.parametrize("text", ["", "a", "é" * 100, "日本語", "\N{GRINNING FACE}" * 40, "x" * 32767])
def test_a_string_is_read_as_written(text: str) -> None:
    for write, read in (
        (p.write_string, p.read_string),
        (p.write_compact_string, p.read_compact_string),
        (p.write_nullable_string, p.read_nullable_string),
        (p.write_compact_nullable_string, p.read_compact_nullable_string),
    ):
        out = bytearray()
        write(out, text)
        assert read(memoryview(out), 0) == (text, len(out))


def test_a_string_of_more_than_32767_bytes_is_refused_both_ways() -> None:
    for write in (p.write_string, p.write_compact_string, p.write_nullable_string, p.write_compact_nullable_string):
        for text in ("x" * 32768, "é" * 16384):
            with pytest.raises(EncodeError):
                write(bytearray(), text)
    out = bytearray()
    p.write_uvarint(out, 32769)
    out += b"x" * 32768
    for read in (p.read_compact_string, p.read_compact_nullable_string):
        with pytest.raises(DecodeError):
            read(memoryview(out), 0)


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert p.read_string(view(0, 3, b"a\xffb"), 0) == ("a\N{REPLACEMENT CHARACTER}b", 5)
    assert p.read_compact_string(view(3, b"\xc3("), 0) == ("\N{REPLACEMENT CHARACTER}(", 3)


@pytest.mark.parametrize("read", [p.read_string, p.read_nullable_string])
def test_a_string_past_the_end_is_refused(read: Callable[..., Any]) -> None:
    with pytest.raises(DecodeError):
        read(view(0, 4, b"abc"), 0)


def test_a_count_that_cannot_fit_is_refused_before_anything_is_built() -> None:
    for data in (b"\x7f\xff\xff\xff", b"\x00\x00\x00\x05"):
        with pytest.raises(DecodeError):
            p.read_array_length(memoryview(data + bytes(4)), 0)
    with pytest.raises(DecodeError):
        p.read_compact_array_length(view(b"\xff\xff\xff\xff\x0f", bytes(4)), 0)


def test_numbers_are_read_and_written_in_one_go() -> None:
    out = bytearray()
    p.write_int32s(out, [1, -1, 2**31 - 1])
    assert p.read_int32s(memoryview(out), 0, 3) == ([1, -1, 2**31 - 1], 12)
    assert p.read_int32s(memoryview(out), 0, -1) == ([], 0)
    with pytest.raises(StructError):
        p.read_int32s(memoryview(out), 0, 4)


def test_unknown_tagged_fields_are_passed_over() -> None:
    assert p.skip_tagged_fields(view(2, 5, 3, b"abc", 9, 0, b"rest"), 0) == 8
    assert p.skip_tagged_fields(view(0), 0) == 1


@pytest.mark.parametrize("data", [b"\x01\x00\x05abc", b"\x05\x00\x00", b"\xff\xff\xff\xff\x0f" + bytes(20)])
def test_tagged_fields_past_the_end_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        p.skip_tagged_fields(memoryview(data), 0)


def test_the_allowance_is_spent_by_elements_and_long_strings() -> None:
    try:
        p.set_allowance(10 * p.ELEMENT_BYTES)
        p.read_array_length(view(0, 0, 0, 9, bytes(9)), 0)
        p.read_string(view(0, 63, b"x" * 63), 0)
        with pytest.raises(DecodeError, match="memory"):
            p.read_string(view(2, 1, b"x" * 513), 0)
    finally:
        p.set_allowance(None)
    p.read_array_length(view(0, 0, 0, 100, bytes(100)), 0)


def test_the_cache_of_uuids_is_bounded() -> None:
    for number in range(p._UUIDS_MAX + 10):
        raw = number.to_bytes(16, "big")
        assert p.read_uuid(memoryview(raw), 0)[0].bytes == raw
    assert len(p._uuids) <= p._UUIDS_MAX
    with pytest.raises(DecodeError):
        p.read_uuid(memoryview(bytes(15)), 0)
