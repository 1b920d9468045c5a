"""The bounds of observation, each with its reason."""

from __future__ import annotations

from typing import Final

SAMPLE_RATE_HZ: Final = 100
"""As Go's: one sample costs some 30 µs, so 100 a second stay well under 2 % (November 2026)."""

SAMPLE_RATE_MAX_HZ: Final = 1000
"""Above it sampling measures itself."""

STACK_FRAMES_MAX: Final = 128
"""Frames kept of a stack; what is further out is cut. Ours are some 15 deep, a client's of an embedded broker 60."""

STACKS_MAX: Final = 20_000
"""Distinct stacks of a profile; what comes after is counted as one. A broker under load has some 500."""

PROFILE_SECONDS_MAX: Final = 600
"""The longest profile over HTTP: a request must end."""

PROFILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes a profile may inflate to when it is read. 20,000 stacks of 128 frames are 10 MB."""

HEAP_FRAMES: Final = 12
"""Frames kept of each allocation: enough to pass asyncio's and reach who asked. Each costs some 60 ns an allocation."""

HEAP_OBJECTS_MAX: Final = 2_000_000
"""Objects looked at for memory of extension modules: the walk holds the interpreter, 0.2 µs an object."""

ALLOCS_ROUND_MS: Final = 250
"""How often a profile of allocations looks at what is there and begins anew."""
