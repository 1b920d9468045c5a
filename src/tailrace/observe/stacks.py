"""Stacks of running threads, noted cheaply and named later.

A stack is noted as code objects and positions in them, leaf first: reading a line number costs as much as noting the
frame, and is done once for each distinct place. The code objects are kept alive by who keeps the stack.
"""

from __future__ import annotations

import threading
from types import CodeType, FrameType

from tailrace.observe.limits import STACK_FRAMES_MAX
from tailrace.observe.profile import Frame, module_name

RawStack = tuple[object, ...]
"""CodeType and int (f_lasti) in turn, leaf first."""


def raw_stack(frame: FrameType | None) -> RawStack:
    """The stack that ends in `frame`, its outermost frames cut off after STACK_FRAMES_MAX."""
    parts: list[object] = []
    while frame is not None and len(parts) < 2 * STACK_FRAMES_MAX:
        parts.append(frame.f_code)
        parts.append(frame.f_lasti)
        frame = frame.f_back
    return tuple(parts)


def stack_key(frame: FrameType | None) -> tuple[int, ...]:
    """What tells the stack that ends in `frame` from others, as long as somebody keeps its code objects.

    Not the stack itself: hashing a code object is hashing all that is in it.
    """
    parts: list[int] = []
    while frame is not None and len(parts) < 2 * STACK_FRAMES_MAX:
        parts.append(id(frame.f_code))
        parts.append(frame.f_lasti)
        frame = frame.f_back
    return tuple(parts)


class StackNames:
    """Names the places of raw stacks, each once."""

    def __init__(self) -> None:
        self._frames: dict[tuple[object, object], Frame] = {}
        self._modules: dict[str, str] = {}

    def named(self, stack: RawStack) -> tuple[Frame, ...]:
        """The stack with module, function, file and line."""
        return tuple(self._frame(stack[at], stack[at + 1]) for at in range(0, len(stack), 2))

    def _frame(self, code: object, position: object) -> Frame:
        known = self._frames.get((code, position))
        if known is None:
            assert isinstance(code, CodeType) and isinstance(position, int)
            module = self._modules.get(code.co_filename)
            if module is None:
                module = self._modules[code.co_filename] = module_name(code.co_filename)
            name = f"{module}.{code.co_qualname}"
            known = Frame(name, code.co_filename, line_at(code, position), code.co_firstlineno)
            self._frames[code, position] = known
        return known


def line_at(code: CodeType, position: int) -> int:
    """The line of the instruction at `position`; that of the function where it has none."""
    for start, end, line in code.co_lines():
        if start <= position < end and line is not None:
            return line
    return code.co_firstlineno


def thread_names() -> dict[int, str]:
    """Names of the threads that live, by ident. Takes threading's lock: not for signal handlers."""
    return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}
