"""What keeps a broker from starting, in one sentence with its cure: paths, rights, space, directories that overlap."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from tailrace.base.errors import StorageError, TailraceError

_CURES = {
    errno.EACCES: "user {user} has no right to; give it the directory (chown) or choose another with --data-dir",
    errno.EPERM: "user {user} has no right to; give it the directory (chown) or choose another with --data-dir",
    errno.EROFS: "its file system is mounted read-only; mount it read-write or choose another with --data-dir",
    errno.ENOSPC: "no space is left on its volume; free some, or choose another with --data-dir",
    errno.EDQUOT: "the quota on its volume is used up; free some space, or choose another with --data-dir",
    errno.ENOTDIR: "there is a file in the place of a directory; move it away or choose another with --data-dir",
    errno.EEXIST: "there is a file in the place of a directory; move it away or choose another with --data-dir",
    errno.EIO: "the disk reports an error; look at the kernel's log, and check the disk before anything else",
    errno.ENOLCK: "its file system gives no locks; mount it with locking or choose another with --data-dir",
    errno.ENOTSUP: "its file system gives no locks; mount it with locking or choose another with --data-dir",
}


def start_error_words(error: StorageError | OSError) -> str:
    """The sentence for a failed file operation during start."""
    if isinstance(error, StorageError):
        subject, cause = f"cannot {error.operation} {error.path}", error.cause
    else:
        subject, cause = f"cannot use {error.filename}" if error.filename else "cannot start", error
    cure = _CURES.get(cause.errno or 0)
    why = cure.format(user=os.geteuid()) if cure is not None else cause.strerror or str(cause)
    return f"{subject}: {why}"


def check_apart(paths: Sequence[Path]) -> None:
    """Raise TailraceError where one log directory is another, or lies in it."""
    real = [path.resolve() for path in paths]
    for index, path in enumerate(real):
        for other in real[index + 1 :]:
            if path == other:
                raise TailraceError(f"log.dirs names {path} twice; name each directory once.")
            if path in other.parents or other in path.parents:
                raise TailraceError(f"log.dirs names {path} and {other}, one within the other; keep them apart.")
