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

from tests.history.model import History, Key, Op, Outcome, Send, Step
from tests.history.topics import FORGETFUL, TIMEOUT_S, TOPICS, TRANSACTION_TIMEOUT_MS


class Recorder:
    """The history while it is made, by many threads."""

    def __init__(self) -> None:
        self.history = History(rules={topic: rules for topic, (_, _, rules) in TOPICS.items()})
        self.fatal: list[str] = []
        """What no client should be told."""
        self._given_up: set[tuple[str, Key]] = set()
        """Of which partitions a process gave up a send by itself, for it took too long."""

    def add(self, process: str, steps: Sequence[Step], outcome: Outcome, invoked: float, error: str = "") -> None:
        """Note an operation that is over."""
        completed = time.monotonic() if outcome is not Outcome.INFO else float("inf")
        self.history.ops.append(Op(process, list(steps), outcome, invoked, completed, error=error))

    def add_transaction(self, op: Op) -> None:
        """Note a transaction that is over; its `outcome` and `decided` are set."""
        op.completed = time.monotonic() if op.outcome is not Outcome.INFO else float("inf")
        self.history.ops.append(op)

    def add_refusal(self, process: str, send: Send, invoked: float, error: str) -> None:
        """Note a send of which nobody knows whether it happened, and what no idempotent producer should be told.

        aiokafka goes on after a send that it gave up, with the numbers after it: then the broker has to refuse.
        """
        if not is_out_of_order(error):
            self._given_up.add((process, send.key))
        elif send.key.topic not in FORGETFUL and (process, send.key) not in self._given_up:
            self.fatal.append(f"{process}: {error}")
        self.add(process, [send], Outcome.INFO, invoked, error)


def is_out_of_order(error: str) -> bool:
    """Whether it is OUT_OF_ORDER_SEQUENCE_NUMBER, in the words of any client."""
    return "OUT_OF_ORDER" in error or "OutOfOrder" in error


class Run(NamedTuple):
    """Where clients connect, what they follow from, where they write what they are told."""

    address: str
    seed: int
    recorder: Recorder
    transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS
    """For so long a transaction may last, and its records may wait."""

    def end_timeout_s(self, least: float) -> float:
        """How long a call may take that ends or begins a transaction: `least` where transactions are short."""
        return max(least, self.transaction_timeout_ms / 1000 + 2)


class Process(threading.Thread):
    """One client. `work` goes on until `stopped` is set; `begun` is set when it can bear a fault."""

    begins_connected = False
    """Whether the client has to find its broker at once, and gives up where it does not."""

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(name=name, daemon=True)
        self.address = run.address
        self.recorder = run.recorder
        self.random = Random(f"{run.seed} {name}")
        self.begun = threading.Event()
        self.stopped = threading.Event()

    def work(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        if not self.begins_connected:
            self.begun.set()
        try:
            self.work()
        except Exception:
            self.recorder.fatal.append(f"{self.name} ended with\n{traceback.format_exc()}")

    def finish(self) -> None:
        """Begin nothing more, and wait until what was begun is over."""
        self.stopped.set()
        self.join(3 * TIMEOUT_S)
        if self.is_alive():
            frame = sys._current_frames().get(self.ident or 0)
            where = "".join(traceback.format_stack(frame)[-4:])
            self.recorder.fatal.append(f"{self.name} does not end\n{where}")
