"""Writes checkpoints in the background: a minute's round must not keep a client waiting, nor two writers share a file.

Invariant: one writer a file at a time. What is asked for while a file is being written is written after it; of several
such the last is, and all who asked are told; unless the writing before failed, which is then told to them too.
Drafts are plain copies, taken by who asks.
Not its business: what a checkpoint says, when it is due, what a failure means for the directory.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from tailrace.base.disk import Disk
from tailrace.base.errors import StorageError
from tailrace.base.types import TopicPartition
from tailrace.log import checkpoint
from tailrace.log.config import LogEnvironment
from tailrace.log.flushing import Done

Offsets = dict[TopicPartition, int]


class CheckpointDraft(NamedTuple):
    """What a checkpoint should say, put together by the thread that writes it."""

    path: Path
    offsets: Offsets
    """Of the open logs, as they were when it was asked for."""
    known: Offsets
    """What was known at start; never changed after it."""
    kept: list[TopicPartition]
    """The partitions of which that is still true: the logs that are not open."""

    def rows(self) -> Offsets:
        """Everything."""
        known = self.known
        return {**{each: known[each] for each in self.kept if each in known}, **self.offsets}

    def write(self, disk: Disk) -> None:
        """Write it. Blocks. Raises StorageError; the file before is then still there."""
        checkpoint.write_offsets(disk, self.path, self.rows())


class _Wish(NamedTuple):
    draft: CheckpointDraft
    done: list[Done]


class CheckpointWriter:
    """The checkpoints of a broker's log directories on their way to the disk."""

    __slots__ = ("_env", "_next")

    def __init__(self, env: LogEnvironment) -> None:
        self._env = env
        self._next: dict[Path, _Wish | None] = {}
        """Files that are being written -> what is to be written after that."""

    def write(self, draft: CheckpointDraft, done: Done) -> None:
        """Replace the checkpoint at `draft.path`; then `done(None)`, or why not. Its failure is reported besides."""
        path = draft.path
        if path not in self._next:
            self._next[path] = None
            self._begin(path, _Wish(draft, [done]))
            return
        waiting = self._next[path]
        self._next[path] = _Wish(draft, [done] if waiting is None else [*waiting.done, done])

    def _begin(self, path: Path, wish: _Wish) -> None:
        self._env.background.submit(partial(wish.draft.write, self._env.disk), partial(self._end, path, wish))

    def _end(self, path: Path, wish: _Wish, result: object) -> None:
        following = self._next.pop(path)
        error = result if isinstance(result, StorageError) else None
        told = wish.done
        if error is None and isinstance(result, Exception):
            raise result
        if error is not None:
            told = told if following is None else [*told, *following.done]
            self._env.report(error)
        elif following is not None:
            self._next[path] = None
            self._begin(path, following)
        for done in told:
            done(error)
