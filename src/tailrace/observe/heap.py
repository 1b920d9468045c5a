"""Live memory by where it was allocated, and what is allocated over a time: tracemalloc's traces as profiles.

Memory is seen that was allocated after the trace began, through Python's allocators. Two kinds are added:
buffers that an extension module or a map holds for an object Python knows (charged to where that object was made),
and, as one line, resident memory that nobody here knows of. While a trace is on, allocating costs up to ten times as
much and each live block some 100 bytes: off by default. Invariant: one owner of the trace at a time.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Final

from tailrace.base.clock import Clock
from tailrace.observe.limits import HEAP_FRAMES, HEAP_OBJECTS_MAX
from tailrace.observe.profile import Frame, Profile, Sample, ValueType
from tailrace.observe.source_names import SourceNames

HEAP_TYPES: Final = (ValueType("inuse_objects", "count"), ValueType("inuse_space", "bytes"))
ALLOCS_TYPES: Final = (ValueType("alloc_objects", "count"), ValueType("alloc_space", "bytes"))
UNKNOWN_MEMORY: Final = "[resident, unknown to Python]"

Place = tuple[tuple[str, int], ...]
"""Files and lines of a stack, leaf first."""

Counts = dict[Place, list[int]]
"""Blocks and bytes of each place."""

_HOLDERS: Final = 2000
"""Objects whose referents are asked for at once: each question is an allocation, and those are dear here."""

_OWN_FILES: Final = frozenset({__file__, tracemalloc.__file__})

_PLAIN: Final = frozenset(
    {bytes, bytearray, memoryview, str, int, float, tuple, list, dict, set, frozenset, type(None)}
)


def is_heap_traced() -> bool:
    """Whether allocations are traced, by us or by others."""
    return tracemalloc.is_tracing()


def trace_heap() -> None:
    """Trace allocations from here on; nothing where they are."""
    if not tracemalloc.is_tracing():
        tracemalloc.start(HEAP_FRAMES)


def end_heap_trace() -> None:
    """Trace no more, and forget."""
    tracemalloc.stop()


def heap_profile(clock: Clock) -> Profile:
    """Memory that lives and was allocated since the trace began. Garbage is collected first.

    Takes some 2 µs a live block, a part of it with the interpreter held.
    """
    assert tracemalloc.is_tracing()
    gc.collect()
    traced_bytes = tracemalloc.get_traced_memory()[0] + tracemalloc.get_tracemalloc_memory()
    counts = live_counts()
    native_bytes = _add_native_buffers(counts)
    samples = named_samples(counts)
    resident = resident_bytes()
    comment = f"memory allocated since the trace began, {HEAP_FRAMES} frames deep"
    if resident is not None:
        unknown_bytes = max(resident - traced_bytes - native_bytes, 0)
        samples.append(Sample((Frame(UNKNOWN_MEMORY),), (0, unknown_bytes), (("memory", "untraced"),)))
    return _profile(HEAP_TYPES, samples, clock, comment)


def allocs_profile(clock: Clock, counts: Counts, duration_ms: float) -> Profile:
    """What `count_allocs` has added up, as a profile of allocations."""
    comment = "allocations that lived until one of the looks, every 250 ms: what is freed at once is not seen"
    profile = _profile(ALLOCS_TYPES, named_samples(counts), clock, comment)
    return Profile(
        profile.sample_types,
        profile.samples,
        profile.time_ns - int(duration_ms * 1e6),
        int(duration_ms * 1e6),
        default_type=profile.default_type,
        comments=profile.comments,
    )


def live_counts(counts: Counts | None = None) -> Counts:
    """Blocks and bytes that live by where they were allocated, added to `counts`.

    `Snapshot.statistics` does the same for six times the cost: it hashes a whole traceback for each block, where
    the traces of one place share one tuple.
    """
    found: Counts = {} if counts is None else counts
    by_identity: dict[int, tuple[Place, list[int]]] = {}
    for trace in tracemalloc.take_snapshot().traces._traces:  # type: ignore[attr-defined]
        place = trace[2]
        known = by_identity.get(id(place))
        if known is None:
            known = by_identity[id(place)] = place, [0, 0]
        known[1][0] += 1
        known[1][1] += trace[1]
    for place, (blocks, size) in by_identity.values():
        if not any(file in _OWN_FILES for file, _ in place):
            total = found.setdefault(place, [0, 0])
            total[0] += blocks
            total[1] += size
    return found


def count_allocs(counts: Counts) -> None:
    """Add what was allocated since the last call and lives, and forget it."""
    live_counts(counts)
    tracemalloc.clear_traces()


def named_samples(counts: Counts) -> list[Sample]:
    """Samples with functions named, largest first."""
    names = SourceNames()
    ordered = sorted(counts.items(), key=lambda item: item[1][1], reverse=True)
    return [
        Sample(tuple(names.frame(file, line) for file, line in place), (blocks, size))
        for place, (blocks, size) in ordered
    ]


def _profile(types: tuple[ValueType, ...], samples: list[Sample], clock: Clock, comment: str) -> Profile:
    return Profile(types, samples, clock.wall_ms() * 1_000_000, default_type=types[1].type, comments=(comment,))


def _add_native_buffers(counts: Counts) -> int:
    """Charge buffers outside Python's memory to where their objects were made; how many bytes there are."""
    total = 0
    seen: set[int] = set()
    has_buffer: dict[type, bool] = dict.fromkeys(_PLAIN, False)
    holders = gc.get_objects()[:HEAP_OBJECTS_MAX]
    for at in range(0, len(holders), _HOLDERS):
        # Not modules: asyncio's of Python 3.12 shows objects that it has freed and keeps for later, and to look at one
        # frees it again. What a module holds is in its dict, which is asked as well.
        some = [each for each in holders[at : at + _HOLDERS] if type(each) is not ModuleType]
        for each in (*some, *gc.get_referents(*some)):
            kind = type(each)
            if has_buffer.get(kind) is False or id(each) in seen:
                continue
            size = _buffer_bytes(each)
            has_buffer[kind] = size is not None
            made_at = tracemalloc.get_object_traceback(each) if size else None
            if size and made_at is not None:
                seen.add(id(each))
                place = tuple((frame.filename, frame.lineno) for frame in reversed(made_at))
                counts.setdefault(place, [0, 0])[1] += size
                total += size
    return total


def _buffer_bytes(each: object) -> int | None:
    """Bytes of an object's buffer that are not in its own size; None for types without, or whose are traced."""
    kind = type(each)
    if type(kind).__module__ == "_ctypes" or str(kind.__module__).startswith("numpy"):  # a class may make it anything
        return None
    try:
        with memoryview(each) as view:  # type: ignore[arg-type] # whether it has a buffer is what is asked
            return max(view.nbytes - sys.getsizeof(each), 0)
    except (TypeError, ValueError, BufferError):
        return None


def resident_bytes() -> int | None:
    """Resident memory of the process that no file backs; None where /proc does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return None
