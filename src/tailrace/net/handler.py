"""What a connection calls, and what may be written to it: the contract between `net` and the layers above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.net.limits import (
    BACKLOG_SIZE,
    CONNECTIONS_MAX,
    HIGH_WATER_BYTES,
    LOW_WATER_BYTES,
    RECEIVE_MAX_BYTES,
    WRITE_QUEUE_MAX_BYTES,
)


class HasFileno(Protocol):
    """An open file."""

    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FileRange:
    """`size` > 0 bytes of `file` from `position`, sent without passing through the process.

    The file is kept alive until sent, and must stay open. If it ends before the range does, or is closed, the
    connection is closed with an error: the peer never gets a short answer that looks whole.
    """

    file: HasFileno
    position: int
    size: int


Part = bytes | bytearray | memoryview | FileRange
Parts = Sequence[Part]


class ColdRanges(Protocol):
    """Tells which file ranges can be sent without waiting for the disk, and loads the others. In the loop's thread."""

    def is_resident(self, file: HasFileno, position: int, size: int) -> bool:
        """Whether `size` > 0 bytes are in memory. ValueError once the file is closed."""
        ...

    def load_range(self, part: FileRange, size: int, done: Callable[[OSError | None], None] | None) -> None:
        """Load the first `size` bytes of `part`; then `done(None, or why not)` in a later step. Without `done` nobody
        waits yet: what others wait for goes first."""
        ...

    def on_unreadable(self, file: HasFileno, error: OSError) -> None:
        """The device failed while `file` was being sent; its connection is about to be closed. Must only take note:
        whatever follows belongs in a later step."""
        ...


class StreamHandler(Protocol):
    """One connection's owner. Called in the loop's thread, never re-entrantly, never after `on_closed`.

    Subclass it for the defaults, or implement the five pinned methods; `on_deadline` is optional.
    An exception from any method is logged once and closes the connection.
    """

    def on_opened(self) -> None:
        """The connection is ready to write to."""

    def on_data(self, data: memoryview) -> int:
        """All unconsumed bytes. Returns how many were consumed; the rest is offered again with what follows.

        `data` is writable and valid until return; keep nothing that points into it.
        """
        ...

    def on_eof(self) -> None:
        """The peer will send no more; unconsumed bytes stay unconsumed. A handler without it: the connection is
        closed."""
        ...

    def on_writable(self) -> None:
        """The unsent bytes fell to the low water mark after having been above the high one."""

    def on_closed(self, error: OSError | None) -> None:
        """The connection is gone. Called exactly once; `error` is None for an orderly end."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Bounds and socket buffers of a connection. Sizes in bytes; None leaves the kernel's choice."""

    high_water_bytes: int = HIGH_WATER_BYTES
    low_water_bytes: int = LOW_WATER_BYTES
    write_queue_max_bytes: int = WRITE_QUEUE_MAX_BYTES
    receive_max_bytes: int = RECEIVE_MAX_BYTES
    send_buffer_bytes: int | None = None
    receive_buffer_bytes: int | None = None
    reads_while_full: bool = False
    """Go on reading while above the high water mark. For the end that asks: if both ends stop, neither ever goes on."""
    cold_ranges: ColdRanges | None = None
    """Without it file ranges are sent as they are, and what is not in memory is waited for."""
    local_host: str | None = None
    """Where a connection we make comes from: an address of this host; None: the kernel's choice."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """How to listen. `max_connections`: at it accepting stops until one of this listener's connections closes."""

    backlog: int = BACKLOG_SIZE
    reuse_port: bool = False
    max_connections: int = CONNECTIONS_MAX
    unix_mode: int | None = None
    connection: ConnectionOptions = ConnectionOptions()


CLIENT_OPTIONS = ConnectionOptions(reads_while_full=True)
"""Default for connections we make."""
