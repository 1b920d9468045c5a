"""When the broker dies: a schedule that follows from a seed, and its execution on a real process.

    KILL          kill -9 after `delay_s` of service
    KILL_START    kill -9 `delay_s` after the process was started, so in the middle of loading, or soon after
    STOP          SIGTERM, to its end: the next start finds the marker
    STOP_KILL     SIGTERM, and kill -9 `delay_s` later, in the middle of flushing and closing

The same seed gives the same schedule; what the clients manage in between does not follow from it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from enum import Enum, auto
from random import Random
from typing import NamedTuple

from tests.harness.brokers import BrokerFailed, BrokerProcess


class Kind(Enum):
    KILL = auto()
    KILL_START = auto()
    STOP = auto()
    STOP_KILL = auto()


class Death(NamedTuple):
    """One end of the process."""

    kind: Kind
    delay_s: float


def schedule(seed: int, count: int) -> Iterator[Death]:
    """`count` deaths."""
    random = Random(seed)
    for _ in range(count):
        kind = random.choices(list(Kind), [70, 15, 5, 10])[0]
        longest_s = {Kind.KILL: 1.0, Kind.KILL_START: 0.4, Kind.STOP: 0.5, Kind.STOP_KILL: 0.02}[kind]
        yield Death(kind, random.uniform(0, longest_s))


def die(broker: BrokerProcess, death: Death) -> None:
    """Let a running broker die as told, and run again."""
    process = broker.process
    assert process is not None
    if death.kind is Kind.STOP_KILL:
        process.send_signal(signal.SIGTERM)
    time.sleep(death.delay_s)
    if death.kind is Kind.STOP:
        broker.stop()
    else:
        broker.kill()
    if death.kind is Kind.KILL_START:
        _start_and_kill(broker, death.delay_s)
    broker.start()


def _start_and_kill(broker: BrokerProcess, delay_s: float) -> None:
    over = threading.Event()

    def kill() -> None:
        deadline = time.monotonic() + 10
        while broker.process is None and time.monotonic() < deadline and not over.is_set():
            time.sleep(0.001)
        over.wait(delay_s)
        process = broker.process
        if process is not None:
            process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        broker.start()
    except BrokerFailed:
        pass  # it was killed before it was ready
    else:
        over.set()
    killer.join()
    broker.kill()
