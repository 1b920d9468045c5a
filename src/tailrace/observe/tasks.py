"""What each thread and each asyncio task waits for: its stack at this moment, as text or as a profile.

A task that waits has no stack of its own: its is the chain of coroutines it awaits, innermost first, and what the
innermost waits for. Not its business: requests that wait without a task; they are counted by metrics.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any, Final

from tailrace.base.clock import Clock
from tailrace.observe.limits import STACK_FRAMES_MAX
from tailrace.observe.profile import Frame, Profile, Sample, ValueType
from tailrace.observe.stacks import StackNames, raw_stack, thread_names

TASK_TYPES: Final = (ValueType("tasks", "count"),)

AnyTask = asyncio.Task[Any]  # of any result


def tasks_text(tasks: Iterable[AnyTask]) -> str:
    """A paragraph for each thread and task: its name, then its stack, innermost first."""
    paragraphs = []
    for sample in _samples(tasks):
        labels = dict(sample.labels)
        head = f"{labels['kind']} {labels['name']}"
        if "waits" in labels:
            head += f", waits for {labels['waits']}"
        lines = [f"    {frame.name}  {frame.file}:{frame.line}" for frame in sample.stack]
        paragraphs.append("\n".join([head, *lines]))
    return "\n\n".join(paragraphs)


def tasks_profile(tasks: Iterable[AnyTask], clock: Clock) -> Profile:
    """The same as a profile: one for each, so that like stacks add up."""
    return Profile(TASK_TYPES, list(_samples(tasks)), clock.wall_ms() * 1_000_000, default_type="tasks")


def _samples(tasks: Iterable[AnyTask]) -> Iterable[Sample]:
    names, threads = StackNames(), thread_names()
    for ident, frame in sys._current_frames().items():
        name = threads.get(ident, str(ident))
        yield Sample(names.named(raw_stack(frame)), (1,), (("kind", "thread"), ("name", name)))
    for task in sorted(tasks, key=lambda task: task.get_name()):
        frames, awaited = _awaited(task)
        stack = tuple(place for frame in frames for place in names.named(raw_stack(frame)[:2]))
        labels = (("kind", "task"), ("name", task.get_name()), ("waits", awaited))
        yield Sample(stack or (Frame(repr(task.get_coro())),), (1,), labels)


def _awaited(task: AnyTask) -> tuple[list[FrameType], str]:
    """Frames of the coroutines a task is in, innermost first, and what the innermost waits for."""
    frames: list[FrameType] = []
    inner: Any = task.get_coro()  # Any: a coroutine, a generator, or whatever else is awaitable
    while inner is not None and len(frames) < STACK_FRAMES_MAX:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        inner = getattr(inner, "cr_await", None) or getattr(inner, "gi_yieldfrom", None)
    waiter = getattr(task, "_fut_waiter", None)
    return frames[::-1], "its turn" if waiter is None else type(waiter).__name__
