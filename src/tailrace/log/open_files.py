"""How many .log files are open at once: bounded, the longest open goes first.

A segment opens its file when it is first asked for it and keeps it. Beyond `max_count` the segment that has had its
file open for longest lets go of it, and opens it again when asked: about 10 µs, once in as many openings as there are
files. No account is kept of uses, because an append must not pay for it. The file of a `FetchSlice` that is being sent
stays open until it was sent, whatever happens here.

Invariant: at most `max_count` segments hold a file. They are held weakly: a segment that is forgotten closes its file
by that alone. One owner: the logs of a broker, in their thread.
Not its business: index files and checkpoints, which are open only while they are read or written.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol
from weakref import ReferenceType, ref

from tailrace.log.loaded_indexes import LoadedIndexes

UNBOUNDED_COUNT: Final = 1 << 30


class FileHolder(Protocol):
    """Who holds an open file and can do without it. Can be referred to weakly."""

    def release_file(self) -> None:
        """Let go of the file. Must not come back to OpenFiles."""
        ...


class OpenFiles:
    """Who holds an open file, by rising time of opening. `max_count` is at least 1."""

    __slots__ = ("_holders", "indexes", "max_count")

    indexes: LoadedIndexes
    """The bound on the same segments' indexes."""

    def __init__(self, max_count: int = UNBOUNDED_COUNT) -> None:
        assert max_count > 0, "appending needs a file"
        self.max_count = max_count
        self.indexes = LoadedIndexes()
        self._holders: OrderedDict[ReferenceType[FileHolder], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._holders)

    def opened(self, holder: FileHolder) -> None:
        """`holder` has just opened its file; who has had one for longest gives it up where there are too many."""
        holders = self._holders
        holders[ref(holder, self._gone)] = None
        while len(holders) > self.max_count:
            oldest = holders.popitem(last=False)[0]()
            if oldest is not None:
                oldest.release_file()

    def forget(self, holder: FileHolder) -> None:
        """`holder` has let go of its file; nothing where it has none."""
        self._holders.pop(ref(holder), None)

    def _gone(self, holder: ReferenceType[FileHolder]) -> None:
        self._holders.pop(holder, None)
