"""Zig-zag varints: known encodings, every width, refusals."""

from __future__ import annotations

import pytest

from tailrace.records.varint import append_varint, read_varint

KNOWN = {0: "00", -1: "01", 1: "02", 63: "7e", -64: "7f", 64: "8001", 300: "d804", (1 << 31) - 1: "feffffff0f"}


@pytest.mark.parametrize(("value", "encoded"), KNOWN.items())
def test_known_encodings(value: int, encoded: str) -> None:
    out = bytearray()
    append_varint(out, value)
    assert out.hex() == encoded
    assert read_varint(out, 0) == (value, len(out))


@pytest.mark.parametrize("bits", range(64))
def test_every_width_comes_back(bits: int) -> None:
    for value in {(1 << bits) - 1, -(1 << bits), 1 << max(bits - 1, 0)}:
        out = bytearray(b"x")
        append_varint(out, value)
        assert read_varint(out, 1) == (value, len(out))


def test_cut_and_endless_numbers_are_refused() -> None:
    with pytest.raises(IndexError):
        read_varint(b"\x80\x80", 0)
    with pytest.raises(ValueError, match="longer"):
        read_varint(b"\x80" * 20, 0)
