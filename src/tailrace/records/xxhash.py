"""XXH32 of a few bytes, with seed 0: the checksum of an lz4 frame's header.

Only inputs below 16 bytes, which is all a frame header needs and leaves out the hash's main loop.
Source: xxHash specification, XXH32.
"""

from __future__ import annotations

from typing import Final

_PRIME_1: Final = 0x9E3779B1
_PRIME_2: Final = 0x85EBCA77
_PRIME_3: Final = 0xC2B2AE3D
_PRIME_4: Final = 0x27D4EB2F
_PRIME_5: Final = 0x165667B1
_MASK: Final = 0xFFFFFFFF


def xxh32(data: bytes) -> int:
    """The hash of `data`, at most 15 bytes."""
    assert len(data) < 16
    hashed = (_PRIME_5 + len(data)) & _MASK
    at = 0
    while at + 4 <= len(data):
        lane = int.from_bytes(data[at : at + 4], "little")
        hashed = _rotated((hashed + lane * _PRIME_3) & _MASK, 17) * _PRIME_4 & _MASK
        at += 4
    for byte in data[at:]:
        hashed = _rotated((hashed + byte * _PRIME_5) & _MASK, 11) * _PRIME_1 & _MASK
    hashed = (hashed ^ (hashed >> 15)) * _PRIME_2 & _MASK
    hashed = (hashed ^ (hashed >> 13)) * _PRIME_3 & _MASK
    return hashed ^ (hashed >> 16)


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK
