"""A profile: stacks, and what was counted for each. The value that samplers make and `pprof` writes and reads.

A stack has its leaf first. All samples have as many values as there are `sample_types`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple


class ValueType(NamedTuple):
    """What a value counts, and in what unit: ("cpu", "nanoseconds")."""

    type: str
    unit: str


class Frame(NamedTuple):
    """A place in a stack. `first_line` is that of the function; 0 where it is not known."""

    name: str
    file: str = ""
    line: int = 0
    first_line: int = 0


class Sample(NamedTuple):
    """What was counted for one stack."""

    stack: tuple[Frame, ...]
    values: tuple[int, ...]
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Profile:
    """Samples over a time. `time_ns` is when it began, since 1970; `period` how much `period_type` lies between two."""

    sample_types: tuple[ValueType, ...]
    samples: list[Sample]
    time_ns: int = 0
    duration_ns: int = 0
    period_type: ValueType | None = None
    period: int = 0
    default_type: str = ""
    comments: tuple[str, ...] = field(default=())


def module_name(file: str) -> str:
    """`tailrace.net.selector` for its path: what is left of it under the longest entry of `sys.path`."""
    roots = [root for root in sys.path if root and file.startswith(root.rstrip("/") + "/")]
    if not roots:
        return PurePath(file).stem
    path = PurePath(file).relative_to(max(roots, key=len)).with_suffix("")
    return ".".join(part for part in path.parts if part != "__init__")


def share_of(profile: Profile, value_type: str, names: Iterable[str]) -> float:
    """Share of a profile's total that lies in or under functions whose name ends with one of `names`; 0 of nothing."""
    index = [known.type for known in profile.sample_types].index(value_type)
    endings = tuple(names)
    total = sum(sample.values[index] for sample in profile.samples)
    inside = sum(
        sample.values[index]
        for sample in profile.samples
        if any(frame.name.endswith(endings) for frame in sample.stack)
    )
    return inside / total if total else 0.0
