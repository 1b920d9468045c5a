"""What every client of a run has in common: a name, a thread, a random source of its own, and where it notes things.

A process draws what it will do from its own random source and from nothing else, so that a seed gives the same plans;
how far it comes in the time it has does not follow from the seed.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from tests.history.model import History, Op, Outcome, Step
from tests.history.topics import TIMEOUT_S, TOPICS


class Recorder:
    """The history while it is made, by many threads."""

    def __init__(self) -> None:
        self.history = History(rules={topic: rules for topic, (_, _, rules) in TOPICS.items()})
        self.fatal: list[str] = []
        """What no client should be told."""

    def add(self, process: str, steps: Sequence[Step], outcome: Outcome, invoked: float, error: str = "") -> None:
        """Note an operation that is over."""
        completed = time.monotonic() if outcome is not Outcome.INFO else float("inf")
        self.history.ops.append(Op(process, list(steps), outcome, invoked, completed, error=error))

    def add_transaction(self, op: Op) -> None:
        """Note a transaction that is over; its `outcome` and `decided` are set."""
        op.completed = time.monotonic() if op.outcome is not Outcome.INFO else float("inf")
        self.history.ops.append(op)


class Run(NamedTuple):
    """Where clients connect, what they follow from, where they write what they are told."""

    address: str
    seed: int
    recorder: Recorder


class Process(threading.Thread):
    """One client. `work` goes on until `stopped` is set."""

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(name=name, daemon=True)
        self.address = run.address
        self.recorder = run.recorder
        self.random = Random(f"{run.seed} {name}")
        self.stopped = threading.Event()

    def work(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        try:
            self.work()
        except Exception:
            self.recorder.fatal.append(f"{self.name} ended with\n{traceback.format_exc()}")

    def finish(self) -> None:
        """Begin nothing more, and wait until what was begun is over."""
        self.stopped.set()
        self.join(2 * TIMEOUT_S)
        if self.is_alive():
            frame = sys._current_frames().get(self.ident or 0)
            where = "".join(traceback.format_stack(frame)[-4:])
            self.recorder.fatal.append(f"{self.name} does not end\n{where}")
