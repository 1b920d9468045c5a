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

SPIKE_LOOKS: Final = 10
"""Looks whose mean the present one is held against; half of them must be there."""

SPIKE_LOOK_MS: Final = 5_000
"""How often the figures are looked at: a look costs some 50 µs."""

SPIKE_COOL_DOWN_MS: Final = 600_000
"""No second profile within ten minutes of one."""

DUMP_FILES_MAX: Final = 20
"""Profiles of ours kept in `profile.dump.dir`; the oldest goes first."""

DUMP_BYTES_MAX: Final = 16 * 1024 * 1024
"""A profile larger than this is not written: some 20 are kept. Usual are 20 to 200 kB."""

DUMP_CPU_MS: Final = 5_000
"""How long processor time is sampled after a spike of it."""

DUMP_HEAP_MS: Final = 10_000
"""How long allocations are traced after a spike of memory, where they were not traced before."""

TRACE_EVENTS_MAX: Final = 100_000
"""Events of one trace: some 20 MB in memory, 12 MB as a file. A loop at its limit makes that many in two seconds."""

TRACE_SECONDS_MAX: Final = 60
"""The longest trace; what is of interest is seldom longer than some turns."""
