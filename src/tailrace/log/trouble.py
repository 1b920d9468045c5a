"""What a failed file operation means for the log directory it happened in. Pure.

    NO_SPACE    the volume is full or a quota is reached: appends are refused until there is space again
    DIRECTORY   the device, the mount or its rights failed: the directory goes offline until the next start
    ELSEWHERE   the process lacks descriptors or memory, or one file is not there: the operation failed, nothing more

Invariant: an fsync that failed always takes its directory offline, whatever it says: the kernel may have dropped the
pages it could not write, and a second fsync would answer that all is well. So no fsync is ever repeated.
Unlike Kafka, which takes a directory offline for every IOException, a full one included. Source: KIP-112,
Kafka LogDirFailureChannel; Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.
"""

from __future__ import annotations

import errno
from enum import Enum
from typing import Final

from tailrace.base.errors import StorageError


class Trouble(Enum):
    """How far a failure reaches."""

    NO_SPACE = "no space"
    DIRECTORY = "directory"
    ELSEWHERE = "elsewhere"


METADATA_OPERATION: Final = "commit"
"""A change of the metadata, which may lie beside the logs: that it failed says nothing of them."""

NO_SPACE_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_ELSEWHERE_ERRORS: Final = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOENT,
        errno.ENAMETOOLONG,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.EEXIST,
    }
)


def trouble_of(error: StorageError) -> Trouble:
    """How far `error` reaches."""
    number = error.cause.errno
    if error.operation == METADATA_OPERATION and number not in NO_SPACE_ERRORS:
        return Trouble.ELSEWHERE
    if number in (errno.EMFILE, errno.ENFILE):
        return Trouble.ELSEWHERE  # before the operation itself: a directory is opened to be synced
    if error.operation == "fsync":
        return Trouble.DIRECTORY
    if number in NO_SPACE_ERRORS:
        return Trouble.NO_SPACE
    return Trouble.ELSEWHERE if number in _ELSEWHERE_ERRORS else Trouble.DIRECTORY
