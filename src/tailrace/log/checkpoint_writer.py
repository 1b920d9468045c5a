"""Writes checkpoints in the background: a minute's round must not keep a client waiting, nor two writers share a file.

Invariant: one writer a file at a time. What is asked for while a file is being written is written after it; of several
such the last is, and all who asked are told; unless the writing before failed, which is then told to them too.
Offsets are plain copies, taken by who asks.
Not its business: what a checkpoint says, when it is due, what a failure means for the directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tailrace.base.errors import StorageError
from tailrace.base.types import TopicPartition
from tailrace.log import checkpoint
from tailrace.log.config import LogEnvironment
from tailrace.log.flushing import Done


class _Wish(NamedTuple):
    offsets: Mapping[TopicPartition, int]
    done: list[Done]


class CheckpointWriter:
    """The checkpoints of a broker's log directories on their way to the disk."""

    __slots__ = ("_env", "_next")

    def __init__(self, env: LogEnvironment) -> None:
        self._env = env
        self._next: dict[Path, _Wish | None] = {}
        """Files that are being written -> what is to be written after that."""

    def write(self, path: Path, offsets: Mapping[TopicPartition, int], done: Done) -> None:
        """Replace the checkpoint at `path`; then `done(None)`, or why not. Its failure is reported besides."""
        if path not in self._next:
            self._next[path] = None
            self._begin(path, _Wish(offsets, [done]))
            return
        waiting = self._next[path]
        self._next[path] = _Wish(offsets, [done] if waiting is None else [*waiting.done, done])

    def _begin(self, path: Path, wish: _Wish) -> None:
        work = partial(checkpoint.write_offsets, self._env.disk, path, wish.offsets)
        self._env.background.submit(work, partial(self._end, path, wish))

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
