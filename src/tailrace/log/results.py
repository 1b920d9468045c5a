"""What a log takes and answers: origins of an append, its outcome, a range to send. Plain values."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from tailrace.base.disk import File


class AppendOrigin(Enum):
    """Who wrote a batch: a client, whose word is checked, or a coordinator of this broker."""

    CLIENT = "client"
    COORDINATOR = "coordinator"


class AppendInfo(NamedTuple):
    """What became of an append. `log_append_time_ms` is -1 where the batch keeps its create time."""

    first_offset: int
    last_offset: int
    log_append_time_ms: int
    log_start_offset: int
    duplicate: bool


class FetchSlice(NamedTuple):
    """A range of a segment's file, to be sent as it is. Holding it keeps the file open.

    `first_offset` is the base offset of its first batch, which may be below the offset asked for. `size` 0: nothing.
    """

    file: File | None
    position: int
    size: int
    first_offset: int


EMPTY_SLICE: Final = FetchSlice(None, 0, 0, -1)
