"""Key -> latest offset, for one cleaning: a fixed table of hashes outside the Python heap.

A slot, 24 bytes, in the machine's own byte order:

    | hash u64 | hash u64 | offset + 1 i64, 0 empty |

Keys are known by a 16-byte BLAKE2b. Kafka takes MD5; two keys with one MD5 can be made by anybody, and the cleaner
would then delete the older one's record. It costs about the same here (0.6 us).

Invariant: `size` <= `capacity` < slots, so that a search ends. The number of slots is prime and the step between
probes comes from the hash: at Kafka's load of 0.9 an absent key takes 10 probes, where neighbouring slots would take
50. Memory is an anonymous mapping: pages no key fell into cost nothing, and all of it goes back when it is closed.
Not its business: which records count. Source: Kafka SkimpyOffsetMap.
"""

from __future__ import annotations

import mmap
import struct
from hashlib import blake2b
from typing import Final

SLOT_BYTES: Final = 24
SLOTS_MIN: Final = 3

_HASH: Final = struct.Struct("=QQ")
_SLOT: Final = struct.Struct("=QQq")
_OFFSET: Final = struct.Struct("=q")
_OFFSET_AT: Final = 16


class OffsetMap:
    """A table that takes `capacity` keys."""

    __slots__ = ("_bytes", "_slots", "capacity", "latest_offset", "size")

    capacity: int
    """Keys it takes."""
    size: int
    """Keys it has."""
    latest_offset: int
    """Every record up to here was looked at; -1 before the first."""

    def __init__(self, key_count: int, buffer_bytes: int, load_factor: float) -> None:
        """Room for `key_count` keys, or for as many as `buffer_bytes` hold at `load_factor` (0..1) of its slots."""
        most = max(buffer_bytes // SLOT_BYTES, SLOTS_MIN)
        wanted = int(key_count / load_factor) + SLOTS_MIN
        self._slots = _prime_at_most(most) if wanted >= most else _prime_at_least(wanted)
        self.capacity = max(min(int(self._slots * load_factor), self._slots - 1), 1)
        self._bytes = mmap.mmap(-1, self._slots * SLOT_BYTES)
        self.size = 0
        self.latest_offset = -1

    @property
    def fill(self) -> float:
        """Part of the slots in use, 0..1."""
        return self.size / self._slots

    def put(self, key: bytes, offset: int) -> None:
        """Note that `key` is at `offset`, which is above all noted before. There must be room: `size` < `capacity`."""
        first, second = _HASH.unpack(blake2b(key, digest_size=16).digest())
        slots = self._slots
        slot = first % slots
        step = 1 + second % (slots - 1)
        table = self._bytes
        while True:
            at = slot * SLOT_BYTES
            known_first, known_second, stored = _SLOT.unpack_from(table, at)
            if stored == 0:
                _SLOT.pack_into(table, at, first, second, offset + 1)
                self.size += 1
                assert self.size < slots, "the offset map is over-full"
                return
            if known_first == first and known_second == second:
                _OFFSET.pack_into(table, at + _OFFSET_AT, offset + 1)
                return
            slot = (slot + step) % slots

    def get(self, key: bytes) -> int:
        """The latest offset of `key`, -1 where it was not noted."""
        first, second = _HASH.unpack(blake2b(key, digest_size=16).digest())
        slots = self._slots
        slot = first % slots
        step = 1 + second % (slots - 1)
        table = self._bytes
        while True:
            known_first, known_second, stored = _SLOT.unpack_from(table, slot * SLOT_BYTES)
            if stored == 0:
                return -1
            if known_first == first and known_second == second:
                return int(stored) - 1
            slot = (slot + step) % slots

    def close(self) -> None:
        """Give the memory back."""
        self._bytes.close()


def _prime_at_most(number: int) -> int:
    while not _is_prime(number):
        number -= 1
    return number


def _prime_at_least(number: int) -> int:
    while not _is_prime(number):
        number += 1
    return number


def _is_prime(number: int) -> bool:
    if number % 2 == 0:
        return number == 2
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))
