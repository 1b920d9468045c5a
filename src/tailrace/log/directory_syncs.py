"""Syncs of directories that no answer waits for: many changed names, one sync.

Invariant: a sync of a directory begins after the last change of a name that was told of before it. What is told of
within one turn of the owner's is one sync, in the background; its failure is reported.
Not its business: names that an answer depends on (`flushing`, `group_commit`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tailrace.base.errors import StorageError
from tailrace.log.config import LogEnvironment


class DirectorySyncs:
    """The directories of which names have changed."""

    __slots__ = ("_env", "_wanted")

    def __init__(self, env: LogEnvironment) -> None:
        self._env = env
        self._wanted: dict[Path, None] = {}

    def want(self, directory: Path) -> None:
        """A name in `directory` has changed: sync it when the owner has done what it has in hand."""
        is_begun = bool(self._wanted)
        self._wanted[directory] = None
        if not is_begun:
            self._env.defer(self._begin)

    def forget(self, directory: Path) -> None:
        """Leave a directory alone: it failed."""
        self._wanted.pop(directory, None)

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted, {}
        for directory in wanted:
            self._env.background.submit(partial(self._env.disk.sync_directory, directory), self._end)

    def _end(self, result: object) -> None:
        if isinstance(result, StorageError):
            self._env.report(result)
        elif isinstance(result, Exception):
            raise result
