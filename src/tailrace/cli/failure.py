"""How a command ends: its exit code, and the one sentence it leaves on stderr when it fails.

    code  meaning
    0     done
    1     refused or failed: the cluster said no, or a record or a file could not be handled
    2     the command line is wrong
    3     no broker could be reached, or none answered in time
    70    a bug in tailrace itself
    130   interrupted (Ctrl-C);  143 terminated;  141 the reader of our output went away

Imports the standard library only: `serve` uses it too. What librdkafka's errors mean is in `cluster_errors`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns. Part of the public interface: see docs/cli.md."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class CommandFailed(Exception):
    """A command gives up. The message is one plain sentence: what failed, why, and what to do about it.

    `cause` is the client library's own error where there is one (a `confluent_kafka.KafkaError`).
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.REFUSED, cause: object = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.cause = cause


class Terminated(Exception):
    """SIGTERM arrived. Unwinds like Ctrl-C, so that a consumer leaves its group."""


@contextmanager
def unwind_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` inside the block. Main thread only."""

    def on_sigterm(signal_number: int, frame: object) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
