"""How many .log files are open at once: bounded, the longest open goes first.

A segment opens its file when it is first asked for it and keeps it. Beyond `max_size` the segment that has had its
file open for longest lets go of it, and opens it again when asked: about 10 µs, once in as many openings as there are
files. The file of a `FetchSlice` that is being sent stays open until it was sent, whatever happens here.

Invariant: at most `max_size` segments hold a file. One owner: the logs of a broker, in their thread.
Not its business: index files and checkpoints, which are open only while they are read or written.
"""

from __future__ import annotations

from typing import Final, Protocol

from tailrace.log.bounded_holders import BoundedHolders
from tailrace.log.loaded_indexes import LoadedIndexes

UNBOUNDED_COUNT: Final = 1 << 30


class FileHolder(Protocol):
    """Who holds an open file and can do without it. Can be referred to weakly."""

    def release_file(self) -> None:
        """Let go of the file."""
        ...


class OpenFiles(BoundedHolders[FileHolder]):
    """Who holds an open file, by rising time of opening."""

    __slots__ = ("indexes",)

    indexes: LoadedIndexes
    """The bound on the same segments' indexes."""

    def __init__(self, max_count: int = UNBOUNDED_COUNT) -> None:
        assert max_count > 0, "appending needs a file"
        super().__init__(max_count, lambda holder: holder.release_file())
        self.indexes = LoadedIndexes()
