"""What every generated message has, equality and a readable form, and what is raised where one is no message.

Apart from `primitives`, which may be compiled: classes here have subclasses that are not.
"""

from __future__ import annotations

from tailrace.base.errors import TailraceError


class DecodeError(TailraceError):
    """Bytes from a peer that are not what the protocol says: it gets an error or a closed connection."""


class EncodeError(TailraceError):
    """A value that its type or version cannot carry: a string too long, null where none is allowed. Our own fault."""


class Message:
    """Base of every generated struct: equality, and a readable form for logs and tests."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


new = object.__new__
"""Makes a message without its constructor: `decode` sets every field itself, in a third of the time."""
