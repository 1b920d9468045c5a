"""What grew between two heap profiles: the growth of live memory, ranked.

Lines of one function that were reached in one way are added up: a leak is a function, not a line. What shrank is left
out, so an allocator that gives back what it takes does not appear, however much it takes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from tailrace.observe.profile import Frame, Profile, Sample


class Growth(NamedTuple):
    """One way into one function, and what lives more there. `stack` is that of the line that grew most, leaf first."""

    bytes: int
    objects: int
    stack: tuple[Frame, ...]


class HeapDiff(NamedTuple):
    """`growths`: the largest first. `unknown_bytes`: growth of resident memory that Python does not know of."""

    growths: list[Growth]
    unknown_bytes: int


class NotAHeapProfile(ValueError):
    """The profile counts something else than live memory."""


def heap_diff(before: Profile, after: Profile) -> HeapDiff:
    """What lives in `after` and did not in `before`. Raises NotAHeapProfile."""
    changes: dict[tuple[Frame, ...], list[int]] = defaultdict(lambda: [0, 0])
    unknown_bytes = 0
    for profile, sign in ((before, -1), (after, 1)):
        objects_at, bytes_at = _columns(profile)
        for sample in profile.samples:
            if _is_untraced(sample):
                unknown_bytes += sign * sample.values[bytes_at]
                continue
            change = changes[sample.stack]
            change[0] += sign * sample.values[bytes_at]
            change[1] += sign * sample.values[objects_at]
    growths = [growth for growth in _by_functions(changes) if growth.bytes > 0]
    growths.sort(key=lambda growth: growth.bytes, reverse=True)
    return HeapDiff(growths, unknown_bytes)


def _by_functions(changes: dict[tuple[Frame, ...], list[int]]) -> list[Growth]:
    ways: dict[tuple[tuple[str, str], ...], list[Growth]] = defaultdict(list)
    for stack, (size, objects) in changes.items():
        if size or objects:
            ways[tuple((frame.name, frame.file) for frame in stack)].append(Growth(size, objects, stack))
    return [
        Growth(sum(line.bytes for line in lines), sum(line.objects for line in lines), max(lines).stack)
        for lines in ways.values()
    ]


def _columns(profile: Profile) -> tuple[int, int]:
    types = [value_type.type for value_type in profile.sample_types]
    if "inuse_objects" not in types or "inuse_space" not in types:
        raise NotAHeapProfile(f"it counts {', '.join(types) or 'nothing'}")
    return types.index("inuse_objects"), types.index("inuse_space")


def _is_untraced(sample: Sample) -> bool:
    return ("memory", "untraced") in sample.labels
