"""Randomness, passed in. The only maker of random numbers and UUIDs; tests use `SeededRandom`."""

from __future__ import annotations

import os
import random
from typing import Protocol
from uuid import UUID


class Random(Protocol):
    """Source of identifiers and jitter."""

    def uuid(self) -> UUID:
        """A random (version 4) UUID."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]."""
        ...

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        ...


class SystemRandom:
    """Unpredictable values from the operating system."""

    __slots__ = ("_random",)

    def __init__(self) -> None:
        self._random = random.Random()

    def uuid(self) -> UUID:
        return UUID(bytes=os.urandom(16), version=4)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class SeededRandom:
    """Repeatable values: the same seed gives the same sequence."""

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)
