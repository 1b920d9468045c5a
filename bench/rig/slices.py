"""What a switch costs, told apart from what the machine does: one load, the switch thrown every third of a second.

A machine's speed drifts by tens of percent within seconds. So the broker's processor time for a request is taken in
slices of one load, in the order off on on off, and each two neighbours are compared. Requests are counted by the
offsets they got. Linux.
"""

from __future__ import annotations

import math
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tailrace.wire.api import ApiKey
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic

from .process import Meter
from .requests import TIMEOUT_S, Line, Unanswered, make_topic, serve

SLICE_S = 0.3
SETTLE_S = 0.05
"""Between the throw of the switch and the slice: what beginning and ending themselves cost is not in it."""
CONNECTIONS = 50
WARM_UP_S = 1.0
END_OF_LOG = -1
INTERVAL = 0.95


@dataclass(frozen=True)
class Compared:
    """On over off, of neighbours: the median, and the interval that holds it in 95 of 100 cases."""

    ratio: float
    low: float
    high: float
    off_us: float


def compared(pairs: list[tuple[float, float]]) -> Compared:
    """From (off, on) costs. The interval is that of order statistics: no shape of noise is assumed."""
    ratios = sorted(on / off for off, on in pairs)
    spread = statistics.NormalDist().inv_cdf((1 + INTERVAL) / 2) * math.sqrt(len(ratios)) / 2
    low = max(0, math.floor(len(ratios) / 2 - spread))
    high = min(len(ratios) - 1, math.ceil(len(ratios) / 2 + spread))
    return Compared(statistics.median(ratios), ratios[low], ratios[high], statistics.median(off for off, _ in pairs))


def costs(address: str, pid: int, number: signal.Signals, pairs: int) -> list[tuple[float, float]]:
    """(off, on): processor time for a request in us, of `pairs` neighbours; signal `number` throws the switch of `pid`.

    Raises Unanswered where the load ends before.
    """
    topic = f"slices-{os.urandom(4).hex()}"
    duration_s = WARM_UP_S + 2 * pairs * (SLICE_S + SETTLE_S) * 1.2
    line = Line(address)
    with line.socket:
        make_topic(line, topic)
        begun = threading.Event()
        load = threading.Thread(target=serve, args=(address, topic, CONNECTIONS, duration_s, begun.set), daemon=True)
        load.start()
        if not begun.wait(TIMEOUT_S):
            raise Unanswered("the load did not begin")
        time.sleep(WARM_UP_S)
        meter = Meter(pid)
        cost = lambda: slice_cost_us(meter, lambda: end_offset(line, topic))  # noqa: E731
        found = []
        for pair in range(pairs):
            first = cost()
            os.kill(pid, number)  # off to on, and in the next pair on to off
            second = cost()
            if not load.is_alive():
                raise Unanswered("the load ended before its slices")
            found.append((first, second) if pair % 2 == 0 else (second, first))
        if pairs % 2:
            os.kill(pid, number)
        load.join(duration_s + TIMEOUT_S)
    return found


def slice_cost_us(meter: Meter, answered: Callable[[], int]) -> float:
    """Processor time for a request in the slice that begins now."""
    time.sleep(SETTLE_S)
    before, before_s = answered(), meter.cpu_s()
    time.sleep(SLICE_S)
    after_s, after = meter.cpu_s(), answered()
    return (after_s - before_s) / (after - before) * 1e6


def end_offset(line: Line, topic: str) -> int:
    """Where the partition ends: as many requests were served."""
    wanted = ListOffsetsTopic(topic, [ListOffsetsPartition(0, timestamp=END_OF_LOG)])
    answer = line.ask(ApiKey.LIST_OFFSETS, 2, ListOffsetsRequest(-1, topics=[wanted]))
    return int(answer.topics[0].partitions[0].offset)  # type: ignore[attr-defined]
