"""What befalls the broker, and when: a schedule that follows from a seed, and its execution on a real process.

    KILL          kill -9 after `after_s` of service
    KILL_START    kill -9 `after_s` after the process was started, so in the middle of loading, or soon after
    STOP          SIGTERM, to its end: the next start finds the marker
    STOP_KILL     SIGTERM, and kill -9 `after_s` later, in the middle of flushing and closing
    PAUSE         SIGSTOP, and SIGCONT `lasts_s` later
    CUT           every connection is reset
    CUT_SOME      half of them are, some in the middle of a frame
    REFUSE        every connection is reset, and for `lasts_s` none is made
    STALL_IN      what clients say does not arrive for `lasts_s`; then it does
    STALL_OUT     what the broker answers does not
    STALL         neither does
    LOSE_ANSWERS  what it answers in `lasts_s` never arrives: then every connection is reset
    SLOW          every operation on the disk takes longer, for `lasts_s`
    SLOW_KILL     the same, and kill -9 at its end

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
from tests.history.proxy import Direction, Proxy
from tests.history.slow_disk import Slowness


class Kind(Enum):
    KILL = auto()
    KILL_START = auto()
    STOP = auto()
    STOP_KILL = auto()
    PAUSE = auto()
    CUT = auto()
    CUT_SOME = auto()
    REFUSE = auto()
    STALL_IN = auto()
    STALL_OUT = auto()
    STALL = auto()
    LOSE_ANSWERS = auto()
    SLOW = auto()
    SLOW_KILL = auto()


DEATHS = {Kind.KILL: 70, Kind.KILL_START: 15, Kind.STOP: 5, Kind.STOP_KILL: 10}
"""How the process ends, and how often of a hundred times."""
EVERYTHING = {
    Kind.KILL: 20,
    Kind.KILL_START: 5,
    Kind.STOP: 3,
    Kind.STOP_KILL: 5,
    Kind.PAUSE: 12,
    Kind.CUT: 5,
    Kind.CUT_SOME: 10,
    Kind.REFUSE: 5,
    Kind.STALL_IN: 5,
    Kind.STALL_OUT: 5,
    Kind.STALL: 5,
    Kind.LOSE_ANSWERS: 10,
    Kind.SLOW: 5,
    Kind.SLOW_KILL: 5,
}
LONGEST_WAIT_S = {Kind.KILL_START: 0.4, Kind.STOP: 0.5, Kind.STOP_KILL: 0.02}
LONGEST_S = {
    Kind.PAUSE: 4.5,  # sessions of 3 s and transactions of 4 s end in it, now and then
    Kind.REFUSE: 2.0,
    Kind.STALL_IN: 3.5,  # requests of 2 s are given up in it
    Kind.STALL_OUT: 3.5,
    Kind.STALL: 3.5,
    Kind.LOSE_ANSWERS: 0.5,
    Kind.SLOW: 2.0,
    Kind.SLOW_KILL: 1.0,
}
STALLED = {Kind.STALL_IN: Direction.IN, Kind.STALL_OUT: Direction.OUT, Kind.STALL: Direction.IN | Direction.OUT}


class Fault(NamedTuple):
    """One thing that goes wrong, `after_s` after the last is over."""

    kind: Kind
    after_s: float
    lasts_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind.name} after {self.after_s:.3f} s" + (f" for {self.lasts_s:.3f} s" if self.lasts_s else "")


def _fault(random: Random, weights: dict[Kind, int], longest_wait_s: float) -> Fault:
    kind = random.choices(list(weights), list(weights.values()))[0]
    lasts_s = LONGEST_S.get(kind, 0.0) * random.random() ** 2  # most are short
    return Fault(kind, random.uniform(0, LONGEST_WAIT_S.get(kind, longest_wait_s)), lasts_s)


def deaths(seed: int, count: int) -> Iterator[Fault]:
    """`count` ends of the process."""
    random = Random(seed)
    for _ in range(count):
        yield _fault(random, DEATHS, 1.0)


def schedule(seed: int, seconds: float) -> list[Fault]:
    """Faults of every kind for so many seconds, restarts not counted; two at least."""
    random = Random(f"{seed} faults")
    found: list[Fault] = []
    while len(found) < 2 or sum(fault.after_s + fault.lasts_s for fault in found) < seconds:
        found.append(_fault(random, EVERYTHING, 3.0))
    return found


class Victim(NamedTuple):
    """What can be hurt: the process, the connections to it, its disk."""

    broker: BrokerProcess
    proxy: Proxy
    slowness: Slowness

    def strike(self, fault: Fault) -> None:
        """Let it happen, and return when it is over."""
        if fault.kind in DEATHS:
            die(self.broker, fault)
            return
        time.sleep(fault.after_s)
        if fault.kind is Kind.PAUSE:
            self.broker.pause()
            time.sleep(fault.lasts_s)
            self.broker.resume()
        elif fault.kind is Kind.CUT:
            self.proxy.cut()
        elif fault.kind is Kind.CUT_SOME:
            self.proxy.cut_some()
        elif fault.kind is Kind.REFUSE:
            self.proxy.refuse(fault.lasts_s)
        elif fault.kind is Kind.LOSE_ANSWERS:
            self.proxy.lose_answers(fault.lasts_s)
        elif fault.kind in STALLED:
            self.proxy.stall(STALLED[fault.kind], fault.lasts_s)
        else:
            self.slowness.slow_for(fault.lasts_s)
            if fault.kind is Kind.SLOW_KILL:
                self.broker.kill_and_restart()


def die(broker: BrokerProcess, death: Fault) -> None:
    """Let a running broker die as told, and run again."""
    process = broker.process
    assert process is not None
    if death.kind is Kind.STOP_KILL:
        process.send_signal(signal.SIGTERM)
    time.sleep(death.after_s)
    if death.kind is Kind.STOP:
        broker.stop()
    else:
        broker.kill()
    if death.kind is Kind.KILL_START:
        _start_and_kill(broker, death.after_s)
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
